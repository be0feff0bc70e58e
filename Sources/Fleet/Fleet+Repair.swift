import Foundation
import Origins
import WeightStore

/// The objects of one compare-and-swap register of a bucket: the ledger, or the versions of one model.
public struct BucketRegister: Sendable, Codable, Equatable {
    /// `ledger`, or `models/org/name`.
    public let name: String
    /// The generation that the head names; nil if the head is absent or unreadable.
    public let head: Int?
    /// Number of generations that exist.
    public let generations: Int
    /// The newest generation that exists; nil if none does.
    public let newest: Int?
    /// The newest generation that the head or the ledger names, or that exists.
    public let known: Int
    /// The inconsistency; nil if there is none.
    public let finding: String?
}

extension Fleet {
    /// Lists the objects of the ledger and of each model's versions, and what is inconsistent. Changes nothing. Blocks.
    ///
    /// - Throws: a failed request's error; ``FleetError/malformed(place:reason:)`` for an unreadable object;
    ///   `CancellationError`.
    public func registers(work: Work = Work()) throws -> [BucketRegister] {
        try bound(to: work).registers()
    }

    /// Continues from the newest generation that exists, where objects of the ledger or of a model's versions were lost.
    /// Blocks.
    ///
    /// A head that is absent or names no generation is set to the newest one. If later generations are known to have
    /// existed, a copy of the newest one gets a number after these, so that nodes follow it, and so many version numbers
    /// are skipped, so that none is used twice. Versions that only the lost generations named are not in the map any
    /// more: the next collection removes their shards.
    ///
    /// - Parameter registers: as ``registers(work:)`` returned them; those without a finding are not changed.
    /// - Throws: ``FleetError/busy(what:holder:)`` if the objects changed since they were listed; a failed request's
    ///   error; `CancellationError`.
    public func repair(_ registers: [BucketRegister], work: Work = Work()) throws {
        let fleet = bound(to: work)
        let found = try fleet.registers()
        let broken = registers.filter { $0.finding != nil }
        guard broken.allSatisfy(found.contains) else {
            throw FleetError.busy(what: origin, holder: "the objects changed since they were listed; list them again")
        }
        // The models first: the ledger is checked against them.
        for register in broken where register.name != Ledger.name { try fleet.repairModel(register) }
        for register in broken where register.name == Ledger.name { try fleet.repairLedger(register) }
    }

    private func registers() throws -> [BucketRegister] {
        let models = try listedModels()
        let register = CASRegister(bucket: bucket, name: Ledger.name)
        var generations: [Int] = []
        try bucket.list(Ledger.name + "/") { generations += $0.compactMap { register.number($0.name) } }
        let newest = try state(register, generations).map { try Ledger.decode($0, bucket) }
        let finding = try Self.finding {
            let ledger = try Ledger.read(bucket)
            guard let model = models.keys.sorted().first(where: { !ledger.models.contains($0) }) else { return }
            throw FleetError.inconsistent(place: "", finding: "does not name \(model), but the bucket has its versions")
        }
        var found = [try entry(register, generations, known: 0, finding)]
        for model in Set(models.keys).union(newest?.models ?? []).sorted() {
            try bucket.work.check()
            let known = newest?.seen?[model] ?? 0
            let finding = try Self.finding {
                let versions = try map.read(model)
                try newest?.check(versions, in: bucket)
            }
            found.append(try entry(map.register(model), models[model] ?? [], known: known, finding))
        }
        return found
    }

    private func entry(
        _ register: CASRegister, _ generations: [Int], known: Int, _ finding: String?
    ) throws -> BucketRegister {
        var head: Int?
        if case .found(let object) = try bucket.get(register.head) { head = CASRegister.number(object) }
        let newest = try state(register, generations)?.generation
        return BucketRegister(
            name: register.name, head: head, generations: generations.count, newest: newest,
            known: max(known, head ?? 0, newest ?? 0), finding: finding)
    }

    /// The newest of the generations that exists, and those after it that the listing lacks.
    private func state(_ register: CASRegister, _ generations: [Int]) throws -> CASRegister.State? {
        for generation in generations.sorted(by: >) {
            guard case .found(var object) = try bucket.get(register.place(generation)) else { continue }
            var last = generation
            while case .found(let next) = try bucket.get(register.place(last + 1)) {
                (object, last) = (next, last + 1)
            }
            return .init(generation: last, bytes: object.bytes)
        }
        return nil
    }

    private static func finding(_ body: () throws -> Void) throws -> String? {
        do {
            try body()
            return nil
        } catch FleetError.inconsistent(_, let finding) {
            return finding
        }
    }

    private func repairModel(_ found: BucketRegister) throws {
        let model = String(found.name.dropFirst("models/".count))
        let register = map.register(model)
        var versions = ModelVersions(model: model)
        if let newest = found.newest, case .found(let object) = try bucket.get(register.place(newest)) {
            versions = try map.decode(.init(generation: newest, bytes: object.bytes), model)
        }
        guard found.known > versions.generation else {
            try bucket.put(register.head, Array("\(versions.generation)".utf8))
            map.announce(versions)
            return
        }
        // Each lost generation may have created a version.
        versions.last += found.known - versions.generation
        versions.generation = found.known + 1
        versions.writer = UUID().uuidString
        try write(versions.encoded(), as: versions.generation, register)
        map.announce(versions)
    }

    private func repairLedger(_ found: BucketRegister) throws {
        let register = CASRegister(bucket: bucket, name: Ledger.name)
        var ledger = Ledger()
        if let newest = found.newest, case .found(let object) = try bucket.get(register.place(newest)) {
            ledger = try Ledger.decode(.init(generation: newest, bytes: object.bytes), bucket)
        }
        let models = try Set(ledger.models).union(listedModels().keys).sorted()
        if models == ledger.models, !models.isEmpty, found.known == ledger.generation {
            return try bucket.put(register.head, Array("\(ledger.generation)".utf8))
        }
        ledger.models = models
        if models.isEmpty { ledger.isRepairedEmpty = true }
        ledger.generation = found.known + 1
        ledger.writer = UUID().uuidString
        try write(ledger.encoded(), as: ledger.generation, register)
    }

    private func write(_ bytes: [UInt8], as generation: Int, _ register: CASRegister) throws {
        guard try bucket.create(register.place(generation), bytes) else {
            throw FleetError.busy(
                what: "\(bucket.url) \(register.name)", holder: "another writer created generation \(generation)")
        }
        try bucket.put(register.head, Array("\(generation)".utf8))
    }
}

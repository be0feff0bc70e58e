import Foundation
import Origins
import Support
import WeightStore

/// A value in a bucket that is changed by compare-and-swap, built on "create if absent" alone (S3's
/// `If-None-Match: *`).
///
/// Each state is an object of its own, `<name>/<generation>`, created once and never changed: of several writers that
/// all read generation 7, one creates 8. `<name>/head` contains the number of the latest generation. It is written
/// afterwards, without conditions, and is behind if a writer died in between or was overtaken. Readers therefore
/// continue from it until there is no next generation. No listing is needed, and so none can mislead.
///
/// **A missing object is an error, not a register that was never written.** The object that the head names always
/// exists: a state is created before the head names it, and `trim` keeps it. The head exists before generation 2 does:
/// the writer of generation 1 creates it, and the writer of generation 2 makes sure of it. So a head that names no
/// state, and a generation after the first without a head, mean that objects were lost
/// (``FleetError/inconsistent(place:finding:)``). A head that is absent is the one case in which a listing decides:
/// only if no generation is listed, and there is no first one, the register was never written.
///
/// (`If-Match` would do it with one object, but Ceph's gateway answers losing writers with 500 and compares tags
/// without quotes, and other services lack it.)
struct CASRegister: Sendable {
    struct State: Sendable {
        let generation: Int
        let bytes: [UInt8]
    }

    let bucket: S3Bucket
    let name: String

    var head: String { "\(name)/head" }

    func place(_ generation: Int) -> String { "\(name)/\(String(format: "%012d", generation))" }

    /// The most generations that a head may be behind.
    private static let mostBehind = 10_000
    /// Seconds after which a writer does not write the head any more: readers continue from the older one, and a writer
    /// that was suspended must not name a generation that was trimmed in the meantime.
    private static let headSeconds = 60.0

    /// - Returns: nil if nothing was ever written.
    /// - Throws: ``FleetError/inconsistent(place:finding:)`` if objects are missing.
    func read() throws -> State? {
        guard case .found(let object) = try bucket.get(head) else { return try readWithoutHead() }
        return try state(namedBy: object, atLeast: 1)
    }

    /// Reads a state that is newer than generation `known`. If there is none, this costs two requests, and neither
    /// response contains a state.
    ///
    /// - Parameter tag: the head's tag when it was last read; only a changed head is transferred.
    /// - Returns: nil if there is none.
    /// - Throws: ``FleetError/inconsistent(place:finding:)`` if objects are missing, or are older than `known`.
    func read(after known: Int, head tag: inout String?) throws -> State? {
        switch try bucket.get(head, unless: tag) {
        case .unchanged: return try follow(nil, from: known + 1)
        case .absent:
            tag = nil
            guard let state = try readWithoutHead() else {
                if known == 0 { return nil }
                throw lost("nothing is there, but generation \(known) was read before")
            }
            guard state.generation >= known else { throw older(state.generation, known) }
            return state.generation > known ? state : nil
        case .found(let object):
            let number = try number(object)
            if number > known {
                let state = try state(namedBy: object, atLeast: known + 1)
                tag = object.tag
                return state
            }
            if let state = try follow(nil, from: known + 1) {
                tag = object.tag
                return state
            }
            if number < known {
                guard case .found = try bucket.get(place(known)) else { throw older(number, known) }
            }
            tag = object.tag
            return nil
        }
    }

    /// Creates the next state.
    ///
    /// - Parameters:
    ///   - bytes: must differ from those of every other writer.
    ///   - generation: the generation that was read, plus one.
    /// - Returns: false if another writer created it first.
    func write(_ bytes: [UInt8], as generation: Int) throws -> Bool {
        // The writer of generation 1 may not have created the head yet, or may have died before that.
        if generation == 2 { _ = try bucket.create(head, Array("1".utf8)) }
        let place = place(generation)
        let start = ContinuousClock.now
        var isWritten: Bool
        do {
            isWritten = try bucket.create(place, bytes)
        } catch let error as FetchError where error.outcomeIsUnknown {
            // The request may have been carried out: the stored object shows whether it was.
            guard case .found(let object) = try bucket.get(place) else { throw error }
            isWritten = object.bytes == bytes
        }
        if !isWritten, case .found(let object) = try bucket.get(place) {
            // The response to an earlier attempt of ours may have been lost.
            isWritten = object.bytes == bytes
        }
        guard isWritten else { return false }
        // May fail: readers continue from a head that is behind.
        if generation == 1 {
            _ = try? bucket.create(head, Array("1".utf8))
        } else if ContinuousClock.now - start < .seconds(Self.headSeconds) {
            try? bucket.put(head, Array("\(generation)".utf8))
        }
        return true
    }

    /// Removes old states, except the latest ones. The head then names none of the removed states.
    ///
    /// - Parameter moment: only states that were written before it are removed.
    /// - Returns: the number of removed states; with `dryRun`, of those that would be removed.
    func trim(before moment: Date, dryRun: Bool) throws -> Int {
        guard let last = try read()?.generation else { return 0 }
        // From here on the head names this generation or a later one, unless a writer that was suspended overwrites it.
        if !dryRun { try bucket.put(head, Array("\(last)".utf8)) }
        var old: [String] = []
        try bucket.list(name + "/") { page in
            for entry in page where entry.modified < moment {
                guard let number = number(entry.name), number + Self.kept < last else { continue }
                old.append(entry.name)
            }
        }
        if !dryRun {
            // The oldest first.
            try ParallelWork.run(old.sorted()) { [bucket] in try bucket.delete($0) }
        }
        return old.count
    }

    private static let kept = 16

    /// The generation of an object's name; nil for the head and for other objects.
    func number(_ objectName: String) -> Int? {
        guard let digits = objectName.dropping(bytePrefix: name + "/"), let number = Self.number(digits),
            ByteText(place(number)) == ByteText(objectName)
        else { return nil }
        return number
    }

    /// The number in a head.
    func number(_ object: S3Bucket.Object) throws -> Int {
        guard let number = Self.number(object) else { throw lost("is not a generation number") }
        return number
    }

    static func number(_ object: S3Bucket.Object) -> Int? { number(String(decoding: object.bytes, as: UTF8.self)) }

    /// The greatest generation: generations are counted on, and a number from outside must not overflow.
    static let mostGenerations = 1 << 53

    static func number(_ digits: String) -> Int? {
        Int(decimal: digits).flatMap { 1...mostGenerations ~= $0 ? $0 : nil }
    }

    /// The latest state, from the one that the head names.
    private func state(namedBy head: S3Bucket.Object, atLeast least: Int) throws -> State? {
        let first = try number(head)
        if let state = try follow(nil, from: max(first, least)) { return state }
        // A collection may have removed it since the head was read: then the head names a later one now.
        guard case .found(let object) = try bucket.get(self.head), try number(object) > first,
            let state = try follow(nil, from: max(try number(object), least))
        else { throw lost("names generation \(first), which does not exist") }
        return state
    }

    private func readWithoutHead() throws -> State? {
        var listed: [Int] = []
        try bucket.list(name + "/") { listed += $0.compactMap { number($0.name) } }
        let state = try follow(nil, from: 1)
        let newest = max(listed.max() ?? 0, state?.generation ?? 0)
        if newest == 0 { return nil }
        // The first writer may be between its two requests. It needs the head no more if the head is there now.
        if newest == 1, let state { return state }
        if case .found(let object) = try bucket.get(head) { return try self.state(namedBy: object, atLeast: 1) }
        throw lost("does not exist, but the generations do, up to \(newest)")
    }

    private func lost(_ finding: String) -> FleetError {
        .inconsistent(place: "\(bucket.url) \(head)", finding: finding)
    }

    private func older(_ found: Int, _ known: Int) -> FleetError {
        lost("names generation \(found), but generation \(known) was read before and is gone")
    }

    private func follow(_ state: State?, from generation: Int) throws -> State? {
        var (state, generation) = (state, generation)
        let first = generation
        while case .found(let object) = try bucket.get(place(generation)) {
            try bucket.work.check()
            guard generation - first < Self.mostBehind else {
                throw lost("is more than \(Self.mostBehind) generations behind")
            }
            state = State(generation: generation, bytes: object.bytes)
            generation += 1
        }
        return state
    }
}

extension FetchError {
    /// Whether a request that failed with this error may have been carried out.
    var outcomeIsUnknown: Bool {
        switch self {
        case .refused(_, let status, _, _): status >= 500
        case .stalled, .disconnected: true
        default: false
        }
    }
}

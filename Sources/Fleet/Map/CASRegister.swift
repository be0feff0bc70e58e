import Foundation
import Origins
import WeightStore

/// A value in a bucket that is changed by compare-and-swap, built on "create if absent" alone (S3's
/// `If-None-Match: *`).
///
/// Each state is an object of its own, `<name>/<generation>`, created once and never changed: of several writers that
/// all read generation 7, one creates 8. `<name>/head` contains the number of the latest generation. It is written
/// afterwards, without conditions, and is behind if a writer died in between or was overtaken. Readers therefore
/// continue from it until there is no next generation. No listing is needed, and so none can mislead.
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

    private var head: String { "\(name)/head" }

    func place(_ generation: Int) -> String { "\(name)/\(String(format: "%012d", generation))" }

    /// - Returns: nil if nothing was ever written.
    func read() throws -> State? {
        guard case .found(let object) = try bucket.get(head) else { return try follow(nil, from: 1) }
        return try follow(nil, from: number(object))
    }

    /// Reads a state that is newer than generation `known`. If there is none, this costs two requests, and neither
    /// response contains a state.
    ///
    /// - Parameter tag: the head's tag when it was last read; only a changed head is transferred.
    /// - Returns: nil if there is none.
    func read(after known: Int, head tag: inout String?) throws -> State? {
        guard case .found(let object) = try bucket.get(head, unless: tag) else {
            return try follow(nil, from: known + 1)
        }
        tag = object.tag
        return try follow(nil, from: max(try number(object), known + 1))
    }

    /// Creates the next state.
    ///
    /// - Parameters:
    ///   - bytes: must differ from those of every other writer.
    ///   - generation: the generation that was read, plus one.
    /// - Returns: false if another writer created it first.
    func write(_ bytes: [UInt8], as generation: Int) throws -> Bool {
        let place = place(generation)
        var isOurs: Bool
        do {
            isOurs = try bucket.create(place, bytes)
        } catch let error as FetchError where error.outcomeIsUnknown {
            // The request may have been carried out: the stored object shows whether it was.
            guard case .found(let object) = try bucket.get(place) else { throw error }
            isOurs = object.bytes == bytes
        }
        if !isOurs, case .found(let object) = try bucket.get(place) {
            // The response to an earlier attempt of ours may have been lost.
            isOurs = object.bytes == bytes
        }
        guard isOurs else { return false }
        // May fail: readers continue from a head that is behind.
        try? bucket.put(head, Array("\(generation)".utf8))
        return true
    }

    /// Removes old states: all but the latest ones, and never one that the head may name.
    ///
    /// - Returns: the number of old states.
    func trim(before moment: Date, dryRun: Bool) throws -> Int {
        guard let last = try read()?.generation else { return 0 }
        // From here on the head names this generation or a later one, unless a writer that was suspended overwrites it.
        if !dryRun { try bucket.put(head, Array("\(last)".utf8)) }
        var old: [String] = []
        try bucket.list(name + "/") { page in
            for entry in page where entry.modified < moment {
                guard let number = Int(entry.name.dropFirst(name.count + 1)), number + Self.kept < last else {
                    continue
                }
                old.append(entry.name)
            }
        }
        if !dryRun { try ParallelWork.run(old) { [bucket] in try bucket.delete($0) } }
        return old.count
    }

    private static let kept = 16

    private func number(_ object: S3Bucket.Object) throws -> Int {
        guard let number = Int(String(decoding: object.bytes, as: UTF8.self)), number > 0 else {
            throw FleetError.malformed(place: "\(bucket.url) \(head)", reason: "not a generation number")
        }
        return number
    }

    private func follow(_ state: State?, from generation: Int) throws -> State? {
        var (state, generation) = (state, generation)
        while case .found(let object) = try bucket.get(place(generation)) {
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

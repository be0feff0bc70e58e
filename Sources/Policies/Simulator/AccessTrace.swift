import Files
import Foundation
import Glibc
import Storage
import Support

/// A sequence of accesses for the simulator: the object, its size, and the time of each.
///
/// The first format is text with a line `time,id,size` for each access: the time in seconds (or any increasing number),
/// the id as any text without commas, the size in bytes. A heading and lines that begin with `#` are skipped; further
/// fields are ignored. A store's own `accesses.csv` and libCacheSim's CSV traces have this format.
///
/// The second format is for KV blocks: requests to a language model, one JSON object per line, with `timestamp` in
/// milliseconds and `hash_ids`, the ids of the prompt's blocks in order. Equal ids mean equal prefixes up to that
/// block. The traces published with Mooncake (Qin et al., FAST 2025) have this format.
public struct AccessTrace: Sendable {
    /// An object, and the facts about it that a policy can use in addition to its uses.
    public struct Object: Sendable {
        /// The size, in bytes.
        public var bytes: Int
        /// The duration of a fetch, in seconds.
        public var fetchSeconds = 1.0
        /// The layer; nil outside layers.
        public var layer: Int?
        /// The kind of the shard.
        public var kind = ShardKind.tensor
        /// The number of models that contain the object.
        public var modelCount = 1
        /// The index in `objects` of the block before a block of a prefix; -1 for the first block and for other
        /// objects.
        package var parent: Int32 = -1
        /// The number of blocks before it.
        package var depth = 0

        package init(
            bytes: Int, fetchSeconds: Double = 1.0, layer: Int? = nil, kind: ShardKind = ShardKind.tensor,
            modelCount: Int = 1, parent: Int32 = -1, depth: Int = 0
        ) {
            self.bytes = bytes
            self.fetchSeconds = fetchSeconds
            self.layer = layer
            self.kind = kind
            self.modelCount = modelCount
            self.parent = parent
            self.depth = depth
        }
    }

    /// The distinct objects.
    public private(set) var objects: [Object] = []
    /// The accesses in order of time, as indexes of `objects`.
    public private(set) var accesses: [Int32] = []
    /// The time of each access, in seconds, strictly increasing: accesses with equal times are separated by a
    /// microsecond. The blocks of one request have the same time.
    public private(set) var times: [Double] = []
    /// Whether the trace consists of requests for prefixes. Then an access is a hit only if all blocks before it are
    /// resident, too.
    public private(set) var isPrefixTrace = false
    /// The id of each object.
    package private(set) var ids: [String] = []

    /// The most bytes of a trace's file.
    private static let mostBytes = 8 << 30
    /// The most bytes of an object.
    private static let mostObjectBytes = 1 << 48

    /// Creates an empty trace.
    public init() {}

    /// Reads a trace. The first file determines the format.
    ///
    /// - Parameters:
    ///   - files: paths of files that are merged and sorted by time.
    ///   - blockBytes: the size of each block in a trace of requests for prefixes.
    /// - Throws: ``FileError``; ``StorageError/invalid(what:value:reason:)`` with the number of the malformed line.
    public init(files: [String], blockBytes: Int = 64 << 20) throws {
        // Each file is read once, because it may be a pipe.
        let files = try files.map { (path: $0, text: try FileSystem.read($0, limit: Self.mostBytes)) }
        if files.first?.text.first(where: { $0 > 32 }) == UInt8(ascii: "{") {
            try readRequests(files, blockBytes: blockBytes)
        } else {
            try readAccesses(files)
        }
    }

    private mutating func readAccesses(_ files: [(path: String, text: [UInt8])]) throws {
        var lines: [(time: Double, object: Int32)] = []
        var places: [ByteText: Int32] = [:]
        for (path, text) in files {
            var number = 0
            for line in text.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false) {
                number += 1
                if line.isEmpty || line.first == UInt8(ascii: "#") { continue }
                let fields = line.split(separator: UInt8(ascii: ","), maxSplits: 3, omittingEmptySubsequences: false)
                guard fields.count >= 3, let time = Double(Self.text(fields[0])), time.isFinite,
                    let bytes = Int(decimal: Self.text(fields[2])), 1...Self.mostObjectBytes ~= bytes
                else {
                    // The first line may be a heading.
                    if number == 1, fields.count >= 3 { continue }
                    throw StorageError.invalid(
                        what: "trace", value: "\(path), line \(number)",
                        reason: "expected time,id,size with a size of 1 to \(Self.mostObjectBytes)")
                }
                let id = Self.text(fields[1])
                let object = try places[ByteText(id)] ?? nextPlace(path)
                if places[ByteText(id)] == nil {
                    places[ByteText(id)] = object
                    objects.append(Object(bytes: bytes))
                    ids.append(id)
                }
                lines.append((time, object))
            }
        }
        lines.sort { $0.time < $1.time }
        accesses = lines.map(\.object)
        times.reserveCapacity(lines.count)
        for line in lines { times.append(max(line.time, (times.last ?? -1) + 1e-6)) }
    }

    private struct Request: Decodable {
        let timestamp: Double
        let hash_ids: [Int]
    }

    private mutating func readRequests(_ files: [(path: String, text: [UInt8])], blockBytes: Int) throws {
        var requests: [(time: Double, blocks: [Int32])] = []
        var places: [Int: Int32] = [:]
        let decoder = JSONDecoder()
        for (path, text) in files {
            let lines = text.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
            for (number, line) in lines.enumerated() {
                if line.allSatisfy({ $0 <= 32 }) { continue }
                func refuse(_ reason: String) -> StorageError {
                    .invalid(what: "trace", value: "\(path), line \(number + 1)", reason: reason)
                }
                guard let request = try? decoder.decode(Request.self, from: Data(line)), request.timestamp.isFinite
                else {
                    throw refuse("expected a JSON object with timestamp and hash_ids")
                }
                var blocks: [Int32] = []
                for id in request.hash_ids {
                    let parent = blocks.last ?? -1
                    let place = try places[id] ?? nextPlace(path)
                    if places[id] == nil {
                        places[id] = place
                        objects.append(Object(bytes: blockBytes, kind: .kv, parent: parent, depth: blocks.count))
                        ids.append("\(id)")
                    }
                    guard objects[Int(place)].parent == parent else {
                        throw refuse("block \(id) follows another block than in an earlier line")
                    }
                    blocks.append(place)
                }
                requests.append((request.timestamp / 1000, blocks))
            }
        }
        requests.sort { $0.time < $1.time }
        isPrefixTrace = true
        var last = -1.0
        for request in requests {
            last = max(request.time, last + 1e-6)
            accesses += request.blocks
            times += [Double](repeating: last, count: request.blocks.count)
        }
    }

    /// The index of the next object.
    private func nextPlace(_ path: String) throws -> Int32 {
        guard let place = Int32(exactly: objects.count) else {
            throw StorageError.invalid(what: "trace", value: path, reason: "has more than \(Int32.max) objects")
        }
        return place
    }

    private static func text(_ bytes: ArraySlice<UInt8>) -> String {
        String(decoding: bytes, as: UTF8.self).trimmingCharacters(in: .whitespaces)
    }

    /// Drops all accesses but the last ones, and the objects that only the dropped ones use. The blocks of one request
    /// stay together.
    package mutating func keepLast(_ count: Int) {
        var first = accesses.count - min(max(count, 0), accesses.count)
        while isPrefixTrace, first < accesses.count, first > 0, times[first] == times[first - 1] { first -= 1 }
        if first == 0 { return }
        accesses.removeFirst(first)
        times.removeFirst(first)
        var places = [Int32](repeating: -1, count: objects.count)
        var kept: (objects: [Object], ids: [String]) = ([], [])
        for index in accesses.indices {
            let place = Int(accesses[index])
            if places[place] < 0 {
                places[place] = Int32(kept.objects.count)
                var object = objects[place]
                // A block's parent is an earlier block of the same request.
                if object.parent >= 0 { object.parent = places[Int(object.parent)] }
                kept.objects.append(object)
                kept.ids.append(ids[place])
            }
            accesses[index] = places[place]
        }
        (objects, ids) = kept
    }

    /// The total size of all accesses, in bytes.
    public var bytes: Int { accesses.saturatingSum { objects[Int($0)].bytes } }
    /// The total size of all objects, in bytes; a cache of this size evicts nothing.
    public var footprint: Int { objects.saturatingSum(\.bytes) }

    /// For each access, the index of the next access to the same object; `Int.max` if there is none.
    var nextUses: [Int] {
        var next = [Int](repeating: .max, count: accesses.count)
        var seen = [Int](repeating: .max, count: objects.count)
        for index in accesses.indices.reversed() {
            next[index] = seen[Int(accesses[index])]
            seen[Int(accesses[index])] = index
        }
        return next
    }
}

extension AccessTrace {
    /// Sets the facts about the objects.
    package mutating func describe(_ body: (_ id: String, inout Object) throws -> Void) rethrows {
        for index in objects.indices { try body(ids[index], &objects[index]) }
    }
}

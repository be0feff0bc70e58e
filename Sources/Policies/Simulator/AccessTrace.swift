import Files
import Foundation
import Glibc
import Storage

/// A sequence of accesses, for the simulator: which object, how large, when.
///
/// Read from text with a line `time,id,size` for each access: the time in seconds (or any unit that grows), the id any text
/// without commas, the size in bytes. Lines that begin with `#` and a heading are passed over; further fields are ignored.
/// A store's own `accesses.csv` has this form, and so have libCacheSim's CSV traces.
///
/// Or from requests to a language model, for KV blocks: a JSON object a line, with `timestamp` in milliseconds and
/// `hash_ids`, the ids of the prompt's blocks in order; equal ids stand for equal prefixes up to that block. So are the
/// traces that came with Mooncake (Qin et al., FAST 2025).
public struct AccessTrace: Sendable {
    /// An object: what a policy can ask about it beside its uses.
    public struct Object: Sendable {
        public var bytes: Int
        public var fetchSeconds = 1.0
        public var layer: Int?
        public var kind = ShardKind.tensor
        public var modelCount = 1
        /// Of a block of a prefix: the place of the block before it in `objects`; -1 for the first, and for other objects.
        package var parent: Int32 = -1
        /// How many blocks come before it.
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

    public private(set) var objects: [Object] = []
    /// Places in `objects`, in order of time.
    public private(set) var accesses: [Int32] = []
    /// Seconds, strictly growing: of accesses at the same time the later is a microsecond later. The blocks of one request
    /// have one time.
    public private(set) var times: [Double] = []
    /// Whether it is made of requests for prefixes: then an access counts as a hit only if all blocks before it are there.
    public private(set) var isOfPrefixes = false
    /// The ids, by their objects' places.
    package private(set) var ids: [String] = []

    public init() {}

    /// - Parameters:
    ///   - files: read as one, sorted by time.
    ///   - blockBytes: the size of each block in a trace of requests for prefixes.
    /// - Throws: ``StorageError/invalid(what:value:reason:)`` with the line that is malformed.
    public init(files: [String], blockBytes: Int = 64 << 20) throws {
        // Each once: it may be a pipe.
        let files = try files.map { (path: $0, text: try FileSystem.read($0)) }
        if files.first?.text.first(where: { $0 > 32 }) == UInt8(ascii: "{") {
            try readRequests(files, blockBytes: blockBytes)
        } else {
            try readAccesses(files)
        }
    }

    private mutating func readAccesses(_ files: [(path: String, text: [UInt8])]) throws {
        var lines: [(time: Double, object: Int32)] = []
        var places: [String: Int32] = [:]
        for (path, text) in files {
            var number = 0
            for line in text.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false) {
                number += 1
                if line.isEmpty || line.first == UInt8(ascii: "#") { continue }
                let fields = line.split(separator: UInt8(ascii: ","), maxSplits: 3, omittingEmptySubsequences: false)
                guard fields.count >= 3, let time = Double(Self.text(fields[0])), let bytes = Int(Self.text(fields[2])),
                    bytes > 0
                else {
                    // The first line may be a heading.
                    if number == 1, fields.count >= 3 { continue }
                    throw StorageError.invalid(
                        what: "trace", value: "\(path), line \(number)",
                        reason: "time,id,size is expected, size 1 or more")
                }
                let id = Self.text(fields[1])
                let object = places[id] ?? Int32(objects.count)
                if places[id] == nil {
                    places[id] = object
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
                guard let request = try? decoder.decode(Request.self, from: Data(line)) else {
                    throw refuse("an object with timestamp and hash_ids is expected")
                }
                var blocks: [Int32] = []
                for id in request.hash_ids {
                    let parent = blocks.last ?? -1
                    let place = places[id] ?? Int32(objects.count)
                    if places[id] == nil {
                        places[id] = place
                        objects.append(Object(bytes: blockBytes, kind: .kv, parent: parent, depth: blocks.count))
                        ids.append("\(id)")
                    }
                    guard objects[Int(place)].parent == parent else {
                        throw refuse("block \(id) comes behind different blocks")
                    }
                    blocks.append(place)
                }
                requests.append((request.timestamp / 1000, blocks))
            }
        }
        requests.sort { $0.time < $1.time }
        isOfPrefixes = true
        var last = -1.0
        for request in requests {
            last = max(request.time, last + 1e-6)
            accesses += request.blocks
            times += [Double](repeating: last, count: request.blocks.count)
        }
    }

    private static func text(_ bytes: ArraySlice<UInt8>) -> String {
        String(decoding: bytes, as: UTF8.self).trimmingCharacters(in: .whitespaces)
    }

    /// Bytes of all accesses.
    public var bytes: Int { accesses.reduce(0) { $0 + objects[Int($1)].bytes } }
    /// Bytes of all objects: with so much room nothing is evicted.
    public var footprint: Int { objects.reduce(0) { $0 + $1.bytes } }

    /// For each access the next one of the same object: its place in `accesses`, or `Int.max`.
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
    package mutating func describe(_ body: (_ id: String, inout Object) throws -> Void) rethrows {
        for index in objects.indices { try body(ids[index], &objects[index]) }
    }
}

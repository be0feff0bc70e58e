// A small engine, for tests and benchmarks of warm-up: it makes the calls of an engine, in its own process.
//
//     warm-engine use STORE TIMES MODEL…     leases each model, and looks up the KV blocks of its prompts, TIMES times
//     warm-engine first STORE cold|warm MODEL…
//         warms or does not, then makes the first request of each model and of each of its prompts; JSON on standard output
//     warm-engine layer STORE cold|warm MODEL
//         nanoseconds from the request for the first layer until each of its pages was touched; then how many of its
//         bytes were read from the disk in that time

import Foundation
import Glibc
import WeightStore

let arguments = Array(CommandLine.arguments.dropFirst())
guard arguments.count >= 4 else {
    print("usage: warm-engine use STORE TIMES MODEL…; warm-engine first|layer STORE cold|warm MODEL…")
    exit(64)
}
let store = try Store(at: arguments[1])
try store.open(.ram, TierOptions(budget: 8 << 30))
let engine = Engine()
let models = Array(arguments.dropFirst(3))
switch arguments[0] {
case "use":
    for _ in 0..<Int(arguments[2])! {
        for model in models { _ = try await engine.request(model, in: store) }
    }
case "first":
    var report = Report()
    if arguments[2] == "warm" {
        let before = try CachedBlobs(of: arguments[1])
        var request = WarmRequest()
        request.engine = engine
        let summary = try await store.warm(request)
        report.warm = .init(
            planned: summary.plan.items.map { "\($0.revision) \($0.prompt ?? "")" }, warmed: summary.warmed,
            computed: summary.computed, failed: summary.failed.map(\.message),
            bytesRead: try CachedBlobs(of: arguments[1]).bytesRead(since: before))
    }
    for model in models {
        let (tier, before) = (store.gauges[0], try CachedBlobs(of: arguments[1]))
        let answer = try await engine.request(model, in: store)
        let (gauge, after) = (store.gauges[0], try CachedBlobs(of: arguments[1]))
        report.requests.append(
            .init(
                model: model, bytes: answer.bytes, sum: answer.sum, prompts: answer.prompts,
                hits: gauge.hits - tier.hits,
                misses: gauge.misses - tier.misses, bytesRead: after.bytesRead(since: before)))
    }
    print(String(decoding: try JSONEncoder().encode(report), as: UTF8.self))
default:
    if arguments[2] == "warm" { _ = try await store.warm(WarmRequest()) }
    let revision = try store.revision(models[0])
    // The catalog is read before, as by an engine during its start.
    _ = try revision.residency(in: .ram)
    let before = try diskBytes()
    let start = ContinuousClock.now
    let lease = try await revision.lease(layer: 0, in: .ram)
    let touched = try lease.tensors.reduce(0) { $0 + (try lease.withUnsafeBytes(of: $1, Engine.touch)) }
    let time = ContinuousClock.now - start
    print(Int(time / .nanoseconds(1)), try diskBytes() - before, touched)
}

// A global is never released, and counts are written when the store is closed.
store.flush()

/// Bytes that this process has read from disks, of any file.
func diskBytes() throws -> Int {
    let lines = try String(contentsOfFile: "/proc/self/io", encoding: .utf8).split(separator: "\n")
    return lines.first { $0.hasPrefix("read_bytes:") }.flatMap { Int($0.split(separator: " ")[1]) } ?? 0
}

/// The bytes of a store's blobs that are in the page cache. No other file counts: the kernel may drop the pages of this
/// program's own code at any time, if other processes need their memory.
struct CachedBlobs {
    /// By the path of the blob.
    private let bytes: [String: Int]

    init(of store: String) throws {
        var bytes: [String: Int] = [:]
        for name in try FileManager.default.subpathsOfDirectory(atPath: store + "/blobs") {
            let path = "\(store)/blobs/\(name)"
            guard let status = try FileSystem.status(path), status.isFile else { continue }
            let file = try FileDescriptor(path, O_RDONLY)
            bytes[name] = try FileMapping(file, bytes: status.bytes).cachedBytes()
        }
        self.bytes = bytes
    }

    /// The bytes that were read from the disk since `earlier`. Blobs that were written since then do not count.
    func bytesRead(since earlier: CachedBlobs) -> Int {
        earlier.bytes.reduce(0) { $0 + max((bytes[$1.key] ?? 0) - $1.value, 0) }
    }
}

struct Report: Encodable {
    struct Warm: Encodable {
        let planned: [String]
        let warmed: Int
        let computed: Int
        let failed: [String]
        /// Bytes of blobs that were read from the disk.
        let bytesRead: Int
    }

    struct Request: Encodable {
        let model: String
        let bytes: Int
        let sum: UInt64
        /// For each prompt, its KV blocks that were found, and all that it has.
        let prompts: [String: [Int]]
        let hits: Int
        let misses: Int
        /// Bytes of blobs that were read from the disk.
        let bytesRead: Int
    }

    var warm: Warm?
    var requests: [Request] = []
}

/// Its KV blocks hold the keys of the first layer: for each token its embedding's first 512 numbers, times `k_proj`.
struct Engine: PrefillEngine {
    static let blockTokens = 16

    func kvBlocks(of revision: Revision, in store: Store) throws -> [KVBlocks] {
        [try store.kvBlocks(of: revision, format: "f32 keys of layer 0", blockTokens: Self.blockTokens)]
    }

    func prefill(_ kv: KVBlocks, tokens: [UInt32], firstMissing: Int) async throws -> [[UInt8]] {
        let embedding = try await kv.revision.lease(tensor: "model.embed_tokens.weight", in: .ram)
        let projection = try await kv.revision.lease(tensor: "model.layers.0.self_attn.k_proj.weight", in: .ram)
        let rows: [Float] = try embedding.withUnsafeBytes(of: embedding.tensors[0]) {
            Array($0.bindMemory(to: Float.self))
        }
        let width = embedding.tensors[0].entry.shape[1]
        let matrix = try projection.withUnsafeBytes(of: projection.tensors[0]) { bytes in
            bytes.bindMemory(to: UInt16.self).map { Float(bitPattern: UInt32($0) << 16) }
        }
        return stride(from: firstMissing * Self.blockTokens, to: tokens.count, by: Self.blockTokens).map { first in
            var block: [UInt8] = []
            for token in tokens[first..<first + Self.blockTokens] {
                let row = Int(token) % (rows.count / width) * width
                for output in 0..<matrix.count / 512 {
                    var sum: Float = 0
                    for input in 0..<512 { sum += matrix[output * 512 + input] * rows[row + input] }
                    withUnsafeBytes(of: sum) { block += $0 }
                }
            }
            return block
        }
    }

    /// A request: all weights, and the KV blocks of its prompt.
    func request(_ model: String, in store: Store) async throws -> (bytes: Int, sum: UInt64, prompts: [String: [Int]]) {
        let revision = try store.revision(model)
        let weights = try await revision.lease(in: .ram)
        var sum = try Self.sum(weights)
        var prompts: [String: [Int]] = [:]
        for kv in try kvBlocks(of: revision, in: store) {
            for prompt in try store.prompts(of: revision.model) {
                let chain = kv.chain(try store.tokens(ofPrompt: prompt.name, of: revision.model) + [1, 2, 3])
                let lease = try await kv.lease(try kv.longestPrefix(of: chain), in: .ram)
                for block in 0..<lease.blocks { sum &+= try lease.withUnsafeBytes(ofBlock: block, Self.sum) }
                prompts[prompt.name] = [lease.blocks, chain.blocks]
            }
        }
        return (weights.bytes, sum, prompts)
    }

    /// Reads a byte of each page.
    static func touch(_ bytes: UnsafeRawBufferPointer) -> Int {
        stride(from: 0, to: bytes.count, by: 4096).reduce(0) { $0 + Int(bytes[$1]) }
    }

    /// Reads every byte of a lease.
    static func sum(_ lease: Lease) throws -> UInt64 {
        try lease.tensors.reduce(0) { $0 &+ (try lease.withUnsafeBytes(of: $1, sum)) }
    }

    static func sum(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
        var sum: UInt64 = 0
        var offset = 0
        while offset + 8 <= bytes.count {
            sum &+= bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
            offset += 8
        }
        return sum
    }
}

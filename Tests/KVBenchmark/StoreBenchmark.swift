import Foundation
import WeightStore

/// KV blocks in a store: finding, leasing and putting, with other blocks around.
///
///     kv-benchmark store [BLOCKS] [OTHERS]
///
/// BLOCKS of the prefix that is looked for (1000), OTHERS in the store beside it (20000).
enum StoreBenchmark {
    static let runs = 51

    static func run(_ arguments: [String]) throws {
        let blocks = arguments.first.flatMap(Int.init) ?? 1000
        let others = arguments.dropFirst().first.flatMap(Int.init) ?? 20_000
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent("kv-benchmark-\(getpid())").path
        defer { try? FileManager.default.removeItem(atPath: directory) }
        try FileManager.default.createDirectory(atPath: directory + "/model", withIntermediateDirectories: true)
        try Data("{}".utf8).write(to: URL(fileURLWithPath: directory + "/model/config.json"))
        let store = try Store(at: directory + "/store", create: true)
        try store.importModelBlocking(ImportRequest(source: directory + "/model", name: "model"))
        let revision = try store.revision("model")

        for length in [16, 64, 256] {
            let kv = try store.kvBlocks(of: revision, format: "bench", blockTokens: length)
            func tokens(_ seed: UInt32) -> [UInt32] { (0..<UInt32(blocks * length)).map { $0 &* 2_654_435_761 ^ seed } }
            let small = [[UInt8]](repeating: [UInt8](repeating: 1, count: 4096), count: blocks)
            for seed in 0..<UInt32(others / blocks / 3) { try kv.put(kv.chain(tokens(seed + 1)), small) }
            let requested = tokens(0)
            try kv.put(kv.chain(requested), small)
            let chain = kv.chain(requested)
            measure("\(blocks) blocks of \(length): keys") { _ = kv.chain(requested) }
            try measure("\(blocks) blocks of \(length): longest prefix, keys known") {
                let found = try kv.longestPrefix(of: chain).blocks
                precondition(found == blocks)
            }
            try measure("\(blocks) blocks of \(length): longest prefix of tokens") {
                let found = try kv.longestPrefix(of: requested).blocks
                precondition(found == blocks)
            }
            let held = try kv.leaseBlocking(chain.prefix(), in: .ram)
            try measure("\(blocks) blocks of \(length): lease in RAM, all there") {
                let found = try kv.leaseBlocking(chain.prefix(), in: .ram).blocks
                precondition(found == blocks)
            }
            try measure("one block of \(length): lease in RAM, there") {
                let found = try kv.leaseBlocking(chain.prefix(1), in: .ram).blocks
                precondition(found == 1)
            }
            held.release()
        }
        print("in the store: \(try store.kvGauge().blocks) blocks")

        let kv = try store.kvBlocks(of: revision, format: "bench", blockTokens: 256, tenant: "put")
        let large = (0..<64).map { [UInt8](repeating: UInt8($0), count: 4 << 20) }
        var round: UInt32 = 0
        measure("put of 64 blocks of 4 MiB, synced", runs: 7, bytes: 64 * 4 << 20) {
            round += 1
            let chain = kv.chain((0..<64 * 256).map { UInt32($0) ^ round << 20 })
            // A put that fails has no time.
            _ = try! kv.put(chain, large)
        }
        measure("beside it: write and fdatasync of the same, one after the other", runs: 7, bytes: 64 * 4 << 20) {
            for (index, bytes) in large.enumerated() {
                let path = "\(directory)/plain-\(index)"
                let file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o644)
                _ = bytes.withUnsafeBytes { write(file, $0.baseAddress, $0.count) }
                fdatasync(file)
                close(file)
            }
            for index in large.indices { unlink("\(directory)/plain-\(index)") }
        }
    }

    /// Prints the median, the fastest and the slowest.
    private static func measure(_ name: String, runs: Int = runs, bytes: Int? = nil, _ body: () throws -> Void) rethrows
    {
        var times: [Double] = []
        for run in 0...runs {
            let start = DispatchTime.now().uptimeNanoseconds
            try body()
            if run > 0 { times.append(Double(DispatchTime.now().uptimeNanoseconds - start) / 1e6) }
        }
        times.sort()
        let rate = bytes.map { String(format: ", %.2f GB/s", Double($0) / times[times.count / 2] / 1e6) } ?? ""
        print(String(format: "%@: %.3f ms (%.3f–%.3f)%@", name, times[times.count / 2], times[0], times.last!, rate))
    }
}

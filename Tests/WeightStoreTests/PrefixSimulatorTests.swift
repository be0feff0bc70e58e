import Foundation
import TestSupport
import Testing
@testable import Policies
@testable import WeightStore

/// The simulator on requests for prefixes.
@Suite(.blocking) struct PrefixSimulatorTests {
    let directory = try! TemporaryDirectory()

    private func trace(_ requests: [[Int]], name: String = "trace.jsonl", bytes: Int = 10) throws -> AccessTrace {
        let lines = requests.enumerated().map { number, ids in
            "{\"timestamp\": \(number * 1000), \"input_length\": 1, \"output_length\": 2, \"hash_ids\": \(ids)}\n"
        }
        return try AccessTrace(files: [try directory.write(lines.joined(), to: name)], blockBytes: bytes)
    }

    private func run(
        _ policy: String, _ trace: AccessTrace, blocks: Int, leavesFirst: Bool = true, sql: String? = nil
    ) throws -> Simulation.Result {
        var policy = try #require(Policy.builtIn.first { $0.name == policy })
        if let sql { policy = Policy(name: "other", sql: sql) }
        return try PrefixSimulation(trace: trace, policy: policy, quota: 10 * blocks, low: 1, leavesFirst: leavesFirst)
            .run()
    }

    /// Requests from a random tree: each descends to a random depth, by the first branches more often than by others.
    private func requests(_ count: Int, seed: UInt64) -> [[Int]] {
        var random = Random(seed: seed)
        var names: [[Int]: Int] = [:]
        return (0..<count).map { _ in
            var path: [Int] = []
            return (0..<Int.random(in: 1...8, using: &random)).map { _ in
                let draw = Double.random(in: 0..<1, using: &random)
                path.append(Int(4 * draw * draw))
                let name = names[path] ?? names.count
                names[path] = name
                return name
            }
        }
    }

    @Test("requests are read in order of time, each block with the one before it")
    func reading() throws {
        let trace = try trace([[0, 1, 2], [0, 1, 3], [4]])
        #expect(trace.isPrefixTrace && trace.accesses == [0, 1, 2, 0, 1, 3, 4])
        #expect(trace.times == [0, 0, 0, 1, 1, 1, 2])
        #expect(trace.objects.map(\.parent) == [-1, 0, 1, 1, -1] && trace.objects.map(\.depth) == [0, 1, 2, 2, 0])
        #expect(trace.footprint == 50)
    }

    @Test(
        "a malformed request is refused with its line",
        arguments: ["{\"timestamp\": 1}", "{", "{\"timestamp\": 1, \"hash_ids\": [1, 0]}"])
    func malformed(line: String) throws {
        let path = try directory.write("{\"timestamp\": 0, \"hash_ids\": [0, 1]}\n\n\(line)\n", to: "bad.jsonl")
        let error = #expect(throws: StorageError.self) { try AccessTrace(files: [path]) }
        #expect("\(error!)".contains("line 3"))
    }

    @Test("a block after a missing one is no hit")
    func prefixes() throws {
        // Space for three. Without the rule of leaves first, lfu drops the head, which is younger than the blocks in
        // use.
        let trace = try trace([[0, 1, 2], [3], [0, 1, 2]])
        let broken = try run(
            "lru", trace, blocks: 3, leavesFirst: false,
            sql: "SELECT shard_id, bytes FROM candidate ORDER BY depth, shard_id")
        #expect(broken.misses == 7)
        let whole = try run("lru", trace, blocks: 3)
        // The tail was evicted for 3, and only the tail is missing.
        #expect(whole.misses == 5)
    }

    @Test("a request larger than the cache keeps its beginning")
    func tooLong() throws {
        let trace = try trace([[0, 1, 2, 3, 4], [0, 1, 2, 3, 4]])
        #expect(try run("lru", trace, blocks: 3).misses == 5 + 2)
        #expect(try run("lru", trace, blocks: 5).misses == 5)
    }

    @Test("each policy misses as often as a tree cache written out by hand", arguments: [3, 12, 40], [UInt64(1), 2])
    func byHand(blocks: Int, seed: UInt64) throws {
        let trace = try trace(requests(400, seed: seed))
        for (name, rank) in [
            ("lru", { (block: Block) in [block.last, Double(block.id)] }),
            ("lfu", { [Double($0.uses), $0.last, Double($0.id)] }),
            ("tail", { [$0.last - 2 * Double($0.depth), -Double($0.depth), Double($0.id)] }),
        ] as [(String, (Block) -> [Double])] {
            #expect(try run(name, trace, blocks: blocks).misses == byHand(trace, blocks, rank), "\(name)")
        }
    }

    private struct Block {
        let id: Int
        let depth: Int
        var last: Double
        var uses = 1
    }

    /// A cache of so many blocks that drops the least of those without descendants, by a scan of all.
    private func byHand(_ trace: AccessTrace, _ blocks: Int, _ rank: (Block) -> [Double]) -> Int {
        var cache: [Int: Block] = [:]
        var (misses, isWhole, isFull, before) = (0, true, false, -1)
        for (id, now) in zip(trace.accesses.map(Int.init), trace.times) {
            if trace.objects[id].depth == 0 { (isWhole, isFull, before) = (true, false, -1) }
            if cache[id] == nil { isWhole = false }
            if !isWhole { misses += 1 }
            if cache[id] != nil {
                cache[id]!.last = now
                cache[id]!.uses += 1
                before = id
                continue
            }
            if isFull { continue }
            if cache.count == blocks {
                let inner = Set(cache.keys.map { Int(trace.objects[$0].parent) })
                let victim = cache.values.filter { !inner.contains($0.id) && $0.id != before }
                    .min { rank($0).lexicographicallyPrecedes(rank($1)) }
                guard let victim else {
                    isFull = true
                    continue
                }
                cache[victim.id] = nil
            }
            cache[id] = Block(id: id, depth: trace.objects[id].depth, last: now)
            before = id
        }
        return misses
    }

    @Test("no policy falls below the bound; with space for all blocks each misses once")
    func bound() throws {
        let trace = try trace(requests(400, seed: 5))
        for blocks in [3, 12, 40, trace.objects.count] {
            let bound = Bound.result(trace, quota: 10 * blocks)
            for policy in Policy.builtIn {
                for leavesFirst in [true, false] {
                    let result = try run(policy.name, trace, blocks: blocks, leavesFirst: leavesFirst)
                    #expect(result.misses >= bound.misses, "\(policy.name)")
                    if blocks == trace.objects.count { #expect(result.misses == blocks) }
                }
            }
        }
    }

    @Test("an index on the order changes no result")
    func index() throws {
        let trace = try trace(requests(400, seed: 6))
        for name in ["lru", "lfu", "tail", "gdsf"] {
            let policy = try #require(Policy.builtIn.first { $0.name == name })
            let indexed = try run(name, trace, blocks: 12)
            // Sorted again each time, one block at a time as each block has the same size.
            let sorted = try run(name, trace, blocks: 12, sql: "WITH same AS (\(policy.sql)) SELECT * FROM same")
            #expect(indexed.misses == sorted.misses, "\(name)")
        }
    }
}

import Foundation
import GRDB
import TestSupport
import Testing
@testable import Tiers
@testable import WeightStore

/// Putting, finding and leasing KV blocks.
@Suite(.blocking) struct KVBlocksTests {
    let fixture = try! KVFixture()

    @Test(
        "blocks that were put are found by every prompt with the same prefix, and leased byte for byte",
        arguments: [Tier.ram, .host])
    func roundTrip(tier: Tier) async throws {
        let kv = try fixture.blocks()
        let tokens = fixture.tokens(10 * 4 + 3, seed: 1)
        let put = try kv.put(kv.chain(tokens), fixture.bytes(of: tokens))
        #expect(put.stored == 10 && put.known == 0 && put.refused == 0)
        for (requested, found) in [
            (tokens, 10), (Array(tokens.prefix(21)), 5), (Array(tokens.prefix(8)) + [1, 2, 3, 4, 5], 2), ([], 0),
            (Array(tokens.dropFirst()), 0), (tokens + tokens, 10),
        ] {
            let prefix = try kv.longestPrefix(of: requested)
            #expect(prefix.blocks == found && prefix.tokens == 4 * found)
            let lease = try await kv.lease(prefix, in: tier)
            #expect(lease.blocks == found && lease.tokens == 4 * found)
            for block in 0..<found {
                let bytes = try lease.withUnsafeBytes(ofBlock: block) { Array($0) }
                #expect(bytes == fixture.bytes(of: tokens)[block])
            }
        }
        #expect(try fixture.store.tiers.open(tier).isExact)
    }

    /// An operator's policy that names the roots first.
    private static let rootsFirst = "SELECT shard_id FROM candidate ORDER BY depth, children DESC, shard_id"

    @Test(
        "under any policy of a memory tier, a block is evicted only after all its descendants",
        arguments: Policy.builtIn + [Policy(name: "roots", sql: rootsFirst)])
    func leavesFirstInMemory(policy: Policy) throws {
        let store = fixture.store
        let kv = try fixture.blocks()
        let trunk = fixture.tokens(20, seed: 1)
        let prompts = (0..<8).map { trunk.prefix(4 * (1 + $0 % 5)) + fixture.tokens(24, seed: UInt64(10 + $0)) }
        for prompt in prompts { try kv.put(kv.chain(Array(prompt)), fixture.bytes(of: Array(prompt))) }
        // Space for two or three of them.
        try store.open(.ram, TierOptions(budget: 3000, policy: policy))
        let memory = try store.tiers.open(.ram)
        var (random, left) = (Random(seed: 4), 0)
        for _ in 0..<60 {
            let chain = kv.chain(Array(prompts[Int.random(in: 0..<8, using: &random)]))
            #expect(try kv.leaseBlocking(chain.prefix(), in: .ram).blocks == chain.blocks)
            for prompt in prompts {
                let shards = try kv.shards(of: kv.chain(Array(prompt)).prefix())
                let resident = memory.state.withLock { state in
                    shards.map { state.table[ResidentShard.Key($0.digest)]?.phase == .ready }
                }
                let count = resident.count { $0 }
                #expect(resident.prefix(count).allSatisfy { $0 }, "\(resident)")
                if 0 < count && count < resident.count { left += 1 }
            }
        }
        #expect(left > 0, "some were cut short")
        #expect(memory.isExact && memory.gauge.policy == policy.name)
    }

    @Test("a chain that grows has the same keys as one that is created at once")
    func chains() throws {
        let kv = try fixture.blocks()
        var random = Random(seed: 5)
        for _ in 0..<50 {
            let tokens = fixture.tokens(
                Int.random(in: 0...60, using: &random), seed: UInt64.random(in: 0...9, using: &random))
            var chain = kv.chain()
            var rest = tokens[...]
            while !rest.isEmpty {
                let piece = rest.prefix(Int.random(in: 1...13, using: &random))
                chain.append(Array(piece))
                rest = rest.dropFirst(piece.count)
            }
            #expect(chain.keys == kv.chain(tokens).keys)
            #expect(chain.tokens == tokens.count && chain.blocks == tokens.count / 4)
        }
    }

    @Test("a lookup never finds the blocks of another model version, format, tenant or block length")
    func isolation() throws {
        let tokens = fixture.tokens(40, seed: 1)
        let kv = try fixture.blocks()
        try kv.put(kv.chain(tokens), fixture.bytes(of: tokens))
        try fixture.addVersion()
        let others = [
            try fixture.blocks(of: "org/model@~2"), try fixture.blocks(format: "int8"), try fixture.blocks(tenant: "b"),
            try fixture.blocks(tenant: ""), try fixture.blocks(length: 8),
            try fixture.blocks(format: "f16a", tenant: ""),
        ]
        for other in others { #expect(try other.longestPrefix(of: tokens).isEmpty) }
        #expect(try fixture.blocks().longestPrefix(of: tokens).blocks == 10)
        // Each keeps its own.
        for (index, other) in others.enumerated() where other.blockTokens == 4 {
            try other.put(other.chain(tokens), fixture.bytes(of: tokens).map { _ in [UInt8(index)] })
        }
        for (index, other) in others.enumerated() where other.blockTokens == 4 {
            let lease = try other.leaseBlocking(other.chain(tokens).prefix(), in: .ram)
            #expect(
                try (0..<lease.blocks).map { try lease.withUnsafeBytes(ofBlock: $0) { Array($0) } }
                    == Array(repeating: [UInt8(index)], count: 10))
        }
    }

    @Test("the same bytes of two tenants are two shards, and neither is served by its digest")
    func ownShards() throws {
        let tokens = fixture.tokens(4, seed: 1)
        for tenant in ["a", "b"] {
            let kv = try fixture.blocks(tenant: tenant)
            let put = try kv.put(kv.chain(tokens), [[1, 2, 3]])
            #expect(put.stored == 1)
        }
        let digests = try fixture.shards()
        #expect(digests.count == 2)
        for digest in digests { #expect(try fixture.store.shard(digest) == nil) }
    }

    @Test("the longest prefix in random token trees is the reference model's, after any puts, drops and evictions")
    func tree() throws {
        var random = Random(seed: 77)
        let spaces = [try fixture.blocks(), try fixture.blocks(tenant: "b"), try fixture.blocks(format: "int4")]
        var model = [Set<[UInt32]>](repeating: [], count: spaces.count)
        func sequence() -> [UInt32] {
            // Few branches, so that sequences share beginnings.
            (0..<Int.random(in: 0...7, using: &random)).flatMap { _ in
                Array(repeating: UInt32.random(in: 0...2, using: &random), count: 4)
            }
                + Array(repeating: 9, count: Int.random(in: 0...3, using: &random))
        }
        func blocks(of tokens: [UInt32]) -> [[UInt32]] { (0..<tokens.count / 4).map { Array(tokens[..<(4 * $0 + 4)]) } }
        for _ in 0..<200 * Sweep.factor {
            let index = Int.random(in: 0..<spaces.count, using: &random)
            let kv = spaces[index]
            let tokens = sequence()
            let all = blocks(of: tokens)
            switch Int.random(in: 0..<10, using: &random) {
            case 0..<5:
                let first = Int.random(in: 0...all.count, using: &random)
                let put = try kv.put(kv.chain(tokens), from: first, Array(fixture.bytes(of: tokens).dropFirst(first)))
                if first == 0 || model[index].contains(all[first - 1]) {
                    #expect(put.refused == 0)
                    #expect(put.known == all.dropFirst(first).filter(model[index].contains).count)
                    model[index].formUnion(all.dropFirst(first))
                } else {
                    #expect(put.stored == 0 && put.refused == all.count - first)
                }
            case 5:
                // A lost block is removed with its descendants.
                guard let lost = model[index].randomElement(using: &random) else { continue }
                let digest = try #require(try fixture.shard(kv, lost))
                try fixture.store.dropKVBlock(digest, isMissing: false)
                model[index] = model[index].filter { !$0.starts(with: lost) }
            case 6:
                let policy = ["lru", "lfu", "gdsf", "tail", "size", "slru"].randomElement(using: &random)!
                var request = EvictionRequest(.free(Int.random(in: 1...2000, using: &random)), of: .kv)
                request.policy = try fixture.store.policy(policy)
                try fixture.store.evictBlocking(request)
                for index in spaces.indices { model[index] = try fixture.rows(spaces[index], among: model[index]) }
            default:
                let expected = all.prefix { model[index].contains($0) }.count
                #expect(try kv.longestPrefix(of: tokens).blocks == expected)
            }
            #expect(try fixture.orphans() == 0)
            for index in spaces.indices {
                for block in model[index] where block.count > 4 {
                    #expect(model[index].contains(Array(block.dropLast(4))))
                }
            }
        }
        let gauge = try fixture.store.kvGauge()
        #expect(gauge.blocks == model.reduce(0) { $0 + $1.count })
        #expect(try fixture.differences() == [])
    }

    @Test("a block whose file is torn, too short or missing is never served; the lease holds the blocks before it")
    func lost() async throws {
        let tokens = fixture.tokens(40, seed: 3)
        for (number, damage) in ["", "short"].enumerated() {
            let kv = try fixture.blocks(tenant: "\(number)")
            try kv.put(kv.chain(tokens), fixture.bytes(of: tokens))
            let digest = try #require(try fixture.shard(kv, Array(tokens[..<28])))
            let path = fixture.store.blobs.path(digest)
            try FileManager.default.removeItem(atPath: path)
            if !damage.isEmpty { try Data(damage.utf8).write(to: URL(fileURLWithPath: path)) }
            let lease = try await kv.lease(kv.chain(tokens).prefix(), in: .ram)
            #expect(lease.blocks == 6)
            #expect(try kv.longestPrefix(of: tokens).blocks == 6)
            // The engine computes them again.
            #expect(try kv.put(kv.chain(tokens), from: 6, Array(fixture.bytes(of: tokens).dropFirst(6))).stored == 4)
            #expect(try await kv.lease(kv.chain(tokens).prefix(), in: .ram).blocks == 10)
        }
        #expect(try fixture.differences() == [])
    }

    @Test("a block whose file is a link to nothing is dropped")
    func danglingLink() throws {
        let tokens = fixture.tokens(40, seed: 6)
        let kv = try fixture.blocks()
        try kv.put(kv.chain(tokens), fixture.bytes(of: tokens))
        let digest = try #require(try fixture.shard(kv, Array(tokens[..<28])))
        let path = fixture.store.blobs.path(digest)
        try FileManager.default.removeItem(atPath: path)
        try FileManager.default.createSymbolicLink(atPath: path, withDestinationPath: "nowhere")
        #expect(try fixture.store.dropKVBlock(digest, isMissing: true) == 4)
        #expect(try kv.longestPrefix(of: tokens).blocks == 6)
        #expect(try fixture.differences() == [])
    }

    @Test("while the blobs are not mounted no KV block is dropped, and afterwards all are leased")
    func unmounted() throws {
        let tokens = fixture.tokens(40, seed: 5)
        let kv = try fixture.blocks()
        try kv.put(kv.chain(tokens), fixture.bytes(of: tokens))
        let digest = try #require(try fixture.shard(kv, Array(tokens[..<28])))
        let (blobs, aside) = (fixture.store.blobs.root, fixture.directory("aside"))
        try FileManager.default.moveItem(atPath: blobs, toPath: aside)
        try FileManager.default.createDirectory(atPath: blobs, withIntermediateDirectories: true)
        let isForeign = { (error: any Error) in
            if case StorageError.foreignBlobs = error { true } else { false }
        }
        #expect(performing: { try kv.leaseBlocking(kv.chain(tokens).prefix(), in: .ram) }, throws: isForeign)
        // As a lease that did not find the file just before it was unmounted, or found it damaged.
        for isMissing in [true, false] {
            #expect(
                performing: { try fixture.store.dropKVBlock(digest, isMissing: isMissing) }, throws: isForeign)
        }
        #expect(try kv.longestPrefix(of: tokens).blocks == 10)
        try FileManager.default.removeItem(atPath: blobs)
        try FileManager.default.moveItem(atPath: aside, toPath: blobs)
        #expect(try fixture.store.dropKVBlock(digest, isMissing: true) == 0, "the file is back")
        #expect(try kv.leaseBlocking(kv.chain(tokens).prefix(), in: .ram).blocks == 10)
        #expect(try fixture.differences() == [])
    }

    @Test("a lease stays readable when its blocks are dropped, and the tier forgets them after it")
    func droppedUnderLease() async throws {
        let tokens = fixture.tokens(40, seed: 4)
        let kv = try fixture.blocks()
        try kv.put(kv.chain(tokens), fixture.bytes(of: tokens))
        let tier = try fixture.store.tiers.open(.ram)
        var lease: KVLease? = try await kv.lease(kv.chain(tokens).prefix(), in: .ram)
        #expect(try fixture.store.dropKV().blocks == 10)
        #expect(try kv.longestPrefix(of: tokens).isEmpty)
        for block in 0..<10 {
            #expect(try lease!.withUnsafeBytes(ofBlock: block) { Array($0) } == fixture.bytes(of: tokens)[block])
        }
        #expect(tier.state.withLock { $0.table.count } == 10)
        lease = nil
        fixture.store.clear(.ram)
        #expect(tier.state.withLock { $0.table.count } == 0)
        #expect(tier.isExact)
    }

    @Test("uses in a tier are counted for the blocks on disk, also for those that the tier has forgotten")
    func uses() async throws {
        let tokens = fixture.tokens(12, seed: 4)
        let kv = try fixture.blocks()
        try kv.put(kv.chain(tokens), fixture.bytes(of: tokens))
        for _ in 0..<2 {
            try await kv.lease(kv.chain(tokens).prefix(), in: .ram).release()
            fixture.store.clear(.ram)
        }
        _ = try await kv.lease(kv.chain(tokens).prefix(2), in: .ram)
        fixture.store.flush()
        let counts = try fixture.store.catalog.read { db in
            try Int.fetchAll(db, sql: "SELECT access_count FROM shard WHERE kind = 'kv' ORDER BY depth")
        }
        #expect(counts == [3, 3, 2])
    }

    @Test("a block without bytes is refused, and nothing of its run is kept")
    func empty() throws {
        let kv = try fixture.blocks()
        #expect(throws: StorageError.self) { try kv.put(kv.chain(fixture.tokens(8, seed: 1)), [[1], []]) }
        #expect(try fixture.store.kvGauge().blocks == 0)
        #expect(throws: StorageError.self) { try fixture.blocks(length: 0) }
        #expect(throws: StorageError.self) { try fixture.blocks(format: "") }
    }
}

import Foundation
import GRDB
import Support
import Synchronization
import TestSupport
import Testing
@testable import Tiers
@testable import WeightStore

/// KV blocks beside gc, verify, rm and rebuild.
@Suite(.blocking) struct KVMaintenanceTests {
    let fixture = try! KVFixture()

    private func put(_ tokens: [UInt32], of kv: KVBlocks) throws {
        try kv.put(kv.chain(tokens), fixture.bytes(of: tokens))
    }

    @Test("removing a revision removes its blocks, and reports it; other revisions keep theirs")
    func removal() throws {
        let tokens = fixture.tokens(20, seed: 1)
        try put(tokens, of: fixture.blocks())
        try put(tokens, of: fixture.blocks(tenant: "b"))
        try fixture.addVersion()
        try put(tokens, of: fixture.blocks(of: "org/model@~2"))
        let user = try fixture.blocks()
        #expect(throws: StoreError.self) { try fixture.store.remove(["org/model@~1"]) }
        withExtendedLifetime(user) {}
        #expect(try fixture.store.remove(["org/model@~2"], dryRun: true).kvBlocks == 5)
        #expect(try fixture.store.kvGauge().blocks == 15)
    }

    @Test("rm of an unused revision removes its blocks, too")
    func removed() throws {
        let tokens = fixture.tokens(20, seed: 1)
        try put(tokens, of: fixture.blocks())
        try fixture.addVersion()
        try put(tokens, of: fixture.blocks(of: "org/model@~2"))
        let summary = try fixture.store.remove(["org/model@~1"])
        #expect(summary.kvBlocks == 5)
        #expect(try fixture.store.kvGauge().blocks == 5)
        #expect(try fixture.blocks(of: "org/model@~2").longestPrefix(of: tokens).blocks == 5)
        #expect(try fixture.differences() == [])
        try fixture.store.remove(["org/model"])
        #expect(try fixture.store.kvGauge().bytes == 0)
        #expect(try fixture.differences() == [])
        #expect(TemporaryDirectory.files(below: fixture.directory("store/blobs")) == [".store"])
    }

    @Test(
        "blocks that two identical models share stay until the last of the two is removed",
        arguments: [["org/model", "org/copy"], ["org/copy", "org/model"], ["org/model@~1", "org/copy@~1"]])
    func shared(order: [String]) throws {
        let tokens = fixture.tokens(20, seed: 1)
        try fixture.add(seed: 1, name: "org/copy")
        try put(tokens, of: fixture.blocks())
        #expect(try fixture.blocks(of: "org/copy@~1").longestPrefix(of: tokens).blocks == 5)
        #expect(try fixture.store.kvSpaces().map(\.revision) == ["org/copy@~1", "org/model@~1"])
        #expect(try fixture.store.kvGauge().spaces == 1 && fixture.store.kvGauge().blocks == 5)
        #expect(try fixture.store.remove([order[0]]).kvBlocks == 0)
        let left = String(order[1].prefix { $0 != "@" }) + "@~1"
        #expect(try fixture.store.kvSpaces().map(\.revision) == [left])
        do {
            let kv = try fixture.blocks(of: left)
            #expect(try kv.leaseBlocking(kv.chain(tokens).prefix(), in: .ram).blocks == 5)
            try put(tokens + fixture.tokens(8, seed: 2), of: kv)
        }
        #expect(try fixture.differences() == [])
        #expect(try fixture.store.remove([order[1]], dryRun: true).kvBlocks == 7)
        #expect(try fixture.store.remove([order[1]]).kvBlocks == 7)
        #expect(try fixture.store.kvGauge().spaces == 0)
        #expect(try fixture.differences() == [])
    }

    @Test("blocks that two models share are removed once if both models are removed at once")
    func sharedAtOnce() throws {
        try fixture.add(seed: 1, name: "org/copy")
        try put(fixture.tokens(20, seed: 1), of: fixture.blocks())
        #expect(try fixture.store.remove(["org/model", "org/copy"]).kvBlocks == 5)
        #expect(try fixture.store.kvGauge().blocks == 0)
        #expect(try fixture.differences() == [])
    }

    @Test("blocks that two models share are dropped by the name of either")
    func sharedDrop() throws {
        try fixture.add(seed: 1, name: "org/copy")
        for (put, dropped) in [("org/model", "org/copy"), ("org/copy", "org/model")] {
            try self.put(fixture.tokens(20, seed: 1), of: fixture.blocks(of: put))
            var selection = KVSelection()
            selection.revision = dropped
            #expect(try fixture.store.dropKV(selection).blocks == 5)
        }
        #expect(try fixture.differences() == [])
    }

    @Test("gc removes at once, for any grace period, what the cascade from a revision's row leaves")
    func cascade() throws {
        let tokens = fixture.tokens(20, seed: 1)
        try put(tokens, of: fixture.blocks())
        try fixture.store.catalog.write { db in try db.execute(sql: "DELETE FROM revision") }
        #expect(try fixture.store.kvGauge().blocks == 5)
        #expect(try fixture.store.collectGarbage(graceSeconds: 0).orphans >= 5)
        #expect(try fixture.store.kvGauge().blocks == 0)
        #expect(try fixture.differences() == [])
    }

    @Test("gc drops a block whose file is missing, with its descendants, and no model is affected")
    func missing() throws {
        let kv = try fixture.blocks()
        let tokens = fixture.tokens(20, seed: 1)
        try put(tokens, of: kv)
        let digest = try #require(try fixture.shard(kv, Array(tokens[..<12])))
        try FileManager.default.removeItem(atPath: fixture.store.blobs.path(digest))
        let dry = try fixture.store.collectGarbage(dryRun: true)
        #expect(dry.kvBlocks == 3 && dry.missing == 0)
        let summary = try fixture.store.collectGarbage()
        #expect(summary.kvBlocks == 3 && summary.missing == 0 && summary.affectedRevisions == [])
        #expect(try kv.longestPrefix(of: tokens).blocks == 2)
        #expect(try fixture.differences() == [])
    }

    @Test("verify drops a block whose bytes have changed, and its descendants; that is no damage")
    func verify() throws {
        let kv = try fixture.blocks()
        let tokens = fixture.tokens(20, seed: 1)
        try put(tokens, of: kv)
        let path = fixture.store.blobs.path(try #require(try fixture.shard(kv, Array(tokens[..<8]))))
        var bytes = try contents(path)
        bytes[3] ^= 1
        try FileManager.default.removeItem(atPath: path)
        try Data(bytes).write(to: URL(fileURLWithPath: path))
        let summary = try fixture.store.verifyBlocking()
        #expect(summary.kvDropped == 4 && summary.damage.isEmpty && summary.known.isEmpty)
        #expect(try kv.longestPrefix(of: tokens).blocks == 1)
        #expect(try fixture.differences() == [])
        #expect(try fixture.store.verifyBlocking().kvDropped == 0)
    }

    @Test("gc in a loop beside puts, leases and evictions deletes no stored block, and leaves no garbage")
    func beside() async throws {
        let store = fixture.store
        let stop = Atomic<Bool>(false)
        let collected = Atomic<Int>(0)
        try await withThrowingTaskGroup(of: Void.self) { group in
            // On threads of their own: they block.
            func loop(_ body: @escaping @Sendable () throws -> Void) {
                group.addTask { try await onThread(body) }
            }
            // Another store on the same directory, as in another process.
            let other = try Store(at: fixture.directory("store"))
            loop {
                while !stop.load(ordering: .relaxed) {
                    _ = try other.collectGarbage(graceSeconds: 0)
                    try other.evictBlocking(EvictionRequest(.free(700), of: .kv))
                    collected.add(1, ordering: .relaxed)
                }
            }
            loop { [fixture] in
                defer { stop.store(true, ordering: .relaxed) }
                let kv = try fixture.blocks()
                var random = Random(seed: 8)
                var round = 0
                while round < 150 || collected.load(ordering: .relaxed) < 5 {
                    round += 1
                    let tokens =
                        fixture.tokens(8, seed: UInt64.random(in: 0...2, using: &random))
                        + fixture.tokens(16, seed: UInt64.random(in: 0...20, using: &random))
                    let chain = kv.chain(tokens)
                    _ = try kv.put(chain, fixture.bytes(of: tokens))
                    let lease = try kv.leaseBlocking(chain.prefix(), in: .ram)
                    for block in 0..<lease.blocks {
                        #expect(
                            try lease.withUnsafeBytes(ofBlock: block) { Array($0) } == fixture.bytes(of: tokens)[block])
                    }
                }
            }
            try await group.waitForAll()
        }
        #expect(try fixture.orphans() == 0)
        _ = try store.collectGarbage(graceSeconds: 0)
        #expect(try fixture.differences() == [])
        #expect(try store.tiers.open(.ram).isExact)
    }

    @Test("drop removes the selected blocks, by tenant, revision or age; a dry run reports the same")
    func drop() throws {
        let tokens = fixture.tokens(20, seed: 1)
        for tenant in ["a", "b"] { try put(tokens, of: fixture.blocks(tenant: tenant)) }
        var selection = KVSelection()
        selection.tenant = String(try fixture.store.kvSpaces()[0].tenant.hex.prefix(10))
        #expect(try fixture.store.dropKV(selection, dryRun: true).blocks == 5)
        #expect(try fixture.store.kvGauge().blocks == 10)
        #expect(try fixture.store.dropKV(selection).blocks == 5)
        #expect(try fixture.store.kvSpaces().count == 1)
        selection = KVSelection()
        selection.olderThanSeconds = 1000
        #expect(try fixture.store.dropKV(selection).blocks == 0)
        // A block with a newer descendant stays.
        try fixture.store.catalog.write { db in
            try db.execute(
                sql: "UPDATE shard SET last_access = last_access - 2000 WHERE kind = 'kv' AND depth IN (0, 1, 4)")
        }
        #expect(try fixture.store.dropKV(selection).blocks == 1)
        selection = KVSelection()
        selection.revision = "org/nobody"
        #expect(throws: StorageError.self) { try fixture.store.dropKV(selection) }
        selection.revision = "org/model@~1"
        #expect(try fixture.store.dropKV(selection).blocks == 4)
        #expect(try fixture.differences() == [])
    }

    @Test("a file with the same bytes as a block's blob keeps them when the block is removed, and vice versa")
    func sameBytes() throws {
        let kv = try fixture.blocks()
        let tokens = fixture.tokens(4, seed: 1)
        try put(tokens, of: kv)
        let blob = fixture.store.blobs.path(try #require(try fixture.shard(kv, tokens)))
        try fixture.directory.write(contents(blob), to: "copy/block.bin")
        try fixture.directory.write("{}", to: "copy/config.json")
        try fixture.store.importModelBlocking(ImportRequest(source: fixture.directory("copy"), name: "copy"))
        try fixture.store.remove(["copy"])
        #expect(try kv.leaseBlocking(kv.chain(tokens).prefix(), in: .ram).blocks == 1)
        try fixture.store.importModelBlocking(ImportRequest(source: fixture.directory("copy"), name: "copy"))
        try fixture.store.evictBlocking(EvictionRequest(.downTo(0), of: .kv))
        #expect(try fixture.store.kvGauge().blocks == 0)
        try fixture.store.revision("copy").exportBlocking(to: fixture.directory("out"))
        #expect(try contents(fixture.directory("out/block.bin")) == contents(fixture.directory("copy/block.bin")))
        // Now a block can't have them.
        #expect(try kv.put(kv.chain(tokens), fixture.bytes(of: tokens)).refused == 1)
        #expect(try fixture.differences() == [])
    }

    @Test(
        "a damaged blob that a block and a file share is found and restored like one of weights",
        arguments: ["import", "verify", "gc"])
    func sharedDamage(finder: String) throws {
        let kv = try fixture.blocks()
        let tokens = fixture.tokens(4, seed: 1)
        try put(tokens, of: kv)
        let digest = try #require(try fixture.shard(kv, tokens))
        let blob = fixture.store.blobs.path(digest)
        let bytes = try contents(blob)
        try fixture.directory.write(bytes, to: "copy/block.bin")
        try fixture.directory.write("{}", to: "copy/config.json")
        func zero() throws {
            chmod(blob, 0o644)
            let file = try FileHandle(forUpdating: URL(fileURLWithPath: blob))
            try file.write(contentsOf: Data(repeating: 0, count: bytes.count))
            try file.close()
            chmod(blob, 0o444)
        }
        func importCopy() throws {
            try fixture.store.importModelBlocking(ImportRequest(source: fixture.directory("copy"), name: "copy"))
            #expect(try contents(blob) == bytes)
        }
        // Before a file has the bytes, too: the block is whole then.
        try zero()
        try importCopy()
        #expect(try kv.leaseBlocking(kv.chain(tokens).prefix(), in: .ram).blocks == 1)
        switch finder {
        case "verify":
            try zero()
            #expect(try fixture.store.verifyBlocking().damage.map(\.digest) == [digest])
        case "gc":
            try FileManager.default.removeItem(atPath: blob)
            #expect(try fixture.store.collectGarbage(graceSeconds: 0).missing == 1)
        default: try zero()
        }
        try importCopy()
        #expect(try fixture.store.kvGauge().blocks == 0)
        #expect(try fixture.store.verifyBlocking().damage.isEmpty)
        #expect(try fixture.differences() == [])
    }

    @Test("a rebuilt catalog has no blocks, and gc removes their blobs once that is confirmed")
    func rebuild() throws {
        let path = fixture.directory("rebuilt")
        do {
            let store = try Store(at: path, create: true)
            try store.importModelBlocking(ImportRequest(source: fixture.directory("model-1"), name: "m"))
            let kv = try store.kvBlocks(of: store.revision("m"), format: "f", blockTokens: 4)
            let tokens = fixture.tokens(20, seed: 1)
            try kv.put(kv.chain(tokens), fixture.bytes(of: tokens))
        }
        let summary = try Store.rebuildBlocking(at: path)
        #expect(summary.unreferencedBlobs == 5 && summary.missing == 0)
        let store = try Store(at: path)
        #expect(try store.collectGarbage(graceSeconds: 0).kept == 5)
        #expect(try store.collectGarbage(graceSeconds: 0, discardingNewer: true).unreferencedBlobs == 5)
        #expect(try store.kvGauge().blocks == 0)
        #expect(try store.verifyBlocking().damage.isEmpty)
    }

    @Test("finding, putting and leasing blocks scans no whole table")
    func plans() throws {
        let statements = Mutex<Set<String>>([])
        let tokens = fixture.tokens(40, seed: 1)
        do {
            let store = try Store(at: fixture.directory("store"), create: false) { sql in
                statements.withLock { _ = $0.insert(sql) }
            }
            let kv = try store.kvBlocks(of: store.revision("org/model"), format: "f", blockTokens: 4)
            try kv.put(kv.chain(tokens), fixture.bytes(of: tokens))
            #expect(try kv.longestPrefix(of: tokens).blocks == 10)
            _ = try kv.leaseBlocking(kv.chain(tokens).prefix(), in: .ram)
        }
        let queue = try DatabaseQueue(path: fixture.directory("store/store.db"))
        let scans = try queue.read { db in
            try statements.withLock { $0 }.filter { sql in
                ["SELECT", "INSERT", "UPDATE", "DELETE", "WITH"].contains(where: sql.hasPrefix) && sql.contains("kv_")
            }.flatMap { sql -> [String] in
                let explain = try db.makeStatement(sql: "EXPLAIN QUERY PLAN \(sql)")
                explain.setUncheckedArguments([])
                return try Row.fetchAll(explain).map { $0["detail"] as String }
                    .filter {
                        $0.hasPrefix("SCAN") && !$0.contains("chain") && !$0.contains("CONSTANT ROW")
                            && !$0.contains("kv_totals")
                    }
                    .map { "\($0): \(sql)" }
            }
        }
        #expect(scans.isEmpty, "\(scans.joined(separator: "\n"))")
    }
}

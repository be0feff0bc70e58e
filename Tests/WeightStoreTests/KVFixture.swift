import Foundation
import GRDB
import TestSupport
@testable import WeightStore

/// A store with one small model, for KV blocks of four tokens.
final class KVFixture: Sendable {
    let directory: TemporaryDirectory
    let store: Store

    init() throws {
        directory = try TemporaryDirectory()
        store = try Store(at: directory("store"), create: true)
        try add(seed: 1)
    }

    func add(seed: UInt64, name: String = "org/model") throws {
        try TestModel(layers: 1, seed: seed, wide: 8).write(to: directory("model-\(seed)"))
        try store.importModelBlocking(ImportRequest(source: directory("model-\(seed)"), name: name))
    }

    /// A new version of the model, to which the ref `main` moves.
    func addVersion() throws { try add(seed: 2) }

    func blocks(of revision: String = "org/model@~1", format: String = "f16", tenant: String = "a", length: Int = 4)
        throws -> KVBlocks
    {
        try store.kvBlocks(of: store.revision(revision), format: format, blockTokens: length, tenant: tenant)
    }

    func tokens(_ count: Int, seed: UInt64) -> [UInt32] {
        var random = Random(seed: seed)
        return (0..<count).map { _ in UInt32.random(in: 0...50_000, using: &random) }
    }

    /// The value that an engine would compute for each block of four: a function of all tokens up to its end.
    func bytes(of tokens: [UInt32]) -> [[UInt8]] {
        (0..<tokens.count / 4).map { block in
            var random = Random(
                seed: tokens[..<(4 * block + 4)].reduce(7) { ($0 ^ UInt64($1)) &* 0x0000_0100_0000_01B3 })
            return (0..<100 + block).map { _ in UInt8.random(in: 0...255, using: &random) }
        }
    }

    /// The shard of the block that ends a sequence of whole blocks.
    func shard(_ kv: KVBlocks, _ tokens: [UInt32]) throws -> ContentDigest? {
        let key = kv.chain(tokens).keys.last!
        return try store.catalog.read { db in
            try ContentDigest.fetchOne(
                db, sql: "SELECT shard.digest FROM kv_block JOIN shard ON shard.id = kv_block.shard_id WHERE key = ?",
                arguments: [key])
        }
    }

    /// The stored ones among sequences of whole blocks.
    func rows(_ kv: KVBlocks, among sequences: Set<[UInt32]>) throws -> Set<[UInt32]> {
        try sequences.filter { try shard(kv, $0) != nil }
    }

    func shards() throws -> [ContentDigest] {
        try store.catalog.read { db in try ContentDigest.fetchAll(db, sql: "SELECT digest FROM shard WHERE kind = 'kv'")
        }
    }

    /// Blocks without the block that they build on, and shards without a block.
    func orphans() throws -> Int {
        try store.catalog.read { db in
            try Int.fetchOne(
                db,
                sql: """
                    SELECT (SELECT count(*) FROM kv_block JOIN shard ON shard.id = kv_block.shard_id
                            WHERE (parent_id IS NULL) <> (depth = 0) OR parent_id IS NOT NULL AND NOT EXISTS (
                              SELECT 1 FROM kv_block parent JOIN shard above ON above.id = parent.shard_id
                              WHERE parent.shard_id = kv_block.parent_id AND above.depth = shard.depth - 1))
                           + (SELECT count(*) FROM shard
                              WHERE kind = 'kv' AND NOT EXISTS (SELECT 1 FROM kv_block WHERE shard_id = shard.id))
                    """)!
        }
    }

    /// Where rows, files and counts differ.
    func differences() throws -> [String] {
        var onDisk: Set<String> = []
        for directory in BlobDirectory.fanOut {
            onDisk.formUnion(try store.blobs.contents(directory).blobs.filter { $0.kind == .shard }.map(\.digest.hex))
        }
        return try store.catalog.read { db in
            let rows = try Set(String.fetchAll(db, sql: "SELECT lower(hex(digest)) FROM shard WHERE state = 'present'"))
            let counts = try Row.fetchOne(
                db,
                sql: """
                    SELECT (SELECT bytes FROM kv_totals) = (SELECT coalesce(sum(bytes), 0) FROM shard WHERE kind = 'kv')
                           AND (SELECT shards FROM kv_totals) = (SELECT count(*) FROM shard WHERE kind = 'kv')
                           AND (SELECT bytes FROM shard_totals)
                               = (SELECT coalesce(sum(bytes), 0) FROM shard WHERE kind <> 'kv' AND state = 'present')
                    """)!
            return onDisk.subtracting(rows).map { "blob without row \($0)" }
                + rows.subtracting(onDisk).map { "row without blob \($0)" }
                + (counts[0] ? [] : ["shard_totals"])
        }
    }
}

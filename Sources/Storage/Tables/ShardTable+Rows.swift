import GRDB
import ModelFormats

extension ShardTable {
    /// The identity and state of a shard.
    package struct Entry: Sendable {
        package let id: Int64
        package let digest: ContentDigest
        package let bytes: Int
        package let kind: ShardKind
        package let state: ShardState

        init(_ row: Row) throws {
            id = try row.value("id")
            digest = try row.value("digest")
            bytes = try row.size("bytes")
            kind = try row.word("kind")
            state = try row.word("state")
        }
    }

    /// A shard of a file that has no row yet.
    package struct NewShard {
        let facts: ShardFacts
        package let state: ShardState
        let isOrphan: Bool

        /// - Parameters:
        ///   - state: whether its blob exists.
        ///   - isOrphan: whether it is an orphan until `adopt`; false if its extents are inserted in the same transaction.
        package init(_ facts: ShardFacts, _ state: ShardState, isOrphan: Bool) {
            self.facts = facts
            self.state = state
            self.isOrphan = isOrphan
        }
    }

    /// The shard of a use: by row, or by digest for memory tiers, which have only digests.
    package enum Name: Sendable {
        case id(Int64)
        case digest(ContentDigest)
    }
}

import Foundation
import GRDB

/// The store that version 130ff32 made, unpacked into a directory of its own: `Tests/Fixtures/store-130ff32.tar.xz`.
///
///     let fixture = try StoreFixture()
///     let store = try Store(at: fixture.store)             // migrates it
///     #expect(try store.models().map(\.name) == fixture.facts.models.map(\.name))
///
/// `Tests/Fixtures/make-old-store` made it. Every later version opens it and finds what ``Facts`` lists.
package struct StoreFixture: Sendable {
    package let directory: TemporaryDirectory
    package let facts: Facts

    /// The store, which no later version has opened.
    package var store: String { directory("store") }
    /// The store that served org/part; it can be served again.
    package var hub: String { directory("hub") }

    private static let base = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appendingPathComponent("Fixtures/store-130ff32").path

    struct UnpackingFailed: Error {
        let message: String
    }

    /// Unpacks the fixture, and replaces the directories in its origins by the unpacked ones.
    package init() throws {
        directory = try TemporaryDirectory()
        let tar = try ChildProcess(
            ["tar", "--no-same-owner", "-xJf", Self.base + ".tar.xz", "-C", directory.path]
        ).result()
        guard tar.status == 0 else { throw UnpackingFailed(message: tar.errors) }
        facts = try JSONDecoder().decode(Facts.self, from: Data(contents(Self.base + ".json")))
        try replaceOrigins("file://" + facts.root, with: "file://" + directory.path)
    }

    /// Replaces text in the URLs of all origins, before a store opens the catalog.
    package func replaceOrigins(_ old: String, with new: String) throws {
        let queue = try DatabaseQueue(path: store + "/store.db")
        try queue.write { db in
            try db.execute(sql: "UPDATE origin SET url = replace(url, ?, ?)", arguments: [old, new])
        }
        try queue.close()
    }

    /// The name that is shown now of a revision in ``Facts``: version 130ff32 showed `org/name@~3` as `org/name@v3`.
    package func shown(_ revision: String) -> String { revision.replacingOccurrences(of: "@v", with: "@~") }

    /// The URL that stands in the catalog now for one of ``Facts``.
    package func unpacked(_ url: String) -> String {
        url.replacingOccurrences(of: "file://" + facts.root, with: "file://" + directory.path)
    }
}

extension StoreFixture {
    /// The store's contents, as version 130ff32 reported them. Digests are hexadecimal digits.
    package struct Facts: Decodable, Sendable {
        /// Where the store and the origins were when it was made.
        package let root: String
        /// By name.
        package let models: [Model]
        package let prompts: [Prompt]
        package let kv: [KVSequence]
        package let kvSpaces: [KVSpace]
        package let quotas: Quotas
        package let stats: Stats
        package let usage: Usage
        package let damage: [Damage]
        package let partialPull: PartialPull
    }

    package struct Model: Decodable, Sendable {
        package let name: String
        package let origins: [String]
        package let accesses: Int
        /// By version.
        package let revisions: [Revision]
    }

    package struct Revision: Decodable, Sendable {
        /// `org/name@v3`, as that version showed it.
        package let name: String
        package let version: Int
        package let digest: String
        package let commit: String
        package let bytes: Int
        package let tensors: Int
        package let layers: Int
        package let source: String
        package let refs: [String]
        /// The note of the pin, if there is one.
        package let pin: String?
        package let accesses: Int
        /// By path.
        package let files: [File]
    }

    package struct File: Decodable, Sendable {
        package let path: String
        package let bytes: Int
        package let sha256: String
        /// Whether all of its bytes have been fetched.
        package let isComplete: Bool
        /// Whether none of its shards is damaged or missing. Evicted ones are fetched from an origin.
        package let isReadable: Bool
    }

    package struct Prompt: Decodable, Sendable {
        package let model: String
        package let name: String
        package let digest: String
        package let tokens: [UInt32]
        package let accesses: Int
    }

    /// Tokens whose KV blocks were put.
    package struct KVSequence: Decodable, Sendable {
        package let revision: String
        package let format: String
        package let blockTokens: Int
        /// The salt.
        package let tenant: String
        package let tokens: [UInt32]
        /// The bytes of each block, as hexadecimal digits.
        package let blocks: [String]
    }

    package struct KVSpace: Decodable, Sendable {
        package let revision: String
        package let format: String
        /// The SHA-256 of the salt.
        package let tenant: String
        package let blockTokens: Int
        package let blocks: Int
        package let bytes: Int
        package let longest: Int
        package let accesses: Int
    }

    package struct Quotas: Decodable, Sendable {
        package let weights: Quota
        package let kv: Quota
    }

    package struct Quota: Decodable, Sendable {
        package let bytes: Int
        package let high: Double
        package let low: Double
        package let policy: String
    }

    package struct Stats: Decodable, Sendable {
        package let models: Int
        package let revisions: Int
        package let files: Int
        package let tensors: Int
        package let shards: Int
        package let stored: Int
        package let kvBlocks: Int
        package let kvStored: Int
        package let damaged: Int
        package let pins: Int
        package let accesses: Int
    }

    package struct Usage: Decodable, Sendable {
        package let logical: Int
        package let stored: Int
        package let orphaned: Int
        package let evicted: Int
        package let kv: Int
        package let models: [ModelUsage]
    }

    package struct ModelUsage: Decodable, Sendable {
        package let model: String
        package let revisions: Int
        package let logical: Int
        package let stored: Int
        package let shared: Int
        package let own: Int
    }

    package struct Damage: Decodable, Sendable {
        package let digest: String
        /// `damaged` or `missing`.
        package let problem: String
        package let revisions: [String]
    }

    /// A file of which one layer was pulled.
    package struct PartialPull: Decodable, Sendable {
        package let revision: String
        package let path: String
        /// The URL of the hub in the catalog.
        package let hub: String
        /// The revision's digest once all of its bytes are fetched.
        package let wholeDigest: String
        package let tensors: [PulledTensor]
    }

    package struct PulledTensor: Decodable, Sendable {
        package let name: String
        package let layer: Int?
        package let isFetched: Bool
        package let sha256: String
    }
}

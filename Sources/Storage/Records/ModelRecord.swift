import Foundation

/// What the catalog knows about a model that no manifest says: its versions, refs, pins and origins.
///
/// Written as a blob (`.record`) with every change, before the transaction that makes the change; the one before it
/// is removed after. A rebuild takes, for each model, the record with the highest `sequence`: nanoseconds since 1970,
/// always more than in the record before.
package struct ModelRecord: Codable, Equatable {
    package struct Revision: Codable, Equatable {
        package var digest: ContentDigest
        /// nil while `import --move` is still bringing files in.
        package var version: Int?
        package var commit: String
        package var source: String
        package var createdAt: Int
        /// The note of the pin; nil without a pin.
        package var pin: String?
        /// Whether the origins hold it; nil means no.
        package var hasOrigin: Bool?

        /// The record of version 1 calls `hasOrigin` so.
        private enum CodingKeys: String, CodingKey {
            case digest, version, commit, source, createdAt, pin
            case hasOrigin = "recoverable"
        }

        package init(
            digest: ContentDigest, version: Int? = nil, commit: String, source: String, createdAt: Int,
            pin: String? = nil, hasOrigin: Bool? = nil
        ) {
            self.digest = digest
            self.version = version
            self.commit = commit
            self.source = source
            self.createdAt = createdAt
            self.pin = pin
            self.hasOrigin = hasOrigin
        }
    }

    package struct Prompt: Codable, Equatable {
        package var name: String
        /// As ``TokenList`` writes them.
        package var tokens: Data
        package var createdAt: Int
    }

    package var weightstore = "record 1"
    package var model: String
    package var sequence: Int
    package var lastVersion: Int
    package var createdAt: Int
    package var revisions: [Revision]
    package var refs: [String: ContentDigest]
    package var origins: [String]
    /// nil if there are none.
    package var prompts: [Prompt]?

    package func encoded() throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return Array(try encoder.encode(self))
    }

    package init(
        model: String, sequence: Int, lastVersion: Int, createdAt: Int, revisions: [Revision],
        refs: [String: ContentDigest], origins: [String], prompts: [Prompt] = []
    ) {
        self.model = model
        self.sequence = sequence
        self.lastVersion = lastVersion
        self.createdAt = createdAt
        self.revisions = revisions
        self.refs = refs
        self.origins = origins
        self.prompts = prompts.isEmpty ? nil : prompts
    }

    /// - Parameter path: for the error.
    package init(decoding bytes: [UInt8], path: String) throws {
        do {
            self = try JSONDecoder().decode(ModelRecord.self, from: Data(bytes))
        } catch {
            throw StorageError.invalid(what: "model record", value: path, reason: "\(error)")
        }
        guard weightstore == "record 1" else {
            throw StorageError.invalid(what: "model record", value: path, reason: "\(weightstore) is not known here")
        }
    }
}

import Foundation

/// The facts about a model that are in no manifest: its versions, refs, pins, origins and prompts.
///
/// It is written as a blob (`.record`) with every change, before the transaction of the change commits; the previous
/// record is removed after the commit. For each model, a rebuild uses the record with the highest `sequence`:
/// nanoseconds since 1970, always greater than in the previous record.
package struct ModelRecord: Codable, Equatable {
    /// A revision of the model.
    package struct Revision: Codable, Equatable {
        package var digest: ContentDigest
        /// The version; nil while an `import --move` is incomplete.
        package var version: Int?
        package var commit: String
        package var source: String
        package var createdAt: Int
        /// The note of the pin; nil if the revision is not pinned.
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

    /// A prompt of the model.
    package struct Prompt: Codable, Equatable {
        package var name: String
        /// Encoded as in ``TokenList``.
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
    /// The prompts; nil if there are none.
    package var prompts: [Prompt]?

    /// The record as JSON.
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

    /// Decodes a record.
    ///
    /// - Parameter path: for the error.
    /// - Throws: ``StorageError/invalid(what:value:reason:)``.
    package init(decoding bytes: [UInt8], path: String) throws {
        do {
            self = try JSONDecoder().decode(ModelRecord.self, from: Data(bytes))
        } catch {
            throw StorageError.invalid(what: "model record", value: path, reason: "\(error)")
        }
        guard weightstore == "record 1" else {
            throw StorageError.invalid(
                what: "model record", value: path, reason: "format \"\(weightstore)\" is not supported; \"record 1\" is"
            )
        }
    }
}

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
        /// Whether the model's origins hold it; nil means no. A program that does not know `origins` reads this.
        package private(set) var recoverable: Bool?
        /// The revision's origins, the nearest first; nil if there are none, and in a record of an older program.
        package private(set) var origins: [Origin]?

        package init(
            digest: ContentDigest, version: Int? = nil, commit: String, source: String, createdAt: Int,
            pin: String? = nil, origins: [Origin] = []
        ) {
            self.digest = digest
            self.version = version
            self.commit = commit
            self.source = source
            self.createdAt = createdAt
            self.pin = pin
            self.origins = origins.isEmpty ? nil : origins
            recoverable = origins.contains { $0.absentAt == nil } ? true : nil
        }
    }

    /// An origin of a revision. Times are seconds since 1970.
    package struct Origin: Codable, Equatable {
        package var url: String
        /// When the origin was last seen to hold the revision; nil if it never was, or was seen to lack it since.
        package var checkedAt: Int?
        /// When the origin was last seen to lack the revision; nil if it never was, or was seen to hold it since.
        package var absentAt: Int?

        package init(url: String, checkedAt: Int? = nil, absentAt: Int? = nil) {
            self.url = url
            self.checkedAt = checkedAt
            self.absentAt = absentAt
        }
    }

    /// The origins of a revision, unchecked: a record says nothing about later checks. In a record of an older program they
    /// are those of the model.
    package func origins(of revision: Revision) -> [OriginEntry] {
        if let origins = revision.origins {
            return origins.map { OriginEntry(url: $0.url, absentAt: $0.absentAt) }
        }
        return revision.recoverable == true ? origins.map { OriginEntry(url: $0) } : []
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
    /// The origins of all revisions. A program that does not know those of a revision reads them.
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
                what: "model record", value: path,
                reason: "unsupported format \"\(weightstore)\"; expected \"record 1\"")
        }
        _ = try ModelName.check(model)
        // The next change of the model adds 1.
        let numbers = [sequence, lastVersion] + revisions.compactMap(\.version)
        guard numbers.allSatisfy({ 0..<Int.max ~= $0 }) else {
            throw StorageError.invalid(
                what: "model record", value: path, reason: "a number is negative or \(Int.max)")
        }
    }
}

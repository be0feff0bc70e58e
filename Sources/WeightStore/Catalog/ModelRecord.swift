import Foundation

/// What the catalog knows about a model that no manifest says: its versions, refs, pins and origins.
///
/// Written as a blob (`.record`) with every change, before the transaction that makes the change; the one before it
/// is removed after. A rebuild takes, for each model, the record with the highest `sequence`: nanoseconds since 1970,
/// always more than in the record before.
struct ModelRecord: Codable, Equatable {
    struct Revision: Codable, Equatable {
        var digest: Digest
        /// nil while `import --move` is still bringing files in.
        var version: Int?
        var commit: String
        var source: String
        var createdAt: Int
        /// The note of the pin; nil without a pin.
        var pin: String?
        /// Whether the origins hold it; nil means no.
        var recoverable: Bool?
    }

    struct Prompt: Codable, Equatable {
        var name: String
        /// As ``TokenList`` writes them.
        var tokens: Data
        var createdAt: Int
    }

    var weightstore = "record 1"
    var model: String
    var sequence: Int
    var lastVersion: Int
    var createdAt: Int
    var revisions: [Revision]
    var refs: [String: Digest]
    var origins: [String]
    /// nil if there are none.
    var prompts: [Prompt]?

    func encoded() throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return Array(try encoder.encode(self))
    }

    init(
        model: String, sequence: Int, lastVersion: Int, createdAt: Int, revisions: [Revision],
        refs: [String: Digest], origins: [String], prompts: [Prompt] = []
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
    init(decoding bytes: [UInt8], path: String) throws(StoreError) {
        do {
            self = try JSONDecoder().decode(ModelRecord.self, from: Data(bytes))
        } catch {
            throw .invalid(what: "model record", value: path, reason: "\(error)")
        }
        guard weightstore == "record 1" else {
            throw .invalid(what: "model record", value: path, reason: "\(weightstore) is not known here")
        }
    }
}

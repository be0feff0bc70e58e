import Foundation
import GRDB

/// The manifests and records that the last rebuild could not read: the setting `rebuild.lost`. While something in it is
/// still lost, blobs without rows may be its bytes, and are kept.
///
/// An entry is settled when the catalog has a revision with that manifest again, by an import or a pull. A person settles
/// all of them (`clear`).
package enum RebuildLoss {
    /// A manifest or a record that could not be read.
    package struct Entry: Codable, Equatable, Sendable {
        /// The revision; for a record, its path.
        package let name: String
        /// The digest of the revision; nil for a record.
        package let manifest: ContentDigest?
        /// The failure.
        package let reason: String

        package init(name: String, manifest: ContentDigest?, reason: String) {
            self.name = name
            self.manifest = manifest
            self.reason = reason
        }
    }

    private static let setting = "rebuild.lost"

    /// Records the losses of a rebuild in the new catalog.
    package static func set(_ lost: [Entry], _ db: Database) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        let text = String(decoding: try encoder.encode(lost), as: UTF8.self)
        try SettingTable.set(setting, lost.isEmpty ? nil : text, db)
    }

    /// The losses that are not settled.
    package static func all(_ db: Database) throws -> [Entry] {
        guard let text: String = try SettingTable.get(setting, db) else { return [] }
        // Text that is no list is reported as a damaged catalog.
        guard let lost = try? JSONDecoder().decode([Entry].self, from: Data(text.utf8)) else {
            throw DatabaseError.damaged("the setting \(setting) is not a list of losses")
        }
        return try lost.filter { entry in
            guard let manifest = entry.manifest else { return true }
            return try !RevisionTable.hasManifest(manifest, db)
        }
    }

    /// Whether something is lost that is not settled.
    package static func exists(_ db: Database) throws -> Bool { try !all(db).isEmpty }

    /// Gives the losses up.
    package static func clear(_ db: Database) throws { try SettingTable.set(setting, nil, db) }
}

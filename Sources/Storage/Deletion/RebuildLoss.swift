import Foundation
import GRDB
import Support

/// The manifests and records that the last rebuild could not read, and the blobs that it found without a revision: the
/// setting `rebuild.lost`. While something in it is not settled, blobs without rows may be needed, and are kept.
///
/// An entry of a manifest is settled when the catalog has a revision with that manifest again, by an import or a pull.
/// If a model's record and its manifest are both lost, nothing names the model: only its blobs are left, which look
/// like those of an interrupted import. So blobs that no revision holds are an entry, too, which a collection settles
/// when it finds no such blob. `clear` settles all of them; it requires a confirmation of the user.
package enum RebuildLoss {
    /// A manifest or a record that could not be read, or blobs that no revision holds.
    package struct Entry: Codable, Equatable, Sendable {
        /// The revision; for a record, its path; for blobs, their number and size.
        package let name: String
        /// The digest of the revision; nil for a record and for blobs.
        package let manifest: ContentDigest?
        /// The number of blobs that no revision holds; nil for a manifest or a record.
        package let blobs: Int?
        /// The failure.
        package let reason: String

        package init(name: String, manifest: ContentDigest?, reason: String) {
            self.name = name
            self.manifest = manifest
            self.reason = reason
            blobs = nil
        }

        /// Blobs that no revision holds.
        ///
        /// - Parameter bytes: their size.
        package init(blobs: Int, bytes: Int) {
            name = "\(Quantity.count(blobs, "blob")) (\(Quantity.bytes(bytes)))"
            manifest = nil
            reason = "no revision that could be read holds them"
            self.blobs = blobs
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

    /// Whether an entry is not settled.
    package static func exists(_ db: Database) throws -> Bool { try !all(db).isEmpty }

    /// Removes the entries of manifests that revisions have again: a later removal of such a revision loses nothing
    /// unknown.
    package static func settle(_ db: Database) throws {
        let text: String? = try SettingTable.get(setting, db)
        if text != nil { try set(all(db), db) }
    }

    /// Settles the entry of blobs that no revision holds, because no such blob is left.
    package static func settleBlobs(_ db: Database) throws {
        let all = try all(db)
        if all.contains(where: { $0.blobs != nil }) { try set(all.filter { $0.blobs == nil }, db) }
    }

    /// Gives the losses up.
    package static func clear(_ db: Database) throws { try SettingTable.set(setting, nil, db) }
}

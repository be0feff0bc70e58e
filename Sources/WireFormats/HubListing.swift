import Foundation
import Support
import WeightStore

/// The answers of a hub that list the files of a revision.
package enum HubListing {
    /// An answer is not what the hub's API defines.
    package struct Malformed: Error {}

    /// The commit of a revision: `GET /api/models/<model>/revision/<revision>`.
    package static func commit(_ body: [UInt8]) throws(Malformed) -> String {
        struct Info: Decodable { let sha: String }
        let info: Info = try decode(body)
        guard CommitName.isValid(info.sha) else { throw Malformed() }
        return info.sha
    }

    /// The files of one page: `GET /api/models/<model>/tree/<commit>?recursive=true`. Directories are left out.
    package static func files(_ body: [UInt8], model: String, commit: String) throws(Malformed) -> [RemoteFile] {
        let entries: [Entry] = try decode(body)
        return entries.filter { $0.type == "file" }.map { entry in
            RemoteFile(
                model: model, commit: commit, path: entry.path, bytes: entry.lfs?.size ?? entry.size,
                digest: entry.lfs.flatMap { ContentDigest(hex: $0.oid) },
                gitObject: entry.lfs == nil && entry.oid?.utf8.count == 40 ? entry.oid : nil)
        }
    }

    /// The URL of the next page in a field `Link`; nil unless the field has `rel="next"`.
    package static func next(link: String) -> String? {
        let bytes = Array(link.utf8)
        guard link.contains("rel=\"next\""), let start = bytes.firstIndex(of: UInt8(ascii: "<")),
            let end = bytes[start...].firstIndex(of: UInt8(ascii: ">"))
        else { return nil }
        return String(decoding: bytes[(start + 1)..<end], as: UTF8.self)
    }

    private struct Entry: Decodable {
        struct LFS: Decodable {
            let oid: String
            let size: Int
        }

        let type: String
        let path: String
        let size: Int
        let oid: String?
        let lfs: LFS?

        enum CodingKeys: CodingKey { case type, path, size, oid, lfs }

        init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: CodingKeys.self)
            type = try container.decode(String.self, forKey: .type)
            path = try container.decode(String.self, forKey: .path)
            // Directories may have no size.
            size = try container.decodeIfPresent(Int.self, forKey: .size) ?? 0
            oid = try container.decodeIfPresent(String.self, forKey: .oid)
            lfs = try container.decodeIfPresent(LFS.self, forKey: .lfs)
        }
    }

    private static func decode<Value: Decodable>(_ body: [UInt8]) throws(Malformed) -> Value {
        do {
            return try JSONDecoder().decode(Value.self, from: Data(body))
        } catch {
            throw Malformed()
        }
    }
}

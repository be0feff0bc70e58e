import GRDB
import Storage
import Support

/// The shards of a revision, from its manifest.
package struct RevisionShards: Sendable {
    /// The SHA-256 of the manifest.
    package let digest: ContentDigest
    /// The size of each shard, in bytes.
    package let shards: [ContentDigest: Int]
    /// Bytes of all files.
    package let bytes: Int
    let manifest: Manifest
    package let text: [UInt8]

    /// - Parameter origin: the URL in error messages.
    /// - Throws: ``FetchError/wrongDigest(url:expected:found:)`` if the text has another digest.
    package init(_ text: [UInt8], digest: ContentDigest, origin: String) throws {
        let origin = origin.withoutURLSecrets
        let found = text.withUnsafeBytes { ContentDigest(of: $0) }
        guard found == digest else {
            throw FetchError.wrongDigest(
                url: "\(origin) manifest \(digest.short)", expected: "SHA-256 \(digest)", found: "SHA-256 \(found)")
        }
        let manifest = try Manifest(decoding: text, path: "\(origin) manifest \(digest.short)")
        guard !manifest.isPending else {
            throw FetchError.malformed(
                url: origin, expected: "the manifest of a complete revision", found: "a manifest of a pending revision")
        }
        for file in manifest.files { try RemotePath.check(file.path, url: origin) }
        self.digest = digest
        self.manifest = manifest
        self.text = text
        bytes = manifest.files.saturatingSum(\.content.bytes)
        shards = Dictionary(
            manifest.files.flatMap { $0.content.shards.map { ($0.digest, $0.bytes) } },
            uniquingKeysWith: { first, _ in first })
    }
}

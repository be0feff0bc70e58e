import GRDB
import Storage

/// The shards of a revision, as its manifest names them.
package struct RevisionShards: Sendable {
    /// The manifest's.
    package let digest: ContentDigest
    /// The bytes of each shard.
    package let shards: [ContentDigest: Int]
    /// Of all files.
    package let bytes: Int
    let manifest: Manifest
    package let text: [UInt8]

    /// - Parameter origin: for errors.
    /// - Throws: ``FetchError/wrongDigest(url:expected:found:)`` if the text is not that manifest.
    package init(_ text: [UInt8], digest: ContentDigest, origin: String) throws {
        let found = text.withUnsafeBytes { ContentDigest(of: $0) }
        guard found == digest else {
            throw FetchError.wrongDigest(
                url: "\(origin) manifest \(digest.short)", expected: "SHA-256 \(digest)", found: "SHA-256 \(found)")
        }
        let manifest = try Manifest(decoding: text, path: "\(origin) manifest \(digest.short)")
        guard !manifest.isPending else {
            throw FetchError.malformed(
                url: origin, expected: "the manifest of a whole revision", found: "one of a part of it")
        }
        for file in manifest.files { try FilePath.check(file.path, url: origin) }
        self.digest = digest
        self.manifest = manifest
        self.text = text
        bytes = manifest.files.reduce(0) { $0 + $1.content.bytes }
        shards = Dictionary(
            manifest.files.flatMap { $0.content.shards.map { ($0.digest, $0.bytes) } },
            uniquingKeysWith: { first, _ in first })
    }
}

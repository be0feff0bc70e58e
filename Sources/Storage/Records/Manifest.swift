import ModelFormats
import Support

/// The files of a revision as shards: sufficient to restore all of the revision's rows in the catalog.
///
/// The format is text with one fact per line, so that it can be streamed and read with `less`:
///
///     weightstore manifest 1
///     commit <40 hexadecimal digits>
///     file <sha256> <bytes> <format> <path>
///     rule <number of the cutting rule>
///     shard <sha256> <bytes> <head>
///     extent <number of the shard in this file> <offset in the shard> <length>
///     tensor <dtype> <shape or -> <offset in the file> <bytes> <name>
///     pending <sha256> <bytes> <format> <path>
///
/// `pending` is a file with missing bytes: only `tensor` lines follow it, and the bytes that have arrived are not
/// listed. A revision has a manifest with `pending` lines until its last byte arrives, and then one without them, with
/// another digest.
///
/// `rule` is absent for a file that is cut by the first rule, or that another rule cuts in the same way: the same files
/// have the same manifest, whichever version made it.
///
/// `commit` is present if the revision is from a hub. Files are sorted by path, byte by byte. `shard`, `extent` and
/// `tensor` lines belong to the file above them, in this order: shards in the order of their first use, extents and
/// tensors in file order. The last field of a line extends to the end of the line, with `\n`, `\r` and `\\` escaped.
/// The text depends only on the files and the commit, not on the model's name or other contents of the store. Its
/// SHA-256 is the revision's digest.
package struct Manifest: Equatable {
    /// A file of the revision.
    package struct File: Equatable {
        package var path: String
        package var content: FileContent

        package init(path: String, content: FileContent) {
            self.path = path
            self.content = content
        }
    }

    /// The hub's commit; nil if the revision is not from a hub.
    package var commit: String?
    /// The files, sorted by path.
    package var files: [File]

    /// Whether a file has missing bytes.
    package var isPending: Bool { files.contains { $0.content.isPending } }

    /// The most bytes of a manifest's text; a file with a million tensors has about 100 MB.
    package static let maximumBytes = 1 << 30
    /// The most bytes of the files of a revision (281 TB), so that sums over many revisions do not overflow.
    package static let maximumFileBytes = 1 << 48

    static let firstLine = "weightstore manifest 1"

    package init(commit: String?, files: [File]) {
        self.commit = commit
        self.files = files.sorted { ByteText($0.path) < ByteText($1.path) }
    }

    /// The manifest as text.
    package func encoded() -> [UInt8] { files.reduce(into: Self.head(commit: commit)) { $0 += $1.encoded() } }

    /// The lines before those of the files.
    static func head(commit: String?) -> [UInt8] {
        Array((firstLine + "\n" + (commit.map { "commit \($0)\n" } ?? "")).utf8)
    }

    fileprivate static func escape(_ text: String) -> String {
        guard text.utf8.contains(where: { $0 == 0x0A || $0 == 0x0D || $0 == 0x5C }) else { return text }
        return text.unicodeScalars.reduce(into: "") { result, scalar in
            switch scalar {
            case "\n": result += "\\n"
            case "\r": result += "\\r"
            case "\\": result += "\\\\"
            default: result.unicodeScalars.append(scalar)
            }
        }
    }
}

extension Manifest.File {
    /// The lines of the file.
    func encoded() -> [UInt8] {
        let kind = content.isPending ? "pending" : "file"
        var text = "\(kind) \(content.digest) \(content.bytes) \(content.format.rawValue) \(Manifest.escape(path))\n"
        if content.rule != ShardPlan.firstRule { text += "rule \(content.rule)\n" }
        for shard in content.shards {
            text += "shard \(shard.digest) \(shard.bytes) \(shard.head)\n"
        }
        for extent in content.extents {
            text += "extent \(extent.shard) \(extent.shardOffset) \(extent.length)\n"
        }
        for tensor in content.tensors {
            let shape = tensor.shape.isEmpty ? "-" : tensor.shape.map(String.init).joined(separator: ",")
            text += "tensor \(tensor.dtype) \(shape) \(tensor.offset) \(tensor.bytes) \(Manifest.escape(tensor.name))\n"
        }
        return Array(text.utf8)
    }
}

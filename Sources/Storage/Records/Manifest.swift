import ModelFormats

/// The files of a revision as shards: sufficient to restore all of the revision's rows in the catalog.
///
/// The format is text with one fact per line, so that it can be streamed and read with `less`:
///
///     weightstore manifest 1
///     commit <40 hexadecimal digits>
///     file <sha256> <bytes> <format> <path>
///     shard <sha256> <bytes> <head>
///     extent <number of the shard in this file> <offset in the shard> <length>
///     tensor <dtype> <shape or -> <offset in the file> <bytes> <name>
///     pending <sha256> <bytes> <format> <path>
///
/// `pending` is a file with missing bytes: only `tensor` lines follow it, and the bytes that have arrived are not
/// listed. A revision has a manifest with `pending` lines until its last byte arrives, and then one without them, with
/// another digest.
///
/// `commit` is present if the revision is from a hub. Files are sorted by path. `shard`, `extent` and `tensor` lines
/// belong to the file above them: shards in the order of their first use, extents and tensors in file order. The last
/// field of a line extends to the end of the line, with `\n`, `\r` and `\\` escaped. The text depends only on the files
/// and the commit, not on the model's name or other contents of the store. Its SHA-256 is the revision's digest.
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

    private static let firstLine = "weightstore manifest 1"

    package init(commit: String?, files: [File]) {
        self.commit = commit
        self.files = files.sorted { $0.path < $1.path }
    }

    /// The manifest as text.
    package func encoded() -> [UInt8] {
        var text = Self.firstLine + "\n"
        if let commit { text += "commit \(commit)\n" }
        for file in files {
            let content = file.content
            let kind = content.isPending ? "pending" : "file"
            text += "\(kind) \(content.digest) \(content.bytes) \(content.format.rawValue) \(Self.escape(file.path))\n"
            for shard in content.shards {
                text += "shard \(shard.digest) \(shard.bytes) \(shard.head)\n"
            }
            for extent in content.extents {
                text += "extent \(extent.shard) \(extent.shardOffset) \(extent.length)\n"
            }
            for tensor in content.tensors {
                let shape = tensor.shape.isEmpty ? "-" : tensor.shape.map(String.init).joined(separator: ",")
                text += "tensor \(tensor.dtype) \(shape) \(tensor.offset) \(tensor.bytes) \(Self.escape(tensor.name))\n"
            }
        }
        return Array(text.utf8)
    }

    /// Parses a manifest.
    ///
    /// - Parameter path: for the error.
    /// - Throws: ``StorageError/invalid(what:value:reason:)`` with the number of the malformed line.
    package init(decoding bytes: [UInt8], path: String) throws {
        var files: [File] = []
        var number = 0
        for line in String(decoding: bytes, as: UTF8.self).split(separator: "\n") {
            number += 1
            let fields = line.split(separator: " ", maxSplits: 5, omittingEmptySubsequences: false)
            let malformed = StorageError.invalid(what: "manifest", value: path, reason: "line \(number) is malformed")
            if number == 1 {
                guard line == Self.firstLine else { throw malformed }
                continue
            }
            /// The last field, from `index` on; its spaces have split it.
            func rest(_ index: Int) -> String { Self.unescape(fields[index...].joined(separator: " ")) }
            switch fields.first {
            case "commit" where fields.count == 2 && CommitName.isValid(String(fields[1])):
                commit = String(fields[1])
            case "file" where fields.count >= 5, "pending" where fields.count >= 5:
                guard let digest = ContentDigest(hex: fields[1]), let bytes = Int(fields[2]),
                    let format = FileFormat(rawValue: String(fields[3]))
                else { throw malformed }
                let content = FileContent(
                    digest: digest, bytes: bytes, format: format, shards: [], extents: [], tensors: [],
                    isPending: fields[0] == "pending")
                files.append(File(path: rest(4), content: content))
            case "shard" where fields.count == 4 && !files.isEmpty:
                guard let digest = ContentDigest(hex: fields[1]), let bytes = Int(fields[2]),
                    let head = Int64(fields[3])
                else { throw malformed }
                files[files.count - 1].content.shards.append(
                    ShardFacts(digest: digest, bytes: bytes, kind: .file, layer: nil, head: head))
            case "extent" where fields.count == 4 && !files.isEmpty:
                guard let shard = Int(fields[1]), let offset = Int(fields[2]), let length = Int(fields[3]),
                    files[files.count - 1].content.shards.indices.contains(shard)
                else { throw malformed }
                files[files.count - 1].content.extents.append(
                    Extent(shard: shard, shardOffset: offset, length: length))
            case "tensor" where fields.count == 6 && !files.isEmpty:
                let shape = fields[2] == "-" ? [] : fields[2].split(separator: ",").map { Int($0) }
                guard let offset = Int(fields[3]), let bytes = Int(fields[4]), !shape.contains(nil) else {
                    throw malformed
                }
                files[files.count - 1].content.tensors.append(
                    TensorInfo(
                        name: rest(5), dtype: String(fields[1]), shape: shape.compactMap(\.self), offset: offset,
                        bytes: bytes))
            default: throw malformed
            }
        }
        for index in files.indices { files[index].content.classifyShards() }
        self.files = files
    }

    private static func escape(_ text: String) -> String {
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

    private static func unescape(_ text: String) -> String {
        guard text.utf8.contains(0x5C) else { return text }
        var result = String.UnicodeScalarView()
        var escaped = false
        for scalar in text.unicodeScalars {
            if escaped {
                result.append(scalar == "n" ? "\n" : scalar == "r" ? "\r" : scalar)
                escaped = false
            } else if scalar == "\\" {
                escaped = true
            } else {
                result.append(scalar)
            }
        }
        return String(result)
    }
}

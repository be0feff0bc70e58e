extension FileFormat {
    /// The reason why a file of this format cannot have these first bytes, if they show what the file is instead: the
    /// reader's own error would only name the first rule that such bytes break.
    ///
    /// A git-lfs pointer is never the file that its name promises, whatever the format. Other content is only compared
    /// with a format that has a signature.
    ///
    /// - Parameter head: the first ``headBytes`` of the file.
    /// - Returns: nil if the bytes are those of the format, or unknown.
    func mismatch(_ head: [UInt8]) -> FormatError.Problem? {
        if head.starts(with: "version https://git-lfs.github.com/spec/v1".utf8) { return .gitLFSPointer }
        guard let reader, reader.recognizes(head) == false, let found = Self.foreignContent(head) else { return nil }
        return .foreignContent(found, expected: rawValue)
    }

    /// Whether a name says that the file is a part of one of this format, which was divided by size, and not complete:
    /// `model.gguf-split-a`, `model.safetensors.part1`. Such parts are published, and joined before they are used.
    func isPart(_ path: String) -> Bool {
        guard let reader, FileFormat(path: path) != self else { return false }
        let name = Self.fileName(of: path).lowercased()
        return reader.fileExtensions.contains { name.contains(".\($0)") }
    }

    /// A name for the content that begins with these bytes.
    private static func foreignContent(_ head: [UInt8]) -> String? {
        guard head.count >= 8 else { return nil }
        if head.starts(with: [0x50, 0x4B, 0x03, 0x04]) { return "a ZIP archive, as PyTorch writes" }
        if head.count == headBytes, head.allSatisfy({ $0 == 0 }) {
            return "a sequence of zeros, as of a download that was interrupted"
        }
        let isText = head.allSatisfy { 0x20...0x7E ~= $0 || 0x09...0x0D ~= $0 || $0 >= 0x80 }
        guard isText else { return nil }
        let line = head.drop { $0 <= 0x20 }.prefix { $0 > 0x1F }
        let start = String(decoding: line.prefix(40), as: UTF8.self)
        let lower = start.lowercased()
        if lower.hasPrefix("<!doctype html") || lower.hasPrefix("<html") { return "an HTML page" }
        return "text that begins with \"\(start)\""
    }
}

import Glibc

/// Files in which the kernel reports its state, such as those in `/proc`. They have no size, and end where a read
/// returns nothing.
package enum KernelFile {
    /// The most bytes that are read: the table of mounts of a machine with many containers has some MiB.
    package static let limit = 64 << 20

    /// The content of a file.
    ///
    /// - Returns: nil if the file cannot be read, or has more than ``limit`` bytes.
    package static func text(_ path: String) -> String? {
        guard let file = fopen(path, "re") else { return nil }
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 1 << 14)
        while bytes.count <= limit {
            let count = fread(&piece, 1, piece.count, file)
            if count == 0 { return ferror(file) == 0 ? String(decoding: bytes, as: UTF8.self) : nil }
            bytes += piece[..<count]
        }
        return nil
    }

    /// Why a file cannot be opened: a code of `errno`; nil if it can.
    package static func failure(_ path: String) -> Int32? {
        guard let file = fopen(path, "re") else { return errno }
        fclose(file)
        return nil
    }

    /// The lines of a file; none if it cannot be read.
    package static func lines(_ path: String) -> [String] { text(path)?.byteParts("\n") ?? [] }

    /// The words of a file with one line; none if it cannot be read.
    package static func words(_ path: String) -> [String] {
        lines(path).first?.byteParts(" ").filter { !$0.isEmpty } ?? []
    }

    /// The value of a file with one number.
    ///
    /// - Returns: nil if the file cannot be read, or has something else, such as `max`.
    package static func number(_ path: String) -> Int? { words(path).first.flatMap { Int(decimal: $0) } }
}

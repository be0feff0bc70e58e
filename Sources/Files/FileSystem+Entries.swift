import Glibc

/// The entries of a directory, without `.` and `..`.
///
/// A name may be any bytes. A name that is not UTF-8 has no `String` that names the file again, and two such names
/// would become the same text, so these names are kept separately.
package struct DirectoryEntries: Sendable {
    /// The names that are UTF-8, sorted by their bytes.
    package var names: [String] = []
    /// The other names as text for messages: each byte that is not ASCII is written as `\xFF`. No path is made of them.
    package var undecodable: [String] = []

    package var isEmpty: Bool { names.isEmpty && undecodable.isEmpty }
}

extension FileSystem {
    /// The names in a directory that are UTF-8, sorted by their bytes; empty if the directory does not exist.
    ///
    /// An error while the directory is read is thrown, and never mistaken for its end. The corresponding C function is
    /// `readdir`.
    package static func entries(_ path: String) throws(FileError) -> [String] { try listing(path).names }

    /// All entries of a directory; none if it does not exist.
    package static func listing(_ path: String) throws(FileError) -> DirectoryEntries {
        var entries = DirectoryEntries()
        for name in try rawNames(Array(path.utf8)) {
            if let text = String(validating: name, as: UTF8.self) {
                entries.names.append(text)
            } else {
                entries.undecodable.append(escaped(name))
            }
        }
        entries.names.sort(by: precedes)
        entries.undecodable.sort { $0.utf8.lexicographicallyPrecedes($1.utf8) }
        return entries
    }

    /// Whether a name is before another in the order of their bytes.
    private static func precedes(_ name: String, _ other: String) -> Bool {
        let isBefore = name.utf8.withContiguousStorageIfAvailable { name in
            other.utf8.withContiguousStorageIfAvailable { other in
                guard let first = name.baseAddress, let second = other.baseAddress else { return !other.isEmpty }
                let order = memcmp(first, second, min(name.count, other.count))
                return order == 0 ? name.count < other.count : order < 0
            }
        }
        return (isBefore ?? nil) ?? name.utf8.lexicographicallyPrecedes(other.utf8)
    }

    /// Removes a directory and its contents, whatever their names; symbolic links are removed, not followed.
    package static func removeTree(_ path: String) throws(FileError) { try removeTree(Array(path.utf8)) }

    private static func removeTree(_ path: [UInt8]) throws(FileError) {
        for name in try rawNames(path) {
            let child = path + [UInt8(ascii: "/")] + name
            var facts = stat()
            // It may have been removed meanwhile.
            guard lstat(characters(child), &facts) == 0 else { continue }
            if facts.st_mode & S_IFMT == S_IFDIR {
                try removeTree(child)
            } else if unlink(characters(child)) == -1, errno != ENOENT {
                throw .system(operation: "unlink", path: escaped(child), code: errno)
            }
        }
        if rmdir(characters(path)) == -1, errno != ENOENT {
            throw .system(operation: "rmdir", path: escaped(path), code: errno)
        }
    }

    private static func rawNames(_ path: [UInt8]) throws(FileError) -> [[UInt8]] {
        var names: [[UInt8]] = []
        guard let directory = try DirectoryReader(characters(path), path: escaped(path)) else { return names }
        try directory.forEach { name, _ in names.append(Array(name)) }
        return names
    }

    /// The files in a directory and their sizes, in no particular order; none if the directory does not exist.
    ///
    /// The sizes are read in the order of the inodes, which is that on the disk: of a hundred thousand files that are
    /// not in memory, another order reads each block of the inode table many times. The corresponding C function is
    /// `fstatat`; a symbolic link is followed.
    ///
    /// - Parameter parse: the meaning of a name, which it receives as bytes; nil for a file to leave out.
    /// - Returns: also the sizes, in bytes, with 0 for what is no regular file; without files that were removed meanwhile.
    package static func sizes<Name>(
        in path: String, _ parse: (UnsafeBufferPointer<UInt8>) -> Name?
    ) throws(FileError) -> [(name: Name, bytes: Int)] {
        guard let directory = try DirectoryReader(characters(Array(path.utf8)), path: path) else { return [] }
        var found: [(name: Name, inode: UInt64, text: Int)] = []
        var texts: [UInt8] = []
        try directory.forEach { text, inode in
            guard let name = parse(text) else { return }
            found.append((name, inode, texts.count))
            texts += text
            texts.append(0)
        }
        found.sort { $0.inode < $1.inode }
        var sizes: [(name: Name, bytes: Int)] = []
        sizes.reserveCapacity(found.count)
        for entry in found {
            if let bytes = try directory.bytes(ofFile: texts[entry.text...]) { sizes.append((entry.name, bytes)) }
        }
        return sizes
    }

    /// As an argument of a C function.
    private static func characters(_ path: [UInt8]) -> [CChar] { path.map { CChar(bitPattern: $0) } + [0] }

    /// The text itself if it is UTF-8.
    private static func escaped(_ path: [UInt8]) -> String {
        if let text = String(validating: path, as: UTF8.self) { return text }
        let digits = Array("0123456789ABCDEF".unicodeScalars)
        var text = String.UnicodeScalarView()
        for byte in path {
            if byte < 0x80 {
                text.append(Unicode.Scalar(byte))
            } else {
                text.append(contentsOf: "\\x".unicodeScalars)
                text.append(digits[Int(byte >> 4)])
                text.append(digits[Int(byte & 15)])
            }
        }
        return String(text)
    }
}

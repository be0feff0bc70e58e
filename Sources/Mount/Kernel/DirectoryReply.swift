import CFUSE
import Glibc

/// The entries of a directory as the kernel reads them: each is padded to 8 bytes.
struct DirectoryReply {
    private(set) var bytes: [UInt8] = []
    private let capacity: Int

    /// - Parameter capacity: the most bytes that the kernel receives.
    init(capacity: Int) { self.capacity = capacity }

    /// The header of an entry without its name. Its last member is an array of no size.
    private static let headerBytes = MemoryLayout<UInt64>.size * 3

    private static func padded(_ count: Int) -> Int { (count + 7) & ~7 }

    func hasSpace(for name: String, withAttributes: Bool) -> Bool {
        let attributes = withAttributes ? MemoryLayout<fuse_entry_out>.size : 0
        return bytes.count + attributes + Self.padded(Self.headerBytes + name.utf8.count) <= capacity
    }

    /// Appends an entry without attributes: the kernel looks it up when it is used.
    ///
    /// - Parameters:
    ///   - next: the offset of the next entry.
    ///   - withAttributes: whether the reply has attributes of others.
    /// - Returns: false if there is no space for it.
    mutating func append(_ name: String, isDirectory: Bool, _ next: UInt64, withAttributes: Bool) -> Bool {
        guard hasSpace(for: name, withAttributes: withAttributes) else { return false }
        if withAttributes { append(fuse_entry_out()) }
        // FUSE_UNKNOWN_INO of libfuse.
        append(name, isDirectory, next, inode: 0xffff_ffff)
        return true
    }

    /// Appends an entry with attributes. There must be space for it.
    mutating func append(_ name: String, isDirectory: Bool, _ next: UInt64, _ entry: fuse_entry_out) {
        append(entry)
        append(name, isDirectory, next, inode: entry.attr.ino)
    }

    private mutating func append(_ name: String, _ isDirectory: Bool, _ next: UInt64, inode: UInt64) {
        let end = bytes.count + Self.padded(Self.headerBytes + name.utf8.count)
        append(inode)
        append(next)
        append(UInt32(name.utf8.count))
        append(UInt32(isDirectory ? DT_DIR : DT_REG))
        bytes += name.utf8
        bytes += [UInt8](repeating: 0, count: end - bytes.count)
    }

    private mutating func append<Value: BitwiseCopyable>(_ value: Value) {
        withUnsafeBytes(of: value) { bytes += $0 }
    }
}

import CLinux
import Glibc

/// Blocks of a file system that several files share.
extension FileDescriptor {
    /// The size of a block of the file system, in bytes; 0 if it is unknown. The corresponding C function is `fstatvfs`.
    var blockBytes: Int {
        var facts = statvfs()
        return fstatvfs(raw, &facts) == 0 ? Int(clamping: facts.f_bsize) : 0
    }

    /// Makes a range share the blocks of another file, from an offset there: the bytes are equal, and take no space until
    /// one of them is written. The corresponding call is `ioctl` with `FICLONERANGE`.
    ///
    /// - Parameters:
    ///   - range: begins at a block; it ends with one, too, unless both files end there.
    ///   - offset: the position in the source, of a block.
    /// - Returns: 0, or the `errno`.
    func clone(_ range: Range<Int>, of source: borrowing FileDescriptor, at offset: Int) -> Int32 {
        clinux_clone_range(raw, Int64(range.lowerBound), source.raw, Int64(offset), Int64(range.count))
    }
}

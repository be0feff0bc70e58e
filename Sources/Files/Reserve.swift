import Glibc

/// A few MiB of disk that belong to nobody, given up when the disk is full, so that `gc` can run: SQLite can't be
/// opened, nor commit a removal, without any space at all.
///
/// Whoever opens a store on a full disk gives the reserve up, and takes back what is left of it when it is done:
/// `ls` on a full disk must not use up what `gc` will need. An import, which may fill any disk, begins only with the
/// reserve in place.
package struct Reserve {
    package static let bytes = 8 << 20
    private static let step = 64 << 10

    package let path: String

    package init(path: String) {
        self.path = path
    }

    /// Takes the space, if it is not taken and can be had without filling the disk.
    package func restore() throws {
        if let status = try FileSystem.status(path), status.bytes == Self.bytes { return }
        guard try FileSystem.availableBytes(FileSystem.parent(of: path)) > 4 * Self.bytes else { return }
        // Somebody else took the space first: the next gc tries again.
        _ = try take(Self.bytes)
    }

    /// Takes as much as is there, up to the full size.
    package func takeBack() throws {
        if FileSystem.exists(path) { return }
        let free = try FileSystem.freeBytes(FileSystem.parent(of: path))
        // A little less than is free: the file system needs blocks of its own for a file.
        for attempt in 0..<8 {
            let bytes = min(free / Self.step * Self.step, Self.bytes) - (attempt * attempt) * Self.step
            if bytes <= 0 { return }
            if try take(bytes) { return }
        }
    }

    /// Throws ``FileError/diskFull(path:)`` if there is no reserve, and no space for one.
    package func require() throws {
        if FileSystem.exists(path) { return }
        try takeBack()
        guard FileSystem.exists(path) else { throw FileError.diskFull(path: path) }
    }

    package func giveUp() throws {
        try FileSystem.remove(path)
    }

    /// - Returns: false, with no reserve left, if the space is not there.
    private func take(_ bytes: Int) throws -> Bool {
        let file = try FileDescriptor(path, O_RDWR | O_CREAT)
        if posix_fallocate(file.raw, 0, off_t(bytes)) == 0 { return true }
        try giveUp()
        return false
    }
}

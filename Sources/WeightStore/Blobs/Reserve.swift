import Glibc

/// A few MiB of disk that belong to nobody, given up when the disk is full, so that `gc` can run: SQLite can't be
/// opened, nor commit a removal, without any space at all.
struct Reserve {
    static let bytes = 8 << 20

    let path: String

    /// Takes the space, if it is not taken and can be had without filling the disk.
    func restore() throws {
        if let status = try FileSystem.status(path), status.bytes == Self.bytes { return }
        guard try FileSystem.availableBytes(FileSystem.parent(of: path)) > 4 * Self.bytes else { return }
        let file = try FileDescriptor(path, O_RDWR | O_CREAT)
        let code = posix_fallocate(file.raw, 0, off_t(Self.bytes))
        // Somebody else took the space first: the next gc tries again.
        if code != 0 { try giveUp() }
    }

    func giveUp() throws {
        try FileSystem.remove(path)
    }
}

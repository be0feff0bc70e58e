import CLinux
import Glibc
import Support

/// System calls on paths.
package enum FileSystem {
    /// The status of a path.
    ///
    /// - Parameter following: whether to follow a symbolic link.
    /// - Returns: nil if the path does not exist.
    package static func status(_ path: String, following: Bool = true) throws(FileError) -> FileStatus? {
        var facts = stat()
        if (following ? stat(path, &facts) : lstat(path, &facts)) == 0 { return FileStatus(facts) }
        if errno == ENOENT || errno == ENOTDIR { return nil }
        throw .system(operation: "stat", path: path, code: errno)
    }

    package static func exists(_ path: String) -> Bool {
        access(path, F_OK) == 0
    }

    /// Whether the file system says that the path does not exist (`ENOENT`). Every other failure is an error: a file
    /// that cannot be read is not a file that does not exist.
    ///
    /// The corresponding C function is `lstat`.
    package static func isAbsent(_ path: String) throws(FileError) -> Bool {
        var facts = stat()
        if lstat(path, &facts) == 0 { return false }
        if errno == ENOENT { return true }
        throw .system(operation: "stat", path: path, code: errno)
    }

    /// The reason why this process cannot write to a path, as `errno`; nil if it can, or if the path does not exist.
    ///
    /// The corresponding C function is `faccessat`, with `AT_EACCESS`.
    package static func writeProblem(_ path: String) -> Int32? {
        let atEffective: Int32 = 0x200  // AT_EACCESS
        if faccessat(AT_FDCWD, path, W_OK, atEffective) == 0 || errno == ENOENT { return nil }
        return errno
    }

    /// Whether this process can read a path. The corresponding C function is `access`.
    package static func isReadable(_ path: String) -> Bool { access(path, R_OK) == 0 }

    /// Whether the file system of a path is mounted read-only.
    package static func isReadOnlyMount(_ path: String) throws(FileError) -> Bool {
        var facts = statvfs()
        try retrying("statvfs", path) { statvfs(path, &facts) }
        return facts.f_flag & 1 != 0  // ST_RDONLY
    }

    /// Creates the directory `path` and its missing parents, durably.
    package static func createDirectory(_ path: String) throws(FileError) {
        if let status = try status(path) {
            guard status.isDirectory else { throw .system(operation: "mkdir", path: path, code: ENOTDIR) }
            return
        }
        let parent = parent(of: path)
        try createDirectory(parent)
        if mkdir(path, 0o777) == -1, errno != EEXIST { throw .failed("mkdir", path, errno) }
        try syncDirectory(parent)
    }

    /// Makes the entries of a directory durable: creations, renames and removals.
    package static func syncDirectory(_ path: String) throws(FileError) {
        try FileDescriptor(path, O_RDONLY | O_DIRECTORY).sync()
    }

    package static func rename(_ old: String, to new: String) throws(FileError) {
        try retrying("rename", new) { Glibc.rename(old, new) }
    }

    /// Removes a file.
    ///
    /// - Returns: false if the path did not exist.
    @discardableResult
    package static func remove(_ path: String) throws(FileError) -> Bool {
        if unlink(path) == 0 { return true }
        if errno == ENOENT { return false }
        throw .system(operation: "unlink", path: path, code: errno)
    }

    /// Reads a file, pipe or device to its end.
    ///
    /// - Parameter limit: the most bytes that are read into memory.
    /// - Throws: ``FileError/tooLarge(path:limit:)`` for a larger file.
    package static func read(_ path: String, limit: Int) throws(FileError) -> [UInt8] {
        try FileDescriptor(path, O_RDONLY).readAll(limit: limit)
    }

    /// Reads a file to its end and discards the bytes. Does nothing if the file does not exist.
    ///
    /// - Throws: the error of the first read that fails.
    package static func requireReadable(_ path: String) throws(FileError) {
        guard let file = try FileDescriptor.openIfPresent(path) else { return }
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 4096)
        defer { buffer.deallocate() }
        var offset = 0
        while true {
            let count = try file.read(at: offset, into: buffer)
            if count < buffer.count { return }
            offset += count
        }
    }

    /// The absolute path with every symbolic link resolved.
    ///
    /// - Throws: `EILSEQ` if it is not UTF-8.
    package static func resolve(_ path: String) throws(FileError) -> String {
        guard let resolved = realpath(path, nil) else {
            throw .system(operation: "realpath", path: path, code: errno)
        }
        defer { free(resolved) }
        guard let text = String(validatingCString: resolved) else {
            throw .system(operation: "realpath", path: path, code: EILSEQ)
        }
        return text
    }

    /// The free bytes of the file system of `path` that an ordinary user can write.
    package static func availableBytes(_ path: String) throws(FileError) -> Int {
        try space(path).available
    }

    /// The file system of `path`: the free bytes that an ordinary user can write, and its size without the free blocks
    /// that are reserved for root, from which `df` computes its percentage, too.
    package static func space(_ path: String) throws(FileError) -> (available: Int, total: Int) {
        var facts = statvfs()
        try retrying("statvfs", path) { statvfs(path, &facts) }
        let reserved = facts.f_bfree.subtractingReportingOverflow(facts.f_bavail)
        let size = facts.f_blocks.subtractingReportingOverflow(reserved.overflow ? 0 : reserved.partialValue)
        return (bytes(facts.f_bavail, facts), bytes(size.overflow ? facts.f_blocks : size.partialValue, facts))
    }

    /// The free bytes of the file system of `path` that this user can write; root may use the reserved blocks, too.
    package static func freeBytes(_ path: String) throws(FileError) -> Int {
        var facts = statvfs()
        try retrying("statvfs", path) { statvfs(path, &facts) }
        return bytes(geteuid() == 0 ? facts.f_bfree : facts.f_bavail, facts)
    }

    /// The size of some blocks. File systems without a limit may report any number.
    private static func bytes(_ blocks: fsblkcnt_t, _ facts: statvfs) -> Int {
        Int(clamping: blocks).multiplied(saturating: Int(clamping: facts.f_frsize))
    }

    /// Whether the file system of `path`, which need not exist, has free bytes and cannot hold more files. The
    /// corresponding C function is `statvfs`.
    package static func lacksInodes(_ path: String) -> Bool {
        var facts = statvfs()
        guard statvfs(path, &facts) == 0 || statvfs(parent(of: path), &facts) == 0 else { return false }
        // A file system without a fixed number of inodes reports 0 of them.
        return facts.f_files > 0 && facts.f_favail == 0 && facts.f_bavail > 0
    }

    /// File systems that other machines share, by their numbers: from statfs(2), linux/magic.h, and the sources of BeeGFS,
    /// OrangeFS and vboxsf.
    package static let networks: [Int64: String] = [
        0x6969: "NFS", 0x517B: "SMB", 0xFF53_4D42: "CIFS", 0xFE53_4D42: "SMB2", 0x5346_414F: "AFS",
        0x6B41_4653: "kAFS", 0x00C3_6400: "CephFS", 0x0102_1997: "9P", 0x0BD0_0BD0: "Lustre",
        0x7461_636F: "OCFS2", 0x0116_1970: "GFS2", 0x4750_4653: "GPFS", 0x1983_0326: "BeeGFS",
        0x2003_0528: "OrangeFS", 0x786F_4256: "vboxsf",
    ]

    /// Whether `syncfs` writes all files of the file system, so that a sync of their directories makes them durable. FUSE does
    /// not request it of its server, and others are unknown. The numbers are from linux/magic.h: ext2 to ext4, XFS, btrfs.
    package static func syncsAsAWhole(_ path: String) -> Bool {
        [0xEF53, 0x5846_5342, 0x9123_683E].contains(clinux_file_system_type(path) & 0xFFFF_FFFF)
    }

    /// Whether a failed write of a file's pages is recorded for each descriptor of it (`FileDescriptor.reportFailedWrite`):
    /// where `syncFileSystem` is a whole sync, and on tmpfs, which writes to no disk. overlayfs records it for another file.
    package static func recordsFailedWrites(_ path: String) -> Bool {
        syncsAsAWhole(path) || clinux_file_system_type(path) & 0xFFFF_FFFF == 0x0102_1994
    }

    /// Rejects file systems on which SQLite's WAL does not work because they share no memory between machines.
    ///
    /// ``FUSEFileSystem`` tells those of FUSE apart.
    ///
    /// - Returns: the name of a FUSE file system of which it is not known whether WAL works; nil for all others.
    /// - Throws: ``FileError/networkFileSystem(path:fileSystem:)``.
    @discardableResult
    package static func requireLocal(_ path: String) throws(FileError) -> String? {
        let type = clinux_file_system_type(path)
        if type == -1 { throw .system(operation: "statfs", path: path, code: errno) }
        if let name = networks[type & 0xFFFF_FFFF] { throw .networkFileSystem(path: path, fileSystem: name) }
        let fuse: Int64 = 0x6573_5546
        guard type & 0xFFFF_FFFF == fuse, let device = try status(path)?.deviceNumbers else { return nil }
        let name = FUSEFileSystem.name(ofDevice: device, in: MountTable())
        switch FUSEFileSystem.support(of: name) {
        case .works: return nil
        case .fails: throw .networkFileSystem(path: path, fileSystem: "\(name) (FUSE)")
        case .unknown: return name
        }
    }

    /// The path without its last component.
    package static func parent(of path: String) -> String {
        let folder = folder(of: path)
        if !folder.isEmpty { return folder }
        return path.utf8.first == UInt8(ascii: "/") ? "/" : "."
    }

    /// The folder of a file by a relative path, such as those of a revision; empty if the path has one component.
    package static func folder(of path: String) -> String {
        // By byte: a `Character` may join the slash and a combining mark after it.
        String(path[..<(path.utf8.lastIndex(of: UInt8(ascii: "/")) ?? path.startIndex)])
    }

    /// The last component of a path.
    package static func name(of path: String) -> String {
        let slash = path.utf8.lastIndex(of: UInt8(ascii: "/"))
        return String(path[(slash.map(path.utf8.index(after:)) ?? path.startIndex)...])
    }
}

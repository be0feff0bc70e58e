import Glibc

/// Creates the files and directories of a store, which several users may share.
///
/// What is created gets, from the directory that it is created in:
///
/// * **the owner**, if root creates it in a directory of another user, as SQLite does for its own files. So a cron job of
///   root leaves nothing in a user's store that the user cannot write;
/// * **the permissions of the group and of others**, if the directory is shared: it has the set-group-ID bit, and the group
///   may write. Then the umask of the creating user does not count, because the other members need the same rights.
///
/// Otherwise the umask decides.
package enum StoreFile {
    private static let setGroupID: mode_t = 0o2000  // S_ISGID
    /// The bits of a shared directory.
    private static let sharedMode: mode_t = 0o2020  // S_ISGID | S_IWGRP

    /// Opens a regular file, and creates it if it is missing. The corresponding C function is `open`.
    ///
    /// - Parameters:
    ///   - flags: with `O_EXCL`, the file must not exist.
    ///   - mode: the most permissions of a new file, whatever its directory gives.
    /// - Throws: ``FileError/notRegular(path:found:)`` also for a symbolic link to nothing.
    package static func open(
        _ path: String, _ flags: Int32, mode: mode_t = 0o666
    ) throws(FileError) -> FileDescriptor {
        while true {
            if flags & O_EXCL == 0 {
                do {
                    return try FileDescriptor.regular(path, flags & ~O_CREAT)
                } catch .system(_, _, ENOENT) {
                    // It is created below.
                }
            }
            do {
                let file = try FileDescriptor(path, flags | O_CREAT | O_EXCL, mode: mode)
                try adopt(file, Parent(of: path), mode)
                return file
            } catch .system(_, _, EEXIST) where flags & O_EXCL == 0 {
                // Another process has created it, unless it is a link to nothing.
                guard try FileSystem.status(path) == nil,
                    let status = try FileSystem.status(path, following: false), status.isLink
                else { continue }
                throw FileError.notRegular(path: path, found: "a symbolic link to nothing")
            }
        }
    }

    /// Creates a directory and its missing parents, durably.
    package static func createDirectory(_ path: String) throws(FileError) {
        if let status = try FileSystem.status(path) {
            guard status.isDirectory else { throw .system(operation: "mkdir", path: path, code: ENOTDIR) }
            return
        }
        let parent = FileSystem.parent(of: path)
        try createDirectory(parent)
        try createDirectoryUnsynced(path)
        try FileSystem.syncDirectory(parent)
    }

    /// Creates a directory in an existing one, and does not sync it.
    package static func createDirectoryUnsynced(_ path: String) throws(FileError) {
        if mkdir(path, 0o777) == -1 {
            let code = errno
            if code == EEXIST { return }
            throw .failed("mkdir", path, code)
        }
        let parent = try Parent(of: path)
        guard parent.owner != nil || parent.isShared else { return }
        let directory = try FileDescriptor(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
        try adopt(directory, parent, 0o777 | setGroupID)
    }

    /// Gives the group a directory, what is in it, and what is created in it later: the group may do what the owner may, and
    /// others nothing. Symbolic links are not followed.
    package static func share(_ path: String, withGroup group: gid_t) throws(FileError) {
        guard let status = try FileSystem.status(path, following: false), !status.isLink else { return }
        // It may have been removed meanwhile.
        guard let file = try openIfPresent(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK) else { return }
        try retrying("fchown", path) { fchown(file.raw, uid_t.max, group) }
        let owner = status.permissions & 0o700
        // After the change of the group, which clears the set-group-ID bit of a file.
        try file.setMode(owner | owner >> 3 | (status.isDirectory ? setGroupID : 0))
        guard status.isDirectory else { return }
        for name in try FileSystem.entries(path) { try share("\(path)/\(name)", withGroup: group) }
    }

    private static func openIfPresent(_ path: String, _ flags: Int32) throws(FileError) -> FileDescriptor? {
        do {
            return try FileDescriptor(path, flags)
        } catch .system(_, _, ENOENT) {
            return nil
        }
    }

    /// The rights that a new file gets from its directory.
    private struct Parent {
        /// Nil if the creating user keeps the file.
        let owner: (user: uid_t, group: gid_t)?
        let isShared: Bool
        let permissions: mode_t

        init(of path: String) throws(FileError) {
            var facts = stat()
            let directory = FileSystem.parent(of: path)
            try retrying("stat", directory) { stat(directory, &facts) }
            owner = geteuid() == 0 && facts.st_uid != 0 ? (facts.st_uid, facts.st_gid) : nil
            isShared = facts.st_mode & StoreFile.sharedMode == StoreFile.sharedMode
            permissions = facts.st_mode & 0o777
        }
    }

    /// - Parameter mode: the most permissions of the file.
    private static func adopt(
        _ file: borrowing FileDescriptor, _ parent: Parent, _ mode: mode_t
    ) throws(FileError) {
        let (raw, path) = (file.raw, file.path)
        if let owner = parent.owner { try retrying("fchown", path) { fchown(raw, owner.user, owner.group) } }
        guard parent.isShared else { return }
        try file.setMode((parent.permissions | setGroupID) & mode)
    }
}

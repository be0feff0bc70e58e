import CFUSE
import Files
import Glibc
import Support

/// A directory on which the kernel shows the mounted store, and the calls that mount and unmount it: `mount(2)` for root,
/// otherwise `fusermount3`, which is installed with the rights to do so.
struct MountPoint: Sendable {
    /// The type in the table of mounts.
    static let type = "fuse.weightstore"

    /// The absolute path, without symbolic links.
    let path: String
    /// The source in the table of mounts: the store.
    private let source: String

    /// Removes the mount of a server that was killed, if there is one.
    ///
    /// - Throws: ``MountError``, `FileError`.
    init(_ directory: String, source: String) throws {
        path = try Self.resolve(directory)
        self.source = source
        if mounted != nil {
            guard isDead else { throw MountError.alreadyMounted(path: path) }
            unmount()
        }
        var facts = stat()
        guard stat(path, &facts) == 0 else { throw FileError.system(operation: "stat", path: path, code: errno) }
        guard facts.st_mode & S_IFMT == S_IFDIR else { throw MountError.notADirectory(path: path) }
    }

    /// Resolves the parent alone, unless the directory is a symbolic link: a server that was killed has left a directory of
    /// which not even the status can be read.
    private static func resolve(_ directory: String) throws -> String {
        var given = directory
        while given.utf8.count > 1, let shorter = given.dropping(byteSuffix: "/") { given = shorter }
        let name = FileSystem.name(of: given)
        if name.isEmpty || name == "." || name == ".." { return try FileSystem.resolve(given) }
        let parent = try FileSystem.resolve(FileSystem.parent(of: given))
        let path = parent == "/" ? "/\(name)" : "\(parent)/\(name)"
        var facts = stat()
        guard lstat(path, &facts) == 0, facts.st_mode & S_IFMT == S_IFLNK else { return path }
        return try FileSystem.resolve(path)
    }

    /// Whether the mount has no server.
    private var isDead: Bool {
        var facts = stat()
        return stat(path, &facts) != 0 && errno == ENOTCONN
    }

    /// The mount of a store that is on top at this path.
    private var mounted: MountTable.Mount? {
        guard let top = MountTable().mounts.last(where: { ByteText($0.point) == ByteText(path) }) else { return nil }
        return top.type.hasBytePrefix(Self.type) ? top : nil
    }

    /// Mounts, and returns the device from which requests are read.
    ///
    /// - Parameter allowsOthers: whether other users may read.
    func mount(allowsOthers: Bool) throws(MountError) -> FUSEDevice {
        if geteuid() == 0 { return try mountDirectly(allowsOthers) }
        return try mountByHelper(allowsOthers)
    }

    private func mountDirectly(_ allowsOthers: Bool) throws(MountError) -> FUSEDevice {
        let device = try FUSEDevice(for: path)
        var options = "fd=\(device.descriptor),rootmode=40000,user_id=\(geteuid()),group_id=\(getegid())"
        options += ",default_permissions" + (allowsOthers ? ",allow_other" : "")
        let flags = UInt(MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOATIME)
        guard Glibc.mount(source, path, Self.type, flags, options) == 0 else {
            let code = errno
            let hint = code == EPERM ? " (a container needs the capability SYS_ADMIN to mount)" : ""
            throw .refused(path: path, reason: FileError.text(of: code) + hint)
        }
        return device
    }

    private func mountByHelper(_ allowsOthers: Bool) throws(MountError) -> FUSEDevice {
        // fusermount3 opens the device, too; its own report of a failure is less clear.
        _ = try FUSEDevice(for: path)
        // A comma or a backslash in the name of the source would end the option.
        let name = source.unicodeScalars.map { $0 == "," || $0 == "\\" ? "\\\($0)" : "\($0)" }.joined()
        let options =
            "ro,nosuid,nodev,noatime,fsname=\(name),subtype=weightstore,default_permissions"
            + (allowsOthers ? ",allow_other" : "")
        return try FUSEHelper.mount(path, options: options)
    }

    /// Unmounts, also while files are open: their reads then fail once the server has ended. Does nothing if another file
    /// system was mounted there meanwhile.
    func unmount() {
        guard mounted != nil else { return }
        if geteuid() == 0, umount2(path, Int32(MNT_DETACH)) == 0 { return }
        FUSEHelper.unmount(path)
    }

    /// Raises the read-ahead of the mount above the 128 KiB that the kernel grants.
    ///
    /// - Returns: false if the program may not do that.
    func setReadAhead(kibibytes: Int) -> Bool {
        guard let mounted else { return false }
        let file = open("/sys/class/bdi/\(mounted.major):\(mounted.minor)/read_ahead_kb", O_WRONLY | O_CLOEXEC)
        guard file >= 0 else { return false }
        defer { close(file) }
        let text = "\(kibibytes)"
        return write(file, text, text.utf8.count) == text.utf8.count
    }
}

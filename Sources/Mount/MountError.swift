import Files

/// An error that prevents a mount.
public enum MountError: Error, Sendable, Equatable {
    /// The kernel has no FUSE, or the program may not use it; `code` is the `errno` of opening the device.
    case noDevice(path: String, code: Int32)
    /// The program is not root, and has no `fusermount3`, which mounts for other users.
    case noHelper(path: String)
    /// The kernel or `fusermount3` refused.
    case refused(path: String, reason: String)
    /// The target is not a directory.
    case notADirectory(path: String)
    /// A store is already mounted there.
    case alreadyMounted(path: String)
}

extension MountError: CustomStringConvertible {
    /// The directory, the failure and the next step.
    public var description: String {
        switch self {
        case .noDevice(let path, let code):
            """
            \(path): cannot open /dev/fuse: \(FileError.text(of: code)). The kernel needs FUSE (modprobe fuse), a container \
            needs the device (--device /dev/fuse), and users other than root need the permission to open it (mode 0666).
            """
        case .noHelper(let path):
            """
            \(path): fusermount3 was not found, with which users other than root mount. It is in the package fuse3.
            """
        case .refused(let path, let reason): "\(path): cannot be mounted: \(reason)."
        case .notADirectory(let path): "\(path): not a directory."
        case .alreadyMounted(let path): "\(path): a store is mounted there. Unmount it first: umount \(path)"
        }
    }
}

import Glibc
import Support

/// The fields of `stat` that the store uses.
package struct FileStatus: Equatable {
    package let device: Int64
    package let inode: Int64
    package let bytes: Int
    package let links: Int
    package let owner: uid_t
    /// The time of the last change of the content, in nanoseconds since 1970. Times before 1677 and after 2262 do not fit;
    /// they become the nearest time that does.
    package let modified: Int64
    /// The time of the last change of the content or the inode, as `modified`.
    package let changed: Int64
    private let mode: mode_t
    /// The permissions of owner, group and others.
    package var permissions: mode_t { mode & 0o777 }

    package init(_ facts: stat) {
        device = Int64(bitPattern: UInt64(facts.st_dev))
        inode = Int64(bitPattern: UInt64(facts.st_ino))
        bytes = Int(facts.st_size)
        links = Int(facts.st_nlink)
        owner = facts.st_uid
        modified = Self.nanoseconds(facts.st_mtim)
        changed = Self.nanoseconds(facts.st_ctim)
        mode = facts.st_mode
    }

    /// The major and the minor number of the device.
    package var deviceNumbers: (Int, Int) {
        let device = UInt64(bitPattern: device)
        return (
            Int(device >> 8 & 0xFFF | device >> 32 & 0xFFFF_F000), Int(device & 0xFF | device >> 12 & 0xFFFF_FF00)
        )
    }

    private static func nanoseconds(_ time: timespec) -> Int64 {
        Int64(time.tv_sec).multiplied(saturating: 1_000_000_000).adding(saturating: Int64(time.tv_nsec))
    }

    /// Whether the content and the inode were last changed more than `nanoseconds` before `moment`.
    package func isOlder(than nanoseconds: Int64, at moment: Int64) -> Bool {
        moment.subtracting(saturating: max(modified, changed)) > nanoseconds
    }

    /// Whether this process may change the permissions: it is the owner's, or root's.
    package var isOwned: Bool { owner == geteuid() || geteuid() == 0 }

    package var isDirectory: Bool { mode & S_IFMT == S_IFDIR }
    package var isLink: Bool { mode & S_IFMT == S_IFLNK }
    package var isFile: Bool { mode & S_IFMT == S_IFREG }

    /// The kind of file, for messages.
    package var kind: String {
        switch mode & S_IFMT {
        case S_IFREG: "a regular file"
        case S_IFDIR: "a directory"
        case S_IFLNK: "a symbolic link"
        case S_IFIFO: "a FIFO"
        case S_IFSOCK: "a socket"
        case S_IFCHR, S_IFBLK: "a device"
        default: "a file of unknown kind"
        }
    }
}

import Foundation
import Glibc
import TestSupport

/// The capabilities of the machine that runs the tests.
enum Machine {
    static let isRoot = geteuid() == 0

    /// Whether strace may trace children and tamper with their system calls.
    static let traces = succeeds("strace", "-f", "-o", "/dev/null", "--seccomp-bpf", "-e", "trace=none", "true")

    /// Whether file systems can be mounted from an image. Debian's e2fsprogs makes them.
    static let mountsImages: Bool = {
        guard isRoot, let disk = try? Disk.ext4(megabytes: 8) else { return false }
        return FileManager.default.fileExists(atPath: disk("lost+found"))
    }()

    /// Whether XFS can be mounted from an image. Debian's xfsprogs makes it.
    static let mountsXFS = isRoot && (try? Disk.xfs()) != nil

    static let mountsMemory = isRoot && (try? Disk.memory(megabytes: 1)) != nil

    /// Whether a FUSE file system can be mounted, with Debian's bindfs.
    static let mountsFUSE = isRoot && access("/dev/fuse", R_OK | W_OK) == 0 && succeeds("bindfs", "--version")

    /// Whether children can run the tool as other users.
    static let runsAsOthers =
        isRoot && succeeds("setpriv", "--reuid", "61001", "--clear-groups", Tool.path, "--version")

    /// Whether directories can be mounted in a namespace of their own.
    static let mountsPrivately = isRoot && succeeds("unshare", "-m", "true")

    static let measures = succeeds("/usr/bin/time", "-f", "%M", "true")

    /// Whether control groups of version 1 limit memory.
    static let limitsMemory = isRoot && (try? MemoryGroup(bytes: 1 << 30)) != nil

    static let tracing = "strace is needed, and the right to use it"
    static let images = "root is needed, with mount, loop devices and mkfs.ext4"
    static let xfs = "root is needed, with mount, loop devices and mkfs.xfs"
    static let memory = "root is needed, to mount a tmpfs"
    static let fuse = "root, /dev/fuse and bindfs are needed"
    static let others = "root is needed, with setpriv, and a tool that other users may run"
    static let namespaces = "root is needed, with unshare -m"
    static let groups = "root is needed, with the memory controller of control groups of version 1"
    static let time = "GNU time is needed as /usr/bin/time"

    private static func succeeds(_ command: String...) -> Bool {
        (try? ChildProcess.run(command).status) == 0
    }
}

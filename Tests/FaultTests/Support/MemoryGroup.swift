import Foundation
import Glibc
import Support
import TestSupport

/// A control group of version 1 that limits memory, as long as the value lives.
final class MemoryGroup {
    private let path: String

    /// - Parameter bytes: the limit.
    init(bytes: Int) throws {
        let mount = MountTable().mounts.first { $0.type == "cgroup" && $0.options.contains("memory") }
        guard let mount else { throw ChildProcess.Failed(command: ["mkdir"], reason: "no memory controller") }
        path = "\(mount.point)/weightstore-test-\(UUID().uuidString.prefix(8))"
        guard mkdir(path, 0o755) == 0 else {
            throw ChildProcess.Failed(command: ["mkdir", path], reason: String(cString: strerror(errno)))
        }
        try ChildProcess.check("/bin/sh", "-c", "echo \(bytes) >\(path)/memory.limit_in_bytes")
    }

    deinit { rmdir(path) }

    /// The words before a program that runs in the group.
    var prefix: [String] { ["/bin/sh", "-c", "echo $$ >\(path)/cgroup.procs && exec \"$@\"", "sh"] }
}

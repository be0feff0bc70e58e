import CFUSE
import Files
import Glibc
import Support

/// `fusermount3`, the program of the package fuse3 that mounts for users other than root. It sends the descriptor of the
/// mount over the socket whose number is in `_FUSE_COMMFD`.
enum FUSEHelper {
    private static let name = "fusermount3"

    /// - Parameter options: as mount(8) has them, separated by commas.
    static func mount(_ path: String, options: String) throws(MountError) -> FUSEDevice {
        var ends: [Int32] = [-1, -1]
        guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0, &ends) == 0 else {
            throw .refused(path: path, reason: FileError.text(of: errno))
        }
        let (mine, theirs) = (ends[0], ends[1])
        defer { close(mine) }
        // The copy of the descriptor in the child is inherited; 3 is closed there otherwise.
        let child: pid_t
        do {
            defer { close(theirs) }
            child = try start(["-o", options, "--", path], passing: theirs, for: path)
        }
        let descriptor = cfuse_receive(mine)
        let code = errno
        let status = wait(for: child)
        guard descriptor >= 0 else {
            // Its own message is on standard error.
            throw .refused(
                path: path,
                reason: code == 0 ? "\(name) ended with status \(status)" : "\(name): \(FileError.text(of: code))")
        }
        return FUSEDevice(owning: descriptor)
    }

    static func unmount(_ path: String) {
        guard let child = try? start(["-u", "-z", "-q", "--", path], passing: nil, for: path) else { return }
        _ = wait(for: child)
    }

    /// - Parameter socket: the child finds it as descriptor 3.
    private static func start(_ arguments: [String], passing socket: Int32?, for path: String) throws(MountError)
        -> pid_t
    {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        if let socket {
            // dup2 of a descriptor to itself keeps its flag that closes it.
            let number: Int32 = socket == 3 ? 4 : 3
            posix_spawn_file_actions_adddup2(&actions, socket, number)
            return try spawn(arguments, &actions, ["_FUSE_COMMFD=\(number)"], path)
        }
        return try spawn(arguments, &actions, [], path)
    }

    private static func spawn(
        _ arguments: [String], _ actions: inout posix_spawn_file_actions_t, _ variables: [String], _ path: String
    ) throws(MountError) -> pid_t {
        var words: [UnsafeMutablePointer<CChar>?] = ([name] + arguments).map { strdup($0) } + [nil]
        let search = getenv("PATH").map { String(cString: $0) } ?? "/usr/bin:/bin"
        var environment: [UnsafeMutablePointer<CChar>?] =
            (["PATH=\(search)"] + variables).map { strdup($0) } + [nil]
        defer { for text in words + environment { free(text) } }
        var child: pid_t = 0
        switch posix_spawnp(&child, name, &actions, nil, &words, &environment) {
        case 0: return child
        case ENOENT: throw .noHelper(path: path)
        case let code: throw .refused(path: path, reason: "\(name): \(FileError.text(of: code))")
        }
    }

    private static func wait(for child: pid_t) -> Int32 {
        var status: Int32 = 0
        while waitpid(child, &status, 0) < 0, errno == EINTR {}
        return status & 0x7F == 0 ? status >> 8 & 0xFF : 128 + (status & 0x7F)
    }
}

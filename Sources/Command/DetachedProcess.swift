import ArgumentParser
import CLinux
import Files
import Glibc
import Support

/// A command that returns while a process of its own continues: it is started anew, in a session of its own, because a
/// process with threads cannot be forked.
enum DetachedProcess {
    /// Starts this program again, and waits until it is ready. It reports errors on standard error until then.
    ///
    /// - Parameter arguments: without the name of the program; the first one is the command's, which has the option
    ///   `--ready-descriptor` for ``reportReady(_:log:)``.
    /// - Throws: `ExitCode` with its status if it ends before.
    static func start(_ arguments: [String]) throws {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else {
            throw FileError.system(operation: "pipe", path: "a detached process", code: errno)
        }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        let (readEnd, writeEnd) = (ends[0], ends[1])
        defer { close(readEnd) }
        let child: pid_t
        do {
            defer { close(writeEnd) }
            child = try spawn(arguments, writeEnd)
        }
        var byte: UInt8 = 0
        while true {
            let count = read(readEnd, &byte, 1)
            if count == 1 { return }
            if count < 0, errno == EINTR { continue }
            break
        }
        var status: Int32 = 0
        while waitpid(child, &status, 0) < 0, errno == EINTR {}
        throw ExitCode(status & 0x7F == 0 ? status >> 8 & 0xFF : 128 + (status & 0x7F))
    }

    private static func spawn(_ arguments: [String], _ writeEnd: Int32) throws -> pid_t {
        // dup2 of a descriptor to itself would keep the flag that closes it.
        let number: Int32 = writeEnd == 3 ? 4 : 3
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0)
        posix_spawn_file_actions_adddup2(&actions, writeEnd, number)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        posix_spawnattr_setflags(&attributes, Int16(clinux_POSIX_SPAWN_SETSID))
        var words: [UnsafeMutablePointer<CChar>?] =
            (["weightstore"] + arguments.prefix(1) + ["--ready-descriptor", "\(number)"] + arguments.dropFirst())
            .map { strdup($0) } + [nil]
        defer { for word in words { free(word) } }
        var child: pid_t = 0
        // The path gives the process its name. A program that was replaced has none.
        let program = (try? FileSystem.resolve("/proc/self/exe")) ?? "/proc/self/exe"
        let code = posix_spawn(&child, program, &actions, &attributes, &words, environ)
        guard code == 0 else { throw FileError.system(operation: "posix_spawn", path: "weightstore", code: code) }
        return child
    }

    /// Reports to the process that has started this one that it may end, and leaves its terminal and directory.
    ///
    /// - Parameters:
    ///   - descriptor: the one that `start` has passed.
    ///   - log: the file to which standard error is appended; nil discards it.
    static func reportReady(_ descriptor: Int32, log: String?) throws {
        let target = try FileDescriptor(log ?? "/dev/null", O_WRONLY | O_APPEND | O_CREAT, mode: 0o644)
        dup2(target.raw, STDERR_FILENO)
        // So that no file system is in use only because the command was started there.
        chdir("/")
        var byte: UInt8 = 1
        // The other process may have been interrupted.
        _ = write(descriptor, &byte, 1)
        close(descriptor)
    }
}

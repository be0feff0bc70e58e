import Foundation
import Glibc

/// A server that lives as long as the value. It inherits nothing but its standard streams: Foundation tells the end of a
/// process by descriptors that must not be kept open by others.
package final class Daemon: Sendable {
    private let process: pid_t
    private let input: Int32
    private let output: Int32

    /// Of glibc 2.34 and later; Swift's Glibc lacks it.
    private static let closeFrom = unsafeBitCast(
        dlsym(nil, "posix_spawn_file_actions_addclosefrom_np")!,
        to: (@convention(c) (UnsafeMutablePointer<posix_spawn_file_actions_t>, Int32) -> Int32).self)

    package init(_ command: [String]) throws {
        var (input, output): ([Int32], [Int32]) = ([0, 0], [0, 0])
        guard pipe(&input) == 0, pipe(&output) == 0 else { throw CocoaError(.fileReadUnknown) }
        for end in input + output { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, input[0], 0)
        posix_spawn_file_actions_adddup2(&actions, output[1], 1)
        posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0)
        guard Self.closeFrom(&actions, 3) == 0 else { throw CocoaError(.fileReadUnknown) }
        var arguments: [UnsafeMutablePointer<CChar>?] = command.map { strdup($0) } + [nil]
        defer { arguments.forEach { free($0) } }
        var process: pid_t = 0
        let code = posix_spawn(&process, command[0], &actions, nil, &arguments, environ)
        close(input[0])
        close(output[1])
        guard code == 0 else { throw CocoaError(.fileReadUnknown) }
        self.process = process
        self.input = input[1]
        self.output = output[0]
    }

    package var identifier: Int32 { process }

    package func signal(_ number: Int32) { kill(process, number) }

    /// Ends it by a signal, and waits until it has ended.
    package func end(_ number: Int32 = SIGTERM) {
        kill(process, number)
        // Waited for again when the value goes; then there is nobody left.
        waitid(P_PID, id_t(process), nil, WEXITED | WNOWAIT)
    }

    /// The next line that it writes.
    package func line() throws -> String {
        var bytes: [UInt8] = []
        while true {
            var byte: UInt8 = 0
            guard read(output, &byte, 1) == 1 else { throw CocoaError(.fileReadUnknown) }
            if byte == 0x0A { return String(decoding: bytes, as: UTF8.self) }
            bytes.append(byte)
        }
    }

    deinit {
        // SIGTERM may be blocked in it, as it is in threads of ours.
        kill(process, SIGKILL)
        waitpid(process, nil, 0)
        close(input)
        close(output)
    }
}

import Foundation
import Glibc
import Support
import Synchronization

/// A program that a test starts. It ends with the value at the latest.
///
/// It begins with no signal blocked or ignored, and inherits no descriptor but its standard streams.
package final class ChildProcess: Sendable {
    package struct Result: Sendable {
        /// The exit status; for a process that a signal ended, 128 + its number.
        package let status: Int32
        package let bytes: [UInt8]
        package let errors: String
        package var output: String { String(decoding: bytes, as: UTF8.self) }

        /// The answer of a command with `--json`.
        package func json() throws -> Any { try JSONSerialization.jsonObject(with: Data(bytes)) }
        package func object() throws -> [String: Any] { try json() as? [String: Any] ?? [:] }
        package func list() throws -> [[String: Any]] { try json() as? [[String: Any]] ?? [] }
    }

    package enum Input: Sendable {
        case null
        /// No data and no end of file arrive as long as the value lives.
        case open
    }

    package enum Output: Sendable {
        case null
        /// For ``result()``.
        case collected
        /// For ``line()``; of standard output only.
        case lines
        /// Appended to a file.
        case file(String)
    }

    package struct Failed: Error, CustomStringConvertible {
        package let command: [String]
        package let reason: String

        package init(command: [String], reason: String) {
            self.command = command
            self.reason = reason
        }

        package var description: String { "\(command.joined(separator: " ")): \(reason)" }
    }

    package let identifier: pid_t
    private let command: [String]
    private let input: Int32?
    private let output: Pipe?
    private let errors: Pipe?
    /// The status, once it is known.
    private let ended = Mutex<Int32?>(nil)

    /// Of glibc 2.34 and later; Swift's Glibc lacks it.
    private static let closeFrom = unsafeBitCast(
        dlsym(nil, "posix_spawn_file_actions_addclosefrom_np")!,
        to: (@convention(c) (UnsafeMutablePointer<posix_spawn_file_actions_t>, Int32) -> Int32).self)

    /// Starts a program.
    ///
    /// - Parameters:
    ///   - command: searched in PATH unless it is a path.
    ///   - environment: beside that of the tests; nil removes a variable.
    package init(
        _ command: [String], environment: [String: String?] = [:], input: Input = .null, output: Output = .collected,
        errors: Output = .collected
    ) throws {
        self.command = command
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        var ends: [Int32] = []
        defer { for end in ends { close(end) } }
        switch input {
        case .null:
            self.input = nil
            posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        case .open:
            let (read, write) = try Self.pipe()
            self.input = write
            ends.append(read)
            posix_spawn_file_actions_adddup2(&actions, read, 0)
        }
        func connect(_ output: Output, _ stream: Int32) throws -> Pipe? {
            switch output {
            case .null: posix_spawn_file_actions_addopen(&actions, stream, "/dev/null", O_WRONLY, 0)
            case .file(let path):
                posix_spawn_file_actions_addopen(&actions, stream, path, O_WRONLY | O_CREAT | O_APPEND, 0o644)
            case .collected, .lines:
                let (read, write) = try Self.pipe()
                ends.append(write)
                posix_spawn_file_actions_adddup2(&actions, write, stream)
                return Pipe(read)
            }
            return nil
        }
        self.output = try connect(output, 1)
        self.errors = try connect(errors, 2)
        guard Self.closeFrom(&actions, 3) == 0 else { throw Failed(command: command, reason: "closefrom") }

        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var (none, all) = (sigset_t(), sigset_t())
        sigemptyset(&none)
        sigfillset(&all)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setsigdefault(&attributes, &all)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))

        let words = command.first?.hasPrefix("/") == true ? command : ["/usr/bin/env"] + command
        var variables = ProcessInfo.processInfo.environment
        variables["PATH", default: "/usr/bin:/bin"] += ":/usr/sbin:/sbin"
        for (name, value) in environment { variables[name] = value }
        var arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
        var environment: [UnsafeMutablePointer<CChar>?] = variables.map { strdup("\($0.key)=\($0.value)") } + [nil]
        defer { for text in arguments + environment { free(text) } }
        var identifier: pid_t = 0
        let code = posix_spawn(&identifier, words[0], &actions, &attributes, &arguments, &environment)
        guard code == 0 else { throw Failed(command: command, reason: String(cString: strerror(code))) }
        self.identifier = identifier
        if case .collected = output { try self.output?.collect() }
        if case .collected = errors { try self.errors?.collect() }
    }

    /// A server: it finds its standard input open as long as the value lives, and ``line()`` reads what it writes.
    package static func daemon(_ command: [String]) throws -> ChildProcess {
        try ChildProcess(command, input: .open, output: .lines, errors: .null)
    }

    private static func pipe() throws -> (read: Int32, write: Int32) {
        var ends: [Int32] = [0, 0]
        guard Glibc.pipe(&ends) == 0 else { throw Failed(command: ["pipe"], reason: String(cString: strerror(errno))) }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        return (ends[0], ends[1])
    }

    package func signal(_ number: Int32) {
        ended.withLock { if $0 == nil { kill(identifier, number) } }
    }

    package var isRunning: Bool {
        ended.withLock { ended in
            if ended == nil { ended = reap(WNOHANG) }
            return ended == nil
        }
    }

    /// Whether the process has a file open whose path contains a text.
    package func hasOpen(_ text: String) -> Bool {
        let folder = "/proc/\(identifier)/fd"
        // A process that has just ended has none.
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        return names.contains { name in
            (try? FileManager.default.destinationOfSymbolicLink(atPath: "\(folder)/\(name)"))?.contains(text) ?? false
        }
    }

    /// Waits for the end.
    ///
    /// - Returns: the exit status, or 128 + the number of the signal that ended it.
    @discardableResult
    package func wait() -> Int32 {
        var information = siginfo_t()
        // Without reaping the process: `signal` may still be called.
        while waitid(P_PID, id_t(identifier), &information, WEXITED | WNOWAIT) != 0, errno == EINTR {}
        return ended.withLock { ended in
            if ended == nil { ended = reap(0) }
            return ended ?? -1
        }
    }

    private func reap(_ flags: Int32) -> Int32? {
        var status: Int32 = 0
        guard waitpid(identifier, &status, flags) == identifier else { return nil }
        return status & 0x7F == 0 ? status >> 8 & 0xFF : 128 + (status & 0x7F)
    }

    /// Waits for the end, and for the output.
    package func result() -> Result {
        let status = wait()
        return Result(
            status: status, bytes: output?.text() ?? [],
            errors: String(decoding: errors?.text() ?? [], as: UTF8.self))
    }

    /// Ends it by a signal, and waits until it has ended.
    package func end(_ number: Int32 = SIGTERM) {
        signal(number)
        wait()
    }

    /// The next line of standard output.
    package func line() throws -> String {
        guard let output, let line = output.line() else {
            throw Failed(command: command, reason: "it wrote no further line")
        }
        return line
    }

    deinit {
        signal(SIGKILL)
        wait()
        if let input { close(input) }
    }

    /// Runs a program to its end.
    @discardableResult
    package static func run(_ command: [String], environment: [String: String?] = [:]) throws -> Result {
        try ChildProcess(command, environment: environment).result()
    }

    /// Runs a program that must end with 0.
    @discardableResult
    package static func check(_ command: String..., environment: [String: String?] = [:]) throws -> String {
        let result = try run(command, environment: environment)
        guard result.status == 0 else {
            throw Failed(command: command, reason: "status \(result.status)\n\(result.output)\(result.errors)")
        }
        return result.output
    }
}

/// The reading end of a pipe.
private final class Pipe: Sendable {
    private let end: Int32
    private let bytes = Mutex<[UInt8]>([])
    private let reader = DispatchGroup()

    init(_ end: Int32) { self.end = end }

    deinit { close(end) }

    /// Reads all, on a thread of its own: as long as the program runs, it would block one of the few that tests run on.
    func collect() throws {
        reader.enter()
        try startThread { [self] in
            var all: [UInt8] = []
            var buffer = [UInt8](repeating: 0, count: 1 << 16)
            while true {
                let count = read(end, &buffer, buffer.count)
                if count < 0 && errno == EINTR { continue }
                if count <= 0 { break }
                all += buffer.prefix(count)
            }
            bytes.withLock { $0 = all }
            reader.leave()
        }
    }

    /// The collected output, once it is complete.
    func text() -> [UInt8] {
        reader.wait()
        return bytes.withLock { $0 }
    }

    func line() -> String? {
        var line: [UInt8] = []
        var byte: UInt8 = 0
        while true {
            let count = read(end, &byte, 1)
            if count < 0 && errno == EINTR { continue }
            guard count == 1 else { return nil }
            if byte == 0x0A { return String(decoding: line, as: UTF8.self) }
            line.append(byte)
        }
    }
}

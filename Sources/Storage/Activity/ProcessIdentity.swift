import Files
import Glibc
import Support

/// This process, as leases, events and statistics name it.
package struct ProcessIdentity: Sendable {
    /// The process id.
    package let pid: Int
    /// The program, and its subcommand, script or module.
    package let program: String
    /// The name of the effective user; the number if it has no name.
    package let user: String

    /// This process. Not stored: a process may fork.
    package static var current: ProcessIdentity {
        ProcessIdentity(pid: Int(getpid()), program: command, user: userName)
    }

    /// From /proc, because `CommandLine` is empty in a library that another program loads. Other arguments may be
    /// secret.
    private static let command: String = {
        let words = (KernelFile.text("/proc/self/cmdline") ?? "").byteParts("\0")
        let isModule = words.count > 2 && words[1] == "-m"
        let named = words.prefix(isModule ? 3 : 2).filter { isModule || !$0.hasBytePrefix("-") }
        let text = named.map { FileSystem.name(of: $0) }.filter { !$0.isEmpty }.joined(separator: " ")
        // An argument may contain a line feed.
        return String(decoding: text.utf8.prefix(160).map { $0 < 0x20 ? UInt8(ascii: "?") : $0 }, as: UTF8.self)
    }()

    /// From the file of local users alone: the name service of a network may take long, and is not in a static program.
    private static let userName: String = {
        let id = String(geteuid())
        let lines = KernelFile.lines("/etc/passwd").lazy.map { $0.byteParts(":") }
        return lines.first { $0.count > 2 && $0[2] == id }?.first ?? id
    }()
}

import Foundation

/// `weightstore serve`, as an operator runs it, on a port of its own.
package final class ServeProcess: Sendable {
    /// As it printed it.
    package let url: String
    private let log: String
    private let daemon: ChildProcess

    /// - Parameters:
    ///   - clock: the offset of its clock, such as `-10d`.
    ///   - log: the file for its messages.
    package init(_ store: String, _ arguments: [String] = [], clock: String? = nil, log: String) throws {
        self.log = log
        daemon = try ChildProcess.daemon(
            ["/bin/sh", "-c", "log=$1; shift; exec \"$@\" 2>>$log", "sh", log]
                + (clock.map { ["faketime", "-f", $0, "setpriv", "--pdeathsig", "KILL"] } ?? [])
                + [Tool.path, "serve", "--port", "0", "--store", store] + arguments)
        url = try daemon.line()
    }

    package var port: Int { Int(url.split(separator: ":").last ?? "") ?? 0 }
    package var logText: String { (try? String(contentsOfFile: log, encoding: .utf8)) ?? "" }
    package var identifier: Int32 { daemon.identifier }
    package func signal(_ number: Int32) { daemon.signal(number) }
    package func end() { daemon.end() }
}

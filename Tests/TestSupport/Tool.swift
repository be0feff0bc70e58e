import Foundation

/// The command-line tool, run as a user would: the binary beside the tests, in a process of its own.
package struct Tool: Sendable {
    package typealias Result = ChildProcess.Result
    package typealias Running = ChildProcess

    package let store: String
    /// The words before the tool, such as `strace …`.
    package var prefix: [String] = []
    package var environment: [String: String] = [:]

    package init(store: String) { self.store = store }

    package static let path: String = {
        let tests = try! FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        return URL(fileURLWithPath: tests).deletingLastPathComponent().appendingPathComponent("weightstore").path
    }()

    /// `PATH` with the tool's directory first.
    package static var searchPath: String {
        let directory = URL(fileURLWithPath: path).deletingLastPathComponent().path
        return "\(directory):\(ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin")"
    }

    /// Runs the tool to its end.
    @discardableResult
    package func callAsFunction(_ arguments: String...) throws -> Result { try run(arguments) }

    @discardableResult
    package func run(_ arguments: [String]) throws -> Result {
        try start(arguments).result()
    }

    /// Starts the tool.
    package func start(_ arguments: [String]) throws -> Running {
        try ChildProcess(
            prefix + [Self.path] + arguments, environment: environment.merging(["WEIGHTSTORE_HOME": store]) { $1 })
    }
}

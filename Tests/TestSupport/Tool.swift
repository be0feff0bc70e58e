import Foundation
import Glibc
import Synchronization

/// The command-line tool, run as a user would: the binary beside the tests, in a process of its own.
package struct Tool: Sendable {
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

    package let store: String
    /// What stands before the tool, such as `strace …`.
    package var prefix: [String] = []
    package var environment: [String: String] = [:]

    package init(store: String) { self.store = store }

    package static let path: String = {
        let tests = try! FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        return URL(fileURLWithPath: tests).deletingLastPathComponent().appendingPathComponent("weightstore").path
    }()

    /// Runs the tool to its end.
    @discardableResult
    package func callAsFunction(_ arguments: String...) throws -> Result { try run(arguments) }

    @discardableResult
    package func run(_ arguments: [String]) throws -> Result {
        let process = try start(arguments)
        return process.result()
    }

    /// Starts the tool.
    package func start(_ arguments: [String]) throws -> Running {
        try Running(prefix + [Self.path] + arguments, environment.merging(["WEIGHTSTORE_HOME": store]) { $1 })
    }

    /// A run of the tool that has not been waited for.
    package final class Running: Sendable {
        private let process: Process
        private let output = Mutex<[UInt8]>([])
        private let errors = Mutex<[UInt8]>([])
        private let readers = DispatchGroup()
        /// Kept, because a pipe closes with its last reference.
        private let pipesInUse = Mutex<[Pipe]>([])

        package init(_ command: [String], _ environment: [String: String]) throws {
            process = Process()
            process.executableURL = URL(fileURLWithPath: command[0].hasPrefix("/") ? command[0] : "/usr/bin/env")
            process.arguments = command[0].hasPrefix("/") ? Array(command.dropFirst()) : command
            process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
            process.standardInput = FileHandle.nullDevice
            let pipes = (Pipe(), Pipe())
            process.standardOutput = pipes.0
            process.standardError = pipes.1
            try process.run()
            // On threads of their own: as long as the tool runs, they would block two of the few that tests run on.
            read(pipes.0) { [self] bytes in output.withLock { $0 = bytes } }
            read(pipes.1) { [self] bytes in errors.withLock { $0 = bytes } }
        }

        private func read(_ pipe: Pipe, _ body: @escaping @Sendable ([UInt8]) -> Void) {
            let file = pipe.fileHandleForReading.fileDescriptor
            readers.enter()
            Thread.detachNewThread { [self] in
                var bytes: [UInt8] = []
                let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 16, alignment: 16)
                defer { buffer.deallocate() }
                while true {
                    let count = Glibc.read(file, buffer.baseAddress, buffer.count)
                    if count < 0 && errno == EINTR { continue }
                    if count <= 0 { break }
                    bytes += buffer.prefix(count)
                }
                body(bytes)
                readers.leave()
            }
            pipesInUse.withLock { $0.append(pipe) }
        }

        package var identifier: Int32 { process.processIdentifier }
        package var isRunning: Bool { process.isRunning }

        package func signal(_ number: Int32) { kill(process.processIdentifier, number) }

        /// Waits for the end.
        package func result() -> Result {
            process.waitUntilExit()
            readers.wait()
            let status = process.terminationStatus
            return Result(
                status: process.terminationReason == .uncaughtSignal ? 128 + status : status,
                bytes: output.withLock { $0 }, errors: String(decoding: errors.withLock { $0 }, as: UTF8.self))
        }
    }
}

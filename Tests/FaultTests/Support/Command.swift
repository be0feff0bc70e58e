import Foundation
import TestSupport

/// A program that is not the tool: mount, mkfs, strace.
enum Command {
    struct Failed: Error {
        let command: [String]
        let status: Int32
        let errors: String
    }

    @discardableResult
    static func run(_ command: [String]) throws -> (status: Int32, errors: String) {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = command
        process.environment = ProcessInfo.processInfo.environment.merging(
            ["PATH": (ProcessInfo.processInfo.environment["PATH"] ?? "") + ":/usr/sbin:/sbin"]) { $1 }
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = FileHandle.nullDevice
        // To a file: what goes on in the background, as bindfs does, would keep a pipe open.
        let directory = try TemporaryDirectory()
        process.standardError = FileHandle(forWritingAtPath: try directory.write("", to: "errors"))
        try process.run()
        process.waitUntilExit()
        let text = String(decoding: try contents(directory("errors")), as: UTF8.self)
        return (process.terminationStatus, text)
    }

    /// - Throws: ``Failed`` unless it ends with 0.
    static func check(_ command: String...) throws {
        let (status, errors) = try run(command)
        guard status == 0 else { throw Failed(command: command, status: status, errors: errors) }
    }

    static func copy(_ old: String, to new: String) throws {
        try check("rm", "-rf", new)
        try check("cp", "-a", old, new)
    }
}

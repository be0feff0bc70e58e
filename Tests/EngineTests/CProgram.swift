import Foundation
import TestSupport
import Testing

/// A C program of `Programs/`, compiled against the header and the library as a user would, with every warning an
/// error. It is removed with the value.
final class CProgram: Sendable {
    let path: String
    private let directory: TemporaryDirectory

    static let sources = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    static let header = sources.appendingPathComponent("../../Sources/CWeightStore/Header").standardizedFileURL.path
    /// Where the build puts the library, beside the tests.
    static let build = URL(fileURLWithPath: Tool.path).deletingLastPathComponent().path

    /// - Parameter withoutDebugInformation: for valgrind, which cannot read the debug information of Swift 6.3.
    init(_ name: String, withoutDebugInformation: Bool = false) throws {
        directory = try TemporaryDirectory()
        path = directory(name)
        var library = Self.build
        if withoutDebugInformation {
            library = directory("lib")
            try FileManager.default.createDirectory(atPath: library, withIntermediateDirectories: true)
            try succeed(
                "strip", "--strip-debug", "-o", library + "/libweightstore-c.so", Self.build + "/libweightstore-c.so")
        }
        try succeed(
            "cc", "-std=gnu11", "-g", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-I", Self.header,
            Self.sources.appendingPathComponent("Programs/\(name).c").path, "-o", path, "-L", library,
            "-lweightstore-c",
            "-Wl,-rpath,\(library)", "-lpthread", "-lm")
    }
}

/// Runs a command that must succeed.
@discardableResult
func succeed(_ command: String..., environment: [String: String] = [:]) throws -> String {
    let result = try ChildProcess.run(command, environment: environment)
    try #require(
        result.status == 0, "\(command.joined(separator: " ")): \(result.status)\n\(result.output)\(result.errors)")
    return result.output
}

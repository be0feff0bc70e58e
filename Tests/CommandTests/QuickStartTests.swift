import Foundation
import TestSupport
import Testing

/// The quick start of README.md.
@Suite(.blocking)
struct QuickStartTests {
    private let directory = try! TemporaryDirectory()

    private struct Step {
        let command: String
        var output: [String] = []
    }

    /// The one block of README.md that is marked `console`: a line that begins with `$ ` is a command, the others are output.
    private static func steps() throws -> [Step] {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let readme = try String(contentsOf: root.appendingPathComponent("README.md"), encoding: .utf8)
        let blocks = readme.components(separatedBy: "```console\n").dropFirst()
        try #require(blocks.count == 1, "README.md has one block marked console")
        var steps: [Step] = []
        for line in blocks.joined().components(separatedBy: "\n```")[0].components(separatedBy: "\n") {
            if line.hasPrefix("$ ") {
                steps.append(Step(command: String(line.dropFirst(2))))
            } else {
                try #require(!steps.isEmpty, "output before the first command: \(line)")
                steps[steps.count - 1].output.append(line)
            }
        }
        return steps
    }

    /// The line without the values that differ from run to run.
    private static func normalized(_ line: String) -> String {
        var line = line
        line = line.replacing(/\b[0-9a-f]{12,}\b/, with: "DIGEST")
        line = line.replacing(/\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?Z?)?/, with: "DATE")
        line = line.replacing(/[0-9.]+ [kMGTP]?B\/s/, with: "RATE")
        line = line.replacing(/[0-9.]+ (ms|s|min|h|d)\b/, with: "DURATION")
        return line
    }

    @Test("the commands of the quick start print what README.md shows")
    func run() throws {
        let tools = URL(fileURLWithPath: Tool.path).deletingLastPathComponent().path
        let environment = [
            "PATH": "\(tools):\(ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin")",
            "WEIGHTSTORE_HOME": directory("store"),
        ]
        let steps = try Self.steps()
        #expect(!steps.isEmpty)
        for step in steps {
            let script = "cd \"$0\" && exec 2>&1 || exit\n\(step.command)"
            let result = try ChildProcess.run(["bash", "-c", script, directory.path], environment: environment)
            #expect(result.status == 0, "\(step.command)\n\(result.output)\(result.errors)")
            var lines = result.output.components(separatedBy: "\n")
            if lines.last == "" { lines.removeLast() }
            #expect(lines.map(Self.normalized) == step.output.map(Self.normalized), "\(step.command)")
        }
    }
}

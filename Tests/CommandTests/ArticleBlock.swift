import Foundation
import TestSupport
import Testing

/// A block of shell commands in a Markdown file.
struct ArticleBlock: Sendable, CustomTestStringConvertible {
    struct Step: Sendable {
        let command: String
        /// The output that follows the command; only blocks marked `console` have one.
        var output: [String] = []
    }

    struct Outcome: Sendable {
        let step: Step
        let status: Int32
        /// Standard output and standard error.
        let output: [String]
    }

    let file: String
    /// The number of the first line of the block.
    let line: Int
    let language: String
    private(set) var steps: [Step] = []

    var testDescription: String { "\(file):\(line)" }

    private init(file: String, line: Int, language: String) {
        self.file = file
        self.line = line
        self.language = language
    }

    /// The blocks of a file below the root of the sources that are marked with one of the languages.
    ///
    /// In a block marked `console`, a line that begins with `$ ` is a command, and the others are its output. A line of a
    /// block marked `crontab` has a command after five fields of time. In other blocks, each line is a command.
    static func all(in file: String, marked languages: Set<String>) throws -> [ArticleBlock] {
        var (blocks, block): ([ArticleBlock], ArticleBlock?) = ([], nil)
        var isInside = false
        for (index, line) in try text(of: file).enumerated() {
            if line.hasPrefix("```") {
                if let ended = block { blocks.append(ended) }
                block = nil
                isInside.toggle()
                let language = String(line.dropFirst(3))
                if isInside && languages.contains(language) {
                    block = ArticleBlock(file: file, line: index + 2, language: language)
                }
            } else {
                try block?.append(line)
            }
        }
        return blocks
    }

    /// The lines of a file below the root of the sources.
    static func text(of file: String) throws -> [String] {
        let root = URL(filePath: #filePath).appending(path: "../../..").standardizedFileURL
        return try String(contentsOf: root.appending(path: file), encoding: .utf8).components(separatedBy: "\n")
    }

    private mutating func append(_ line: String) throws {
        switch language {
        case "console":
            if line.hasPrefix("$ ") {
                steps.append(Step(command: String(line.dropFirst(2))))
            } else {
                try #require(!steps.isEmpty, "\(file): output before the first command: \(line)")
                steps[steps.count - 1].output.append(line)
            }
        case "crontab":
            steps.append(Step(command: line.replacing(/^(\S+ +){5}/, with: "")))
        default:
            steps.append(Step(command: line))
        }
    }

    /// Runs the commands in one bash, so that variables stay from one to the next.
    ///
    /// - Parameters:
    ///   - directory: where they run.
    ///   - environment: added to that of the tests; nil removes a variable.
    ///   - preparation: shell commands before the first one.
    ///   - words: what bash runs in place of a command; nil leaves it out.
    func run(
        in directory: String, environment: [String: String?], preparation: String = "",
        words: (String) -> String? = { $0 }
    ) throws -> [Outcome] {
        let chosen = steps.compactMap { step in words(step.command).map { (step: step, words: $0) } }
        // The mark stands on a line of its own, whether the output ends with a new line or not.
        let mark = "\u{1E}"
        let commands = chosen.map { "\($0.words)\nprintf '\\n\(mark)%d\(mark)' $?\n" }
        let script = "cd \"$0\" && exec 2>&1 || exit\n\(preparation)\n\(commands.joined())"
        let result = try ChildProcess.run(["bash", "-c", script, directory], environment: environment)
        let parts = result.output.components(separatedBy: mark)
        try #require(parts.count == 2 * chosen.count + 1, "\(testDescription): \(result.output)")
        return try chosen.enumerated().map { index, chosen in
            var lines = parts[2 * index].components(separatedBy: "\n").dropLast()
            if lines.last == "" { lines.removeLast() }
            return Outcome(step: chosen.step, status: try #require(Int32(parts[2 * index + 1])), output: Array(lines))
        }
    }

    /// A line without the values that differ from run to run.
    static func normalized(_ line: String) -> String {
        var line = line
        line = line.replacing(/\b[0-9a-f]{12,}\b/, with: "DIGEST")
        line = line.replacing(/\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?Z?)?/, with: "DATE")
        line = line.replacing(/[0-9.]+ [kMGTP]?B\/s/, with: "RATE")
        line = line.replacing(/[0-9.]+ (ms|s|min|h|d)\b/, with: "DURATION")
        return line
    }
}

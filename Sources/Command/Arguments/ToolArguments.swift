import ArgumentParser
import Support

/// The arguments of the tool as the parser reads them, and the command that they name.
///
/// Options of all commands, such as `--store`, may stand before the command, as in `git -C` or `docker -H`: they are moved
/// behind it. A negative number after an option is its value, and not an option of its own.
struct ToolArguments {
    /// The words for the parser.
    let words: [String]
    /// The command; the root if the words name none.
    let command: any ParsableCommand.Type
    /// The file that `--config` names, which is no option of the parser.
    let config: String?
    /// A word that stands in the place of a command, and names none.
    let unknown: String?

    /// The options that may stand before the command.
    private static let flags: Set = ["--json", "--no-trunc"]
    private static let options: Set = ["--store", "--progress"]

    init(_ given: [String], of root: any ParsableCommand.Type) {
        let (config, other) = Self.withoutConfig(given)
        self.config = config
        var rest = other[...]
        var path: [String] = []
        var moved: [String] = []
        var command = root
        var unknown: String?
        while let word = rest.first, !command.configuration.subcommands.isEmpty {
            if Self.flags.contains(word) {
                moved.append(rest.removeFirst())
            } else if Self.options.contains(word) {
                moved += rest.prefix(2)
                rest = rest.dropFirst(2)
            } else if let name = word.firstIndex(of: "="), Self.options.contains(String(word[..<name])) {
                moved.append(rest.removeFirst())
            } else if path.isEmpty, word == "help" {
                // A command of the parser: what follows names the command to describe.
                path.append(rest.removeFirst())
            } else if let next = command.configuration.subcommands.first(where: { $0.isNamed(word) }) {
                path.append(rest.removeFirst())
                command = next
            } else {
                unknown = word.hasPrefix("-") ? nil : word
                break
            }
        }
        words = path + moved + Self.joined(rest)
        self.command = command
        self.unknown = unknown
    }

    /// Takes `--config FILE` and `--config=FILE` out of the words before a `--`; the last one counts.
    private static func withoutConfig(_ given: [String]) -> (config: String?, words: [String]) {
        var config: String?
        var words: [String] = []
        var rest = given[...]
        while let word = rest.popFirst() {
            if word == "--" { return (config, words + [word] + rest) }
            if word == "--config", let path = rest.first {
                config = path
                rest.removeFirst()
            } else if let path = word.dropping(bytePrefix: "--config=") {
                config = path
            } else {
                words.append(word)
            }
        }
        return (config, words)
    }

    /// Joins an option and its negative value with `=`, up to a `--`.
    private static func joined(_ words: ArraySlice<String>) -> [String] {
        var result: [String] = []
        var rest = words
        while let word = rest.popFirst() {
            let previous = result.last ?? ""
            if word == "--" { return result + [word] + rest }
            let isNegative =
                word.utf8.first == UInt8(ascii: "-")
                && word.utf8.dropFirst().first.map { UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 } ?? false
            if isNegative, previous.hasPrefix("--"), !previous.contains("=") {
                result[result.count - 1] = "\(previous)=\(word)"
            } else {
                result.append(word)
            }
        }
        return result
    }

    /// Whether a flag is among the options.
    func has(_ flag: String) -> Bool { words.prefix { $0 != "--" }.contains(flag) }

    /// The report of the unknown word, with the nearest names.
    func report(unknown word: String) -> String {
        let names = command.configuration.subcommands.flatMap { $0.allNames }
        return "unknown command '\(word)'.\(Spelling.question(word, in: names).map { " \($0)" } ?? "")"
    }
}

extension ParsableCommand {
    /// The command's name and its aliases.
    fileprivate static var allNames: [String] { [configuration.commandName ?? ""] + configuration.aliases }

    fileprivate static func isNamed(_ word: String) -> Bool { allNames.contains(word) }
}

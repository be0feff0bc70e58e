import Foundation
import Glibc
import Support
import WeightStore

/// Standard output and standard error.
enum Terminal {
    /// Writes text to standard output. If the reader has closed the pipe (`| head`), the program ends silently.
    static func write(_ text: String) throws {
        try write(text, to: STDOUT_FILENO, name: "standard output")
    }

    static func writeError(_ text: String) { writeErrorVerbatim(text.withoutURLSecrets) }

    /// Writes a text whose parts are free of secrets: JSON, which the removal of a URL's secrets could break.
    static func writeErrorVerbatim(_ text: String) {
        var text = text
        // A failure to write to standard error cannot be reported.
        text.withUTF8 { try? writeAll(UnsafeRawBufferPointer($0), to: STDERR_FILENO, name: "standard error") }
    }

    private struct Note: Encodable {
        let note: String
    }

    /// Prints a message beside the result: text, or with `--json` an object in a line of its own.
    static func printDiagnostic(_ message: String) {
        // A message is plain text, which is always encoded.
        if Presentation.isJSON, let json = try? JSONOutput.text(Note(note: message), isLine: true) {
            return writeError(json)
        }
        writeError("weightstore: \(message)\n")
    }

    static func printWarnings(_ warnings: [FileWarning]) {
        for warning in warnings { printDiagnostic("\(warning.path): warning: \(warning.warning)") }
    }

    /// Tables, JSON and messages show no secrets of a URL, such as those of an origin.
    private static func write(_ text: String, to descriptor: Int32, name: String) throws {
        var text = text.withoutURLSecrets
        try text.withUTF8 { try writeAll(UnsafeRawBufferPointer($0), to: descriptor, name: name) }
    }

    /// Writes a value as JSON.
    static func write(json value: some Encodable) throws { try write(JSONOutput.text(value)) }

    static var showsProgress: Bool { isatty(STDERR_FILENO) == 1 }

    /// Whether standard output is a terminal.
    static var isOutput: Bool { isatty(STDOUT_FILENO) == 1 }

    /// Whether a question can be asked: standard input and standard error are a terminal.
    static var isInteractive: Bool { isatty(STDIN_FILENO) == 1 && showsProgress }

    /// Asks a question on the terminal.
    ///
    /// - Returns: whether the answer is `y` or `yes`; false without a terminal.
    static func confirm(_ question: String) -> Bool {
        guard isInteractive else { return false }
        writeError("\(question) [y/N] ")
        return ["y", "yes"].contains(readLine()?.lowercased())
    }

    /// The width in columns of the terminal at standard error.
    static var width: Int { width(of: STDERR_FILENO) ?? 80 }

    /// The width in columns to which tables are cut: `COLUMNS`, or that of the terminal at standard output; nil without
    /// both.
    static var tableWidth: Int? {
        getenv("COLUMNS").flatMap { Int(decimal: String(cString: $0)) }.flatMap { $0 > 0 ? $0 : nil }
            ?? width(of: STDOUT_FILENO)
    }

    private static func width(of descriptor: Int32) -> Int? {
        var size = winsize()
        return ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0 && size.ws_col > 0 ? Int(size.ws_col) : nil
    }

    /// Whether text on a terminal has colours: unless `NO_COLOR` is set, as on no-color.org, or the terminal has none.
    private static func isColored(_ descriptor: Int32) -> Bool {
        guard isatty(descriptor) == 1, getenv("NO_COLOR").map({ $0.pointee == 0 }) ?? true else { return false }
        return getenv("TERM").map { String(cString: $0) } != "dumb"
    }

    /// A style of text on standard output.
    enum Style: String {
        case bold = "1"
        case red = "31"
        case yellow = "33"
    }

    /// The text in a style, if standard output is a terminal with colours.
    static func styled(_ text: String, _ style: Style) -> String {
        isColored(STDOUT_FILENO) && !text.isEmpty ? "\u{1B}[\(style.rawValue)m\(text)\u{1B}[0m" : text
    }
}

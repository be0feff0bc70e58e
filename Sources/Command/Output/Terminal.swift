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

    static func writeError(_ text: String) {
        // A failure to write to standard error cannot be reported.
        try? write(text, to: STDERR_FILENO, name: "standard error")
    }

    static func printDiagnostic(_ message: String) { writeError("weightstore: \(message)\n") }

    static func printWarnings(_ warnings: [FileWarning]) {
        for warning in warnings { printDiagnostic("\(warning.path): warning: \(warning.warning)") }
    }

    /// Tables, JSON and messages show no secrets of a URL, such as those of an origin.
    private static func write(_ text: String, to descriptor: Int32, name: String) throws {
        var text = text.withoutURLSecrets
        try text.withUTF8 { try writeAll(UnsafeRawBufferPointer($0), to: descriptor, name: name) }
    }

    /// Writes a value as JSON, keys sorted.
    static func write(json value: some Encodable) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        try write(String(decoding: encoder.encode(value), as: UTF8.self) + "\n")
    }

    static var showsProgress: Bool { isatty(STDERR_FILENO) == 1 }

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
    static var width: Int {
        var size = winsize()
        return ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0 && size.ws_col > 0 ? Int(size.ws_col) : 80
    }
}

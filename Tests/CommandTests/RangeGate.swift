import Foundation
import TestSupport

/// `Tests/range-gate.py`: records the ranges that are requested from a server, and holds some of them back.
final class RangeGate: Sendable {
    let url: String
    private let log: String
    private let opened: String
    private let process: ChildProcess

    private static let script = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appendingPathComponent("range-gate.py").path

    /// - Parameters:
    ///   - port: the server's.
    ///   - held: requests for ranges that overlap this one wait for `open()`.
    init(to port: Int, holding held: Range<Int>, in directory: TemporaryDirectory) throws {
        log = try directory.write("", to: "gate-log")
        opened = directory("gate-open")
        process = try ChildProcess.daemon(
            [
                "/usr/bin/env", "python3", Self.script, "\(port)", log, opened, "\(held.lowerBound)",
                "\(held.upperBound)",
            ])
        url = "http://127.0.0.1:\(try process.line())"
    }

    /// The ranges requested so far.
    func ranges() throws -> [Range<Int>] {
        try String(contentsOfFile: log, encoding: .utf8).split(separator: "\n").compactMap { line in
            let numbers = line.split(separator: " ").compactMap { Int($0) }
            guard numbers.count == 2, numbers[0] < numbers[1] else { return nil }
            return numbers[0]..<numbers[1]
        }
    }

    /// Forwards the requests that are held back.
    func open() throws { try Data().write(to: URL(fileURLWithPath: opened)) }
}

import Foundation
import TestSupport

/// A run of the tool under strace.
enum Trace {
    /// Before the tool: does something at the `when`th call (of one thread) of `call`.
    ///
    /// - Parameter action: as strace has it: `signal=SIGKILL`, `error=EIO`, `delay_exit=100000`.
    static func inject(
        _ call: String, _ action: String, when: String = "1+", of paths: [String] = [], log: String = "/dev/null"
    ) -> [String] {
        // Without --seccomp-bpf, with which strace 6.1 counts some calls and not others.
        ["strace", "-f", "-y", "-o", log, "-e", "trace=\(call)", "-e", "inject=\(call):\(action):when=\(when)"]
            + paths.flatMap { ["-P", $0] }
    }

    /// Before the tool: writes the calls to a file, descriptors with their paths.
    static func log(_ calls: [String], to path: String) -> [String] {
        ["strace", "-f", "-y", "-s", "16", "-o", path, "--seccomp-bpf", "-e", "trace=" + calls.joined(separator: ",")]
    }

    struct Call {
        let name: String
        /// Counted by thread and name from 1, as strace's `when` does.
        let ordinal: Int
        let line: Substring
    }

    /// The calls in a log.
    static func calls(_ log: String) throws -> [Call] {
        var counts: [String: Int] = [:]
        return try String(decoding: contents(log), as: UTF8.self).split(separator: "\n").compactMap { line in
            let fields = line.split(separator: " ", maxSplits: 1, omittingEmptySubsequences: true)
                .map { $0.drop { $0 == " " } }
            guard fields.count == 2, let parenthesis = fields[1].firstIndex(of: "("),
                fields[1].first?.isLetter == true
            else { return nil }
            let name = fields[1][..<parenthesis]
            counts["\(fields[0]) \(name)", default: 0] += 1
            return Call(name: String(name), ordinal: counts["\(fields[0]) \(name)"]!, line: fields[1])
        }
    }

    /// A point in a run: the `ordinal`th call of `name`.
    struct Point: CustomStringConvertible {
        let call: String
        let ordinal: Int
        var description: String { "\(call) \(ordinal)" }
    }

    /// Points of a run, of each kind of call at most `most` times ``Sweep/factor``, evenly spread, among the calls on `path`.
    static func points(_ log: String, in path: String, most: Int, of names: [String]) throws -> [Point] {
        let most = max(2, most * Sweep.factor)
        let path = path.replacingOccurrences(of: "//", with: "/")
        let calls = try calls(log).filter { $0.line.contains(path) }
        return names.flatMap { name in
            let ordinals = Set(calls.filter { $0.name == name }.map(\.ordinal)).sorted()
            guard ordinals.count > most else { return ordinals.map { Point(call: name, ordinal: $0) } }
            return (0..<most).map { index in
                Point(call: name, ordinal: ordinals[index * (ordinals.count - 1) / (most - 1)])
            }
        }
    }
}

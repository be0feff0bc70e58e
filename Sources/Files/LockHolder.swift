import Glibc

/// A process that holds the lock of a file, as /proc shows it.
package struct LockHolder: Hashable, Sendable, CustomStringConvertible {
    package let process: pid_t
    /// The program and its arguments, shortened.
    package let command: String
    /// Whether the process is stopped, by SIGSTOP or by a debugger, so that it releases nothing.
    package let isStopped: Bool

    private static let longestCommand = 200

    /// `process 4711 (weightstore import /models/a)`.
    package var description: String {
        "process \(process) (\(command))"
            + (isStopped ? ", which is stopped; \"kill -CONT \(process)\" continues it" : "")
    }

    /// The processes that hold an `flock` on a file.
    ///
    /// - Returns: those that this process can see: not those of another PID namespace, such as another container's.
    package static func all(of path: String) -> [LockHolder] {
        // Without /proc, or without the right to read it, the holder stays unknown.
        guard let status = try? FileSystem.status(path), let locks = try? FileSystem.read("/proc/locks") else {
            return []
        }
        return holders(lines(locks).compactMap(Line.init), of: status)
    }

    /// The processes that hold an open-file-description lock on a byte of a file. /proc/locks does not name them, but
    /// each process lists the locks of its descriptors.
    package static func all(of path: String, byte offset: Int) -> [LockHolder] {
        guard let status = try? FileSystem.status(path), let names = try? FileSystem.entries("/proc") else { return [] }
        var found: [Line] = []
        for process in names.compactMap({ pid_t($0) }) {
            // The process may end meanwhile, or belong to another user.
            for descriptor in (try? FileSystem.entries("/proc/\(process)/fdinfo")) ?? [] {
                guard let text = try? FileSystem.read("/proc/\(process)/fdinfo/\(descriptor)") else { continue }
                for line in lines(text) where line.hasPrefix("lock:") {
                    guard var lock = Line(line.dropFirst(5)), lock.kind == "OFDLCK", lock.start == offset else {
                        continue
                    }
                    lock.process = process
                    found.append(lock)
                }
            }
        }
        return holders(found, of: status)
    }

    private static func lines(_ bytes: [UInt8]) -> [Substring] {
        String(decoding: bytes, as: UTF8.self).split(separator: "\n")
    }

    private static func holders(_ locks: [Line], of status: FileStatus) -> [LockHolder] {
        let sameNumber = locks.filter { $0.inode == status.inode && $0.process > 0 }
        // Some file systems, such as btrfs and overlayfs, show another device number in /proc/locks than in stat.
        let sameDevice = sameNumber.filter { $0.device == status.deviceNumbers }
        return Set((sameDevice.isEmpty ? sameNumber : sameDevice).map(\.process)).sorted().map(LockHolder.init)
    }

    private init(_ process: pid_t) {
        self.process = process
        let arguments = (try? FileSystem.read("/proc/\(process)/cmdline")) ?? []
        var words = arguments.split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
        if let program = words.first { words[0] = FileSystem.name(of: program) }
        let text = words.joined(separator: " ")
        command = text.count > Self.longestCommand ? text.prefix(Self.longestCommand) + "…" : text
        // `4711 (name) T 1 …`: the name may contain parentheses.
        let state = (try? FileSystem.read("/proc/\(process)/stat")).flatMap { bytes in
            bytes.lastIndex(of: UInt8(ascii: ")")).map { bytes.dropFirst($0 + 2).first }
        }
        isStopped = state == UInt8(ascii: "T") || state == UInt8(ascii: "t")
    }

    /// A line of /proc/locks: `1: FLOCK  ADVISORY  WRITE 4711 08:01:131 0 EOF`. The device numbers are hexadecimal.
    private struct Line {
        let kind: Substring
        var process: pid_t
        let device: (Int, Int)
        let inode: Int64
        let start: Int?

        init?(_ line: Substring) {
            let words = line.split(whereSeparator: { $0 == " " || $0 == "\t" })
            // A lock that waits has "->" in the second place.
            guard words.count == 8, words[1] != "->", let process = pid_t(words[4]) else { return nil }
            let numbers = words[5].split(separator: ":")
            guard numbers.count == 3, let major = Int(numbers[0], radix: 16), let minor = Int(numbers[1], radix: 16),
                let inode = Int64(numbers[2])
            else { return nil }
            kind = words[1]
            self.process = process
            device = (major, minor)
            self.inode = inode
            start = Int(words[6])
        }
    }
}

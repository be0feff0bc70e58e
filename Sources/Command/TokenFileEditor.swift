import Files
import Foundation
import Glibc
import Server
import WeightStore

/// Changes a file of tokens. The new file replaces the old one at once, only its owner may read it, and changes by several
/// processes follow one another.
struct TokenFileEditor {
    let path: String
    /// The lines that have a token, without line ends.
    private var lines: [String]
    private let owner: (user: uid_t, group: gid_t)?
    /// The directory, which is locked as long as the value lives.
    private let directory: Lock

    private final class Lock {
        let file: FileDescriptor

        init(_ path: String) throws {
            file = try FileDescriptor(path, O_RDONLY | O_DIRECTORY)
            _ = try file.lock(LockWait())
        }
    }

    /// The largest file, in bytes.
    private static let limit = 1 << 20

    /// Reads the tokens of a file. A file that does not exist has none.
    static func tokens(_ path: String) throws -> [AccessToken] {
        try AccessToken.all(in: try text(path), source: path)
    }

    private static func text(_ path: String) throws -> String {
        guard try FileSystem.status(path) != nil else { return "" }
        return String(decoding: try FileSystem.read(path, limit: limit), as: UTF8.self)
    }

    /// Reads the file, and locks its directory.
    init(_ path: String) throws {
        // A link stays one.
        self.path = try FileSystem.status(path) == nil ? path : try FileSystem.resolve(path)
        directory = try Lock(FileSystem.parent(of: self.path))
        let text = try Self.text(self.path)
        // Refuses a file that is something else.
        _ = try AccessToken.all(in: text, source: path)
        lines = text.byteParts("\n").map { $0.trimmingCharacters(in: .whitespacesAndNewlines) }.filter { !$0.isEmpty }
        var facts = Glibc.stat()
        owner = stat(self.path, &facts) == 0 ? (facts.st_uid, facts.st_gid) : nil
    }

    /// The lines whose tokens have a name.
    private func indices(of name: String) throws -> [Int] {
        try lines.indices.filter { try AccessToken(line: lines[$0], source: path).name == name }
    }

    func contains(_ name: String) throws -> Bool { try !indices(of: name).isEmpty }

    /// Adds a token that has a name.
    mutating func append(_ token: AccessToken) { lines += [token.line].compactMap(\.self) }

    /// Removes the tokens of a name.
    mutating func remove(_ name: String) throws {
        for index in try indices(of: name).reversed() { lines.remove(at: index) }
    }

    /// Replaces the file, durably.
    func write() throws {
        let temporary = "\(path).\(String(UInt64.random(in: 0 ... .max), radix: 36)).partial"
        do {
            let file = try FileDescriptor(temporary, O_WRONLY | O_CREAT | O_EXCL, mode: 0o600)
            // The user of the server keeps the file if root changes it.
            if let owner, owner.user != geteuid(), fchown(file.raw, owner.user, owner.group) != 0 {
                throw FileError.system(operation: "fchown", path: path, code: errno)
            }
            try Array(lines.map { $0 + "\n" }.joined().utf8).withUnsafeBytes { try file.write($0, at: 0) }
            try file.sync()
            try FileSystem.rename(temporary, to: path)
        } catch {
            unlink(temporary)
            throw error
        }
        try FileSystem.syncDirectory(FileSystem.parent(of: path))
    }
}

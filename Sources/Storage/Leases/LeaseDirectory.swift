import Files
import Glibc
import Support
import Synchronization

/// `leases/`: one file for each living process, which the process locks for its lifetime.
///
/// The kernel releases the lock when the process ends in any way, so there is no heartbeat and no stale lease. The name
/// of the file is the name of the lease (and of the folder in `staging/` and the claims in the catalog). Its text is
/// the process id and the command, the schema and the version of the program, then the revisions in use, one per line:
///
///     process 4711 (weightstore serve)
///     schema 13, version 0.1.0
///     9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 org/name
///
/// Beside it, a process that lives for a second or longer keeps its statistics (`LeaseDirectory+Statistics.swift`).
///
/// `leases/.lock` orders the uses of a revision and its removal. It is held shared while a use is added or a process
/// starts. It is held exclusively by a removal, from reading the uses until its commit, and by a rebuild or a
/// migration, so that no process starts meanwhile.
package final class LeaseDirectory: Sendable {
    /// A living process and its uses.
    package struct Holder: Sendable {
        /// The name of the lease.
        package let lease: String
        /// The process id and the command, for messages.
        package let process: String
        /// The program; nil for a lease file without it, written by a program of schema 5 or older.
        package let program: Program?
        /// The revisions in use.
        package let revisions: Set<Use>

        init(lease: String, text: String) {
            let lines = text.byteParts("\n").filter { !$0.isEmpty }
            self.lease = lease
            process = lines.first ?? "process \(lease)"
            program = lines.dropFirst().first.flatMap(Program.init(line:))
            revisions = Set(lines.dropFirst().compactMap(Use.init(line:)))
        }
    }

    /// A revision of a model, as a line of a lease file.
    package struct Use: Hashable, Sendable {
        package let model: String
        package let digest: ContentDigest

        package var line: String { "\(digest) \(model)" }

        package init(model: String, digest: ContentDigest) {
            self.model = model
            self.digest = digest
        }

        package init?(line: some StringProtocol) {
            let parts = line.byteParts(" ", maxSplits: 1)
            guard parts.count == 2, let digest = ContentDigest(hex: parts[0]) else { return nil }
            self.init(model: parts[1], digest: digest)
        }
    }

    /// The most bytes of a lease file that are read: about a million revisions in use.
    private static let mostBytes = 256 << 20

    package let path: String
    /// The name of this process's lease.
    package let name: String
    /// Nil if the store can only be read.
    private let file: LeaseFile?
    private let uses = Mutex<[Use: Int]>([:])
    private let wait: LockWait
    let access: StoreAccess

    /// Creates and locks the lease file of this process, unless the store can only be read: then uses are not written.
    ///
    /// - Parameters:
    ///   - access: what this process may do with the store.
    ///   - wait: the waits for `leases/.lock`.
    package init(_ path: String, _ access: StoreAccess = .readWrite, _ wait: LockWait = LockWait()) throws {
        self.path = path
        self.wait = wait
        self.access = access
        if access.isReadOnly {
            name = "read-only"
            file = nil
            return
        }
        let lock = try StoreFile.open(path + "/.lock", O_RDWR)
        _ = try lock.lock(shared: true, wait)
        // Held until the file has its text, because a migration reads it.
        defer { lock.unlock() }
        while true {
            let name = "\(getpid())-\(UInt32.random(in: 0 ... .max))"
            let file = try StoreFile.open(path + "/" + name, O_RDWR | O_EXCL)
            // Between the open and the lock, `holders` of another process may have removed the file as that of a dead
            // process.
            if try file.tryLock(), try file.status().links == 1 {
                self.name = name
                self.file = LeaseFile(file)
                break
            }
        }
        try write([:])
    }

    /// Whether uses are written, so that other processes know them.
    package var isWritten: Bool { file != nil }

    deinit {
        guard file != nil else { return }
        // Before the lease: statistics without a lease belong to a dead process.
        unlink(statisticsPath(of: name))
        unlink(path + "/" + name)
    }

    /// The revisions that this process uses.
    package var used: Set<Use> { uses.withLock { Set($0.keys) } }

    /// The locked lease file.
    private final class LeaseFile: Sendable {
        let descriptor: FileDescriptor
        init(_ descriptor: consuming FileDescriptor) { self.descriptor = descriptor }
    }

    /// The names of the lease files of dead processes. The next process that opens the store removes them.
    ///
    /// - Parameter path: the directory.
    package static func dead(in path: String) throws -> [String] {
        try FileSystem.entries(path).filter { name in
            let file = path + "/" + name
            guard !name.hasBytePrefix("."), FileSystem.isReadable(file),
                let file = try FileDescriptor.openRegularIfPresent(file)
            else { return false }
            return try file.tryLock(shared: true)
        }
    }

    /// Adds a use of a revision, if it still exists according to `exists`.
    ///
    /// - Parameter work: cancelling it ends the wait for the lock.
    /// - Returns: false if the revision does not exist.
    package func use(_ revision: Use, _ work: Work? = nil, ifStill exists: () throws -> Bool) throws -> Bool {
        if file == nil { return try exists() }
        return try withLock(shared: true, wait.until(work)) {
            try change { $0[revision, default: 0] += 1 }
            if try exists() { return true }
            try drop(revision)
            return false
        }
    }

    /// Removes a use. Holds the lock, too, so that no other process reads a partially written line.
    package func release(_ revision: Use) throws {
        if file != nil { try withLock(shared: true, wait) { try drop(revision) } }
    }

    private func drop(_ revision: Use) throws {
        try change { uses in
            uses[revision, default: 1] -= 1
            if uses[revision] == 0 { uses[revision] = nil }
        }
    }

    /// Runs `body` with the living processes, while no process can add a use of a revision.
    ///
    /// - Parameter work: cancelling it ends the wait for the lock.
    package func withNewUsesBlocked<Result>(_ work: Work? = nil, _ body: ([Holder]) throws -> Result) throws -> Result {
        try access.requireWritable()
        return try withLock(shared: false, wait.until(work)) { try body(holders()) }
    }

    /// The living processes, including this one if it can write to the store. Removes the files of dead ones.
    package func holders() throws -> [Holder] {
        var holders: [Holder] = []
        let entries = try FileSystem.entries(path)
        for name in entries where !name.hasBytePrefix(".") {
            let path = path + "/" + name
            if access.isReadOnly, !FileSystem.isReadable(path) {
                // Its process may be alive.
                holders.append(Holder(lease: name, text: ""))
                continue
            }
            guard let file = try FileDescriptor.openRegularIfPresent(path) else { continue }
            if name != self.name, try file.tryLock() {
                if !access.isReadOnly { try FileSystem.remove(path) }
                continue
            }
            // Read from the descriptor: the path no longer exists if the process ends now.
            holders.append(
                Holder(lease: name, text: String(decoding: try file.readAll(limit: Self.mostBytes), as: UTF8.self)))
        }
        removeStatistics(entries, except: holders)
        return holders
    }

    private func withLock<Result>(shared: Bool, _ wait: LockWait, _ body: () throws -> Result) throws -> Result {
        let lock = try StoreFile.open(path + "/.lock", O_RDWR)
        _ = try lock.lock(shared: shared, wait)
        return try body()
    }

    /// Changes the uses, and then counts them: a use that could not be written is not counted.
    private func change(_ body: (inout [Use: Int]) -> Void) throws {
        try uses.withLock { uses in
            var changed = uses
            body(&changed)
            try write(changed)
            uses = changed
        }
    }

    private func write(_ uses: [Use: Int]) throws {
        let text =
            (["process \(getpid()) (\(ProcessIdentity.current.program))", Program.current.line] + uses.keys.map(\.line))
            .joined(
                separator: "\n")
            + "\n"
        let bytes = Array(text.utf8)
        guard let file else { return }
        try bytes.withUnsafeBytes { try file.descriptor.write($0, at: 0) }
        try file.descriptor.truncate(to: bytes.count)
    }
}

extension LeaseDirectory.Holder: CustomStringConvertible {
    /// The process, and its version if known.
    package var description: String { process + (program.map { ", version \($0.version)" } ?? "") }
}

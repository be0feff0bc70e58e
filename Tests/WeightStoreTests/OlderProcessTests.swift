import Files
import Foundation
import GRDB
import Glibc
import Migrations
import Storage
import Support
import Synchronization
import TestSupport
import Testing
@testable import WeightStore

/// A store that version 130ff32 wrote, and processes that use it while a later version opens it.
@Suite(.blocking) struct OlderProcessTests {
    private let fixture: StoreFixture
    private var store: String { fixture.store }

    init() throws { fixture = try StoreFixture() }

    /// A process that holds a lease on the store: its lease file locked, as every version locks it.
    private struct Holder {
        private let process: ChildProcess

        /// - Parameters:
        ///   - text: the lease file's. Version 130ff32 writes one line, and one for each revision in use.
        ///   - seconds: after which it ends.
        init(of store: String, _ text: String, seconds: Int = 120) async throws {
            let path = store + "/leases/4711-1"
            try Data(text.utf8).write(to: URL(fileURLWithPath: path))
            process = try ChildProcess(["flock", "--no-fork", path, "sleep", "\(seconds)"])
            try #require(try await eventually { try !FileDescriptor(path, O_RDWR).tryLock() })
        }

        func end() {
            process.signal(SIGKILL)
            _ = process.result()
        }
    }

    private static let old = "process 4711 (weightstore serve)\n"

    private func migrations() throws -> [String] {
        let queue = try DatabaseQueue(path: store + "/store.db")
        defer { try? queue.close() }
        return try queue.read { db in
            try String.fetchAll(db, sql: "SELECT identifier FROM grdb_migrations ORDER BY identifier")
        }
    }

    /// Opens the store, uses it, and closes it.
    private func open() async throws {
        let (store, models) = (store, fixture.facts.models.map(\.name))
        try await onThread {
            let store = try Store(at: store)
            #expect(try store.models().map(\.name) == models)
        }
    }

    @Test(
        "while an older process is alive, an open waits ten seconds, then refuses with its name; nothing is migrated",
        arguments: [
            (old, "process 4711 (weightstore serve)"),
            (old + String(repeating: "0a", count: 32) + " org/model\n", "process 4711 (weightstore serve)"),
            ("process 4711 (engine)\nschema 5, version 0.0.9\n", "process 4711 (engine), version 0.0.9"),
        ])
    func refused(text: String, name: String) async throws {
        let before = try migrations()
        #expect(before == Migrations.all.prefix(5).map(\.name))
        let holder = try await Holder(of: store, text)
        let start = ContinuousClock.now
        let error = await #expect(throws: StorageError.self) { try await open() }
        #expect(ContinuousClock.now - start >= .seconds(10))
        #expect(error == .olderProcesses(path: store + "/store.db", processes: [name]))
        #expect("\(try #require(error))".contains(name))
        #expect(try migrations() == before)
        holder.end()
        try await open()
        #expect(try migrations() == Migrations.all.map(\.name))
    }

    @Test("if the older process ends within ten seconds, the store is migrated, and opens")
    func ends() async throws {
        _ = try await Holder(of: store, Self.old, seconds: 2)
        try await open()
        #expect(try migrations() == Migrations.all.map(\.name))
    }

    @Test("an older process can begin and end a use of a revision while an open waits for it")
    func olderProcessWorks() async throws {
        let holder = try await Holder(of: store, Self.old)
        let waits = Mutex(true)
        let opening = Task {
            defer { waits.withLock { $0 = false } }
            try await open()
        }
        // A slow machine may need more than the ten seconds of the open for twenty of them; one is proof.
        var during = 0
        for _ in 0..<20 where waits.withLock({ $0 }) {
            try await onThread { [lock = store + "/leases/.lock"] in
                _ = try FileDescriptor(lock, O_RDWR).lock(shared: true, LockWait())
            }
            if waits.withLock({ $0 }) { during += 1 }
            try await Task.sleep(for: .milliseconds(50))
        }
        #expect(during > 0)
        holder.end()
        do {
            try await opening.value
        } catch StorageError.olderProcesses {
            try await open()
        }
    }

    @Test(
        "a live process of this schema, or of a newer one that is about to open the store, is no obstacle",
        arguments: [0, 1])
    func sameSchema(newer: Int) async throws {
        let text = "process 4711 (engine)\nschema \(Migrations.all.count + newer), version 9.0.0\n"
        let holder = try await Holder(of: store, text)
        defer { holder.end() }
        try await open()
        #expect(try migrations() == Migrations.all.map(\.name))
    }

    @Test("a store of this schema opens beside an older process: nothing is migrated")
    func migrated() async throws {
        try await open()
        let holder = try await Holder(of: store, Self.old)
        defer { holder.end() }
        try await open()
    }

    @Test("a process that starts while the store is migrated waits, and finds the new schema")
    func startsMeanwhile() async throws {
        let leases = try LeaseDirectory(store + "/leases")
        let store = store
        // As a migration does.
        let opening = try leases.withNewUsesBlocked { _ in
            let opening = Task { try await onThread { _ = try Store(at: store) } }
            usleep(500_000)
            let queue = try DatabaseQueue(path: store + "/store.db")
            try queue.write { db in
                try db.execute(sql: "INSERT INTO grdb_migrations (identifier) VALUES ('v9999_future')")
            }
            try queue.close()
            return opening
        }
        await #expect(throws: StorageError.newerSchema(path: store + "/store.db")) { try await opening.value }
    }

    @Test("a lease file names the program's version and schema, and an older program reads the rest of it as before")
    func leaseFile() throws {
        let store = try Store(at: store)
        let revision = try store.revision(fixture.facts.models[0].revisions[0].name)
        let text = String(
            decoding: try FileSystem.read("\(store.path)/leases/\(store.leases.name)", limit: 1 << 20), as: UTF8.self)
        let lines = text.split(separator: "\n")
        #expect(lines.count == 3 && lines[0].hasPrefix("process \(getpid()) ("))
        #expect(lines[1] == "schema \(Migrations.all.count), version \(ProgramVersion.current)")
        // A line that is no use was always ignored.
        #expect(LeaseDirectory.Use(line: lines[1]) == nil)
        #expect(
            LeaseDirectory.Use(line: lines[2]) == LeaseDirectory.Use(model: revision.model, digest: revision.digest))
        let holder = try #require(try store.leases.holders().first { $0.lease == store.leases.name })
        #expect(holder.program == .current && holder.revisions.count == 1)
    }
}

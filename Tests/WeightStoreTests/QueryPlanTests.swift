import Foundation
import GRDB
import Synchronization
import TestSupport
import Testing
@testable import WeightStore

/// The query plans of all statements of an operation.
@Suite(.blocking) struct QueryPlanTests {
    let directory = try! TemporaryDirectory()

    /// Statements of `work` whose plan scans a whole table.
    private func scans(_ work: (Store) throws -> Void) throws -> [String] {
        let statements = Mutex<Set<String>>([])
        do {
            let store = try Store(at: directory("store"), create: false) { sql in
                statements.withLock { _ = $0.insert(sql) }
            }
            try work(store)
        }
        let queue = try DatabaseQueue(path: directory("store/store.db"))
        return try queue.read { db in
            try statements.withLock { $0 }.sorted().flatMap { sql -> [String] in
                let verbs = ["SELECT", "INSERT", "UPDATE", "DELETE", "WITH"]
                guard verbs.contains(where: sql.hasPrefix), !sql.contains("sqlite_master"),
                    !sql.contains("grdb_migrations")
                else { return [] }
                let explain = try db.makeStatement(sql: "EXPLAIN QUERY PLAN \(sql)")
                explain.setUncheckedArguments([])
                return try Row.fetchAll(explain)
                    .map { $0["detail"] as String }
                    .filter { $0.hasPrefix("SCAN") && !$0.contains("CONSTANT ROW") }
                    // The index of the shards that are not stored, and what a query has computed from it.
                    .filter { !$0.contains("shard_absent") && $0 != "SCAN absent_file" }
                    .map { "\($0): \(sql)" }
            }
        }
    }

    private func fill() throws {
        let store = try Store(at: directory("store"), create: true)
        for (index, name) in ["one", "two", "three"].enumerated() {
            try TestModel(layers: 3, seed: UInt64(index)).write(to: directory(name))
            try store.importModelBlocking(ImportRequest(source: directory(name)))
        }
        try store.pin("one")
    }

    @Test("no query of a read scans a whole table")
    func reading() throws {
        try fill()
        let scans = try scans { store in
            for name in ["one", "one@~1", "one@v1", "two@main"] {
                let revision = try store.revision(name)
                for file in try revision.files() { try revision.read(file.path) { _ in } }
                _ = try revision.leaseBlocking(in: .ram)
                _ = try revision.layers()
                _ = try revision.layer(1)
                _ = try revision.tensorEntries()
                _ = try revision.tensor("model.norm.weight")
                _ = try revision.info()
                _ = try revision.origin()
                for entry in try revision.entries() {
                    _ = try revision.entry(entry.path)
                    _ = try revision.bytes(of: entry, in: 1..<min(entry.bytes, 100_000))
                }
                for entry in try revision.tensorEntries() { _ = try entry.shard.map { try store.shard($0) } }
                _ = try store.manifest(revision.digest)
                _ = try store.revision("\(revision.model)@\(revision.digest.hex.prefix(8))")
            }
            _ = try store.origins(of: "one")
        }
        #expect(scans.isEmpty, "\(scans.joined(separator: "\n"))")
    }

    @Test("no query of an import scans a whole table")
    func importing() throws {
        try fill()
        try TestModel(layers: 3, seed: 7).write(to: directory("four"))
        let scans = try scans { store in
            for _ in 0..<2 { try store.importModelBlocking(ImportRequest(source: directory("four"))) }
            _ = try store.setRef("prod", to: "four@~1")
            try store.removeRef("prod", of: "four")
            _ = try store.pin("four")
            _ = try store.unpin("four")
        }
        #expect(scans.isEmpty, "\(scans.joined(separator: "\n"))")
    }

    @Test("removing a model reads only its own rows, and those of the few pins, claims and models")
    func removing() throws {
        try fill()
        let scans = try scans { store in try store.remove(["two"]) }
        let large = [
            "SCAN shard", "SCAN extent", "SCAN tensor", "SCAN file", "SCAN revision_file", "SCAN source_shard",
        ]
        // Of shards without bytes, at most 10,000 are read.
        let bad = scans.filter { !$0.contains("USING INDEX shard_absent:") }.filter { scan in
            large.contains { scan.hasPrefix($0 + ":") || scan.hasPrefix($0 + " ") }
        }
        #expect(bad.isEmpty, "\(bad.joined(separator: "\n"))")
    }
}

import Foundation
import GRDB
import Migrations
import TestSupport
import Testing
@testable import WeightStore

/// Stores that an older version has made.
@Suite struct MigrationTests {
    let directory = try! TemporaryDirectory()

    /// A store's catalog as the first schema had it: its tables made by the first migration alone, its rows copied.
    private func downgrade(_ store: String) throws -> [String: [Row]] {
        var configuration = Configuration()
        configuration.foreignKeysEnabled = false
        let old = try DatabaseQueue(path: directory("old.db"), configuration: configuration)
        var migrator = DatabaseMigrator()
        migrator.registerMigration(Migrations.all[0].name) { db in try db.execute(sql: Migrations.all[0].sql) }
        try migrator.migrate(old)
        try old.writeWithoutTransaction { db in
            try db.execute(sql: "ATTACH ? AS new", arguments: [store + "/store.db"])
            for table in try tables(db) {
                let columns = try db.columns(in: table).map(\.name).joined(separator: ", ")
                try db.execute(sql: "INSERT OR REPLACE INTO main.\(table) (\(columns)) SELECT \(columns) FROM new.\(table)")
            }
            // The triggers have counted along; what was copied counts.
            try db.execute(sql: "UPDATE main.tally SET (shards, bytes) = (SELECT shards, bytes FROM new.tally); DETACH new")
        }
        let all = try old.read { db in try self.rows(of: self.tables(db), db) }
        try old.close()
        for suffix in ["", "-wal", "-shm"] { try? FileManager.default.removeItem(atPath: "\(store)/store.db\(suffix)") }
        try FileManager.default.moveItem(atPath: directory("old.db"), toPath: store + "/store.db")
        return all
    }

    private func tables(_ db: Database) throws -> [String] {
        try String.fetchAll(
            db, sql: "SELECT name FROM main.sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' AND name NOT LIKE 'grdb%'")
    }

    /// All rows of tables, with the columns of the first schema.
    private func rows(of tables: [String], _ db: Database) throws -> [String: [Row]] {
        try Dictionary(uniqueKeysWithValues: tables.map { table in
            let columns = try db.columns(in: table).map(\.name).filter { $0 != "depth" }.joined(separator: ", ")
            return (table, try Row.fetchAll(db, sql: "SELECT \(columns) FROM \(table) ORDER BY \(columns)"))
        })
    }

    @Test("a store of the first schema opens with every row, and works: files, tensors, evictions, claims, pins")
    func first() throws {
        let path = directory("store")
        for (name, model) in [("base", TestModel(layers: 2)), ("tuned", TestModel(layers: 2).tuned(seed: 7)), ("local", TestModel(layers: 1, seed: 9))] {
            try model.write(to: directory(name))
        }
        do {
            let store = try Store(at: path, create: true)
            for name in ["base", "tuned", "local"] {
                var request = ImportRequest(source: directory(name))
                if name != "local" { request.origins = ["file://\(directory(name))"] }
                try store.importModel(request)
            }
            try store.pin("tuned", note: "kept")
            try store.setRef("prod", to: "base@v1")
            try store.setQuota(Quota(bytes: 1 << 30))
            for name in ["base", "tuned"] { _ = try store.revision(name).layer(1) }
            store.flush()
            try store.evict(EvictionRequest(.free(1 << 20)))
            try store.catalog.fold()
        }
        let before = try downgrade(path)
        #expect(before["shard"]!.count > 8 && before["extent"]!.count > 10)

        let store = try Store(at: path)
        try store.catalog.read { db in
            let after = try rows(of: Array(before.keys), db)
            for table in before.keys.sorted() { #expect(after[table] == before[table], "\(table)") }
            #expect(try Row.fetchAll(db, sql: "PRAGMA foreign_key_check").isEmpty)
            #expect(try String.fetchOne(db, sql: "PRAGMA integrity_check") == "ok")
            #expect(try Int.fetchOne(db, sql: """
                SELECT count(*) FROM shard JOIN standing ON standing.shard_id = shard.id WHERE shard.evictable <> standing.evictable
                """) == 0)
        }
        // What an eviction took comes back, and every file is what it was.
        for name in ["base", "tuned", "local"] {
            try store.revision(name).export(to: directory("out-\(name)"))
            for file in TemporaryDirectory.files(below: directory(name)) {
                #expect(try contents(directory("out-\(name)/\(file)")) == contents(directory("\(name)/\(file)")), "\(name)/\(file)")
            }
        }
        // The triggers are there again.
        #expect(try store.diskGauge().pinned > 0)
        try store.unpin("tuned")
        let gauge = try store.diskGauge()
        #expect(gauge.pinned == 0 && gauge.evictable > 0)
        let tokens = (0..<40).map(UInt32.init)
        let kv = try store.kvBlocks(of: store.revision("base@prod"), format: "f", blockTokens: 4)
        #expect(try kv.put(kv.chain(tokens), Array(repeating: [1], count: 10)).stored == 10)
        #expect(try store.diskGauge().bytes == gauge.bytes)
        #expect(try store.verify().damage.isEmpty)
        try store.remove(["local", "tuned"])
        #expect(try store.collectGarbage(graceSeconds: 0).missing == 0)
    }
}

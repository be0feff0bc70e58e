import GRDB
import TestSupport
import Testing
@testable import WeightStore

extension Kills.KilledTests {
    @Test("after a killed migration the next open resumes it, and nothing is lost")
    func migrations() throws {
        try ChildProcess.copy(directory("template"), to: directory("old"))
        try Store(at: directory("old")).catalog.checkpoint()
        let before = try OldStore.downgrade(directory("old"))
        try killing(["ls"], on: directory("old"), most: 2) { place, point, _ in
            let store = try Store(at: place)
            try store.catalog.read { db in
                let after = try OldStore.rows(of: Array(before.keys), db)
                for table in before.keys.sorted() { #expect(after[table] == before[table], "\(point): \(table)") }
                #expect(try String.fetchOne(db, sql: "PRAGMA integrity_check") == "ok", "\(point)")
                #expect(try Row.fetchAll(db, sql: "PRAGMA foreign_key_check").isEmpty, "\(point)")
            }
            try expectBase(store, point)
        }
    }
}

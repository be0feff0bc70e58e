import GRDB
import Storage
import TestSupport
import Testing

/// Statements that are executed for many rows.
@Suite(.blocking) struct StatementRowsTests {
    @Test("a statement is executed for each row; after a row that is refused, the next statement works")
    func rows() throws {
        try DatabaseQueue().write { db in
            try db.execute(sql: "CREATE TABLE made (a INTEGER PRIMARY KEY, b TEXT, c INTEGER) STRICT")
            func insert(_ rows: [(Int, String?, Int?)]) throws {
                let statement = try db.cachedStatement(sql: "INSERT INTO made (a, b, c) VALUES (?, ?, ?)")
                try statement.execute(forEach: rows) { row, values in
                    values.add(row.0)
                    values.add(row.1)
                    values.add(row.2)
                }
            }
            try insert([(1, "one", nil), (2, nil, 2)])
            #expect(throws: DatabaseError.self) { try insert([(3, "three", 1), (1, "again", 1)]) }
            try insert([])
            try insert([(4, "four", 4)])
            let found = try String.fetchAll(
                db, sql: "SELECT a || coalesce(b, '-') || coalesce(c, '-') FROM made ORDER BY a")
            #expect(found == ["1one-", "2-2", "3three1", "4four4"])
        }
    }
}

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

    @Test("a digest is bound as its 32 bytes")
    func digests() throws {
        try DatabaseQueue().write { db in
            try db.execute(sql: "CREATE TABLE made (digest BLOB NOT NULL) STRICT")
            let digest = ContentDigest(of: UnsafeRawBufferPointer(start: nil, count: 0))
            try db.cachedStatement(sql: "INSERT INTO made (digest) VALUES (?)")
                .execute(forEach: [digest, digest]) { digest, values in values.add(digest) }
            #expect(try ContentDigest.fetchAll(db, sql: "SELECT digest FROM made") == [digest, digest])
            #expect(try Int.fetchAll(db, sql: "SELECT length(digest) FROM made") == [32, 32])
        }
    }

    @Test("a column that was found once reads as the column of its name: numbers, texts, NULL, values of other types")
    func columns() throws {
        try DatabaseQueue().read { db in
            let statement = try db.makeStatement(
                sql: """
                    SELECT column1 AS a
                    FROM (VALUES (7), (-1), (NULL), ('seven'), (''), (7.0), (7.5), (X'3637'), (9223372036854775807))
                    """)
            let column = try statement.column("a")
            let rows = try Row.fetchCursor(statement)
            var count = 0
            while let row = try rows.next() {
                let (found, named) = (Self.readings(row, column), Self.readings(row, "a"))
                #expect(found == named)
                count += 1
            }
            #expect(count == 9)
        }
    }

    /// A column, read as each type.
    private static func readings(_ row: Row, _ column: RowColumn) -> [String] {
        func reading<Value>(_ read: () throws -> Value) -> String {
            do { return "\(try read())" } catch { return "damaged" }
        }
        return [
            reading { try row.value(column) as Int }, reading { try row.value(column) as Int? },
            reading { try row.value(column) as Int64? }, reading { try row.value(column) as String? },
            reading { try row.text(column) }, reading { try row.size(column) as Int? },
            reading { try row.ordinal(column) as Int? },
        ]
    }
}

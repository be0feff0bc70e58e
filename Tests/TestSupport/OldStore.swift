import Foundation
import GRDB
import Migrations

/// Converts a store to one of an older version.
package enum OldStore {
    /// Gives the catalog the first schema: its tables are created by the first migration alone, its rows copied.
    ///
    /// - Parameter store: no process has it open, and its log is checkpointed or empty.
    /// - Returns: all rows, by table, with the columns that the first schema and the last have.
    @discardableResult
    package static func downgrade(_ store: String) throws -> [String: [Row]] {
        let path = store + "/old.db"
        var configuration = Configuration()
        configuration.foreignKeysEnabled = false
        let old = try DatabaseQueue(path: path, configuration: configuration)
        var migrator = DatabaseMigrator()
        migrator.registerMigration(Migrations.all[0].name) { db in try db.execute(sql: Migrations.all[0].sql) }
        try migrator.migrate(old)
        try old.writeWithoutTransaction { db in
            try db.execute(sql: "ATTACH ? AS new", arguments: [store + "/store.db"])
            for table in try tables(db) {
                let columns = try kept(table, db).joined(separator: ", ")
                let newColumns = try kept(table, db).map(newName).joined(separator: ", ")
                try db.execute(
                    sql: """
                        INSERT OR REPLACE INTO main.\(table) (\(columns))
                        SELECT \(newColumns) FROM new.\(newName(table))
                        """)
            }
            // Origins belonged to models: each model gets those of its revisions.
            try db.execute(
                sql: """
                    INSERT INTO main.origin (model_id, position, url)
                    SELECT model_id, row_number() OVER (PARTITION BY model_id ORDER BY position, url) - 1, url
                    FROM (
                      SELECT revision.model_id, new.revision_origin.url, min(new.revision_origin.position) AS position
                      FROM new.revision_origin
                      JOIN new.revision AS revision ON revision.id = new.revision_origin.revision_id
                      GROUP BY revision.model_id, new.revision_origin.url);
                    UPDATE main.revision SET recoverable = 1 WHERE id IN (SELECT revision_id FROM new.revision_origin);
                    """)
            // The triggers have counted while the rows were copied; the copied totals are right.
            try db.execute(
                sql: """
                    UPDATE main.tally SET (shards, bytes) = (SELECT shards, bytes FROM new.shard_totals);
                    DETACH new
                    """)
        }
        let all = try old.read { db in try rows(of: tables(db), db) }
        try old.close()
        for suffix in ["", "-wal", "-shm"] { try? FileManager.default.removeItem(atPath: "\(store)/store.db\(suffix)") }
        try FileManager.default.moveItem(atPath: path, toPath: store + "/store.db")
        return all
    }

    /// The last schema's name for a table or a column of the first.
    private static func newName(_ name: String) -> String {
        ["tally": "shard_totals"][name] ?? name
    }

    private static func tables(_ db: Database) throws -> [String] {
        try String.fetchAll(
            db,
            sql:
                """
                SELECT name FROM main.sqlite_master
                WHERE type = 'table' AND name NOT LIKE 'sqlite%' AND name NOT LIKE 'grdb%' AND name <> 'origin'
                """
        )
    }

    /// The columns that a table has in the first schema and in the last.
    private static func kept(_ table: String, _ db: Database) throws -> [String] {
        try db.columns(in: table).map(\.name).filter {
            !["depth", "is_hashed", "plan", "recoverable", "evictable", "unlinked", "rule"].contains($0)
                && (table, $0) != ("shard", "version")
        }
    }

    /// All rows of tables, with the columns that the first schema and the last have.
    ///
    /// - Parameter tables: as the first schema calls them; the database may have either.
    package static func rows(of tables: [String], _ db: Database) throws -> [String: [Row]] {
        try Dictionary(
            uniqueKeysWithValues: tables.map { table in
                let found = try db.tableExists(table) ? table : newName(table)
                let columns = try kept(found, db).sorted { newName($0) < newName($1) }
                let order = columns.joined(separator: ", ")
                let selected = columns.map { "\($0) AS \(newName($0))" }.joined(separator: ", ")
                return (table, try Row.fetchAll(db, sql: "SELECT \(selected) FROM \(found) ORDER BY \(order)"))
            })
    }
}

import Foundation
import GRDB
import TestSupport
import Testing

/// A catalog whose values violate the schema, by damage on disk or by intent: a command works or names the
/// damage, and never ends by a signal.
@Suite(.blocking) struct DamagedCatalogTests {
    /// A column, and the value that it gets in all rows.
    private struct Damage: CustomStringConvertible {
        let table: String
        let column: String
        let value: DatabaseValue
        var description: String { "\(table).\(column) = \(value)" }
    }

    private static let values: [DatabaseValue] = [
        .null, "text".databaseValue, "".databaseValue, "../../x".databaseValue, Data([0, 255]).databaseValue,
        Data(repeating: 7, count: 32).databaseValue, 0.databaseValue, (-1).databaseValue, Int.max.databaseValue,
        Int.min.databaseValue, ((1 << 62) - 1).databaseValue, (1 << 48).databaseValue, 1e300.databaseValue,
        (-0.5).databaseValue, Double.infinity.databaseValue,
    ]

    private let directory = try! TemporaryDirectory()
    private let tool: Tool
    /// The store before each damage.
    private let whole: String

    init() throws {
        whole = directory("whole")
        try TestModel(layers: 2, wide: 8).write(to: directory("model"))
        try TestModel(layers: 1, seed: 2, wide: 8).write(to: directory("other"))
        try directory.write("[1, 2, 3, 4]", to: "prompt.json")
        try directory.write((0..<8).flatMap { withUnsafeBytes(of: UInt32($0).littleEndian, Array.init) }, to: "tokens")
        try directory.write((0..<64).map { UInt8($0) }, to: "blocks")
        let maker = Tool(store: whole)
        for arguments in [
            ["import", directory("model"), "--name", "org/model", "--origin", "file://" + directory("model")],
            ["import", directory("other"), "--name", "org/other"],
            ["import", directory("other"), "--name", "org/model"],
            ["tag", "org/model@~1", "prod"], ["pin", "org/other", "--note", "kept"], ["quota", "--set", "1G"],
            ["prompt", "add", "org/model", directory("prompt.json"), "--name", "system"], ["record", "on"],
            [
                "kv", "put", "org/model", directory("tokens"), directory("blocks"), "--format", "f16",
                "--block-tokens", "4",
            ],
            ["load", "org/model@~1"], ["evict", "--free", "1K"],
        ] {
            let result = try maker.run(arguments)
            try #require([0, 13].contains(result.status), "\(arguments): \(result.errors)")
        }
        // Rows that only other machines and interrupted processes leave.
        try Self.open(whole).write { db in
            try db.execute(
                sql: """
                    INSERT INTO fleet (origin, cluster, revision) VALUES ('s3://fleet', 'c', 1);
                    INSERT INTO fleet_model (origin, model, generation, versions)
                    VALUES ('s3://fleet', 'org/model', 1, '{}');
                    INSERT INTO fleet_peer (origin, name, url, follows)
                    VALUES ('s3://fleet', 'node', 'http://127.0.0.1:9', '["org/model@main"]');
                    INSERT INTO claim (shard_id, lease) SELECT id, '1-1' FROM shard LIMIT 1;
                    INSERT INTO move (revision_id, source) SELECT id, '/srv/moved' FROM revision LIMIT 1;
                    INSERT INTO move_file (move_id, location, inode, bytes, modified_ns, changed_ns)
                    SELECT id, '/srv/moved/file', 1, 1, 1, 1 FROM move;
                    """)
        }
        var tool = Tool(store: directory("store"))
        // An endless command fails, too.
        tool.prefix = ["timeout", "120"]
        tool.environment["SWIFT_BACKTRACE"] = "enable=no"
        self.tool = tool
    }

    private static func open(_ store: String) throws -> DatabaseQueue {
        var configuration = Configuration()
        configuration.foreignKeysEnabled = false
        return try DatabaseQueue(path: store + "/store.db", configuration: configuration)
    }

    private var commands: [[String]] {
        [
            ["ls"], ["ls", "--json"], ["show", "org/model"], ["show", "org/model@prod", "--json"],
            ["files", "org/model"], ["tensors", "org/model"], ["du"], ["stats"], ["families"],
            ["export", "org/model@~1", directory("out"), "--force"], ["cat", "org/model", "model.safetensors"],
            ["load", "org/model@~1"], ["load", "org/model", "--layers", "0"], ["warm", "--plan"], ["origin", "ls"],
            ["origin", "check"], ["prompt", "ls"], ["kv", "ls"], ["kv", "stats"], ["policy", "ls"],
            ["kv", "drop", "--all", "--dry-run"], ["policy", "explain", "lru"], ["policy", "simulate"], ["quota"],
            ["quota", "--kind", "kv"], ["verify"], ["gc", "--dry-run"], ["evict", "--free", "1M", "--dry-run"],
            ["evict", "--free", "1K", "--kind", "kv", "--dry-run"], ["rm", "org/model", "--dry-run", "--force"],
            ["prune", "--keep-last", "1", "--dry-run"], ["backup", directory("copy")],
            [
                "kv", "get", "org/model", directory("tokens"), directory("got"), "--format", "f16", "--block-tokens",
                "4",
            ],
            // Commands that write begin with a read.
            ["gc"], ["evict", "--free", "1M"], ["rm", "org/model@~1", "--force"], ["tag", "org/model@~1", "next"],
            ["prompt", "rm", "org/model", "system"], ["import", directory("model"), "--name", "org/model"],
            ["pin", "org/model@~1"], ["origin", "rm", "org/model", "file://" + directory("model")],
            ["prune", "--keep-last", "1", "--yes"], ["rebuild"],
        ]
    }

    /// Sets the column past STRICT, NOT NULL and CHECK, as far as SQLite's file format can hold the value.
    private func apply(_ damage: Damage, to store: String) throws {
        let declared = try Self.open(store).write { db in
            let sql = try #require(
                try String.fetchOne(
                    db, sql: "SELECT sql FROM sqlite_schema WHERE name = ? AND type = 'table'",
                    arguments: [damage.table]))
            let relaxed = sql.replacing("INTEGER PRIMARY KEY", with: "\u{A7}").replacing("IS NOT NULL", with: "\u{B6}")
                .replacing(#/\b(INTEGER|TEXT|REAL|ANY)\b/#, with: "BLOB").replacing("NOT NULL", with: "")
                .replacing("STRICT, WITHOUT ROWID", with: "WITHOUT ROWID").replacing("STRICT", with: "")
                .replacing("\u{A7}", with: "INTEGER PRIMARY KEY").replacing("\u{B6}", with: "IS NOT NULL")
            try Self.declare(damage.table, as: relaxed, db)
            return sql
        }
        try Self.open(store).write { db in
            try db.execute(sql: "PRAGMA ignore_check_constraints = ON")
            do {
                try db.execute(
                    sql: "UPDATE OR IGNORE \"\(damage.table)\" SET \"\(damage.column)\" = ?",
                    arguments: [damage.value])
            } catch is DatabaseError {
                // A row id is always a number, and a trigger may not be able to follow.
            }
            try Self.declare(damage.table, as: declared, db)
        }
    }

    private static func declare(_ table: String, as sql: String, _ db: Database) throws {
        try db.execute(sql: "PRAGMA writable_schema = ON")
        try db.execute(
            sql: "UPDATE sqlite_schema SET sql = ? WHERE name = ? AND type = 'table'", arguments: [sql, table])
        try db.execute(sql: "PRAGMA writable_schema = OFF")
    }

    private func restore() throws {
        for name in ["store", "out", "copy", "got"] { try? FileManager.default.removeItem(atPath: directory(name)) }
        try FileManager.default.copyItem(atPath: whole, toPath: tool.store)
    }

    /// `WEIGHTSTORE_TEST_DAMAGES` is the number of damages, each with three commands; all are about 2500. `Tests/full` tries
    /// them all.
    @Test("with any value in a column, each command works or names the damage")
    func anyValue() throws {
        let columns = try Self.open(whole).read { db in
            try Row.fetchAll(
                db,
                sql: """
                    SELECT tables.name AS table_name, columns.name AS column_name
                    FROM sqlite_schema AS tables JOIN pragma_table_info(tables.name) AS columns
                    WHERE tables.type = 'table' AND tables.name NOT GLOB 'sqlite_*'
                    ORDER BY tables.name, columns.cid
                    """
            ).map { (table: $0["table_name"] as String, column: $0["column_name"] as String) }
        }
        var random = Random(seed: 17)
        let damages = columns.flatMap { column in
            Self.values.map { Damage(table: column.table, column: column.column, value: $0) }
        }.shuffled(using: &random)
        #expect(damages.count > 1500)
        let count = ProcessInfo.processInfo.environment["WEIGHTSTORE_TEST_DAMAGES"].flatMap { Int($0) } ?? 20
        var rest: [[String]] = []
        for damage in damages.prefix(count) {
            for _ in 0..<3 {
                if rest.isEmpty { rest = commands.shuffled(using: &random) }
                let arguments = rest.removeLast()
                try restore()
                try apply(damage, to: tool.store)
                let result = try tool.run(arguments)
                #expect(result.status < 124, "\(damage): \(arguments): status \(result.status): \(result.errors)")
                #expect([0, 13].contains(result.status) || !result.errors.isEmpty, "\(damage): \(arguments)")
            }
        }
    }

    @Test("the message has the catalog's path, the column and the value, and says what to do")
    func message() throws {
        for (damage, arguments, column) in [
            (Damage(table: "model", column: "name", value: .null), ["ls"], "name: NULL"),
            (Damage(table: "revision", column: "bytes", value: "much".databaseValue), ["ls"], "bytes: \"much\""),
            (
                Damage(table: "file", column: "digest", value: Data([1]).databaseValue),
                ["export", "org/model@~1", directory("out"), "--force"], "digest"
            ),
            (Damage(table: "setting", column: "value", value: Data([1]).databaseValue), ["quota"], "value"),
            (
                Damage(table: "extent", column: "length", value: (-1).databaseValue),
                ["cat", "org/other", "config.json"], "length: -1"
            ),
        ] {
            try restore()
            try apply(damage, to: tool.store)
            let result = try tool.run(arguments)
            #expect(result.status == 7, "\(damage): \(result.errors)")
            #expect(
                result.errors.contains("\(tool.store)/store.db: ") && result.errors.contains(column)
                    && result.errors.contains("weightstore rebuild"), "\(damage): \(result.errors)")
        }
    }

    @Test("a setting with a damaged value can be set again, and the error names the setting")
    func settings() throws {
        for (name, value, arguments) in [
            ("quota.bytes", "much".databaseValue, ["quota", "--set", "2G"]),
            ("quota.bytes", (-1).databaseValue, ["init", "--quota", "2G"]),
            ("quota.high", 7.databaseValue, ["quota", "--high", "90%"]),
            ("quota.low", "low".databaseValue, ["quota", "--low", "80%"]),
            ("quota.policy", 5.databaseValue, ["quota", "--policy", "lfu"]),
            ("accesses.record", "on".databaseValue, ["record", "off"]),
        ] {
            try restore()
            try Self.open(tool.store).write { db in
                try db.execute(sql: "UPDATE setting SET value = ? WHERE name = ?", arguments: [value, name])
                #expect(db.changesCount == 1, "\(name)")
            }
            let show = name == "accesses.record" ? "record" : "quota"
            let damaged = try tool(show)
            #expect(damaged.status == 7 && damaged.errors.contains(name), "\(name): \(damaged.errors)")
            let repaired = try tool.run(arguments)
            #expect(repaired.status == 0, "\(arguments): \(repaired.errors)")
            #expect(try tool(show).status == 0)
        }
        // What is not given is kept, so a damaged quota is not lost with another setting.
        try restore()
        try Self.open(tool.store).write { db in
            try db.execute(sql: "UPDATE setting SET value = 'much' WHERE name = 'quota.bytes'")
        }
        #expect(try tool("quota", "--high", "90%").status == 7)
    }

    @Test("a path that leads out of the directory is not exported")
    func escape() throws {
        for path in ["../escaped", "/escaped", "a/../../escaped", ""] {
            try restore()
            try Self.open(tool.store).write { db in
                try db.execute(sql: "UPDATE revision_file SET path = ? WHERE path = 'config.json'", arguments: [path])
            }
            let result = try tool("export", "org/other", directory("out"), "--force")
            #expect(result.status == 7 && result.errors.contains("column path"), "\(path): \(result.errors)")
            #expect(!FileManager.default.fileExists(atPath: directory("escaped")))
        }
    }
}

import Foundation
import GRDB
import TestSupport
import Testing
@testable import WeightStore

/// Rules that the sources keep: each table has one owner, and rows are read by the names of their columns.
@Suite(.blocking) struct TableOwnerTests {
    private struct Source {
        /// Below `Sources/`.
        let path: String
        /// Without comments.
        let code: String
    }

    private static let sources: [Source] = {
        let root = URL(filePath: #filePath).appending(path: "../../../Sources").standardizedFileURL
        return TemporaryDirectory.files(below: root.path).filter { $0.hasSuffix(".swift") }.sorted().map { path in
            let text = (try? String(contentsOf: root.appending(path: path), encoding: .utf8)) ?? ""
            let code = text.split(separator: "\n", omittingEmptySubsequences: false)
                .map { $0.drop { $0 == " " }.hasPrefix("//") ? "" : $0 }
                .joined(separator: "\n")
            return Source(path: path, code: code)
        }
    }()

    /// The tables that the migrations make.
    private func tables() throws -> Set<String> {
        let directory = try TemporaryDirectory()
        let store = try Store(at: directory("store"), create: true)
        return try store.catalog.read { db in
            Set(
                try String.fetchAll(
                    db,
                    sql: """
                        SELECT name FROM sqlite_schema
                        WHERE type = 'table' AND name NOT GLOB 'sqlite_*' AND name <> 'grdb_migrations'
                        """))
        }
    }

    @Test("each table is written in one file at most")
    func oneWriter() throws {
        #expect(Self.sources.count > 100)
        let tables = try tables()
        #expect(tables.isSuperset(of: ["shard", "claim", "revision", "model", "extent", "setting"]))
        let write =
            #/
            (?: INSERT (?: \s+OR\s+\w+ )? \s+INTO | REPLACE\s+INTO | UPDATE (?: \s+OR\s+\w+ )? | DELETE\s+FROM )
            \s+ (?<table> \w+ )
            /#
        var writers: [String: Set<String>] = [:]
        for source in Self.sources {
            for match in source.code.matches(of: write) where tables.contains(String(match.table)) {
                writers[String(match.table), default: []].insert(source.path)
            }
        }
        for (table, files) in writers.sorted(by: { $0.key < $1.key }) {
            #expect(files.count == 1, "\(table) is written in \(files.sorted().joined(separator: ", "))")
        }
        // Columns that triggers maintain are written nowhere else.
        #expect(tables.subtracting(writers.keys) == ["shard_totals", "kv_totals"])
        for (table, files) in writers where !table.hasPrefix("fleet") {
            #expect(files.allSatisfy { $0.hasPrefix("Storage/Tables/") }, "\(table): \(files.sorted())")
        }
    }

    @Test("no row is read by position")
    func columnsByName() throws {
        for source in Self.sources where source.code.contains("import GRDB") {
            for match in source.code.matches(of: /[\w\)\]?]\[\d+\]/) {
                let line = source.code[..<match.range.lowerBound].count { $0 == "\n" } + 1
                Issue.record("\(source.path):\(line): an element is read by its position")
            }
        }
    }

    @Test("no column is read by GRDB's subscript, which traps on a value of another type")
    func columnsChecked() throws {
        for source in Self.sources where source.code.contains("import GRDB") {
            for match in source.code.matches(of: /[\w\)\]?]\["/) {
                let line = source.code[..<match.range.lowerBound].count { $0 == "\n" } + 1
                Issue.record("\(source.path):\(line): read the column with value, size, ordinal, path or word")
            }
        }
    }

    @Test("no result of a query is unwrapped by force")
    func unwrapped() throws {
        for source in Self.sources where source.code.contains("import GRDB") {
            for match in source.code.matches(of: /(?:[\)\]]|"""\s*\))!(?!=)/) {
                let line = source.code[..<match.range.lowerBound].count { $0 == "\n" } + 1
                Issue.record("\(source.path):\(line): unwrapped by force")
            }
        }
    }

    @Test("a word that the schema does not know is reported as a damaged catalog")
    func unknownWord() throws {
        let directory = try TemporaryDirectory()
        let store = try Store(at: directory("store"), create: true)
        try TestModel(layers: 1).write(to: directory("model"))
        try store.importModelBlocking(ImportRequest(source: directory("model")))
        try store.catalog.write { db in
            try db.execute(sql: "PRAGMA ignore_check_constraints = ON")
            try db.execute(sql: "UPDATE shard SET kind = 'odd'")
        }
        #expect {
            try store.verifyBlocking()
        } throws: { error in
            guard case StorageError.catalogDamaged(let path, let message) = error else { return false }
            return path.hasSuffix("store.db") && message.contains("kind") && message.contains("odd")
        }
    }
}

import Foundation
import TestSupport
import Testing
@testable import Policies
@testable import Tiers
@testable import WeightStore

/// The columns of `candidate` on every tier.
@Suite(.blocking) struct CandidateColumnTests {
    private static let names = CandidateColumn.all.map(\.name)

    private func columns(of database: PolicyDatabase) throws -> [String] {
        let statement = try database.prepare("SELECT name FROM pragma_table_info('candidate')")
        var names: [String] = []
        while try statement.step() { names.append(statement.text(0)) }
        return names
    }

    /// The rows, as SQLite prints their values.
    private func rows(_ database: PolicyDatabase, _ expression: (String) -> String = { $0 }) throws -> [[String]] {
        let list = Self.names.map { "coalesce(\(expression($0)), 'NULL')" }.joined(separator: ", ")
        let statement = try database.prepare("SELECT \(list) FROM candidate ORDER BY shard_id")
        var rows: [[String]] = []
        while try statement.step() { rows.append(Self.names.indices.map { statement.text(Int32($0)) }) }
        return rows
    }

    /// `number` or `text` for each column; values that are NULL are not regarded.
    private func types(_ database: PolicyDatabase) throws -> [Set<String>] {
        let rows = try rows(database) {
            "CASE typeof(\($0)) WHEN 'integer' THEN 'number' WHEN 'real' THEN 'number' ELSE typeof(\($0)) END"
        }
        try #require(!rows.isEmpty)
        return Self.names.indices.map { column in Set(rows.map { $0[column] }).subtracting(["null"]) }
    }

    private func resident(_ facts: EvictionFacts..., leavesOnly: Bool = false, now: Double = 0) throws -> ResidentTable
    {
        let table = try ResidentTable(leavesOnly: leavesOnly)
        try table.setNow(now)
        for (index, facts) in facts.enumerated() { try table.insert(1 + index, facts) }
        return table
    }

    private func sample() -> EvictionFacts {
        var facts = EvictionFacts(bytes: 4096, kind: "tensor")
        facts.layer = 3
        return facts
    }

    @Test(
        "on disk, for KV blocks, in memory tiers and in the simulator, candidate has the declared columns in one order")
    func order() throws {
        let fixture = try KVFixture()
        let path = fixture.store.catalog.path
        #expect(Set(Self.names).count == Self.names.count && Self.names.first == "shard_id")
        #expect(try columns(of: DiskCandidates(path, []).database) == Self.names)
        #expect(try columns(of: KVCandidates(path).database) == Self.names)
        #expect(try columns(of: resident().database) == Self.names)
        #expect(try columns(of: resident(leavesOnly: true).database) == Self.names)
    }

    @Test("a column has one type on every tier")
    func types() throws {
        let fixture = try KVFixture()
        let store = fixture.store
        var request = ImportRequest(source: fixture.directory("model-1"), name: "org/model")
        request.origins = ["file://\(fixture.directory("model-1"))"]
        try store.importModelBlocking(request)
        let kv = try fixture.blocks()
        let tokens = fixture.tokens(12, seed: 1)
        try kv.put(kv.chain(tokens), fixture.bytes(of: tokens))

        let memory = try types(resident(sample()).database)
        #expect(zip(Self.names, memory).allSatisfy { $1 == [$0 == "kind" ? "text" : "number"] })
        #expect(try types(DiskCandidates(store.catalog.path, []).database) == memory)
        let blocks = try types(KVCandidates(store.catalog.path).database)
        // A KV block belongs to no layer: NULL alone.
        for (name, (type, expected)) in zip(Self.names, zip(blocks, memory)) where name != "layer" {
            #expect(type == expected, "\(name)")
        }
    }

    @Test("the same facts give the same row on disk and in memory, at every time")
    func facts() throws {
        let fixture = try KVFixture()
        let store = fixture.store
        var request = ImportRequest(source: fixture.directory("model-1"), name: "org/model")
        request.origins = ["file://\(fixture.directory("model-1"))"]
        try store.importModelBlocking(request)
        try store.catalog.write { db in
            try db.execute(
                sql: """
                    UPDATE shard
                    SET last_access = 1000000 + 7 * id, access_count = id, heat = 3.5, inserted_at = 900000 + id,
                        fetch_seconds = 0.25 + id, clock = 1.5
                    """)
        }
        let disk = try DiskCandidates(store.catalog.path, []).database
        let row = try #require(try rows(disk).last)
        let value = Dictionary(uniqueKeysWithValues: zip(Self.names, row))
        func number(_ name: String) throws -> Double { try #require(value[name].flatMap(Double.init), "\(name)") }
        var facts = EvictionFacts(bytes: Int(try number("bytes")), kind: try #require(value["kind"]))
        facts.lastAccess = try number("last_access")
        facts.accessCount = Int(try number("access_count"))
        facts.heat = 3.5
        facts.clock = try number("clock")
        facts.insertedAt = try number("inserted_at")
        facts.fetchSeconds = try number("fetch_seconds")
        facts.layer = value["layer"].flatMap(Int.init)
        for days in [0.0, 1, 2.5] {
            let now = facts.lastAccess + days * Heat.halfLife
            try disk.execute("UPDATE temp.moment SET now = \(now)")
            let memory = try ResidentTable()
            try memory.setNow(now)
            try memory.insert(Int(try number("shard_id")), facts)
            let (found, expected) = (try #require(try rows(memory.database).first), try #require(try rows(disk).last))
            for (name, (found, expected)) in zip(Self.names, zip(found, expected)) {
                #expect(found == expected || Double(found) == Double(expected), "\(name)")
            }
        }
    }

    @Test("a use changes only the columns that depend on it")
    func use() throws {
        var facts = sample()
        (facts.lastAccess, facts.accessCount, facts.heat, facts.clock) = (1000, 2, 8, 1)
        let day = Heat.halfLife
        let table = try resident(facts, now: 1000 + day)
        try table.touch(1, at: 1000 + day, clock: 4)
        (facts.lastAccess, facts.accessCount, facts.heat, facts.clock) = (1000 + day, 3, 8 / 2 + 1, 4)
        #expect(try rows(table.database) == rows(resident(facts, now: 1000 + day).database))
    }

    @Test("a shard in a memory tier and the same shard on disk have the same numbers, where they are the same things")
    func tier() async throws {
        let directory = try TemporaryDirectory()
        let store = try Store(at: directory("store"), create: true)
        try TestModel(layers: 2).write(to: directory("base"))
        try TestModel(layers: 2).tuned(seed: 7).write(to: directory("tuned"))
        for name in ["base", "tuned"] {
            var request = ImportRequest(source: directory(name))
            request.origins = ["file://\(directory(name))"]
            try store.importModelBlocking(request)
        }
        try store.open(.ram, TierOptions(budget: 64 << 20))
        for name in ["base", "tuned", "base"] { _ = try await store.revision(name).lease(in: .ram) }
        store.flush()

        let same = ["bytes", "access_count", "heat", "layer", "kind", "model_count", "clock", "depth", "children"]
        let digests = try DiskCandidates(store.catalog.path, []).database
        for name in same {
            // A policy returns a number of each shard: its priority.
            let number =
                switch name {
                case "kind": "instr('tensor pack file kv', kind)"
                case "layer": "coalesce(layer, -1)"
                default: name
                }
            let policy = Policy(name: "probe", sql: "SELECT shard_id, \(number) AS priority FROM candidate")
            let tier = try store.tiers.open(.ram)
            let order = EvictionOrder.policy(try PolicyOrder(policy))
            let memory = tier.state.withLock { state in
                state.order = order
                return state.rank(state.evictable, bytes: .max)
            }
            #expect(memory.count > 8 && memory.allSatisfy { $0.priority != nil })
            for victim in memory {
                let statement = try digests.prepare(
                    """
                    SELECT \(number) FROM candidate
                    WHERE shard_id = (SELECT id FROM main.shard WHERE digest = x'\(victim.shard.digest.hex)')
                    """)
                try #require(try statement.step())
                let (found, expected) = (victim.priority ?? -2, statement.real(0))
                #expect(abs(found - expected) < 0.01, "\(name) of a shard of \(victim.shard.bytes) bytes")
            }
        }
    }

    @Test("the documentation has a row for each column, and for no other")
    func documentation() throws {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        func table(_ path: String, prefix: String) throws -> [String] {
            let text = try String(contentsOf: root.appendingPathComponent(path), encoding: .utf8)
            let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
            let start = try #require(lines.firstIndex { $0 == "\(prefix)| column | |" }, "\(path)")
            return lines[(start + 2)...].prefix { $0.hasPrefix("\(prefix)| `") }.flatMap { line in
                let cell = line.split(separator: "|")[prefix.isEmpty ? 0 : 1]
                return cell.split(separator: "`").map(String.init).filter { $0.contains { $0.isLetter } }
            }
        }
        #expect(try table("Sources/Policies/Policy.swift", prefix: "/// ") == Self.names)
        let article = "Sources/WeightStore/WeightStore.docc/EvictionAndPolicies.md"
        #expect(try Set(table(article, prefix: "")) == Set(Self.names))
    }
}

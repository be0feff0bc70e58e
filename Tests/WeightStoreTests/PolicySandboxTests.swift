import Foundation
import TestSupport
import Testing
@testable import Policies
@testable import WeightStore

/// The limits of an operator's own policy, and the handling of a policy that exceeds them.
@Suite(.blocking) struct PolicySandboxTests {
    let directory = try! TemporaryDirectory()
    let store: Store

    init() throws {
        store = try Store(at: directory("store"), create: true)
        try TestModel(layers: 1).write(to: directory("model"))
        var request = ImportRequest(source: directory("model"))
        request.origins = ["file://\(directory("model"))"]
        try store.importModelBlocking(request)
    }

    private func refusal(_ sql: String) -> (line: Int, message: String)? {
        do {
            try store.check(Policy(name: "mine", sql: sql))
            return nil
        } catch PolicyError.refused(let name, let line, let message) {
            #expect(name == "mine")
            return (line, message)
        } catch {
            return (0, "\(error)")
        }
    }

    @Test(
        "each of these is refused, with SQLite's message",
        arguments: [
            ("DELETE FROM candidate", ""), ("DELETE FROM shard", "not authorized"),
            ("UPDATE shard SET bytes = 0", "not authorized"), ("INSERT INTO setting VALUES ('a', 1)", "not authorized"),
            ("ATTACH '/tmp/x.db' AS x", ""), ("PRAGMA journal_mode", "not authorized"), ("BEGIN", ""),
            ("CREATE TEMP TABLE t (a)", ""), ("CREATE TABLE t (a)", ""), ("DROP TABLE shard", ""), ("VACUUM", ""),
            ("SELECT load_extension('/tmp/x.so') AS shard_id", "not authorized"),
            ("SELECT length(randomblob(900000000)) AS shard_id", "not authorized"),
            ("SELECT zeroblob(900000000) AS shard_id FROM candidate", "not authorized"),
            ("SELECT printf('%900000000d', 1) AS shard_id", "not authorized"),
            ("SELECT group_concat(shard_id) AS shard_id FROM candidate", "not authorized"),
            ("SELECT readfile('/etc/passwd') AS shard_id", "no such function"),
            ("SELECT shard_id FROM candidate; DELETE FROM shard", "more after it"),
            ("SELECT shard_id FROM candidate; SELECT shard_id FROM candidate", "more after it"),
            ("SELECT bytes FROM candidate", "must return shard_id"),
            ("SELECT * FROM candidate", "must return shard_id"),
            ("SELECT shard_id, shard_id FROM candidate", "must return shard_id"),
            ("SELECT shard_id, bytes, layer FROM candidate", "must return shard_id"),
            ("SELECT id AS shard_id FROM shard", "prohibited"), ("SELECT shard_id FROM claim", "prohibited"),
            ("SELECT url AS shard_id FROM revision_origin", "prohibited"),
            ("SELECT name AS shard_id FROM sqlite_master", "prohibited"),
            ("SELECT shard_id FROM candidate WHERE shard_id = ?", "only parameter"),
            ("SELECT shard_id FROM candidate ORDER BY nowhere", "no such column"),
            ("EXPLAIN SELECT shard_id FROM candidate", "one SELECT"), ("", "no statement"),
            ("-- nothing", "no statement"),
            ("SELEC shard_id FROM candidate", "syntax error"),
            // Expressions and aliases that are called as the view.
            ("WITH candidate AS (SELECT id AS shard_id FROM shard) SELECT shard_id FROM candidate", "prohibited"),
            ("WITH CANDIDATE AS (SELECT id AS shard_id FROM main.shard) SELECT shard_id FROM candidate", "prohibited"),
            ("WITH \"candidate\" AS (SELECT shard_id FROM held) SELECT shard_id FROM candidate", "prohibited"),
            ("WITH candidate AS (SELECT 1 AS shard_id FROM shard) SELECT shard_id FROM candidate", "prohibited"),
            (
                "WITH RECURSIVE candidate (shard_id) AS (SELECT 1 UNION ALL SELECT shard_id + 1 FROM candidate, shard) SELECT shard_id FROM candidate",
                "prohibited"
            ),
            ("SELECT shard_id FROM (SELECT id AS shard_id FROM shard) AS candidate", "prohibited"),
            ("SELECT candidate.id AS shard_id FROM shard AS candidate", "prohibited"),
            // Views of the catalog, and the one below `candidate`.
            ("SELECT 1 AS shard_id FROM shard_evictability", "prohibited"),
            (
                "WITH candidate AS (SELECT * FROM shard_evictability) SELECT 1 AS shard_id FROM candidate", "prohibited"
            ),
            ("SELECT shard_id FROM candidate_source", "reserved"),
            (
                "WITH [Candidate_Source] AS (SELECT id FROM shard) SELECT id AS shard_id FROM candidate_source",
                "reserved"
            ),
            // Tables of which no column is read.
            ("SELECT count(*) AS shard_id FROM model", "model is prohibited"),
            ("SELECT shard_id FROM candidate WHERE (SELECT count(*) FROM \"model\") > 1", "model is prohibited"),
            ("SELECT shard_id FROM candidate, [moment]", "moment is prohibited"),
            ("SELECT shard_id FROM candidate, 'sqlite_schema'", "sqlite_schema is prohibited"),
            ("SELECT shard_id FROM candidate, pragma_database_list", ""),
            // Columns that SQLite compares without a call of the authorizer.
            ("SELECT shard_id FROM candidate NATURAL JOIN shard", "NATURAL is not allowed"),
            (
                "WITH n (name) AS (SELECT 'x') SELECT shard_id FROM candidate, n JOIN model/**/using(name)",
                "USING is not allowed"
            ),
            (
                "WITH n (id) AS (SELECT :now) SELECT shard_id FROM candidate JOIN n ON ?1NATURAL JOIN model",
                "NATURAL is not allowed"
            ),
            // It would hide the limit of the rows.
            ("SELECT shard_id FROM candidate /* open", "incomplete input"),
        ])
    func refused(sql: String, message: String) throws {
        let refusal = try #require(self.refusal(sql))
        #expect(message.isEmpty || refusal.message.contains(message), "\(sql): \(refusal.message)")
        #expect(refusal.line >= 1, "\(refusal.message)")
    }

    @Test("the refusal names the line")
    func line() {
        #expect(refusal("-- mine\n\nSELECT shard_id\nFROM candidate\nORDER BY nowhere")?.line == 5)
        #expect(refusal("-- mine\nSELECT shard_id,\n  randomblob(9) AS priority\nFROM candidate")?.line == 3)
        #expect(refusal("SELECT shard_id\nFROM candidate;\n\nSELECT 1")?.line == 4)
        #expect(refusal("\n\nDELETE FROM shard")?.line == 3)
        #expect(refusal("-- using\nSELECT shard_id\nFROM candidate NATURAL JOIN shard")?.line == 3)
        #expect(refusal("SELECT shard_id\nFROM candidate,\nmodel")?.line == 3)
    }

    @Test(
        "each of these is accepted",
        arguments: [
            "SELECT shard_id FROM candidate", "SELECT shard_id FROM candidate;\n-- done\n/* quite */ ;",
            "SELECT SHARD_ID, bytes, 1.0 AS priority FROM candidate ORDER BY pow(heat, 2), ln(bytes)",
            "WITH big AS (SELECT * FROM candidate WHERE bytes > 10) SELECT shard_id FROM big ORDER BY rank() OVER (ORDER BY bytes)",
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3) SELECT shard_id FROM candidate, n",
            "SELECT shard_id FROM candidate WHERE inserted_at < :now - 60 ORDER BY model_count, kind, layer",
            "SELECT shard_id FROM candidate ORDER BY random()", "SELECT shard_id FROM Candidate",
            "SELECT shard_id FROM \"candidate\"", "SELECT shard_id FROM temp.candidate",
            "WITH candidate AS (SELECT * FROM temp.candidate WHERE bytes > 10) SELECT shard_id FROM candidate",
            "WITH shard AS (SELECT shard_id FROM candidate) SELECT shard_id FROM shard",
            "SELECT shard_id FROM (SELECT * FROM candidate) AS shard",
            "WITH n AS (SELECT 1) SELECT shard_id FROM candidate, n",
            "SELECT shard_id FROM candidate WHERE (SELECT count(*) FROM candidate) > 0",
            "-- using all, in natural order\nSELECT shard_id /* using */ FROM candidate WHERE kind <> 'natural'",
        ])
    func taken(sql: String) throws {
        try store.check(Policy(name: "mine", sql: sql))
        // A memory tier has other tables.
        try store.open(.ram, TierOptions(policy: Policy(name: "mine", sql: sql)))
        _ = try store.victims(of: Policy(name: "mine", sql: sql), count: 3)
    }

    @Test(
        "a policy that uses no column of the shards except their number is accepted on every tier",
        arguments: [
            "SELECT shard_id FROM candidate", "SELECT shard_id FROM temp.candidate",
            "SELECT shard_id FROM candidate ORDER BY random()",
            "SELECT shard_id, 1.0 AS priority FROM candidate ORDER BY shard_id DESC",
            "SELECT shard_id FROM candidate WHERE (SELECT count(*) FROM candidate) > 0",
            "SELECT shard_id FROM candidate AS a WHERE EXISTS (SELECT 1 FROM candidate WHERE shard_id > a.shard_id)",
        ])
    func numberAlone(sql: String) throws {
        let policy = Policy(name: "mine", sql: sql)
        for leavesOnly in [false, true] { try ResidentTable(leavesOnly: leavesOnly).database.check(policy) }
        try DiskCandidates(store.catalog.path, []).database.check(policy)
        try KVCandidates(store.catalog.path).database.check(policy)
    }

    @Test("an endless query is interrupted, and intermediate values are bounded")
    func endless() throws {
        let endless = Policy(
            name: "endless",
            sql: """
                WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)
                SELECT shard_id FROM candidate WHERE (SELECT max(i) FROM n) > 0
                """)
        #expect(throws: PolicyError.tooSlow(policy: "endless", seconds: 0.2)) {
            try store.victims(of: endless, count: 1, seconds: 0.2)
        }
        let growing = Policy(
            name: "growing",
            sql: """
                WITH RECURSIVE n (t) AS (SELECT 'x' UNION ALL SELECT t || t FROM n)
                SELECT shard_id FROM candidate WHERE (SELECT max(length(t)) FROM n) > 0
                """)
        let error = #expect(throws: PolicyError.self) { try store.victims(of: growing, count: 1, seconds: 5) }
        #expect("\(error!)".contains("too big"))
    }

    @Test(
        "an eviction falls back to the default for a policy that is refused, takes too long, or names no real shard"
    )
    func fallback() throws {
        let stored = try store.quotaBytes
        for sql in [
            "DELETE FROM shard",
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i AS shard_id FROM n WHERE i < 0",
        ] {
            var request = EvictionRequest(.free(1))
            request.policy = Policy(name: "mine", sql: sql)
            request.seconds = 0.2
            let summary = try store.evictBlocking(request)
            #expect(summary.policy == "lru")
            #expect(summary.rejection?.contains("mine") == true)
            #expect(summary.bytes > 0)
        }
        #expect(try store.quotaBytes < stored)
    }

    @Test("a file in policies/ is a policy, and takes precedence over the built-in one of its name")
    func files() throws {
        try directory.write("-- Mine.\nSELECT shard_id FROM candidate ORDER BY bytes\n", to: "store/policies/mine.sql")
        try directory.write("SELECT shard_id FROM candidate ORDER BY layer\n", to: "store/policies/size.sql")
        try directory.write("not SQL", to: "store/policies/broken.sql")
        #expect(try store.policy("mine").summary == "Mine.")
        #expect(try store.policy("size").path == directory("store/policies/size.sql"))
        #expect(throws: StorageError.self) { try store.policy("nobody") }
        var quota = Quota(bytes: 1 << 30)
        quota.policy = "mine"
        try store.setQuota(quota)
        #expect(try store.quota == quota)
        quota.policy = "broken"
        #expect(throws: PolicyError.self) { try store.setQuota(quota) }
        #expect(try store.quota.policy == "mine")
        // The smallest is evicted first.
        let victims = try store.victims(of: store.policy("mine"), count: 2).victims
        #expect(victims[0].bytes < victims[1].bytes)
    }
}

extension Store {
    /// Bytes that are stored.
    var quotaBytes: Int { get throws { try catalog.read { db in try Totals.bytes(.weights, db) } } }
}

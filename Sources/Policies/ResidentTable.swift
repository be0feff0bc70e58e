import Storage

/// `candidate` of a tier that is not the disk, and of the simulator: a table in memory beside the catalog's.
///
/// For one thread at a time.
final class ResidentTable {
    package let database: PolicyDatabase
    private let insertRow: PolicyStatement
    private let touchRow: PolicyStatement
    private let deleteRow: PolicyStatement
    private let deleteAll: PolicyStatement
    private let setMoment: PolicyStatement
    private let addChildren: PolicyStatement

    /// - Parameter leavesOnly: only KV blocks that nothing in the table builds on are candidates.
    init(leavesOnly: Bool = false) throws {
        database = try PolicyDatabase(nil)
        try database.execute("""
            PRAGMA temp_store = MEMORY;
            PRAGMA journal_mode = OFF;
            CREATE TABLE resident (
                shard_id      INTEGER PRIMARY KEY,
                bytes         INTEGER NOT NULL,
                last_access   REAL    NOT NULL,
                access_count  INTEGER NOT NULL,
                heat          REAL    NOT NULL,
                inserted_at   REAL    NOT NULL,
                fetch_seconds REAL    NOT NULL,
                layer         INTEGER,
                kind          TEXT    NOT NULL,
                model_count   INTEGER NOT NULL,
                clock         REAL    NOT NULL,
                depth         INTEGER NOT NULL,
                children      INTEGER NOT NULL
            ) STRICT;
            CREATE TABLE moment (now REAL NOT NULL) STRICT;
            INSERT INTO moment (now) VALUES (0);
            CREATE VIEW candidate AS
            SELECT shard_id, bytes, last_access, access_count,
                   heat * pow(0.5, ((SELECT now FROM moment) - last_access) / \(Heat.halfLife)) AS heat,
                   inserted_at, fetch_seconds, layer, kind, model_count, clock, depth, children
            FROM resident\(leavesOnly ? " WHERE children = 0" : "");
            """)
        insertRow = try database.prepare("""
            INSERT INTO resident
              (shard_id, bytes, last_access, access_count, heat, inserted_at, fetch_seconds, layer, kind, model_count, clock,
               depth, children)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
            """)
        touchRow = try database.prepare("""
            UPDATE resident
            SET last_access = ?1, access_count = access_count + 1, clock = ?2,
                heat = heat * pow(0.5, (?1 - last_access) / \(Heat.halfLife)) + 1
            WHERE shard_id = ?3
            """)
        deleteRow = try database.prepare("DELETE FROM resident WHERE shard_id = ? RETURNING heat, last_access")
        deleteAll = try database.prepare("DELETE FROM resident")
        addChildren = try database.prepare("UPDATE resident SET children = children + ? WHERE shard_id = ?")
        setMoment = try database.prepare("UPDATE moment SET now = ?")
        // One transaction that never ends: nothing here is to be kept.
        try database.execute("BEGIN")
    }

    package func insert(_ shard: Int, _ facts: EvictionFacts) throws {
        insertRow.bind(1, shard)
        insertRow.bind(2, facts.bytes)
        insertRow.bind(3, facts.lastAccess)
        insertRow.bind(4, facts.accessCount)
        insertRow.bind(5, facts.heat)
        insertRow.bind(6, facts.insertedAt)
        insertRow.bind(7, facts.fetchSeconds)
        insertRow.bind(8, facts.layer)
        insertRow.bind(9, facts.kind)
        insertRow.bind(10, facts.modelCount)
        insertRow.bind(11, facts.clock)
        insertRow.bind(12, facts.depth)
        insertRow.bind(13, facts.children)
        try insertRow.run()
    }

    /// A use of a shard.
    func touch(_ shard: Int, at moment: Double, clock: Double) throws {
        touchRow.bind(1, moment)
        touchRow.bind(2, clock)
        touchRow.bind(3, shard)
        try touchRow.run()
    }

    /// - Returns: the heat of what went, and when it was used last.
    package func delete(_ shard: Int) throws -> (heat: Double, lastAccess: Double) {
        deleteRow.bind(1, shard)
        guard try deleteRow.step() else { return (0, 0) }
        let went = (deleteRow.real(0), deleteRow.real(1))
        while try deleteRow.step() {}
        deleteRow.reset()
        return went
    }

    /// So many more blocks build on one.
    func addChildren(_ count: Int, of shard: Int) throws {
        addChildren.bind(1, count)
        addChildren.bind(2, shard)
        try addChildren.run()
    }

    func deleteEverything() throws { try deleteAll.run() }

    /// The time that `heat` fades to.
    func setNow(_ now: Double) throws {
        setMoment.bind(1, now)
        try setMoment.run()
    }
}

import Storage

/// `candidate` of memory tiers and of the simulator: a table in memory, independent of the catalog.
///
/// For one thread at a time.
final class ResidentTable {
    package let database: PolicyDatabase
    private let values = CandidateColumn.all.map(\.memory)
    private let insertRow: PolicyStatement
    private let touchRow: PolicyStatement
    private let touchParameters: (now: Int32, clock: Int32, shard: Int32)
    private let deleteRow: PolicyStatement
    private let deleteAll: PolicyStatement
    private let setMoment: PolicyStatement
    private let addChildren: PolicyStatement

    /// - Parameter leavesOnly: only KV blocks without children are candidates.
    init(leavesOnly: Bool = false) throws {
        database = try PolicyDatabase(nil)
        let rows = leavesOnly ? "resident WHERE children = 0" : "resident"
        try database.execute(
            """
            PRAGMA temp_store = MEMORY;
            PRAGMA journal_mode = OFF;
            CREATE TABLE resident (
                \(CandidateColumn.definitions)
            ) STRICT;
            CREATE TABLE moment (now REAL NOT NULL) STRICT;
            INSERT INTO moment (now) VALUES (0);
            \(CandidateView.create(\.resident, from: rows))
            """)
        let (names, parameters) = (CandidateColumn.all.map(\.name), values.map { _ in "?" })
        insertRow = try database.prepare(
            """
            INSERT INTO resident (\(names.joined(separator: ", ")))
            VALUES (\(parameters.joined(separator: ", ")))
            """)
        touchRow = try database.prepare("UPDATE resident SET \(CandidateColumn.use) WHERE shard_id = :shard_id")
        touchParameters = (touchRow.parameter(":now"), touchRow.parameter(":clock"), touchRow.parameter(":shard_id"))
        deleteRow = try database.prepare("DELETE FROM resident WHERE shard_id = ? RETURNING heat, last_access")
        deleteAll = try database.prepare("DELETE FROM resident")
        addChildren = try database.prepare("UPDATE resident SET children = children + ? WHERE shard_id = ?")
        setMoment = try database.prepare("UPDATE moment SET now = ?")
        // One transaction that is never committed, because the table is temporary.
        try database.execute("BEGIN")
    }

    package func insert(_ shard: Int, _ facts: EvictionFacts) throws {
        for (index, value) in values.enumerated() { value.bind(shard, facts, to: insertRow, Int32(1 + index)) }
        try insertRow.run()
    }

    /// Updates the row of a shard for a use.
    func touch(_ shard: Int, at moment: Double, clock: Double) throws {
        touchRow.bind(touchParameters.now, moment)
        touchRow.bind(touchParameters.clock, clock)
        touchRow.bind(touchParameters.shard, shard)
        try touchRow.run()
    }

    /// Deletes the row of a shard.
    ///
    /// - Returns: its heat, and the time of its last use.
    package func delete(_ shard: Int) throws -> (heat: Double, lastAccess: Double) {
        deleteRow.bind(1, shard)
        guard try deleteRow.step() else { return (0, 0) }
        let result = (deleteRow.real(0), deleteRow.real(1))
        while try deleteRow.step() {}
        deleteRow.reset()
        return result
    }

    /// Adds `count` to the children of a block.
    func addChildren(_ count: Int, of shard: Int) throws {
        addChildren.bind(1, count)
        addChildren.bind(2, shard)
        try addChildren.run()
    }

    func deleteEverything() throws { try deleteAll.run() }

    /// Sets the time at which queries compute the decay of `heat`, in seconds since 1970.
    func setNow(_ now: Double) throws {
        setMoment.bind(1, now)
        try setMoment.run()
    }
}

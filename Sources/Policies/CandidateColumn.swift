import Storage

/// A column of `candidate`, the view that a policy reads (``Policy``), with its SQL on each tier.
///
/// ``all`` is the only list of the columns. The views for the disk (`DiskCandidates`), for KV blocks (`KVCandidates`),
/// and for memory tiers and the simulator (`ResidentTable`) are generated from it, in this order.
///
/// A new column is an entry of ``all``:
///
///     CandidateColumn("tensors", disk: "(SELECT count(*) FROM …)", kv: "0", memory: .integer { $0.tensors }),
///
/// and, if memory tiers lack the value, a field of `EvictionFacts`, set in `MemoryTier+Eviction.swift`. The tables at
/// ``Policy`` and in the article `EvictionAndPolicies.md` describe it; a test compares them with this list.
package struct CandidateColumn: Sendable {
    /// The name of the column.
    package let name: String
    /// The expression over a row of `main.shard`, for shards of weights. The table `moment` has one row, whose column
    /// `now` is the time in seconds since 1970.
    let disk: String
    /// The same for KV blocks.
    let kv: String
    /// The value that `ResidentTable` stores when a shard is inserted.
    let memory: Stored
    /// The expression over a row of `resident`, for the view; it may use `moment`. By default, the stored value.
    let resident: String
    /// The expression over a row of `resident` for the stored value after a use; nil if a use does not change it.
    /// `:now` is the time of the use, `:clock` the value of the tier's clock.
    let used: String?

    /// A value in memory, with its type.
    enum Stored: Sendable {
        /// The number that identifies the shard in the table.
        case number
        case integer(@Sendable (EvictionFacts) -> Int)
        case optionalInteger(@Sendable (EvictionFacts) -> Int?)
        case real(@Sendable (EvictionFacts) -> Double)
        case text(@Sendable (EvictionFacts) -> String)
    }

    private init(
        _ name: String, disk: String, kv: String, memory: Stored, resident: String? = nil, used: String? = nil
    ) {
        self.name = name
        self.disk = disk
        self.kv = kv
        self.memory = memory
        self.resident = resident ?? name
        self.used = used
    }

    /// A column with the same expression for weights and KV blocks.
    private init(_ name: String, catalog: String, memory: Stored, resident: String? = nil, used: String? = nil) {
        self.init(name, disk: catalog, kv: catalog, memory: memory, resident: resident, used: used)
    }

    /// The columns, in order.
    package static let all: [CandidateColumn] = [
        CandidateColumn("shard_id", catalog: "shard.id", memory: .number),
        CandidateColumn("bytes", catalog: "shard.bytes", memory: .integer { $0.bytes }),
        CandidateColumn("last_access", catalog: "shard.last_access", memory: .real { $0.lastAccess }, used: ":now"),
        CandidateColumn(
            "access_count", catalog: "shard.access_count", memory: .integer { $0.accessCount }, used: "access_count + 1"
        ),
        CandidateColumn(
            "heat", catalog: decayed("shard.heat", since: "shard.last_access", to: moment), memory: .real { $0.heat },
            resident: decayed("heat", since: "last_access", to: moment),
            used: decayed("heat", since: "last_access", to: ":now") + " + 1"),
        CandidateColumn("inserted_at", catalog: "shard.inserted_at", memory: .real { $0.insertedAt }),
        CandidateColumn(
            "fetch_seconds",
            catalog: "coalesce(shard.fetch_seconds, \(FetchCost.latency) + shard.bytes / \(FetchCost.bytesPerSecond))",
            memory: .real { $0.fetchSeconds }),
        CandidateColumn("layer", catalog: "shard.layer", memory: .optionalInteger { $0.layer }),
        CandidateColumn("kind", catalog: "shard.kind", memory: .text { $0.kind }),
        CandidateColumn(
            "model_count",
            disk: """
                (SELECT count(DISTINCT revision.model_id)
                 FROM main.extent
                 JOIN main.revision_file ON revision_file.file_id = extent.file_id
                 JOIN main.revision ON revision.id = revision_file.revision_id
                 WHERE extent.shard_id = shard.id)
                """,
            kv: "1", memory: .integer { $0.modelCount }),
        CandidateColumn("clock", catalog: "shard.clock", memory: .real { $0.clock }, used: ":clock"),
        CandidateColumn("depth", disk: "0", kv: "shard.depth", memory: .integer { $0.depth }),
        CandidateColumn(
            "children", disk: "0", kv: "(SELECT count(*) FROM main.kv_block WHERE kv_block.parent_id = shard.id)",
            memory: .integer { $0.children }),
    ]

    /// The time of the query.
    private static let moment = "(SELECT now FROM moment)"

    private static func decayed(_ heat: String, since last: String, to now: String) -> String {
        "\(heat) * pow(0.5, (\(now) - \(last)) / \(Heat.halfLife))"
    }
}

// MARK: SQL

extension CandidateColumn {
    /// The result columns of a view.
    static func select(_ expression: KeyPath<CandidateColumn, String>) -> String {
        all.map { "\($0[keyPath: expression]) AS \($0.name)" }.joined(separator: ",\n       ")
    }

    /// The definitions of a table's columns.
    static var definitions: String { all.map { "\($0.name) \($0.memory.definition)" }.joined(separator: ",\n    ") }

    /// The assignments of an UPDATE when a shard is used.
    static var use: String {
        all.compactMap { column in column.used.map { "\(column.name) = \($0)" } }.joined(separator: ", ")
    }
}

extension CandidateColumn.Stored {
    fileprivate var definition: String {
        switch self {
        case .number: "INTEGER PRIMARY KEY"
        case .integer: "INTEGER NOT NULL"
        case .optionalInteger: "INTEGER"
        case .real: "REAL NOT NULL"
        case .text: "TEXT NOT NULL"
        }
    }

    /// Binds the value of one shard to a parameter.
    func bind(_ shard: Int, _ facts: EvictionFacts, to statement: PolicyStatement, _ index: Int32) {
        switch self {
        case .number: statement.bind(index, shard)
        case .integer(let value): statement.bind(index, value(facts))
        case .optionalInteger(let value): statement.bind(index, value(facts))
        case .real(let value): statement.bind(index, value(facts))
        case .text(let value): statement.bind(index, value(facts))
        }
    }
}

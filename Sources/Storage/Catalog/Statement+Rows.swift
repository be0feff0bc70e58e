import GRDB
import GRDBSQLite

/// The values of a row, in the order of the statement's parameters.
package struct StatementValues {
    fileprivate let statement: SQLiteStatement
    fileprivate var count: CInt = 0
    fileprivate var failure: CInt = SQLITE_OK

    package mutating func add(_ value: Int) { note(value.bind(to: statement, at: count + 1)) }
    package mutating func add(_ value: Int64) { note(value.bind(to: statement, at: count + 1)) }
    package mutating func add(_ value: Double) { note(value.bind(to: statement, at: count + 1)) }
    package mutating func add(_ value: String) { note(value.bind(to: statement, at: count + 1)) }

    package mutating func add(_ value: ContentDigest) {
        note(value.withBytes { sqlite3_bind_blob(statement, count + 1, $0.baseAddress, CInt($0.count), Self.copied) })
    }

    /// `SQLITE_TRANSIENT`: SQLite copies the value.
    private static let copied = unsafeBitCast(-1, to: sqlite3_destructor_type.self)

    package mutating func add(_ value: Int?) {
        if let value { add(value) } else { addNull() }
    }

    package mutating func add(_ value: Int64?) {
        if let value { add(value) } else { addNull() }
    }

    package mutating func add(_ value: String?) {
        if let value { add(value) } else { addNull() }
    }

    private mutating func addNull() { note(sqlite3_bind_null(statement, count + 1)) }

    private mutating func note(_ code: CInt) {
        count += 1
        if failure == SQLITE_OK { failure = code }
    }
}

extension Statement {
    /// Executes the statement once for each element.
    ///
    /// The values are bound without `StatementArguments`, which copies those of each row several times: a file may have
    /// tens of thousands of tensors.
    ///
    /// - Parameter bind: adds a value for each parameter.
    package func execute<Element>(
        forEach elements: some Sequence<Element>, _ bind: (Element, inout StatementValues) throws -> Void
    ) throws {
        // The statement counts as complete without arguments.
        setUncheckedArguments(StatementArguments())
        for element in elements {
            // A statement that has ended accepts no values. The result is that of the row before, which was thrown.
            sqlite3_reset(sqliteStatement)
            var values = StatementValues(statement: sqliteStatement)
            try bind(element, &values)
            precondition(values.count == sqlite3_bind_parameter_count(sqliteStatement), "a value for each parameter")
            guard values.failure == SQLITE_OK else {
                throw DatabaseError(resultCode: ResultCode(rawValue: values.failure), sql: sql)
            }
            try execute()
        }
        setUncheckedArguments(StatementArguments())
    }
}

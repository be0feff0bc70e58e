import GRDBSQLite

/// A compiled statement of a `PolicyDatabase`.
package final class PolicyStatement {
    package let handle: OpaquePointer
    private let database: PolicyDatabase
    /// The text of the statement.
    package let text: String
    /// The text after the statement.
    let tail: String

    /// Compiles the first statement of `sql`.
    ///
    /// - Throws: `NoStatement` if there is none; ``StorageError`` if it cannot be compiled.
    init(_ database: PolicyDatabase, _ sql: String, flags: UInt32) throws {
        self.database = database
        var statement: OpaquePointer?
        var rest = 0
        let code = sql.withCString { text in
            var tail: UnsafePointer<CChar>?
            let code = sqlite3_prepare_v3(database.handle, text, -1, flags, &statement, &tail)
            rest = tail.map { $0 - text } ?? 0
            return code
        }
        guard code == SQLITE_OK else { throw database.failure() }
        guard let statement else { throw NoStatement() }
        handle = statement
        text = String(decoding: sql.utf8.prefix(rest), as: UTF8.self)
        tail = String(decoding: sql.utf8.dropFirst(rest), as: UTF8.self)
    }

    /// The text consists of white space and comments.
    struct NoStatement: Error {}

    deinit { sqlite3_finalize(handle) }

    /// Steps to the next row.
    ///
    /// - Returns: false if there is none.
    package func step() throws -> Bool {
        switch sqlite3_step(handle) {
        case SQLITE_ROW: return true
        case SQLITE_DONE: return false
        default: throw database.failure()
        }
    }

    /// Runs the statement to its end and resets it.
    package func run() throws {
        while try step() {}
        sqlite3_reset(handle)
    }

    package func reset() { sqlite3_reset(handle) }

    /// The index of a named parameter; 0 if the statement does not have it. Binding to index 0 has no effect.
    func parameter(_ name: String) -> Int32 { sqlite3_bind_parameter_index(handle, name) }

    package func bind(_ index: Int32, _ value: Int) { sqlite3_bind_int64(handle, index, Int64(value)) }
    package func bind(_ index: Int32, _ value: Double) { sqlite3_bind_double(handle, index, value) }

    package func bind(_ index: Int32, _ value: Int?) {
        if let value { bind(index, value) } else { sqlite3_bind_null(handle, index) }
    }

    package func bind(_ index: Int32, _ value: String) {
        // SQLITE_TRANSIENT: SQLite copies the text.
        sqlite3_bind_text(handle, index, value, -1, unsafeBitCast(-1, to: sqlite3_destructor_type.self))
    }

    package func integer(_ column: Int32) -> Int { Int(sqlite3_column_int64(handle, column)) }
    package func real(_ column: Int32) -> Double { sqlite3_column_double(handle, column) }
    package func text(_ column: Int32) -> String {
        sqlite3_column_text(handle, column).map { String(cString: $0) } ?? ""
    }
}

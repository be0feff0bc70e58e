import GRDB

extension DatabaseError {
    /// An error for catalog contents that the schema does not allow. `Catalog` reports it as
    /// ``StorageError/catalogDamaged(path:message:)``.
    package static func damaged(_ message: String) -> DatabaseError {
        DatabaseError(resultCode: .SQLITE_CORRUPT, message: message)
    }
}

extension Row {
    /// The value of a column that stores the cases of an enumeration, such as `shard.state`.
    ///
    /// - Throws: `DatabaseError.damaged` for NULL and for an unknown value.
    package func word<Word: RawRepresentable<String>>(_ column: String) throws -> Word {
        let text: String? = self[column]
        guard let text, let word = Word(rawValue: text) else {
            throw DatabaseError.damaged("column \(column): \(text.map { "\"\($0)\"" } ?? "NULL") is not a \(Word.self)")
        }
        return word
    }
}

extension DatabaseValueConvertible {
    /// The value of a query that always gives one row: a count, a sum, EXISTS, an INSERT that returns its id.
    ///
    /// - Throws: `DatabaseError.damaged` if it gives no row, or NULL.
    package static func fetchValue(
        _ db: Database, sql: String, arguments: StatementArguments = StatementArguments()
    ) throws -> Self {
        guard let value = try fetchOne(db, sql: sql, arguments: arguments) else {
            throw DatabaseError.damaged("no row: \(sql)")
        }
        return value
    }

    /// As `fetchValue(_:sql:arguments:)`, for a prepared statement.
    package static func fetchValue(_ statement: Statement, arguments: StatementArguments? = nil) throws -> Self {
        guard let value = try fetchOne(statement, arguments: arguments) else {
            throw DatabaseError.damaged("no row: \(statement.sql)")
        }
        return value
    }
}

import GRDB

extension DatabaseError {
    /// What the catalog holds is not what its schema allows. `Catalog` reports it as
    /// ``StorageError/catalogDamaged(path:message:)``.
    package static func damaged(_ message: String) -> DatabaseError {
        DatabaseError(resultCode: .SQLITE_CORRUPT, message: message)
    }
}

extension Row {
    /// A column that holds one of a few words, such as `shard.state`.
    ///
    /// - Throws: `DatabaseError.damaged` for NULL, and for any other word.
    package func word<Word: RawRepresentable<String>>(_ column: String) throws -> Word {
        let text: String? = self[column]
        guard let text, let word = Word(rawValue: text) else {
            throw DatabaseError.damaged("column \(column): \(text.map { "\"\($0)\"" } ?? "NULL") is no \(Word.self)")
        }
        return word
    }
}

extension DatabaseValueConvertible {
    /// The value of a query that always gives one row: a count, a sum, EXISTS, an INSERT that returns its id.
    ///
    /// - Throws: `DatabaseError.damaged` if it gives none, or NULL.
    package static func fetchValue(
        _ db: Database, sql: String, arguments: StatementArguments = StatementArguments()
    ) throws -> Self {
        guard let value = try fetchOne(db, sql: sql, arguments: arguments) else {
            throw DatabaseError.damaged("no row: \(sql)")
        }
        return value
    }

    /// As `fetchValue(_:sql:arguments:)`, of a statement.
    package static func fetchValue(_ statement: Statement, arguments: StatementArguments? = nil) throws -> Self {
        guard let value = try fetchOne(statement, arguments: arguments) else {
            throw DatabaseError.damaged("no row: \(statement.sql)")
        }
        return value
    }
}

import GRDB

extension DatabaseError {
    /// An error for catalog contents that the schema does not allow. `Catalog` reports it as
    /// ``StorageError/catalogDamaged(path:message:)``.
    package static func damaged(_ message: String) -> DatabaseError {
        DatabaseError(resultCode: .SQLITE_CORRUPT, message: message)
    }
}

/// Reads columns by name. GRDB's subscript traps on a value that does not fit, so it is not used: a damaged catalog throws.
extension Row {
    /// The value of a column.
    ///
    /// - Throws: `DatabaseError.damaged` for a value of another type, and for NULL unless the type is optional.
    @inlinable
    package func value<Value: DatabaseValueConvertible>(_ column: String) throws -> Value {
        do { return try decode(forColumn: column) } catch is RowDecodingError { throw damaged(column) }
    }

    /// As above, for types that are read without a copy.
    @inlinable
    package func value<Value: DatabaseValueConvertible & StatementColumnConvertible>(_ column: String) throws -> Value {
        do { return try decode(forColumn: column) } catch is RowDecodingError { throw damaged(column) }
    }

    /// A number whose magnitude is less than 2⁶², so that a sum or a difference of two of them does not overflow.
    ///
    /// - Throws: `DatabaseError.damaged` for anything else.
    package func value(_ column: String) throws -> Int {
        guard let number = try number(column, in: Int.catalogNumbers) else { throw damaged(column) }
        return number
    }

    /// As above; nil for NULL.
    package func value(_ column: String) throws -> Int? { try number(column, in: Int.catalogNumbers) }

    /// A size or a position: a number from 0 to `Manifest.maximumFileBytes`.
    ///
    /// - Throws: `DatabaseError.damaged` for anything else.
    package func size(_ column: String) throws -> Int {
        guard let size = try number(column, in: 0...Manifest.maximumFileBytes) else { throw damaged(column) }
        return size
    }

    /// As above; nil for NULL.
    package func size(_ column: String) throws -> Int? { try number(column, in: 0...Manifest.maximumFileBytes) }

    /// The number of a layer or an expert: any from 0. It is a name, and no arithmetic is done on it.
    ///
    /// - Throws: `DatabaseError.damaged` for anything else.
    package func ordinal(_ column: String) throws -> Int {
        guard let number = try number(column, in: 0...Int.max) else { throw damaged(column) }
        return number
    }

    /// As above; nil for NULL.
    package func ordinal(_ column: String) throws -> Int? { try number(column, in: 0...Int.max) }

    private func number(_ column: String, in range: ClosedRange<Int>) throws -> Int? {
        let number: Int?
        do { number = try decode(forColumn: column) } catch is RowDecodingError { throw damaged(column) }
        if let number, !(range ~= number) { throw damaged(column) }
        return number
    }

    /// The path of a file of a revision.
    ///
    /// - Throws: `DatabaseError.damaged` for a path that would lead out of a directory to which the file is exported.
    package func path(_ column: String) throws -> String {
        let path: String = try value(column)
        guard RelativePath.isValid(path) else { throw damaged(column) }
        return path
    }

    /// The value of a column that stores the cases of an enumeration, such as `shard.state`.
    ///
    /// - Throws: `DatabaseError.damaged` for NULL and for an unknown value.
    package func word<Word: RawRepresentable<String>>(_ column: String) throws -> Word {
        guard let word = Word(rawValue: try value(column)) else { throw damaged(column) }
        return word
    }

    @usableFromInline
    package func damaged(_ column: String) -> DatabaseError {
        let value = (self[column] as DatabaseValue?).map { "\($0)" } ?? "NULL"
        return .damaged("unexpected value in column \(column): \(value.prefix(80))")
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

extension Int {
    /// The numbers of the catalog, apart from sizes.
    fileprivate static let catalogNumbers = -(1 << 62) + 1...(1 << 62) - 1

    /// As the general form, for a number as `Row.value(_:)` reads it.
    package static func fetchValue(
        _ db: Database, sql: String, arguments: StatementArguments = StatementArguments()
    ) throws -> Int {
        guard let value = try fetchOne(db, sql: sql, arguments: arguments), catalogNumbers ~= value else {
            throw DatabaseError.damaged("no number: \(sql)")
        }
        return value
    }

    /// As `fetchValue(_:sql:arguments:)`, for a prepared statement.
    package static func fetchValue(_ statement: Statement, arguments: StatementArguments? = nil) throws -> Int {
        guard let value = try fetchOne(statement, arguments: arguments), catalogNumbers ~= value else {
            throw DatabaseError.damaged("no number: \(statement.sql)")
        }
        return value
    }
}

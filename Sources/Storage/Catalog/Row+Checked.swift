import Foundation
import GRDB
import GRDBSQLite

extension DatabaseError {
    /// An error for catalog contents that the schema does not allow. `Catalog` reports it as
    /// ``StorageError/catalogDamaged(path:message:)``.
    package static func damaged(_ message: String) -> DatabaseError {
        DatabaseError(resultCode: .SQLITE_CORRUPT, message: message)
    }
}

/// A column of the rows of a query, by its name.
package struct RowColumn: ExpressibleByStringLiteral {
    fileprivate let name: String
    /// Its place, if it was found once for all rows.
    fileprivate let place: Place?

    package init(stringLiteral name: String) {
        self.name = name
        place = nil
    }

    fileprivate init(_ name: String, _ place: Place) {
        self.name = name
        self.place = place
    }

    /// A column of a statement. Numbers and texts are read from the statement itself: through the row and a
    /// `DatabaseValue` they cost several times as much. Must not be used after the statement is released.
    fileprivate struct Place {
        let statement: SQLiteStatement
        let index: CInt

        var type: CInt { sqlite3_column_type(statement, index) }
        var number: Int { Int(sqlite3_column_int64(statement, index)) }
        var text: String { String(sqliteStatement: statement, index: index) }
    }
}

extension Statement {
    /// A column of the statement's rows. Its place is found once: for tens of thousands of rows, the search for names
    /// takes a fifth of the time. Valid as long as the statement, and only for the rows of its cursor.
    ///
    /// - Throws: `DatabaseError` if there is no such column.
    package func column(_ name: String) throws -> RowColumn {
        guard let index = index(ofColumn: name) else { throw DatabaseError(message: "no column \(name): \(sql)") }
        return RowColumn(name, RowColumn.Place(statement: sqliteStatement, index: CInt(index)))
    }
}

/// Reads columns by name. GRDB's subscript traps on a value that does not fit, so it is not used: a damaged catalog throws.
extension Row {
    /// The value of a column, exactly as the column stores it: SQLite would read the text "much" as the number 0.
    ///
    /// - Throws: `DatabaseError.damaged` for a value of another type, and for NULL unless the type is optional.
    package func value<Value: DatabaseValueConvertible>(_ column: RowColumn) throws -> Value {
        guard let value = Value.fromDatabaseValue(try stored(column)) else { throw damaged(column) }
        return value
    }

    /// As above. The optional columns of a tensor have overloads of their own: a generic `Optional` costs more than the
    /// rest of the row.
    package func value(_ column: RowColumn) throws -> String? {
        switch column.place?.type {
        case SQLITE_TEXT: return column.place?.text
        case SQLITE_NULL: return nil
        default: return try optional(column)
        }
    }

    /// As above.
    package func value(_ column: RowColumn) throws -> ContentDigest? { try optional(column) }

    /// As above.
    package func value(_ column: RowColumn) throws -> Int64? {
        switch column.place?.type {
        case SQLITE_INTEGER: return column.place.map { Int64($0.number) }
        case SQLITE_NULL: return nil
        default: return try optional(column)
        }
    }

    private func optional<Value: DatabaseValueConvertible>(_ column: RowColumn) throws -> Value? {
        let stored = try stored(column)
        if stored.isNull { return nil }
        guard let value = Value.fromDatabaseValue(stored) else { throw damaged(column) }
        return value
    }

    /// A text, as ``value(_:)`` reads it.
    ///
    /// - Throws: `DatabaseError.damaged` for anything else, and for NULL.
    package func text(_ column: RowColumn) throws -> String {
        guard let text = try value(column) as String? else { throw damaged(column) }
        return text
    }

    /// A number whose magnitude is less than 2⁶², so that a sum or a difference of two of them does not overflow.
    ///
    /// - Throws: `DatabaseError.damaged` for anything else.
    package func value(_ column: RowColumn) throws -> Int {
        guard let number = try number(column, in: Int.catalogNumbers) else { throw damaged(column) }
        return number
    }

    /// As above; nil for NULL.
    package func value(_ column: RowColumn) throws -> Int? { try number(column, in: Int.catalogNumbers) }

    /// A size or a position: a number from 0 to `Manifest.maximumFileBytes`.
    ///
    /// - Throws: `DatabaseError.damaged` for anything else.
    package func size(_ column: RowColumn) throws -> Int {
        guard let size = try number(column, in: 0...Manifest.maximumFileBytes) else { throw damaged(column) }
        return size
    }

    /// As above; nil for NULL.
    package func size(_ column: RowColumn) throws -> Int? { try number(column, in: 0...Manifest.maximumFileBytes) }

    /// The number of a layer or an expert: any from 0. It is a name, and no arithmetic is done on it.
    ///
    /// - Throws: `DatabaseError.damaged` for anything else.
    package func ordinal(_ column: RowColumn) throws -> Int {
        guard let number = try number(column, in: 0...Int.max) else { throw damaged(column) }
        return number
    }

    /// As above; nil for NULL.
    package func ordinal(_ column: RowColumn) throws -> Int? { try number(column, in: 0...Int.max) }

    private func number(_ column: RowColumn, in range: ClosedRange<Int>) throws -> Int? {
        let number: Int?
        switch column.place?.type {
        case SQLITE_NULL: return nil
        case SQLITE_INTEGER: number = column.place?.number
        default:
            let stored = try stored(column)
            if stored.isNull { return nil }
            number = Int.fromDatabaseValue(stored)
        }
        guard let number, range ~= number else { throw damaged(column) }
        return number
    }

    /// The path of a file of a revision.
    ///
    /// - Throws: `DatabaseError.damaged` for a path that would lead out of a directory to which the file is exported.
    package func path(_ column: RowColumn) throws -> String {
        let path: String = try value(column)
        guard RelativePath.isValid(path) else { throw damaged(column) }
        return path
    }

    /// The value of a column that stores the cases of an enumeration, such as `shard.state`.
    ///
    /// - Throws: `DatabaseError.damaged` for NULL and for an unknown value.
    package func word<Word: RawRepresentable<String>>(_ column: RowColumn) throws -> Word {
        guard let word = Word(rawValue: try value(column)) else { throw damaged(column) }
        return word
    }

    private func stored(_ column: RowColumn) throws -> DatabaseValue {
        do {
            guard let place = column.place else {
                return try decode(StoredValue.self, forColumn: column.name).databaseValue
            }
            return StoredValue(sqliteStatement: place.statement, index: place.index).databaseValue
        } catch is RowDecodingError { throw damaged(column) }
    }

    package func damaged(_ column: RowColumn) -> DatabaseError {
        let value = (self[column.name] as DatabaseValue?).map { "\($0)" } ?? "NULL"
        return .damaged("unexpected value in column \(column.name): \(value.prefix(80))")
    }
}

/// A value as a column stores it.
///
/// `DatabaseValue` is not decoded from a statement without generic code, in which the opening of a revision of 90,000
/// tensors spent half of its time.
private struct StoredValue: DatabaseValueConvertible, StatementColumnConvertible {
    let databaseValue: DatabaseValue

    init(_ value: DatabaseValue) { databaseValue = value }

    init(sqliteStatement statement: SQLiteStatement, index: CInt) {
        switch sqlite3_column_type(statement, index) {
        case SQLITE_INTEGER: databaseValue = sqlite3_column_int64(statement, index).databaseValue
        case SQLITE_FLOAT: databaseValue = sqlite3_column_double(statement, index).databaseValue
        case SQLITE_TEXT: databaseValue = String(sqliteStatement: statement, index: index).databaseValue
        case SQLITE_BLOB: databaseValue = Data(sqliteStatement: statement, index: index).databaseValue
        default: databaseValue = .null
        }
    }

    /// NULL is a value here.
    static func fromStatement(_ statement: SQLiteStatement, atUncheckedIndex index: CInt) -> StoredValue? {
        StoredValue(sqliteStatement: statement, index: index)
    }

    static func fromDatabaseValue(_ value: DatabaseValue) -> StoredValue? { StoredValue(value) }
}

extension Row {
    /// Maps the rows of a query in order, each while the statement is at it.
    ///
    /// Faster than `fetchAll`, whose copied rows find a column by comparing all names in lower case.
    ///
    /// - Parameter transform: must not keep the row, nor change the tables of the query.
    package static func mapAll<Value>(
        _ db: Database, sql: String, arguments: StatementArguments = StatementArguments(),
        _ transform: (Row) throws -> Value
    ) throws -> [Value] {
        try mapAll(fetchCursor(db, sql: sql, arguments: arguments), transform)
    }

    /// As ``mapAll(_:sql:arguments:_:)``, for a statement that is compiled already.
    package static func mapAll<Value>(
        _ statement: Statement, arguments: StatementArguments? = nil, _ transform: (Row) throws -> Value
    ) throws -> [Value] {
        try mapAll(fetchCursor(statement, arguments: arguments), transform)
    }

    private static func mapAll<Value>(_ rows: RowCursor, _ transform: (Row) throws -> Value) throws -> [Value] {
        var values: [Value] = []
        while let row = try rows.next() { values.append(try transform(row)) }
        return values
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

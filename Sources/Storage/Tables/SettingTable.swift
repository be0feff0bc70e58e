import GRDB

/// The table `setting`: names and values. The owner of a setting determines its type. This type makes every change to
/// the table.
package enum SettingTable {
    /// The value of a setting; nil if it is not set.
    ///
    /// - Throws: `DatabaseError.damaged` if it has another type.
    package static func get<Value: DatabaseValueConvertible>(_ name: String, _ db: Database) throws -> Value? {
        // As a row: a single value of another type would be converted, and a quota would become 0.
        try Row.fetchOne(db.cachedStatement(sql: "SELECT value FROM setting WHERE name = ?"), arguments: [name])
            .map { row -> Value in
                do {
                    return try row.value("value")
                } catch let error as DatabaseError {
                    throw DatabaseError.damaged("setting \(name): \(error.message ?? error.description)")
                }
            }
    }

    /// Sets a value.
    ///
    /// - Parameter value: nil removes the setting.
    package static func set(_ name: String, _ value: (any DatabaseValueConvertible)?, _ db: Database) throws {
        guard let value else {
            return try db.execute(sql: "DELETE FROM setting WHERE name = ?", arguments: [name])
        }
        try db.execute(
            sql: """
                INSERT INTO setting (name, value) VALUES (?, ?)
                ON CONFLICT (name) DO UPDATE SET value = excluded.value
                """, arguments: [name, value])
    }
}

import GRDB

/// The table `activity`: what processes counted, per minute of the last 25 hours, and in total. This type makes every
/// change to it.
///
/// A row with minute 0 is a total. A process adds what it has counted since its last addition, once a minute and when it
/// closes the store, to the row of the current minute and to the total, in one transaction with its counts of accesses. So
/// totals never decrease, whatever processes end: one that is killed loses at most its last minute. They begin at 0 with the
/// catalog, and again with a rebuild of it.
///
/// Only values that are not 0 have rows. A metric that this build does not know, of a newer program, is not read.
package enum ActivityTable {
    /// How long minutes are kept.
    package static let mostMinutes = 25 * 60

    /// Adds what was counted until a moment, and removes minutes that are too old.
    ///
    /// - Parameter moment: in seconds since 1970.
    package static func add(_ values: [ActivityValue], at moment: Int, _ db: Database) throws {
        let minute = max(moment / 60, 1)
        let statement = try db.cachedStatement(
            sql: """
                INSERT INTO activity (minute, metric, place, part, value) VALUES (?, ?, ?, ?, ?)
                ON CONFLICT (minute, metric, place, part) DO UPDATE SET value = value + excluded.value
                """)
        for value in values where value.value > 0 {
            for minute in [0, minute] {
                try statement.execute(arguments: [
                    minute, value.key.metric.rawValue, value.key.place, value.key.part, value.value,
                ])
            }
        }
        try db.cachedStatement(sql: "DELETE FROM activity WHERE minute > 0 AND minute < ?")
            .execute(arguments: [minute - mostMinutes])
    }

    /// The totals of all processes since the catalog was made.
    package static func totals(_ db: Database) throws -> [ActivityValue] {
        try rows(from: 0, to: 0, db).map(\.value)
    }

    /// The minutes that have values, the oldest first.
    ///
    /// - Parameter moment: only minutes that begin at this time or later, in seconds since 1970.
    package static func minutes(since moment: Int, _ db: Database) throws -> [ActivityMinute] {
        var minutes: [(minute: Int, values: [ActivityValue])] = []
        for row in try rows(from: max((moment + 59) / 60, 1), to: Int.max / 60, db) {
            if minutes.last?.minute == row.minute {
                minutes[minutes.count - 1].values.append(row.value)
            } else {
                minutes.append((row.minute, [row.value]))
            }
        }
        return minutes.map { ActivityMinute(start: $0.minute * 60, values: $0.values) }
    }

    private static func rows(from first: Int, to last: Int, _ db: Database) throws -> [(
        minute: Int, value: ActivityValue
    )] {
        try Row.mapAll(
            db,
            sql: """
                SELECT minute, metric, place, part, value
                FROM activity
                WHERE minute BETWEEN ? AND ?
                ORDER BY minute, metric, place, part
                """, arguments: [first, last]
        ) { row -> (Int, ActivityValue)? in
            guard let metric = ActivityMetric(rawValue: try row.value("metric")) else { return nil }
            let key = try ActivityKey(metric, row.value("place"), part: row.value("part"))
            return try (row.value("minute"), ActivityValue(key, row.value("value")))
        }.compactMap(\.self)
    }
}

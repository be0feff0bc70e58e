import GRDB

/// The table `event`: what happened in the store, newest last. This type makes every change to it.
///
/// An event is inserted in the transaction of the change that it reports, or right after it, and the oldest ones are removed
/// in the same statement's transaction, so the table never has more than ``most``. Kinds that this build does not know,
/// of a newer program, are not read.
package enum EventTable {
    /// The most events that are kept.
    package static let most = 10_000
    /// The most bytes of a subject or a detail.
    private static let mostText = 1000

    /// Appends an event.
    package static func append(_ event: StoreEvent, _ db: Database) throws {
        try db.cachedStatement(
            sql: """
                INSERT INTO event (at, kind, subject, program, pid, user, bytes, count, detail)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
                """
        ).execute(arguments: [
            event.at, event.kind.rawValue, cut(event.subject), event.program, event.pid, event.user, event.bytes,
            event.count, cut(event.detail),
        ])
        try db.cachedStatement(sql: "DELETE FROM event WHERE id <= ?")
            .execute(arguments: [db.lastInsertedRowID - Int64(most)])
    }

    private static func cut(_ text: String) -> String {
        text.utf8.count <= mostText ? text : String(decoding: text.utf8.prefix(mostText), as: UTF8.self) + "…"
    }

    /// Events, the oldest first.
    ///
    /// - Parameters:
    ///   - id: only events with a higher number.
    ///   - moment: only events at this time or later, in seconds since 1970.
    ///   - kinds: only these kinds.
    ///   - subjects: only events whose subject matches this shell pattern, or whose model does; nil means all.
    ///   - limit: the newest so many.
    package static func events(
        after id: Int, since moment: Int, kinds: Set<EventKind>, subjects: String?, limit: Int, _ db: Database
    ) throws -> [StoreEvent] {
        try Row.mapAll(
            db,
            sql: """
                SELECT id, at, kind, subject, program, pid, user, bytes, count, detail
                FROM event
                WHERE id > :id AND at >= :moment
                  AND instr(:kinds, ' ' || kind || ' ')
                  AND (:subjects IS NULL OR subject GLOB :subjects OR subject GLOB :subjects || '@*')
                ORDER BY id DESC
                LIMIT :limit
                """,
            arguments: [
                "id": id, "moment": moment, "kinds": " " + kinds.map(\.rawValue).sorted().joined(separator: " ") + " ",
                "subjects": subjects, "limit": limit,
            ]
        ) { row in
            try StoreEvent(
                id: row.value("id"), at: row.value("at"), kind: row.word("kind"),
                subject: row.value("subject"), program: row.value("program"), pid: row.value("pid"),
                user: row.value("user"), bytes: row.value("bytes"), count: row.value("count"),
                detail: row.value("detail"))
        }.reversed()
    }
}

import GRDBSQLite

/// A compiled and checked policy, to be stepped as far as needed.
final class PolicyQuery {
    private let statement: PolicyStatement
    private let policy: Policy
    private let database: PolicyDatabase
    private let bytesColumn: Int32?
    private let priorityColumn: Int32?

    /// The query without the semicolon.
    package var text: String {
        var text = statement.text[...]
        while let last = text.last, last == ";" || last.isWhitespace { text = text.dropLast() }
        return String(text)
    }

    /// - Throws: ``PolicyError/refused(policy:line:message:)``.
    init(_ statement: PolicyStatement, _ policy: Policy, _ database: PolicyDatabase) throws {
        self.statement = statement
        self.policy = policy
        self.database = database
        func refuse(_ message: String, line: Int = 1) -> PolicyError {
            .refused(policy: policy.name, line: line, message: message)
        }
        let lines = { (text: String) in text.utf8.count { $0 == UInt8(ascii: "\n") } }
        guard sqlite3_stmt_readonly(statement.handle) != 0, sqlite3_stmt_isexplain(statement.handle) == 0 else {
            throw refuse("must be one SELECT")
        }
        if !Self.isBlank(statement.tail) {
            let blank = statement.tail.prefix { $0.isWhitespace }
            throw refuse("must be one SELECT, but there is more after it", line: 1 + lines(statement.text + blank))
        }
        let columns = (0..<sqlite3_column_count(statement.handle)).map {
            String(cString: sqlite3_column_name(statement.handle, $0)).lowercased()
        }
        guard columns.first == "shard_id", Set(columns.dropFirst()).isSubset(of: ["bytes", "priority"]),
            Set(columns).count == columns.count
        else {
            throw refuse(
                "must return shard_id, then optionally bytes and priority; returns \(columns.joined(separator: ", "))"
            )
        }
        bytesColumn = columns.firstIndex(of: "bytes").map(Int32.init)
        priorityColumn = columns.firstIndex(of: "priority").map(Int32.init)
        for index in 1..<(1 + sqlite3_bind_parameter_count(statement.handle)) {
            let name = sqlite3_bind_parameter_name(statement.handle, index).map { String(cString: $0) } ?? "?"
            if name != ":now" { throw refuse("has the parameter \(name); the only parameter allowed is :now") }
        }
    }

    /// Binds `:now`, if the policy uses it.
    ///
    /// - Parameter now: seconds since 1970.
    package func bind(now: Double) {
        let index = sqlite3_bind_parameter_index(statement.handle, ":now")
        if index > 0 { statement.bind(index, now) }
    }

    /// Steps to the next victim.
    ///
    /// - Parameter seconds: the time limit, for the error.
    /// - Returns: false if there is none.
    package func next(seconds: Double) throws -> Bool {
        switch sqlite3_step(statement.handle) {
        case SQLITE_ROW: return true
        case SQLITE_DONE: return false
        case SQLITE_INTERRUPT: throw PolicyError.tooSlow(policy: policy.name, seconds: seconds)
        default: throw database.refusal(policy)
        }
    }

    package func reset() { sqlite3_reset(statement.handle) }

    package var shard: Int64 { sqlite3_column_int64(statement.handle, 0) }
    package var bytes: Int? { bytesColumn.map { statement.integer($0) } }
    package var priority: Double? { priorityColumn.map { statement.real($0) } }

    /// Whether the text consists of white space, semicolons and comments.
    private static func isBlank(_ text: String) -> Bool {
        var rest = text[...]
        while let first = rest.first {
            if first.isWhitespace || first == ";" {
                rest = rest.dropFirst()
            } else if rest.hasPrefix("--") {
                rest = rest.drop { $0 != "\n" }
            } else if rest.hasPrefix("/*") {
                guard let end = rest.firstRange(of: "*/") else { return true }
                rest = rest[end.upperBound...]
            } else {
                return false
            }
        }
        return true
    }
}

import GRDBSQLite
import Glibc
import Storage
import Support

/// A SQLite connection that only runs policies.
///
/// It has its own handle, because a connection has one authorizer and GRDB owns that of its connections. `execute` and
/// `prepare` run the store's own statements. While a policy is compiled, the connection is *sealed*: the authorizer
/// allows only SELECT, reads of `candidate` (`CandidateView`), recursion, and the functions listed below. What SQLite
/// does not report to the authorizer is refused by `compile`. A progress handler enforces the time limit, and a limit on
/// the length of values bounds memory. A policy cannot change anything.
///
/// For one thread at a time.
package final class PolicyDatabase {
    /// A row of a policy's result.
    package struct Victim: Equatable {
        /// The value of `shard_id`.
        package let shard: Int64
        package let bytes: Int
        /// Nil if the policy does not return it.
        package let priority: Double?

        package init(shard: Int64, bytes: Int, priority: Double?) {
            self.shard = shard
            self.bytes = bytes
            self.priority = priority
        }
    }

    package let handle: OpaquePointer
    private let path: String
    private var isSealed = false
    /// The action or name that the authorizer rejected last, to find its line.
    private var refused: String?
    /// The names that the policy reads without a column: its own expressions, and tables whose rows it counts.
    private var counted: Set<String> = []
    private var deadline: Int64 = .max

    /// The longest value, in bytes: a policy needs only numbers and short names.
    private static let longestValue: Int32 = 1 << 20
    /// The instructions of SQLite's virtual machine between two checks of the time limit.
    private static let stepsPerLook: Int32 = 10_000

    /// - Parameter path: a database or its URI, opened read-only; nil creates an empty one in memory.
    package init(_ path: String?) throws {
        self.path = path ?? ":memory:"
        var handle: OpaquePointer?
        let access = path == nil ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY
        let code = sqlite3_open_v2(self.path, &handle, access | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_URI, nil)
        guard code == SQLITE_OK, let handle else {
            sqlite3_close_v2(handle)
            throw Self.failure(code, path: self.path, message: String(cString: sqlite3_errstr(code)))
        }
        self.handle = handle
        sqlite3_busy_timeout(handle, 10_000)
        sqlite3_limit(handle, SQLITE_LIMIT_LENGTH, Self.longestValue)
        sqlite3_limit(handle, SQLITE_LIMIT_ATTACHED, 0)
        let me = Unmanaged.passUnretained(self).toOpaque()
        sqlite3_set_authorizer(
            handle,
            { me, action, first, second, _, view in
                Unmanaged<PolicyDatabase>.fromOpaque(me!).takeUnretainedValue().authorize(
                    action, first.map { String(cString: $0) }, second.map { String(cString: $0) },
                    view.map { String(cString: $0) })
            }, me)
        sqlite3_progress_handler(
            handle, Self.stepsPerLook,
            { me in StoreClock.coarse > Unmanaged<PolicyDatabase>.fromOpaque(me!).takeUnretainedValue().deadline ? 1 : 0
            }, me)
        try execute("PRAGMA trusted_schema = OFF; PRAGMA mmap_size = 0; PRAGMA wal_autocheckpoint = 0")
    }

    deinit { sqlite3_close_v2(handle) }

    // MARK: The store's own statements

    /// Runs trusted statements.
    package func execute(_ sql: String) throws {
        guard sqlite3_exec(handle, sql, nil, nil, nil) == SQLITE_OK else { throw failure() }
    }

    /// Compiles a trusted statement for repeated use.
    package func prepare(_ sql: String) throws -> PolicyStatement {
        try PolicyStatement(self, sql, flags: UInt32(SQLITE_PREPARE_PERSISTENT))
    }

    /// The last error of the connection.
    package func failure() -> StorageError {
        Self.failure(sqlite3_errcode(handle), path: path, message: String(cString: sqlite3_errmsg(handle)))
    }

    private static func failure(_ code: Int32, path: String, message: String) -> StorageError {
        switch code & 0xFF {
        case SQLITE_CORRUPT, SQLITE_NOTADB: .catalogDamaged(path: path, message: message)
        default: .catalogFailed(path: path, code: Int(code), message: message)
        }
    }

    // MARK: Policies

    /// Checks a policy: it must be one allowed SELECT that returns the required columns, also with a limit, with which
    /// evictions run it.
    ///
    /// - Throws: ``PolicyError/refused(policy:line:message:)``.
    package func check(_ policy: Policy) throws { _ = try compile(policy, limit: 1) }

    /// Compiles a policy.
    ///
    /// - Parameter limit: the most rows to return. With a limit, SQLite keeps only that many rows while it sorts, which
    ///   is several times as fast.
    func compile(_ policy: Policy, limit: Int?) throws -> PolicyQuery {
        try checkWords(policy)
        let alone = try sealed(policy) { try PolicyStatement(self, policy.sql, flags: 0) }
        let query = try PolicyQuery(alone, policy, self)
        guard let limit else { return query }
        let wrapped = "SELECT * FROM (\n\(query.text)\n) LIMIT \(limit)"
        return try PolicyQuery(try sealed(policy) { try PolicyStatement(self, wrapped, flags: 0) }, policy, self)
    }

    /// The query plan, one line per step.
    package func plan(_ policy: Policy) throws -> [String] {
        let query = try compile(policy, limit: nil)
        let explain = try sealed(policy) { try PolicyStatement(self, "EXPLAIN QUERY PLAN \(query.text)", flags: 0) }
        var lines: [String] = []
        var depths: [Int: Int] = [0: -1]
        while try explain.step() {
            depths[explain.integer(0)] = (depths[explain.integer(1)] ?? -1) + 1
            lines.append(String(repeating: "  ", count: depths[explain.integer(0)] ?? 0) + explain.text(3))
        }
        return lines
    }

    /// The first victims in a policy's order, until they have `bytes` bytes or there are `count` of them.
    ///
    /// - Parameters:
    ///   - now: seconds since 1970.
    ///   - bytes: the bytes to free.
    ///   - count: the most victims.
    ///   - expected: a first guess of the number of victims.
    ///   - seconds: the time limit of the query.
    ///   - bytesOf: the size of a shard, for policies that do not return it; nil if the shard is not a candidate.
    /// - Throws: ``PolicyError/refused(policy:line:message:)``, ``PolicyError/tooSlow(policy:seconds:)``.
    package func victims(
        _ policy: Policy, now: Double, bytes: Int, count: Int = .max, expected: Int = 1024, seconds: Double,
        bytesOf: (Int64) throws -> Int?
    ) throws -> [Victim] {
        deadline = StoreClock.coarse.adding(saturating: Int64(Int(saturating: seconds * 1e9)))
        defer { deadline = .max }
        var limit = expected
        while true {
            var victims: [Victim] = []
            var seen: Set<Int64> = []
            var found = 0
            var rows = 0
            let query = try compile(policy, limit: limit)
            query.bind(now: now)
            while found < bytes, victims.count < count, try query.next(seconds: seconds) {
                rows += 1
                let shard = query.shard
                guard seen.insert(shard).inserted, let size = try query.bytes ?? bytesOf(shard) else { continue }
                victims.append(Victim(shard: shard, bytes: size, priority: query.priority))
                // A policy may return any number.
                found = found.adding(saturating: max(size, 0))
            }
            if found >= bytes || victims.count >= count || rows < limit { return victims }
            limit *= 8
        }
    }

    /// Refuses what the authorizer does not see: SQLite reports no read of the columns that `NATURAL` and `USING`
    /// compare, and a policy must not read `CandidateView.source` or give its name to an expression.
    private func checkWords(_ policy: Policy) throws {
        for (word, offset) in SQLWords.all(in: policy.sql) where word == "natural" || word == "using" {
            throw refusal(
                policy, offset: Int32(clamping: offset), message: "\(word.uppercased()) is not allowed; write ON")
        }
        // Also in a string, which SQLite accepts as a name, and in a comment.
        guard policy.sql.lowercased().contains(CandidateView.source) else { return }
        refused = CandidateView.source
        throw refusal(policy, message: "the name \(CandidateView.source) is reserved")
    }

    /// Whether the connection has a table or a view of this name, of the store or of SQLite.
    private func isTable(_ name: String) -> Bool {
        do {
            _ = try PolicyStatement(self, "SELECT 1 FROM \(name.quoted(doubling: "\""))", flags: 0)
            return true
        } catch {
            return !String(cString: sqlite3_errmsg(handle)).utf8.starts(with: "no such table".utf8)
        }
    }

    /// The error of a policy, with the line, and with SQLite's message unless another one is given.
    func refusal(_ policy: Policy, offset: Int32 = -1, message: String? = nil) -> PolicyError {
        let text = policy.sql
        let line: Int
        if offset >= 0 {
            line = 1 + text.utf8.prefix(Int(offset)).count { $0 == UInt8(ascii: "\n") }
        } else {
            let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
            let code = lines.map { $0.prefix { $0 != "-" }.lowercased() }
            let word = refused?.lowercased()
            line =
                1
                + (word.flatMap { word in code.firstIndex { $0.contains(word) } }
                    ?? code.firstIndex { !$0.allSatisfy(\.isWhitespace) } ?? 0)
        }
        return .refused(policy: policy.name, line: line, message: message ?? String(cString: sqlite3_errmsg(handle)))
    }

    private func sealed(_ policy: Policy, _ body: () throws -> PolicyStatement) throws -> PolicyStatement {
        refused = nil
        counted = []
        let statement: PolicyStatement
        do {
            isSealed = true
            defer { isSealed = false }
            statement = try body()
        } catch is PolicyStatement.NoStatement {
            throw PolicyError.refused(policy: policy.name, line: 1, message: "contains no statement")
        } catch {
            throw refusal(policy, offset: sqlite3_error_offset(handle))
        }
        // SQLite also reports the tables of a view that it has merged into the query; the policy does not name these.
        let text = policy.sql.lowercased()
        for name in counted.sorted()
        where name.lowercased() != CandidateView.name && SQLWords.contains(name.lowercased(), in: text) && isTable(name)
        {
            refused = name
            throw refusal(policy, message: "access to \(name) is prohibited")
        }
        return statement
    }

    private func authorize(_ action: Int32, _ first: String?, _ second: String?, _ view: String?) -> Int32 {
        if !isSealed { return SQLITE_OK }
        switch action {
        case SQLITE_SELECT, SQLITE_RECURSIVE: return SQLITE_OK
        case SQLITE_READ where view == CandidateView.source: return SQLITE_OK
        case SQLITE_READ where first == CandidateView.name || first == CandidateView.source: return SQLITE_OK
        case SQLITE_READ where second == "":
            // It is not known here whether it is a table: a connection must not be used by its authorizer.
            counted.insert(first ?? "")
            return SQLITE_OK
        case SQLITE_FUNCTION where Self.functions.contains(second?.lowercased() ?? ""): return SQLITE_OK
        case SQLITE_FUNCTION: refused = second
        case SQLITE_READ: refused = first
        default: refused = Self.words[action]
        }
        return SQLITE_DENY
    }

    /// The keywords of rejected actions, to find their lines.
    private static let words: [Int32: String] = [
        SQLITE_DELETE: "delete", SQLITE_INSERT: "insert", SQLITE_UPDATE: "update", SQLITE_ATTACH: "attach",
        SQLITE_DETACH: "detach", SQLITE_PRAGMA: "pragma", SQLITE_TRANSACTION: "begin",
    ]

    /// The functions that read only their arguments and return no large values.
    private static let functions: Set<String> = [
        "abs", "acos", "asin", "atan", "atan2", "avg", "ceil", "ceiling", "coalesce", "cos", "count", "cume_dist",
        "dense_rank", "exp", "first_value", "floor", "glob", "ifnull", "iif", "instr", "lag", "last_value", "lead",
        "length",
        "like", "likelihood", "likely", "ln", "log", "log10", "log2", "lower", "max", "min", "mod", "nth_value",
        "ntile",
        "nullif", "percent_rank", "pi", "pow", "power", "random", "rank", "round", "row_number", "sign", "sin", "sqrt",
        "substr", "substring", "sum", "tan", "tanh", "total", "trunc", "typeof", "unixepoch", "unlikely", "upper",
    ]
}

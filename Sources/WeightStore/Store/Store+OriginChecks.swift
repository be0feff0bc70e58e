import Dispatch
import Files
import GRDB
import Storage
import Support
import Synchronization

/// Which origins of a revision a check tries.
enum OriginSelection: Sendable {
    /// The nearest first, until one holds the revision.
    case first
    /// All of them.
    case all
    /// One of them.
    case one(String)
}

extension Store {
    /// The seconds for which an eviction relies on a check.
    static let originCheckSeconds = 3600
    /// The time limit of a check, in seconds. For a directory, whose files are read, the time to read them is added.
    static let originLimitSeconds = 30.0
    /// The bytes per second that a directory must give within the time limit.
    static let directoryBytesPerSecond = 50_000_000.0

    // MARK: Checking

    /// Checks whether origins hold revisions, and records the answers in the catalog.
    ///
    /// - Parameters:
    ///   - revisions: their rows; those that were removed meanwhile are skipped.
    ///   - selection: which origins to ask.
    ///   - isPatient: whether origins are tried that did not answer within the last minute.
    ///   - work: cancelling it ends the checks with `CancellationError`; answers so far are recorded.
    func checkOrigins(
        of revisions: [Int64], _ selection: OriginSelection, isPatient: Bool = false, _ work: Work
    ) throws -> [OriginCheckOutcome] {
        if isPatient { silentOrigins.removeAll() }
        let outcomes = Mutex<[OriginCheckOutcome]>([])
        defer { record(outcomes.withLock { $0 }) }
        try ParallelWork.run(revisions) { [self] id in
            try work.check()
            guard let (revision, request, origins) = try facts(of: id) else { return }
            for origin in origins {
                if case .one(let url) = selection, ByteText(url) != ByteText(origin) { continue }
                let outcome = try check(origin, revision, request, work)
                outcomes.withLock { $0.append(outcome) }
                if case .first = selection, outcome.state == .holds { break }
            }
        }
        return outcomes.withLock { $0 }.sorted { ($0.revision, $0.origin) < ($1.revision, $1.origin) }
    }

    private func facts(of id: Int64) throws -> (RevisionRow, OriginCheckRequest, [String])? {
        try catalog.read { db in
            guard let row = try RevisionRow.all(where: "revision.id = ?", [id], db).first else { return nil }
            var request = try OriginCheckRequest(row, db)
            request.isThorough = true
            return (row, remembering(request), try OriginTable.all(of: id, db).map(\.url))
        }
    }

    /// The request, with the store's memory of files that it has read.
    func remembering(_ request: OriginCheckRequest) -> OriginCheckRequest {
        var request = request
        request.remembered = { [catalog] status in try catalog.read { db in try SourceTable.digest(status, db) } }
        request.remember = { [catalog] status, digest in
            try catalog.write(durable: false) { db in
                try SourceTable.setDigest(digest, of: try SourceTable.remember(status, db), db)
            }
        }
        return request
    }

    private func check(
        _ url: String, _ revision: RevisionRow, _ request: OriginCheckRequest, _ work: Work
    ) throws -> OriginCheckOutcome {
        if let reason = silentOrigins.reason(url) { return OriginCheckOutcome(revision, url, .unanswered, reason) }
        switch try answer(of: url, request, work) {
        case .success(.holds): return OriginCheckOutcome(revision, url, .holds)
        case .success(.lacks(let reason)): return OriginCheckOutcome(revision, url, .lacks, reason)
        case .failure(let failure):
            silentOrigins.add(url, failure.reason)
            return OriginCheckOutcome(revision, url, .unanswered, failure.reason)
        }
    }

    /// Why an origin did not answer.
    struct NoAnswer: Error {
        let reason: String
    }

    /// Sends one request to an origin, within the time limit.
    ///
    /// - Throws: `CancellationError` if the work is cancelled.
    func answer(
        of url: String, _ request: OriginCheckRequest, _ work: Work
    ) throws -> Result<OriginCheckResult, NoAnswer> {
        let limited = Work(within: work, missWork)
        var seconds = Self.originLimitSeconds
        do {
            let origin = try origins.origin(url)
            if origin.localDirectory != nil { seconds += Double(request.bytes) / Self.directoryBytesPerSecond }
            let timer = DispatchWorkItem { limited.cancel() }
            DispatchQueue.global().asyncAfter(deadline: .now() + seconds, execute: timer)
            defer { timer.cancel() }
            return .success(try origin.check(request, limited))
        } catch is CancellationError {
            try work.check()
            try missWork.check()
            return .failure(NoAnswer(reason: "no answer within \(Int(seconds)) seconds"))
        } catch {
            guard Self.isAnswer(error) else { return .failure(NoAnswer(reason: "\(error)")) }
            return .success(.lacks(reason: "\(error)"))
        }
    }

    /// Whether an error says that the origin does not hold the bytes.
    private static func isAnswer(_ error: any Error) -> Bool {
        switch error {
        case FetchError.notFound, FetchError.wrongDigest, FetchError.wrongLength, StoreError.originDiffers,
            StorageError.invalid:
            true
        default: false
        }
    }

    private func record(_ outcomes: [OriginCheckOutcome]) {
        let answers = outcomes.filter { $0.state != .unanswered }
        if answers.isEmpty { return }
        do {
            let now = StoreClock.now
            // Without waiting for the disk: a check that a power cut loses is made again. The newest revision first:
            // the triggers then find an unchecked holder of a shared shard soonest.
            try catalog.write(durable: false) { db in
                for answer in answers.sorted(by: { $0.id > $1.id }) {
                    try OriginTable.recordCheck(
                        of: answer.origin, revision: answer.id, holds: answer.state == .holds, at: now, db)
                }
            }
        } catch {
            // The next eviction checks again.
            logger.warning("checks of origins were not recorded: \(error)")
        }
        for answer in answers where answer.state == .lacks {
            logger.warning(
                "\(answer.origin.withoutURLSecrets): does not hold \(answer.revision): \(answer.reason ?? "")")
        }
    }

    /// Checks an origin for a revision that is about to be committed.
    ///
    /// - Throws: ``StoreError/originLacks(origin:revision:reason:)``,
    ///   ``StoreError/originUnchecked(origin:revision:reason:)``, `CancellationError`.
    func requireOrigin(_ url: String, _ request: OriginCheckRequest, name: String, _ work: Work) throws {
        switch try answer(of: url, remembering(request), work) {
        case .success(.holds): return
        case .success(.lacks(let reason)):
            throw StoreError.originLacks(origin: url, revision: name, reason: reason)
        case .failure(let failure):
            throw StoreError.originUnchecked(origin: url, revision: name, reason: failure.reason)
        }
    }

    // MARK: Operations

    /// The rows of a model's revisions (`org/name`), of one revision (`org/name@rev`), or of all.
    static func revisions(named name: String?, _ db: Database) throws -> [RevisionRow] {
        guard let name else { return try RevisionRow.all(where: "TRUE ORDER BY model.name, revision.version", [], db) }
        return try self.named(name, db).revisions
    }

    /// A model and all of its revisions (`org/name`), or one revision (`org/name@rev`) without its model.
    ///
    /// - Throws: ``StorageError/notFound(kind:name:detail:)``; ``StorageError/ambiguous(name:matches:)`` if `model@v3`
    ///   names a ref and another version.
    static func named(_ name: String, _ db: Database) throws -> (model: Int64?, revisions: [RevisionRow]) {
        if name.utf8.contains(UInt8(ascii: "@")) { return (nil, [try RevisionRow.find(name, isExact: true, db)]) }
        let model = try ModelTable.id(of: name, db)
        return (model, try RevisionRow.all(of: model, db))
    }

    /// The origins of revisions, the nearest first.
    ///
    /// - Parameter name: a model (`org/name`: all of its revisions) or a revision (`org/name@rev`); nil for all models.
    /// - Throws: ``StorageError/notFound(kind:name:detail:)``.
    public func revisionOrigins(of name: String? = nil) throws -> [RevisionOrigin] {
        try catalog.read { db in
            try Self.revisions(named: name, db).flatMap { revision in
                try OriginTable.all(of: revision.id, db).map { origin in
                    RevisionOrigin(
                        revision: revision.name, digest: revision.digest, origin: origin.url,
                        checked: origin.checkedAt, absent: origin.absentAt)
                }
            }
        }
    }

    /// Checks whether the origins of revisions hold them, and records the answers. Blocks.
    ///
    /// - Parameters:
    ///   - name: a model (`org/name`: all of its revisions) or a revision (`org/name@rev`); nil for all models.
    ///   - work: cancelling it ends the checks.
    /// - Throws: ``StorageError/notFound(kind:name:detail:)``, `CancellationError`.
    @discardableResult
    public func checkOrigins(of name: String? = nil, work: Work = Work()) throws -> [OriginCheckOutcome] {
        let revisions = try catalog.read { db in try Self.revisions(named: name, db).map(\.id) }
        return try checkOrigins(of: revisions, .all, isPatient: true, work)
    }

    /// Adds an origin to revisions, nearer than those they have, after a check that it holds them.
    ///
    /// - Parameters:
    ///   - url: the URL of the origin.
    ///   - name: a model (`org/name`: those of its revisions that the origin holds) or a revision (`org/name@rev`).
    ///   - trusting: whether the check is skipped, and the origin counts as checked.
    ///   - work: cancelling it ends the check.
    /// - Returns: the outcome for each revision. Revisions that the origin lacks do not change.
    /// - Throws: ``FetchError/unusable(url:reason:)``, ``StorageError/notFound(kind:name:detail:)``. If no revision
    ///   gets the origin, ``StoreError/originLacks(origin:revision:reason:)`` or
    ///   ``StoreError/originUnchecked(origin:revision:reason:)``.
    @discardableResult
    public func addOrigin(
        _ url: String, to name: String, trusting: Bool = false, work: Work = Work()
    ) throws -> [OriginCheckOutcome] {
        _ = try origins.check(url)
        let rows = try catalog.read { db in try Self.revisions(named: name, db) }
        silentOrigins.removeAll()
        let outcomes = try rows.map { row in
            guard !trusting, let (_, request, _) = try facts(of: row.id) else {
                return OriginCheckOutcome(row, url, .holds)
            }
            return try check(url, row, request, work)
        }
        let held = outcomes.filter { $0.state == .holds }
        if held.isEmpty, let first = outcomes.first {
            throw first.state == .lacks
                ? StoreError.originLacks(origin: url, revision: first.revision, reason: first.reason ?? "")
                : StoreError.originUnchecked(origin: url, revision: first.revision, reason: first.reason ?? "")
        }
        try change().commit { db in
            var models: Set<Int64> = []
            for outcome in held {
                guard let model = try RevisionTable.model(of: outcome.id, db) else { continue }
                try OriginTable.add([url], to: outcome.id, checkedAt: StoreClock.now, db)
                models.insert(model)
            }
            return ((), Array(models))
        }
        return outcomes
    }

    /// Removes an origin from revisions.
    ///
    /// - Parameters:
    ///   - url: the URL of the origin; without its secrets, as messages and listings show it, it means each that is shown
    ///     so.
    ///   - name: a model (`org/name`: all of its revisions) or a revision (`org/name@rev`).
    ///   - force: whether the origin is removed even if it is the last one that has shards that are not stored.
    /// - Returns: the names of the revisions that had it.
    /// - Throws: ``StoreError/originNeeded(origin:revision:shards:)`` without `force`;
    ///   ``StorageError/notFound(kind:name:detail:)``.
    @discardableResult
    public func removeOrigin(_ url: String, from name: String, force: Bool = false) throws -> [String] {
        try change().commit { db in
            var names: [String] = []
            var models: Set<Int64> = []
            let rows = try Self.revisions(named: name, db)
            let before = try rows.map { try AbsentShards.count(of: $0.id, db).lostShards }
            for row in rows {
                let shown = try OriginTable.all(of: row.id, db).map(\.url).filter {
                    ByteText($0.withoutURLSecrets) == ByteText(url)
                }
                let isRemoved = try (shown + [url]).map { try OriginTable.remove($0, of: row.id, db) }
                guard isRemoved.contains(true) else { continue }
                names.append(row.name)
                models.insert(row.model)
            }
            guard !names.isEmpty else {
                throw StorageError.notFound(kind: "origin", name: "\(url.withoutURLSecrets) of \(name)")
            }
            for (row, lost) in zip(rows, before) where !force {
                let now = try AbsentShards.count(of: row.id, db).lostShards
                if now > lost {
                    throw StoreError.originNeeded(origin: url, revision: row.name, shards: now - lost)
                }
            }
            return (names, Array(models))
        }
    }
}

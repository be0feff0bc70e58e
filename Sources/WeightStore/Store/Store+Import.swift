import Dispatch
import Files
import GRDB
import Storage
import Support
import Synchronization

extension Store {
    /// Imports a model. When the call returns, the import is durable.
    ///
    /// - Parameters:
    ///   - request: what to import, and under which name.
    ///   - work: counts bytes that are read and hashed, and, as skipped, bytes of files that the store holds.
    ///     Cancelling it, or the task, ends the import.
    /// - Returns: the revisions, and those of a cache with several that failed (``ImportSummary/failures``).
    /// - Throws: ``StoreError``, ``FormatError``, ``FetchError`` for an origin that cannot be used,
    ///   ``StoreError/originLacks(origin:revision:reason:)`` or ``StoreError/originUnchecked(origin:revision:reason:)``
    ///   if an origin does not pass its check, `CancellationError`. After an error the store holds the same models as
    ///   before, plus shards that the next import of the same files reuses and that
    ///   ``collectGarbage(graceSeconds:discardingNewer:full:dryRun:)`` removes otherwise.
    @discardableResult
    public func importModel(_ request: ImportRequest, work: Work = Work()) async throws -> ImportSummary {
        try await work.run { try self.importModelBlocking(request, work: work) }
    }

    /// The blocking form of ``importModel(_:work:)``, for threads outside of Swift's cooperative pool.
    @discardableResult
    public func importModelBlocking(_ request: ImportRequest, work: Work = Work()) throws -> ImportSummary {
        // An unusable origin fails the import before the first byte is read.
        for url in request.origins { _ = try origins.check(url) }
        try requireOwnBlobs()
        if request.move { try refuseSourceAsOrigin(request) }
        let moves = try finishMoves(of: request)
        let sources: [ImportSource]
        do {
            sources = try request.sources(store: path)
        } catch let error as StorageError {
            // The source of a finished move has no files left.
            guard case .notFound = error, let summary = try summary(of: moves) else { throw error }
            return summary
        }
        // The rest of an interrupted move need not look like a model.
        if request.mustBeModel, moves.moves.isEmpty {
            for source in sources where try !source.isModel() {
                throw StorageError.invalid(
                    what: "directory to import", value: source.location,
                    reason: "\(Quantity.count(source.files.count, "file")), none with weights, and no config.json")
            }
        }
        try reserve.require()
        try OpenFiles.require(ImportRun.leastOpenFiles, for: path)
        let bytes = sources.saturatingSum { $0.files.saturatingSum(\.bytes) }
        work.expect(bytes)
        let staging = try stagingDirectory()
        let sampler = BlobSampler(blobs, hashesAll: request.rehash) { [weak self] shard in
            // The import holds the store.
            try self?.isWhole(shard, work) ?? false
        }
        var summary = ImportSummary(
            revisions: [], bytes: bytes, written: 0, skippedBytes: 0, moved: moves.removed.count,
            skipped: sources.flatMap(\.skipped) + moves.skipped)
        var importer = try Importer(store: self, request: request) {
            ImportRun(
                catalog: self.catalog, blobs: self.blobs, sampler: sampler, staging: staging, lease: self.leases.name,
                cores: self.cores, rules: request.rules, work: work,
                makeRoom: { [weak self] bytes in try self?.makeRoomForImport(bytes, work) })
        }
        if request.move { importer.countUses(in: sources) }
        for source in sources {
            do {
                let before = importer.written
                let imported = try importer.importSource(source)
                summary.revisions.append(imported)
                if !imported.wasKnown || importer.written > before {
                    record(
                        StoreEvent(
                            .imported, imported.name, bytes: importer.written - before, detail: source.location))
                }
            } catch {
                guard sources.count > 1, ImportSource.isRefusal(error, of: source.location) else { throw error }
                summary.failures.append(
                    ImportFailure(model: source.model, source: source.location, reason: "\(error)"))
                importer.resume()
            }
        }
        summary.written = importer.written
        summary.storedAgain = importer.again
        summary.skippedBytes = importer.skippedBytes
        let locations = Set(sources.flatMap(\.files).map { ByteText($0.location) })
        summary.moved += importer.remover.removed.count { locations.contains(ByteText($0)) }
        summary.skipped += importer.skipped + importer.remover.skipped
        summary.warnings = importer.warnings
        do {
            // The revision has replaced unfinished ones.
            if request.move { try finishRemovals(work) }
        } catch let error as StorageError where error.isRefusedDeletion {
            // It is left to an eviction or a collection that is allowed to delete.
        }
        evictAboveWatermark()
        return summary
    }

    /// Adds to a plan which revisions its refs name now.
    func addingRefs(to plan: [ImportPlan]) throws -> [ImportPlan] {
        try catalog.read { db in
            try plan.map { plan in
                var plan = plan
                let refs = try ModelTable.find(plan.model, db).map { try RefTable.revisions(of: $0, db) } ?? [:]
                plan.refsNow = refs.filter { plan.refs.contains($0.key) }
                return plan
            }
        }
    }

    /// Refuses a move out of a directory that is to be an origin: the origin would lack the files afterwards.
    private func refuseSourceAsOrigin(_ request: ImportRequest) throws {
        guard let source = try Self.location(of: request.source) else { return }
        for url in request.origins {
            // An origin that does not exist is refused by its check.
            guard let root = try origins.origin(url).resolvedDirectory else { continue }
            if SourceBounds.contains(root, source) || SourceBounds.contains(source, root) {
                throw StorageError.invalid(
                    what: "origin", value: url, reason: "is the source of this move; an origin must keep its files")
            }
        }
    }

    /// Moves of the source whose last removals were not known to be durable.
    private struct FinishedMoves {
        var moves: [MoveTable.Move] = []
        var removed: [String] = []
        var skipped: [SkippedFile] = []
    }

    /// Removes what earlier moves of the source have stored, before anything of it is imported: otherwise files that a
    /// revision holds would become another revision.
    ///
    /// - Throws: ``StoreError/moveIntoAnother(source:model:)``
    private func finishMoves(of request: ImportRequest) throws -> FinishedMoves {
        guard let root = try Self.location(of: request.source) else { return FinishedMoves() }
        let (moves, outer) = try catalog.read { db in
            (try MoveTable.all(in: root, db), try MoveTable.all(around: root, db))
        }
        for move in outer { try InterruptedMove.requireNone(of: move, in: root, for: nil) }
        if moves.isEmpty { return FinishedMoves() }
        // Links that the moves have not stored keep their targets. The source may have no files left.
        let sources = (try? request.sources(store: path)) ?? []
        for move in moves {
            // The source of the move, or a directory above it.
            let source = sources.first { SourceBounds.contains($0.location, move.source) }
            try InterruptedMove.requireNone(
                of: move, in: source?.location ?? move.source, for: source?.model ?? request.name)
        }
        let files = sources.flatMap(\.files)
        let stored = Set(moves.flatMap(\.files).filter { $0.digest != nil }.map { ByteText($0.location) })
        let others = files.filter { $0.isLink && !stored.contains(ByteText($0.location)) }
        let used = Set(others.map { ByteText($0.real) })
        var remover = SourceRemover(store: self)
        for move in moves { try remover.remove(move, used: used, isCurrent: false) }
        return FinishedMoves(moves: moves, removed: remover.removed, skipped: remover.skipped)
    }

    /// The path of a source with links resolved; also of one that was removed. nil if there is no such directory.
    private static func location(of source: String) throws -> String? {
        if FileSystem.exists(source) { return try FileSystem.resolve(source) }
        let parent = FileSystem.parent(of: source)
        return FileSystem.exists(parent) ? try FileSystem.resolve(parent) + "/" + FileSystem.name(of: source) : nil
    }

    /// The result of an import that had only to complete moves; nil if a move has no complete revision.
    private func summary(of finished: FinishedMoves) throws -> ImportSummary? {
        let revisions = try catalog.read { db in
            try finished.moves.compactMap { move -> ImportSummary.Imported? in
                let rows = try RevisionRow.all(where: "revision.id = ?", [move.revision], db)
                guard let row = rows.first, let version = row.version else { return nil }
                let files = try RevisionRow.files(of: row.id, db).compactMap { try FileTable.find($0.file, db) }
                return ImportSummary.Imported(
                    model: row.modelName, version: version, digest: row.digest,
                    refs: try RefTable.names(of: row.id, db).sorted(), files: files.count,
                    bytes: files.saturatingSum(\.bytes), wasKnown: true)
            }
        }
        guard !revisions.isEmpty, revisions.count == finished.moves.count else { return nil }
        return ImportSummary(
            revisions: revisions, bytes: 0, written: 0, skippedBytes: 0, moved: finished.removed.count,
            skipped: finished.skipped)
    }
}

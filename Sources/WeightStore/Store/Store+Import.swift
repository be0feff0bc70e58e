import Dispatch
import GRDB
import Support
import Synchronization

extension Store {
    /// Imports a model. When the call returns, the import is durable.
    ///
    /// - Parameters:
    ///   - request: what to import, and under which name.
    ///   - work: counts bytes that are read and hashed, and, as skipped, bytes of files that the store holds.
    ///     Cancelling it, or the task, ends the import.
    /// - Throws: ``StoreError``, ``FormatError``, ``FetchError`` for an origin that cannot be used,
    ///   `CancellationError`. After an error the store holds the same models as before, plus shards that the next
    ///   import of the same files reuses and that ``collectGarbage(graceSeconds:discardingNewer:dryRun:)`` removes otherwise.
    @discardableResult
    public func importModel(_ request: ImportRequest, work: Work = Work()) async throws -> ImportSummary {
        try await work.run { try self.importModelBlocking(request, work: work) }
    }

    /// The blocking form of ``importModel(_:work:)``, for threads outside of Swift's cooperative pool.
    @discardableResult
    public func importModelBlocking(_ request: ImportRequest, work: Work = Work()) throws -> ImportSummary {
        // An unusable origin fails the import before the first byte is read.
        for url in request.origins { _ = try origins.check(url) }
        let sources = try request.sources()
        try reserve.require()
        let bytes = sources.reduce(0) { $0 + $1.files.reduce(0) { $0 + $1.bytes } }
        work.expect(bytes)
        let run = ImportRun(
            catalog: catalog, blobs: blobs, staging: try stagingDirectory(), lease: leases.name, cores: cores,
            work: work, makeRoom: { [weak self] bytes in try self?.makeRoomForImport(bytes) })
        var summary = ImportSummary(
            revisions: [], bytes: bytes, written: 0, skippedBytes: 0, moved: 0, skipped: sources.flatMap(\.skipped))
        var importer = try Importer(store: self, run: run, request: request)
        if request.move { importer.countUses(in: sources) }
        for source in sources {
            summary.revisions.append(try importer.importSource(source))
        }
        summary.written = run.written
        summary.skippedBytes = run.skipped
        summary.moved = importer.moved
        evictAboveWatermark()
        return summary
    }
}

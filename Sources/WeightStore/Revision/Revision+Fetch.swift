import ModelFormats
import Storage
import Support

extension Revision {
    /// As `places`, filtered by `isChosen`. Bytes of the chosen tensors that were never fetched are fetched.
    func fetchedPlaces(
        layer: Int? = nil, named name: String? = nil, where isChosen: (TensorPlacement) -> Bool
    ) throws -> [TensorPlacement] {
        let chosen = try places(layer: layer, named: name).filter(isChosen)
        let pending = chosen.filter(\.isPending).map(\.entry)
        if pending.isEmpty { return chosen }
        try fetch(FetchSelection(pending), store.missWork)
        return try places(layer: layer, named: name).filter(isChosen)
    }

    /// The work of a fetch on miss: it ends with the store's and with `work`.
    func missWork(within work: Work?) -> Work { work.map { Work(within: store.missWork, $0) } ?? store.missWork }

    /// Checks that there is at least one of the layers, one of the experts, and a file for each pattern of a selection.
    ///
    /// - Throws: ``StorageError/notFound(kind:name:detail:)``.
    func check(_ selection: FetchSelection) throws {
        try selection.check(
            numbers(), paths: store.catalog.read { db in try RevisionTable.paths(of: id, db) }, of: name)
    }

    private func numbers() throws -> TensorNumbers {
        let formats = try formats()
        return try TensorNumbers(places().lazy.map(\.entry)) { entry in
            entry.expertStack(formats[ByteText(entry.file)] ?? .other)
        }
    }

    /// Fetches the bytes of a selection that were never fetched. Evicted shards are fetched again when they are mapped.
    ///
    /// - Parameter arrived: receives each shard when its bytes have arrived.
    func fetch(_ selection: FetchSelection, _ work: Work, arrived: ArrivedShard.Receiver? = nil) throws {
        let isPending = try store.catalog.read { db in try RevisionTable.isPending(id, db) }
        guard isPending else { return }
        let work = Work(within: store.missWork, work)
        try fromNearestModelOrigin { origin in
            let before = work.progress.done
            let shards = try store.fetches.during(model, from: origin.url, work) {
                try store.fetch(selection, of: id, from: origin, onUse: true, arrived: arrived, work)
            }
            let bytes = work.progress.done.subtracting(saturating: before)
            guard shards > 0 else { return }
            work.noteSupplier(origin.url.withoutURLSecrets)
            store.catalog.activity.add(Double(shards), to: .misses, SourceKind.disk.rawValue)
            store.record(
                StoreEvent(.fetched, name, bytes: bytes, count: shards, detail: "from \(origin.url)"))
        }
    }

    /// Calls `body` with one origin after another until it succeeds: the revision's own, then those of the model's other
    /// revisions, which may have it, too.
    ///
    /// - Throws: the errors of all origins; at once if there is no room, or the work was cancelled.
    func fromNearestModelOrigin(_ body: (any ModelOrigin) throws -> Void) throws {
        let own = try store.catalog.read { db in try OriginTable.all(of: id, db).map(\.url) }
        let urls = own + (try store.origins(of: model).filter { !own.contains($0) })
        var failures = OriginFailures()
        for url in urls {
            do {
                guard let origin = try store.origins.origin(url) as? any ModelOrigin else { continue }
                return try body(origin)
            } catch  where error is CancellationError || Store.isOutOfSpace(error) {
                throw error
            } catch {
                // Logged, because the next origin is tried.
                if url != urls.last { store.logger.warning("\(error)") }
                store.recordFailure(error, of: url)
                failures.add(error, of: url)
            }
        }
        throw failures.error ?? FetchError.noOrigin(name: name)
    }
}

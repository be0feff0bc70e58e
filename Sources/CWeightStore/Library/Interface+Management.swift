import CWeightStoreHeader
import Support
import WeightStore

// weightstore.h documents the functions.

@c @implementation
public func weightstore_import(
    _ store: OpaquePointer?, _ source: UnsafePointer<CChar>?, _ options: UnsafePointer<weightstore_import_options>?,
    _ summary: UnsafeMutablePointer<weightstore_import_summary>?, _ revisions: UnsafeMutablePointer<OpaquePointer?>?
) -> weightstore_status {
    manage(store, options, summary) { given in
        var request = ImportRequest(source: try text(source, "source"), name: try optionalText(given.name, "name"))
        let refs = try texts(given.refs, count: given.ref_count, "ref")
        if !refs.isEmpty { request.refs = refs }
        request.origins = try texts(given.origins, count: given.origin_count, "origin")
        request.move = given.move != 0
        request.partial = given.partial != 0
        request.strict = given.strict != 0
        request.opaque = given.opaque != 0
        request.rehash = given.rehash != 0
        return request
    } run: { store, request, work in
        try store.importModelBlocking(request, work: work)
    } finish: { store, imported, made in
        made.bytes = UInt64(clamping: imported.bytes)
        made.written = UInt64(clamping: imported.written)
        made.skipped = UInt64(clamping: imported.skippedBytes)
        made.moved = imported.moved
        made.skipped_files = imported.skipped.count
        made.warnings = imported.warnings.count
        made.failures = imported.failures.count
        try fill(revisions, imported.revisions.map { ($0.model, $0.digest) }, in: store)
    }
}

@c @implementation
public func weightstore_pull(
    _ store: OpaquePointer?, _ name: UnsafePointer<CChar>?, _ options: UnsafePointer<weightstore_pull_options>?,
    _ summary: UnsafeMutablePointer<weightstore_pull_summary>?, _ revisions: UnsafeMutablePointer<OpaquePointer?>?
) -> weightstore_status {
    manage(store, options, summary) { given in
        var request = try PullRequest(try text(name, "name"))
        request.origin = try optionalText(given.origin, "origin")
        request.opaque = given.opaque != 0
        request.selection = FetchSelection(
            layers: try given.layers.map { try range("layers", $0[0], $0[1]) },
            experts: try given.experts.map { try range("experts", $0[0], $0[1]) },
            include: try texts(given.include, count: given.include_count, "pattern"))
        return request
    } run: { store, request, work in
        try store.pullBlocking(request, work: work)
    } finish: { store, pulled, made in
        made.bytes = UInt64(clamping: pulled.bytes)
        made.fetched = UInt64(clamping: pulled.fetched)
        made.complete = pulled.complete ? 1 : 0
        try fill(revisions, [(pulled.model, pulled.digest)], in: store)
    }
}

/// Options of a function that may take long. Pointers are imported from C as implicitly unwrapped.
private protocol LongCallOptions: VersionedStruct {
    var progress: weightstore_progress_function! { get }
    var context: UnsafeMutableRawPointer! { get }
}

/// The body of a function that changes the store, and may take long.
///
/// - Parameters:
///   - request: made of the options before anything is changed; options that are NULL are all zero.
///   - run: runs as ``longCall(_:_:_:)`` has it.
///   - finish: fills in the summary, which is dropped if the caller wants none.
private func manage<Options: LongCallOptions, Summary: VersionedStruct, Request: Sendable, Value: Sendable>(
    _ store: OpaquePointer?, _ options: UnsafePointer<Options>?, _ summary: UnsafeMutablePointer<Summary>?,
    request: (Options) throws -> Request, run: @escaping @Sendable (Store, Request, Work) throws -> Value,
    finish: (Store, Value, inout Summary) throws -> Void
) -> weightstore_status {
    call {
        let store = try Handles.all.find(store, StoreHandle.self).store
        let target = try optionalTarget(summary, "summary")
        let given = try optionalGiven(options, "options") ?? Options()
        let request = try request(given)
        let value = try longCall(given.progress, given.context) { work in try run(store, request, work) }
        var made = Summary()
        try finish(store, value, &made)
        target?.fill(made)
    }
}

/// Makes a list of the revisions that were just stored, if the caller wants it.
private func fill(
    _ result: UnsafeMutablePointer<OpaquePointer?>?, _ revisions: [(model: String, digest: ContentDigest)],
    in store: Store
) throws {
    guard let result else { return }
    result.pointee = Handles.all.add(
        ListHandle(try revisions.compactMap { try find($0.model, $0.digest, in: store) }))
}

/// A revision that was just stored; nil if it was removed since.
private func find(_ model: String, _ digest: ContentDigest, in store: Store) throws -> RevisionInfo? {
    do {
        return try store.revisions(of: model).first { $0.digest == digest }
    } catch StorageError.notFound {
        return nil
    }
}

@c @implementation
public func weightstore_tag(
    _ store: OpaquePointer?, _ revision: UnsafePointer<CChar>?, _ ref: UnsafePointer<CChar>?
) -> weightstore_status {
    call {
        let store = try Handles.all.find(store, StoreHandle.self).store
        try store.setRef(try text(ref, "ref"), to: try text(revision, "revision"))
    }
}

@c @implementation
public func weightstore_untag(
    _ store: OpaquePointer?, _ model: UnsafePointer<CChar>?, _ ref: UnsafePointer<CChar>?
) -> weightstore_status {
    call {
        let store = try Handles.all.find(store, StoreHandle.self).store
        try store.removeRef(try text(ref, "ref"), of: try text(model, "model"))
    }
}

@c @implementation
public func weightstore_remove(
    _ store: OpaquePointer?, _ names: UnsafePointer<UnsafePointer<CChar>?>?, _ count: Int,
    _ options: UnsafePointer<weightstore_removal_options>?,
    _ summary: UnsafeMutablePointer<weightstore_removal_summary>?
) -> weightstore_status {
    manage(store, options, summary) { given in
        (names: try texts(names, count: count, "name"), force: given.force != 0, dryRun: given.dry_run != 0)
    } run: { store, request, work in
        try store.remove(request.names, force: request.force, dryRun: request.dryRun, work: work)
    } finish: { _, removed, made in
        made.revisions = removed.revisions.count
        made.shards = removed.shards
        made.bytes = UInt64(clamping: removed.bytes)
    }
}

@c @implementation
public func weightstore_warm(
    _ store: OpaquePointer?, _ name: UnsafePointer<CChar>?, _ options: UnsafePointer<weightstore_warm_options>?,
    _ summary: UnsafeMutablePointer<weightstore_warm_summary>?
) -> weightstore_status {
    manage(store, options, summary) { given in
        var request = WarmRequest(to: try tier(name))
        guard given.top >= 0 else { throw CallError.argument("top \(given.top) is out of range") }
        if given.top > 0 { request.top = given.top }
        request.revisions = try texts(given.revisions, count: given.revision_count, "revision")
        request.fetches = given.no_fetch == 0
        return request
    } run: { store, request, work in
        try store.warmBlocking(request, work: work)
    } finish: { _, warmed, made in
        made.warmed = UInt64(clamping: warmed.warmed)
        made.items = warmed.plan.items.count
        made.skipped = warmed.plan.skipped.count
        made.failed = warmed.failed.count
    }
}

@c @implementation
public func weightstore_store_statistics(
    _ store: OpaquePointer?, _ totals: UnsafeMutablePointer<weightstore_store_totals>?
) -> weightstore_status {
    fill(totals, "totals", of: store) { (handle: StoreHandle) in
        let stats = try handle.store.stats()
        var made = weightstore_store_totals()
        made.models = UInt64(clamping: stats.models)
        made.revisions = UInt64(clamping: stats.revisions)
        made.files = UInt64(clamping: stats.files)
        made.tensors = UInt64(clamping: stats.tensors)
        made.shards = UInt64(clamping: stats.shards)
        made.stored = UInt64(clamping: stats.stored)
        made.kv_blocks = UInt64(clamping: stats.kvBlocks)
        made.kv_stored = UInt64(clamping: stats.kvStored)
        made.damaged = UInt64(clamping: stats.damaged)
        made.pins = UInt64(clamping: stats.pins)
        made.accesses = UInt64(clamping: stats.accesses)
        made.catalog = UInt64(clamping: stats.catalog)
        made.available = UInt64(clamping: stats.available)
        return made
    }
}

extension weightstore_import_options: LongCallOptions {
    static let firstSize = 88
}

extension weightstore_import_summary: VersionedStruct {
    static let firstSize = 64
}

extension weightstore_pull_options: LongCallOptions {
    static let firstSize = 72
}

extension weightstore_pull_summary: VersionedStruct {
    static let firstSize = 32
}

extension weightstore_removal_options: LongCallOptions {
    static let firstSize = 32
}

extension weightstore_removal_summary: VersionedStruct {
    static let firstSize = 32
}

extension weightstore_warm_options: LongCallOptions {
    static let firstSize = 56
}

extension weightstore_warm_summary: VersionedStruct {
    static let firstSize = 40
}

extension weightstore_store_totals: VersionedStruct {
    static let firstSize = 112
}

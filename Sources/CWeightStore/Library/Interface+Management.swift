import CWeightStoreHeader
import WeightStore

// weightstore.h documents the functions.

@c @implementation
public func weightstore_import(
    _ store: OpaquePointer?, _ source: UnsafePointer<CChar>?, _ options: UnsafePointer<weightstore_import_options>?,
    _ summary: UnsafeMutablePointer<weightstore_import_summary>?, _ revisions: UnsafeMutablePointer<OpaquePointer?>?
) -> weightstore_status {
    call {
        let store = try Handles.all.find(store, StoreHandle.self).store
        let target = try optionalTarget(summary, "summary")
        let given = try optionalGiven(options, "options") ?? weightstore_import_options()
        var request = ImportRequest(source: try text(source, "source"), name: try optionalText(given.name, "name"))
        let refs = try texts(given.refs, count: given.ref_count, "ref")
        if !refs.isEmpty { request.refs = refs }
        request.origins = try texts(given.origins, count: given.origin_count, "origin")
        request.move = given.move != 0
        request.partial = given.partial != 0
        request.strict = given.strict != 0
        request.opaque = given.opaque != 0
        request.rehash = given.rehash != 0
        let imported = try longCall(given.progress, given.context) { [request] work in
            try store.importModelBlocking(request, work: work)
        }
        var made = weightstore_import_summary()
        made.bytes = UInt64(clamping: imported.bytes)
        made.written = UInt64(clamping: imported.written)
        made.skipped = UInt64(clamping: imported.skippedBytes)
        made.moved = imported.moved
        made.skipped_files = imported.skipped.count
        made.warnings = imported.warnings.count
        made.failures = imported.failures.count
        let list = try revisions.map { _ in
            ListHandle(try imported.revisions.compactMap { try find($0.model, $0.digest, in: store) })
        }
        target?.fill(made)
        if let revisions, let list { revisions.pointee = Handles.all.add(list) }
    }
}

@c @implementation
public func weightstore_pull(
    _ store: OpaquePointer?, _ name: UnsafePointer<CChar>?, _ options: UnsafePointer<weightstore_pull_options>?,
    _ summary: UnsafeMutablePointer<weightstore_pull_summary>?, _ revisions: UnsafeMutablePointer<OpaquePointer?>?
) -> weightstore_status {
    call {
        let store = try Handles.all.find(store, StoreHandle.self).store
        let target = try optionalTarget(summary, "summary")
        let given = try optionalGiven(options, "options") ?? weightstore_pull_options()
        var request = try PullRequest(try text(name, "name"))
        request.origin = try optionalText(given.origin, "origin")
        request.opaque = given.opaque != 0
        request.selection = FetchSelection(
            layers: try given.layers.map { try range("layers", $0[0], $0[1]) },
            experts: try given.experts.map { try range("experts", $0[0], $0[1]) },
            include: try texts(given.include, count: given.include_count, "pattern"))
        let pulled = try longCall(given.progress, given.context) { [request] work in
            try store.pullBlocking(request, work: work)
        }
        var made = weightstore_pull_summary()
        made.bytes = UInt64(clamping: pulled.bytes)
        made.fetched = UInt64(clamping: pulled.fetched)
        made.complete = pulled.complete ? 1 : 0
        let list = try revisions.map { _ in
            ListHandle(try [find(pulled.model, pulled.digest, in: store)].compactMap(\.self))
        }
        target?.fill(made)
        if let revisions, let list { revisions.pointee = Handles.all.add(list) }
    }
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
    call {
        let store = try Handles.all.find(store, StoreHandle.self).store
        let target = try optionalTarget(summary, "summary")
        let given = try optionalGiven(options, "options") ?? weightstore_removal_options()
        let names = try texts(names, count: count, "name")
        let (force, dryRun) = (given.force != 0, given.dry_run != 0)
        let removed = try longCall(given.progress, given.context) { work in
            try store.remove(names, force: force, dryRun: dryRun, work: work)
        }
        var made = weightstore_removal_summary()
        made.revisions = removed.revisions.count
        made.shards = removed.shards
        made.bytes = UInt64(clamping: removed.bytes)
        target?.fill(made)
    }
}

@c @implementation
public func weightstore_warm(
    _ store: OpaquePointer?, _ name: UnsafePointer<CChar>?, _ options: UnsafePointer<weightstore_warm_options>?,
    _ summary: UnsafeMutablePointer<weightstore_warm_summary>?
) -> weightstore_status {
    call {
        let store = try Handles.all.find(store, StoreHandle.self).store
        let target = try optionalTarget(summary, "summary")
        let given = try optionalGiven(options, "options") ?? weightstore_warm_options()
        var request = WarmRequest(to: try tier(name))
        guard given.top >= 0 else { throw CallError.argument("top \(given.top) is out of range") }
        if given.top > 0 { request.top = given.top }
        request.revisions = try texts(given.revisions, count: given.revision_count, "revision")
        request.fetches = given.no_fetch == 0
        let warmed = try longCall(given.progress, given.context) { [request] work in
            try store.warmBlocking(request, work: work)
        }
        var made = weightstore_warm_summary()
        made.warmed = UInt64(clamping: warmed.warmed)
        made.items = warmed.plan.items.count
        made.skipped = warmed.plan.skipped.count
        made.failed = warmed.failed.count
        target?.fill(made)
    }
}

@c @implementation
public func weightstore_store_statistics(
    _ store: OpaquePointer?, _ totals: UnsafeMutablePointer<weightstore_store_totals>?
) -> weightstore_status {
    call {
        let store = try Handles.all.find(store, StoreHandle.self).store
        let target: SizedTarget = try target(totals, "totals")
        let stats = try store.stats()
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
        target.fill(made)
    }
}

extension weightstore_import_options: VersionedStruct {
    static let firstSize = 88
}

extension weightstore_import_summary: VersionedStruct {
    static let firstSize = 64
}

extension weightstore_pull_options: VersionedStruct {
    static let firstSize = 72
}

extension weightstore_pull_summary: VersionedStruct {
    static let firstSize = 32
}

extension weightstore_removal_options: VersionedStruct {
    static let firstSize = 32
}

extension weightstore_removal_summary: VersionedStruct {
    static let firstSize = 32
}

extension weightstore_warm_options: VersionedStruct {
    static let firstSize = 56
}

extension weightstore_warm_summary: VersionedStruct {
    static let firstSize = 40
}

extension weightstore_store_totals: VersionedStruct {
    static let firstSize = 112
}

import CWeightStoreHeader
import WeightStore

/// The value behind C's handle of a list of models or revisions.
final class ListHandle: HandleValue {
    static let kind = "list"

    private enum Rows: Sendable {
        case models(CTable<weightstore_model>)
        case revisions(CTable<weightstore_revision_entry>)
    }

    private let rows: Rows

    init(_ models: [Model]) {
        rows = .models(CTable { memory in models.map { weightstore_model($0, memory) } })
    }

    init(_ revisions: [RevisionInfo]) {
        rows = .revisions(CTable { memory in revisions.map { weightstore_revision_entry($0, memory) } })
    }

    var count: Int {
        switch rows {
        case .models(let table): table.rows.count
        case .revisions(let table): table.rows.count
        }
    }

    func model(_ index: Int) throws(CallError) -> weightstore_model {
        guard case .models(let table) = rows else { throw .argument("the list is one of revisions") }
        return try element(table.rows, index, "model")
    }

    func revision(_ index: Int) throws(CallError) -> weightstore_revision_entry {
        guard case .revisions(let table) = rows else { throw .argument("the list is one of models") }
        return try element(table.rows, index, "revision")
    }
}

extension weightstore_model: VersionedStruct {
    static let firstSize = 112

    fileprivate init(_ model: Model, _ memory: CMemory) {
        self.init()
        name = memory.string(model.name)
        revisions = model.revisions
        version = Int64(model.version ?? -1)
        bytes = UInt64(clamping: model.bytes)
        tensors = model.tensors
        layers = model.layers
        refs = memory.strings(model.refs)
        ref_count = model.refs.count
        pinned = model.pinned ? 1 : 0
        missing = memory.string(model.partial)
        modified = Int64(model.modified)
        last_access = Int64(model.lastAccess)
        accesses = Int64(model.accesses)
    }
}

extension weightstore_revision_entry: VersionedStruct {
    static let firstSize = 144

    fileprivate init(_ revision: RevisionInfo, _ memory: CMemory) {
        self.init()
        model = memory.string(revision.model)
        name = memory.string(
            RevisionName.text(revision.model, version: revision.version, digest: revision.digest))
        digest = memory.string(revision.digest.hex)
        commit = memory.string(revision.commit)
        source = memory.string(revision.source)
        version = Int64(revision.version ?? -1)
        bytes = UInt64(clamping: revision.bytes)
        files = revision.files
        tensors = revision.tensors
        layers = revision.layers
        refs = memory.strings(revision.refs)
        ref_count = revision.refs.count
        pin = memory.string(revision.pin)
        missing = memory.string(revision.partial)
        created = Int64(revision.created)
        last_access = Int64(revision.lastAccess)
        accesses = Int64(revision.accesses)
    }
}

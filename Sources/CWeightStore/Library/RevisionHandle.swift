import CWeightStoreHeader
import Support
import Synchronization
import WeightStore

/// The value behind C's handle of a revision, with the memory of the structures returned to C.
final class RevisionHandle: HandleValue {
    static let kind = "revision"
    let revision: Revision
    private let fileTable = OnDemand<CTable<weightstore_file>>()
    private let layerTable = OnDemand<CTable<weightstore_layer>>()
    private let tensorTable = OnDemand<CTable<weightstore_tensor>>()
    private let infoTable = OnDemand<CTable<weightstore_revision_info>>()
    private let fileSelections = OnDemand<[Bool]>()
    private let metadataTables = Mutex<[ByteText: CTable<weightstore_metadata>]>([:])
    private let formatsByFile = OnDemand<[ByteText: String]>()
    private let entryList = OnDemand<[TensorEntry]>()
    private let blobPaths = BlobPaths()

    init(_ revision: Revision) { self.revision = revision }

    func files() throws -> [weightstore_file] {
        try fileTable.get {
            try CTable { memory in
                try revision.entries().map { entry in
                    var file = weightstore_file()
                    file.path = memory.string(entry.path)
                    file.format = memory.string(entry.format)
                    file.digest = memory.string(entry.digest.hex)
                    file.bytes = UInt64(clamping: entry.bytes)
                    return file
                }
            }
        }.rows
    }

    /// For each file, in the order of `files()`, whether an engine loads it.
    func selections() throws -> [Bool] {
        if let known = fileSelections.known { return known }
        // Without the lock of the value: an index may have to be fetched, and the work of another thread may end sooner.
        let sets = try revision.weightSets(work: CurrentWork.handle?.work)
        let selected = Set(sets.flatMap(\.files).map { ByteText($0) })
        let selections = try revision.entries().map { selected.contains(ByteText($0.path)) }
        return fileSelections.get { selections }
    }

    /// The format of each file, by path.
    func formats() throws -> [ByteText: String] {
        try formatsByFile.get {
            Dictionary(try revision.entries().map { (ByteText($0.path), $0.format) }) { first, _ in first }
        }
    }

    /// The metadata of a file.
    func metadata(of path: String) throws -> [weightstore_metadata] {
        if let known = metadataTables.withLock({ $0[ByteText(path)] }) { return known.rows }
        guard let file = try revision.entry(path) else {
            throw StorageError.notFound(kind: "file", name: "\(revision.name) \(path)")
        }
        // Without the lock, as in `selections`. The first table stays, because C has its pointers.
        let made = try MetadataTable.make(file, of: revision, work: CurrentWork.handle?.work)
        return metadataTables.withLock { tables in
            let table = tables[ByteText(path)] ?? made
            tables[ByteText(path)] = table
            return table
        }.rows
    }

    func layers() throws -> [weightstore_layer] {
        try layerTable.get {
            try CTable { memory in
                try revision.layers().map { info in
                    var layer = weightstore_layer()
                    layer.stack = memory.string(info.stack)
                    layer.number = Int64(info.number)
                    layer.tensors = info.tensors
                    layer.bytes = UInt64(clamping: info.bytes)
                    return layer
                }
            }
        }.rows
    }

    func tensors() throws -> [weightstore_tensor] {
        let formats = try formats()
        return try tensorTable.get {
            try CTable { memory in
                try revision.tensorEntries().map { weightstore_tensor($0, format: formats[ByteText($0.file)], memory) }
            }
        }.rows
    }

    /// The tensors in the order of `tensors()`.
    func entries() throws -> [TensorEntry] { try entryList.get { try revision.tensorEntries() } }

    /// Where a tensor of the revision lies. The path is valid as long as the handle.
    func location(of entry: TensorEntry) -> weightstore_location {
        var location = weightstore_location()
        location.file_offset = UInt64(clamping: entry.fileOffset)
        location.bytes = UInt64(clamping: entry.bytes)
        if let digest = entry.shard, let path = revision.blobPath(of: entry) {
            location.path = blobPaths.string(path, of: digest)
            location.offset = UInt64(clamping: entry.shardOffset)
        }
        return location
    }

    func info() throws -> weightstore_revision_info {
        let (tensors, layers, files) = (try tensors(), try layers(), try files())
        return infoTable.get {
            CTable { memory in
                var info = weightstore_revision_info()
                info.model = memory.string(revision.model)
                info.name = memory.string(revision.name)
                info.digest = memory.string(revision.digest.hex)
                info.version = Int64(revision.version ?? -1)
                info.tensors = tensors.count
                info.layers = layers.count
                info.files = files.count
                info.bytes = tensors.reduce(0) { $0 + $1.bytes }
                return [info]
            }
        }.rows[0]
    }

    /// Copies bytes of a file.
    ///
    /// - Returns: the number of bytes, which is less than the size of the buffer only at the end of the file.
    func read(_ path: String, at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        guard let file = try revision.entry(path) else {
            throw StorageError.notFound(
                kind: "file", name: "\(revision.name) \(path)")
        }
        guard let start = Int(exactly: offset), start < file.bytes, !buffer.isEmpty else { return 0 }
        let end = start + min(buffer.count, file.bytes - start)
        let bytes = try revision.bytes(of: file, in: start..<end, work: CurrentWork.handle?.work)
        return try bytes.read(at: start, into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<(end - start)]))
    }
}

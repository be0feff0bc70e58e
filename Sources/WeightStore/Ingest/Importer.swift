import Dispatch
import Files
import GRDB
import ModelFormats
import Storage
import Synchronization

/// The steps from an `ImportSource` to a revision.
struct Importer {
    let store: Store
    let run: ImportRun
    let request: ImportRequest
    private(set) var moved = 0

    /// The contents of files that this run has read, by identity: snapshots of a cache share their blobs.
    private var met: [FileIdentity: FileContent] = [:]
    /// The imported directory, with links resolved.
    private let root: String
    /// The number of source files that still resolve to each real file; the real file is removed with the last.
    private var uses: [String: Int] = [:]

    private struct FileIdentity: Hashable {
        var device: Int64
        var inode: Int64
    }

    init(store: Store, run: ImportRun, request: ImportRequest) throws {
        self.store = store
        self.run = run
        self.request = request
        root = try FileSystem.resolve(request.source)
    }

    mutating func countUses(in sources: [ImportSource]) {
        for file in sources.flatMap(\.files) {
            if let real = try? FileSystem.resolve(file.location) { uses[real, default: 0] += 1 }
        }
    }

    mutating func importSource(_ source: ImportSource) throws -> ImportSummary.Imported {
        // Files that an interrupted move of the same directory has imported already.
        var contents = request.move ? try store.catalog.read { try Self.partial(of: source, $0) } : [:]
        if source.mustBeComplete && !request.partial {
            try checkComplete(source, contents)
        }
        if request.move {
            // File by file: each is durable in a revision before its source is removed.
            for file in source.files.dropLast() {
                _ = try importFiles([file], of: source, &contents, partial: true)
                try remove(file)
            }
            let imported = try importFiles(source.files.suffix(1), of: source, &contents, partial: false)
            if let last = source.files.last { try remove(last) }
            return imported
        }
        return try importFiles(source.files, of: source, &contents, partial: false)
    }

    /// Reads files, and commits the revision with them and those that were read before.
    ///
    /// Contents that the store held already may be removed before the commit, with the last model that references them.
    /// In that case the files are read again without `trusting`, and each shard is claimed as it is committed.
    private mutating func importFiles(
        _ files: [ImportSource.File], of source: ImportSource, _ contents: inout [String: FileContent], partial: Bool
    ) throws -> ImportSummary.Imported {
        contents.merge(try ingest(files)) { $1 }
        do {
            return try commit(source, contents, partial: partial)
        } catch StorageError.missing {
            met = [:]
            contents.merge(try ingest(files, trusting: false)) { $1 }
            return try commit(source, contents, partial: partial)
        }
    }

    /// Reads files in parallel lanes, and waits until all of them are durable.
    ///
    /// - Parameter trusting: whether unchanged files that the catalog remembers are not read again.
    private mutating func ingest(_ files: [ImportSource.File], trusting: Bool = true) throws -> [String: FileContent] {
        var contents: [String: FileContent] = [:]
        var todo: [(file: ImportSource.File, identity: FileIdentity)] = []
        for file in files {
            guard let status = try FileSystem.status(file.location) else {
                throw StoreError.sourceChanged(path: file.location)
            }
            let identity = FileIdentity(device: status.device, inode: status.inode)
            if let content = met[identity] {
                contents[file.path] = content
                run.skip(content.bytes)
            } else {
                todo.append((file, identity))
            }
        }
        // The large ones first, so that no lane is left with a large file at the end.
        todo.sort { $0.file.bytes > $1.file.bytes }
        let queue = FileReadQueue(todo.map(\.file.location), trusting: trusting)
        DispatchQueue.concurrentPerform(iterations: min(run.lanes, todo.count)) { [run] _ in queue.lane(run) }
        for ingest in queue.started.values { ingest.drain() }
        try run.check()
        for (index, content) in queue.known { contents[todo[index].file.path] = content }
        for (index, ingest) in queue.started { contents[todo[index].file.path] = try ingest.settle() }
        for (file, identity) in todo { met[identity] = contents[file.path] }
        return contents
    }

    private func commit(_ source: ImportSource, _ contents: [String: FileContent], partial: Bool) throws
        -> ImportSummary.Imported
    {
        let manifest = Manifest(commit: source.commit, files: contents.map { .init(path: $0.key, content: $0.value) })
        let staged = try run.stage()
        let digest = try staged.writeWhole(manifest.encoded())
        let origins = request.origins
        let change = ModelChange(catalog: store.catalog, blobs: store.blobs, stage: run.stage)
        return try change.commit { db in
            try store.blobs.install([(staged.path, .init(digest: digest, kind: .manifest))])
            let saved = try RevisionRow.save(
                manifest, digest: digest, model: source.model, source: source.location,
                refs: partial ? [] : source.refs, origins: origins, partial: partial, lease: store.leases.name, db)
            let imported = ImportSummary.Imported(
                model: source.model, version: saved.version ?? 0, digest: digest, refs: source.refs,
                files: manifest.files.count, bytes: manifest.files.reduce(0) { $0 + $1.content.bytes },
                wasKnown: saved.wasKnown)
            return (imported, [saved.model])
        }
    }

    /// Removes a source file and, with the last link of this import to it, the link's target.
    private mutating func remove(_ file: ImportSource.File) throws {
        let real = try FileSystem.resolve(file.location)
        try FileSystem.remove(file.location)
        moved += 1
        uses[real, default: 1] -= 1
        // Targets outside of the source directory are left alone.
        if uses[real] == 0, real.hasPrefix(root + "/") { try FileSystem.remove(real) }
    }

    /// The files of a revision that an interrupted move has imported.
    private static func partial(of source: ImportSource, _ db: Database) throws -> [String: FileContent] {
        var contents: [String: FileContent] = [:]
        for (path, digest) in try RevisionRow.partialFiles(model: source.model, source: source.location, db) {
            contents[path] = try FileContent.find(digest, db)
        }
        return contents
    }

    /// Reads the headers and throws if a part is missing, before any byte is copied.
    private func checkComplete(_ source: ImportSource, _ moved: [String: FileContent]) throws {
        var layouts = moved.mapValues {
            FileLayout(format: $0.format, bytes: $0.bytes, tensors: $0.tensors, metadata: [:])
        }
        let paths = Set(source.files.map(\.path)).union(moved.keys)
        let isSplit = { (path: String) in GGUFSplit(fileName: path) != nil }
        let hasIndex = paths.contains { $0.hasSuffix(".safetensors.index.json") }
        for file in source.files {
            let format = FileFormat(path: file.path)
            guard format == .gguf && isSplit(file.path) || format == .safetensors && hasIndex else { continue }
            layouts[file.path] = try FileLayout.read(FileSource(file.location), format: format)
        }
        let locations = Dictionary(uniqueKeysWithValues: source.files.map { ($0.path, $0.location) })
        try ImportSource.checkComplete(source.location, paths: paths, layouts: layouts) { path in
            if let location = locations[path] { return try FileSystem.read(location) }
            guard let content = moved[path] else { throw StoreError.sourceChanged(path: path) }
            return try store.bytes(of: content)
        }
    }
}

/// A list of files that several lanes read; each lane reads the next one.
private final class FileReadQueue: Sendable {
    private struct State {
        var next = 0
        var started: [Int: FileIngest] = [:]
        var known: [Int: FileContent] = [:]
    }

    private let locations: [String]
    private let trusting: Bool
    private let state = Mutex(State())

    init(_ locations: [String], trusting: Bool) {
        self.locations = locations
        self.trusting = trusting
    }

    /// The files that were read, by index in the list.
    var started: [Int: FileIngest] { state.withLock { $0.started } }
    /// The contents that the store held already, by index in the list.
    var known: [Int: FileContent] { state.withLock { $0.known } }

    /// Reads until no file is left, or a part of the import has failed.
    func lane(_ run: ImportRun) {
        while let index = next() {
            let ingest = FileIngest(locations[index], run: run)
            state.withLock { $0.started[index] = ingest }
            do {
                try run.check()
                guard let content = try ingest.start(trusting: trusting) else { continue }
                state.withLock { state in
                    state.started[index] = nil
                    state.known[index] = content
                }
            } catch {
                return run.fail(error)
            }
        }
    }

    private func next() -> Int? {
        state.withLock { state in
            guard state.next < locations.count else { return nil }
            defer { state.next += 1 }
            return state.next
        }
    }
}

import Dispatch
import Files
import GRDB
import ModelFormats
import Storage
import Support

/// The steps from an `ImportSource` to a revision.
///
/// A move commits its files in batches. Each batch is a transaction that commits an unfinished revision with all files so
/// far, and the rows of `MoveTable` that allow the removal of the batch's source files (`SourceRemover`). The last batch
/// commits the revision with its version and refs.
struct Importer {
    let store: Store
    /// The run of the current source. A failed source ends its run.
    private(set) var run: ImportRun
    private let makeRun: () -> ImportRun
    let request: ImportRequest
    private(set) var remover: SourceRemover
    /// Notes about moves that are not continued.
    private(set) var skipped: [SkippedFile] = []
    /// Unusual files of the sources that were imported.
    private(set) var warnings: [FileWarning] = []
    /// The warnings, to find them by their bytes: a file may be read again.
    private var knownWarnings: Set<ByteText> = []
    /// The number of warnings before the current source.
    private var earlierWarnings = 0

    /// The contents of files that this run has read, by identity: snapshots of a cache share their blobs.
    private var met: [FileIdentity: ReadFile] = [:]
    /// The imported directory, with links resolved.
    private let root: String
    /// The number of source files that still resolve to each real file; the real file is removed with the last.
    private var uses: [ByteText: Int] = [:]

    private struct FileIdentity: Hashable {
        var device: Int64
        var inode: Int64
        /// Two names of one inode may be read in two formats, if the bytes do not show which is right.
        var format: FileFormat
    }

    /// A file that is durable, with its state when it was read.
    private struct ReadFile {
        var content: FileContent
        var status: FileStatus
        /// Whether a change after the read would have changed the times.
        var isSettled: Bool
        /// What is unusual about the file.
        var warnings: [FormatError]
    }

    init(store: Store, request: ImportRequest, makeRun: @escaping () -> ImportRun) throws {
        self.store = store
        self.makeRun = makeRun
        run = makeRun()
        self.request = request
        remover = SourceRemover(store: store)
        root = try FileSystem.resolve(request.source)
    }

    mutating func countUses(in sources: [ImportSource]) {
        for file in sources.flatMap(\.files) { uses[ByteText(file.real), default: 0] += 1 }
    }

    /// The counts of the runs before the current one.
    private var counts = (written: 0, again: 0, skipped: 0)
    /// Bytes of shards that were written.
    var written: Int { counts.written + run.written }
    /// Bytes that were written although the store holds them, cut by an older rule.
    var again: Int { counts.again + run.again }
    /// Bytes of files that were not read.
    var skippedBytes: Int { counts.skipped + run.skipped }

    /// Continues after a source that has failed.
    mutating func resume() {
        // The next import finds the shards that are complete.
        run.committer.flush()
        counts = (written, again, skippedBytes)
        warnings.removeSubrange(earlierWarnings...)
        knownWarnings = Set(warnings.map(Self.key))
        run = makeRun()
    }

    /// - Throws: among others, errors for which `ImportSource.isRefusal` holds.
    mutating func importSource(_ source: ImportSource) throws -> ImportSummary.Imported {
        earlierWarnings = warnings.count
        if let refusal = source.refusal { throw refusal }
        let earlier = try InterruptedMove.find(of: source, in: store, &skipped)
        var contents = earlier?.contents ?? [:]
        if source.mustBeComplete && !request.partial {
            try checkComplete(source, contents)
        }
        guard request.move else {
            return try importFiles(source.files[...], of: source, &contents) { revision, _, db in
                // The source still lacks the files that were moved.
                if let earlier { try MoveTable.attach(earlier.move.id, to: revision, db) }
            }
        }
        var rest = source.files[...]
        while true {
            let batch = batch(of: rest, after: source.files.count - rest.count)
            rest = rest.dropFirst(batch.count)
            let isFirst = rest.count + batch.count == source.files.count
            let remaining = uses(after: batch)
            var move: Int64?
            let imported = try importFiles(batch, of: source, &contents, partial: !rest.isEmpty) {
                [root] revision, read, db in
                let id = try MoveTable.add(source: source.location, revision: revision, db)
                move = id
                if isFirst {
                    for file in source.files {
                        try MoveTable.save(.init(location: file.location, file.status, digest: nil), of: id, db)
                    }
                }
                for file in Self.removable(batch, read, remaining, root: root) {
                    try MoveTable.save(file, of: id, db)
                }
                if rest.isEmpty { try MoveTable.removeUnstored(of: id, db) }
            }
            uses = remaining
            let current = try store.catalog.read { db in
                try MoveTable.all(in: source.location, db).first { $0.id == move }
            }
            if let current { try remover.remove(current, isCurrent: true) }
            if rest.isEmpty { return imported }
        }
    }

    private func batch(of files: ArraySlice<ImportSource.File>, after done: Int) -> ArraySlice<ImportSource.File> {
        var bytes = 0
        let end = files.indices.first { index in
            let isFull = bytes >= request.batch.bytes || index - files.startIndex >= max(request.batch.files, done)
            bytes += files[index].bytes
            return isFull
        }
        return files[..<(end ?? files.endIndex)]
    }

    /// The number of uses of each real file once the sources in a batch are stored.
    private func uses(after batch: ArraySlice<ImportSource.File>) -> [ByteText: Int] {
        var uses = uses
        for file in batch { uses[ByteText(file.real), default: 1] -= 1 }
        return uses
    }

    /// The files that may be removed once a batch is stored: its links, and the real files to which no other source
    /// file resolves. Targets outside of the source stay.
    private static func removable(
        _ batch: ArraySlice<ImportSource.File>, _ read: [ByteText: ReadFile], _ uses: [ByteText: Int], root: String
    ) -> [MoveTable.File] {
        batch.flatMap { file -> [MoveTable.File] in
            guard let read = read[ByteText(file.path)] else { return [] }
            var removable: [MoveTable.File] = []
            if file.isLink {
                removable.append(.init(location: file.location, file.status, digest: read.content.digest))
            }
            let isInSource = !file.isLink || SourceBounds.contains(root, file.real)
            if isInSource, uses[ByteText(file.real)] == 0 {
                removable.append(
                    .init(
                        location: file.real, read.status, isSettled: read.isSettled, digest: read.content.digest))
            }
            return removable
        }
    }

    /// Reads files, and commits the revision with them and those that were read before.
    ///
    /// Contents that the store held already may be removed before the commit, with the last model that references them.
    /// In that case the files are read again without `trusting`, and each shard is claimed as it is committed.
    ///
    /// - Parameters:
    ///   - partial: whether more files follow.
    ///   - record: called with the revision's row id and the files, in the transaction that commits the revision.
    private mutating func importFiles(
        _ files: ArraySlice<ImportSource.File>, of source: ImportSource, _ contents: inout [ByteText: FileContent],
        partial: Bool = false, _ record: (Int64, [ByteText: ReadFile], Database) throws -> Void
    ) throws -> ImportSummary.Imported {
        var read = try ingest(files, trusting: !request.rehash)
        contents.merge(read.mapValues(\.content)) { $1 }
        do {
            return try commit(source, contents, partial: partial) { try record($0, read, $1) }
        } catch StorageError.missing {
            met = [:]
            read = try ingest(files, trusting: false)
            contents.merge(read.mapValues(\.content)) { $1 }
            return try commit(source, contents, partial: partial) { try record($0, read, $1) }
        }
    }

    /// Reads files in parallel lanes, and waits until all of them are durable.
    ///
    /// - Parameter trusting: whether unchanged files that the catalog remembers are not read again.
    /// - Returns: the files, by path.
    private mutating func ingest(
        _ files: ArraySlice<ImportSource.File>, trusting: Bool
    ) throws -> [ByteText: ReadFile] {
        var result: [ByteText: ReadFile] = [:]
        var todo: [(file: ImportSource.File, identity: FileIdentity)] = []
        for file in files {
            guard let status = try FileSystem.status(file.location) else {
                throw StoreError.sourceChanged(path: file.location)
            }
            let identity = FileIdentity(
                device: status.device, inode: status.inode, format: try FileSource(file.location).format())
            if let known = met[identity], known.status == status, known.isSettled {
                warn(file.path, known.warnings)
                result[ByteText(file.path)] = known
                run.skip(known.content.bytes)
            } else {
                todo.append((file, identity))
            }
        }
        // The large ones first, so that no lane is left with a large file at the end.
        todo.sort { $0.file.bytes > $1.file.bytes }
        try requireRoom(for: todo.map(\.file))
        let queue = FileReadQueue(todo.map { ($0.file.location, HubBlob($0.file.real)) }, trusting: trusting)
        DispatchQueue.concurrentPerform(iterations: min(run.lanes, todo.count)) { [run] _ in queue.lane(run) }
        for ingest in queue.ingests.values { ingest.drain() }
        try run.check()
        for (index, ingest) in queue.ingests {
            let (file, identity) = todo[index]
            let content = try queue.known[index] ?? ingest.settle()
            try ingest.requireName(content.digest)
            guard let status = ingest.status else { throw StoreError.sourceChanged(path: file.location) }
            warn(file.path, ingest.warnings)
            let read = ReadFile(
                content: content, status: status, isSettled: ingest.isSettled, warnings: ingest.warnings)
            result[ByteText(file.path)] = read
            met[identity] = read
        }
        return result
    }

    /// Refuses files that cannot fit, before a byte of them is written. Shards that the store holds need no room.
    ///
    /// - Throws: as `Store.checkRoom`.
    private func requireRoom(for files: [ImportSource.File]) throws {
        if (try? store.checkRoom(for: files.saturatingSum(\.bytes))) != nil { return }
        var new = NewBytes(run)
        for file in files {
            try new.add(file.location)
            try store.checkRoom(for: new.bytes)
        }
    }

    private mutating func warn(_ path: String, _ violations: [FormatError]) {
        for violation in violations { warn(FileWarning(path: path, violation)) }
    }

    /// Adds a warning, once.
    mutating func warn(_ warning: FileWarning) {
        if knownWarnings.insert(Self.key(warning)).inserted { warnings.append(warning) }
    }

    private static func key(_ warning: FileWarning) -> ByteText { ByteText("\(warning.path)\u{0}\(warning.warning)") }
}

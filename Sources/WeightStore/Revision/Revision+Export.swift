import Files
import Storage
import Support

/// The result of an export.
public struct ExportSummary: Sendable, Codable, Equatable {
    /// The number of files written.
    public internal(set) var files = 0
    /// Bytes of these files.
    public internal(set) var bytes = 0
    /// Bytes of these files that share their blocks with the store, and so take no space: on a file system with reflinks
    /// (XFS, Btrfs), where they lie equally within a block in the file and in the store.
    public internal(set) var sharedBytes = 0
}

extension Revision {
    /// The paths of files, sorted: those to export.
    ///
    /// - Parameters:
    ///   - patterns: shell patterns such as `*.json`, of which each must match a file; `*` matches `/`, too. Without
    ///     patterns, all files.
    ///   - withWeights: whether files with weights are included: those whose names end with `.safetensors`, `.gguf`, `.bin`,
    ///     `.pt` or another extension for weights.
    /// - Throws: ``StorageError/notFound(kind:name:detail:)`` for a pattern without a file.
    public func paths(matching patterns: [String] = [], withWeights: Bool = true) throws -> [String] {
        try check(FetchSelection(include: patterns))
        return try files().map(\.path).filter { path in
            (patterns.isEmpty || patterns.contains { ShellPattern.matches($0, path) })
                && (withWeights || !RevisionTable.isWeights(path))
        }
    }

    /// Writes files into a directory, and checks each against its digest.
    ///
    /// A file that exists under its final name is complete and durable: it is written under a temporary name, synced
    /// and renamed, and its directory is synced.
    ///
    /// - Parameters:
    ///   - directory: where the files are written. Missing folders are created.
    ///   - paths: the files to export; nil means all.
    ///   - overwriting: whether existing files are replaced. Otherwise they are an error.
    ///   - work: counts bytes, and names the file being written. Cancelling it, or the task, ends the export and its
    ///     fetches.
    /// - Throws: ``StoreError``, ``FetchError``, `CancellationError`. Files written so far stay.
    @discardableResult
    public func export(
        to directory: String, paths: [String]? = nil, overwriting: Bool = false, work: Work = Work()
    ) async throws -> ExportSummary {
        try await work.run {
            try self.exportBlocking(to: directory, paths: paths, overwriting: overwriting, work: work)
        }
    }

    /// The blocking form of ``export(to:paths:overwriting:work:)``, for threads outside of Swift's cooperative pool.
    @discardableResult
    public func exportBlocking(
        to directory: String, paths: [String]? = nil, overwriting: Bool = false, work: Work = Work()
    ) throws -> ExportSummary {
        let all = try files()
        let known = Set(all.map { ByteText($0.path) })
        for path in paths ?? [] where !known.contains(ByteText(path)) {
            throw StorageError.notFound(kind: "file", name: "\(name) \(path)")
        }
        let wanted = paths.map { Set($0.map { ByteText($0) }) }
        let chosen = all.filter { wanted?.contains(ByteText($0.path)) ?? true }
        for file in chosen where !overwriting && FileSystem.exists(directory + "/" + file.path) {
            throw StorageError.invalid(
                what: "export target", value: directory + "/" + file.path,
                reason: "the file exists; remove it, or allow overwriting")
        }
        work.expect(chosen.saturatingSum(\.bytes))
        var summary = ExportSummary()
        for file in chosen {
            try work.check()
            work.setLabel(file.path)
            summary.sharedBytes.add(saturating: try export(file, to: directory + "/" + file.path, work))
            summary.files += 1
            summary.bytes.add(saturating: file.bytes)
        }
        return summary
    }

    /// - Returns: the bytes that share their blocks with the store.
    private func export(_ file: FileInfo, to target: String, _ work: Work) throws -> Int {
        let parent = FileSystem.parent(of: target)
        try FileSystem.createDirectory(parent)
        let staged = try StagedFile(beside: target)
        var offset = 0
        var shared: SharedBlocks?
        try read(file.path, work) { bytes in
            try work.check()
            // Behind the first byte all blobs are stored, unless there is no room for them.
            var blocks = try shared ?? SharedBlocks(storedRuns(of: file.path), of: file.bytes, in: staged)
            try blocks.write(bytes, at: offset, to: staged)
            shared = blocks
            offset += bytes.count
            work.advance(bytes.count)
        }
        try staged.finish(isReadOnly: false)
        try staged.rename(to: target)
        try FileSystem.syncDirectory(parent)
        return shared?.bytes ?? 0
    }
}

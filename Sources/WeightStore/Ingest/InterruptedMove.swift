import Files
import ModelFormats
import Storage
import Support

/// An earlier `import --move` of a source that did not remove all of its files, or was interrupted before.
///
/// The source then lacks files that only the store holds. Every import of it adds these, whether it moves files or not:
/// otherwise what is left would become a revision of its own, without the files that were moved.
///
/// Another model may lie at the same path meanwhile. What is there decides:
///
/// 1. A file that the move had not stored is there, unchanged: it is the same source. The files are added; one that is
///    there takes precedence over a stored one with its path.
/// 2. None of the move's paths is there, or all of them are: it is another model, or a new copy. Nothing is added, and an
///    unfinished revision stays as it is.
/// 3. Anything else is refused: adding the files could mix two models, and not adding them could lose files.
struct InterruptedMove {
    let move: MoveTable.Move
    /// The files that the store holds, by path.
    let contents: [ByteText: FileContent]

    /// The move of the source that this import continues.
    ///
    /// - Parameter skipped: receives a note about a move that is not continued.
    /// - Throws: ``StoreError/moveInterrupted(source:revision:)`` in the third case.
    static func find(
        of source: ImportSource, in store: Store, _ skipped: inout [SkippedFile]
    ) throws -> InterruptedMove? {
        let moves = try store.catalog.read { db in try MoveTable.all(in: source.location, db) }
            .filter { ByteText($0.source) == ByteText(source.location) }
        guard let move = moves.first(where: { $0.model == source.model }) else { return nil }
        // An older version has begun a move without rows; it added the files in every case.
        if try !move.files.isEmpty && !isThere(move.files.filter({ $0.digest == nil }), { $0.isUnchanged($1) }) {
            let isFile = source.files.count == 1 && source.files[0].location == source.location
            let paths = try store.catalog.read { db in try RevisionTable.paths(of: move.revision, db) }
            let stored = Set(paths.map { ByteText(isFile ? source.location : "\(source.location)/\($0)") })
            let known = stored.union(move.files.map { ByteText($0.location) })
            let found = Set(source.files.map { ByteText($0.location) })
            guard found.isDisjoint(with: known) || found.isSuperset(of: stored) else {
                throw try refusal(move, store)
            }
            let name = try name(of: move, store)
            skipped.append(
                SkippedFile(
                    path: source.location,
                    reason: "not the rest of the interrupted import that moved files to \(name); that revision stays"
                ))
            try store.catalog.write { db in try MoveTable.remove(move.id, db) }
            return nil
        }
        return InterruptedMove(move: move, contents: try contents(of: move, store))
    }

    /// Refuses an import of files that an interrupted move takes into another model, or that have other paths in its
    /// model because the import is of a directory above the source of the move, or in it, as long as one of them is there:
    /// the import would have only the rest of them.
    ///
    /// - Parameters:
    ///   - source: the source of the import.
    ///   - model: the model of the import; nil if it is not known.
    /// - Throws: ``StoreError/moveIntoAnother(source:model:)``
    static func requireNone(of move: MoveTable.Move, in source: String, for model: String?) throws {
        if ByteText(move.source) == ByteText(source), move.model == model ?? move.model { return }
        let isWhole = SourceBounds.contains(source, move.source)
        let files = move.files.filter { isWhole || SourceBounds.contains(source, $0.location) }
        // Of a file whose times alone differ the move compares the digest, so it may remove it.
        guard try isThere(files, { $0.isSameFile($1) }) else { return }
        throw StoreError.moveIntoAnother(source: move.source, model: move.model)
    }

    /// Whether one of the files is there.
    ///
    /// - Parameter isSame: whether the file at its place is the one of the move.
    private static func isThere(
        _ files: [MoveTable.File], _ isSame: (MoveTable.File, FileStatus) -> Bool
    ) throws -> Bool {
        try files.contains { file in
            try FileSystem.status(file.location, following: false).map { isSame(file, $0) } ?? false
        }
    }

    private static func contents(of move: MoveTable.Move, _ store: Store) throws -> [ByteText: FileContent] {
        try store.catalog.read { db in
            var contents: [ByteText: FileContent] = [:]
            for (path, file) in try RevisionRow.files(of: move.revision, db) {
                contents[ByteText(path)] = try FileContent.find(file, db)
            }
            return contents
        }
    }

    private static func name(of move: MoveTable.Move, _ store: Store) throws -> String {
        try store.catalog.read { db in
            try RevisionRow.all(where: "revision.id = ?", [move.revision], db).first?.name ?? move.model
        }
    }

    private static func refusal(_ move: MoveTable.Move, _ store: Store) throws -> StoreError {
        .moveInterrupted(source: move.source, revision: try name(of: move, store))
    }
}

import GRDB
import Storage
import Support

extension Store {
    /// Adds the files of a revision's commit that the store lacks: those of a snapshot of a hub's cache, which may hold
    /// only some of them. Their bytes are fetched when they are first used. Blocks.
    ///
    /// The commit then names the revision with all files, and so does each ref of the commit. The revision with some of
    /// them stays, with its version, its refs and its pin.
    ///
    /// - Parameters:
    ///   - name: the name of the revision.
    ///   - url: the URL of a hub.
    ///   - isCompared: whether the files of a commit were compared with those of the hub before, so that no request is
    ///     sent.
    /// - Returns: the commit, if its files were compared with those of the hub, and whether some were added; nil for a
    ///   revision that was pulled from a hub, and for one without a hub's commit.
    /// - Throws: ``FetchError/commitGone(model:commit:url:)``, other ``FetchError``s, ``StoreError``, ``StorageError``,
    ///   `CancellationError`.
    package func completeBlocking(
        _ name: String, from url: String, work: Work, unless isCompared: (String) throws -> Bool
    ) throws -> (commit: String, isFuller: Bool)? {
        let (found, unlisted) = try catalog.read { db in try Self.unlisted(name, db) }
        guard let commit = unlisted, try !isCompared(commit) else { return nil }
        var request = try PullRequest("\(found.modelName)@\(commit)")
        request.origin = url
        request.selection = .nothing
        do {
            try pullBlocking(request, work: work)
        } catch let error as FetchError {
            logger.warning("\(name): the store may have only some of its files: \(error)")
            throw error
        }
        let now = try catalog.read { db in try RevisionRow.find(name, db) }
        return (commit, now.id != found.id)
    }

    /// The commit of a revision that may lack files which a hub lists; nil for a revision that was pulled from a hub, and
    /// for one without a hub's commit.
    package func unlistedCommit(of name: String) throws -> String? {
        try catalog.read { db in try Self.unlisted(name, db).commit }
    }

    private static func unlisted(_ name: String, _ db: Database) throws -> (row: RevisionRow, commit: String?) {
        let row = try RevisionRow.find(name, db)
        return (row, try RevisionTable.unlistedCommit(of: row.id, db))
    }

    /// The files of a revision that a hub lists.
    ///
    /// - Throws: ``FetchError/commitGone(model:commit:url:)`` if the hub lacks a commit that the store has from a hub;
    ///   errors of the origin.
    func listing(
        of model: String, at revision: String, from hub: any ModelOrigin, _ url: String, _ work: Work
    ) throws -> RemoteRevision {
        do {
            return try hub.listing(of: model, at: revision, work)
        } catch let error as FetchError {
            guard case .notFound("revision", _, _) = error, try isStored(commit: revision, of: model) else {
                throw error
            }
            throw FetchError.commitGone(model: model, commit: revision, url: url)
        }
    }

    private func isStored(commit: String, of model: String) throws -> Bool {
        guard CommitName.isValid(commit) else { return false }
        return try catalog.read { db in
            guard let model = try ModelTable.find(model, db) else { return false }
            return try RevisionTable.holdsCommit(commit, of: model, db)
        }
    }

    /// Whether a name means a version of this store, while a hub may mean another revision by it: `model@v3` without a
    /// ref of that name, and `model` without the ref `main`.
    package func isLocalName(_ name: String) throws -> Bool {
        try catalog.read { db in try RevisionRow.isLocalName(name, db) }
    }
}

extension Revision {
    /// Whether the revision has a commit of a hub.
    package func isOfHub() throws -> Bool { try store.catalog.read { db in try RevisionTable.isOfHub(id, db) } }

    /// Why files of the revision are missing; nil if none is known to be missing. The text contains no name of a file.
    package func partialReason() throws -> String? {
        try store.catalog.read { db in try RevisionTable.partialReason(of: id, db) }
    }
}

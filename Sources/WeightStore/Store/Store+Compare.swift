import GRDB
import Storage
import Support

extension Store {
    /// Compares the files of a revision with those that a hub lists: their sizes, and the digests that the hub publishes,
    /// which are the SHA-256 of files in LFS and the git blob ids of all others.
    ///
    /// No bytes of files are fetched. Of the files here, only those that the hub has in git are read; the others have the
    /// digest that the catalog records, and ``verify(_:work:)`` compares their bytes with it.
    ///
    /// - Parameters:
    ///   - name: the revision, as in ``revision(_:)``.
    ///   - url: the URL of the hub.
    ///   - remote: the hub's branch, tag or commit. nil means the commit from which the revision was pulled; `main` for a
    ///     revision that no hub gave.
    ///   - work: cancelling it, or the task, ends the call.
    /// - Throws: ``StorageError/notFound(kind:name:detail:)``; ``FetchError/commitGone(model:commit:url:)``,
    ///   ``FetchError/unusable(url:reason:)`` also for an origin that lists no files, other ``FetchError``s;
    ///   `CancellationError`.
    public func compare(
        _ name: String, with url: String, at remote: String? = nil, work: Work = Work()
    ) async throws -> HubComparison {
        try await work.run { try self.compareBlocking(name, with: url, at: remote, work: work) }
    }

    /// The blocking form of ``compare(_:with:at:work:)``, for threads outside of Swift's cooperative pool.
    public func compareBlocking(
        _ name: String, with url: String, at remote: String? = nil, work: Work = Work()
    ) throws -> HubComparison {
        guard let hub = try origins.origin(checkOrigin(url)) as? any ModelOrigin else {
            throw FetchError.unusable(url: url, reason: "not a hub: it lists no files")
        }
        let revision = try heldRevision(name)
        let commit = try revision.isOfHub() ? revision.origin().commit : "main"
        let listing = try self.listing(of: revision.model, at: remote ?? commit, from: hub, url, work)
        let here = try revision.entries()
        let there = Dictionary(listing.files.map { (ByteText($0.path), $0) }) { first, _ in first }
        let known = Set(here.map { ByteText($0.path) })
        var files = try here.map { file -> HubComparison.File in
            try work.check()
            guard let other = there[ByteText(file.path)] else {
                return HubComparison.File(path: file.path, state: .missingThere, reason: nil)
            }
            let (state, reason) = try compare(file, with: other, work)
            return HubComparison.File(path: file.path, state: state, reason: reason)
        }
        files += there.filter { !known.contains($0.key) }
            .map { HubComparison.File(path: $0.value.path, state: .missingHere, reason: nil) }
        return HubComparison(
            revision: revision.name, hub: url, commit: listing.commit,
            files: files.sorted { ByteText($0.path) < ByteText($1.path) })
    }

    private func compare(
        _ file: FileEntry, with other: RemoteFile, _ work: Work
    ) throws -> (HubComparison.File.State, String?) {
        guard file.bytes == other.bytes else { return (.differs, "\(file.bytes) bytes here, \(other.bytes) there") }
        if try catalog.read({ db in try FileTable.isPending(file.id, db) }) {
            return (.unchecked, "some of its bytes were never fetched")
        }
        if let digest = other.digest {
            if digest == file.digest { return (.same, nil) }
            return (.differs, "SHA-256 \(file.digest.short) here, \(digest.short) there")
        }
        guard let object = other.gitObject else { return (.unchecked, "the hub publishes no digest of it") }
        guard let found = try gitObject(of: file, work) else { return (.unchecked, "its bytes are not stored here") }
        if found == object { return (.same, nil) }
        return (.differs, "git object \(found.prefix(12)) here, \(object.prefix(12)) there")
    }

    /// The git blob id of a file, from the bytes that are stored.
    ///
    /// - Returns: nil if some of them are not stored.
    private func gitObject(of file: FileEntry, _ work: Work) throws -> String? {
        let stored = try catalog.read { db -> FileContent? in
            guard let content = try FileContent.find(file.id, db),
                try content.shards.allSatisfy({ try ShardTable.isPresent($0.digest, db) })
            else { return nil }
            return content
        }
        guard let content = stored else { return nil }
        var hasher = GitHasher(bytes: content.bytes)
        do {
            try forEachRun(content, recovers: false, work) { hasher.update($0) }
        } catch let error as StorageError where error.lostBlob != nil {
            return nil
        }
        return hasher.finish()
    }
}

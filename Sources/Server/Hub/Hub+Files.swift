import HTTPTypes
import Hummingbird
import WeightStore
import WireFormats

extension Hub {
    /// A file's bytes. If the revision lacks the file, the revision is completed, and the file looked up once more.
    ///
    /// - Parameter isRaw: whether the file is sent as git has it: of a file in LFS, the pointer.
    func file(
        _ model: String, _ revision: String, _ path: String, isRaw: Bool = false, _ request: Request
    ) async throws -> Answer {
        do {
            return try await storedFile(model, revision, path, isRaw, request)
        } catch {
            guard Self.isGap(error), try await isCompleted(model, revision, because: error) else { throw error }
            return try await storedFile(model, revision, path, isRaw, request)
        }
    }

    private func isCompleted(_ model: String, _ revision: String, because gap: any Error) async throws -> Bool {
        do {
            guard try await mayComplete(model, revision) else { return false }
            return try await pulls.complete(model: model, revision: revision)
        } catch let error as FetchError {
            // A file that is optional is missing from most models: an upstream that is down must not stop their use.
            guard case HubError.noFile = gap, HubError(error).isOfServer else { throw error }
            throw HubError.partial(reason: HubError.upstreamFailed)
        }
    }

    private func storedFile(
        _ model: String, _ revision: String, _ path: String, _ isRaw: Bool, _ request: Request
    ) async throws -> Answer {
        let held = try await hold(model, revision)
        let found = try await readers.run { () throws -> FileEntry? in
            if let entry = try held.revision.entry(path) { return entry }
            if let reason = try held.revision.partialReason() { throw HubError.partial(reason: reason) }
            return nil
        }
        guard let entry = found else { throw HubError.noFile(commit: held.commit) }
        try await prepareNames(of: [entry], in: held)
        let file = try await readers.run { [names] in try names.file(entry, of: held.revision) }
        var fields: HTTPFields = [
            .xRepoCommit: held.commit, .contentType: Self.type(of: path),
            // An HTML file of a model must not run as a page of this server.
            .contentSecurityPolicy: "default-src 'none'; sandbox",
        ]
        fields.append(contentsOf: held.notes)
        if isRaw {
            fields[.contentType] = "text/plain; charset=utf-8"
            if let pointer = file.pointer {
                return try .memory(Array(pointer.utf8), tag: file.objectID, fields: fields, for: request)
            }
        }
        if file.isLFS {
            fields[.xLinkedETag] = "\"\(file.tag)\""
            fields[.xLinkedSize] = "\(file.entry.bytes)"
        }
        let answer = BytesAnswer(
            bytes: file.entry.bytes, tag: file.tag, fields: fields, threads: readers,
            check: { try held.revision.requireAvailable(file.entry, in: $0) },
            open: { try held.revision.storedBytes(of: file.entry, in: $0, continuing: $1) },
            fetch: { [fetches] range, continues, lost in
                try await fetches.bytes(
                    of: file.entry, in: range, continuing: continues, of: held.revision, after: lost)
            })
        return try await answer.answer(to: request)
    }

    /// Fetches the files whose names in git are not known and whose bytes are not stored, so that ``ObjectNames/file(_:of:)``
    /// finds them.
    func prepareNames(of entries: [FileEntry], in held: Held) async throws {
        let unnamed = try await readers.run { [names] in
            try entries.compactMap { entry in try names.gap(entry, of: held.revision).map { (entry, $0) } }
        }
        for (entry, gap) in unnamed { try await fetchName(of: entry, gap, in: held) }
    }

    /// Not a part of the loop: with it, Swift 6.3 made an asynchronous frame that was eight bytes too short
    /// (`Tests/async-frames`).
    private func fetchName(of entry: FileEntry, _ gap: ObjectNames.Gap, in held: Held) async throws {
        let lost: StorageError? = if case .lost(let error) = gap { error } else { nil }
        let stored = try await fetches.bytes(of: entry, in: 0..<entry.bytes, of: held.revision, after: lost)
        _ = try await readers.run { [names] in try names.file(entry, of: held.revision, reading: stored) }
    }

    /// Whether the store lacks the file or some of its bytes.
    private static func isGap(_ error: any Error) -> Bool {
        if case StorageError.missing = error { return true }
        return switch error {
        case HubError.noFile, HubError.partial: true
        default: false
        }
    }

    private static func type(of path: String) -> String {
        switch path.split(separator: ".").last {
        case "json": "application/json"
        case "txt", "md", "py", "yaml", "yml", "jinja", "gitattributes", "html": "text/plain; charset=utf-8"
        default: "application/octet-stream"
        }
    }
}

import HTTPTypes
import Hummingbird
import WeightStore
import WireFormats

extension Hub {
    /// A file's bytes. A missing file is pulled, and looked up once more.
    ///
    /// - Parameter isRaw: whether the file is sent as git has it: of a file in LFS, the pointer.
    func file(
        _ model: String, _ revision: String, _ path: String, isRaw: Bool = false, _ request: Request
    ) async throws -> Answer {
        do {
            return try await storedFile(model, revision, path, isRaw, request)
        } catch {
            guard Self.isGap(error), try await pulls.pull(file: path, model: model, revision: revision) else {
                throw error
            }
            return try await storedFile(model, revision, path, isRaw, request)
        }
    }

    private func storedFile(
        _ model: String, _ revision: String, _ path: String, _ isRaw: Bool, _ request: Request
    ) async throws -> Answer {
        let held = try await hold(model, revision)
        // The name of a small file is the SHA-1 of its bytes, so this reads the file.
        let found = try await readers.run { [names] in
            try held.revision.entry(path).map { try names.file($0, of: held.revision) }
        }
        guard let file = found else { throw HubError.noFile(commit: held.commit) }
        var fields: HTTPFields = [
            .xRepoCommit: held.commit, .contentType: Self.type(of: path),
            // An HTML file of a model must not run as a page of this server.
            .contentSecurityPolicy: "default-src 'none'; sandbox",
        ]
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
            open: { try held.revision.bytes(of: file.entry, in: $0, continuing: $1) })
        return try await answer.answer(to: request)
    }

    /// Whether the store lacks the file or some of its bytes.
    private static func isGap(_ error: any Error) -> Bool {
        if case StorageError.missing = error { return true }
        if case HubError.noFile = error { return true }
        return false
    }

    private static func type(of path: String) -> String {
        switch path.split(separator: ".").last {
        case "json": "application/json"
        case "txt", "md", "py", "yaml", "yml", "jinja", "gitattributes", "html": "text/plain; charset=utf-8"
        default: "application/octet-stream"
        }
    }
}

import Hummingbird
import NIOCore
import WeightStore
import WireFormats

extension Hub {
    /// An entry of a listing in the Hub's JSON form.
    struct TreeEntry: Encodable {
        struct LFS: Encodable {
            let oid: String
            let size: Int
            let pointerSize: Int
        }

        struct Commit: Encodable {
            let id: String
            let title: String
            let date: String
        }

        let type: String
        let oid: String
        let size: Int
        let path: String
        var lfs: LFS?
        /// Only with `expand`.
        var lastCommit: Commit?
    }

    private enum Item: Sendable {
        case file(FileEntry)
        case folder(String, [FileEntry])

        var file: FileEntry? { if case .file(let entry) = self { entry } else { nil } }

        var path: String {
            switch self {
            case .file(let entry): entry.path
            case .folder(let path, _): path
            }
        }
    }

    /// The files and folders below a path, by path.
    ///
    /// - Parameter path: empty for the whole revision.
    func tree(_ model: String, _ revision: String, _ path: String, _ request: Request) async throws -> Answer {
        let held = try await holdWhole(model, revision)
        let query = Query(request.uri.query ?? "")
        let paging = Paging(request, maximum: pageEntries)
        let (page, fields) = try await threads.run {
            let items = Self.items(try held.revision.entries(), below: path, recursive: query.isSet("recursive"))
            if items.isEmpty && !path.isEmpty {
                throw held.partial.map { HubError.partial(reason: $0) } ?? HubError.noFile(commit: held.commit)
            }
            return paging.page(items, key: \.path)
        }
        try await prepareNames(of: page.compactMap(\.file), in: held)
        return try await threads.run {
            var answer = try Answer.json(
                try page.map { try describe($0, of: held, expanded: query.isSet("expand")) })
            answer.fields.append(contentsOf: fields)
            answer.fields[.xRepoCommit] = held.commit
            answer.fields.append(contentsOf: held.notes)
            return answer
        }
    }

    /// Files and folders by their paths; missing ones are omitted.
    func pathsInfo(_ model: String, _ revision: String, _ request: Request) async throws -> Answer {
        let body: ByteBuffer
        do {
            body = try await request.body.collect(upTo: 1 << 20)
        } catch {
            throw HubError.badRequest("the body is incomplete or longer than 1 MiB")
        }
        let form = Query(String(buffer: body))
        let held = try await holdWhole(model, revision)
        let requested = try await threads.run {
            let all = Self.items(try held.revision.entries(), below: "", recursive: true)
            let byPath = Dictionary(all.map { (ByteText($0.path), $0) }, uniquingKeysWith: { $1 })
            return form.all("paths").compactMap { byPath[ByteText($0)] }
        }
        try await prepareNames(of: requested.compactMap(\.file), in: held)
        return try await threads.run {
            var answer = try Answer.json(
                try requested.map { try describe($0, of: held, expanded: form.isSet("expand")) })
            answer.fields.append(contentsOf: held.notes)
            return answer
        }
    }

    private static func items(_ entries: [FileEntry], below path: String, recursive: Bool) -> [Item] {
        let prefix = path.isEmpty ? "" : path + "/"
        var items: [Item] = []
        var folders: [ByteText: [FileEntry]] = [:]
        for entry in entries {
            guard let names = entry.path.dropping(bytePrefix: prefix)?.byteParts("/") else { continue }
            if names.count == 1 || recursive { items.append(.file(entry)) }
            for depth in 1..<(recursive ? names.count : min(names.count, 2)) {
                folders[ByteText(prefix + names[..<depth].joined(separator: "/")), default: []].append(entry)
            }
        }
        items += folders.map { Item.folder($0.key.text, $0.value) }
        return items.sorted { ByteText($0.path) < ByteText($1.path) }
    }

    private func describe(_ item: Item, of held: Held, expanded: Bool) throws -> TreeEntry {
        var result: TreeEntry
        switch item {
        case .folder(let path, let entries):
            result = TreeEntry(type: "directory", oid: ObjectNames.folder(entries), size: 0, path: path)
        case .file(let entry):
            let file = try names.file(entry, of: held.revision)
            result = TreeEntry(type: "file", oid: file.objectID, size: entry.bytes, path: entry.path)
            result.lfs = file.pointerBytes.map { .init(oid: entry.digest.hex, size: entry.bytes, pointerSize: $0) }
        }
        if expanded {
            let title = held.revision.version.map(VersionName.text) ?? held.commit
            result.lastCommit = .init(
                id: held.commit, title: held.partial == nil ? title : "\(title) (\(Self.partialTag))",
                date: Self.date(held.created))
        }
        return result
    }
}

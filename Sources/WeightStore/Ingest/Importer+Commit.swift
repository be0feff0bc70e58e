import Files
import GRDB
import ModelFormats
import Storage
import Support

extension Importer {
    /// Commits a revision, or an unfinished one that holds the files so far.
    ///
    /// - Parameters:
    ///   - partial: whether more files follow.
    ///   - record: called with the revision's row id, in the transaction that commits it.
    func commit(
        _ source: ImportSource, _ contents: [ByteText: FileContent], partial: Bool,
        _ record: (Int64, Database) throws -> Void
    ) throws -> ImportSummary.Imported {
        let manifest = Manifest(
            commit: source.commit, files: contents.map { .init(path: $0.key.text, content: $0.value) })
        let staged = try run.stage()
        let digest = try staged.writeWhole(manifest.encoded())
        let origins = partial ? [] : request.origins
        if !request.trustsOrigins {
            let check = OriginCheckRequest(manifest, digest: digest, model: source.model)
            for url in origins { try store.requireOrigin(url, check, name: source.model, run.work) }
        }
        let change = ModelChange(catalog: store.catalog, blobs: store.blobs, run.work, stage: run.stage)
        let (imported, replaced) = try change.commit { db in
            let model = try ModelTable.find(source.model, db)
            let known = try partial ? nil : model.flatMap { try RevisionTable.holder(of: manifest, model: $0, db) }
            let digest = known ?? digest
            if known == nil { try store.blobs.install([(staged, .init(digest: digest, kind: .manifest))]) }
            let before = try model.map { try RefTable.revisions(of: $0, db) } ?? [:]
            let saved = try RevisionRow.save(
                manifest, digest: digest, model: source.model, source: source.location,
                refs: partial ? [] : source.refs, origins: origins, replacesOrigins: true, partial: partial,
                lease: store.leases.name, db)
            try record(saved.id, db)
            var imported = ImportSummary.Imported(
                model: source.model, version: saved.version ?? 0, digest: digest, refs: source.refs,
                files: manifest.files.count, bytes: manifest.files.saturatingSum(\.content.bytes),
                wasKnown: saved.wasKnown)
            if !partial {
                imported.movedRefs = before.filter { source.refs.contains($0.key) && $0.value != imported.name }
            }
            return ((imported, saved.replaced), [saved.model])
        }
        try store.authority.deleteIfAllowed(replaced.map { .init(digest: $0, kind: .manifest) }, .replaced)
        return imported
    }

    /// Reads the headers and throws if a part is missing, before any byte is copied.
    mutating func checkComplete(_ source: ImportSource, _ moved: [ByteText: FileContent]) throws {
        var layouts: [ByteText: FileLayout] = [:]
        for (path, content) in moved {
            layouts[path] = FileLayout(
                format: content.format, bytes: content.bytes, tensors: content.tensors, metadata: [:])
        }
        let paths = Set(source.files.map { ByteText($0.path) }).union(moved.keys)
        let isSplit = { (path: String) in GGUFSplit(fileName: path) != nil }
        let hasIndex = paths.contains { $0.text.hasByteSuffix(ImportSource.indexSuffix) }
        for file in source.files {
            guard isSplit(file.path) || hasIndex else { continue }
            let opened = try FileSource(file.location)
            let format = try opened.format()
            guard format == .gguf && isSplit(file.path) || format == .safetensors && hasIndex else { continue }
            layouts[ByteText(file.path)] = try FileLayout.read(opened, path: file.path, rules: request.rules)
        }
        let locations = Dictionary(source.files.map { (ByteText($0.path), $0.location) }) { first, _ in first }
        let unusual = try ImportSource.checkComplete(source.location, paths: paths, layouts: layouts) { path in
            if let location = locations[ByteText(path)] {
                return try FileSystem.read(location, limit: SafetensorsIndex.maximumBytes)
            }
            guard let content = moved[ByteText(path)] else { throw StoreError.sourceChanged(path: path) }
            return try store.bytes(of: content)
        }
        for (warning, violation) in unusual {
            if request.strict { throw violation }
            warn(warning)
        }
    }
}

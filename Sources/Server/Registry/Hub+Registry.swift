import HTTPTypes
import Hummingbird
import WeightStore
import WireFormats

/// The read side of Ollama's registry, so that `ollama pull host/org/name:Q4_K_M` fetches the GGUF models of the store.
///
/// Ollama requests `/v2/org/name/manifests/<tag>`, then each blob of the manifest: HEAD for its size, GET, and then
/// ranges of what the field `Location` of that answer names. It requires the field also in an answer with status 200
/// (`server/download.go` of ollama/ollama). It compares each blob with its SHA-256.
extension Hub {
    /// The answer by which clients recognize a registry.
    func registry() -> Answer {
        Answer(fields: [.dockerDistributionVersion: "registry/2.0", .contentType: "application/json"])
    }

    /// The manifest of the GGUF file that a tag selects in the revision `main`: ``GGUFChoice``.
    ///
    /// - Throws: ``HubError/badRequest(_:)`` if no file has the tag: Ollama shows its message.
    func registryManifest(_ model: String, tag: String, _ request: Request) async throws -> Answer {
        let held = try await hold(model, nil)
        let manifest = try await readers.run { [registryCache] () throws -> [UInt8] in
            let entries = try held.revision.entries()
            let choice = GGUFChoice(entries)
            guard let file = choice.file(tag) else { throw Self.noTag(choice) }
            guard !GGUFChoice.isSplit(file) else {
                throw HubError.badRequest("the GGUF file of this tag is in parts, which Ollama does not support")
            }
            let (configuration, layers) = try Self.configuration(
                of: file, choice, entries, held.revision, registryCache)
            registryCache.add(configuration: configuration)
            return try RegistryManifest.json(RegistryManifest(configuration: configuration, layers: layers))
        }
        let digest = manifest.digest
        let fields: HTTPFields = [
            .contentType: RegistryManifest.mediaType, .dockerContentDigest: "sha256:\(digest.hex)",
            .xRepoCommit: held.commit,
        ]
        return try .memory(manifest, tag: digest.hex, fields: fields, for: request)
    }

    private static func noTag(_ choice: GGUFChoice) -> HubError {
        guard !choice.models.isEmpty else { return .badRequest("the model has no GGUF file") }
        let tags = choice.tags.prefix(30).joined(separator: ", ")
        return .badRequest("no GGUF file of the model has this tag; it has \(tags.isEmpty ? "latest" : tags)")
    }

    private static func configuration(
        of file: FileEntry, _ choice: GGUFChoice, _ entries: [FileEntry], _ revision: Revision, _ cache: RegistryCache
    ) throws -> (bytes: [UInt8], layers: [RegistryManifest.Layer]) {
        let layers = RegistryManifest.layers(file, projector: choice.projector, entries)
        let configuration = RegistryConfiguration(try cache.facts(of: file, in: revision), layers: layers)
        return (try RegistryManifest.json(configuration), layers)
    }

    private enum Blob: Sendable {
        case file(FileEntry, Revision)
        case configuration([UInt8])
    }

    /// A blob of a manifest: a file of any revision of the model, or a configuration, which is computed again.
    func registryBlob(_ model: String, _ digest: ContentDigest, _ request: Request) async throws -> Answer {
        let held = try await hold(model, nil)
        let found = try await readers.run { [store, registryCache] in
            try Self.blob(digest, in: held.revision, store, registryCache)
        }
        guard let found else { throw HubError.noFile(commit: held.commit) }
        let fields: HTTPFields = [
            .contentType: "application/octet-stream", .dockerContentDigest: "sha256:\(digest.hex)",
            .location: "/v2/\(model.contains("/") ? model : "library/\(model)")/blobs/sha256:\(digest.hex)",
        ]
        switch found {
        case .configuration(let bytes): return try .memory(bytes, tag: digest.hex, fields: fields, for: request)
        case .file(let file, let revision):
            let answer = BytesAnswer(
                bytes: file.bytes, tag: digest.hex, fields: fields, threads: readers,
                check: { try revision.requireAvailable(file, in: $0) },
                open: { try revision.bytes(of: file, in: $0, continuing: $1) })
            return try await answer.answer(to: request)
        }
    }

    private static func blob(
        _ digest: ContentDigest, in current: Revision, _ store: Store, _ cache: RegistryCache
    ) throws -> Blob? {
        if let blob = try blobFile(digest, in: current) { return blob }
        if let configuration = cache.configuration(digest) { return .configuration(configuration) }
        // The server was restarted, or the client has the manifest of a revision that is not current any more.
        var revisions = [current]
        for info in try store.revisions(of: current.model).reversed() where info.digest != current.digest {
            do {
                revisions.append(try store.revision("\(current.model)@\(info.digest.hex)"))
            } catch StorageError.notFound {
                // It was removed meanwhile.
            }
        }
        for revision in revisions.dropFirst() {
            if let blob = try blobFile(digest, in: revision) { return blob }
        }
        for revision in revisions {
            let entries = try revision.entries()
            let choice = GGUFChoice(entries)
            for file in choice.models where !GGUFChoice.isSplit(file) {
                let bytes = try configuration(of: file, choice, entries, revision, cache).bytes
                if bytes.digest == digest { return .configuration(bytes) }
            }
        }
        return nil
    }

    private static func blobFile(_ digest: ContentDigest, in revision: Revision) throws -> Blob? {
        try revision.entries().first { $0.digest == digest }.map { .file($0, revision) }
    }
}

extension HTTPField.Name {
    static let dockerContentDigest = HTTPField.Name("Docker-Content-Digest")!
    static let dockerDistributionVersion = HTTPField.Name("Docker-Distribution-Api-Version")!
}

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
        let held = try await holdWhole(model, nil)
        let entries = try await threads.run { try held.revision.entries() }
        let choice = GGUFChoice(entries)
        guard let file = choice.file(tag) else { throw Self.noTag(choice) }
        guard !GGUFChoice.isSplit(file) else {
            throw HubError.badRequest("the GGUF file of this tag is in parts, which Ollama does not support")
        }
        let layers = RegistryManifest.layers(file, projector: choice.projector, entries)
        let configuration = try await self.configuration(of: file, layers, held.revision, mayFetch: true)
        registryCache.add(configuration: configuration, of: model)
        let manifest = try RegistryManifest.json(RegistryManifest(configuration: configuration, layers: layers))
        let digest = manifest.digest
        var fields: HTTPFields = [
            .contentType: RegistryManifest.mediaType, .dockerContentDigest: "sha256:\(digest.hex)",
            .xRepoCommit: held.commit,
        ]
        fields.append(contentsOf: held.notes)
        return try .memory(manifest, tag: digest.hex, fields: fields, for: request)
    }

    private static func noTag(_ choice: GGUFChoice) -> HubError {
        guard !choice.models.isEmpty else { return .badRequest("the model has no GGUF file") }
        let tags = choice.tags.prefix(30).joined(separator: ", ")
        return .badRequest("no GGUF file of the model has this tag; it has \(tags.isEmpty ? "latest" : tags)")
    }

    /// The bytes of the configuration of a manifest.
    ///
    /// - Parameter mayFetch: whether a header that is not stored is fetched.
    /// - Throws: ``RevisionSource/Gap`` if it is not.
    private func configuration(
        of file: FileEntry, _ layers: [RegistryManifest.Layer], _ revision: Revision, mayFetch: Bool
    ) async throws -> [UInt8] {
        let facts = try await self.facts(of: file, in: revision, mayFetch: mayFetch)
        return try RegistryManifest.json(RegistryConfiguration(facts, layers: layers))
    }

    /// The most parts of a header that are fetched.
    private static let mostParts = 64

    /// Reads the header of a GGUF file if its facts are not cached. What is not stored is fetched as the bytes of every
    /// other file.
    private func facts(of file: FileEntry, in revision: Revision, mayFetch: Bool) async throws -> GGUFFacts {
        if let known = registryCache.facts(of: file.digest) { return known }
        var fetched: [StoredBytes] = []
        while fetched.count < Self.mostParts {
            do {
                let facts = try await readers.run { [fetched] in
                    GGUFFacts(
                        try GGUF.readLayout(RevisionSource(file: file, revision: revision, fetched: fetched)))
                }
                registryCache.add(facts, of: file.digest)
                return facts
            } catch let gap as RevisionSource.Gap where mayFetch {
                let part = try await fetches.bytes(
                    of: file, in: gap.range, continuing: gap.range.lowerBound > 0, of: revision, after: gap.lost)
                fetched.append(part)
            }
        }
        throw HubError.unavailable("the header of the GGUF file could not be read")
    }

    /// A blob of a manifest: a file of any revision of the model, or a configuration, which is computed again.
    func registryBlob(_ model: String, _ digest: ContentDigest, _ request: Request) async throws -> Answer {
        let held = try await hold(model, nil)
        var answer: Answer
        if let place = try await find(digest, in: held.revision) {
            answer = try await file(model, place.revision, place.path, request)
        } else if let configuration = registryCache.configuration(digest, of: model) {
            answer = try .memory(configuration, tag: digest.hex, fields: Self.blobFields, for: request)
        } else {
            // The server was restarted, or the client has the manifest of a revision that is not current any more.
            let others = try await threads.run { [store] in try Self.others(than: held.revision, store) }
            answer = try await otherBlob(model, digest, in: [held.revision] + others, request)
        }
        answer.fields[.dockerContentDigest] = "sha256:\(digest.hex)"
        answer.fields[.location] =
            "/v2/\(model.contains("/") ? model : "library/\(model)")/blobs/sha256:\(digest.hex)"
        return answer
    }

    private static let blobFields: HTTPFields = [.contentType: "application/octet-stream"]

    private func otherBlob(
        _ model: String, _ digest: ContentDigest, in revisions: [Revision], _ request: Request
    ) async throws -> Answer {
        for revision in revisions.dropFirst() {
            if let place = try await find(digest, in: revision) {
                return try await file(model, place.revision, place.path, request)
            }
        }
        for revision in revisions {
            let entries = try await threads.run { try revision.entries() }
            let choice = GGUFChoice(entries)
            for file in choice.models where !GGUFChoice.isSplit(file) {
                let layers = RegistryManifest.layers(file, projector: choice.projector, entries)
                do {
                    let bytes = try await configuration(of: file, layers, revision, mayFetch: false)
                    guard bytes.digest == digest else { continue }
                    return try .memory(bytes, tag: digest.hex, fields: Self.blobFields, for: request)
                } catch is RevisionSource.Gap {
                    // A request for any digest must not fetch the headers of all files.
                }
            }
        }
        throw HubError.noFile(commit: nil)
    }

    /// A file by its SHA-256: the exact name of its revision, and its path.
    private func find(
        _ digest: ContentDigest, in revision: Revision
    ) async throws -> (revision: String, path: String)? {
        guard let file = try await threads.run({ try revision.entries().first { $0.digest == digest } }) else {
            return nil
        }
        return (revision: revision.version.map(VersionName.text) ?? "main", path: file.path)
    }

    /// The other revisions of a model, the newest first.
    private static func others(than current: Revision, _ store: Store) throws -> [Revision] {
        var revisions: [Revision] = []
        for info in try store.revisions(of: current.model).reversed() {
            guard let version = info.version, version != current.version else { continue }
            do {
                revisions.append(try store.revision("\(current.model)@\(VersionName.text(version))"))
            } catch StorageError.notFound {
                // It was removed meanwhile.
            }
        }
        return revisions
    }
}

extension HTTPField.Name {
    static let dockerContentDigest = HTTPField.Name("Docker-Content-Digest")!
    static let dockerDistributionVersion = HTTPField.Name("Docker-Distribution-Api-Version")!
}

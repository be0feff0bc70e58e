import Foundation
import WeightStore

/// A model as Ollama's registry describes it: a configuration and layers, each a blob with a SHA-256.
///
/// Source: `manifest/manifest.go`, `types/model/config.go` and `server/images.go` of ollama/ollama.
struct RegistryManifest: Encodable {
    static let mediaType = "application/vnd.docker.distribution.manifest.v2+json"

    struct Layer: Encodable {
        let mediaType: String
        let digest: String
        let size: Int

        init(_ kind: String, _ file: FileEntry) {
            mediaType = "application/vnd.ollama.image.\(kind)"
            digest = "sha256:\(file.digest.hex)"
            size = file.bytes
        }

        fileprivate init(configuration: [UInt8]) {
            mediaType = "application/vnd.docker.container.image.v1+json"
            digest = "sha256:\(configuration.digest.hex)"
            size = configuration.count
        }
    }

    let schemaVersion = 2
    let mediaType = RegistryManifest.mediaType
    let config: Layer
    let layers: [Layer]

    /// Files at the root of a repository that become layers, as at the Hugging Face Hub: a Go template of the prompt, a
    /// system prompt, and parameters as JSON.
    private static let named = ["template", "system", "params"]

    /// - Parameters:
    ///   - file: the GGUF file of the model.
    ///   - entries: all files of the revision.
    static func layers(_ file: FileEntry, projector: FileEntry?, _ entries: [FileEntry]) -> [Layer] {
        var layers = [Layer("model", file)]
        if let projector { layers.append(Layer("projector", projector)) }
        for name in named {
            if let entry = entries.first(where: { $0.path == name }) { layers.append(Layer(name, entry)) }
        }
        return layers
    }

    /// - Parameter configuration: the bytes of the blob.
    init(configuration: [UInt8], layers: [Layer]) {
        config = Layer(configuration: configuration)
        self.layers = layers
    }

    /// The bytes of a blob or manifest. The same value always has the same bytes.
    static func json(_ value: some Encodable) throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return Array(try encoder.encode(value))
    }
}

/// The configuration of a model, which Ollama shows.
struct RegistryConfiguration: Encodable {
    struct RootFileSystem: Encodable {
        enum CodingKeys: String, CodingKey {
            case type
            case digests = "diff_ids"
        }

        let type = "layers"
        let digests: [String]
    }

    enum CodingKeys: String, CodingKey {
        case format = "model_format"
        case family = "model_family"
        case families = "model_families"
        case size = "model_type"
        case quantization = "file_type"
        case architecture, os, rootfs
    }

    let format = "gguf"
    let family: String
    let families: [String]
    let size: String
    let quantization: String
    // The specification of container images requires both.
    let architecture = "amd64"
    let os = "linux"
    let rootfs: RootFileSystem

    init(_ facts: GGUFFacts, layers: [RegistryManifest.Layer]) {
        family = facts.family
        families = [facts.family]
        size = facts.size
        quantization = facts.quantization
        rootfs = RootFileSystem(digests: layers.map(\.digest))
    }
}

extension [UInt8] {
    /// The SHA-256 of the bytes.
    var digest: ContentDigest { withUnsafeBytes { ContentDigest(of: $0) } }
}

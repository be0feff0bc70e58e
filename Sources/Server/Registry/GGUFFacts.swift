import Foundation
import Support
import Synchronization
import WeightStore

/// What Ollama shows of a model, from the header of its GGUF file.
struct GGUFFacts: Sendable {
    /// `llama`, `qwen3`, …: `general.architecture`.
    let family: String
    /// The number of parameters: `8.03B`.
    let size: String
    /// `Q4_K_M`, …: `general.file_type`.
    let quantization: String

    /// The names of `general.file_type`: `enum llama_ftype` in llama.cpp's `include/llama.h`.
    private static let quantizations = [
        0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K", 11: "Q3_K_S",
        12: "Q3_K_M", 13: "Q3_K_L", 14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S", 17: "Q5_K_M", 18: "Q6_K", 19: "IQ2_XXS",
        20: "IQ2_XS", 21: "Q2_K_S", 22: "IQ3_XS", 23: "IQ3_XXS", 24: "IQ1_S", 25: "IQ4_NL", 26: "IQ3_S", 27: "IQ3_M",
        28: "IQ2_S", 29: "IQ2_M", 30: "IQ4_XS", 31: "IQ1_M", 32: "BF16", 36: "TQ1_0", 37: "TQ2_0", 38: "MXFP4",
    ]

    init(_ layout: FileLayout) {
        family = layout.metadata["general.architecture"] ?? "unknown"
        quantization =
            layout.metadata["general.file_type"].flatMap { Int(decimal: $0) }.flatMap { Self.quantizations[$0] }
            ?? "unknown"
        size = Self.text(layout.tensors.saturatingSum { $0.shape.reduce(1) { $0.multiplied(saturating: $1) } })
    }

    private static func text(_ parameters: Int) -> String {
        let number = Double(parameters)
        for (unit, name) in [(1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K")] where number >= unit {
            return String(format: "%.2f", number / unit) + name
        }
        return "\(parameters)"
    }
}

/// The facts of GGUF files, and the configurations of the manifests that were sent.
final class RegistryCache: Sendable {
    /// The most cached files, and the most cached configurations.
    private static let kept = 1024

    private let facts = Mutex<[ContentDigest: GGUFFacts]>([:])
    private let configurations = Mutex<[Configuration: [UInt8]]>([:])

    /// A configuration belongs to a model: a client that may read one model must not find those of another by their digests.
    private struct Configuration: Hashable {
        let model: ByteText
        let digest: ContentDigest
    }

    /// - Parameter file: the digest of the file.
    /// - Returns: nil if they are not cached.
    func facts(of file: ContentDigest) -> GGUFFacts? { facts.withLock { $0[file] } }

    func add(_ new: GGUFFacts, of file: ContentDigest) {
        facts.withLock { facts in
            if facts.count >= Self.kept { facts = [:] }
            facts[file] = new
        }
    }

    /// - Returns: nil if it is not cached.
    func configuration(_ digest: ContentDigest, of model: String) -> [UInt8]? {
        let key = Configuration(model: ByteText(model), digest: digest)
        return configurations.withLock { $0[key] }
    }

    func add(configuration: [UInt8], of model: String) {
        let key = Configuration(model: ByteText(model), digest: configuration.digest)
        configurations.withLock { configurations in
            if configurations.count >= Self.kept { configurations = [:] }
            configurations[key] = configuration
        }
    }
}

/// The bytes of a file of a revision, for a parser that reads its header in order. It waits for no origin: bytes that must
/// be fetched are a ``Gap``.
final class RevisionSource: ByteSource {
    /// Thrown by a read of bytes that must be fetched.
    struct Gap: Error {
        let range: Range<Int>
        /// The error of a read that found a blob missing or damaged.
        let lost: StorageError?
    }

    /// The bytes that are opened at once.
    private static let partBytes = 4 << 20

    private let file: FileEntry
    private let revision: Revision
    private let fetched: [StoredBytes]
    private var open: StoredBytes?

    /// - Parameter fetched: the bytes of earlier gaps, the last ones last.
    init(file: FileEntry, revision: Revision, fetched: [StoredBytes]) {
        self.file = file
        self.revision = revision
        self.fetched = fetched
    }

    var name: String { file.path }
    var count: Int { file.bytes }

    func read(at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws {
        guard !buffer.isEmpty else { return }
        let wanted = offset..<offset + buffer.count
        let part = offset..<min(max(wanted.upperBound, offset + Self.partBytes), file.bytes)
        do {
            guard
                let stored = try opened(wanted) ?? revision.storedBytes(of: file, in: part, continuing: offset > 0)
            else { throw Gap(range: part, lost: nil) }
            open = stored
            _ = try stored.read(at: offset, into: buffer)
        } catch let error as StorageError where error.lostBlob != nil {
            throw Gap(range: part, lost: error)
        }
    }

    /// The last part that was opened or fetched and has the bytes.
    private func opened(_ wanted: Range<Int>) -> StoredBytes? {
        (fetched + [open].compactMap(\.self)).last { part in
            part.range.lowerBound <= wanted.lowerBound && wanted.upperBound <= part.range.upperBound
        }
    }
}

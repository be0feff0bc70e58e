import Foundation
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

/// The facts of GGUF files, each read once, and the configurations of the manifests that were sent.
final class RegistryCache: Sendable {
    /// The most cached files, and the most cached configurations.
    private static let kept = 1024

    private let reads = Mutex<[ContentDigest: Task<GGUFFacts, any Error>]>([:])
    private let configurations = Mutex<[ContentDigest: [UInt8]]>([:])

    /// - Returns: nil if it is not cached.
    func configuration(_ digest: ContentDigest) -> [UInt8]? { configurations.withLock { $0[digest] } }

    func add(configuration: [UInt8]) {
        let digest = configuration.digest
        configurations.withLock { configurations in
            if configurations.count >= Self.kept { configurations = [:] }
            configurations[digest] = configuration
        }
    }

    /// Reads the header of the file if its facts are not cached. Each file is read by one thread of its own, because the
    /// header may have to be fetched: an upstream that does not answer delays nothing else.
    func facts(of file: FileEntry, in revision: Revision) async throws -> GGUFFacts {
        let task = reads.withLock { reads -> Task<GGUFFacts, any Error> in
            if let known = reads[file.digest] { return known }
            if reads.count >= Self.kept { reads = [:] }
            let new = Task<GGUFFacts, any Error> {
                try await onThread {
                    GGUFFacts(try GGUF.readLayout(RevisionSource(file: file, revision: revision)))
                }
            }
            reads[file.digest] = new
            return new
        }
        do {
            return try await task.value
        } catch {
            reads.withLock { reads in if reads[file.digest] == task { reads[file.digest] = nil } }
            throw error
        }
    }
}

/// The bytes of a file of a revision, for a parser that reads its header in order.
private final class RevisionSource: ByteSource {
    /// The bytes that are opened at once.
    private static let part = 4 << 20

    let file: FileEntry
    let revision: Revision
    private var stored: StoredBytes?

    init(file: FileEntry, revision: Revision) {
        self.file = file
        self.revision = revision
    }

    var name: String { file.path }
    var count: Int { file.bytes }

    func read(at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws {
        guard !buffer.isEmpty else { return }
        let wanted = offset..<offset + buffer.count
        let open: StoredBytes
        if let stored, stored.range.lowerBound <= offset, wanted.upperBound <= stored.range.upperBound {
            open = stored
        } else {
            let end = min(max(wanted.upperBound, offset + Self.part), file.bytes)
            open = try revision.bytes(of: file, in: offset..<end, continuing: offset > 0)
            stored = open
        }
        _ = try open.read(at: offset, into: buffer)
    }
}

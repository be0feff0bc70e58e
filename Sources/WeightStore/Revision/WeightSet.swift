import Files
import ModelFormats
import Storage
import Support

/// The files of one folder of a revision that an engine loads together, as transformers and diffusers choose them:
///
/// 1. `model.safetensors`; or the files of its index that exist;
/// 2. the same for `diffusion_pytorch_model` and `adapter_model`;
/// 3. all safetensors files, without variants such as `model.fp16.safetensors` and without `consolidated.safetensors` if
///    others remain;
/// 4. all files of the next format with tensors.
public struct WeightSet: Sendable, Codable, Equatable {
    /// The path of the folder; empty for the root of the revision.
    public let folder: String
    /// The paths of the files, sorted.
    public let files: [String]
    /// The paths of the folder's other files with tensors, sorted: other precisions or copies of the same weights,
    /// adapters.
    public let others: [String]
}

extension WeightSet {
    /// The sets of a repository, sorted by folder.
    ///
    /// - Parameters:
    ///   - files: the paths of all files, with their formats.
    ///   - read: returns an index; nil if it has another content.
    static func all(
        in files: [(path: String, format: FileFormat)], index read: (_ path: String) throws -> SafetensorsIndex?
    ) throws -> [WeightSet] {
        var folders: [ByteText: [ByteText: FileFormat]] = [:]
        for file in files where file.format != .other {
            folders[ByteText(FileSystem.folder(of: file.path)), default: [:]][ByteText(file.path)] = file.format
        }
        let paths = Set(files.map { ByteText($0.path) })
        return try folders.sorted { $0.key < $1.key }.map { folder, weights in
            let prefix = folder.text.isEmpty ? "" : folder.text + "/"
            let chosen = try chosen(of: weights, prefix) { name in
                try paths.contains(ByteText(prefix + name)) ? read(prefix + name) : nil
            }
            return WeightSet(
                folder: folder.text, files: chosen.sorted().map(\.text),
                others: Set(weights.keys).subtracting(chosen).sorted().map(\.text))
        }
    }

    private static let stems = ["model", "diffusion_pytorch_model", "adapter_model"]
    private static let variants: Set<String> = ["fp16", "bf16", "fp32", "fp8", "int8", "ema", "non_ema"]

    private static func chosen(
        of weights: [ByteText: FileFormat], _ prefix: String, index read: (_ name: String) throws -> SafetensorsIndex?
    ) throws -> [ByteText] {
        for stem in stems {
            let whole = ByteText("\(prefix)\(stem).safetensors")
            if weights[whole] == .safetensors { return [whole] }
            let listed = try read(stem + ImportSource.indexSuffix)?.files.map { ByteText(prefix + $0) } ?? []
            // An index may be older than the files, or of an import that lacks some.
            let present = listed.filter { weights[$0] != nil }
            if !present.isEmpty { return present }
        }
        let isInSafetensors = weights.values.contains(.safetensors)
        let format = isInSafetensors ? FileFormat.safetensors : weights.values.min { $0.rawValue < $1.rawValue }
        let all = weights.keys.filter { weights[$0] == format }
        let ordinary = all.filter { path in
            let name = path.text.dropping(bytePrefix: prefix) ?? path.text
            return !isVariant(name) && !name.hasBytePrefix("consolidated")
        }
        return ordinary.isEmpty ? all : ordinary
    }

    /// Whether a name has a precision before its extension or its number: `model.fp16.safetensors`,
    /// `model.fp16-00001-of-00002.safetensors`.
    private static func isVariant(_ name: String) -> Bool {
        name.byteParts(".").dropFirst().dropLast().contains { part in
            variants.contains(part.byteParts("-", maxSplits: 1)[0])
        }
    }
}

extension Revision {
    /// For each folder with tensors, the files that an engine loads together, sorted by folder. Reads the indexes, which
    /// are fetched if they are not in the store. Blocks.
    ///
    /// - Parameter work: cancelling it ends a fetch with `CancellationError`; indexes that are stored are read all the same.
    /// - Throws: ``StorageError``, ``FetchError``, `CancellationError`.
    public func weightSets(work: Work? = nil) throws -> [WeightSet] {
        let files = try entries()
        return try WeightSet.all(in: files.map { ($0.path, FileFormat(rawValue: $0.format) ?? .other) }) { path in
            guard let file = files.first(where: { ByteText($0.path) == ByteText(path) }),
                file.bytes <= SafetensorsIndex.maximumBytes
            else { return nil }
            let bytes = try self.bytes(of: file, in: 0..<file.bytes, work: work).all()
            do {
                return try SafetensorsIndex.parse(name: path, bytes: bytes)
            } catch is FormatError {
                // It selects no file.
                return nil
            }
        }
    }
}

import Foundation
import WeightStore

/// The GGUF files of a revision, and the one that a tag selects.
///
/// The tags are those of the Hugging Face Hub for Ollama (https://huggingface.co/docs/hub/ollama): a quantisation such as
/// `Q4_K_M` in upper or lower case, or the name of a file. **`latest`** is the file with `Q4_K_M`; if there is none, the one
/// with `Q8_0`; if there is none, the first by path. This is the order of llama.cpp's `-hf` without a tag.
struct GGUFChoice {
    /// The files with a whole model, and the first parts of split ones, by path.
    let models: [FileEntry]
    /// The vision encoder of a multimodal model.
    let projector: FileEntry?

    /// The quantisations of `latest`, in order.
    private static let preferred = ["q4_k_m", "q8_0"]
    /// Words in the names of files that accompany a model, in llama.cpp's `common/download.cpp`.
    private static let sidecars = ["mmproj", "imatrix", "mtp-", "eagle3-", "dflash-", "dspark-"]

    init(_ entries: [FileEntry]) {
        let files = entries.filter { $0.format == FileFormat.gguf.rawValue }
            .sorted { ByteText($0.path) < ByteText($1.path) }
        models = files.filter { file in
            let name = Self.name(file.path)
            return !Self.sidecars.contains { name.contains($0) } && (GGUFSplit(fileName: file.path)?.number ?? 1) == 1
        }
        let projectors = files.filter { Self.name($0.path).contains("mmproj") }
        projector = projectors.first { Self.stem($0.path).hasByteSuffix("f16") } ?? projectors.first
    }

    /// Whether a file is one of several parts. Ollama has no manifest for these.
    static func isSplit(_ file: FileEntry) -> Bool { (GGUFSplit(fileName: file.path)?.count ?? 1) > 1 }

    /// - Returns: nil if no file has the tag.
    func file(_ tag: String) -> FileEntry? {
        let tag = tag.lowercased()
        guard tag == "latest" else { return models.first { Self.matches($0, tag) } }
        let whole = models.filter { !Self.isSplit($0) }
        let files = whole.isEmpty ? models : whole
        for preferred in Self.preferred {
            if let file = files.first(where: { Self.matches($0, preferred) }) { return file }
        }
        return files.first
    }

    /// The tags of the models that are quantisations, in upper case.
    var tags: [String] {
        var tags: [String] = []
        for file in models {
            let stem = Self.stem(file.path).uppercased()
            guard let tag = stem.split(whereSeparator: { $0 == "-" || $0 == "." }).last.map(String.init),
                Self.isQuantization(tag), !tags.contains(tag)
            else { continue }
            tags.append(tag)
        }
        return tags
    }

    private static func isQuantization(_ tag: String) -> Bool {
        guard tag.isASCIIWord(and: "_") else { return false }
        return ["IQ", "TQ", "BF", "MXFP", "NVFP", "Q", "F"].contains { prefix in
            tag.dropping(bytePrefix: prefix)?.utf8.first.map { UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 } ?? false
        }
    }

    /// - Parameter tag: in lower case.
    private static func matches(_ file: FileEntry, _ tag: String) -> Bool {
        let path = file.path.lowercased()
        let stem = stem(path)
        let names = [path, name(path), stem] + path.byteParts("/").dropLast()
        return names.contains { ByteText($0) == ByteText(tag) }
            || stem.hasByteSuffix("-" + tag) || stem.hasByteSuffix("." + tag)
    }

    /// The last component of a path in lower case.
    private static func name(_ path: String) -> String { (path.byteParts("/").last ?? path).lowercased() }

    /// The name without `.gguf`, and without the number of a part.
    private static func stem(_ path: String) -> String {
        let name = name(path)
        return GGUFSplit(fileName: name)?.prefix ?? name.dropping(byteSuffix: ".gguf") ?? name
    }
}

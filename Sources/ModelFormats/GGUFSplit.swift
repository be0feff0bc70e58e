/// The number of a file among the parts of a split GGUF model, according to its name:
/// `model-00001-of-00003.gguf`.
///
/// Source: `llama_split_path` and `tools/gguf-split` of ggml-org/llama.cpp.
public struct GGUFSplit: Sendable, Hashable {
    /// The common beginning of all parts' names, including folders.
    public let prefix: String

    /// The number of this part, from 1. Metadata `split.no` counts from 0.
    public let number: Int

    /// The number of parts of the model.
    public let count: Int

    /// Parses a name that ends in `-NNNNN-of-NNNNN.gguf`; nil for any other name, and if the number is 0 or
    /// greater than the count.
    public init?(fileName: String) {
        let name = Array(fileName.utf8)
        let tail = name.suffix("-00001-of-00003.gguf".utf8.count)
        let start = tail.startIndex
        guard start > 0,
            let number = Self.digits(tail[start + 1..<start + 6]), number >= 1,
            let count = Self.digits(tail[start + 10..<start + 15]), number <= count
        else { return nil }
        self.init(
            prefix: String(decoding: name[..<start], as: UTF8.self), number: number, count: count)
        // Composing the name again checks the separators.
        guard self.fileName.utf8.elementsEqual(name) else { return nil }
    }

    private init(prefix: String, number: Int, count: Int) {
        self.prefix = prefix
        self.number = number
        self.count = count
    }

    /// The file name of this part.
    public var fileName: String {
        func padded(_ number: Int) -> String {
            String(repeating: "0", count: max(0, 5 - String(number).count)) + String(number)
        }
        return "\(prefix)-\(padded(number))-of-\(padded(count)).gguf"
    }

    private static func digits(_ bytes: ArraySlice<UInt8>) -> Int? {
        bytes.reduce(0 as Int?) { value, byte in
            guard let value, byte &- 0x30 <= 9 else { return nil }
            return value * 10 + Int(byte - 0x30)
        }
    }

    /// Checks that all parts of one model are present and consistent.
    ///
    /// - Parameter layouts: The layout of every part, by file name. File names are compared by bytes.
    /// - Throws: `FormatError` if a part is missing, names differ in prefix or count, a tensor is in two parts, or
    ///   `split.no`, `split.count` or `split.tensors.count` is missing or wrong.
    public static func check(_ layouts: some Sequence<(key: String, value: FileLayout)>) throws {
        let byName = Dictionary(layouts.map { (Array($0.key.utf8), $0.value) }) { first, _ in first }
        let names = byName.keys.sorted { $0.lexicographicallyPrecedes($1) }.map { String(decoding: $0, as: UTF8.self) }
        guard let firstName = names.first else { return }
        guard let first = GGUFSplit(fileName: firstName) else {
            throw FormatError(file: firstName, offset: 0, problem: .notASplitName)
        }
        for name in names {
            guard let split = GGUFSplit(fileName: name) else {
                throw FormatError(file: name, offset: 0, problem: .notASplitName)
            }
            guard split.prefix.utf8.elementsEqual(first.prefix.utf8), split.count == first.count else {
                throw FormatError(file: name, offset: 0, problem: .mixedSplits(firstName, name))
            }
        }
        // A missing part is reported before its consequence, a wrong number of tensors.
        let parts = try (1...first.count).map { number in
            let name = GGUFSplit(prefix: first.prefix, number: number, count: first.count).fileName
            guard let layout = byName[Array(name.utf8)] else {
                throw FormatError(file: firstName, offset: 0, problem: .missingFile(name))
            }
            return (number: number, name: name, layout: layout)
        }
        let tensors = parts.reduce(0) { $0 + $1.layout.tensors.count }
        var seen: Set<[UInt8]> = []
        for (number, name, layout) in parts {
            try check(layout, of: name, key: "split.no", is: number - 1)
            try check(layout, of: name, key: "split.count", is: first.count)
            try check(layout, of: name, key: "split.tensors.count", is: tensors)
            for tensor in layout.tensors where !seen.insert(Array(tensor.name.utf8)).inserted {
                throw FormatError(
                    file: name, tensor: tensor.name, offset: tensor.offset,
                    problem: .duplicateName(tensor.name))
            }
        }
    }

    private static func check(
        _ layout: FileLayout, of name: String, key: String, is expected: Int
    ) throws(FormatError) {
        guard let found = layout.metadata[key] else {
            throw FormatError(file: name, offset: 0, problem: .missingMetadata(key))
        }
        guard Int(found) == expected else {
            throw FormatError(
                file: name, offset: 0,
                problem: .splitDisagrees(key: key, expected: expected, found: found))
        }
    }
}

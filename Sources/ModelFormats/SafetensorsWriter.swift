/// Composes the header of a safetensors file, and the order in which to write the data after it.
///
///     let writer = try SafetensorsWriter(
///         [.init(name: "q", dtype: "BF16", shape: [4, 4])], metadata: ["format": "pt"])
///     output.write(writer.header)
///     for tensor in writer.tensors { output.write(data(of: tensor.name)) }
///
/// The header is identical to that of the reference implementation (`prepare` in `safetensors/src/tensor.rs`), except
/// that metadata is sorted by key; the reference's order varies.
public struct SafetensorsWriter: Sendable {
    /// A tensor to be written.
    public struct Tensor: Sendable, Hashable {
        /// The name of the tensor.
        public var name: String
        /// A key of `ElementType.safetensors`.
        public var dtype: String
        /// The number of elements along each dimension, outermost first.
        public var shape: [Int]

        /// Creates a description of a tensor; `SafetensorsWriter.init` checks it.
        public init(name: String, dtype: String, shape: [Int]) {
            self.name = name
            self.dtype = dtype
            self.shape = shape
        }
    }

    /// The tensors with their offsets in the file, in the order of their data: the types of the greatest alignment
    /// first, then by name.
    public let tensors: [TensorInfo]

    /// The bytes before the data: 8 bytes of length, the JSON header, spaces up to a multiple of 8.
    public let header: [UInt8]

    /// The size of the whole file, in bytes.
    public var fileBytes: Int { tensors.last.map { $0.offset + $0.bytes } ?? header.count }

    /// Computes the layout of a file.
    ///
    /// - Parameters:
    ///   - file: The file's name in errors.
    ///   - tensors: The tensors, in any order.
    ///   - metadata: The entries of `__metadata__`, which is omitted if there are none.
    /// - Throws: `FormatError` if readers would reject the file: a name appears twice, contains NUL or is
    ///   `__metadata__`, a type is unknown, there are too many dimensions, a size overflows or is not whole bytes, or
    ///   the header exceeds `Safetensors.maximumHeaderBytes`.
    public init(
        file: String = "", _ tensors: [Tensor], metadata: [String: String] = [:]
    ) throws(FormatError) {
        var names: Set<[UInt8]> = [Array("__metadata__".utf8)]
        var placed: [(rank: Int, info: TensorInfo)] = []
        for tensor in tensors {
            func error(_ problem: FormatError.Problem) -> FormatError {
                FormatError(file: file, tensor: tensor.name, offset: 0, problem: problem)
            }
            guard !tensor.name.utf8.contains(0) else { throw error(.nameWithNUL(tensor.name)) }
            guard names.insert(Array(tensor.name.utf8)).inserted else { throw error(.duplicateName(tensor.name)) }
            guard let rank = ElementType.safetensorsByAlignment.firstIndex(where: { $0.name == tensor.dtype })
            else { throw error(.unknownType(tensor.dtype)) }
            guard tensor.shape.count <= Safetensors.maximumDimensions else {
                throw error(.tooManyDimensions(limit: Safetensors.maximumDimensions))
            }
            guard let elements = ElementType.elementCount(shape: tensor.shape),
                let bits = ElementType.safetensorsByAlignment[rank].bitCount(elements: elements)
            else { throw error(.sizeOverflow(shape: tensor.shape)) }
            guard bits.isMultiple(of: 8) else { throw error(.partialByte(bits: bits)) }
            let info = TensorInfo(
                name: tensor.name, dtype: tensor.dtype, shape: tensor.shape, offset: 0, bytes: bits / 8)
            placed.append((rank, info))
        }
        placed.sort { left, right in
            left.rank != right.rank
                ? left.rank > right.rank
                : left.info.name.utf8.lexicographicallyPrecedes(right.info.name.utf8)
        }

        var infos = placed.map(\.info)
        var end = 0
        for index in infos.indices {
            infos[index].offset = end
            let (sum, overflow) = end.addingReportingOverflow(infos[index].bytes)
            // Leaves space for the header, so that no offset in the file overflows.
            guard !overflow, sum <= Int.max - Safetensors.maximumHeaderBytes - 8 else {
                throw FormatError(
                    file: file, tensor: infos[index].name, offset: 0,
                    problem: .sizeOverflow(shape: infos[index].shape))
            }
            end = sum
        }

        var json = Array(Self.json(infos, metadata: metadata).utf8)
        json.append(contentsOf: repeatElement(UInt8(ascii: " "), count: -json.count & 7))
        guard json.count <= Safetensors.maximumHeaderBytes else {
            throw FormatError(
                file: file, offset: 0,
                problem: .headerTooLong(
                    bytes: UInt64(json.count), limit: Safetensors.maximumHeaderBytes))
        }
        header = withUnsafeBytes(of: UInt64(json.count).littleEndian, Array.init) + json
        for index in infos.indices { infos[index].offset += header.count }
        self.tensors = infos
    }

    /// - Parameter tensors: With offsets from the start of the data.
    private static func json(_ tensors: [TensorInfo], metadata: [String: String]) -> String {
        var entries: [String] = []
        if !metadata.isEmpty {
            let texts = metadata.sorted { $0.key < $1.key }.map { "\(quoted($0)):\(quoted($1))" }
            entries.append("\"__metadata__\":{\(texts.joined(separator: ","))}")
        }
        for tensor in tensors {
            let shape = tensor.shape.map(String.init).joined(separator: ",")
            let offsets = "\(tensor.offset),\(tensor.offset + tensor.bytes)"
            entries.append(
                "\(quoted(tensor.name)):{\"dtype\":\"\(tensor.dtype)\",\"shape\":[\(shape)],"
                    + "\"data_offsets\":[\(offsets)]}")
        }
        return "{\(entries.joined(separator: ","))}"
    }

    /// A JSON string, escaped as by serde_json.
    private static func quoted(_ text: String) -> String {
        var quoted = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": quoted += "\\\""
            case "\\": quoted += "\\\\"
            case "\u{8}": quoted += "\\b"
            case "\u{C}": quoted += "\\f"
            case "\n": quoted += "\\n"
            case "\r": quoted += "\\r"
            case "\t": quoted += "\\t"
            case "\u{0}"..<"\u{20}":
                quoted += (scalar.value < 16 ? "\\u000" : "\\u00") + String(scalar.value, radix: 16)
            default: quoted.unicodeScalars.append(scalar)
            }
        }
        return quoted + "\""
    }
}

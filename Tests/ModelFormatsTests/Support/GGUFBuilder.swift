import ModelFormats

/// A GGUF file, good or bad.
///
/// Tensors follow each other as the format requires, unless they have an offset.
struct GGUFBuilder {
    var magic = Array("GGUF".utf8)
    var version: UInt32 = 3
    /// The counts in the header. The real ones if nil.
    var tensorCount: UInt64?
    var keyCount: UInt64?
    var metadata: [(key: String, value: Value)] = []
    var tensors: [Tensor] = []
    /// Padding of the header and of the data. `general.alignment` is not written automatically.
    var alignment = 32
    /// Whether the data of the last tensor is padded.
    var padsEnd = true

    struct Tensor {
        var name: String
        /// The number of the type.
        var type: UInt32 = 0
        /// Innermost dimension first.
        var shape: [UInt64] = []
        /// From the start of the data. Behind the tensor before it if nil.
        var offset: UInt64?
        /// The size of the data that the file really has. The size by shape and type if nil.
        var bytes: Int?
    }

    indirect enum Value {
        case uint8(UInt8)
        case int8(Int8)
        case uint16(UInt16)
        case int16(Int16)
        case uint32(UInt32)
        case int32(Int32)
        case float32(Float)
        case bool(Bool)
        case string(String)
        case uint64(UInt64)
        case int64(Int64)
        case float64(Double)
        /// The number of the elements' type, and the elements.
        case array(UInt32, [Value])
        /// The number of the type, and arbitrary bytes after it.
        case raw(UInt32, [UInt8])

        var type: UInt32 {
            switch self {
            case .uint8: 0
            case .int8: 1
            case .uint16: 2
            case .int16: 3
            case .uint32: 4
            case .int32: 5
            case .float32: 6
            case .bool: 7
            case .string: 8
            case .array: 9
            case .uint64: 10
            case .int64: 11
            case .float64: 12
            case .raw(let type, _): type
            }
        }

        var bytes: [UInt8] {
            switch self {
            case .uint8(let value): littleEndian(value)
            case .int8(let value): littleEndian(value)
            case .uint16(let value): littleEndian(value)
            case .int16(let value): littleEndian(value)
            case .uint32(let value): littleEndian(value)
            case .int32(let value): littleEndian(value)
            case .float32(let value): littleEndian(value.bitPattern)
            case .bool(let value): [value ? 1 : 0]
            case .string(let value): lengthAndBytes(value)
            case .array(let type, let elements):
                littleEndian(type) + littleEndian(UInt64(elements.count)) + elements.flatMap(\.bytes)
            case .uint64(let value): littleEndian(value)
            case .int64(let value): littleEndian(value)
            case .float64(let value): littleEndian(value.bitPattern)
            case .raw(_, let bytes): bytes
            }
        }
    }

    /// The bytes of a file, and the offsets of its parts.
    struct File {
        var bytes: [UInt8] = []
        /// Where each key is described.
        var keys: [Int] = []
        /// Where each tensor is described.
        var tensors: [Int] = []
        /// The end of the header, before its padding.
        var headerEnd = 0
        var dataStart = 0

        func read() throws -> FileLayout { try layout(of: bytes, format: .gguf) }
    }

    func build() -> File {
        var file = File()
        file.bytes = magic + littleEndian(version)
        file.bytes += littleEndian(tensorCount ?? UInt64(tensors.count))
        file.bytes += littleEndian(keyCount ?? UInt64(metadata.count))
        for (key, value) in metadata {
            file.keys.append(file.bytes.count)
            file.bytes += lengthAndBytes(key) + littleEndian(value.type) + value.bytes
        }
        var data: [UInt8] = []
        for (index, tensor) in tensors.enumerated() {
            file.tensors.append(file.bytes.count)
            file.bytes += lengthAndBytes(tensor.name) + littleEndian(UInt32(tensor.shape.count))
            file.bytes += tensor.shape.flatMap { littleEndian($0) } + littleEndian(tensor.type)
            file.bytes += littleEndian(tensor.offset ?? UInt64(data.count))
            data += [UInt8](repeating: UInt8(index & 0xFF), count: tensor.bytes ?? Self.size(of: tensor))
            if padsEnd || index < tensors.count - 1 { pad(&data) }
        }
        file.headerEnd = file.bytes.count
        if !tensors.isEmpty { pad(&file.bytes) }
        file.dataStart = file.bytes.count
        file.bytes += data
        return file
    }

    func read() throws -> FileLayout { try build().read() }

    private func pad(_ bytes: inout [UInt8]) {
        while !bytes.count.isMultiple(of: alignment) { bytes.append(0) }
    }

    /// The size of the data by shape and type, or 0 if they are invalid.
    static func size(of tensor: Tensor) -> Int {
        guard let type = ElementType.ggml[tensor.type], tensor.shape.allSatisfy({ $0 < 1 << 20 }) else {
            return 0
        }
        return type.byteCount(elements: tensor.shape.reduce(1) { $0 * Int($1) }) ?? 0
    }
}

func littleEndian(_ value: some FixedWidthInteger) -> [UInt8] {
    withUnsafeBytes(of: value.littleEndian, Array.init)
}

private func lengthAndBytes(_ text: String) -> [UInt8] {
    littleEndian(UInt64(text.utf8.count)) + Array(text.utf8)
}

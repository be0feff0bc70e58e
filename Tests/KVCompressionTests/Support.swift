import KVCompression

/// Keys, values or scores in memory of a test, for as long as the test runs.
final class Numbers {
    let view: KVView
    let values: [Float]
    private let bytes: UnsafeMutableRawBufferPointer

    /// Elements from floats that the element can hold exactly.
    init(_ values: [Float], _ shape: KVShape, _ element: KVElement = .float32) throws {
        bytes = .allocate(byteCount: max(shape.count, 1) * element.bytes, alignment: 16)
        for (i, value) in values.enumerated() {
            switch element {
            case .float32: bytes.storeBytes(of: value, toByteOffset: i * 4, as: Float.self)
            case .float16: bytes.storeBytes(of: Float16(value), toByteOffset: i * 2, as: Float16.self)
            case .bfloat16:
                bytes.storeBytes(of: UInt16(value.bitPattern >> 16), toByteOffset: i * 2, as: UInt16.self)
            }
        }
        self.values = Self.floats(UnsafeRawBufferPointer(bytes), element).prefix(shape.count).map { $0 }
        view = try KVView(UnsafeRawBufferPointer(bytes), element: element, shape: shape)
    }

    convenience init(random shape: KVShape, _ element: KVElement = .float32, seed: UInt64 = 1) throws {
        var random = Random(state: seed)
        try self.init((0..<shape.count).map { _ in random.next() }, shape, element)
    }

    deinit { bytes.deallocate() }

    static func floats(_ bytes: UnsafeRawBufferPointer, _ element: KVElement) -> [Float] {
        switch element {
        case .float32: bytes.bindMemory(to: Float.self).map { $0 }
        case .float16: bytes.bindMemory(to: Float16.self).map { Float($0) }
        case .bfloat16: bytes.bindMemory(to: UInt16.self).map { Float(bitPattern: UInt32($0) << 16) }
        }
    }
}

/// Numbers from -2 to 2, the same each time.
struct Random: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return state ^ state >> 29
    }

    mutating func next() -> Float { Float(Int32(truncatingIfNeeded: (next() as UInt64) >> 32)) * 0x1p-30 }
}

extension KVTensor {
    var floats: [Float] { withBytes { Numbers.floats($0, element) } }
}

extension KVPart {
    var floats: [Float] { tensor().floats }
    var quantized: QuantizedTensor? { if case .quantized(let tensor) = self { tensor } else { nil } }
}

extension KVPositions {
    /// The positions of the first head.
    var first: [Int] { self[0, 0].map(Int.init) }
}

/// A layer of random keys and values, `[batch, heads, sequence, dim]`, with scores of `queries` queries.
struct RandomLayer {
    let keys: Numbers
    let values: Numbers
    let attention: Numbers
    let layer: KVLayer

    init(_ shape: KVShape, _ element: KVElement = .float32, queries: Int = 4, index: Int = 0, seed: UInt64 = 7) throws {
        keys = try Numbers(random: shape, element, seed: seed)
        values = try Numbers(random: shape, element, seed: seed + 1)
        attention = try Numbers(random: KVShape(shape.batch, shape.heads, queries, shape.rows), seed: seed + 2)
        layer = try KVLayer(keys: keys.view, values: values.view, attention: attention.view, index: index)
    }
}

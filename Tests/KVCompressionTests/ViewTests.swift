import KVCompression
import Testing

@Suite struct ViewTests {
    let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: 64, alignment: 16)

    @Test("a view that reaches outside its bytes is refused, and says where it reaches")
    func bounds() throws {
        let bytes = UnsafeRawBufferPointer(bytes)
        defer { bytes.deallocate() }
        _ = try KVView(bytes, element: .float32, shape: KVShape(1, 1, 4, 4))
        #expect(throws: KVError.outOfBounds(first: 0, last: 16, count: 16)) {
            try KVView(bytes, element: .float32, shape: KVShape(1, 1, 1, 17))
        }
        #expect(throws: KVError.outOfBounds(first: -1, last: 2, count: 32)) {
            try KVView(bytes, element: .float16, shape: KVShape(1, 1, 1, 4), strides: KVStrides(0, 0, 0, -1), offset: 2)
        }
        #expect(throws: KVError.outOfBounds(first: .min, last: .max, count: 32)) {
            try KVView(bytes, element: .bfloat16, shape: KVShape(1, 1, 3, 1), strides: KVStrides(0, 0, .max, 1))
        }
    }

    @Test("sizes that are negative or overflow are refused, also beside a size of 0")
    func shapes() {
        defer { bytes.deallocate() }
        for shape in [KVShape(1, -1, 2, 2), KVShape(1 << 40, 1 << 40, 1, 1), KVShape(0, .max, 2, 1)] {
            #expect(throws: KVError.badShape(shape)) {
                try KVView(UnsafeRawBufferPointer(bytes), element: .float32, shape: shape)
            }
        }
    }

    @Test("an empty view needs no bytes, and every method returns nothing of it")
    func empty() throws {
        defer { bytes.deallocate() }
        for shape in [KVShape(0, 2, 5, 4), KVShape(1, 0, 5, 4), KVShape(1, 2, 0, 4), KVShape(1, 2, 5, 0)] {
            let view = try KVView(UnsafeRawBufferPointer(start: nil, count: 0), element: .float16, shape: shape)
            let scores = try Numbers(random: KVShape(shape.batch, shape.heads, 2, shape.rows))
            let layer = try KVLayer(keys: view, values: view, attention: scores.view)
            for method in Methods.all {
                let result = try method.compress(layer)
                #expect(result.keys.floats == [] && result.values.floats == [])
            }
        }
    }

    @Test("an unaligned view is read correctly")
    func unaligned() throws {
        defer { bytes.deallocate() }
        let shape = KVShape(1, 1, 3, 4)
        for i in 0..<12 {
            UnsafeMutableRawBufferPointer(rebasing: bytes[1...]).storeBytes(
                of: Float(i), toByteOffset: i * 4, as: Float.self)
        }
        let view = try KVView(UnsafeRawBufferPointer(rebasing: bytes[1...]), element: .float32, shape: shape)
        let layer = try KVLayer(keys: view, values: view)
        #expect(try Window(last: 2).compress(layer).keys.floats == (4..<12).map(Float.init))
        #expect(try Quantized(bits: 8, group: 1).compress(layer).keys.floats == (0..<12).map(Float.init))
    }

    @Test("rows of a view are a view, and rows outside it are left out")
    func rows() throws {
        bytes.deallocate()
        let numbers = try Numbers(random: KVShape(1, 2, 5, 3), .bfloat16)
        let part = numbers.view.rows(2..<100)
        #expect(part.shape == KVShape(1, 2, 3, 3))
        let layer = try KVLayer(keys: part, values: part)
        #expect(
            try Window(last: 100).compress(layer).keys.floats == Array(numbers.values[6..<15] + numbers.values[21..<30])
        )
        #expect(numbers.view.rows(7..<9).shape.rows == 0)
    }

    @Test("keys, values and attention that do not match are refused")
    func mismatch() throws {
        bytes.deallocate()
        let keys = try Numbers(random: KVShape(1, 2, 5, 4))
        let wide = try Numbers(random: KVShape(1, 2, 5, 6))
        let short = try Numbers(random: KVShape(1, 2, 4, 4))
        _ = try KVLayer(keys: keys.view, values: wide.view)
        #expect(throws: KVError.shapeMismatch("values", KVShape(1, 2, 5, 4), KVShape(1, 2, 4, 4))) {
            try KVLayer(keys: keys.view, values: short.view)
        }
        let attention = try Numbers(random: KVShape(1, 3, 1, 5))
        #expect(throws: KVError.shapeMismatch("attention", KVShape(1, 2, 1, 5), KVShape(1, 3, 1, 5))) {
            try KVLayer(keys: keys.view, values: keys.view, attention: attention.view)
        }
    }
}

import Glibc
import KVCompression
import Testing

@Suite struct CompositionTests {
    @Test("select then quantise is the quantisation of the selection", arguments: KVElement.allCases, [8, 4, 2])
    func composition(element: KVElement, bits: Int) throws {
        let random = try RandomLayer(KVShape(2, 2, 90, 24), element)
        func check(_ selector: some KVSelector) throws {
            let both = try selector.then(.quantized(bits: bits, group: 16)).compress(random.layer)
            let selected = try selector.compress(random.layer)
            let kept = try KVLayer(keys: selected.keys.tensor().view, values: selected.values.tensor().view)
            let then = try Quantized(bits: bits, group: 16).compress(kept)
            #expect(both.positions == selected.positions)
            #expect(both.keys.quantized?.bytes == then.keys.quantized?.bytes)
            #expect(both.values.quantized?.bytes == then.values.quantized?.bytes)
            #expect(both.byteCount < selected.byteCount)
        }
        try check(.window(last: 37))
        try check(.sinks(first: 3, last: 30))
        try check(.heavyHitters(heavy: 20, recent: 13))
        try check(.snap(budget: 50, window: 10))
        try check(.pyramid(layers: 2, budget: 40, window: 10))
    }

    @Test("4 bits take less than a third of float16, 2 bits less than a fifth")
    func size() throws {
        let random = try RandomLayer(KVShape(1, 2, 256, 128), .float16)
        let plain = try Window(last: .max).compress(random.layer).byteCount
        #expect(try Quantized(bits: 4).compress(random.layer).byteCount * 3 < plain)
        #expect(try Quantized(bits: 2).compress(random.layer).byteCount * 5 < plain)
    }

    @Test("results outlive their sources, and their memory is reused for other results")
    func lifetime() throws {
        let shape = KVShape(1, 1, 40_000, 64)
        var kept: [KVTensor] = []
        for byte in UInt8(1)...3 {
            let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: shape.count * 4, alignment: 16)
            defer { bytes.deallocate() }
            memset(bytes.baseAddress!, Int32(byte), bytes.count)
            let view = try KVView(UnsafeRawBufferPointer(bytes), element: .float32, shape: shape)
            let layer = try KVLayer(keys: view, values: view)
            for _ in 0..<6 { _ = try Window(last: 39_000).compress(layer) }
            kept.append(try Window(last: 39_999).compress(layer).keys.tensor())
        }
        for (byte, tensor) in zip(UInt8(1)...3, kept) {
            tensor.withBytes { bytes in
                let equal = memcmp(bytes.baseAddress!, bytes.baseAddress! + 1, bytes.count - 1) == 0
                #expect(bytes.count == 39_999 * 256 && bytes[0] == byte && equal)
            }
        }
    }
}

extension QuantizedTensor {
    var bytes: [UInt8] { withBytes { Array($0) } }
}

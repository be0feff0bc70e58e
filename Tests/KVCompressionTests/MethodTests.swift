import KVCompression
import Testing

/// The guarantees of every method, added ones included.
@Suite struct MethodTests {
    @Test(
        "keys and values keep their shape and element type, at the positions that were kept",
        arguments: 0..<Methods.all.count)
    func shapes(number: Int) throws {
        for length in [0, 1, 40] {
            let random = try RandomLayer(KVShape(2, 3, length, 8))
            let result = try Methods.all[number].compress(random.layer)
            #expect(result.byteCount == result.keys.byteCount + result.values.byteCount)
            for (tensor, before) in [
                (result.keys.tensor(), random.layer.keys), (result.values.tensor(), random.layer.values),
            ] {
                #expect(tensor.element == before.element)
                #expect(tensor.shape == KVShape(2, 3, result.positions.count, 8))
            }
        }
    }

    @Test("a form that only its own method knows is decoded by that method")
    func encoded() throws {
        let random = try RandomLayer(KVShape(1, 2, 5, 8))
        let result = try Folded().compress(random.layer)
        #expect(result.keys.floats == (try Window(last: 5).compress(random.layer).keys.floats))
        #expect(result.byteCount == 2 * 2 * 5 * 8 * result.keys.tensor().element.bytes)
    }
}

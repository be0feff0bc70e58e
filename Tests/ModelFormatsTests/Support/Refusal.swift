import ModelFormats
import Testing

/// The name of these tests' files in errors.
let fileName = "model/test.file"

/// Expects that `body` throws exactly this error.
func expectRefusal<Value>(
    _ problem: FormatError.Problem, tensor: String? = nil, at offset: Int, of file: String = fileName,
    sourceLocation: SourceLocation = #_sourceLocation, from body: () throws -> Value
) {
    let expected = FormatError(file: file, tensor: tensor, offset: offset, problem: problem)
    #expect(throws: expected, sourceLocation: sourceLocation) { _ = try body() }
}

/// Reads a file that is given as bytes.
func layout(of bytes: [UInt8], format: FileFormat) throws -> FileLayout {
    try FileLayout.read(MemorySource(name: fileName, bytes: bytes), format: format)
}

/// The first sentence of `FileLayout`'s promises that a layout breaks, or nil.
func brokenPromise(of layout: FileLayout) -> String? {
    if Set(layout.tensors.map { Array($0.name.utf8) }).count != layout.tensors.count { return "a name appears twice" }
    var end = 0
    for tensor in layout.tensors {
        // Sorted by offset, so that it is enough to compare neighbours. An empty tensor has no byte
        // to share.
        if tensor.bytes > 0, tensor.offset < end { return "\(tensor.name) overlaps" }
        if tensor.offset < 0 || tensor.bytes < 0 || tensor.offset > layout.bytes - tensor.bytes {
            return "\(tensor.name) is not inside the file"
        }
        end = max(end, tensor.offset + tensor.bytes)
    }
    let isSorted = zip(layout.tensors, layout.tensors.dropFirst()).allSatisfy { left, right in
        left.offset < right.offset
            || left.offset == right.offset && left.name.utf8.lexicographicallyPrecedes(right.name.utf8)
    }
    if !isSorted { return "tensors are not sorted" }
    return nil
}

/// A GGUF file with one tensor.
package enum SmallGGUF {
    /// - Parameters:
    ///   - type: `general.file_type`; 15 is Q4_K_M, 7 is Q8_0.
    ///   - seed: of the tensor's bytes.
    ///   - elements: of the tensor, each of 4 bytes.
    package static func bytes(type: UInt32, seed: UInt8 = 1, elements: Int = 16_384) -> [UInt8] {
        var file = Array("GGUF".utf8) + little(UInt32(3)) + little(UInt64(1)) + little(UInt64(2))
        file += text("general.architecture") + little(UInt32(8)) + text("llama")
        file += text("general.file_type") + little(UInt32(4)) + little(type)
        file += text("t") + little(UInt32(1)) + little(UInt64(elements)) + little(UInt32(0)) + little(UInt64(0))
        file += [UInt8](repeating: 0, count: (32 - file.count % 32) % 32)
        return file + (0..<4 * elements).map { UInt8(truncatingIfNeeded: $0 >> 3) ^ seed }
    }

    private static func text(_ text: String) -> [UInt8] { little(UInt64(text.utf8.count)) + Array(text.utf8) }

    private static func little(_ number: some FixedWidthInteger) -> [UInt8] {
        withUnsafeBytes(of: number.littleEndian) { Array($0) }
    }
}

import ModelFormats

/// A safetensors file, good or bad, from the text of its header.
struct SafetensorsFile {
    var header: [UInt8]
    /// The length in front of the header, in bytes. The real one if nil.
    var headerBytes: UInt64?
    /// The size of the data, in bytes.
    var data = 0

    init(_ json: String, data: Int = 0) {
        header = Array(json.utf8)
        self.data = data
    }

    var bytes: [UInt8] {
        let length = headerBytes ?? UInt64(header.count)
        return withUnsafeBytes(of: length.littleEndian, Array.init) + header
            + [UInt8](repeating: 0xAB, count: data)
    }

    func read() throws -> FileLayout { try layout(of: bytes, format: .safetensors) }

    /// The offset of `text` in the header, in bytes from the start of the file.
    func offset(of text: String) -> Int { 8 + position(of: text, in: header) }
}

/// Where `text` begins in `bytes`. Traps if it is missing: the test is wrong.
func position(of text: String, in bytes: [UInt8]) -> Int {
    let wanted = Array(text.utf8)
    return bytes.indices.first { bytes[$0...].starts(with: wanted) }!
}

extension String {
    /// The text with `?` in place of each control character, so that a text from elsewhere cannot steer a terminal or
    /// begin a line.
    var printable: String {
        func isControl(_ scalar: Unicode.Scalar) -> Bool { scalar.value < 0x20 || 0x7F...0x9F ~= scalar.value }
        guard unicodeScalars.contains(where: isControl) else { return self }
        return String(String.UnicodeScalarView(unicodeScalars.map { isControl($0) ? "?" : $0 }))
    }
}

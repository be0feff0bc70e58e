import Support

/// The number of a file among the parts of a larger file, according to its name: `model-00001-of-00003.safetensors`,
/// `pytorch_model-00001-of-00002.bin`. Of any format, and with any number of digits.
package struct NumberedPart: Sendable, Hashable {
    /// What the names of all parts have in common: the beginning with folders, the count and the extension.
    package let series: ByteText
    package let number: Int
    /// The number of parts.
    package let count: Int

    private static let separator = Array("-of-".utf8)
    /// The largest count that is accepted: a name with a larger one is no part.
    private static let mostParts = 1_000_000

    /// - Returns: nil for any other name.
    package init?(path: String) {
        let name = Array(path.utf8)
        func isDigit(_ byte: UInt8) -> Bool { UInt8(ascii: "0")...UInt8(ascii: "9") ~= byte }
        guard let dot = name.lastIndex(of: UInt8(ascii: ".")),
            let countStart = name[..<dot].lastIndex(where: { !isDigit($0) }).map({ $0 + 1 }),
            let count = Int(decimal: name[countStart..<dot]), 1...Self.mostParts ~= count,
            name[..<countStart].suffix(Self.separator.count).elementsEqual(Self.separator)
        else { return nil }
        let numberEnd = countStart - Self.separator.count
        guard let numberStart = name[..<numberEnd].lastIndex(where: { !isDigit($0) }).map({ $0 + 1 }),
            let number = Int(decimal: name[numberStart..<numberEnd]), number <= count
        else { return nil }
        self.number = number
        self.count = count
        series = ByteText(
            String(decoding: name[..<numberStart], as: UTF8.self) + String(decoding: name[numberEnd...], as: UTF8.self))
    }

    /// The number of parts that some of the paths lack, and that all parts of these series have together.
    package static func missing(in paths: [String]) -> (parts: Int, of: Int) {
        var series: [ByteText: (count: Int, numbers: Set<Int>)] = [:]
        for part in paths.compactMap({ NumberedPart(path: $0) }) {
            series[part.series, default: (part.count, [])].numbers.insert(part.number)
        }
        let cut = series.values.filter { $0.numbers.count < $0.count }
        return (cut.reduce(0) { $0 + $1.count - $1.numbers.count }, cut.reduce(0) { $0 + $1.count })
    }
}

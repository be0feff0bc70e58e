extension String {
    /// The text without the secrets of its URLs, for messages and listings: `***` stands for user and password, for the
    /// fragment, and for the values of query items, which may be tokens or signatures.
    ///
    ///     "https://user:word@hub.example/a?token=x: status 403".withoutURLSecrets
    ///     // https://***@hub.example/a?token=***: status 403
    ///
    /// The settings of a bucket's URL (`endpoint`, `region`, `style`) stay, and `file` URLs do not change.
    package var withoutURLSecrets: String {
        let bytes = Array(utf8)
        var result: [UInt8] = []
        var done = 0
        while let start = URLText.start(in: bytes, from: done) {
            let end = URLText.end(in: bytes, from: start)
            result += bytes[done..<start]
            result +=
                URLText.isFile(bytes[done..<start]) ? Array(bytes[start..<end]) : URLText.redacted(bytes[start..<end])
            done = end
        }
        return done == 0 ? self : String(decoding: result + bytes[done...], as: UTF8.self)
    }
}

/// Finds and divides the URLs in a text. A URL is known by `://`, and ends at white space, a quotation mark, or a comma
/// before another URL.
private enum URLText {
    private static let separator = Array("://".utf8)
    private static let mask = Array("***".utf8)
    private static let plainItems: Set<String> = ["endpoint", "region", "style"]

    /// The position behind the next `://`.
    static func start(in bytes: [UInt8], from position: Int) -> Int? {
        var rest = bytes[position...]
        while let colon = rest.firstIndex(of: separator[0]) {
            if bytes[colon...].starts(with: separator) { return colon + separator.count }
            rest = bytes[(colon + 1)...]
        }
        return nil
    }

    /// The end of the URL whose scheme ends at `start`, without the punctuation of a sentence behind it.
    static func end(in bytes: [UInt8], from start: Int) -> Int {
        var end = bytes[start...].firstIndex { $0 <= 0x20 || $0 == 0x7F || "\"<>\\`".utf8.contains($0) } ?? bytes.count
        if let next = self.start(in: bytes, from: start), next <= end {
            let scheme = bytes[start..<(next - separator.count)].reversed().prefix { isSchemeByte($0) }.count
            let before = next - separator.count - scheme - 1
            if before >= start, bytes[before] == UInt8(ascii: ",") { end = before }
        }
        while end > start, ":.,;)'".utf8.contains(bytes[end - 1]) { end -= 1 }
        return end
    }

    static func isFile(_ front: ArraySlice<UInt8>) -> Bool {
        front.dropLast(separator.count).reversed().prefix { isSchemeByte($0) }.elementsEqual("elif".utf8)
    }

    private static func isSchemeByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "a")...UInt8(ascii: "z"):
            true
        default: "+-.".utf8.contains(byte)
        }
    }

    /// - Parameter url: what is behind `://`.
    static func redacted(_ url: ArraySlice<UInt8>) -> [UInt8] {
        var rest = url
        var result: [UInt8] = []
        let authority = rest.prefix { !"/?#".utf8.contains($0) }
        if let at = authority.lastIndex(of: UInt8(ascii: "@")) {
            result += mask
            rest = rest[at...]
        }
        let place = rest.prefix { !"?#".utf8.contains($0) }
        result += place
        rest = rest[place.endIndex...]
        if rest.first == UInt8(ascii: "?") {
            let query = rest.dropFirst().prefix { $0 != UInt8(ascii: "#") }
            let items = query.split(separator: UInt8(ascii: "&"), omittingEmptySubsequences: false)
            result += [UInt8(ascii: "?")] + items.map { item($0) }.joined(separator: [UInt8(ascii: "&")])
            rest = rest[query.endIndex...]
        }
        // A fragment begins with its number sign.
        return rest.count > 1 ? result + rest.prefix(1) + mask : result + rest
    }

    private static func item(_ item: ArraySlice<UInt8>) -> [UInt8] {
        guard let equals = item.firstIndex(of: UInt8(ascii: "=")) else { return item.isEmpty ? [] : mask }
        let value = String(decoding: item[(equals + 1)...], as: UTF8.self)
        // The value may be a URL with secrets of its own.
        let isPlain =
            plainItems.contains(String(decoding: item[..<equals], as: UTF8.self))
            && !value.utf8.contains { "@?%#".utf8.contains($0) }
        return value.isEmpty || isPlain ? Array(item) : item[...equals] + mask
    }
}

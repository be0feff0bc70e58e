import TestSupport
import Testing
import WeightStore
import WireFormats

/// Random bytes, and pieces of valid input in random order: nothing traps, and accepted input is valid.
struct RandomInputTests {
    private static let pieces = [
        "/", "//", "?", "&", "=", "%", "%2F", "%2f..", "..", ".", "api", "models", "resolve", "main", "tree",
        "revision",
        "shards", "org", "name", "@", "v1", "http://", "https://", "s3://", "file://", "[::1]", "127.0.0.1", ":", "80",
        ":99999999999999999999", "bytes=", "-", "0", "9223372036854775807", "\u{FF11}", "\u{301}", "\u{338}",
        "e\u{301}",
        "\u{E9}", "\u{212A}", "\u{0}", "\r\n", " ", "<", ">", "Key", "Contents", "<Key>", "</Key>", "\"", "{", "}", "[",
        "]",
        "\u{FFFD}", "\u{10FFFF}",
    ]

    private func text() -> String {
        if Bool.random() {
            return (0..<Int.random(in: 0...12)).map { _ in Self.pieces.randomElement() ?? "" }.joined()
        }
        let bytes = (0..<Int.random(in: 0...40)).map { _ in UInt8.random(in: .min ... .max) }
        return String(decoding: bytes, as: UTF8.self)
    }

    @Test("routes name valid models and paths alone")
    func routes() {
        for _ in 0..<8_000 * Sweep.factor {
            // An error is an answer.
            guard let route = try? Route(Bool.random() ? text() : "/org/name/resolve/" + text()) else { continue }
            switch route {
            case .file(let model, _, let path), .raw(let model, _, let path):
                #expect((try? ModelName.check(model)) != nil && RelativePath.isValid(path))
            case .tree(let model, _, let path):
                #expect((try? ModelName.check(model)) != nil && (path.isEmpty || RelativePath.isValid(path)))
            default: break
            }
        }
    }

    @Test("a query's text parses to the same query")
    func queries() {
        for _ in 0..<3_000 * Sweep.factor {
            let query = Query(text())
            #expect(Query(query.text) == query)
        }
    }

    @Test("a range selects bytes of its file")
    func ranges() {
        for _ in 0..<3_000 * Sweep.factor {
            let bytes = Int.random(in: 0...20)
            guard let range = ByteRange("bytes=" + text())?.range(of: bytes) else { continue }
            #expect(range.lowerBound >= 0 && range.upperBound <= bytes && !range.isEmpty)
        }
    }

    @Test("URLs, links, dates and listings never trap")
    func others() {
        for _ in 0..<3_000 * Sweep.factor {
            let text = text()
            if let address = Address(text) { _ = (address.isLoopback, address.following(self.text())) }
            _ = (
                HTTPDate.parse(text), HubListing.next(link: text), XMLText.plain(text),
                XMLText.values(of: "Key", in: text)
            )
            _ = try? HubListing.files(Array(text.utf8), model: "m", commit: "c")
            _ = try? BucketListing(Array("<ListBucketResult>\(text)</ListBucketResult>".utf8))
        }
    }
}

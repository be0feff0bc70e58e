import Foundation
import TestSupport
import Testing
import WeightStore
@testable import Origins
import WireFormats

@Suite(.blocking) struct TransportTests {
    @Test(
        "only this machine's addresses are local; a name that begins like one is not",
        arguments: [
            ("http://localhost:8000", true), ("http://127.0.0.1", true), ("http://127.9.8.7:1", true),
            ("http://[::1]:9", true), ("http://127.example.com", false), ("http://127.0.0.1.example.com", false),
            ("http://127.", false), ("http://128.0.0.1", false), ("http://localhost.example.com", false),
            ("http://[::2]", false), ("http://10.0.0.127", false),
        ])
    func loopback(url: String, isLocal: Bool) throws {
        #expect((Address(url)?.isLoopback ?? false) == isLocal)
    }

    @Test("every origin refuses to send credentials by plain http to another machine, unless it is allowed")
    func plainHTTP() throws {
        let keys = ["AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "s"]
        let origins: [(String, TransportOptions) throws -> any Origin] = [
            { try HubOrigin("http://\($0)", token: "hf_topsecret", options: $1) },
            { try PeerOrigin("peer+http://\($0)", token: "hf_topsecret", options: $1) },
            { try S3Origin("s3://b/p?endpoint=http://\($0)&style=path", options: $1, environment: keys) },
        ]
        var (strict, lax) = (TransportOptions(), TransportOptions())
        (strict.allowsPlainHTTP, lax.allowsPlainHTTP) = (false, true)
        for make in origins {
            // One of the names begins like an address of this machine.
            for host in ["10.255.255.1:8000", "127.example.com"] {
                let refused = #expect(throws: FetchError.self) { _ = try make(host, strict) }
                guard case .unusable(_, let reason) = refused, reason.contains("use https"),
                    !reason.contains("topsecret")
                else {
                    Issue.record("\(host): \(refused.map { "\($0)" } ?? "allowed")")
                    continue
                }
                _ = try make(host, lax)
            }
            for host in ["127.0.0.1:8000", "localhost"] { _ = try make(host, strict) }
        }
        _ = try HubOrigin("https://10.255.255.1", token: "hf_topsecret", options: strict)
        _ = try HubOrigin("http://10.255.255.1", token: "", options: strict)
    }

    @Test("lines are split at any boundary of the pieces, and one without an end is refused")
    func lines() throws {
        let text = Array("one\ntwo\n\nthree and four\nfive".utf8)
        for size in 1...text.count {
            var splitter = LineSplitter(limit: 100)
            var lines: [String] = []
            for start in stride(from: 0, to: text.count, by: size) {
                try splitter.append(Array(text[start..<min(start + size, text.count)])) {
                    lines.append(String(decoding: $0, as: UTF8.self))
                }
            }
            #expect(lines == ["one", "two", "", "three and four"])
        }
        var splitter = LineSplitter(limit: 8)
        try splitter.append(Array("12345678".utf8)) { _ in }
        #expect(throws: LineSplitter.TooLong(limit: 8)) { try splitter.append([0x39]) { _ in } }
        var other = LineSplitter(limit: 8)
        #expect(throws: LineSplitter.TooLong(limit: 8)) { try other.append(Array("123456789\n".utf8)) { _ in } }
    }

    @Test("many lines in one piece, and one long line in many pieces, cost time in proportion to their bytes")
    func manyLines() throws {
        // With quadratic cost, either would take minutes.
        var splitter = LineSplitter(limit: 64 << 20)
        var count = 0
        try splitter.append([UInt8](repeating: 0x0A, count: 4 << 20)) { _ in count += 1 }
        #expect(count == 4 << 20)
        let piece = [UInt8](repeating: 0x20, count: 1 << 10)
        for _ in 0..<(8 << 10) { try splitter.append(piece) { _ in count += 1 } }
        try splitter.append([0x0A]) { count += $0.count }
        #expect(count == (4 << 20) + (8 << 20))
    }

    @Test("a listing of more pages than are accepted is an error, not an incomplete listing")
    func longListing() throws {
        let fixture = try HubFixture(TestModel(layers: 2), files: 3)
        try fixture.hub.set(page: 1)
        let origin = try HubOrigin(fixture.hub.url, token: "")
        let whole = try origin.listing(of: "org/model", at: "main")
        #expect(whole.files.count >= 3)
        let same = try origin.listing(of: "org/model", at: "main", longestPaging: whole.files.count, Work())
        #expect(same.files.count == whole.files.count)
        #expect(throws: FetchError.self) {
            try origin.listing(of: "org/model", at: "main", longestPaging: whole.files.count - 1, Work())
        }
    }

    @Test("the minimum rate applies to a collected body too: only a slower one is abandoned")
    func rate() throws {
        let server = try FixedServer(String(repeating: "x", count: 140_000), piece: 1000, pause: 0.05)
        let address = try #require(Address(server.url + "/"))
        func collect(least: Int) throws -> Int {
            var options = TransportOptions()
            options.attempts = 1
            options.minimumBytesPerSecond = least
            // The body takes longer than this.
            options.rateCheckSeconds = 5
            return try Transport(options).collect(
                .init(what: "it", request: { _ in Transport.Request(address: address) }, bytes: nil), limit: 1 << 20
            ).text.count
        }
        #expect(try collect(least: 100) == 140_000)
        #expect(throws: FetchError.self) { try collect(least: 10_000_000) }
        withExtendedLifetime(server) {}
    }

    @Test("a bucket's answer that is no listing, or a part of one, is an error and not an empty bucket")
    func listing() throws {
        for body in [
            "", "<html>maintenance</html>", "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
            "<ListBucketResult><Contents><Key>p/shards/a</Key></Contents></ListBucketResult>",
        ] {
            let server = try FixedServer(body)
            let bucket = try S3Bucket(
                "s3://b/p?endpoint=\(server.url)&style=path",
                environment: ["AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "s"])
            #expect(throws: FetchError.self) { try bucket.list("shards/") { _ in } }
        }
    }
}

import Foundation
import Testing
import WeightStore
import WireFormats

/// Listings of hubs and buckets, and the dates and links in them.
struct ListingTests {
    @Test(
        "dates of HTTP and of S3",
        arguments: [
            ("Tue, 24 Nov 2026 09:55:26 GMT", 1_795_514_126), ("2026-11-24T09:55:26.644Z", 1_795_514_126),
            ("1970-01-01T00:00:00Z", 0), ("2000-02-29T23:59:59Z", 951_868_799), ("2024-12-31T23:59:60Z", 1_735_689_600),
            ("9999-12-31T23:59:59Z", 253_402_300_799), ("0001-01-01T00:00:00Z", -62_135_596_800),
            ("2023-02-29T00:00:00Z", nil), ("2026-13-01T00:00:00Z", nil), ("2026-00-01T00:00:00Z", nil),
            ("9223372036854775807-01-01T00:00:00", nil), ("\u{FF12}026-11-24T09:55:26Z", nil), ("", nil), ("T", nil),
            ("Tue, 24 Foo 2026 09:55:26 GMT", nil), ("Tue, 24 Nov 9223372036854775807 09:55:26 GMT", nil),
            ("-2026-1-24T09:55:26Z", nil), ("2026-11-24T09:55", nil),
        ] as [(String, Int?)])
    func dates(text: String, seconds: Int?) {
        #expect(HTTPDate.parse(text).map { Int($0.timeIntervalSince1970) } == seconds)
    }

    @Test("a hub's page gives its files, and two paths that Unicode holds equal are two")
    func hub() throws {
        let page = """
            [{"type": "directory", "path": "a"}, {"type": "file", "path": "caf\u{E9}", "size": 1},
             {"type": "file", "path": "cafe\u{301}", "size": 2, "oid": "\(String(repeating: "0", count: 40))"},
             {"type": "file", "path": "w", "size": 9, "lfs": {"oid": "\(String(repeating: "f", count: 64))", "size": 3}}]
            """
        let files = try HubListing.files(Array(page.utf8), model: "org/model", commit: "c")
        #expect(files.map { Array($0.path.utf8) } == ["caf\u{E9}", "cafe\u{301}", "w"].map { Array($0.utf8) })
        #expect(files.map(\.bytes) == [1, 2, 3])
        #expect(files[1].gitObject != nil && files[2].digest != nil)
    }

    @Test(
        "input that is no listing is refused",
        arguments: [
            "", "{}", "[1]", #"[{"type": "file"}]"#, #"[{"type": "file", "path": "a", "size": 9223372036854775808}]"#,
            #"[{"type": "file", "path": "a", "size": "1"}]"#, #"[{"type": "file", "path": "\ud800", "size": 1}]"#,
        ])
    func malformed(text: String) {
        #expect(throws: HubListing.Malformed.self) { try HubListing.files(Array(text.utf8), model: "m", commit: "c") }
    }

    @Test("a commit is 40 lower-case hexadecimal digits")
    func commits() throws {
        let commit = String(repeating: "a1", count: 20)
        #expect(try HubListing.commit(Array(#"{"sha": "\#(commit)"}"#.utf8)) == commit)
        for bad in ["../../etc", commit.uppercased(), String(repeating: "\u{FF11}", count: 40), ""] {
            #expect(throws: HubListing.Malformed.self) { try HubListing.commit(Array(#"{"sha": "\#(bad)"}"#.utf8)) }
        }
    }

    @Test("the link of the next page")
    func links() {
        #expect(HubListing.next(link: #"<https://h/x?cursor=1>; rel="next""#) == "https://h/x?cursor=1")
        #expect(HubListing.next(link: #"<https://h/\#u{338}x>; rel="next""#) == "https://h/\u{338}x")
        for bad in [#"><; rel="next""#, #"rel="next""#, "<x>", #"<; rel="next""#] {
            #expect(HubListing.next(link: bad) == nil || bad.hasPrefix("><"))
        }
    }

    @Test("a bucket's page gives its objects, and text after a tag is never a part of it")
    func bucket() throws {
        let text = """
            <?xml version="1.0"?><ListBucketResult xmlns="x"><IsTruncated>true</IsTruncated>\
            <NextContinuationToken>a&amp;lt;b&lt;</NextContinuationToken>\
            <Contents><Key>\u{338}a%2Fb</Key><LastModified>2026-11-24T09:55:26.644Z</LastModified><Size>7</Size></Contents>\
            </ListBucketResult>
            """
        let listing = try BucketListing(Array(text.utf8))
        #expect(listing.objects.map { Array($0.key.utf8) } == [Array("\u{338}a/b".utf8)])
        #expect(listing.objects.first?.bytes == 7)
        #expect(listing.next == "a&lt;b<")
    }

    @Test(
        "a page that cannot be read as a whole is refused",
        arguments: [
            ("7</Size>", "-7</Size>"), ("7</Size>", "9223372036854775808</Size>"), ("2026-", "x-"),
            ("</ListBucketResult>", ""), ("<NextContinuationToken>t</NextContinuationToken>", ""),
        ])
    func malformedBucket(part: String, other: String) {
        let text = """
            <ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>\
            <Contents><Key>a</Key><LastModified>2026-11-24T09:55:26Z</LastModified><Size>7</Size></Contents>\
            </ListBucketResult>
            """
        #expect(throws: BucketListing.Malformed.self) {
            try BucketListing(Array(text.replacing(part, with: other).utf8))
        }
    }
}

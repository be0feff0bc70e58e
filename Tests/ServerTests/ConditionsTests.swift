import HTTPTypes
@testable import Server
import TestSupport
import Testing
import WireFormats

/// Ranges and conditions of RFC 9110.
@Suite(.blocking)
struct ConditionsTests {
    @Test(
        "a range is parsed, or ignored",
        arguments: [
            ("bytes=0-0", ByteRange.from(0, through: 0)), ("bytes=5-", .from(5, through: nil)), ("bytes=-5", .last(5)),
            ("Bytes=1-2", .from(1, through: 2)), ("bytes=-0", .last(0)),
            ("bytes=0-99999999999999999999", .from(0, through: .max)),
            ("bytes=99999999999999999999-", .from(.max, through: nil)),
            ("bytes=2-1", nil), ("bytes=-", nil), ("bytes=", nil), ("bytes", nil), ("", nil), ("items=0-1", nil),
            ("bytes=0-1,3-4", nil), ("bytes=a-b", nil), ("bytes=+1-2", nil), ("bytes=1--2", nil), ("bytes= 1-2", nil),
            ("bytes=0x1-0x2", nil), ("bytes=١-٢", nil),
        ] as [(String, ByteRange?)])
    func parse(field: String, range: ByteRange?) {
        #expect(ByteRange(field) == range)
    }

    @Test("the bytes of any range are those that a slice of the file has")
    func ranges() {
        var random = Random(seed: 5)
        for _ in 0..<4_000 * Sweep.factor {
            let size = Int.random(in: 0...40, using: &random)
            let (first, last) = (Int.random(in: 0...50, using: &random), Int.random(in: 0...50, using: &random))
            let whole = Array(0..<size)
            #expect(
                ByteRange("bytes=\(first)-")!.range(of: size).map { Array(whole[$0]) } ?? []
                    == Array(whole.dropFirst(first)))
            #expect(
                ByteRange("bytes=-\(last)")!.range(of: size).map { Array(whole[$0]) } ?? [] == Array(whole.suffix(last))
            )
            guard first <= last else { continue }
            #expect(
                ByteRange("bytes=\(first)-\(last)")!.range(of: size).map { Array(whole[$0]) } ?? []
                    == whole.filter { first <= $0 && $0 <= last })
        }
        #expect(ByteRange("bytes=0-\(Int.max)")!.range(of: 10) == 0..<10)
    }

    @Test(
        "conditions decide in the order of the RFC",
        arguments: [
            ([:], .whole), (["If-None-Match": "\"t\""], .notModified), (["If-None-Match": "W/\"t\""], .notModified),
            (["If-None-Match": "\"x\", \"t\""], .notModified), (["If-None-Match": "*"], .notModified),
            (["If-None-Match": "\"x\""], .whole), (["If-None-Match": "t"], .whole),
            (["Range": "bytes=1-2"], .part(1..<3)), (["Range": "bytes=1-2", "If-Range": "\"t\""], .part(1..<3)),
            (["Range": "bytes=1-2", "If-Range": "\"x\""], .whole),
            (["Range": "bytes=1-2", "If-Range": "W/\"t\""], .whole),
            (["Range": "bytes=1-2", "If-Range": "Sat, 29 Oct 1994 19:43:31 GMT"], .whole),
            (["Range": "bytes=1-2", "If-None-Match": "\"t\""], .notModified), (["If-Match": "\"t\""], .whole),
            (["Range": "bytes=99-", "If-Range": "\"x\""], .whole),
        ] as [([String: String], Conditions.Verdict)])
    func verdicts(fields: [String: String], verdict: Conditions.Verdict) throws {
        #expect(try conditions(fields).verdict(tag: "\"t\"", bytes: 10) == verdict)
    }

    @Test("unmet conditions and ranges that cannot be satisfied are refused")
    func refusals() {
        #expect(throws: HubError.preconditionFailed) {
            try conditions(["If-Match": "\"x\""]).verdict(tag: "\"t\"", bytes: 10)
        }
        #expect(throws: HubError.preconditionFailed) {
            try conditions(["If-Match": "W/\"t\""]).verdict(tag: "\"t\"", bytes: 10)
        }
        #expect(throws: HubError.range(bytes: 10)) {
            try conditions(["Range": "bytes=10-"]).verdict(tag: "\"t\"", bytes: 10)
        }
        #expect(throws: HubError.range(bytes: 0)) {
            try conditions(["Range": "bytes=0-"]).verdict(tag: "\"t\"", bytes: 0)
        }
    }

    @Test("a range means nothing for HEAD")
    func head() throws {
        #expect(try conditions(["Range": "bytes=1-2"], .head).verdict(tag: "\"t\"", bytes: 10) == .whole)
    }

    private func conditions(_ fields: [String: String], _ method: HTTPRequest.Method = .get) -> Conditions {
        var result = HTTPFields()
        for (name, value) in fields { result[HTTPField.Name(name)!] = value }
        return Conditions(fields: result, method: method)
    }
}

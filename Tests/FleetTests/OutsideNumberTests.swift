import Foundation
import TestSupport
import Testing
@testable import Fleet

/// Numbers in the objects of a bucket: none of them overflows.
@Suite(.blocking) struct OutsideNumberTests {
    private func versions(generation: String = "1", last: String = "1", version: String = "1", bytes: String = "1")
        -> [UInt8]
    {
        Array(
            """
            {"weightstore": "versions 1", "model": "org/model", "generation": \(generation), "writer": "w", "last": \(last), \
            "versions": [{"version": \(version), "digest": "\(String(repeating: "a", count: 64))", "bytes": \(bytes), \
            "created": 1, "publisher": "p"}], "refs": {"main": {"version": 1}}}
            """.utf8)
    }

    @Test(
        "versions with numbers that are too large to increment are refused",
        arguments: ["-1", "9223372036854775807", "1e300"])
    func refused(number: String) throws {
        #expect(throws: Never.self) { try ModelVersions(decoding: versions(), place: "p") }
        for bad in [
            versions(generation: number), versions(last: number), versions(version: number), versions(bytes: number),
        ] {
            #expect(throws: FleetError.self) { try ModelVersions(decoding: bad, place: "p") }
        }
    }

    @Test(
        "a generation is a decimal number from 1 to 2^53",
        arguments: [
            ("1", 1), ("9007199254740992", 1 << 53), ("9007199254740993", nil), ("9223372036854775807", nil),
            ("0", nil),
            ("-1", nil), ("+1", nil), ("\u{FF11}", nil), ("", nil),
        ] as [(String, Int?)])
    func generations(text: String, number: Int?) {
        #expect(CASRegister.number(text) == number)
    }

    @Test("an entry of the ledger with any time is dead or alive", arguments: [Int.min, -1, 0, .max])
    func dead(seen: Int) {
        #expect(Ledger.isDead(seen, at: Date(timeIntervalSince1970: 1_800_000_000)) == (seen != .max))
    }

    @Test(
        "only version names with ASCII digits name a version",
        arguments: ["v\u{FF11}", "v+1", "v-1", "v", "1", "v\u{301}1"])
    func names(name: String) throws {
        let versions = try ModelVersions(decoding: versions(), place: "p")
        #expect(try versions.named("v1").version == 1)
        #expect(throws: FleetError.self) { try versions.named(name) }
    }
}

import Files
import Foundation
import TestSupport
import Testing

@Suite(.blocking) struct MappedMemoryTests {
    private let root = try! TemporaryDirectory()

    @Test(
        "bytes that are cached in small pages are mapped whole",
        arguments: [0..<1_000_003, 70_001..<900_000, 4_095..<4_097])
    func cached(range: Range<Int>) throws {
        let path = try root.write(String(repeating: "x", count: 1_000_003), to: "file")
        let file = try FileDescriptor(path, O_RDONLY)
        let isCached = file.isCached(range)
        #expect(isCached)
        let mapping = try FileMapping(file, bytes: 1_000_003)
        #expect(try residentBytes(of: mapping) == 0)
        try mapping.populateCached(range)
        #expect(try residentBytes(of: mapping) >= range.count)
    }

    @Test("a range with a page that is not cached is not said to be cached")
    func uncached() throws {
        let path = try root.write("x", to: "file")
        // The rest is a hole, whose pages nothing has read.
        #expect(truncate(path, 1_000_000) == 0)
        let file = try FileDescriptor(path, O_RDONLY)
        let cached = (all: file.isCached(0..<1_000_000), first: file.isCached(0..<1))
        #expect(cached == (false, true))
    }

    /// What the kernel says is mapped of a mapping, in bytes.
    private func residentBytes(of mapping: FileMapping) throws -> Int {
        let lines = try String(contentsOfFile: "/proc/self/smaps", encoding: .utf8).split(separator: "\n")
        let start = String(mapping.address, radix: 16) + "-"
        let first = try #require(lines.firstIndex { $0.hasPrefix(start) })
        let line = try #require(lines[first...].first { $0.hasPrefix("Rss:") })
        return try #require(Int(line.split(separator: " ")[1])) * 1_024
    }
}

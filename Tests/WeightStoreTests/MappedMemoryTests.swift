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
        #expect(try mappedPages(mapping, range) == [false])
        try mapping.populateCached(range)
        #expect(try mappedPages(mapping, range) == [true])
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

    /// The pages of a range that are mapped (Linux, Documentation/admin-guide/mm/pagemap.rst).
    private func mappedPages(_ mapping: FileMapping, _ range: Range<Int>) throws -> Set<Bool> {
        let page = sysconf(Int32(_SC_PAGESIZE))
        let start = Int(mapping.address) + range.lowerBound
        let first = start / page
        var entries = [UInt64](repeating: 0, count: (start + range.count - 1) / page - first + 1)
        let map = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC)
        defer { close(map) }
        try #require(pread(map, &entries, entries.count * 8, off_t(first * 8)) == entries.count * 8)
        // The highest bit of an entry: the page is present.
        return Set(entries.map { $0 >> 63 == 1 })
    }
}

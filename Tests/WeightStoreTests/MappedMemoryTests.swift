import Files
import Foundation
import Storage
import Support
import TestSupport
import Testing
@testable import Tiers

@Suite(.blocking) struct MappedMemoryTests {
    private let root = try! TemporaryDirectory()

    private func read(_ range: Range<Int>, of mapping: FileMapping, _ recent: RecentReads = RecentReads()) throws {
        // The digest is only for messages.
        let digest = ContentDigest(of: UnsafeRawBufferPointer(start: nil, count: 0))
        let mapped = PageReader.Mapped(memory: mapping, digest: digest, blobBytes: mapping.count)
        try PieceReader(mapped, range, .smallPages, recent).read(range)
    }

    @Test(
        "bytes that are cached in small pages are mapped by their reader, others before",
        arguments: [0..<1_000_003, 70_001..<900_000, 4_095..<4_097])
    func cached(range: Range<Int>) throws {
        let path = try root.write(String(repeating: "x", count: 1_000_003), to: "file")
        let file = try FileDescriptor(path, O_RDONLY)
        let mapping = try FileMapping(file, bytes: 1_000_003)
        let isCached = file.isCached(range)
        #expect(isCached)
        try read(range, of: mapping)
        #expect(try mappedPages(mapping, range) == [false])
        // What was read a moment ago may be there because the kernel has read it ahead.
        let recent = RecentReads()
        recent.add()
        try read(range, of: mapping, recent)
        #expect(try mappedPages(mapping, range) == [true])
    }

    @Test("of a range that seems to be cached, the steps with a page that is not are read")
    func partlyCached() throws {
        let bytes = 4 << 20
        let path = try root.write(String(repeating: "x", count: 1 << 20), to: "file")
        // The rest is a hole, of which only those pages are read that a reader looks at first.
        #expect(truncate(path, off_t(bytes)) == 0)
        let file = try FileDescriptor(path, O_RDONLY)
        file.disableReadAhead()
        for sample in 0...3 {
            var byte: UInt8 = 1
            #expect(pread(file.raw, &byte, 1, off_t((bytes - 1) * sample / 3)) == 1)
        }
        let mapping = try FileMapping(file, bytes: bytes)
        try read(0..<bytes, of: mapping)
        #expect(try mappedPages(mapping, 0..<1 << 20) == [false])
        // The kernel may have read the next step ahead, which is then cached.
        #expect(try mappedPages(mapping, 1 << 20..<bytes).contains(true))
        #expect(try mapping.cachedBytes() == bytes)
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

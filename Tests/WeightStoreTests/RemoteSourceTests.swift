import TestSupport
import Testing
@testable import WeightStore

/// A file at an origin, as a format reader reads it.
@Suite(.blocking) struct RemoteSourceTests {
    private static let random: [UInt8] = {
        var bytes: [UInt8] = []
        for number in 0..<3 << 19 { withUnsafeBytes(of: UInt64(number) &* 0x9E37_79B9_7F4A_7C15) { bytes += $0 } }
        return bytes + [UInt8](repeating: 7, count: 77)
    }()

    let bytes = Self.random
    let hub: RecordingHub
    let work = Work()
    let source: RemoteSource

    init() {
        hub = RecordingHub(path: "file", bytes: bytes)
        source = RemoteSource(hub.file, hub, work)
    }

    private func check(_ offset: Int, _ count: Int) throws {
        #expect(
            try source.bytes(at: offset, count: count) == Array(bytes[offset..<offset + count]), "\(count) at \(offset)"
        )
    }

    @Test("any range gives the bytes of the file, in any order")
    func anyRange() throws {
        for _ in 0..<200 {
            let offset = Int.random(in: 0...bytes.count)
            try check(
                offset, Int.random(in: 0...min(bytes.count - offset, [10, 5_000, 1 << 20, 6 << 20].randomElement()!)))
        }
        try check(bytes.count, 0)
        try check(0, bytes.count)
    }

    @Test("the front is fetched once, in steps of any size, and kept")
    func front() throws {
        for offset in stride(from: 0, to: 3 << 20, by: 1000) { try check(offset, 1000) }
        for offset in stride(from: 0, to: 3 << 20, by: 7919) { try check(offset, 5000) }
        let reads = hub.reads()
        #expect(reads.count <= 5)
        #expect(reads.reduce(0) { $0 + $1.count } == source.prefix.count)
        #expect(source.prefix == Array(bytes[..<source.prefix.count]))
    }

    @Test("a directory at the end is fetched in few requests, and nothing in front of it")
    func end() throws {
        try check(bytes.count - 22, 22)
        try check(bytes.count - 60_000, 40)
        #expect(hub.reads() == [bytes.count - RemoteSource.readAhead..<bytes.count])
        // A long one, entry by entry.
        let start = bytes.count - 3 << 20
        for offset in stride(from: start, to: bytes.count - 100, by: 90) { try check(offset, 90) }
        let reads = hub.reads()
        #expect(reads.count <= 5)
        #expect(reads.allSatisfy { $0.lowerBound >= start })
        #expect(source.prefix.isEmpty)
    }

    @Test("a long read is not kept, and a source keeps no more than its last pieces")
    func limits() throws {
        try check(5 << 20, 5 << 20)
        try check(5 << 20, 5 << 20)
        #expect(hub.reads() == [5 << 20..<10 << 20, 5 << 20..<10 << 20])
        let places = (0...RemoteSource.maximumPieces).map { (2 + $0) << 20 }
        for place in places { try check(place, 10) }
        #expect(hub.reads().count == places.count)
        for place in places.dropFirst() { try check(place, 10) }
        #expect(hub.reads().isEmpty)
        try check(places[0], 10)
        #expect(hub.reads().count == 1)
    }

    @Test(
        "outside of the file is an error, and nothing is fetched",
        arguments: [(-1, 4), (12 << 20, 78), (Int.max, 1), (5, Int.max)])
    func outside(offset: Int, count: Int) {
        let error = #expect(throws: FormatError.self) { try source.bytes(at: offset, count: count) }
        guard case .cutShort(expected: count, _)? = error?.problem else { return #expect(Bool(false), "\(error!)") }
        #expect(hub.reads().isEmpty)
    }

    @Test("after the work is cancelled nothing is read, not even kept pieces")
    func cancelled() throws {
        try check(6 << 20, 10)
        work.cancel()
        #expect(throws: CancellationError.self) { try check(6 << 20, 10) }
        #expect(throws: CancellationError.self) { try check(0, 10) }
        #expect(hub.reads().count == 1)
    }
}

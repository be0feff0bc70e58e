import Dispatch
import Support
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

    @Test("of the long headers of a pull one is held at a time; short ones are read meanwhile")
    func longHeaders() throws {
        let budget = HeaderBudget(smallBytes: 1 << 20)
        func header(_ work: Work, of bytes: Int) throws -> Int {
            try RemoteSource(hub.file, hub, work, budget).bytes(at: 8, count: bytes).count
        }
        var first: RemoteSource? = RemoteSource(hub.file, hub, Work(), budget)
        #expect(try first?.bytes(at: 8, count: 5 << 20).count == 5 << 20)
        #expect(try header(Work(), of: 100_000) == 100_000)
        #expect(hub.reads().count == 2)
        let end = DispatchSemaphore(value: 0)
        try startThread { [hub, work] in
            let second = RemoteSource(hub.file, hub, work, budget)
            #expect(throws: CancellationError.self) { try second.bytes(at: 8, count: 2 << 20) }
            end.signal()
        }
        // A second long header would arrive in this time.
        #expect(end.wait(timeout: .now() + 0.2) == .timedOut)
        work.cancel()
        try #require(end.wait(timeout: .now() + 300) == .success, "the wait does not end")
        #expect(hub.reads().isEmpty)
        first = nil
        #expect(try header(Work(), of: 2 << 20) == 2 << 20)
        // Nor does the one before keep its permit.
        #expect(try header(Work(), of: 6 << 20) == 6 << 20)
    }

    @Test("the fronts of files are kept up to a limit")
    func keptFronts() {
        let budget = HeaderBudget(mostKept: 10)
        let front: [UInt8] = [1, 2, 3, 4, 5, 6]
        #expect(budget.keep(front) == front)
        #expect(budget.keep(front).isEmpty)
        #expect(budget.keep(Array(front.prefix(4))) == [1, 2, 3, 4])
        #expect(budget.keep([1]).isEmpty && budget.keep([]).isEmpty)
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

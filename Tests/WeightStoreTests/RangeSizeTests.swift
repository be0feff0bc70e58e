import TestSupport
import Testing
@testable import WeightStore

/// The size of eight ranges that are in flight together, after many of them.
@Suite(.blocking)
struct RangeSizeTests {
    /// - Parameters:
    ///   - latency: milliseconds until the first byte.
    ///   - rate: of all ranges, in MB/s.
    ///   - isAwaited: whether a reader waits for the bytes.
    private func size(latency: Int, rate: Int, isAwaited: Bool = false) -> Int {
        let size = RangeSize(atMost: 4 << 20, isAwaited: isAwaited)
        var inFlight = Array(repeating: size.bytes, count: 8)
        for _ in 0..<100 {
            let requested = inFlight.removeFirst()
            inFlight.append(size.bytes)
            size.adapt(to: .milliseconds(latency) + .microseconds(8 * requested / rate), requestedAt: requested)
        }
        return size.bytes
    }

    @Test("ranges are as large as a second allows, also if many of another size were in flight before")
    func sizes() {
        #expect(size(latency: 1, rate: 125) == 4 << 20)
        #expect(size(latency: 20, rate: 5) == 512 << 10)
        #expect(size(latency: 20, rate: 1) == 256 << 10)
    }

    @Test("where a reader waits, ranges are small if larger ones are no faster, and grow where the latency is long")
    func awaited() {
        #expect(size(latency: 1, rate: 125, isAwaited: true) == 1 << 20)
        #expect(size(latency: 100, rate: 1000, isAwaited: true) == 4 << 20)
        #expect(size(latency: 20, rate: 1, isAwaited: true) == 256 << 10)
        // The bytes of a short range, or of one that was fetched before, take no time.
        let short = RangeSize(atMost: 4 << 20, isAwaited: true)
        short.adapt(to: .zero, requestedAt: 1 << 20, isFull: false)
        for size in [1, 2, 4] { short.adapt(to: .milliseconds(100 + size), requestedAt: size << 20) }
        #expect(short.bytes == 4 << 20)
    }
}

import TestSupport
import Testing
@testable import WeightStore

/// The size of eight ranges that are in flight together, after many of them.
@Suite(.blocking)
struct RangeSizeTests {
    /// - Parameters:
    ///   - latency: milliseconds until the first byte.
    ///   - rate: of all ranges, in MB/s.
    ///   - part: the bytes of a range, as a part of the size: ranges end with a shard.
    private func size(latency: Int, rate: Int, isAwaited: Bool, part: Double = 1) -> Int {
        let size = RangeSize(atMost: 4 << 20, isAwaited: isAwaited)
        var inFlight = Array(repeating: size.bytes, count: 8)
        for number in 1...100 {
            let requested = inFlight.removeFirst()
            inFlight.append(size.bytes)
            let bytes = Int(Double(requested) * part)
            // Every seventh is delayed.
            let delay = number % 7 == 0 ? 60 : 0
            size.adapt(
                to: .milliseconds(latency + delay) + .microseconds(8 * bytes / rate), of: bytes, requestedAt: requested)
        }
        return size.bytes
    }

    @Test(
        "awaited ranges are large only on links where that is faster",
        arguments: [
            (latency: 1, rate: 2_000, bytes: 4 << 20), (latency: 1, rate: 125, bytes: 1 << 20),
            (latency: 100, rate: 330, bytes: 4 << 20), (latency: 20, rate: 5, bytes: 512 << 10),
        ])
    func awaited(_ link: (latency: Int, rate: Int, bytes: Int)) {
        #expect(size(latency: link.latency, rate: link.rate, isAwaited: true) == link.bytes)
        #expect(size(latency: link.latency, rate: link.rate, isAwaited: true, part: 0.9) == link.bytes)
    }

    @Test("the ranges of a pull are as large as a second allows")
    func pulled() {
        #expect(size(latency: 1, rate: 125, isAwaited: false) == 4 << 20)
        #expect(size(latency: 20, rate: 5, isAwaited: false) == 512 << 10)
    }
}

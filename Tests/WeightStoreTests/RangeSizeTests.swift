import TestSupport
import Testing
@testable import WeightStore

/// The size of eight ranges that are in flight together, after many of them.
@Suite(.blocking)
struct RangeSizeTests {
    /// - Parameters:
    ///   - latency: milliseconds until the first byte.
    ///   - rate: of all ranges, in MB/s.
    private func size(latency: Int, rate: Int) -> Int {
        let size = RangeSize(atMost: 4 << 20)
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
}

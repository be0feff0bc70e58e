/// The clock of a memory tier: the highest priority that was evicted, and when it came to that, so that a hit need not
/// note the clock's reading: it follows from the time of the hit.
package struct TierClock {
    private var readings: [(since: Int64, value: Double)] = []

    /// Older readings than these are forgotten; a shard unused for so long gets the oldest that is known.
    private static let most = 4096

    /// The reading before the oldest that is known.
    private var forgotten = 0.0

    package var value: Double { readings.last?.value ?? forgotten }

    /// - Parameter now: a reading of `StoreClock.coarse`, not before the last.
    package mutating func advance(to priority: Double, at now: Int64) {
        guard priority > value else { return }
        if readings.last?.since == now {
            readings[readings.count - 1].value = priority
        } else {
            if readings.count == Self.most {
                forgotten = readings[Self.most / 2 - 1].value
                readings.removeFirst(Self.most / 2)
            }
            readings.append((now, priority))
        }
    }

    /// What it showed at a moment.
    package func value(at moment: Int64) -> Double {
        var low = 0
        var high = readings.count
        while low < high {
            let middle = (low + high) / 2
            if readings[middle].since <= moment { low = middle + 1 } else { high = middle }
        }
        return low > 0 ? readings[low - 1].value : forgotten
    }
}

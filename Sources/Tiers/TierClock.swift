/// The eviction clock of a memory tier: the highest priority that was evicted, with its history. A hit need not store
/// the clock's value, because it follows from the time of the hit.
package struct TierClock {
    private var readings: [(since: Int64, value: Double)] = []

    /// The longest history. A shard whose last use is older gets the last value before it.
    private static let most = 4096

    /// The last value before the history.
    private var forgotten = 0.0

    /// The current value.
    package var value: Double { readings.last?.value ?? forgotten }

    /// Advances the clock to the priority of an evicted shard; a lower priority has no effect.
    ///
    /// - Parameter now: the time by `StoreClock.coarse`, not before that of the last call.
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

    /// The value at a moment.
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

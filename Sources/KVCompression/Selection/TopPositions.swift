/// The positions of the greatest scores, found by counting digits instead of sorting: three passes for any scores.
enum TopPositions {
    /// Keys in the same order as the scores: 0 for NaN, then ascending. Both zeros have one key.
    static func order(_ scores: UnsafePointer<Float>, _ count: Int, into keys: UnsafeMutablePointer<UInt32>) {
        for i in 0..<count {
            let score = scores[i] + 0
            let bits = Int32(bitPattern: score.bitPattern)
            let key = UInt32(bitPattern: bits ^ ((bits &>> 31) | Int32.min))
            keys[i] = score == score ? key : 0
        }
    }

    /// Writes the positions of the `best` greatest keys, ascending; of equal keys the earlier. `best` is less than
    /// `count`.
    static func write(_ keys: UnsafePointer<UInt32>, _ count: Int, best: Int, to target: UnsafeMutablePointer<Int32>) {
        guard best > 0 else { return }
        var (threshold, equals) = leastKept(keys, count, best: best)
        var written = 0
        for i in 0..<count where keys[i] >= threshold {
            if keys[i] == threshold {
                if equals == 0 { continue }
                equals -= 1
            }
            target[written] = Int32(truncatingIfNeeded: i)
            written &+= 1
        }
    }

    /// The least key that is kept, and the number of kept keys that are equal to it.
    private static func leastKept(
        _ keys: UnsafePointer<UInt32>, _ count: Int, best: Int
    ) -> (threshold: UInt32, equals: Int) {
        withUnsafeTemporaryAllocation(of: Int32.self, capacity: 2048) { histogram in
            let histogram = histogram.baseAddress!
            var prefix: UInt32 = 0
            var mask: UInt32 = 0
            var wanted = best
            for (shift, bits) in [(UInt32(21), UInt32(11)), (10, 11), (0, 10)] {
                histogram.initialize(repeating: 0, count: 2048)
                let digit = UInt32(1) &<< bits &- 1
                for i in 0..<count where keys[i] & mask == prefix {
                    histogram[Int(keys[i] &>> shift & digit)] &+= 1
                }
                var bucket = Int(digit)
                while Int(histogram[bucket]) < wanted {
                    wanted -= Int(histogram[bucket])
                    bucket -= 1
                }
                prefix |= UInt32(bucket) &<< shift
                mask |= digit &<< shift
            }
            return (prefix, wanted)
        }
    }
}

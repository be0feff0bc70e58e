import Storage
import Synchronization

/// How pages that are not in the page cache are read.
package enum ReadingWay: Int, Sendable, CaseIterable {
    /// Into pages of 4 KiB, or what the file system prefers.
    case smallPages
    /// Into pages of 2 MiB, where the file system supports them.
    case hugePages
}

/// The way in which this process reads files into memory. It is measured, because neither is always the faster one.
///
/// Measured with 2.47 GB on ext4 (Linux 6.18) in a virtual machine, four threads, until every page was touched: if the
/// memory was in use a moment ago, huge pages take 0.8 s and small ones 1.2 s. If the machine reports its free memory to
/// its host, and the memory was free for some seconds, huge pages take 3.0 s and small ones 1.2 s: most of it is the
/// first access of a processor to each page, so a measurement includes that. A process cannot see which is the case.
///
/// So the first pieces that are not in the page cache are read in both ways, by turns, until each has read
/// ``measuredBytes``, and the faster one is used from then on. Huge pages have a small advantage (``leastGain``), because
/// later loads of bytes that are cached in them are faster: 2.47 GB are mapped and touched in 11 ms instead of 65. After
/// ``pauseSeconds`` without a read it is measured again, because the memory may have been returned to the host.
package final class ReadingChoice: Sendable {
    /// What a reader does with its next piece.
    package enum Step: Sendable, Equatable {
        /// Read it in the chosen way.
        case use(ReadingWay)
        /// Read it in this way, and record how long it took.
        case measure(ReadingWay)
    }

    private struct Sum {
        var bytes = 0
        var nanoseconds = 0.0
        /// 0 before the first read.
        var perByte: Double { nanoseconds / Double(max(bytes, 1)) }
    }

    private struct State {
        var chosen: ReadingWay?
        var begun = 0
        var sums = [Sum](repeating: Sum(), count: ReadingWay.allCases.count)
        /// By `StoreClock.coarse`.
        var lastRead: Int64 = 0
    }

    /// The bytes that each way reads before one is chosen.
    package static let measuredBytes = 32 << 20
    /// How many times as fast small pages must be. The pieces of both ways share the disk while they are measured, so the
    /// difference is greater than it seems.
    package static let leastGain = 1.1
    /// In seconds. Free memory is reported to the host after about two.
    package static let pauseSeconds = 5

    /// The choice of this process.
    package static let process = ReadingChoice()

    private let fixed: ReadingWay?
    private let state = Mutex(State())

    /// - Parameter fixed: the way to use without measuring; for tests.
    package init(_ fixed: ReadingWay? = nil) { self.fixed = fixed }

    /// The chosen way; nil if it is yet to be measured.
    package func chosen(at now: Int64 = StoreClock.coarse) -> ReadingWay? {
        if let fixed { return fixed }
        return state.withLock { state in
            if state.lastRead != 0, now - state.lastRead > Int64(Self.pauseSeconds) * 1_000_000_000 { state = State() }
            state.lastRead = now
            return state.chosen
        }
    }

    /// The step for a piece that is not in the page cache.
    package func next(at now: Int64 = StoreClock.coarse) -> Step {
        if let chosen = chosen(at: now) { return .use(chosen) }
        return state.withLock { state in
            if let chosen = state.chosen { return .use(chosen) }
            let all = ReadingWay.allCases
            defer { state.begun += 1 }
            return .measure(all[state.begun % all.count])
        }
    }

    /// Records a measured piece.
    package func record(_ way: ReadingWay, bytes: Int, nanoseconds: Double) {
        state.withLock { state in
            guard state.chosen == nil else { return }
            state.sums[way.rawValue].bytes += bytes
            state.sums[way.rawValue].nanoseconds += nanoseconds
            guard state.sums.allSatisfy({ $0.bytes >= Self.measuredBytes }) else { return }
            let (small, huge) = (state.sums[ReadingWay.smallPages.rawValue], state.sums[ReadingWay.hugePages.rawValue])
            state.chosen = small.perByte * Self.leastGain < huge.perByte ? .smallPages : .hugePages
        }
    }
}

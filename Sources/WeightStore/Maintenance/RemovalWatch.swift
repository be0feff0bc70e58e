import Synchronization

/// Whether another process may have removed files since the last check.
final class RemovalWatch: Sendable {
    private struct State {
        var commits: Int?
        var checks = 0
    }

    private let state = Mutex(State())

    /// Whether a check is due: after each change of the commit counter one at once, and one at the next call, because files
    /// are deleted after the commit.
    ///
    /// - Parameter commits: the commit counter of the catalog.
    func isDue(_ commits: Int) -> Bool {
        state.withLock { state -> Bool in
            if state.commits != commits { (state.commits, state.checks) = (commits, 2) }
            if state.checks == 0 { return false }
            state.checks -= 1
            return true
        }
    }
}

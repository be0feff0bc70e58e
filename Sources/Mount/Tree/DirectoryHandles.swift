import Synchronization

/// Open directories, each with the entries that it had when it was opened.
final class DirectoryHandles: Sendable {
    struct Directory: Sendable {
        let node: MountNode
        let entries: [MountTree.Entry]
    }

    private struct State {
        var directories: [UInt64: Directory] = [:]
        var last: UInt64 = 0
    }

    private let state = Mutex(State())

    func open(_ node: MountNode, _ entries: [MountTree.Entry]) -> UInt64 {
        state.withLock { state in
            state.last += 1
            state.directories[state.last] = Directory(node: node, entries: entries)
            return state.last
        }
    }

    func directory(_ number: UInt64) -> Directory? { state.withLock { $0.directories[number] } }

    func close(_ number: UInt64) { _ = state.withLock { $0.directories.removeValue(forKey: number) } }
}

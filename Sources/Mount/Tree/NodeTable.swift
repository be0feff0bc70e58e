import CFUSE
import Synchronization

/// The nodes that the kernel knows, by the numbers under which it requests them. The kernel counts its lookups of each, and
/// reports how many it has forgotten; a node without lookups is removed.
final class NodeTable: Sendable {
    private struct Entry {
        let node: MountNode
        var lookups: UInt64
    }

    private struct State {
        var entries: [UInt64: Entry] = [:]
        var numbers: [MountNode: UInt64] = [:]
        /// No number is used again, so that a late request never finds another node.
        var last = UInt64(FUSE_ROOT_ID)
    }

    private let root: MountNode
    private let state = Mutex(State())

    init(root: MountNode) { self.root = root }

    /// The node of a number; nil if the kernel does not know it.
    func node(_ number: UInt64) -> MountNode? {
        if number == UInt64(FUSE_ROOT_ID) { return root }
        return state.withLock { $0.entries[number]?.node }
    }

    /// Counts a lookup.
    ///
    /// - Returns: the number of the node.
    func lookUp(_ node: MountNode) -> UInt64 {
        if node == root { return UInt64(FUSE_ROOT_ID) }
        return state.withLock { state in
            if let number = state.numbers[node] {
                state.entries[number]?.lookups += 1
                return number
            }
            state.last += 1
            state.numbers[node] = state.last
            state.entries[state.last] = Entry(node: node, lookups: 1)
            return state.last
        }
    }

    /// Removes lookups that the kernel has forgotten.
    func forget(_ number: UInt64, _ count: UInt64) {
        state.withLock { state in
            guard let entry = state.entries[number] else { return }
            if entry.lookups > count {
                state.entries[number]?.lookups = entry.lookups - count
            } else {
                state.entries[number] = nil
                state.numbers[entry.node] = nil
            }
        }
    }
}

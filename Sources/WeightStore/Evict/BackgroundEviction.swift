import Dispatch
import GRDB
import Glibc
import Synchronization

/// The thread on which a store evicts in the background.
final class BackgroundEviction: Sendable {
    let queue = DispatchQueue(label: "weightstore.evict")
    let isRunning = Atomic<Bool>(false)
    let hasWarned = Atomic<Bool>(false)
}

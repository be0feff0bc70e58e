import Dispatch
import GRDB
import Glibc
import Synchronization

/// The state of a store's background eviction.
final class BackgroundEviction: Sendable {
    let queue = DispatchQueue(label: "weightstore.evict")
    let isRunning = Atomic<Bool>(false)
    let hasWarned = Atomic<Bool>(false)
}

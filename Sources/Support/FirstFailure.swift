import Synchronization

/// Keeps the first of several failures; later ones are usually its consequences.
package final class FirstFailure: Sendable {
    private let error = Mutex<(any Error)?>(nil)

    package init() {}

    package var first: (any Error)? { error.withLock { $0 } }

    package func record(_ failure: any Error) {
        error.withLock { if $0 == nil { $0 = failure } }
    }
}

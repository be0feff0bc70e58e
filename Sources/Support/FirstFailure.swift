import Synchronization

/// The first of several failures; the others follow from it.
package final class FirstFailure: Sendable {
    private let error = Mutex<(any Error)?>(nil)

    package init() {}

    package var first: (any Error)? { error.withLock { $0 } }

    package func record(_ failure: any Error) {
        error.withLock { if $0 == nil { $0 = failure } }
    }
}

import Synchronization

/// Where the redirects of a file led last: a signed URL at a content network, good for many ranges.
final class Shortcut: Sendable {
    private let value = Mutex<Address?>(nil)

    var address: Address? {
        get { value.withLock { $0 } }
        set { value.withLock { $0 = newValue } }
    }
}

import Synchronization
import WireFormats

/// The last redirect target of a file: a signed URL of a content delivery network, valid for many ranges.
final class RedirectCache: Sendable {
    private let value = Mutex<Address?>(nil)

    var address: Address? {
        get { value.withLock { $0 } }
        set { value.withLock { $0 = newValue } }
    }
}

import Logging
import Origins
import WeightStore

/// The value behind C's handle of a store.
final class StoreHandle: HandleValue {
    static let kind = "store"
    let store: Store

    init(_ path: String?) throws {
        var logger = Logger(label: "weightstore")
        logger.logLevel = .warning
        store = try Store(at: path ?? Store.defaultPath, logger: logger)
        Origins.register(in: store)
    }
}

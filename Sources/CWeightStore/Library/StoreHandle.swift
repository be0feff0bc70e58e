import Logging
import Origins
import WeightStore

/// A store, as C holds it.
final class StoreHandle: Handled {
    static let kind = "store"
    let store: Store

    init(_ path: String?) throws {
        var logger = Logger(label: "weightstore")
        logger.logLevel = .warning
        store = try Store(at: path ?? Store.defaultPath, logger: logger)
        Origins.register(in: store)
    }
}

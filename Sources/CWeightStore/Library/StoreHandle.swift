import Logging
import Origins
import Synchronization
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

/// Something that is made at its first use.
final class OnDemand<Value: Sendable>: Sendable {
    private let value = Mutex<Value?>(nil)

    func get(_ make: () throws -> Value) throws -> Value {
        try value.withLock { value in
            if let value { return value }
            let made = try make()
            value = made
            return made
        }
    }
}

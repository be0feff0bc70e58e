import CWeightStoreHeader
import Logging
import Origins
import Support
import WeightStore

/// The value behind C's handle of a store.
final class StoreHandle: HandleValue {
    static let kind = "store"
    let store: Store
    private let infoTable = OnDemand<CTable<weightstore_store_info>>()

    /// - Parameters:
    ///   - path: nil for the default.
    ///   - create: whether an empty store is created if there is none.
    init(_ path: String?, create: Bool = false) throws {
        OwningProcess.claim()
        let logger = Logger(label: "weightstore", factory: { (_: String) in InterfaceLogHandler() })
        store = try Store(
            at: path ?? Store.defaultPath, create: create, logger: logger, work: CurrentWork.handle?.work)
        Origins.register(in: store)
    }

    func info() -> weightstore_store_info {
        infoTable.get {
            CTable { memory in
                var info = weightstore_store_info()
                info.path = memory.string(store.path)
                return [info]
            }
        }.rows[0]
    }
}

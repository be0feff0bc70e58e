import Synchronization

/// A dictionary behind a lock.
final class SharedTable<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    private let table: Mutex<[Key: Value]>

    init(_ table: [Key: Value] = [:]) { self.table = Mutex(table) }

    subscript(key: Key) -> Value? {
        get { table.withLock { $0[key] } }
        set { table.withLock { $0[key] = newValue } }
    }

    func removeAll() { table.withLock { $0 = [:] } }
}

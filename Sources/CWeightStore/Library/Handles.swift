import CWeightStoreHeader
import Synchronization

/// A value to which C has a handle.
protocol HandleValue: AnyObject, Sendable {
    /// The name in messages: store, revision, lease.
    static var kind: String { get }
}

/// The table behind C's handles: each is a number, never reused and never dereferenced. So a released or invalid handle
/// is detected.
final class Handles: Sendable {
    static let all = Handles()

    private struct State {
        var values: [UInt: any HandleValue] = [:]
        var last: UInt = 0
    }

    /// The distance between numbers, as between addresses: a handle that was incremented by mistake is invalid.
    private static let step: UInt = 64
    private let state = Mutex(State())

    var count: Int { state.withLock { $0.values.count } }

    func add(_ value: some HandleValue) -> OpaquePointer {
        let number = state.withLock { state in
            state.last += Self.step
            state.values[state.last] = value
            return state.last
        }
        return OpaquePointer(bitPattern: number)!
    }

    /// - Throws: ``CallError``.
    func find<Value: HandleValue>(_ handle: OpaquePointer?, _: Value.Type = Value.self) throws(CallError) -> Value {
        guard let handle else { throw .argument("the \(Value.kind) is NULL") }
        let value = state.withLock { $0.values[UInt(bitPattern: handle)] }
        return try Self.cast(handle, value)
    }

    /// Removes a handle. NULL is ignored.
    ///
    /// - Returns: the value, so that it is destroyed outside the lock.
    func remove<Value: HandleValue>(_ handle: OpaquePointer?, _: Value.Type) throws(CallError) -> Value? {
        guard let handle else { return nil }
        let number = UInt(bitPattern: handle)
        let value = state.withLock { state -> (any HandleValue)? in
            guard let value = state.values[number] else { return nil }
            return type(of: value) == Value.self ? state.values.removeValue(forKey: number) : value
        }
        return try Self.cast(handle, value)
    }

    /// Compares types: a conditional cast calls the runtime, which takes longer than the rest of the look-up.
    private static func cast<Value: HandleValue>(_ handle: OpaquePointer, _ value: (any HandleValue)?) throws(CallError)
        -> Value
    {
        guard let value, type(of: value) == Value.self else { throw unknown(handle, value, Value.kind) }
        return unsafeDowncast(value, to: Value.self)
    }

    private static func unknown(_ handle: OpaquePointer, _ found: (any HandleValue)?, _ kind: String) -> CallError {
        .handle(
            "\(handle): not a \(kind): "
                + (found.map { "it is a \(type(of: $0).kind)" } ?? "it was released, or never existed"))
    }
}

import CWeightStoreHeader
import Synchronization

/// A value that C holds by a handle.
protocol Handled: AnyObject, Sendable {
    /// What it is called in messages: store, revision, lease.
    static var kind: String { get }
}

/// What C holds in place of our values: numbers, each given out once. So a handle that was released, or that is no
/// handle, is found out and not followed.
final class Handles: Sendable {
    static let all = Handles()

    private struct State {
        var values: [UInt: any Handled] = [:]
        var last: UInt = 0
    }

    /// Numbers lie this far apart, as addresses would: one that was counted up by mistake is none.
    private static let step: UInt = 64
    private let state = Mutex(State())

    var count: Int { state.withLock { $0.values.count } }

    func add(_ value: some Handled) -> OpaquePointer {
        let number = state.withLock { state in
            state.last += Self.step
            state.values[state.last] = value
            return state.last
        }
        return OpaquePointer(bitPattern: number)!
    }

    /// - Throws: ``CallError``.
    func find<Value: Handled>(_ handle: OpaquePointer?, _: Value.Type = Value.self) throws(CallError) -> Value {
        guard let handle else { throw .argument("the \(Value.kind) is NULL") }
        let value = state.withLock { $0.values[UInt(bitPattern: handle)] }
        return try Self.cast(handle, value)
    }

    /// Takes a handle back. NULL is none.
    ///
    /// - Returns: the value, so that it goes outside the lock.
    func remove<Value: Handled>(_ handle: OpaquePointer?, _: Value.Type) throws(CallError) -> Value? {
        guard let handle else { return nil }
        let number = UInt(bitPattern: handle)
        let value = state.withLock { state -> (any Handled)? in
            guard let value = state.values[number] else { return nil }
            return type(of: value) == Value.self ? state.values.removeValue(forKey: number) : value
        }
        return try Self.cast(handle, value)
    }

    /// Compares types: a conditional cast asks the runtime, which takes longer than all the rest.
    private static func cast<Value: Handled>(_ handle: OpaquePointer, _ value: (any Handled)?) throws(CallError)
        -> Value
    {
        guard let value, type(of: value) == Value.self else { throw unknown(handle, value, Value.kind) }
        return unsafeDowncast(value, to: Value.self)
    }

    private static func unknown(_ handle: OpaquePointer, _ found: (any Handled)?, _ kind: String) -> CallError {
        .handle(
            "\(handle): not a \(kind): "
                + (found.map { "it is a \(type(of: $0).kind)" } ?? "released already, or never given out"))
    }
}

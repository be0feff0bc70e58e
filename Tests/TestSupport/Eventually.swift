import Glibc

/// The milliseconds between two evaluations of a condition, two minutes in all. They grow, because a condition may be a
/// request or a command, and other tests need the cores.
private let pauses = (0..<2_420).map { min(10 + 2 * $0, 50) }

/// Waits until a condition holds.
///
/// - Returns: false if it did not within two minutes. The limit is for tests that hang: no test measures time.
@discardableResult
package func eventually(_ isSo: () async throws -> Bool) async throws -> Bool {
    for pause in pauses {
        if try await isSo() { return true }
        try await Task.sleep(for: .milliseconds(pause))
    }
    return false
}

/// As `eventually`, for tests on a thread of their own. It has another name, because inside `#expect` the compiler
/// would choose this blocking one, and a few such tests would delay all others.
@discardableResult
package func blockUntil(_ isSo: () throws -> Bool) throws -> Bool {
    for pause in pauses {
        if try isSo() { return true }
        usleep(UInt32(pause) * 1000)
    }
    return false
}

import Glibc

/// Waits until a condition holds.
///
/// - Returns: false if it did not within two minutes. The limit is for tests that hang: no test measures time.
@discardableResult
package func eventually(_ isSo: () async throws -> Bool) async throws -> Bool {
    for _ in 0..<12_000 {
        if try await isSo() { return true }
        try await Task.sleep(for: .milliseconds(10))
    }
    return false
}

/// As `eventually`, for tests on a thread of their own. It has another name, because inside `#expect` the compiler
/// would choose this blocking one, and a few such tests would delay all others.
@discardableResult
package func blockUntil(_ isSo: () throws -> Bool) throws -> Bool {
    for _ in 0..<12_000 {
        if try isSo() { return true }
        usleep(10_000)
    }
    return false
}

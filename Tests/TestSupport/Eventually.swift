import Glibc

/// Waits until something is so.
///
/// - Returns: false if it was not within two minutes. That is for what hangs: no test is about time.
@discardableResult
package func eventually(_ isSo: () async throws -> Bool) async throws -> Bool {
    for _ in 0..<12_000 {
        if try await isSo() { return true }
        try await Task.sleep(for: .milliseconds(10))
    }
    return false
}

/// As `eventually`, for tests on a thread of their own. It has another name, because inside `#expect` the compiler takes
/// what blocks, and a few such tests keep all others waiting.
@discardableResult
package func blockUntil(_ isSo: () throws -> Bool) throws -> Bool {
    for _ in 0..<12_000 {
        if try isSo() { return true }
        usleep(10_000)
    }
    return false
}

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

@discardableResult
package func eventually(_ isSo: () throws -> Bool) throws -> Bool {
    for _ in 0..<12_000 {
        if try isSo() { return true }
        usleep(10_000)
    }
    return false
}

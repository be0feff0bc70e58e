import Glibc

/// Starts a detached thread that runs `body` and ends.
///
/// What `body` captures is released before the thread ends. Foundation's `Thread` releases it with the thread's local
/// values, after libdispatch has freed its own of that thread and kept the pointer to them: a dispatch queue that is
/// released there, as a store's are, damages the heap.
///
/// - Throws: ``SupportError/noThread(code:)`` if the system cannot start a thread.
package func startThread(_ body: @escaping @Sendable () -> Void) throws(SupportError) {
    try start(
        Body {
            body()
            return {}
        })
}

/// As `startThread(_:)`; `end` receives the result of `body` after all that `body` captured is released.
///
/// What waits for the result can then rely on it: nothing is still held by the thread that computed it.
package func startThread<Value: Sendable>(
    _ body: @escaping @Sendable () -> Value, then end: @escaping @Sendable (Value) -> Void
) throws(SupportError) {
    try start(
        Body {
            let value = body()
            return { end(value) }
        })
}

private func start(_ body: consuming Body) throws(SupportError) {
    var thread = pthread_t()
    let argument = Unmanaged.passRetained(body)
    let code = pthread_create(
        &thread, nil,
        { argument in
            if let argument { run(argument)() }
            return nil
        }, argument.toOpaque())
    guard code == 0 else {
        argument.release()
        throw SupportError.noThread(code: code)
    }
    pthread_detach(thread)
}

/// Runs and releases the body.
private func run(_ argument: UnsafeMutableRawPointer) -> @Sendable () -> Void {
    let body = Unmanaged<Body>.fromOpaque(argument).takeRetainedValue()
    return body.run()
}

/// The work of a thread. Its result is the work that remains once it is released.
private final class Body: Sendable {
    let run: @Sendable () -> @Sendable () -> Void

    init(_ run: @escaping @Sendable () -> @Sendable () -> Void) { self.run = run }
}

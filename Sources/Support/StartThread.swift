import Glibc

/// Starts a detached thread that runs `body` and ends.
///
/// What `body` captures is released before the thread ends. Foundation's `Thread` releases it with the thread's local
/// values, after libdispatch has freed its own of that thread and kept the pointer to them: a dispatch queue that is
/// released there, as a store's are, damages the heap.
///
/// - Throws: ``SupportError/noThread(code:)`` if the system cannot start a thread.
package func startThread(_ body: @escaping @Sendable () -> Void) throws(SupportError) {
    var thread = pthread_t()
    let argument = Unmanaged.passRetained(Body(body))
    let code = pthread_create(
        &thread, nil,
        { argument in
            if let argument { Unmanaged<Body>.fromOpaque(argument).takeRetainedValue().run() }
            return nil
        }, argument.toOpaque())
    guard code == 0 else {
        argument.release()
        throw SupportError.noThread(code: code)
    }
    pthread_detach(thread)
}

private final class Body: Sendable {
    let run: @Sendable () -> Void

    init(_ run: @escaping @Sendable () -> Void) { self.run = run }
}

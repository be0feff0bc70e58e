import Dispatch
import Glibc

/// Ctrl-C and SIGTERM: the first asks the work to stop, so that it can say what is safe; the second kills.
final class Interrupt {
    private var sources: [any DispatchSourceSignal] = []

    init(_ stop: @escaping @Sendable () -> Void) {
        for number in [SIGINT, SIGTERM] {
            signal(number, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
            source.setEventHandler {
                stop()
                signal(number, SIG_DFL)
            }
            source.resume()
            sources.append(source)
        }
    }

    /// Blocks until the first of them.
    ///
    /// - Parameter seconds: or until so many have passed; nil means without an end.
    /// - Returns: whether there was one.
    @discardableResult
    static func wait(seconds: Int? = nil) -> Bool {
        let arrived = DispatchSemaphore(value: 0)
        let interrupt = Interrupt { arrived.signal() }
        defer { withExtendedLifetime(interrupt) {} }
        guard let seconds else {
            arrived.wait()
            return true
        }
        return arrived.wait(timeout: .now() + .seconds(seconds)) == .success
    }

    deinit {
        for source in sources { source.cancel() }
        for number in [SIGINT, SIGTERM] { signal(number, SIG_DFL) }
    }
}

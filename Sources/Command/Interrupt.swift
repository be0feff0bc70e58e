import Dispatch
import Foundation
import Glibc
import Synchronization

/// Ctrl-C and SIGTERM: the first cancels the work, which then reports its durable state; the second kills the process.
///
/// The handler writes to a pipe, which a thread reads. Dispatch's signal sources are not used: they need the signal
/// ignored, and blocked on the main thread, because the kernel drops an ignored signal that is not blocked.
final class Interrupt {
    private static let handlers = Mutex<[ObjectIdentifier: @Sendable () -> Void]>([:])

    /// The write end of the pipe. `init` uses it before it installs the handler, which must not initialize it.
    private static let pipeEnd: Int32 = {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { return -1 }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        let reader = ends[0]
        Thread.detachNewThread {
            var byte: UInt8 = 0
            while true {
                let count = read(reader, &byte, 1)
                if count < 0 && errno == EINTR { continue }
                guard count == 1 else { return }
                for handler in handlers.withLock({ Array($0.values) }) { handler() }
            }
        }
        return ends[1]
    }()

    init(_ stop: @escaping @Sendable () -> Void) {
        _ = Self.pipeEnd
        Self.handlers.withLock { $0[ObjectIdentifier(self)] = stop }
        var signals = sigset_t()
        sigemptyset(&signals)
        for number in [SIGINT, SIGTERM] {
            sigaddset(&signals, number)
            var action = sigaction()
            action.__sigaction_handler.sa_handler = { _ in
                var byte: UInt8 = 1
                _ = write(Interrupt.pipeEnd, &byte, 1)
            }
            let resetHandler: UInt32 = 0x8000_0000  // SA_RESETHAND does not fit in the Int32 that Glibc declares.
            action.sa_flags = Int32(bitPattern: UInt32(bitPattern: SA_RESTART) | resetHandler)
            sigaction(number, &action, nil)
        }
        pthread_sigmask(SIG_UNBLOCK, &signals, nil)
    }

    /// Blocks until the first signal.
    static func wait() {
        let arrived = DispatchSemaphore(value: 0)
        let interrupt = Interrupt { arrived.signal() }
        arrived.wait()
        withExtendedLifetime(interrupt) {}
    }

    deinit {
        let isLast = Self.handlers.withLock { handlers in
            handlers[ObjectIdentifier(self)] = nil
            return handlers.isEmpty
        }
        if isLast { for number in [SIGINT, SIGTERM] { signal(number, SIG_DFL) } }
    }
}

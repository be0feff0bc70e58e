import Dispatch
import Foundation
import Glibc
import Synchronization

/// Ctrl-C and SIGTERM: the first asks the work to stop, so that it can say what is safe; the second kills.
///
/// The handler writes to a pipe, which a thread reads. Dispatch's sources for signals need the signal blocked on the main
/// thread: the kernel drops an ignored one that is not.
final class Interrupt {
    private static let handlers = Mutex<[ObjectIdentifier: @Sendable () -> Void]>([:])

    /// The end that the signal handler writes to. Used before a handler is installed, so that it is ready in the handler.
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

    /// Blocks until the first of them.
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

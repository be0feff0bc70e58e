import Dispatch
import Foundation
import Glibc
import Support
import Synchronization

/// The one owner of the process's signals. `main` installs it before the first thread starts, and nothing else changes a
/// signal's action or mask.
///
/// **The first SIGINT or SIGTERM** calls the stop handlers, which cancel the work in progress. Without a stop handler, or if
/// the process has not ended within the grace time, the process is ended here: a store survives the end of a process at
/// every instruction. The clean-ups run before that. **A second one** kills the process. A command that is stopping stays
/// so: a handler that is registered later is called at once.
///
/// **SIGHUP** calls the hang-up handlers. Without one it stops the process like SIGTERM, unless it was ignored when the
/// process started (`nohup`).
///
/// The signal handler writes the number of the signal to a pipe, which a thread reads. Dispatch's signal sources are not
/// used: they need the signal ignored, and blocked on the main thread, because the kernel drops an ignored signal that is
/// not blocked.
enum Signals {
    private struct StopHandler {
        let grace: Duration
        let isSuccess: Bool
        let call: @Sendable () -> Void
    }

    private struct State {
        var isStopping = false
        var isEnding = false
        var stop: [ObjectIdentifier: StopHandler] = [:]
        var hangUp: [ObjectIdentifier: @Sendable () -> Void] = [:]
        var cleanUps: [@Sendable () -> Void] = []
        /// The report of an interrupted process.
        var advice = ""
    }

    private static let state = Mutex(State())

    /// The time that a command has to end after its stop handlers were called.
    static let grace = Duration.milliseconds(700)

    /// Both ends of the pipe. `own` creates it before it installs the handler, which must not initialize it.
    private static let pipeEnds: (read: Int32, write: Int32) = {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { return (-1, -1) }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        return (ends[0], ends[1])
    }()

    /// Installs the handlers, and unblocks the signals, which the process may have inherited blocked. Call it once, on the
    /// main thread, before another thread starts.
    static func own() {
        let reader = pipeEnds.read
        guard reader >= 0 else { return }
        // Without the thread, the signals keep their actions, which end the process.
        do {
            try startThread {
                var byte: UInt8 = 0
                while true {
                    let count = read(reader, &byte, 1)
                    if count < 0 && errno == EINTR { continue }
                    guard count == 1 else { return }
                    received(Int32(byte))
                }
            }
        } catch {
            return
        }
        var owned = sigset_t()
        sigemptyset(&owned)
        for number in [SIGINT, SIGTERM, SIGHUP] {
            var action = sigaction()
            if number == SIGHUP, sigaction(number, nil, &action) == 0, action.isIgnored { continue }
            sigaddset(&owned, number)
            action = sigaction()
            action.__sigaction_handler.sa_handler = { number in
                // The interrupted code may be about to read errno.
                let code = errno
                var byte = UInt8(truncatingIfNeeded: number)
                _ = write(Signals.pipeEnds.write, &byte, 1)
                errno = code
            }
            action.sa_flags = SA_RESTART
            if number != SIGHUP {
                let resetHandler: UInt32 = 0x8000_0000  // SA_RESETHAND does not fit in the Int32 that Glibc declares.
                action.sa_flags = Int32(bitPattern: UInt32(bitPattern: SA_RESTART) | resetHandler)
            }
            sigaction(number, &action, nil)
        }
        pthread_sigmask(SIG_UNBLOCK, &owned, nil)
    }

    private static func received(_ number: Int32) {
        if number == SIGHUP {
            let handlers = state.withLock { Array($0.hangUp.values) }
            for handler in handlers { handler() }
            if !handlers.isEmpty { return }
        }
        let (wasStopping, handlers) = state.withLock { state in
            defer { state.isStopping = true }
            return (state.isStopping, Array(state.stop.values))
        }
        guard !wasStopping, let grace = handlers.map(\.grace).max() else { return end() }
        let isSuccess = handlers.contains(where: \.isSuccess)
        // Before the handlers, which may take long.
        // Without this thread, the command ends when its handlers have stopped it, or at the next signal.
        try? startThread {
            Thread.sleep(forTimeInterval: grace / .seconds(1))
            end(isSuccess: isSuccess)
        }
        for handler in handlers { handler.call() }
    }

    // MARK: Handlers

    /// A registration; releasing it removes the handler.
    final class Registration: Sendable {
        deinit {
            state.withLock { state in
                state.stop[ObjectIdentifier(self)] = nil
                state.hangUp[ObjectIdentifier(self)] = nil
            }
        }
    }

    /// Calls a handler at the first SIGINT or SIGTERM; at once if there was one.
    ///
    /// - Parameters:
    ///   - grace: the time that the process then has to end.
    ///   - isSuccess: whether the signal is the normal end of the command, with status 0.
    static func onStop(
        within grace: Duration = Signals.grace, isSuccess: Bool = false, _ handler: @escaping @Sendable () -> Void
    ) -> Registration {
        let registration = Registration()
        let isStopping = state.withLock { state in
            state.stop[ObjectIdentifier(registration)] = StopHandler(grace: grace, isSuccess: isSuccess, call: handler)
            return state.isStopping
        }
        if isStopping { handler() }
        return registration
    }

    /// Calls a handler at each SIGHUP, which then does not end the process.
    static func onHangUp(_ handler: @escaping @Sendable () -> Void) -> Registration {
        let registration = Registration()
        state.withLock { $0.hangUp[ObjectIdentifier(registration)] = handler }
        return registration
    }

    /// Blocks until the first SIGINT or SIGTERM, for a command that holds something until then and ends with status 0.
    static func waitForStop() {
        let arrived = DispatchSemaphore(value: 0)
        let registration = onStop(isSuccess: true) { arrived.signal() }
        arrived.wait()
        withExtendedLifetime(registration) {}
    }

    // MARK: The end of the process

    /// Runs a clean-up if the process is ended here: for files that no later run resumes. It may run beside the command.
    static func whenEnded(_ cleanUp: @escaping @Sendable () -> Void) {
        state.withLock { $0.cleanUps.append(cleanUp) }
    }

    /// The text that an interrupted process reports after "Interrupted.".
    static func setAdvice(_ text: String) { state.withLock { $0.advice = text } }

    /// The report of an interrupted process.
    static var report: String {
        let advice = state.withLock { $0.advice }
        return advice.isEmpty ? "Interrupted." : "Interrupted. \(advice)"
    }

    private static func end(isSuccess: Bool = false) {
        let cleanUps = state.withLock { $0.cleanUps }
        claimEnd()
        for cleanUp in cleanUps { cleanUp() }
        if isSuccess { _exit(0) }
        Terminal.printDiagnostic(report)
        _exit(ExitStatus.interrupted.rawValue)
    }

    /// Ends the process after an error that was reported by `report`.
    static func exit(_ status: Int32, reporting report: () -> Void) -> Never {
        claimEnd()
        report()
        Glibc.exit(status)
    }

    /// Returns to the first caller only, so that an end is reported once.
    private static func claimEnd() {
        let isFirst = state.withLock { state in
            defer { state.isEnding = true }
            return !state.isEnding
        }
        if isFirst { return }
        while true { pause() }
    }
}

extension sigaction {
    fileprivate var isIgnored: Bool {
        unsafeBitCast(__sigaction_handler.sa_handler, to: Int.self) == unsafeBitCast(SIG_IGN, to: Int.self)
    }
}

import Dispatch

/// A line on the terminal that tells how far long work is: bytes, share, rate, time left. Nothing unless standard
/// error is a terminal.
final class ProgressLine {
    /// How far the work is.
    struct State {
        var done: Int
        var total: Int
        /// What is being worked on.
        var label = ""
    }

    private let timer: (any DispatchSourceTimer)?
    private let start = ContinuousClock.now

    /// - Parameter state: is asked a few times a second, on a thread of its own.
    init(_ state: @escaping @Sendable () -> State) {
        guard Terminal.showsProgress else {
            timer = nil
            return
        }
        let timer = DispatchSource.makeTimerSource(queue: DispatchQueue(label: "weightstore.progress"))
        self.timer = timer
        timer.schedule(deadline: .now() + .milliseconds(200), repeating: .milliseconds(200))
        timer.setEventHandler { [start] in Self.draw(state(), since: start) }
        timer.resume()
    }

    /// Clears the line.
    func end() {
        guard let timer else { return }
        timer.cancel()
        Terminal.writeError("\r\u{1B}[K")
    }

    private static func draw(_ state: State, since start: ContinuousClock.Instant) {
        guard state.total > 0 else { return }
        let seconds = (ContinuousClock.now - start) / .seconds(1)
        let share = min(Double(state.done) / Double(state.total), 1)
        let rate = Double(state.done) / max(seconds, 0.001)
        let left = rate > 0 ? Double(state.total - state.done) / rate : 0
        let facts = " \(Int(share * 100))%  \(ByteSize.text(state.done)) of \(ByteSize.text(state.total))"
            + "  \(ByteSize.text(rate))/s"
            + (share < 1 && rate > 0 ? "  \(TimeSpan.text(max(left, 1))) left" : "")
            + (state.label.isEmpty ? "" : "  \(state.label)")
        let room = max(min(Terminal.width - facts.count - 3, 30), 0)
        let full = Int((Double(room) * share).rounded())
        let bar = String(repeating: "█", count: full) + String(repeating: "░", count: room - full)
        Terminal.writeError("\r\(bar)\(facts.prefix(Terminal.width - room - 1))\u{1B}[K")
    }
}

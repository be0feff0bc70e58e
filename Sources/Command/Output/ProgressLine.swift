import Dispatch
import WeightStore

/// The progress of a long call in one line: amount, share, rate, time left. Draws nothing unless standard error is a
/// terminal.
final class ProgressLine {
    /// The unit of the progress.
    enum Unit {
        case bytes
        /// Things of this name, in the plural.
        case things(String)

        func text(_ count: Double) -> String {
            switch self {
            case .bytes: Quantity.bytes(count)
            case .things: Quantity.amount(count)
            }
        }
    }

    private let timer: (any DispatchSourceTimer)?
    private let start = ContinuousClock.now

    init(_ work: Work, label: String, unit: Unit) {
        guard Terminal.showsProgress else {
            timer = nil
            return
        }
        let timer = DispatchSource.makeTimerSource(queue: DispatchQueue(label: "weightstore.progress"))
        self.timer = timer
        timer.schedule(deadline: .now() + .milliseconds(200), repeating: .milliseconds(200))
        timer.setEventHandler { [start] in Self.draw(work.progress, label, unit, since: start) }
        timer.resume()
    }

    /// Clears the line.
    func end() {
        guard let timer else { return }
        timer.cancel()
        Terminal.writeError("\r\u{1B}[K")
    }

    private static func draw(
        _ progress: Work.Progress, _ label: String, _ unit: Unit, since start: ContinuousClock.Instant
    ) {
        guard progress.total > 0 else { return }
        let seconds = (ContinuousClock.now - start) / .seconds(1)
        let (total, done) = (Double(progress.total), Double(progress.done) + Double(progress.skipped))
        let share = max(min(done / total, 1), 0)
        let rate = Double(progress.done) / max(seconds, 0.001)
        let left = rate > 0 ? (total - done) / rate : 0
        let name = progress.label.isEmpty ? label : progress.label
        let plural = if case .things(let name) = unit { " \(name)" } else { "" }
        let facts =
            " \(Int(share * 100))%  \(unit.text(done)) of \(unit.text(total))\(plural)"
            + "  \(unit.text(rate))/s"
            + (share < 1 && rate > 0 ? "  \(Quantity.seconds(max(left, 1))) left" : "")
            + (name.isEmpty ? "" : "  \(name)")
        let space = max(min(Terminal.width - facts.count - 3, 30), 0)
        let full = Int((Double(space) * share).rounded())
        let bar = String(repeating: "█", count: full) + String(repeating: "░", count: space - full)
        Terminal.writeError("\r\(bar)\(facts.prefix(Terminal.width - space - 1))\u{1B}[K")
    }
}

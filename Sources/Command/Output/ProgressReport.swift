import ArgumentParser
import Dispatch
import Synchronization
import WeightStore

/// How the progress of long calls is reported on standard error.
enum ProgressStyle: ExpressibleByArgument, Equatable {
    /// A bar on a terminal, otherwise lines at long intervals.
    case auto
    /// A line of text at each interval, in seconds.
    case lines(Int)
    /// A JSON object in a line of its own, each second.
    case json
    case none

    /// The interval without a terminal, in seconds.
    static let longInterval = 30

    init?(argument: String) {
        switch argument {
        case "auto": self = .auto
        case "json": self = .json
        case "none": self = .none
        default:
            guard let interval = TimeSpan(argument: argument), 1...86_400 ~= interval.seconds else { return nil }
            self = .lines(interval.seconds)
        }
    }

    var defaultValueDescription: String {
        switch self {
        case .auto: "auto"
        case .lines(let seconds): "\(seconds)s"
        case .json: "json"
        case .none: "none"
        }
    }
}

/// Reports the progress of a long call: amount, share, rate, time left. One line that is drawn again on a terminal; lines
/// at intervals elsewhere, so that a long wait is not silent; or JSON for programs.
final class ProgressReport {
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

        var name: String {
            switch self {
            case .bytes: "bytes"
            case .things(let name): name
            }
        }
    }

    /// The JSON of one moment.
    private struct Moment: Encodable {
        struct Progress: Encodable {
            let label: String
            let unit: String
            let done: Int
            let skipped: Int
            /// nil while it is not known.
            let total: Int?
            let seconds: Double
        }
        let progress: Progress
    }

    private enum Form {
        case bar, lines, json
    }

    private let timer: (any DispatchSourceTimer)?
    private let form: Form?
    private let last: @Sendable () -> Void

    /// - Parameter isSilent: whether `auto` reports nothing without a terminal: for commands that cron runs.
    init(_ work: Work, label: String, unit: Unit, isSilent: Bool) {
        let style = Presentation.progress
        let interval: DispatchTimeInterval
        switch style {
        case .auto where Terminal.showsProgress: (form, interval) = (.bar, .milliseconds(200))
        case .auto: (form, interval) = (isSilent ? nil : .lines, .seconds(ProgressStyle.longInterval))
        case .lines(let seconds): (form, interval) = (.lines, .seconds(seconds))
        case .json: (form, interval) = (.json, .seconds(1))
        case .none: (form, interval) = (nil, .never)
        }
        let start = ContinuousClock.now
        // What the last line has reported.
        let reported = Mutex<Work.Progress?>(nil)
        let draw: @Sendable () -> Void
        switch form {
        case .bar: draw = { Self.draw(work.progress, label, unit, since: start) }
        case .lines:
            draw = {
                let progress = work.progress
                let before = reported.withLock { reported in
                    defer { reported = progress }
                    return reported
                }
                Terminal.printDiagnostic(Self.line(progress, label, unit, since: start, isStuck: before == progress))
            }
        case .json: draw = { Self.write(work.progress, label, unit, since: start) }
        case nil: draw = {}
        }
        last = draw
        guard form != nil else {
            timer = nil
            return
        }
        let timer = DispatchSource.makeTimerSource(queue: DispatchQueue(label: "weightstore.progress"))
        self.timer = timer
        timer.schedule(deadline: .now() + interval, repeating: interval)
        timer.setEventHandler(handler: draw)
        timer.resume()
    }

    /// Clears the bar; writes the last JSON.
    func end() {
        timer?.cancel()
        switch form {
        case .bar: Terminal.writeError("\r\u{1B}[K")
        case .json: last()
        case .lines, nil: break
        }
    }

    private static func seconds(since start: ContinuousClock.Instant) -> Double {
        (ContinuousClock.now - start) / .seconds(1)
    }

    /// Share, amounts, rate, time left and the item in progress.
    private static func facts(
        _ progress: Work.Progress, _ label: String, _ unit: Unit, since start: ContinuousClock.Instant
    ) -> (share: Double, text: String) {
        let (total, done) = (Double(progress.total), Double(progress.done) + Double(progress.skipped))
        let share = max(min(done / total, 1), 0)
        let rate = Double(progress.done) / max(seconds(since: start), 0.001)
        let left = rate > 0 ? (total - done) / rate : 0
        let name = progress.label.isEmpty ? label : progress.label
        let plural = if case .things(let name) = unit { " \(name)" } else { "" }
        return (
            share,
            "\(Quantity.percent((share * 100).rounded(.down) / 100))  \(unit.text(done)) of \(unit.text(total))\(plural)"
                + "  \(unit.text(rate))/s"
                + (share < 1 && rate > 0 ? "  \(Quantity.seconds(max(left, 1))) left" : "")
                + (name.isEmpty ? "" : "  \(name)")
        )
    }

    private static func draw(
        _ progress: Work.Progress, _ label: String, _ unit: Unit, since start: ContinuousClock.Instant
    ) {
        guard progress.total > 0 else { return }
        let (share, text) = facts(progress, label, unit, since: start)
        let space = max(min(Terminal.width - text.count - 4, 30), 0)
        let full = Int((Double(space) * share).rounded())
        let bar = String(repeating: "█", count: full) + String(repeating: "░", count: space - full)
        Terminal.writeError("\r\(bar) \(text.prefix(max(Terminal.width - space - 2, 0)))\u{1B}[K")
    }

    private static func line(
        _ progress: Work.Progress, _ label: String, _ unit: Unit, since start: ContinuousClock.Instant, isStuck: Bool
    ) -> String {
        let name = progress.label.isEmpty ? label : progress.label
        let text =
            progress.total > 0
            ? facts(progress, label, unit, since: start).text : name.isEmpty ? "started" : "started  \(name)"
        return "\(text)  after \(Quantity.seconds(seconds(since: start)))"
            + (isStuck ? "; no progress since the last report" : "")
    }

    private static func write(
        _ progress: Work.Progress, _ label: String, _ unit: Unit, since start: ContinuousClock.Instant
    ) {
        let moment = Moment(
            progress: .init(
                label: progress.label.isEmpty ? label : progress.label, unit: unit.name, done: progress.done,
                skipped: progress.skipped, total: progress.total > 0 ? progress.total : nil,
                seconds: seconds(since: start)))
        // A moment has only texts and finite numbers, which are always encoded.
        if let json = try? JSONOutput.text(moment, isLine: true) { Terminal.writeError(json) }
    }
}

import Dispatch
import WeightStore

/// A live view of a revision while it loads into a tier: the tier's gauge, and a cell for each layer. Draws nothing
/// unless standard error is a terminal.
final class TierPicture {
    private let timer: (any DispatchSourceTimer)?
    private let draw: @Sendable () -> Void

    init(_ store: Store, _ revision: Revision, _ tier: Tier) {
        let start = ContinuousClock.now
        draw = {
            // If the layers cannot be read, the gauge is drawn alone.
            let layers = (try? revision.residency(in: tier)) ?? []
            guard let gauge = store.gauges.first(where: { $0.tier == tier }) else { return }
            Terminal.writeError(
                "\r" + Self.line(gauge, layers, (ContinuousClock.now - start) / .seconds(1)) + "\u{1B}[K")
        }
        guard Terminal.showsProgress else {
            timer = nil
            return
        }
        let timer = DispatchSource.makeTimerSource(queue: DispatchQueue(label: "weightstore.picture"))
        self.timer = timer
        timer.schedule(deadline: .now(), repeating: .milliseconds(100))
        timer.setEventHandler(handler: draw)
        timer.resume()
    }

    /// Draws the last state, which a short load has not shown yet, and erases the line.
    func end() {
        guard let timer else { return }
        timer.cancel()
        draw()
        Terminal.writeError("\r\u{1B}[K")
    }

    private static func line(_ gauge: TierGauge, _ layers: [LayerResidency], _ seconds: Double) -> String {
        let facts =
            "\(gauge.tier)  \(Quantity.bytes(gauge.bytes)) of \(Quantity.bytes(gauge.budget))"
            + "  \(Quantity.bytes(Double(gauge.loaded) / max(seconds, 0.05)))/s  "
        let space = max(Terminal.width - facts.count - 1, 0)
        return facts + layers.prefix(space).map(cell).joined()
    }

    private static func cell(_ layer: LayerResidency) -> String {
        if layer.resident == layer.bytes { return "█" }
        return layer.resident > 0 ? "▓" : layer.loading > 0 ? "▒" : "░"
    }
}

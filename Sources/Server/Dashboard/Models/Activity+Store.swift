import Support
import WeightStore

extension Activity {
    /// The seconds of a day.
    static let day = 86_400
    private static let seconds = 900
    private static let count = day / seconds

    /// The last day in quarters of an hour.
    init(minutes: [ActivityMinute], now: Int) {
        let end = (now / Self.seconds + 1) * Self.seconds
        let start = end - Self.day
        var intervals = [[ActivityValue]](repeating: [], count: Self.count)
        for minute in minutes {
            let place = (minute.start - start) / Self.seconds
            if minute.start >= start, intervals.indices.contains(place) { intervals[place] += minute.values }
        }
        let all = intervals.flatMap(\.self)
        /// One curve for each place of a metric.
        func series(_ metrics: [ActivityMetric], _ value: ([ActivityValue], _ place: String) -> Double?) -> [Series] {
            let places = Set(metrics.flatMap { all.places(of: $0) })
            // The disk is first, as in the list of the tiers.
            return places.sorted { ($0 == "disk" ? 0 : 1, $0) < ($1 == "disk" ? 0 : 1, $1) }.map { place in
                Series(name: place, values: intervals.map { value($0, place) })
            }
        }
        let times = intervals.map { $0.histogram(.firstBytes) }
        self.init(
            end: end, interval: Self.seconds,
            hitRatio: series([.hits, .misses]) { values, place in
                let hits = values.sum(.hits, in: place)
                let uses = hits + values.sum(.misses, in: place)
                return uses > 0 ? hits / uses : nil
            },
            bytes: series([.readBytes]) { $0.sum(.readBytes, in: $1) },
            evictions: series([.evictions]) { $0.sum(.evictions, in: $1) },
            firstByte: all.places(of: .firstBytes).isEmpty
                ? []
                : [
                    Series(name: "p50", values: times.map { $0.quantile(0.5) }),
                    Series(name: "p99", values: times.map { $0.quantile(0.99) }),
                ])
    }
}

extension EventLine {
    init(_ event: StoreEvent) {
        var parts = [event.subject.isEmpty ? "the store" : event.subject]
        if let bytes = event.bytes { parts.append(Quantity.bytes(bytes)) }
        if let count = event.countText { parts.append(count) }
        if !event.detail.isEmpty { parts.append(event.detail) }
        parts.append("by \(event.program), pid \(event.pid)\(event.user.isEmpty ? "" : ", user \(event.user)")")
        self.init(time: event.at, text: parts.joined(separator: " · "), kind: event.kind.rawValue)
    }
}

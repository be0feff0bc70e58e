/// The charts of the last day.
enum ActivitySection {
    static func html(_ activity: Activity) -> HTML {
        let minutes = max(activity.interval / 60, 1)
        let charts = [
            Chart(
                title: "Hit ratio by tier: uses whose bytes were there", unit: .ratio, form: .lines,
                series: activity.hitRatio,
                interval: activity.interval),
            Chart(
                title: "Bytes read by source, per \(minutes) min", unit: .bytes, form: .columns, series: activity.bytes,
                interval: activity.interval),
            Chart(
                title: "Shards evicted, per \(minutes) min", unit: .count, form: .columns, series: activity.evictions,
                interval: activity.interval),
            Chart(
                title: "Time to the first byte of a fetch: median (p50), slowest of 100 (p99)", unit: .seconds,
                form: .lines, series: activity.firstByte,
                interval: activity.interval),
        ]
        return "<div class=\"charts\">\(charts.map(\.html))</div>"
    }
}

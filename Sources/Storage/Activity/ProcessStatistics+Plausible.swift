extension ProcessStatistics {
    /// Whether all numbers are counts, sizes and times that can be added and subtracted, and all texts can be printed. Another
    /// user of the store may have written the file.
    var isPlausible: Bool {
        let texts =
            [program, version, user] + tiers.flatMap { [$0.name, $0.policy] }
            + fetches.flatMap { [$0.model, $0.origin] } + holds.flatMap(\.texts)
        let numbers =
            [pid, startedAt ?? 0, updatedAt ?? 0] + tiers.flatMap(\.numbers)
            + fetches.flatMap { [$0.startedAt, $0.bytes, $0.total] } + holds.flatMap(\.leased.values)
        return numbers.allSatisfy { 0...Self.greatest ~= $0 }
            && activity.allSatisfy { 0...Double(Self.greatest) ~= $0.value } && texts.allSatisfy(Self.isPrintable)
            && holds.allSatisfy(\.hasPlausibleLayers)
    }

    /// More than any size; a hundred of them can be added.
    private static let greatest = 1 << 56

    private static func isPrintable(_ text: String) -> Bool {
        text.unicodeScalars.allSatisfy { $0.value >= 0x20 && !(0x7F...0x9F ~= $0.value) }
    }
}

extension ProcessStatistics.Tier {
    fileprivate var numbers: [Int] {
        [budget, bytes, loading, leased, evictable, shards, hits, misses, loaded, evictions, failures]
    }
}

extension ProcessStatistics.Hold {
    fileprivate var texts: [String] {
        var texts = [revision, model]
        texts += leased.keys
        if let layers { texts += layers.keys }
        return texts
    }

    fileprivate var hasPlausibleLayers: Bool { layers?.values.allSatisfy(\.isPlausible) ?? true }
}

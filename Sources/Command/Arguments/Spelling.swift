import WeightStore

/// Names that a misspelled word may mean.
enum Spelling {
    /// The names nearest to a word, at most three, the nearest first: those with few changed, missing, additional or
    /// swapped letters. The last part of `org/name` stands for the whole.
    static func nearest(_ word: String, in names: [String]) -> [String] {
        let most = max(1, min(word.count / 3, 3))
        let candidates = names.map { name -> (name: String, distance: Int) in
            let last = name.split(separator: "/").last.map(String.init) ?? name
            let whole = distance(word, name, atMost: most)
            return (name, word.contains("/") || last == name ? whole : min(whole, distance(word, last, atMost: most)))
        }
        return candidates.filter { $0.distance <= most && $0.name != word }
            .sorted { ($0.distance, $0.name) < ($1.distance, $1.name) }.prefix(3).map(\.name)
    }

    /// "Did you mean 'ls'?"; nil if no name is near.
    static func question(_ word: String, in names: [String]) -> String? {
        let near = nearest(word, in: names).map { "'\($0)'" }
        return near.isEmpty ? nil : "Did you mean \(near.joined(separator: " or "))?"
    }

    /// The letters to change, insert, remove or swap with their neighbour, to make one word of the other; `limit` + 1 if
    /// there are more than `limit`.
    private static func distance(_ first: String, _ second: String, atMost limit: Int) -> Int {
        let (a, b) = (Array(first.lowercased()), Array(second.lowercased()))
        guard abs(a.count - b.count) <= limit else { return limit + 1 }
        // The rows of the table of all beginnings: the last two, and the one that is computed.
        var (before, last) = ([Int](), Array(0...b.count))
        for i in a.indices {
            var row = [i + 1]
            for j in b.indices {
                var least = min(last[j + 1] + 1, row[j] + 1, last[j] + (a[i] == b[j] ? 0 : 1))
                if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] { least = min(least, before[j - 1] + 1) }
                row.append(least)
            }
            (before, last) = (last, row)
        }
        return min(last[b.count], limit + 1)
    }
}

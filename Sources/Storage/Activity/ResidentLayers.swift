/// The layers of a revision that are resident in a memory tier of a process, each with all of its tensors.
///
/// A layer of which the tier has only some shards, or some experts of a tensor that stacks them, is not among them.
public struct ResidentLayers: Sendable, Equatable, Codable {
    /// The most ranges in the statistics of one process, of all revisions and tiers together.
    public static let mostRanges = 4096

    /// The numbers of the layers: ranges in ascending order that neither overlap nor touch.
    public private(set) var ranges: [ClosedRange<Int>] = []
    /// Whether the tensors outside layers are resident: embedding, final norm, head. False if there are none.
    public let outside: Bool
    /// Whether all resident layers are listed: false beyond ``mostRanges``.
    public private(set) var isComplete = true

    /// - Parameter layers: the numbers of the layers, ascending.
    package init(_ layers: some Sequence<Int>, outside: Bool) {
        self.outside = outside
        for layer in layers {
            // A number that follows another one is greater, so the subtraction cannot overflow.
            if let last = ranges.last, last.upperBound >= layer - 1 {
                ranges[ranges.count - 1] = last.lowerBound...layer
            } else {
                ranges.append(layer...layer)
            }
        }
    }

    /// Whether a layer is resident with all of its tensors.
    ///
    /// - Parameter layer: the number of the layer; nil means the tensors outside layers.
    public func contains(_ layer: Int?) -> Bool {
        layer.map { layer in ranges.contains { $0.contains(layer) } } ?? outside
    }

    package var isEmpty: Bool { ranges.isEmpty && !outside }

    /// For people: `layers 0–3, 7, tensors outside layers`.
    package var text: String {
        var parts = ranges.map { $0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound)–\($0.upperBound)" }
        if let first = parts.first {
            let isOne = ranges.count == 1 && ranges[0].count == 1
            parts[0] = (isOne ? "layer " : "layers ") + first
        }
        if outside { parts.append("tensors outside layers") }
        if !isComplete { parts.append("and others") }
        return parts.joined(separator: ", ")
    }

    /// Whether the ranges are as the initializer makes them.
    var isPlausible: Bool {
        ranges.count <= Self.mostRanges && (ranges.first?.lowerBound ?? 0) >= 0
            && zip(ranges, ranges.dropFirst()).allSatisfy { $0.upperBound < $1.lowerBound }
    }

    /// Removes the last ranges, so that at most so many are left.
    fileprivate mutating func limit(to most: Int) {
        guard ranges.count > most else { return }
        ranges.removeLast(ranges.count - most)
        isComplete = false
    }
}

extension ProcessStatistics {
    /// Removes ranges of layers of the last revisions, so that at most ``ResidentLayers/mostRanges`` are left.
    package mutating func limitLayers() {
        var left = ResidentLayers.mostRanges
        for index in holds.indices {
            for tier in holds[index].layers?.keys.sorted() ?? [] {
                holds[index].layers?[tier]?.limit(to: left)
                left -= holds[index].layers?[tier]?.ranges.count ?? 0
            }
        }
    }
}

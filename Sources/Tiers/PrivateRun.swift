import Files
import Support

/// Tensors that are neighbours in a shard, for which one mapping is made: a model of experts has more tensors than a process
/// may have mappings, and a copy of each takes longer.
///
/// No two tensors of a run have a byte in common, so that a write to one does not change another.
struct PrivateRun: Sendable {
    let shard: ResidentShard
    /// The place of the run in the blob.
    private(set) var range: Range<Int>
    /// The numbers of the tensors in the lease, and their places in the run.
    private(set) var parts: [(index: Int, range: Range<Int>)]

    /// The most bytes between two tensors of a run.
    private static let mostGap = 64 << 10
    /// The tensors of a run begin at multiples of this in the blob, and so in memory: the alignment of PyTorch's own. A small
    /// tensor that does not is alone, and then copied.
    private static let alignment = 64

    /// The most runs that the next tensor is compared with. Of more tensors with the same bytes, some are alone.
    private static let mostOpen = 16

    private init(_ shard: ResidentShard, _ range: Range<Int>, _ index: Int) {
        self.shard = shard
        self.range = range
        parts = [(index, 0..<range.count)]
    }

    /// Adds a tensor, unless it lies elsewhere or is not aligned.
    private mutating func add(_ place: Range<Int>, _ index: Int) -> Bool {
        let gap = place.lowerBound - range.upperBound
        let start = place.lowerBound - range.lowerBound
        guard 0...Self.mostGap ~= gap, range.lowerBound % Self.alignment == 0, place.lowerBound % Self.alignment == 0
        else { return false }
        parts.append((index, start..<start + place.count))
        range = range.lowerBound..<place.upperBound
        return true
    }

    /// The memory of each tensor.
    ///
    /// - Parameter whole: that of the run.
    func mapped(_ whole: PrivateMapping) -> [(index: Int, memory: PrivateMapping)] {
        if parts.count == 1 { return [(parts[0].index, whole)] }
        return parts.map { ($0.index, PrivateMapping($0.range, of: whole)) }
    }

    /// The runs of tensors, in the order of their first tensors. Tensors of zero bytes are in none.
    static func all(_ tensors: [LeasedTensor]) -> [PrivateRun] {
        var places: [ObjectIdentifier: [(index: Int, range: Range<Int>)]] = [:]
        var shards: [ResidentShard] = []
        for (index, tensor) in tensors.enumerated() {
            guard let shard = tensor.shard, tensor.entry.bytes > 0 else { continue }
            let start = tensor.entry.shardOffset
            let id = ObjectIdentifier(shard)
            if places[id] == nil { shards.append(shard) }
            places[id, default: []].append((index, start..<start + tensor.entry.bytes))
        }
        return shards.flatMap { shard in runs(of: places[ObjectIdentifier(shard)] ?? [], in: shard) }
    }

    private static func runs(of places: [(index: Int, range: Range<Int>)], in shard: ResidentShard) -> [PrivateRun] {
        var runs: [PrivateRun] = []
        // Those that the next tensor may continue: several if tensors have the same bytes.
        var open: [Int] = []
        for place in places.sorted(by: { ($0.range.lowerBound, $0.index) < ($1.range.lowerBound, $1.index) }) {
            open.removeAll { place.range.lowerBound - runs[$0].range.upperBound > mostGap }
            if open.contains(where: { runs[$0].add(place.range, place.index) }) { continue }
            if open.count == mostOpen { open.removeFirst() }
            open.append(runs.count)
            runs.append(PrivateRun(shard, place.range, place.index))
        }
        return runs
    }
}

import ModelFormats
import Storage

/// Which bytes of a revision are asked for.
public struct FetchSelection: Sendable {
    /// The tensors of these layers.
    public var layers: ClosedRange<Int>?
    /// Whole files, as a shell would choose them: `*.json`. `*` fits `/`, too.
    public var include: [String] = []
    /// These tensors, by file and name.
    private var tensors: [String: Set<String>]?
    private var files: Set<String>?
    /// These bytes of files.
    private var ranges: [String: Range<Int>]?

    public init(layers: ClosedRange<Int>? = nil, include: [String] = []) {
        self.layers = layers
        self.include = include
    }

    /// Nothing yet: the revision becomes known, and its bytes travel when they are used.
    package static let nothing = FetchSelection(files: [])

    /// These files, whole.
    init(files: [String]) { self.files = Set(files) }

    /// Some bytes of a file.
    init(file: String, in range: Range<Int>) { ranges = [file: range] }

    init(_ entries: [TensorEntry]) {
        tensors = Dictionary(grouping: entries, by: \.file).mapValues { Set($0.map(\.name)) }
    }

    var isEverything: Bool { layers == nil && include.isEmpty && tensors == nil && files == nil && ranges == nil }

    /// The shards of a file's plan that are asked for.
    func shards(path: String, _ layout: FileLayout, _ plan: ShardPlan) -> Set<Int> {
        if isEverything || files?.contains(path) == true || include.contains(where: { ShellPattern.matches($0, path) })
        {
            return Set(plan.shards.indices)
        }
        var wanted: Set<Int> = []
        if let ranges {
            guard let range = ranges[path] else { return [] }
            for place in plan.places {
                let bytes = place.offset..<place.offset + place.extent.length
                if bytes.overlaps(range) { wanted.insert(place.extent.shard) }
            }
            return wanted
        }
        var starts: Set<Int> = []
        for tensor in layout.tensors where tensor.bytes > 0 {
            let isWanted =
                tensors?[path]?.contains(tensor.name)
                ?? layers.map { TensorPlace(tensorName: tensor.name).layer.map($0.contains) ?? false } ?? false
            if isWanted { starts.insert(tensor.offset) }
        }
        for place in plan.places where starts.contains(place.offset) { wanted.insert(place.extent.shard) }
        return wanted
    }
}

import ModelFormats
import Storage
import Support

/// The bytes of a revision to fetch: the union of its properties, or all bytes if none is set.
public struct FetchSelection: Sendable {
    /// The tensors of these layers.
    public var layers: ClosedRange<Int>?
    /// Whole files whose paths match one of these shell patterns, such as `*.json`. `*` matches `/`, too.
    public var include: [String] = []
    /// Names of tensors, by file.
    private var tensors: [ByteText: Set<ByteText>]?
    private var files: Set<ByteText>?
    /// Byte ranges, by file.
    private var ranges: [ByteText: Range<Int>]?

    /// A selection of layers and files; without arguments, everything.
    public init(layers: ClosedRange<Int>? = nil, include: [String] = []) {
        self.layers = layers
        self.include = include
    }

    /// No bytes: the revision is added, and its bytes are fetched when they are used.
    package static let nothing = FetchSelection(files: [])

    /// Whole files.
    init(files: [String]) { self.files = Set(files.map { ByteText($0) }) }

    /// A range of a file's bytes.
    init(file: String, in range: Range<Int>) { ranges = [ByteText(file): range] }

    init(_ entries: [TensorEntry]) {
        tensors = Dictionary(grouping: entries) { ByteText($0.file) }.mapValues { Set($0.map { ByteText($0.name) }) }
    }

    var isEverything: Bool { layers == nil && include.isEmpty && tensors == nil && files == nil && ranges == nil }

    /// The shards of a file's plan that are selected.
    func shards(path: String, _ layout: FileLayout, _ plan: ShardPlan) -> Set<Int> {
        let file = ByteText(path)
        if isEverything || files?.contains(file) == true || include.contains(where: { ShellPattern.matches($0, path) })
        {
            return Set(plan.shards.indices)
        }
        var wanted: Set<Int> = []
        if let ranges {
            guard let range = ranges[file] else { return [] }
            for place in plan.places {
                let bytes = place.offset..<place.offset + place.extent.length
                if bytes.overlaps(range) { wanted.insert(place.extent.shard) }
            }
            return wanted
        }
        var starts: Set<Int> = []
        for tensor in layout.tensors where tensor.bytes > 0 {
            let isWanted =
                tensors?[file]?.contains(ByteText(tensor.name))
                ?? layers.map { TensorPlace(tensorName: tensor.name).layer.map($0.contains) ?? false } ?? false
            if isWanted { starts.insert(tensor.offset) }
        }
        for place in plan.places where starts.contains(place.offset) { wanted.insert(place.extent.shard) }
        return wanted
    }
}

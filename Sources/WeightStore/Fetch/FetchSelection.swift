import ModelFormats
import Storage
import Support

/// The bytes of a revision to fetch: the union of its properties, or all bytes if none is set.
public struct FetchSelection: Sendable {
    /// The tensors of these layers. A pull throws ``StorageError/notFound(kind:name:detail:)`` if the revision has none of
    /// them, or if one is beyond its last layer.
    public var layers: ClosedRange<Int>?
    /// Of the tensors of experts, only those of experts with these numbers; nil for all experts. Tensors that belong to
    /// no expert are not affected, nor are those that stack all experts of a layer. Without `layers`, it applies to all
    /// bytes. A pull throws as for `layers`.
    public var experts: ClosedRange<Int>?
    /// Whole files whose paths match one of these shell patterns, such as `*.json`. `*` matches `/`, too. A pull from a
    /// revision in which a pattern matches no file throws ``StorageError/notFound(kind:name:detail:)``.
    public var include: [String] = []
    /// Names of tensors, by file.
    private var tensors: [ByteText: Set<ByteText>]?
    private var files: Set<ByteText>?
    /// Byte ranges, by file.
    private var ranges: [ByteText: Range<Int>]?

    /// A selection of layers, experts and files; without arguments, everything.
    public init(layers: ClosedRange<Int>? = nil, experts: ClosedRange<Int>? = nil, include: [String] = []) {
        self.layers = layers
        self.experts = experts
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

    /// Checks that there is at least one of the layers, one of the experts, and a file for each pattern.
    ///
    /// - Parameters:
    ///   - numbers: those of the revision.
    ///   - paths: those of the revision's files.
    ///   - name: the name of the revision, for the error.
    /// - Throws: ``StorageError/notFound(kind:name:detail:)``; errors of `numbers` and `paths`.
    func check(
        _ numbers: @autoclosure () throws -> TensorNumbers, paths: @autoclosure () throws -> [String], of name: String
    ) throws {
        if !include.isEmpty { try checkPatterns(paths(), of: name) }
        guard layers != nil || experts != nil else { return }
        try numbers().check(layers: layers, experts: experts, of: name)
    }

    private func checkPatterns(_ paths: [String], of name: String) throws {
        guard let pattern = include.first(where: { pattern in !paths.contains { ShellPattern.matches(pattern, $0) } })
        else { return }
        let shown = paths.sorted { $0.precedes(inBytes: $1) }.prefix(20)
        let more = paths.count - shown.count
        throw StorageError.notFound(
            kind: "file", name: "\(name) \"\(pattern)\"",
            detail: paths.isEmpty
                ? "The revision has no files."
                : "The files are \(shown.joined(separator: ", "))\(more > 0 ? " and \(more) more" : "").")
    }

    var isEverything: Bool { experts == nil && isWholeRevision }

    /// Whether all bytes except those of unselected experts are selected.
    var isWholeRevision: Bool {
        layers == nil && (include.isEmpty || experts != nil) && tensors == nil && files == nil && ranges == nil
    }

    /// Whether the tensors of a place in the model are selected, by layer and expert.
    func contains(_ place: TensorPlace) -> Bool {
        if let experts, let expert = place.expert, !experts.contains(expert) { return false }
        guard let layers else { return experts != nil && isWholeRevision }
        return place.layer.map(layers.contains) ?? false
    }

    /// Whether a whole file is selected.
    func contains(file path: String) -> Bool {
        isEverything || files?.contains(ByteText(path)) == true
            || include.contains { ShellPattern.matches($0, path) }
    }

    /// The shards of a file's plan that are selected.
    func shards(path: String, _ layout: FileLayout, _ plan: ShardPlan) -> Set<Int> {
        let file = ByteText(path)
        if contains(file: path) { return Set(plan.shards.indices) }
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
                tensors?[file]?.contains(ByteText(tensor.name)) ?? contains(TensorPlace(tensorName: tensor.name))
            if isWanted { starts.insert(tensor.offset) }
        }
        for place in plan.places where starts.contains(place.offset) { wanted.insert(place.extent.shard) }
        if isWholeRevision { wanted.formUnion(plan.shards.indices.filter { plan.shards[$0].kind == .file }) }
        return wanted
    }
}

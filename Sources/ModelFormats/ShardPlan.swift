/// The division of a file into shards, at tensor boundaries.
///
/// * A tensor of 1 MiB or more that belongs to no expert is a shard of its own. A tensor that stacks all experts of a
///   layer (`ExpertStack`) is one, too.
/// * **An expert of a layer is one shard**: its tensors in this file, wherever they lie, sorted by name.
/// * Tensors below 1 MiB, and experts below 1 MiB as a whole, are packed with their neighbours of the same layer until
///   the pack has 1 MiB: first the tensors outside of the experts, by name, then the experts, by number.
/// * The bytes outside all tensors are one shard, in file order.
///
/// Each tensor of a shard is aligned to 64 bytes. So a file has at most bytes ÷ 1 MiB + layers + 2 shards, where the
/// bytes include this padding.
///
/// The plan depends only on the header, so the same file is always divided in the same way. A change of these rules
/// gets a new number, and `ShardPlan.init(_:rule:)` keeps the rules before it: the shards of a file that is fetched in
/// parts are all cut by the rule with which the file began.
package struct ShardPlan: Sendable {
    /// The content of a shard.
    package enum Kind: Sendable {
        /// One tensor.
        case tensor
        /// The tensors of one expert, or smaller tensors of one layer.
        case pack
        /// Bytes outside all tensors: headers, padding, files without tensors.
        case file
    }

    /// One planned shard.
    package struct Shard: Sendable, Equatable {
        package var kind: Kind
        package var bytes: Int
        package var layer: Int?
    }

    /// An extent, and its offset in the file.
    package struct Place: Sendable, Equatable {
        package var offset: Int
        package var extent: Extent
    }

    /// The rule of files without a number: an expert's tensors of 1 MiB or more are shards of their own, the smaller
    /// tensors of an expert are packed, and packs have up to 16 MiB.
    package static let firstRule = 1
    /// The rule by which new files are cut.
    package static let newestRule = 2

    /// The smallest tensor that is a shard of its own, in bytes.
    package static let tensorBytes = 1 << 20
    /// The size at which a pack is full, in bytes.
    static let packBytes = 1 << 20
    /// The largest pack of the first rule, in bytes.
    static let firstRulePackBytes = 16 << 20
    static let packAlignment = 64

    /// The number of the rule. A file that the newest rule cuts as the first one does has the number of the first, so
    /// that its manifest is the same whichever version made it.
    package private(set) var rule: Int
    /// The shards; extents refer to them by index.
    package private(set) var shards: [Shard] = []
    /// In file order, covering every byte.
    package private(set) var extents: [Extent] = []

    /// The offset of each extent in the file.
    private var offsets: [Int] = []
    /// The extents, sorted by shard, then by offset in the shard.
    private var byShard: [Int] = []
    /// The position of each shard's first extent in `byShard`, and the end.
    private var shardStarts: [Int] = []

    /// The extents in file order, each with its offset in the file.
    package var places: [Place] { extents.indices.map { Place(offset: offsets[$0], extent: extents[$0]) } }

    /// The extents of a shard, in the order of its bytes.
    package func places(of shard: Int) -> [Place] {
        extentNumbers(of: shard).map { Place(offset: offsets[$0], extent: extents[$0]) }
    }

    /// The numbers of the extents of a shard, in the order of its bytes.
    package func extentNumbers(of shard: Int) -> ArraySlice<Int> {
        byShard[shardStarts[shard]..<shardStarts[shard + 1]]
    }

    /// The number of extents of a shard.
    package func extentCount(of shard: Int) -> Int { shardStarts[shard + 1] - shardStarts[shard] }

    /// The offset of an extent in the file.
    package func offset(of extent: Int) -> Int { offsets[extent] }

    /// Plans the shards of a file by the newest rule.
    package init(_ layout: FileLayout) { self = Self.plans(layout).newest }

    /// Plans the shards of a file by the newest rule, and by the first one.
    ///
    /// - Returns: the newest plan, and the older one; nil if both divide the file in the same way.
    package static func plans(_ layout: FileLayout) -> (newest: ShardPlan, older: ShardPlan?) {
        let places = layout.tensors.map { TensorPlace(tensorName: $0.name) }
        let newest = ShardPlan(layout, places, rule: newestRule)
        let first = ShardPlan(layout, places, rule: firstRule)
        return newest.cutsAlike(first) ? (first, nil) : (newest, first)
    }

    /// Plans the shards of a file.
    ///
    /// - Parameter rule: `firstRule` to `newestRule`; a greater number counts as the newest.
    package init(_ layout: FileLayout, rule: Int) {
        self.init(
            layout, layout.tensors.map { TensorPlace(tensorName: $0.name) },
            rule: min(max(rule, Self.firstRule), Self.newestRule))
    }

    /// - Parameter places: those of the layout's tensors.
    private init(_ layout: FileLayout, _ places: [TensorPlace], rule: Int) {
        self.rule = rule
        var cut = Cut()
        var sorter = TensorSorter(rule: rule)
        for (tensor, place) in zip(layout.tensors, places) where tensor.bytes > 0 {
            cut.addGap(to: tensor.offset)
            if sorter.isShardOfItsOwn(tensor, place) {
                cut.add(tensor.bytes, to: Shard(kind: .tensor, bytes: tensor.bytes, layer: place.layer))
            } else {
                sorter.add(cut.extents.count, tensor, place)
                cut.add(tensor.bytes)
            }
        }
        cut.addGap(to: layout.bytes)
        for pack in sorter.packs() { cut.pack(pack) }
        (shards, extents) = (cut.shards, cut.extents)
        index()
    }

    private mutating func index() {
        offsets.reserveCapacity(extents.count)
        var offset = 0
        shardStarts = [Int](repeating: 0, count: shards.count + 1)
        for extent in extents {
            offsets.append(offset)
            offset += extent.length
            shardStarts[extent.shard + 1] += 1
        }
        for shard in shards.indices { shardStarts[shard + 1] += shardStarts[shard] }
        byShard = [Int](repeating: 0, count: extents.count)
        var ends = shardStarts
        for (number, extent) in extents.enumerated() {
            byShard[ends[extent.shard]] = number
            ends[extent.shard] += 1
        }
        for shard in shards.indices where extentCount(of: shard) > 1 {
            byShard[shardStarts[shard]..<shardStarts[shard + 1]].sort {
                extents[$0].shardOffset < extents[$1].shardOffset
            }
        }
    }

    /// Whether another plan of the same file has the same shards, regardless of their numbers.
    private func cutsAlike(_ other: ShardPlan) -> Bool {
        guard shards.count == other.shards.count, extents.count == other.extents.count else { return false }
        var numbers = [Int?](repeating: nil, count: shards.count)
        for (one, two) in zip(extents, other.extents) {
            if numbers[one.shard] == nil { numbers[one.shard] = two.shard }
            guard numbers[one.shard] == two.shard, one.shardOffset == two.shardOffset, one.length == two.length,
                shards[one.shard] == other.shards[two.shard]
            else { return false }
        }
        return true
    }
}

/// The shards and extents of a plan that is being made.
private struct Cut {
    private(set) var extents: [Extent] = []
    private(set) var shards: [ShardPlan.Shard] = []
    private var gap: Int?
    private var end = 0

    /// Adds the bytes up to `offset`, which belong to no tensor.
    mutating func addGap(to offset: Int) {
        guard offset > end else { return }
        let shard = gap ?? shards.count
        if gap == nil {
            gap = shard
            shards.append(.init(kind: .file, bytes: 0))
        }
        extents.append(Extent(shard: shard, shardOffset: shards[shard].bytes, length: offset - end))
        shards[shard].bytes += offset - end
        end = offset
    }

    /// Adds a tensor that is a shard.
    mutating func add(_ bytes: Int, to shard: ShardPlan.Shard) {
        extents.append(Extent(shard: shards.count, shardOffset: 0, length: bytes))
        shards.append(shard)
        end += bytes
    }

    /// Adds a tensor whose shard `pack` determines.
    mutating func add(_ bytes: Int) {
        extents.append(Extent(shard: -1, shardOffset: 0, length: bytes))
        end += bytes
    }

    /// Makes a shard of extents, in the order of its bytes.
    mutating func pack(_ pack: TensorSorter.Pack) {
        var bytes = 0
        for index in pack.extents {
            let offset = bytes.roundedUp(to: ShardPlan.packAlignment)
            extents[index].shard = shards.count
            extents[index].shardOffset = offset
            bytes = offset + extents[index].length
        }
        shards.append(.init(kind: pack.kind, bytes: bytes, layer: pack.layer))
    }
}

extension Int {
    func roundedUp(to alignment: Int) -> Int {
        (self + alignment - 1) / alignment * alignment
    }
}

/// Sorts the tensors that are not shards of their own into packs.
struct TensorSorter {
    /// A shard of several tensors, or of one small one.
    struct Pack {
        var kind: ShardPlan.Kind
        var layer: Int?
        /// Numbers of extents, in the order of the shard's bytes.
        var extents: [Int]
    }

    private struct Member {
        var extent: Int
        var name: String
        var bytes: Int
    }

    /// A unit that is in one pack as a whole: a tensor, or an expert.
    private struct Unit {
        var expert: Int?
        var members: [Member]

        /// The bytes from the first member to the end of the last, from an aligned place.
        var bytes: Int {
            members.reduce(0) { $0.roundedUp(to: ShardPlan.packAlignment) + $1.bytes }
        }

        /// The tensors outside of the experts are before the experts.
        static func precedes(_ left: Unit, _ right: Unit) -> Bool {
            switch (left.expert, right.expert) {
            case (nil, nil): Unit.isNameSorted(left.members[0], right.members[0])
            case (nil, _): true
            case (_, nil): false
            case (let one?, let two?): one < two
            }
        }

        static func isNameSorted(_ left: Member, _ right: Member) -> Bool {
            left.name.precedes(inBytes: right.name)
        }
    }

    private let rule: Int
    /// The tensors by layer and expert, and the order of their first tensors in the file.
    private var groups: [TensorPlace: [Member]] = [:]
    private var order: [TensorPlace] = []

    init(rule: Int) { self.rule = rule }

    func isShardOfItsOwn(_ tensor: TensorInfo, _ place: TensorPlace) -> Bool {
        tensor.bytes >= ShardPlan.tensorBytes && (rule == ShardPlan.firstRule || place.expert == nil)
    }

    mutating func add(_ extent: Int, _ tensor: TensorInfo, _ place: TensorPlace) {
        if groups[place] == nil { order.append(place) }
        groups[place, default: []].append(Member(extent: extent, name: tensor.name, bytes: tensor.bytes))
    }

    func packs() -> [Pack] {
        rule == ShardPlan.firstRule ? firstRulePacks() : newestRulePacks()
    }

    private func members(of place: TensorPlace) -> [Member] { groups[place, default: []].sorted(by: Unit.isNameSorted) }

    private func firstRulePacks() -> [Pack] {
        order.flatMap { place in
            Self.fill(members(of: place).map { Unit(members: [$0]) }, layer: place.layer) { bytes, next in
                bytes.roundedUp(to: ShardPlan.packAlignment) + next <= ShardPlan.firstRulePackBytes
            }
        }
    }

    private func newestRulePacks() -> [Pack] {
        var packs: [Pack] = []
        var layers: [TensorPlace: [Unit]] = [:]
        var layerOrder: [TensorPlace] = []
        for place in order {
            var layer = place
            layer.expert = nil
            let members = members(of: place)
            var units = members.map { Unit(members: [$0]) }
            if let expert = place.expert {
                let unit = Unit(expert: expert, members: members)
                if unit.bytes >= ShardPlan.tensorBytes {
                    packs.append(
                        Pack(
                            kind: members.count == 1 ? .tensor : .pack, layer: place.layer,
                            extents: members.map(\.extent)))
                    continue
                }
                units = [unit]
            }
            if layers[layer] == nil { layerOrder.append(layer) }
            layers[layer, default: []] += units
        }
        for layer in layerOrder {
            packs += Self.fill(layers[layer, default: []].sorted(by: Unit.precedes), layer: layer.layer) { bytes, _ in
                bytes < ShardPlan.packBytes
            }
        }
        return packs
    }

    /// Fills one pack after the other.
    ///
    /// - Parameter isOpen: whether a pack with so many bytes accepts a unit with so many.
    private static func fill(
        _ units: [Unit], layer: Int?, while isOpen: (_ bytes: Int, _ next: Int) -> Bool
    ) -> [Pack] {
        var packs: [Pack] = []
        var bytes = 0
        for unit in units {
            if packs.isEmpty || !isOpen(bytes, unit.bytes) {
                packs.append(Pack(kind: .pack, layer: layer, extents: []))
                bytes = 0
            }
            packs[packs.count - 1].extents += unit.members.map(\.extent)
            bytes = bytes.roundedUp(to: ShardPlan.packAlignment) + unit.bytes
        }
        return packs
    }
}

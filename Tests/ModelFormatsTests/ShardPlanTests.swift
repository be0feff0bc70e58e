import ModelFormats
import TestSupport
import Testing

@Suite("Plans of shards")
struct ShardPlanTests {
    /// A layout with the tensors in this order, and gaps between some of them.
    private func layout(_ tensors: [(name: String, bytes: Int)], header: Int = 100, gap: Int = 0) -> FileLayout {
        var offset = header
        let infos = tensors.enumerated().map { index, tensor in
            defer { offset += tensor.bytes + (index.isMultiple(of: 3) ? gap : 0) }
            return TensorInfo(
                name: tensor.name, dtype: "U8", shape: [tensor.bytes], offset: offset, bytes: tensor.bytes)
        }
        return FileLayout(format: .safetensors, bytes: offset, tensors: infos, metadata: [:])
    }

    /// The tensors of each shard by name, in the order of the shard's bytes.
    private func shards(_ layout: FileLayout, _ plan: ShardPlan) -> [[String]] {
        var names: [Int: String] = [:]
        for tensor in layout.tensors where tensor.bytes > 0 { names[tensor.offset] = tensor.name }
        return plan.shards.indices.map { plan.places(of: $0).compactMap { names[$0.offset] } }.filter { !$0.isEmpty }
    }

    /// Checks the invariants of each plan.
    private func check(_ layout: FileLayout, _ plan: ShardPlan, _ sourceLocation: SourceLocation = #_sourceLocation) {
        // Each byte of the file once.
        #expect(plan.extents.reduce(0) { $0 + $1.length } == layout.bytes, sourceLocation: sourceLocation)
        #expect(plan.extents.allSatisfy { $0.length > 0 }, sourceLocation: sourceLocation)
        let lengths = Dictionary(uniqueKeysWithValues: plan.places.map { ($0.offset, $0.extent.length) })
        for tensor in layout.tensors where tensor.bytes > 0 {
            #expect(lengths[tensor.offset] == tensor.bytes, "\(tensor.name)", sourceLocation: sourceLocation)
        }
        // Each byte of a shard once, or padding of less than 64 bytes.
        var seen = 0
        for (number, shard) in plan.shards.enumerated() {
            var end = 0
            for place in plan.places(of: number) {
                let padding = place.extent.shardOffset - end
                #expect(0..<64 ~= padding, sourceLocation: sourceLocation)
                #expect(
                    shard.kind == .file || place.extent.shardOffset.isMultiple(of: 64), sourceLocation: sourceLocation)
                #expect(place.extent.shard == number, sourceLocation: sourceLocation)
                end = place.extent.shardOffset + place.extent.length
                seen += 1
            }
            #expect(end == shard.bytes, sourceLocation: sourceLocation)
        }
        #expect(seen == plan.extents.count, sourceLocation: sourceLocation)
    }

    private static let names = [
        "model.embed_tokens.weight", "model.layers.0.self_attn.q_proj.weight", "model.layers.0.input_layernorm.weight",
        "model.layers.1.mlp.gate.weight", "model.layers.10.mlp.gate.weight", "vision.layers.0.mlp.fc1.weight",
        "model.norm.weight", "blk.0.ffn_up_exps.weight",
    ]

    @Test(
        "a plan covers each byte of a file once, in any order of its tensors, by each rule",
        arguments: 0..<40 * UInt64(Sweep.factor))
    func covers(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var tensors: [(name: String, bytes: Int)] = Self.names.map { ($0, 0) }
        for layer in 0..<Int.random(in: 1...2, using: &random) {
            for expert in 0..<Int.random(in: 1...12, using: &random) {
                for part in ["w1.weight", "w1.weight_scale_inv", "w2.weight", "w3.weight"] {
                    tensors.append(("model.layers.\(layer).block_sparse_moe.experts.\(expert).\(part)", 0))
                }
            }
        }
        for index in tensors.indices {
            tensors[index].bytes =
                switch Int.random(in: 0..<8, using: &random) {
                case 0: 0
                case 1: Int.random(in: (1 << 20) - 64...3 << 20, using: &random)
                case 2: Int.random(in: 300_000...1 << 20, using: &random)
                default: Int.random(in: 1...5000, using: &random)
                }
        }
        let layout = layout(
            tensors.shuffled(using: &random), header: random.chance(1, in: 4) ? 0 : 77,
            gap: random.chance(1, in: 2) ? 13 : 0)
        for rule in ShardPlan.firstRule...ShardPlan.newestRule {
            let plan = ShardPlan(layout, rule: rule)
            #expect(plan.rule == rule)
            check(layout, plan)
        }
        let plan = ShardPlan(layout)
        check(layout, plan)
        // An expert is in one shard, and no shard has two layers, or two large experts.
        var shardOfExpert: [TensorPlace: Int] = [:]
        var layers: [Int: TensorPlace] = [:]
        for tensor in layout.tensors where tensor.bytes > 0 {
            let shard = plan.places.first { $0.offset == tensor.offset }!.extent.shard
            var place = TensorPlace(tensorName: tensor.name)
            if place.expert != nil { #expect(shardOfExpert.updateValue(shard, forKey: place) ?? shard == shard) }
            place.expert = nil
            #expect(layers.updateValue(place, forKey: shard) ?? place == place)
            #expect(plan.shards[shard].layer == place.layer)
        }
        if plan.rule == ShardPlan.newestRule {
            let limit =
                (layout.bytes + 64 * layout.tensors.count) >> 20
                + layers.values.reduce(into: Set()) { $0.insert($1) }.count + 1
            #expect(plan.shards.count <= limit)
        }
    }

    @Test("a large expert is one shard, wherever its matrices and scales are in the file")
    func largeExperts() {
        func name(_ expert: Int, _ part: String) -> String { "model.layers.3.mlp.experts.\(expert).\(part)" }
        var tensors: [(String, Int)] = []
        for part in ["down_proj", "gate_proj", "up_proj"] {
            for expert in 0..<12 { tensors.append((name(expert, "\(part).weight_scale_inv"), 300)) }
        }
        tensors.append(("model.layers.3.mlp.gate.weight", 5000))
        for part in ["up_proj", "gate_proj", "down_proj"] {
            for expert in 0..<12 { tensors.append((name(expert, "\(part).weight"), 1_100_000)) }
        }
        let layout = layout(tensors)
        let plan = ShardPlan(layout)
        #expect(plan.rule == 2)
        let parts = [
            "down_proj.weight", "down_proj.weight_scale_inv", "gate_proj.weight", "gate_proj.weight_scale_inv",
            "up_proj.weight", "up_proj.weight_scale_inv",
        ]
        let found = Set(shards(layout, plan))
        #expect(found.count == 13)
        for expert in 0..<12 { #expect(found.contains(parts.map { name(expert, $0) })) }
        #expect(plan.shards.filter { $0.kind == .pack && $0.layer == 3 }.count == 13)
    }

    @Test(
        "small experts are packed whole, by number, behind the small tensors of their layer, until the pack has 1 MiB")
    func smallExperts() {
        var tensors: [(String, Int)] = [("model.layers.0.norm.weight", 1000), ("model.layers.0.a.weight", 1000)]
        for expert in 0..<24 {
            for part in ["b", "a"] { tensors.append(("model.layers.0.mlp.experts.\(expert).\(part)", 50_000)) }
        }
        // By name, 10 precedes 2.
        tensors.sort { $0.0 < $1.0 }
        let layout = layout(tensors)
        let plan = ShardPlan(layout)
        let found = shards(layout, plan)
        func expert(_ number: Int) -> [String] { ["a", "b"].map { "model.layers.0.mlp.experts.\(number).\($0)" } }
        #expect(
            found == [
                ["model.layers.0.a.weight", "model.layers.0.norm.weight"] + (0..<11).flatMap(expert),
                (11..<22).flatMap(expert), (22..<24).flatMap(expert),
            ])
    }

    @Test("a tensor that stacks all experts is a shard of its own")
    func stacks() {
        let layout = layout([
            ("blk.0.ffn_gate_exps.weight", 2 << 20), ("blk.0.ffn_up_exps.weight", 2 << 20),
            ("model.layers.0.mlp.experts.gate_up_proj", 1 << 20),
        ])
        #expect(ShardPlan(layout).shards.count { $0.kind == .tensor } == 3)
    }

    @Test("a file that both rules cut in the same way has the number of the first")
    func sameCut() {
        let dense = layout([
            ("model.layers.0.q.weight", 2 << 20), ("model.layers.0.norm.weight", 4096), ("model.norm.weight", 4096),
        ])
        #expect(ShardPlan(dense).rule == ShardPlan.firstRule)
        let opaque = FileLayout(format: .other, bytes: 10 << 20, tensors: [], metadata: [:])
        #expect(ShardPlan(opaque).rule == ShardPlan.firstRule)
        #expect(ShardPlan(opaque).shards.count == 1)
        // More than 1 MiB of small tensors.
        let many = layout((0..<5).map { ("model.layers.0.\($0).weight", 600_000) })
        let plan = ShardPlan(many)
        #expect(plan.rule == ShardPlan.newestRule)
        #expect(shards(many, plan).map(\.count) == [2, 2, 1])
        #expect(shards(many, ShardPlan(many, rule: ShardPlan.firstRule)).map(\.count) == [5])
        #expect(ShardPlan(layout([])).extents.count == 1)
        #expect(ShardPlan(layout([], header: 0)).extents.isEmpty)
    }

    @Test("the first rule is unchanged: each matrix of an expert alone, its small tensors in a pack of up to 16 MiB")
    func firstRule() {
        let prefix = "model.layers.0.mlp.experts.7"
        let layout = layout(
            [("\(prefix).a", 2 << 20), ("\(prefix).b", 1000), ("\(prefix).c", 1000)]
                + (0..<18).map { ("model.layers.0.x.\($0)", (1 << 20) - 64) })
        let plan = ShardPlan(layout, rule: ShardPlan.firstRule)
        let found = shards(layout, plan)
        #expect(found[0] == ["\(prefix).a"])
        #expect(found[1] == ["\(prefix).b", "\(prefix).c"])
        #expect(found[2...].map(\.count) == [16, 2])
    }

    // MARK: One pass over the file

    private let limits = ShardPlan.PassLimits(frontBytes: 4 << 20, bufferBytes: 64 << 20, openShards: 96)

    private func experts(_ count: Int, _ parts: [(String, Int)], byExpert: Bool) -> [(String, Int)] {
        func name(_ expert: Int, _ part: String) -> String { "model.layers.0.mlp.experts.\(expert).\(part)" }
        return byExpert
            ? (0..<count).flatMap { expert in parts.map { (name(expert, $0.0), $0.1) } }
            : parts.flatMap { part in (0..<count).map { (name($0, part.0), part.1) } }
    }

    @Test("scales before all matrices wait in memory, and no shard is read twice")
    func scalesFirst() {
        let scales = experts(64, [("w1.weight_scale", 40_000), ("w2.weight_scale", 40_000)], byExpert: false)
        let matrices = experts(64, [("w1.weight", 8 << 20), ("w2.weight", 8 << 20)], byExpert: true)
        var limits = limits
        #expect(ShardPlan(layout(scales + matrices)).scatteredShards(limits).isEmpty)
        limits.bufferBytes = 4 << 20
        #expect(!ShardPlan(layout(scales + matrices)).scatteredShards(limits).isEmpty)
    }

    @Test("the scales of small experts before all matrices do not need the memory of all packs")
    func smallScalesFirst() {
        let scales = experts(512, [("w1.weight_scale", 400)], byExpert: true)
        let matrices = experts(512, [("w1.weight", 256 << 10)], byExpert: true)
        let plan = ShardPlan(layout(scales + matrices))
        #expect(plan.shards.count { $0.kind == .pack } == 128)
        #expect(plan.scatteredShards(limits).isEmpty)
    }

    @Test("experts whose matrices are far from each other are read on their own beyond the limits, and others are not")
    func scattered() {
        let plan = ShardPlan(
            layout(experts(300, [("w1", 6 << 20), ("w2", 6 << 20), ("w3", 6 << 20)], byExpert: false)))
        let scattered = plan.scatteredShards(limits)
        #expect(scattered.count == 300 - limits.openShards)
        #expect(plan.scatteredShards(limits, among: [5, 6]).isEmpty)
        // The last matrix first: 12 MB of each expert would wait.
        let backwards = ShardPlan(
            layout(experts(300, [("w3", 6 << 20), ("w2", 6 << 20), ("w1", 6 << 20)], byExpert: false)))
        #expect(backwards.scatteredShards(limits).count > 290)
        let near = ShardPlan(layout(experts(300, [("w3", 6 << 20), ("w2", 6 << 20), ("w1", 6 << 20)], byExpert: true)))
        #expect(near.scatteredShards(limits).isEmpty)
    }
}

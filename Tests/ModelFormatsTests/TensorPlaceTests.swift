import ModelFormats
import Testing

@Suite("Layers and experts by name")
struct TensorPlaceTests {
    @Test("the example of every family is in its layer", arguments: TensorPlace.families)
    func families(family: TensorPlace.Family) {
        let place = TensorPlace(tensorName: family.example)
        #expect(place.layer == family.layer)
        #expect(place.expert == family.expert)
        #expect(place.stack.map { family.example.hasPrefix("\($0).\(family.layer).") } == true)
    }

    @Test("every row has an example of its own pattern, and no row appears twice")
    func rows() {
        for family in TensorPlace.families {
            // The words of a pattern stand in its example, in their order.
            var rest = family.example.split(separator: ".")[...]
            for part in family.pattern.split(separator: ".") {
                let wanted =
                    part
                    .replacing("N", with: "\(family.layer)")
                    .replacing("M", with: "\(family.expert ?? -1)")
                let index = rest.firstIndex(of: Substring(wanted))
                #expect(index != nil, "\(family.example) does not follow \(family.pattern)")
                rest = index.map { rest[($0 + 1)...] } ?? []
            }
            #expect((family.expert != nil) == family.pattern.contains("M."))
        }
        #expect(Set(TensorPlace.families.map(\.pattern)).count == TensorPlace.families.count)
    }

    @Test(
        "tensors outside every layer have no place",
        arguments: [
            "", ".", "...", "model.embed_tokens.weight", "lm_head.weight", "model.norm.weight", "wte.weight",
            "transformer.wpe.weight", "transformer.ln_f.bias", "token_embd.weight", "output.weight",
            "output_norm.weight", "bert.embeddings.word_embeddings.weight", "encoder.final_layer_norm.weight",
            "v.patch_embd.weight", "rope_freqs.weight", "vae.conv_in.weight", "classifier.0.weight",
            "0.weight",
            "layers.weight", "model.layers.weight", "model.layers", "layers", "blk", "mm.0.weight",
        ])
    func outside(name: String) {
        #expect(TensorPlace(tensorName: name) == TensorPlace(tensorName: "x"))
        #expect(TensorPlace(tensorName: name).layer == nil)
        #expect(TensorPlace(tensorName: name).stack == nil)
        #expect(TensorPlace(tensorName: name).expert == nil)
    }

    @Test(
        "a number that only looks like a layer's has no place",
        arguments: [
            "model.layers.-1.w", "model.layers.+1.w", "model.layers.01.w", "model.layers.00.w",
            "model.layers.1a.w",
            "model.layers. 1.w", "model.layers..w", "model.layers.1e3.w", "model.layers.٣.w",
            "model.layers.１.w",
            "model.layers.9223372036854775808.w", "model.layers.18446744073709551617.w",
            "model.layers.99999999999999999999999999999999999999.w", "model.layers.3", "layers.3", "3.layers",
            "mylayers.3.w", "layers3.w", "Layers.3.w", "model.layers_3.w",
        ])
    func noNumber(name: String) {
        #expect(TensorPlace(tensorName: name).layer == nil)
    }

    @Test("the greatest number that fits is a layer")
    func greatestNumber() {
        #expect(TensorPlace(tensorName: "layers.9223372036854775807.w").layer == .max)
        #expect(TensorPlace(tensorName: "layers.0.experts.9223372036854775807.w").expert == .max)
        #expect(TensorPlace(tensorName: "layers.0.experts.9223372036854775808.w").expert == nil)
    }

    @Test("the first number is the layer, and the text before it is its stack")
    func nested() {
        let swin = TensorPlace(tensorName: "encoder.layers.1.blocks.0.mlp.fc1.weight")
        #expect((swin.stack, swin.layer) == ("encoder.layers", 1))
        let wrapped = TensorPlace(tensorName: "language_model.model.layers.3.mlp.up_proj.weight")
        #expect((wrapped.stack, wrapped.layer) == ("language_model.model.layers", 3))
        let tower = TensorPlace(tensorName: "v.blk.3.attn_q.weight")
        #expect((tower.stack, tower.layer) == ("v.blk", 3))
        #expect(TensorPlace(tensorName: "layers.x.layers.2.w").layer == 2)
        #expect(TensorPlace(tensorName: "layers.01.layers.2.w").stack == "layers.01.layers")
    }

    @Test("an expert is inside a layer")
    func experts() {
        #expect(TensorPlace(tensorName: "experts.3.w") == TensorPlace(tensorName: "x"))
        #expect(TensorPlace(tensorName: "experts.3.layers.1.w").expert == nil)
        #expect(TensorPlace(tensorName: "model.layers.1.mlp.experts.gate_up_proj").expert == nil)
        #expect(TensorPlace(tensorName: "model.layers.1.mlp.experts.3").expert == nil)
        #expect(TensorPlace(tensorName: "model.layers.1.mlp.shared_experts.up_proj.weight").expert == nil)
        #expect(TensorPlace(tensorName: "blk.1.ffn_gate_exps.weight").expert == nil)
        #expect(TensorPlace(tensorName: "model.layers.1.mlp.experts.expert_07.w").expert == nil)
        #expect(TensorPlace(tensorName: "model.layers.1.mlp.experts.2.experts.5.w").expert == 2)
    }

    @Test("any tensor name can be parsed")
    func anyName() {
        var random = SeededRandom(seed: 20)
        let parts = [
            "layers", "blk", "experts", "", "7", "00", "h", "é", "e\u{301}", "\0", "expert_1", "-", "ffn_up",
        ]
        for _ in 0..<5000 {
            let name = (0..<Int.random(in: 0..<9, using: &random))
                .map { _ in parts.randomElement(using: &random)! }.joined(separator: ".")
            let place = TensorPlace(tensorName: name)
            #expect((place.stack == nil) == (place.layer == nil), "\(name)")
            #expect(place.expert == nil || place.layer != nil, "\(name)")
        }
    }
}

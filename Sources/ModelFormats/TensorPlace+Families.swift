extension TensorPlace {
    /// A naming scheme for the tensors of a model's layers.
    public struct Family: Sendable, Hashable {
        /// The beginning of the names, with `N` for the layer and `M` for the expert. A name may have further parts
        /// before the pattern. Parts between `N.` and `M` vary.
        public let pattern: String

        /// A tensor name of a published model.
        public let example: String

        /// The layer of the example.
        public let layer: Int

        /// The expert of the example; nil if the pattern has no `M`.
        public let expert: Int?

        /// The models and libraries that use the scheme.
        public let models: String

        init(_ pattern: String, _ example: String, layer: Int, expert: Int? = nil, _ models: String) {
            self.pattern = pattern
            self.example = example
            self.layer = layer
            self.expert = expert
            self.models = models
        }
    }

    /// The known naming schemes. `TensorPlace` derives its rules from these patterns, so a new row takes effect
    /// without further code.
    public static let families: [Family] = [
        // Language models in Transformers.
        Family(
            "model.layers.N.", "model.layers.17.self_attn.q_proj.weight", layer: 17,
            "Llama, Mistral, Qwen, Gemma, Phi-3, DeepSeek, OLMo, Granite"),
        Family(
            "model.decoder.layers.N.", "model.decoder.layers.5.fc1.weight", layer: 5,
            "OPT, BART, Whisper, NLLB"),
        Family(
            "transformer.h.N.", "transformer.h.11.attn.c_attn.weight", layer: 11,
            "GPT-2, GPT-J, Falcon, BLOOM, StarCoder"),
        Family("h.N.", "h.0.attn.c_attn.weight", layer: 0, "GPT-2 and BLOOM without their head"),
        Family(
            "gpt_neox.layers.N.", "gpt_neox.layers.31.attention.dense.weight", layer: 31,
            "GPT-NeoX, Pythia"),
        Family("transformer.blocks.N.", "transformer.blocks.8.attn.Wqkv.weight", layer: 8, "MPT, DBRX"),
        Family(
            "transformer.encoder.layers.N.", "transformer.encoder.layers.2.mlp.dense_h_to_4h.weight",
            layer: 2, "ChatGLM"),
        Family(
            "transformer.layer.N.", "distilbert.transformer.layer.4.ffn.lin1.weight", layer: 4,
            "DistilBERT, XLNet"),
        Family(
            "backbone.layers.N.", "backbone.layers.40.mixer.in_proj.weight", layer: 40,
            "Mamba, Mamba-2, Nemotron-H"),
        Family("blocks.N.", "rwkv.blocks.3.attention.key.weight", layer: 3, "RWKV, ViT in timm, Wan"),
        Family(
            "layers.N.", "layers.9.attention.wq.weight", layer: 9,
            "Llama and Mistral as their authors publish them"),
        // Encoders and encoder-decoders.
        Family(
            "encoder.layer.N.", "bert.encoder.layer.7.attention.self.query.weight", layer: 7,
            "BERT, RoBERTa, ELECTRA, ViT"),
        Family(
            "encoder.layers.N.", "vision_tower.vision_model.encoder.layers.3.mlp.fc1.weight", layer: 3,
            "CLIP, SigLIP, Whisper, wav2vec 2.0; the stages of Swin"),
        Family(
            "decoder.layers.N.", "decoder.layers.1.self_attention.linear_qkv.weight", layer: 1,
            "Megatron, Marian"),
        Family("encoder.block.N.", "encoder.block.3.layer.0.SelfAttention.q.weight", layer: 3, "T5, UMT5"),
        Family(
            "decoder.block.N.", "decoder.block.3.layer.1.EncDecAttention.q.weight", layer: 3,
            "T5, UMT5"),
        Family("visual.blocks.N.", "visual.blocks.30.attn.qkv.weight", layer: 30, "Qwen2-VL, Qwen2.5-VL"),
        Family(
            "resblocks.N.", "visual.transformer.resblocks.22.mlp.c_fc.weight", layer: 22,
            "CLIP as OpenAI and OpenCLIP publish it"),
        Family("stages.N.", "encoder.stages.2.layers.5.dwconv.weight", layer: 2, "ConvNeXt, ResNet, RegNet"),
        // Diffusion models.
        Family(
            "transformer_blocks.N.", "transformer_blocks.18.attn.to_q.weight", layer: 18,
            "Flux, SD3, PixArt, CogVideoX, Qwen-Image, LTX in Diffusers"),
        Family(
            "single_transformer_blocks.N.", "single_transformer_blocks.37.proj_mlp.weight", layer: 37,
            "Flux, AuraFlow in Diffusers"),
        Family(
            "joint_transformer_blocks.N.", "joint_transformer_blocks.2.attn.to_q.weight", layer: 2,
            "AuraFlow in Diffusers"),
        Family(
            "double_blocks.N.", "double_blocks.4.img_attn.qkv.weight", layer: 4,
            "Flux, HunyuanVideo as their authors publish them"),
        Family(
            "single_blocks.N.", "single_blocks.12.linear1.weight", layer: 12,
            "Flux, HunyuanVideo as their authors publish them"),
        Family(
            "joint_blocks.N.", "model.diffusion_model.joint_blocks.23.x_block.attn.qkv.weight",
            layer: 23, "SD3 as its authors publish it"),
        Family(
            "down_blocks.N.", "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q.weight",
            layer: 1, "U-Nets of SD 1, SD 2, SDXL in Diffusers"),
        Family(
            "up_blocks.N.", "up_blocks.3.resnets.2.conv1.weight", layer: 3,
            "U-Nets of SD 1, SD 2, SDXL in Diffusers"),
        Family(
            "input_blocks.N.", "model.diffusion_model.input_blocks.7.1.proj_in.weight", layer: 7,
            "SD 1, SD 2, SDXL as their authors publish them"),
        Family(
            "output_blocks.N.", "model.diffusion_model.output_blocks.5.0.in_layers.2.weight", layer: 5,
            "SD 1, SD 2, SDXL as their authors publish them"),
        // GGUF.
        Family(
            "blk.N.", "blk.25.attn_q.weight", layer: 25,
            "every language model in GGUF; v.blk and a.blk in its projectors, enc.blk and dec.blk in T5"),
        // Mixtures of experts with a tensor for each expert.
        Family(
            "model.layers.N.mlp.experts.M.", "model.layers.3.mlp.experts.60.down_proj.weight",
            layer: 3, expert: 60, "DeepSeek-V2 and V3, Qwen2 and Qwen3 MoE, OLMoE, GLM-4.5, Kimi K2"),
        Family(
            "model.layers.N.block_sparse_moe.experts.M.",
            "model.layers.31.block_sparse_moe.experts.7.w1.weight", layer: 31, expert: 7,
            "Mixtral, MiniMax, Arctic"),
        Family(
            "model.layers.N.feed_forward.experts.M.",
            "model.layers.9.feed_forward.experts.15.up_proj.weight", layer: 9, expert: 15, "Jamba"),
        Family(
            "layers.N.ffn.experts.M.", "layers.4.ffn.experts.255.w2.weight", layer: 4, expert: 255,
            "DeepSeek-V3 as its inference code converts it"),
        Family(
            "encoder.block.N.layer.1.mlp.experts.expert_M.",
            "encoder.block.1.layer.1.mlp.experts.expert_6.wi.weight", layer: 1, expert: 6,
            "Switch Transformers, NLLB-MoE"),
        Family(
            "decoder.layers.N.mlp.deepspeed_moe.experts.deepspeed_experts.M.",
            "decoder.layers.2.mlp.deepspeed_moe.experts.deepspeed_experts.5.dense_h_to_4h.weight",
            layer: 2, expert: 5, "DeepSpeed-MoE"),
        Family(
            "blk.N.ffn_gate.M.", "blk.6.ffn_gate.3.weight", layer: 6, expert: 3,
            "Mixtral in GGUF files before April 2024"),
        Family(
            "blk.N.ffn_up.M.", "blk.6.ffn_up.3.weight", layer: 6, expert: 3,
            "Mixtral in GGUF files before April 2024"),
        Family(
            "blk.N.ffn_down.M.", "blk.6.ffn_down.3.weight", layer: 6, expert: 3,
            "Mixtral in GGUF files before April 2024"),
    ]
}

"""The models of the trials: five that engines load, and two states of one whose ref moves."""
import json, os, shutil, subprocess

import gguf, numpy, torch, transformers

REAL = "sentence-transformers/all-MiniLM-L6-v2"
LLAMA, QUANTISED, LARGE, MIXED, MOVING = "org/llama", "org/llama-GGUF", "big-org/large", "org/mixed", "org/moving"
# What transformers loads, what llama.cpp loads.
LOADED = (REAL, LLAMA)


def numbers(seed, *shape):
    return numpy.random.default_rng(seed).standard_normal(shape, dtype=numpy.float32) * 0.05


def write_llama(directory):
    """A model in four files of weights with an index, as transformers saves it."""
    torch.manual_seed(1)
    config = transformers.LlamaConfig(
        hidden_size=512, intermediate_size=1024, num_hidden_layers=6, num_attention_heads=8, num_key_value_heads=4,
        vocab_size=4096)
    transformers.LlamaForCausalLM(config).save_pretrained(directory, max_shard_size="20MB")


def write_gguf(path, layers=8, width=512):
    """A llama of F32 and Q8_0 tensors, with a vocabulary of bytes."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(256)
    writer.add_embedding_length(width)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(2 * width)
    writer.add_head_count(8)
    writer.add_head_count_kv(8)
    writer.add_rope_dimension_count(width // 8)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_file_type(7)
    tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)]
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * len(tokens))
    writer.add_token_types([2, 3, 3] + [6] * 256)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    quantise = lambda values: gguf.quants.quantize(values, gguf.GGMLQuantizationType.Q8_0)

    def matrix(name, rows, columns):
        values = quantise(numbers(len(name) + rows + columns, rows, columns))
        writer.add_tensor(name, values, raw_dtype=gguf.GGMLQuantizationType.Q8_0)

    matrix("token_embd.weight", len(tokens), width)
    matrix("output.weight", len(tokens), width)
    writer.add_tensor("output_norm.weight", numpy.ones(width, dtype=numpy.float32))
    for layer in range(layers):
        for part in ("attn_q", "attn_k", "attn_v", "attn_output"):
            matrix(f"blk.{layer}.{part}.weight", width, width)
        matrix(f"blk.{layer}.ffn_gate.weight", 2 * width, width)
        matrix(f"blk.{layer}.ffn_up.weight", 2 * width, width)
        matrix(f"blk.{layer}.ffn_down.weight", width, 2 * width)
        for part in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"blk.{layer}.{part}.weight", numpy.ones(width, dtype=numpy.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_mixed(directory):
    """Folders, unusual names, an empty file, and files that hold no tensors."""
    from safetensors.numpy import save_file

    files = {
        "model_index.json": b'{"_class_name": "Pipeline"}', "empty.txt": b"",
        "a name with spaces/gr\u00f6\u00dfe #1 (50%).json": b'{"a": 1}',
        "tokenizer.json": json.dumps(numbers(3, 20000).tobytes().hex()).encode(),
        "onnx/model.onnx": numbers(4, 300_000).tobytes(), "merges.txt": numbers(5, 9000).tobytes().hex().encode()}
    for path, data in files.items():
        place = os.path.join(directory, path)
        os.makedirs(os.path.dirname(place), exist_ok=True)
        with open(place, "wb") as file:
            file.write(data)
    for part, rows in (("unet", 3000), ("vae", 40)):
        os.makedirs(os.path.join(directory, part), exist_ok=True)
        save_file({"weight": numbers(rows, rows, 700)}, os.path.join(directory, part, "diffusion_pytorch_model.safetensors"))


def write_moving(directory, state):
    """A state of a model: a third of its tensors differ between states."""
    from safetensors.numpy import save_file

    os.makedirs(directory, exist_ok=True)
    tensors = {
        f"model.layers.{layer}.mlp.weight": numbers(layer + (1000 * state if layer % 3 == 0 else 0), 600, 700)
        for layer in range(12)}
    save_file(tensors, os.path.join(directory, "model.safetensors"))
    with open(os.path.join(directory, "config.json"), "w") as file:
        json.dump({"model_type": "moving", "state": state}, file)


def make(directory, tool, real):
    """Writes the models; {name: folder}, and the folders of the states of `MOVING`."""
    place = lambda name: os.path.join(directory, name.replace("/", "-"))
    shutil.copytree(real, place(REAL), dirs_exist_ok=True)
    write_llama(place(LLAMA))
    os.makedirs(place(QUANTISED), exist_ok=True)
    write_gguf(os.path.join(place(QUANTISED), "llama-Q8_0.gguf"))
    subprocess.run([tool, "generate", place(LARGE), "--like", "smollm2-135m"], check=True)
    write_mixed(place(MIXED))
    states = [os.path.join(directory, f"moving-{state}") for state in (1, 2)]
    for state, folder in enumerate(states, 1):
        write_moving(folder, state)
    return {name: place(name) for name in (REAL, LLAMA, QUANTISED, LARGE, MIXED)}, states

"""The models of the hub, and the commits that they get."""
import hashlib, json, os, struct

import numpy

# Files of this size or more are in LFS at the hub.
LARGE = 100_000


def digest(data):
    return hashlib.sha256(data).hexdigest()


def values(name, version, kind, shape):
    """The bytes of a tensor: finite numbers, the same for a name and a version."""
    seed = int.from_bytes(hashlib.sha256(f"{name} {version}".encode()).digest()[:8], "little")
    numbers = numpy.random.default_rng(seed).standard_normal(shape, dtype=numpy.float32) * 0.02
    return (numbers.view(numpy.uint32) >> 16).astype(numpy.uint16).tobytes() if kind == "BF16" else numbers.tobytes()


def safetensors(tensors):
    """A file of {name: (dtype, shape, bytes)}."""
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name, (kind, shape, data) in tensors.items():
        header[name] = {"dtype": kind, "shape": list(shape), "data_offsets": [offset, offset + len(data)]}
        offset += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + b"".join(data for _, _, data in tensors.values())


def gguf(versions, kind):
    """A GGUF file of unquantised and Q8_0 tensors; `kind` is its general.file_type."""
    def text(value):
        return struct.pack("<Q", len(value)) + value.encode()

    metadata = [("general.architecture", 8, text("llama")), ("general.file_type", 4, struct.pack("<I", kind))]
    head, body = b"", b""
    for name, version in versions.items():
        q8 = name.endswith("weight")
        rows, columns = (64, 256) if q8 else (1, 64)
        size = rows * columns // 32 * 34 if q8 else rows * columns * 4
        data = values(name + str(kind), version, "F32", (size // 4,))
        head += text(name) + struct.pack("<IQQIQ", 2, columns, rows, 8 if q8 else 0, len(body))
        body += data + bytes(-len(data) % 32)
    start = b"GGUF" + struct.pack("<IQQ", 3, len(versions), len(metadata))
    start += b"".join(text(key) + struct.pack("<I", kind) + value for key, kind, value in metadata) + head
    return start + bytes(-len(start) % 32) + body


class Llama:
    """A model that transformers loads, in two shards with an index."""

    name = "org/llama"
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 64, "intermediate_size": 128,
        "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 1024,
        "max_position_embeddings": 128, "torch_dtype": "float32", "tie_word_embeddings": False}

    def __init__(self):
        self.shapes = {"model.embed_tokens.weight": (1024, 64), "lm_head.weight": (1024, 64), "model.norm.weight": (64,)}
        for layer in range(3):
            for part, shape in {
                "self_attn.q_proj": (64, 64), "self_attn.k_proj": (32, 64), "self_attn.v_proj": (32, 64),
                "self_attn.o_proj": (64, 64), "mlp.gate_proj": (128, 64), "mlp.up_proj": (128, 64),
                "mlp.down_proj": (64, 128), "input_layernorm": (64,), "post_attention_layernorm": (64,),
            }.items():
                self.shapes[f"model.layers.{layer}.{part}.weight"] = shape
        self.tensors = list(self.shapes)

    def files(self, versions):
        places, out = {}, {}
        for number, half in enumerate([lambda n: "layers" in n, lambda n: "layers" not in n], 1):
            names = [name for name in self.shapes if half(name)]
            path = f"model-{number:05}-of-00002.safetensors"
            places |= {name: path for name in names}
            out[path] = safetensors(
                {n: ("F32", self.shapes[n], values(n, versions[n], "F32", self.shapes[n])) for n in names})
        total = sum(numpy.prod(shape) * 4 for shape in self.shapes.values())
        index = {"metadata": {"total_size": int(total)}, "weight_map": places}
        out["model.safetensors.index.json"] = json.dumps(index).encode()
        out["config.json"] = json.dumps(self.config).encode()
        return out


class GGUF:
    """Two quantisations of a model, for llama.cpp and Ollama."""

    name = "org/gguf"
    tensors = [f"blk.{n}.{part}" for n in range(12) for part in ("attn_q.weight", "ffn_up.weight", "attn_norm.bias")]

    def files(self, versions):
        return {"Tiny-Q4_K_M.gguf": gguf(versions, 15), "Tiny-Q8_0.gguf": gguf(versions, 7)}


class Large:
    """One file of several of the server's parts."""

    name = "big-org/large.model_1"
    tensors = [f"model.layers.{n}.mlp.weight" for n in range(36)]

    def files(self, versions):
        shape = (1024, 1024)
        return {
            "model.safetensors": safetensors({n: ("BF16", shape, values(n, v, "BF16", shape)) for n, v in versions.items()}),
            "config.json": b'{"model_type": "large"}'}


class Mixed:
    """Folders, unusual names, an empty file, and files without tensors on both sides of LFS."""

    name = "org/mixed"
    tensors = ["unet", "vae", "tokenizer", "onnx", "merges"]

    def files(self, versions):
        def part(name, shape):
            return safetensors({"weight": ("F32", shape, values(name, versions[name], "F32", shape))})

        return {
            "unet/diffusion_pytorch_model.safetensors": part("unet", (300, 300)),
            "vae/diffusion_pytorch_model.safetensors": part("vae", (40, 40)),
            "model_index.json": b'{"_class_name": "Pipeline"}',
            "empty.txt": b"",
            "a name with spaces/größe #1 (50%).json": b'{"a": 1}',
            "tokenizer.json": json.dumps(values("tokenizer", versions["tokenizer"], "F32", (20000,)).hex()).encode(),
            "onnx/model.onnx": values("onnx", versions["onnx"], "F32", (50_000,)),
            "merges.txt": values("merges", versions["merges"], "F32", (9000,)).hex().encode(),
        }


class Commit:
    def __init__(self, directory, files):
        self.directory, self.files, self.sha = directory, files, None

    def __str__(self):
        return (self.sha or "?")[:12]


class Model:
    """A repository of the hub: its commits, its refs, and its names."""

    def __init__(self, kind, root):
        self.kind, self.root = kind, root
        self.names, self.commits, self.gone, self.refs = [kind.name], [], set(), {}
        self.versions, self.extra, self.count = dict.fromkeys(kind.tensors, 0), {}, 0

    def commit(self, changed=(), add=None, remove=None):
        """Writes the files of a new commit; those that are the same are links to those of the last one."""
        self.count += 1
        for tensor in changed:
            self.versions[tensor] = self.count
        if add:
            path, size = add
            self.extra[path] = values(path, self.count, "F32", (size // 4 + 1,))[:size]
        if remove:
            self.extra.pop(remove)
        directory = f"commits/{self.kind.name.replace('/', '-')}-{self.count}"
        readme = f"commit {self.count} of {self.kind.name}\n".encode()
        files = {}
        last = self.commits[-1] if self.commits else None
        for path, data in (self.kind.files(self.versions) | self.extra | {"README.md": readme}).items():
            place = os.path.join(self.root, directory, path)
            os.makedirs(os.path.dirname(place), exist_ok=True)
            files[path] = len(data), digest(data)
            if last and last.files.get(path) == files[path]:
                os.link(os.path.join(self.root, last.directory, path), place)
            else:
                with open(place, "wb") as file:
                    file.write(data)
        commit = Commit(directory, files)
        self.commits.append(commit)
        return commit

    def read(self, commit, path):
        with open(os.path.join(self.root, commit.directory, path), "rb") as file:
            return file.read()

    @property
    def alive(self):
        return [commit for commit in self.commits if commit not in self.gone]

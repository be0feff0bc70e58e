#!/usr/bin/env python3
"""Writes files with the reference implementations of safetensors and GGUF, and a description of their contents.

    pip install safetensors numpy gguf
    Tests/formats-reference.py DIRECTORY
    WEIGHTSTORE_REFERENCE_FILES=DIRECTORY swift test --filter ReferenceFileTests

DIRECTORY/expected.json says for every file its tensors (name, dtype, shape as stored, offset,
bytes) and metadata, and for every index its weight map; and for many damaged safetensors files,
given in base64, the tensors that the reference finds in them or null where it refuses. The places are not computed the way the
readers compute them: each tensor's data is unlike that of any other, and is searched for in the
file. What the reference readers say is checked against it.
"""

import base64
import json
import os
import random
import sys

import gguf
import numpy as np
import safetensors
import safetensors.numpy


def content(number, count):
    """`count` bytes that no other number has."""
    return np.random.default_rng(number + 1).integers(0, 256, count, dtype=np.uint8)


def place(raw, data, start=0):
    """Where `data` is in the file `raw`: its only place behind the header."""
    if not len(data):
        return None
    offset = raw.find(bytes(data), start)
    assert offset >= 0 and raw.find(bytes(data), offset + 1) < 0, "the data is not there once"
    return offset


# Safetensors


def write_safetensors(path, tensors, metadata=None):
    """`tensors`: name to (dtype as the library names it, dtype in the file, shape, bytes)."""
    if not tensors:
        safetensors.numpy.save_file({}, path, metadata)
    else:
        specs = {
            name: safetensors.TensorSpec(
                dtype=dtype, shape=shape, data_ptr=data.ctypes.data, data_len=data.nbytes
            )
            for name, (dtype, _, shape, data) in tensors.items()
        }
        safetensors.serialize_file(specs, path, metadata=metadata)
    with open(path, "rb") as file:
        raw = file.read()
    start = 8 + int.from_bytes(raw[:8], "little")
    with safetensors.safe_open(path, framework="np") as file:
        order = file.offset_keys()
        assert (file.metadata() or {}) == (metadata or {})
    expected, end = [], start
    for name in order:
        _, dtype, shape, data = tensors[name]
        offset = place(raw, data, start)
        assert offset in (None, end), "the reference's order is not that of the data"
        expected.append(
            {"name": name, "dtype": dtype, "shape": list(shape), "offset": end, "bytes": len(data)}
        )
        end += len(data)
    assert end == len(raw)
    return {"format": "safetensors", "metadata": metadata or {}, "tensors": expected}


# The name in Python, the name in the file, bits.
TYPES = [
    ("bool", "BOOL", 8), ("uint8", "U8", 8), ("int8", "I8", 8), ("int16", "I16", 16),
    ("uint16", "U16", 16), ("float16", "F16", 16), ("bfloat16", "BF16", 16), ("int32", "I32", 32),
    ("uint32", "U32", 32), ("float32", "F32", 32), ("float64", "F64", 64), ("int64", "I64", 64),
    ("uint64", "U64", 64), ("complex64", "C64", 64), ("float8_e4m3fn", "F8_E4M3", 8),
    ("float8_e5m2", "F8_E5M2", 8), ("float8_e8m0fnu", "F8_E8M0", 8),
    ("float8_e4m3fnuz", "F8_E4M3FNUZ", 8), ("float8_e5m2fnuz", "F8_E5M2FNUZ", 8),
]  # fmt: skip


def every_type(number):
    tensors = {}
    for index, (python, name, bits) in enumerate(TYPES):
        shape = (3, 4 + index)
        count = 3 * (4 + index) * bits // 8
        tensors[f"model.layers.{index % 3}.{python}"] = (python, name, shape, content(number + index, count))
    # Two elements a byte: the library doubles the last dimension of the bytes.
    tensors["model.fp4"] = ("float4_e2m1fn_x2", "F4", (4, 8), content(number + 100, 32))
    specs = {}
    for name, (python, dtype, shape, data) in tensors.items():
        stored = (4, 16) if dtype == "F4" else shape
        specs[name] = (python, dtype, shape, data, stored)
    return specs


def safetensors_files(directory):
    files = {}

    path = "types.safetensors"
    specs = every_type(1000)
    written = write_safetensors(
        os.path.join(directory, path),
        {name: spec[:4] for name, spec in specs.items()},
        {"format": "np"},
    )
    for tensor in written["tensors"]:
        tensor["shape"] = list(specs[tensor["name"]][4])
    files[path] = written

    path = "shapes.safetensors"
    tensors = {}
    for index, (name, shape) in enumerate(
        {
            "scalar": (), "vector": (7,), "empty": (0,), "also.empty": (2, 0, 3), "deep": (1,) * 12 + (5,),
            "Zürich\n\"\\/\t\u0001 😀": (2, 3), "": (4,), "zz": (3, 3),
        }.items()
    ):  # fmt: skip
        count = int(np.prod(shape, dtype=np.int64)) * 4
        tensors[name] = ("float32", "F32", shape, content(2000 + index, count))
    files[path] = write_safetensors(
        os.path.join(directory, path), tensors, {'ü\n"': "ä\\\u001f", "format": "pt", "empty": ""}
    )

    path = "empty.safetensors"
    files[path] = write_safetensors(os.path.join(directory, path), {})

    # The array interface, as it is mostly used.
    path = "arrays.safetensors"
    arrays = {
        "b": np.arange(1, 13, dtype=np.float32).reshape(3, 4),
        "a": np.arange(101, 111, dtype=np.float16),
        "c": np.arange(50, 60, dtype=np.int64).reshape(2, 5),
    }
    safetensors.numpy.save_file(arrays, os.path.join(directory, path))
    with open(os.path.join(directory, path), "rb") as file:
        raw = file.read()
    names = {"float32": "F32", "float16": "F16", "int64": "I64"}
    found = [
        {
            "name": name, "dtype": names[array.dtype.name], "shape": list(array.shape),
            "offset": place(raw, array.tobytes()), "bytes": array.nbytes,
        }
        for name, array in arrays.items()
    ]  # fmt: skip
    files[path] = {
        "format": "safetensors", "metadata": {}, "tensors": sorted(found, key=lambda t: t["offset"]),
    }  # fmt: skip
    return files


def sharded(directory):
    """A model in three files and an index, as Transformers saves it."""
    files, weight_map, total = {}, {}, 0
    for shard in range(3):
        path = f"model-{shard + 1:05}-of-00003.safetensors"
        tensors = {}
        for layer in range(2):
            for index, part in enumerate(["self_attn.q_proj", "mlp.up_proj"]):
                name = f"model.layers.{shard * 2 + layer}.{part}.weight"
                data = content(3000 + shard * 10 + layer * 2 + index, 8 * 6 * 2)
                tensors[name] = ("bfloat16", "BF16", (8, 6), data)
                weight_map[name] = path
                total += len(data)
        files[path] = write_safetensors(os.path.join(directory, path), tensors, {"format": "pt"})
    path = "model.safetensors.index.json"
    index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))}
    with open(os.path.join(directory, path), "w", encoding="utf-8") as file:
        file.write(json.dumps(index, indent=2, sort_keys=True) + "\n")
    return files, {path: {"weightMap": weight_map, "totalBytes": total}}


def repeats(text):
    """Whether an object in the JSON text has a key twice."""
    counts = []
    json.loads(text, object_pairs_hook=lambda pairs: counts.append(len(pairs) - len(dict(pairs))))
    return any(counts)


def damaged(count):
    """Damaged files, and the reference's findings in them."""
    choose = random.Random(5000)
    numbers = ["0", "1", "2", "8", "16", "-1", "1.0", "1e1", "00", str(2**63), str(2**64), "null", '"4"']
    pieces = [
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        '"',
        "\\",
        " ",
        "\n",
        "\0",
        "\\u00e9",
        "\\ud800",
        "é",
        '"x":[{}],',
        "true",
    ]
    names = ["a", "b", "\\u0061", "__metadata__", "é"]
    dtypes = ["F32", "U8", "F4", "F6_E2M3", "BF16", "F64", "f32", "F5"]
    verdicts = []

    def entry(start):
        dtype, shape = choose.choice(dtypes[:6]), [
            choose.choice([0, 1, 2, 4]) for _ in range(choose.randrange(3))
        ]
        bits = {"F32": 32, "U8": 8, "F4": 4, "F6_E2M3": 6, "BF16": 16, "F64": 64}[dtype]
        end = start + int(np.prod(shape, dtype=np.int64)) * bits // 8
        fields = [f'"dtype":"{dtype}"', f'"shape":{shape}', f'"data_offsets":[{start},{end}]']
        choose.shuffle(fields)
        return "{" + ",".join(fields) + "}", end

    def damage(text):
        at = choose.randrange(len(text))
        kind = choose.randrange(6)
        if kind == 0:
            return text[:at] + text[at + choose.randrange(1, 4) :]
        if kind == 1:
            return text[:at] + choose.choice(pieces) + text[at:]
        if kind == 2:
            return text[:at] + choose.choice(pieces) + text[at + 1 :]
        if kind == 3:
            return text.replace(choose.choice("0124"), choose.choice(numbers), 1)
        if kind == 4:
            return text.replace(f'"{choose.choice(dtypes)}"', f'"{choose.choice(dtypes)}"', 1)
        other = choose.randrange(len(text))
        return text[:at] + text[other : other + choose.randrange(1, 30)] + text[at:]

    while len(verdicts) < count:
        end, entries = 0, []
        if choose.random() < 0.3:
            entries.append('"__metadata__":{"k":"v"}')
        for name in choose.sample(names, choose.randrange(1, 4)):
            text, end = entry(end)
            entries.append(f'"{name}":{text}')
        header = "{" + ",".join(entries) + "}" + " " * choose.randrange(3)
        for _ in range(choose.randrange(3)):
            header = damage(header) or "{"
        encoded = header.encode("utf-8", "surrogatepass")
        length = len(encoded) + choose.choice([0] * 20 + [1, -1, 2**63])
        size = end + choose.choice([0] * 20 + [1, -1])
        raw = max(0, length).to_bytes(8, "little") + encoded + bytes(max(0, size))
        try:
            found = [
                [name, info["dtype"], list(info["shape"]), len(info["data"])]
                for name, info in safetensors.deserialize(raw)
            ]
        except safetensors.SafetensorError:
            found = None
        if found is not None and repeats(encoded):
            continue  # The reference takes the last of a name, whatever the others say.
        verdicts.append({"file": base64.b64encode(raw).decode(), "tensors": found})
    return verdicts


# GGUF


def write_gguf(path, tensors, describe, **options):
    """`tensors`: name to (type, shape with the innermost dimension last, bytes of data)."""
    writer = gguf.GGUFWriter(path, "llama", **options)
    describe(writer)
    for name, (kind, shape, data) in tensors.items():
        block, size = gguf.GGML_QUANT_SIZES[kind]
        stored = (*shape[:-1], shape[-1] // block * size)
        writer.add_tensor(name, data.reshape(stored), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def expect_gguf(path, tensors):
    """The findings of gguf.GGUFReader, compared with the offsets of the data."""
    with open(path, "rb") as file:
        raw = file.read()
    reader = gguf.GGUFReader(path)
    expected = []
    for tensor in reader.tensors:
        kind, shape, data = tensors[tensor.name]
        assert tensor.tensor_type == kind and tensor.n_bytes == data.nbytes
        assert place(raw, data) == tensor.data_offset
        stored = [int(size) for size in tensor.shape]
        assert stored == list(reversed(shape))
        expected.append(
            {
                "name": tensor.name, "dtype": kind.name, "shape": stored,
                "offset": int(tensor.data_offset), "bytes": int(tensor.n_bytes),
            }
        )  # fmt: skip
    # Numbers are spelled differently everywhere; texts and whole numbers are compared.
    metadata = {}
    for field in reader.fields.values():
        if field.name.startswith("GGUF."):
            continue
        kind = field.types[0]
        if kind == gguf.GGUFValueType.ARRAY:
            metadata[field.name] = f"[{len(field.data)} × {field.types[-1].name.lower()}]"
        elif kind == gguf.GGUFValueType.BOOL:
            metadata[field.name] = "true" if field.contents() else "false"
        elif kind not in (gguf.GGUFValueType.FLOAT32, gguf.GGUFValueType.FLOAT64):
            metadata[field.name] = str(field.contents())
    return {"format": "gguf", "metadata": metadata, "tensors": expected}


def gguf_tensors(number):
    tensors = {}
    for index, (kind, (block, size)) in enumerate(gguf.GGML_QUANT_SIZES.items()):
        columns = block * (1 + index % 3) if block > 1 else 5 + index
        data = content(number + index, 3 * columns // block * size)
        tensors[f"blk.{index}.{kind.name.lower()}.weight"] = (kind, (3, columns), data)
    return tensors


def describe(writer):
    writer.add_uint8("test.uint8", 255)
    writer.add_int8("test.int8", -128)
    writer.add_uint16("test.uint16", 65535)
    writer.add_int16("test.int16", -32768)
    writer.add_uint32("test.uint32", 2**32 - 1)
    writer.add_int32("test.int32", -(2**31))
    writer.add_uint64("test.uint64", 2**64 - 1)
    writer.add_int64("test.int64", -(2**63))
    writer.add_float32("test.float32", 1.5)
    writer.add_float64("test.float64", -2.5)
    writer.add_bool("test.true", True)
    writer.add_bool("test.false", False)
    writer.add_string("test.string", "née\n😀")
    writer.add_array("test.strings", ["a", "", "né"])
    writer.add_array("test.numbers", [1, 2, 3])
    writer.add_array("test.floats", [1.0, 2.0])


def gguf_files(directory):
    files = {}
    tensors = gguf_tensors(4000)

    path = "types.gguf"
    write_gguf(os.path.join(directory, path), tensors, describe)
    files[path] = expect_gguf(os.path.join(directory, path), tensors)

    path = "aligned.gguf"
    some = {name: tensors[name] for name in list(tensors)[:7]}
    write_gguf(os.path.join(directory, path), some, lambda writer: writer.add_custom_alignment(256))
    files[path] = expect_gguf(os.path.join(directory, path), some)

    path = "vocabulary.gguf"
    write_gguf(os.path.join(directory, path), {}, lambda writer: writer.add_token_list(["a", "b"]))
    files[path] = expect_gguf(os.path.join(directory, path), {})

    write_gguf(os.path.join(directory, "split.gguf"), tensors, lambda writer: None, split_max_tensors=13)
    for path in sorted(os.listdir(directory)):
        if path.startswith("split-"):
            files[path] = expect_gguf(os.path.join(directory, path), tensors)
    return files


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    directory = sys.argv[1]
    os.makedirs(directory, exist_ok=True)
    files = safetensors_files(directory)
    shards, indexes = sharded(directory)
    files |= shards
    files |= gguf_files(directory)
    with open(os.path.join(directory, "expected.json"), "w", encoding="utf-8") as file:
        json.dump({"files": files, "indexes": indexes, "damaged": damaged(4000)}, file, indent=1)
    print(f"{len(files)} files and {len(indexes)} index in {directory}")


if __name__ == "__main__":
    main()

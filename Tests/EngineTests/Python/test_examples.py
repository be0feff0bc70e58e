"""The engines of Sources/CWeightStore/Examples, built and run.

Run by PythonTests.swift, with WEIGHTSTORE_TOOL and WEIGHTSTORE_LIBRARY. A test is skipped where its compiler is absent.
llama.cpp comes from the package llama-cpp-py-sync: its libraries, and the declarations that belong to them.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCES = os.path.normpath(os.path.join(HERE, "..", "..", "..", "Sources", "CWeightStore"))
LIBRARY = os.path.abspath(os.environ["WEIGHTSTORE_LIBRARY"])

# What the example uses of ggml.h, gguf.h and ggml-backend.h, which the package lacks.
GGML = """
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
struct ggml_context; struct gguf_context;
#include <llama.h>
struct ggml_init_params { size_t mem_size; void * mem_buffer; bool no_alloc; };
struct ggml_context * ggml_init(struct ggml_init_params params);
void ggml_free(struct ggml_context * ctx);
size_t ggml_tensor_overhead(void);
const char * ggml_type_name(enum ggml_type type);
struct ggml_tensor * ggml_new_tensor(struct ggml_context *, enum ggml_type, int n_dims, const int64_t * ne);
struct ggml_tensor * ggml_set_name(struct ggml_tensor *, const char *);
const char * ggml_get_name(const struct ggml_tensor *);
size_t ggml_nbytes(const struct ggml_tensor *);
void ggml_backend_tensor_set(struct ggml_tensor *, const void * data, size_t offset, size_t size);
enum gguf_type {
    GGUF_TYPE_UINT8, GGUF_TYPE_INT8, GGUF_TYPE_UINT16, GGUF_TYPE_INT16, GGUF_TYPE_UINT32, GGUF_TYPE_INT32, GGUF_TYPE_FLOAT32,
    GGUF_TYPE_BOOL, GGUF_TYPE_STRING, GGUF_TYPE_ARRAY, GGUF_TYPE_UINT64, GGUF_TYPE_INT64, GGUF_TYPE_FLOAT64, GGUF_TYPE_COUNT,
};
struct gguf_context * gguf_init_empty(void);
void gguf_free(struct gguf_context *);
void gguf_add_tensor(struct gguf_context *, const struct ggml_tensor *);
void gguf_set_val_str(struct gguf_context *, const char *, const char *);
void gguf_set_arr_str(struct gguf_context *, const char *, const char **, size_t);
void gguf_set_arr_data(struct gguf_context *, const char *, enum gguf_type, const void *, size_t);
""" + "".join(
    f"void gguf_set_val_{name}(struct gguf_context *, const char *, {kind});\n"
    for name, kind in (
        ("u8", "uint8_t"), ("i8", "int8_t"), ("u16", "uint16_t"), ("i16", "int16_t"), ("u32", "uint32_t"), ("i32", "int32_t"),
        ("u64", "uint64_t"), ("i64", "int64_t"), ("f32", "float"), ("f64", "double"), ("bool", "bool")))


def ran(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


class Examples(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        holder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(holder.cleanup)
        cls.folder, cls.store = holder.name, holder.name + "/store"
        # The linkers look for these names.
        cls.libraries = cls.folder + "/lib"
        os.mkdir(cls.libraries)
        for name in ("libweightstore.so", "libweightstore.so.1"):
            os.symlink(LIBRARY, f"{cls.libraries}/{name}")
        cls.paths = f"-Wl,-rpath,{cls.libraries}"

    def imported(self, name, folder):
        ran(os.environ["WEIGHTSTORE_TOOL"], "import", folder, "--name", name, "--store", self.store)

    def test_the_engine_in_c_sees_every_tensor(self):
        engine = self.folder + "/c-engine"
        ran("cc", "-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-I", SOURCES + "/Header",
            SOURCES + "/Examples/engine.c", "-o", engine, "-L", self.libraries, "-lweightstore", self.paths)
        self.check_engine(engine, "c")

    @unittest.skipUnless(shutil.which("rustc"), "needs rustc")
    def test_the_engine_in_rust_sees_every_tensor(self):
        engine = self.folder + "/rust-engine"
        ran("rustc", "-O", "--edition", "2021", "-D", "warnings", SOURCES + "/Examples/engine.rs", "-o", engine,
            "-L", "native=" + self.libraries, "-l", "dylib=weightstore", "-C", "link-args=" + self.paths)
        self.check_engine(engine, "rust")

    def check_engine(self, engine, name):
        import safetensors.numpy

        generator = np.random.default_rng(11)
        tensors = {
            f"model.layers.{layer}.weight": generator.integers(0, 9, (3, layer + 1), dtype=np.int32) for layer in range(3)}
        tensors["scalar"] = np.array(5, np.uint8)
        folder = f"{self.folder}/{name}"
        os.mkdir(folder)
        safetensors.numpy.save_file(tensors, folder + "/model.safetensors")
        self.imported("test/" + name, folder)
        kinds = {"int32": "I32", "uint8": "U8"}
        self.assertEqual(sorted(ran(engine, self.store, "test/" + name).splitlines()), sorted(
            f"tensor {name} {kinds[str(array.dtype)]} {','.join(map(str, array.shape))} {fnv(array.tobytes()):016x}"
            for name, array in tensors.items()))
        refused = subprocess.run([engine, self.store, "test/absent"], capture_output=True, text=True)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("test/absent", refused.stderr)

    @unittest.skipUnless(importlib.util.find_spec("llama_cpp_py_sync"), "needs the package llama-cpp-py-sync")
    def test_llama_cpp_computes_the_same_from_the_store_as_from_the_file(self):
        folder = self.folder + "/llama"
        os.mkdir(folder)
        path = folder + "/model.gguf"
        write_llama(path)
        self.imported("test/llama", folder)
        package = os.path.dirname(importlib.util.find_spec("llama_cpp_py_sync").origin)
        loads = subprocess.run([sys.executable, "-c", FROM_FILE], capture_output=True, text=True)
        if "GLIBC" in loads.stderr:
            self.skipTest(loads.stderr.strip().splitlines()[-1])
        include = self.folder + "/include"
        os.mkdir(include)
        with open(include + "/llama.h", "w") as header:
            header.write("#pragma once\n#include <stdbool.h>\n#include <stddef.h>\n#include <stdint.h>\n")
            header.write(declarations(package))
        with open(include + "/gguf.h", "w") as header:
            header.write("#pragma once\n" + GGML)
        with open(include + "/ggml-backend.h", "w") as header:
            header.write("#include <gguf.h>\n")
        program = self.folder + "/llama-engine"
        ran("cc", "-std=gnu11", "-Wall", "-Wextra", "-I", SOURCES + "/Header", "-isystem", include,
            SOURCES + "/Examples/llama.c", "-o", program, "-L", self.libraries, "-lweightstore", self.paths,
            package + "/libllama.so", package + "/libggml-base.so.0", "-Wl,-rpath," + package,
            "-Wl,-rpath-link," + package)
        tokens = ["1", "7", "42", "3", "99"]
        found = [float(line) for line in ran(program, self.store, "test/llama", *tokens).split()]
        expected = [float(line) for line in ran(
            sys.executable, "-c", FROM_FILE, path, *tokens).split()]
        self.assertEqual(len(found), 128)
        self.assertGreater(np.ptp(found), 0.1)
        self.assertEqual(found, expected)


def fnv(data):
    sum = 0xCBF29CE484222325
    for byte in data:
        sum = (sum ^ byte) * 0x100000001B3 % (1 << 64)
    return sum


def declarations(package):
    """The C declarations that the package has for its libraries."""
    with open(package + "/_cffi_bindings.py") as file:
        return file.read().split('_LLAMA_H_CDEF = """')[1].split('"""')[0]


# llama.cpp's own loader.
FROM_FILE = """if True:
    import sys
    from llama_cpp_py_sync._cffi_bindings import ffi, get_lib
    lib = get_lib()
    lib.llama_backend_init()
    model = lib.llama_model_load_from_file(sys.argv[1].encode(), lib.llama_model_default_params())
    context = lib.llama_init_from_model(model, lib.llama_context_default_params())
    tokens = ffi.new("llama_token[]", [int(token) for token in sys.argv[2:]])
    assert lib.llama_decode(context, lib.llama_batch_get_one(tokens, len(sys.argv) - 2)) == 0
    logits = lib.llama_get_logits_ith(context, -1)
    for index in range(lib.llama_vocab_n_tokens(lib.llama_model_get_vocab(model))):
        print("%.9g" % logits[index])
    """


def write_llama(path):
    """A Llama with random weights: some in F16, some quantized."""
    import gguf

    generator = np.random.default_rng(5)
    size, feed, vocabulary = 64, 128, 128
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(64)
    writer.add_embedding_length(size)
    writer.add_block_count(2)
    writer.add_feed_forward_length(feed)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(16)
    writer.add_vocab_size(vocabulary)
    writer.add_tokenizer_model("llama")
    writer.add_token_list([b"<unk>", b"<s>", b"</s>"] + [f"<0x{byte:02X}>".encode() for byte in range(125)])
    writer.add_token_scores([0.0] * vocabulary)
    writer.add_token_types([2, 3, 3] + [6] * 125)
    writer.add_bos_token_id(1)

    def matrix(name, rows, columns, quantized=False):
        values = (generator.standard_normal((rows, columns)) * 0.3).astype(np.float32)
        if quantized:
            kind = gguf.GGMLQuantizationType.Q8_0
            writer.add_tensor(name, gguf.quantize(values, kind), raw_dtype=kind)
        else:
            writer.add_tensor(name, values.astype(np.float16))

    matrix("token_embd.weight", vocabulary, size)
    matrix("output.weight", vocabulary, size, True)
    writer.add_tensor("output_norm.weight", np.ones(size, np.float32))
    for layer in range(2):
        block = f"blk.{layer}."
        for name in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"{block}{name}.weight", generator.random(size).astype(np.float32) + 0.5)
        matrix(block + "attn_q.weight", size, size, True)
        matrix(block + "attn_k.weight", size // 2, size)
        matrix(block + "attn_v.weight", size // 2, size, True)
        matrix(block + "attn_output.weight", size, size)
        matrix(block + "ffn_gate.weight", feed, size, True)
        matrix(block + "ffn_up.weight", feed, size)
        matrix(block + "ffn_down.weight", size, feed, True)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    unittest.main(verbosity=2)

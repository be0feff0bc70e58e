"""The Python package, beside safetensors on the same files.

Run by PythonTests.swift: with the package on PYTHONPATH, WEIGHTSTORE_LIBRARY, and WEIGHTSTORE_TOOL. Tests of
PyTorch are skipped without it.
"""

import asyncio
import ctypes
import gc
import http.server
import importlib.util
import json
import os
import queue
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
import traceback
import types
import unittest
import unittest.mock
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import safetensors
import safetensors.numpy

import weightstore
from directories import TemporaryStores

TORCH = importlib.util.find_spec("torch") is not None
DIRECTORY = tempfile.TemporaryDirectory()
STORE = os.path.join(DIRECTORY.name, "store")
# Where transformers keeps remote code.
os.environ["HF_HOME"] = os.path.join(DIRECTORY.name, "hugging-face")


def imported(name, write, *options):
    """Imports a directory that `write` fills, and returns its path."""
    path = os.path.join(DIRECTORY.name, name.replace("/", "-"))
    os.mkdir(path)
    write(path)
    subprocess.run(
        [os.environ["WEIGHTSTORE_TOOL"], "import", path, "--name", name, "--store", STORE, *options], check=True,
        stdout=subprocess.DEVNULL)
    return path


def evict_all():
    """Evicts all shards that have an origin."""
    evicted = subprocess.run(
        [os.environ["WEIGHTSTORE_TOOL"], "evict", "--free", "1G", "--store", STORE], stdout=subprocess.DEVNULL)
    # The store has less than that.
    if evicted.returncode != 13:
        raise AssertionError(f"evict: exit status {evicted.returncode}")


def some_tensors():
    generator = np.random.default_rng(7)
    tensors = {
        "model.embed_tokens.weight": generator.standard_normal((640, 512)).astype(np.float32),
        "model.norm.weight": generator.standard_normal(512).astype(np.float16),
        "scalar": np.array(7.5, np.float64),
        "empty": np.zeros((0, 5), np.float16),
        "flags": generator.random(13) > 0.5,
    }
    for layer in range(3):
        tensors[f"model.layers.{layer}.q_proj.weight"] = generator.standard_normal((512, 640)).astype(np.float32)
        tensors[f"model.layers.{layer}.norm.weight"] = generator.integers(-99, 99, (3, 5, 7)).astype(np.int16)
    return tensors


def setUpModule():
    global path, file
    tensors = some_tensors()

    def write(path):
        safetensors.numpy.save_file(tensors, path + "/model.safetensors", metadata={"format": "np", "by": "tests"})
        with open(path + "/config.json", "w") as config:
            json.dump({"model_type": "test"}, config)

    path = imported("test/model", write)
    file = path + "/model.safetensors"


def leased():
    gc.collect()
    return weightstore._safetensors._store(STORE).statistics("ram").leased


def cached(path):
    """The bytes of a file that are in the page cache."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        address = libc.mmap(None, ctypes.c_size_t(size), 1, 1, file.fileno(), ctypes.c_long(0))
    states = (ctypes.c_ubyte * ((size + 4095) // 4096))()
    assert libc.mincore(ctypes.c_void_p(address), ctypes.c_size_t(size), states) == 0
    libc.munmap(ctypes.c_void_p(address), ctypes.c_size_t(size))
    return sum(state & 1 for state in states) * 4096


def forked(test, body):
    """Runs a function in a forked child, which must end without an exception."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            body()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    test.assertEqual(os.waitpid(child, 0)[1], 0)


class Loading(unittest.TestCase):
    def test_the_counts_of_a_lease_are_known_after_its_release(self):
        revision = weightstore._safetensors._store(STORE).revision("test/model")
        lease = revision.lease()
        lease.release()
        self.assertEqual(len(lease), len(revision.tensors()))
        self.assertEqual(lease.bytes, sum(tensor.bytes for tensor in revision.tensors()))

    @unittest.skipUnless(TORCH, "needs PyTorch")
    def test_a_tensor_in_the_frames_of_an_error_has_its_bytes(self):
        import torch

        expected = next(iter(safetensors.numpy.load_file(file).items()))
        # PyTorch for other devices knows this one, and cannot use it.
        with weightstore.safe_open("test/model", "pt", device="xpu:0", store=STORE) as reader:
            try:
                reader.get_tensor(expected[0])
            except Exception as error:
                frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
            gc.collect()
            tensors = [value for frame in frames for value in frame.f_locals.values() if isinstance(value, torch.Tensor)]
            self.assertTrue(tensors)
            np.testing.assert_array_equal(tensors[0].numpy(), expected[1])
            del frames  # Among them is this function's, which has the list.

    def test_load_file_returns_the_arrays_of_safetensors_as_read_only_views(self):
        ours = weightstore.load_file("test/model", framework="np", store=STORE)
        theirs = safetensors.numpy.load_file(file)
        self.assertEqual(list(ours), [tensor.info.name for tensor in self.lease()])
        self.assertEqual(set(ours), set(theirs))
        for name, array in theirs.items():
            self.assertEqual((ours[name].dtype, ours[name].shape), (array.dtype, array.shape), name)
            np.testing.assert_array_equal(ours[name], array)
            self.assertFalse(ours[name].flags.writeable, name)
            with self.assertRaises(ValueError):
                ours[name][...] = 0

    def lease(self):
        return weightstore.open(STORE).revision("test/model").lease()

    def test_two_loads_share_their_memory(self):
        one = weightstore.load_file("test/model", framework="np", store=STORE)
        two = weightstore.load_file("test/model", framework="np", store=STORE)
        name = "model.embed_tokens.weight"
        self.assertEqual(one[name].ctypes.data, two[name].ctypes.data)

    def test_an_array_holds_its_bytes_as_long_as_it_lives_and_no_others(self):
        arrays = weightstore.load_file("test/model", framework="np", store=STORE)
        everything = leased()
        name = "model.layers.1.q_proj.weight"
        view = arrays[name].reshape(-1)[5:100]
        expected = view.copy()
        del arrays
        self.assertEqual(leased(), 512 * 640 * 4)
        self.assertLess(leased(), everything)
        np.testing.assert_array_equal(view, expected)
        del view
        self.assertEqual(leased(), 0)

    def test_arrays_outlive_the_store_that_they_came_from(self):
        store = weightstore.open(STORE)
        with store.revision("test/model").lease_tensor("model.embed_tokens.weight") as lease:
            array = lease["model.embed_tokens.weight"].numpy()
        store.close()
        gc.collect()
        np.testing.assert_array_equal(array, some_tensors()["model.embed_tokens.weight"])

    def test_many_threads_load_at_once(self):
        expected = safetensors.numpy.load_file(file)
        failures = []

        def load():
            try:
                for _ in range(5):
                    for name, array in weightstore.load_file("test/model", framework="np", store=STORE).items():
                        np.testing.assert_array_equal(array, expected[name])
            except BaseException as failure:
                failures.append(failure)

        threads = [threading.Thread(target=load) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])
        self.assertEqual(leased(), 0)

    def test_a_model_of_several_files_is_one_and_its_index_selects_the_files(self):
        tensors = some_tensors()
        names = sorted(tensors)

        def write(path):
            parts = {"model-1.safetensors": names[::2], "model-2.safetensors": names[1::2]}
            for part, chosen in parts.items():
                safetensors.numpy.save_file({name: tensors[name] for name in chosen}, f"{path}/{part}", {"part": part})
            safetensors.numpy.save_file({names[0]: tensors[names[0]]}, path + "/other.safetensors")
            with open(path + "/model.safetensors.index.json", "w") as index:
                json.dump({"weight_map": {name: part for part, chosen in parts.items() for name in chosen}}, index)

        imported("test/sharded", write)
        ours = weightstore.load_file("test/sharded", framework="np", store=STORE)
        self.assertEqual(set(ours), set(names))
        part = weightstore.load_file("test/sharded", framework="np", file="model-2.safetensors", store=STORE)
        self.assertEqual(set(part), set(names[1::2]))
        with weightstore.safe_open("test/sharded", "np", file="model-2.safetensors", store=STORE) as opened:
            self.assertEqual(opened.metadata(), {"part": "model-2.safetensors"})
        with self.assertRaises(FileNotFoundError):
            weightstore.load_file("test/sharded", framework="np", file="model-3.safetensors", store=STORE)

    def test_a_name_that_two_files_have_is_refused_unless_the_file_is_named(self):
        one = {"a": np.arange(3)}

        def write(path):
            safetensors.numpy.save_file(one, path + "/x.safetensors")
            safetensors.numpy.save_file({"a": np.arange(4)}, path + "/y.safetensors")

        imported("test/twice", write)
        with self.assertRaisesRegex(weightstore.SafetensorError, "x.safetensors and in y.safetensors"):
            weightstore.load_file("test/twice", framework="np", store=STORE)
        ours = weightstore.load_file("test/twice", framework="np", file="x.safetensors", store=STORE)
        np.testing.assert_array_equal(ours["a"], one["a"])

    def test_gguf_shapes_have_the_outermost_dimension_first(self):
        import gguf

        matrix = np.arange(96, dtype=np.float32).reshape(3, 32)
        quantized = np.arange(64, dtype=np.float32).reshape(2, 32)

        def write(path):
            writer = gguf.GGUFWriter(path + "/model.gguf", "llama")
            writer.add_tensor("blk.0.attn_q.weight", matrix)
            packed = gguf.quantize(quantized, gguf.GGMLQuantizationType.Q8_0)
            writer.add_tensor("blk.0.attn_k.weight", packed, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
            writer.write_header_to_file()
            writer.write_kv_data_to_file()
            writer.write_tensors_to_file()
            writer.close()

        imported("test/gguf", write)
        with weightstore.safe_open("test/gguf", "np", store=STORE) as opened:
            np.testing.assert_array_equal(opened.get_tensor("blk.0.attn_q.weight"), matrix)
            self.assertEqual(opened.get_slice("blk.0.attn_k.weight").get_shape(), [2, 32])
            for load in (
                lambda: opened.get_tensor("blk.0.attn_k.weight"), lambda: opened.get_slice("blk.0.attn_k.weight")[1:],
                lambda: opened.get_tensors(), lambda: lease["blk.0.attn_k.weight"].numpy(),
            ):
                with weightstore.open(STORE).revision("test/gguf").lease_layer(0) as lease, \
                        self.assertRaisesRegex(weightstore.SafetensorError, "Q8_0 of blk.0.attn_k.weight.*quantized=.raw"):
                    load()
        with weightstore.open(STORE).revision("test/gguf").lease_layer(0) as lease:
            memory = lease["blk.0.attn_k.weight"].memory()
        packed = gguf.quantize(quantized, gguf.GGMLQuantizationType.Q8_0)
        self.assertEqual(bytes(memory), packed.tobytes())
        # Quantized tensors as bytes, in the shape that the package gguf uses, too.
        raw = weightstore.load_file("test/gguf", framework="np", quantized="raw", store=STORE)
        np.testing.assert_array_equal(raw["blk.0.attn_q.weight"], matrix)
        self.assertEqual((raw["blk.0.attn_k.weight"].dtype, raw["blk.0.attn_k.weight"].shape), (np.uint8, (2, 34)))
        np.testing.assert_array_equal(raw["blk.0.attn_k.weight"], packed)
        with weightstore.safe_open("test/gguf", "np", quantized="raw", store=STORE) as opened:
            info = opened.info("blk.0.attn_k.weight")
            self.assertEqual((info.dtype, info.shape), ("Q8_0", (2, 32)))
            part = opened.get_slice("blk.0.attn_k.weight")
            self.assertEqual((part.get_dtype(), part.get_shape()), ("Q8_0", [2, 34]))

            def read():
                np.testing.assert_array_equal(opened.get_tensor("blk.0.attn_k.weight"), packed)
                np.testing.assert_array_equal(part[1:], packed[1:])
                np.testing.assert_array_equal(part[:, 3:9], packed[:, 3:9])
                np.testing.assert_array_equal(part[-1, 33], packed[-1, 33])

            read()
            forked(self, read)
        with self.assertRaisesRegex(weightstore.SafetensorError, "quantized .bytes."):
            weightstore.load_file("test/gguf", framework="np", quantized="bytes", store=STORE)
        if TORCH:
            raw = weightstore.load_file("test/gguf", quantized="raw", store=STORE)
            np.testing.assert_array_equal(raw["blk.0.attn_k.weight"].numpy(), packed)
            with weightstore.safe_open("test/gguf", "pt", quantized="raw", store=STORE) as opened:
                part = opened.get_slice("blk.0.attn_k.weight")[:, 3:9]
            np.testing.assert_array_equal(part.numpy(), packed[:, 3:9])
            with self.assertRaisesRegex(weightstore.SafetensorError, "quantized=.raw"):
                weightstore.load_file("test/gguf", store=STORE)

    def test_metadata_has_every_value_with_its_type(self):
        import gguf

        expected = {
            "general.architecture": "llama", "llama.block_count": 32, "a.u8": 255, "a.i8": -128, "a.u16": 65535,
            "a.i16": -32768, "a.i32": -(1 << 31), "a.u64": (1 << 64) - 1, "a.i64": -(1 << 63), "a.f32": 0.5,
            "a.f64": 1e-300, "a.yes": True, "a.text": "n\u00e9\nzwei", "a.empty": "",
            "tokenizer.ggml.tokens": ["", "n\u00e9", *(f"token {number}" for number in range(60000))],
            "tokenizer.ggml.scores": [0.25 * number for number in range(60002)],
            "tokenizer.ggml.token_type": [-1, 0, 6], "a.flags": [True, False],
        }

        def write(path):
            writer = gguf.GGUFWriter(path + "/vocabulary.gguf", "llama")
            writer.add_block_count(32)
            for add, key in (
                ("uint8", "u8"), ("int8", "i8"), ("uint16", "u16"), ("int16", "i16"), ("int32", "i32"), ("uint64", "u64"),
                ("int64", "i64"), ("float32", "f32"), ("float64", "f64"), ("bool", "yes"),
            ):
                getattr(writer, "add_" + add)("a." + key, expected["a." + key])
            writer.add_string("a.text", expected["a.text"])
            writer.add_key_value("a.empty", "", gguf.GGUFValueType.STRING)
            for key in ("tokenizer.ggml.tokens", "tokenizer.ggml.scores", "tokenizer.ggml.token_type", "a.flags"):
                writer.add_array(key, expected[key])
            writer.write_header_to_file()
            writer.write_kv_data_to_file()
            writer.write_tensors_to_file()
            writer.close()

        imported("test/metadata", write, "--any")
        revision = weightstore.open(STORE).revision("test/metadata")
        found = revision.metadata("vocabulary.gguf")
        self.assertEqual(found, expected)
        self.assertEqual(list(found)[:2], ["general.architecture", "llama.block_count"])
        self.assertIs(found["a.yes"], True)
        self.assertEqual([type(value) for value in found["a.flags"]], [bool, bool])
        self.assertEqual(revision.metadata("vocabulary.gguf"), expected)
        safe = weightstore.open(STORE).revision("test/model")
        self.assertEqual(safe.metadata("model.safetensors"), {"by": "tests", "format": "np"})
        self.assertEqual(safe.metadata("config.json"), {})
        with self.assertRaisesRegex(weightstore.NotFoundError, "absent.gguf"):
            revision.metadata("absent.gguf")

    def test_evicted_shards_are_fetched_from_their_origin(self):
        array = np.random.default_rng(3).standard_normal((600, 512)).astype(np.float32)
        path = os.path.join(DIRECTORY.name, "origin")
        os.mkdir(path)
        safetensors.numpy.save_file({"layers.0.weight": array}, path + "/model.safetensors")
        tool = [os.environ["WEIGHTSTORE_TOOL"]]
        end = ["--store", STORE]
        subprocess.run(
            tool + ["import", path, "--name", "test/origin", "--origin", "file://" + path] + end, check=True,
            stdout=subprocess.DEVNULL)
        evict_all()
        shards = [tensor.shard for tensor in weightstore.open(STORE).revision("test/origin").tensors()]
        self.assertFalse(os.path.exists(f"{STORE}/blobs/{shards[0][:2]}/{shards[0]}"))
        # A forked child can fetch, too: also through a reader that its parent has opened.
        with weightstore.safe_open("test/origin", "np", store=STORE) as reader:
            part = reader.get_slice("layers.0.weight")
            forked(self, lambda: np.testing.assert_array_equal(part[3:7, 5:], array[3:7, 5:]))
            for load in (
                lambda: reader.get_tensor("layers.0.weight"),
                lambda: weightstore.load_file("test/origin", framework="np", store=STORE)["layers.0.weight"],
            ):
                forked(self, lambda: np.testing.assert_array_equal(load(), array))
                evict_all()
        loaded = weightstore.load_file("test/origin", framework="np", store=STORE)
        np.testing.assert_array_equal(loaded["layers.0.weight"], array)


class Waiting(unittest.TestCase):
    """Calls that have to wait for an origin."""

    def evicted(self, name, *origins):
        """A revision whose bytes are at origins alone."""
        array = np.random.default_rng(len(name)).standard_normal((600, 512)).astype(np.float32)

        def write(path):
            safetensors.numpy.save_file({"layers.0.weight": array}, path + "/model-1.safetensors")
            with open(path + "/model.safetensors.index.json", "w") as index:
                # Bytes that no other revision has.
                json.dump({"metadata": {"name": name}, "weight_map": {"layers.0.weight": "model-1.safetensors"}}, index)

        imported(name, write, *(word for origin in origins for word in ("--origin", origin)), "--trust")
        # Only shards with an origin are evicted.
        evict_all()
        return weightstore._safetensors._store(STORE).revision(name)

    def test_signals_limits_and_cancellation_end_a_call_that_waits_for_a_silent_origin(self):
        class Alarm(Exception):
            pass

        def ring(*_):
            raise Alarm

        with socket.create_server(("127.0.0.1", 0)) as silent:
            revision = self.evicted("wait/silent", f"http://127.0.0.1:{silent.getsockname()[1]}")
            before = signal.signal(signal.SIGALRM, ring)
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.3)
                with self.assertRaises(Alarm):
                    revision.lease()
            finally:
                signal.signal(signal.SIGALRM, before)
            with self.assertRaises(TimeoutError), weightstore.Limit(0.2):
                revision.lease_layer(0)
            with self.assertRaises(weightstore.CancelledError), weightstore.Limit(3600), weightstore.Limit() as limit:
                threading.Timer(0.2, limit.cancel).start()
                weightstore.load_file(revision, framework="np")
            failures = []

            def lease():
                try:
                    with weightstore.Limit(0.2):
                        revision.read("model-1.safetensors")
                except weightstore.WeightStoreError as failure:
                    failures.append(failure)

            thread = threading.Thread(target=lease)
            thread.start()
            thread.join()
            self.assertEqual([type(failure) for failure in failures], [weightstore.TimedOutError])
            # The index of the files is at the origin, too.
            with self.assertRaises(TimeoutError), weightstore.Limit(0.2):
                revision.selected_files()
        # A limit that is over lets calls through that do not have to wait.
        with weightstore.open(STORE).revision("test/model") as resident, resident.lease_layer(0), weightstore.Limit(0):
            self.assertEqual(len(resident.lease_layer(0)), 2)
        self.assertEqual(leased(), 0)

    def test_a_limit_can_be_cancelled_while_its_block_ends(self):
        failures, is_over, interval = [], threading.Event(), sys.getswitchinterval()
        limits = []

        def cancel():
            while not is_over.is_set():
                try:
                    for limit in limits[-1:]:
                        limit.cancel()
                except weightstore.WeightStoreError as failure:
                    failures.append(failure)

        threads = [threading.Thread(target=cancel) for _ in range(4)]
        sys.setswitchinterval(1e-6)
        try:
            for thread in threads:
                thread.start()
            for _ in range(500):
                with weightstore.Limit() as limit:
                    limits[:] = [limit]
        finally:
            is_over.set()
            for thread in threads:
                thread.join()
            sys.setswitchinterval(interval)
        self.assertEqual(failures, [])

    def test_log_lines_go_to_a_function(self):
        class Absent(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_error(404)

            def log_message(self, *_):
                pass

        lines = queue.SimpleQueue()
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Absent)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        weightstore.set_log(lambda *line: lines.put(line))
        try:
            # The failure of the last origin is the error; that of another one is a line.
            hosts = ("127.0.0.1", "localhost")
            revision = self.evicted("wait/absent", *(f"http://{host}:{server.server_port}" for host in hosts))
            with self.assertRaises(weightstore.WeightStoreError):
                revision.lease()
            level, message = lines.get(timeout=60)
            self.assertEqual(level, "WARNING")
            self.assertIn("404", message)
        finally:
            weightstore.set_log(None)
            server.shutdown()
            server.server_close()


class Repositories(unittest.TestCase):
    """Repositories as they are on hubs: several sets of weights, components, adapters, rare types."""

    @staticmethod
    def save(path, tensors):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        safetensors.numpy.save_file(tensors, path)

    def load(self, name, **options):
        loaded = weightstore.load_file(name, framework="np", store=STORE, **options)
        return {name: array.tolist() for name, array in loaded.items()}

    def test_shards_are_loaded_without_the_consolidated_file_beside_them(self):
        def write(path):
            parts = {f"model-0000{number}-of-00002.safetensors": {f"layers.{number}.w": np.full(3, number)} for number in (1, 2)}
            for part, tensors in parts.items():
                self.save(f"{path}/{part}", tensors)
            self.save(path + "/consolidated.safetensors", {"layers.1.w": np.full(3, 9)})
            with open(path + "/model.safetensors.index.json", "w") as index:
                json.dump({"weight_map": {name: part for part, tensors in parts.items() for name in tensors}}, index)

        imported("repo/consolidated", write)
        self.assertEqual(self.load("repo/consolidated"), {"layers.1.w": [1] * 3, "layers.2.w": [2] * 3})
        self.assertEqual(self.load("repo/consolidated", file="consolidated.safetensors"), {"layers.1.w": [9] * 3})

    def test_a_component_of_a_pipeline_is_loaded_by_its_folder_without_its_variants(self):
        def write(path):
            for number, folder in enumerate(("unet", "vae")):
                stem = f"{path}/{folder}/diffusion_pytorch_model"
                self.save(stem + ".safetensors", {"conv_in.weight": np.full(2, number, np.float32)})
                self.save(stem + ".fp16.safetensors", {"conv_in.weight": np.full(2, 7, np.float16)})
            with open(path + "/model_index.json", "w") as index:
                json.dump({"_class_name": "Pipeline"}, index)

        imported("repo/pipeline", write)
        self.assertEqual(self.load("repo/pipeline", subfolder="vae"), {"conv_in.weight": [1.0, 1.0]})
        with self.assertRaisesRegex(weightstore.SafetensorError, "unet/.* and in vae/.*subfolder="):
            self.load("repo/pipeline")
        with self.assertRaises(FileNotFoundError):
            self.load("repo/pipeline", subfolder="text_encoder")
        with self.assertRaisesRegex(weightstore.SafetensorError, "exclude each other"):
            self.load("repo/pipeline", subfolder="vae", file="vae/diffusion_pytorch_model.safetensors")

    def test_an_adapter_is_loaded_alone_and_not_with_its_base(self):
        lora = {"base_model.model.model.layers.0.q_proj.lora_A.weight": np.ones((2, 3), np.float32)}

        def adapter(path):
            self.save(path + "/adapter_model.safetensors", lora)
            with open(path + "/adapter_config.json", "w") as config:
                json.dump({"peft_type": "LORA"}, config)

        def both(path):
            adapter(path)
            self.save(path + "/model.safetensors", {"w": np.zeros(1)})

        imported("repo/adapter", adapter, "--any")
        imported("repo/both", both)
        self.assertEqual(list(self.load("repo/adapter")), list(lora))
        self.assertEqual(list(self.load("repo/both")), ["w"])
        revision = weightstore.open(STORE).revision("repo/adapter")
        self.assertEqual([layer.number for layer in revision.layers()], [0])

    def test_tied_weights_are_the_tensors_that_the_file_has_and_equal_ones_share_their_bytes(self):
        embedding = np.random.default_rng(5).standard_normal((512, 600)).astype(np.float32)
        imported("repo/tied", lambda path: self.save(path + "/model.safetensors", {"embed": embedding}))
        imported(
            "repo/untied", lambda path: self.save(path + "/model.safetensors", {"embed": embedding, "lm_head": embedding.copy()}))
        self.assertEqual(list(self.load("repo/tied")), ["embed"])
        self.assertEqual(sorted(self.load("repo/untied")), ["embed", "lm_head"])
        tensors = weightstore.open(STORE).revision("repo/untied").tensors()
        self.assertEqual(len({tensor.shard for tensor in tensors}), 1)

    def test_an_index_whose_files_are_missing_selects_those_that_exist(self):
        def write(path):
            self.save(path + "/model-00001-of-00002.safetensors", {"a": np.ones(2)})
            with open(path + "/model.safetensors.index.json", "w") as index:
                json.dump({"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}, index)

        imported("repo/partial", write, "--partial")
        self.assertEqual(self.load("repo/partial"), {"a": [1.0, 1.0]})

    def test_a_file_is_read_by_its_bytes_whatever_its_name(self):
        def write(path):
            self.save(path + "/x.safetensors", {"layers.0.w": np.ones(2)})
            os.rename(path + "/x.safetensors", path + "/sha256-77308ca5c40c")

        imported("repo/blob", write)
        self.assertEqual(self.load("repo/blob"), {"layers.0.w": [1.0, 1.0]})
        with weightstore.safe_open("repo/blob", "np", store=STORE) as opened:
            self.assertEqual(opened.offset_keys(), ["layers.0.w"])

    def test_rare_types_scalars_and_empty_tensors_have_the_bytes_of_the_file(self):
        entries = {
            "scalar": ("F32", [], b"\0\0\x80\x3f"), "scale": ("F8_E8M0", [3], b"\x7f\x80\x81"),
            "fp4": ("F4", [2, 4], b"\x12\x34\x56\x78"), "none": ("BF16", [0, 7], b""),
        }
        header, data = {}, b""
        for name, (dtype, shape, content) in entries.items():
            header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(content)]}
            data += content
        text = json.dumps(header).encode()

        def write(path):
            with open(path + "/model.safetensors", "wb") as out:
                out.write(len(text).to_bytes(8, "little") + text + data)

        imported("repo/types", write)
        revision = weightstore.open(STORE).revision("repo/types")
        found = {tensor.name: (tensor.dtype, list(tensor.shape), tensor.bytes) for tensor in revision.tensors()}
        self.assertEqual(found, {name: (dtype, shape, len(content)) for name, (dtype, shape, content) in entries.items()})
        with revision.lease() as lease:
            for name, (_, _, content) in entries.items():
                self.assertEqual(bytes(lease[name].memory()) if content else b"", content, name)
            self.assertEqual(lease["scalar"].numpy().tolist(), 1.0)
        if not TORCH:
            self.skipTest("no torch")
        loaded = weightstore.load_file("repo/types", store=STORE)
        self.assertEqual(tuple(loaded["fp4"].shape), (2, 2))
        self.assertEqual((tuple(loaded["scale"].shape), tuple(loaded["none"].shape), loaded["scalar"].item()), ((3,), (0, 7), 1.0))


class SafeOpen(unittest.TestCase):
    def test_names_metadata_and_tensors_are_those_of_safetensors(self):
        with weightstore.safe_open("test/model", framework="np", store=STORE) as ours, \
                safetensors.safe_open(file, framework="np") as theirs:
            self.assertEqual(ours.keys(), theirs.keys())
            self.assertEqual(ours.offset_keys(), theirs.offset_keys())
            self.assertEqual(ours.metadata(), theirs.metadata())
            for name in theirs.keys():
                np.testing.assert_array_equal(ours.get_tensor(name), theirs.get_tensor(name))
                self.assertEqual(ours.get_slice(name).get_shape(), list(theirs.get_slice(name).get_shape()))
                self.assertEqual(ours.get_slice(name).get_dtype(), theirs.get_slice(name).get_dtype())

    def test_slices_are_those_of_safetensors_and_refused_where_it_refuses(self):
        chance = random.Random(11)

        def part(size):
            if chance.random() < 0.4:
                return chance.randint(-size - 2, size + 2)
            return slice(
                chance.choice([None, chance.randint(0, size + 1)]), chance.choice([None, chance.randint(0, size + 2)]))

        outcomes = {"same": 0, "refused": 0}
        with weightstore.safe_open("test/model", framework="np", store=STORE) as ours, \
                safetensors.safe_open(file, framework="np") as theirs:
            for _ in range(400):
                name = chance.choice(["model.layers.0.norm.weight", "model.norm.weight"])
                shape = theirs.get_slice(name).get_shape()
                index = tuple(part(size) for size in shape[:chance.randint(0, len(shape))])
                if any(isinstance(one, slice) and None not in (one.start, one.stop) and one.start > one.stop for one in index):
                    continue  # There safetensors 0.8 ends with a panic or an arithmetic error.
                try:
                    expected = theirs.get_slice(name)[index]
                except safetensors.SafetensorError as refusal:
                    with self.assertRaises(weightstore.SafetensorError) as caught:
                        ours.get_slice(name)[index]
                    self.assertEqual(str(caught.exception), str(refusal))
                    outcomes["refused"] += 1
                    continue
                found = ours.get_slice(name)[index]
                self.assertEqual(found.shape, expected.shape, index)
                np.testing.assert_array_equal(found, expected)
                outcomes["same"] += 1
        self.assertGreater(min(outcomes.values()), 20)

    def test_a_slice_reads_its_bytes_alone(self):
        rows = np.arange(16 << 20, dtype=np.uint32).reshape(1 << 12, 1 << 12)
        imported("slice/disk", lambda path: safetensors.numpy.save_file({"layers.0.w": rows}, path + "/model.safetensors"))
        with weightstore.open(STORE).revision("slice/disk") as revision:
            [tensor] = revision.tensors()
            blob = f"{STORE}/blobs/{tensor.shard[:2]}/{tensor.shard}"
            with open(blob, "rb") as stored:
                os.fsync(stored.fileno())
                os.posix_fadvise(stored.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            with weightstore.safe_open(revision, "np") as opened:
                self.assertEqual(int(opened.get_slice("layers.0.w")[512:1024].sum()), int(rows[512:1024].sum()))
                np.testing.assert_array_equal(opened.get_slice("layers.0.w")[7, 5:9], rows[7, 5:9])
            self.assertLess(cached(blob), tensor.bytes // 2)
            # 8 MiB of columns, and 3 rows.
            for offset, size, stride, count, expected in (
                    (1 << 11, 1 << 11, 1 << 14, 1 << 12, rows[:, 512:1024]), (5 << 14, 3 << 14, 0, 1, rows[5:8])):
                buffer = bytearray(size * count)
                revision.read_tensor("layers.0.w", buffer, offset=offset, size=size, stride=stride, count=count)
                self.assertEqual(bytes(buffer), np.ascontiguousarray(expected).tobytes())
            for wrong in (dict(offset=tensor.bytes, size=1), dict(offset=0, size=8, stride=4, count=2),
                          dict(offset=0, size=1 << 62, stride=1 << 62, count=8)):
                with self.assertRaises(weightstore.InvalidArgumentError):
                    revision.read_tensor("layers.0.w", bytearray(16), **wrong)
            with self.assertRaises(weightstore.InvalidArgumentError):
                revision.read_tensor("layers.0.w", bytearray(15), offset=0, size=16)
            with self.assertRaises(weightstore.NotFoundError):
                revision.read_tensor("layers.9.w", bytearray(16), offset=0, size=16)

    def test_a_slice_of_an_evicted_tensor_is_read_from_its_origin_and_the_rest_is_not(self):
        array = np.random.default_rng(5).standard_normal((1024, 1024)).astype(np.float32)
        path = os.path.join(DIRECTORY.name, "slice-origin")
        os.mkdir(path)
        safetensors.numpy.save_file({"layers.0.w": array}, path + "/model.safetensors")
        tool, end = os.environ["WEIGHTSTORE_TOOL"], ["--store", STORE]
        subprocess.run([tool, "import", path, "--name", "slice/origin", "--origin", "file://" + path, *end], check=True,
                       stdout=subprocess.DEVNULL)
        evict_all()
        with weightstore.open(STORE).revision("slice/origin") as revision:
            self.assertFalse(revision.is_stored("layers.0.w"))
            for framework in ("np", "pt") if TORCH else ("np",):
                with weightstore.safe_open(revision, framework) as opened:
                    part = opened.get_slice("layers.0.w")
                    for index in (slice(100, 200), (slice(None), slice(256, 512)), (3, slice(7, 9)), (slice(None), 5), 9):
                        np.testing.assert_array_equal(np.asarray(part[index]), array[index])
            self.assertFalse(revision.is_stored("layers.0.w"))
            # The whole tensor is fetched, checked and stored.
            with weightstore.safe_open(revision, "np") as opened:
                np.testing.assert_array_equal(opened.get_slice("layers.0.w")[:], array)
            self.assertTrue(revision.is_stored("layers.0.w"))

    def test_errors_are_of_the_kinds_that_safetensors_raises(self):
        with weightstore.safe_open("test/model", "np", store=STORE) as opened:
            with self.assertRaisesRegex(safetensors.SafetensorError, "File does not contain tensor nothing"):
                opened.get_tensor("nothing")
            with self.assertRaises(safetensors.SafetensorError):
                opened.get_slice("nothing")
            kept = opened.get_slice("scalar")
        for call in (opened.keys, opened.metadata, opened.offset_keys, lambda: opened.get_tensor("scalar")):
            with self.assertRaisesRegex(safetensors.SafetensorError, "File is closed"):
                call()
        self.assertEqual(kept[()], 7.5)
        with self.assertRaisesRegex(safetensors.SafetensorError, "framework nonsense is invalid"):
            weightstore.safe_open("test/model", "nonsense", store=STORE)
        with self.assertRaisesRegex(safetensors.SafetensorError, "not supported for framework numpy"):
            weightstore.safe_open("test/model", "np", "cuda:0", store=STORE)
        for wrong in ("no/such", "test/model@~9", "test/model@v9", "test/model@nothing"):
            with self.assertRaises(FileNotFoundError):
                weightstore.safe_open(wrong, "np", store=STORE)
        with self.assertRaises(weightstore.BadStoreError):
            weightstore.open("/nowhere/at/all")

    def test_without_ml_dtypes_the_error_says_how_to_read_bfloat16(self):
        header = json.dumps({"a": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}).encode()

        def write(path):
            with open(path + "/model.safetensors", "wb") as out:
                out.write(len(header).to_bytes(8, "little") + header + b"\x80\x3f\x00\x40")

        imported("test/bfloat", write)
        with weightstore._safetensors._store(STORE).revision("test/bfloat").lease() as lease:
            self.assertEqual(bytes(lease["a"].memory()), b"\x80\x3f\x00\x40")
            with self.assertRaises(RuntimeError):
                np.from_dlpack(lease["a"])
        self.assertEqual(leased(), 0)
        if importlib.util.find_spec("ml_dtypes") is None:
            with self.assertRaisesRegex(weightstore.SafetensorError, "framework=\"pt\""):
                weightstore.load_file("test/bfloat", framework="np", store=STORE)


class WrongArguments(unittest.TestCase):
    """Arguments of wrong types and sizes are refused with Python's errors."""

    def setUp(self):
        self.revision = weightstore.open(STORE).revision("test/model")

    def test_an_index_with_an_ellipsis_or_an_integer_of_numpy_is_that_of_safetensors(self):
        name = "model.embed_tokens.weight"
        with weightstore.safe_open("test/model", "np", store=STORE) as ours, safetensors.safe_open(file, "np") as theirs:
            for index in (..., np.int64(3), True, (..., 2), (1, ...), (slice(0, 2), np.int64(1))):
                np.testing.assert_array_equal(ours.get_slice(name)[index], theirs.get_slice(name)[index], str(index))
            np.testing.assert_array_equal(ours.get_slice("scalar")[...], theirs.get_slice("scalar")[...])
            with self.assertRaises(weightstore.SafetensorError):
                ours.get_slice(name)[..., ...]

    def test_names_are_strings_without_nul(self):
        store = self.revision.store
        for call in (weightstore.open, store.import_):
            with self.assertRaises(ValueError):
                call("a\0b")
        for call in (store.revision, store.revisions, store.pull, store.models, self.revision.lease_tensor, self.revision.read,
                     self.revision.metadata, store.statistics, lambda tier: self.revision.lease_rest(tier=tier)):
            with self.assertRaises(ValueError):
                call("a\0b")
            with self.assertRaises(ValueError):
                call("\ud800")
            for value in (b"test/model", 5):
                with self.assertRaisesRegex(TypeError, "must be a string"):
                    call(value)
        with self.assertRaises(TypeError):
            self.revision.lease_experts(0, (0, 1))
        with self.assertRaises(TypeError):
            weightstore.set_log(5)

    def test_a_time_that_is_never_over_is_no_limit(self):
        for seconds in (float("inf"), 1e300, 1 << 70):
            with weightstore.Limit(seconds):
                self.revision.lease_async(weightstore.Part.all()).result(seconds).release()
        for call in (weightstore.Limit, self.revision.lease_async(weightstore.Part.all()).result):
            with self.assertRaises(ValueError):
                call(float("nan"))

    def test_bytes_are_not_copied_into_python_objects(self):
        with self.assertRaisesRegex(ValueError, "objects"):
            self.revision.read_tensor("model.embed_tokens.weight", np.zeros(4, object), offset=0, size=8)

    def test_a_read_of_more_than_the_file_needs_no_more_memory(self):
        name = next(known.path for known in self.revision.files() if known.format == "safetensors")
        whole = self.revision.read(name)
        self.assertEqual(self.revision.read(name, 0, 1 << 60), whole)
        self.assertEqual(self.revision.read(name, 10), whole[10:])
        self.assertEqual(self.revision.read(name, len(whole) + 5, 1 << 60), b"")


class Store(unittest.TestCase):
    def test_the_contents_of_a_revision_are_listed_and_read(self):
        with weightstore.open(STORE) as store, store.revision("test/model@~1") as revision:
            self.assertEqual((revision.model, revision.version, revision.name), ("test/model", 1, "test/model@~1"))
            self.assertEqual([layer.number for layer in revision.layers()], [0, 1, 2])
            self.assertEqual({one.path: one.format for one in revision.files()},
                             {"config.json": "other", "model.safetensors": "safetensors"})
            with open(file, "rb") as original:
                self.assertEqual(revision.read("model.safetensors"), original.read())
            self.assertEqual(json.loads(revision.read("config.json")), {"model_type": "test"})
            self.assertEqual(revision.read("config.json", 2, 5), b"model")
            for wrong in ((-1, 5), (0, -1)):
                with self.assertRaises(ValueError):
                    revision.read("config.json", *wrong)
            found = {tensor.name: (tensor.shape, tensor.layer) for tensor in revision.tensors()}
            self.assertEqual(found["model.layers.2.norm.weight"], ((3, 5, 7), 2))
            self.assertEqual(found["scalar"], ((), None))

    def test_a_tier_that_verifies_reports_a_changed_bit(self):
        store = os.path.join(DIRECTORY.name, "flipped")
        subprocess.run(
            [os.environ["WEIGHTSTORE_TOOL"], "import", path, "--name", "test/flipped", "--store", store], check=True,
            stdout=subprocess.DEVNULL)
        blobs = [os.path.join(folder, name) for folder, _, names in os.walk(store + "/blobs") for name in names]
        blob = max(blobs, key=os.path.getsize)
        os.chmod(blob, 0o644)
        with open(blob, "r+b") as damaged:
            damaged.seek(1000)
            byte = damaged.read(1)[0]
            damaged.seek(1000)
            damaged.write(bytes([byte ^ 1]))
        with weightstore.open(store) as opened:
            opened.open_tier("ram", verifies=True)
            with self.assertRaises(weightstore.DamagedError):
                opened.revision("test/flipped").lease(tier="ram")

    def test_layers_are_prefetched_and_leased_in_a_tier_with_a_budget(self):
        with weightstore.open(STORE) as store:
            store.open_tier("host", budget=4 << 20, policy="lfu")
            with self.assertRaises(weightstore.WeightStoreError):
                store.open_tier("host")
            revision = store.revision("test/model")
            revision.prefetch(0, 1, tier="host")
            with revision.lease_layer(1, tier="host") as lease:
                array = np.from_dlpack(lease["model.layers.1.q_proj.weight"])
                np.testing.assert_array_equal(array, some_tensors()["model.layers.1.q_proj.weight"])
                self.assertFalse(array.flags.writeable)
            with self.assertRaises(weightstore.TierFullError):
                revision.lease(tier="host")
            with self.assertRaises(weightstore.DeviceError):
                revision.lease_layer(0, tier="cuda:63")
            self.assertGreater(store.statistics("host").leased, 0)
            del array
            gc.collect()
            self.assertEqual(store.statistics("host").leased, 0)

    def test_experts_of_a_layer_are_leased_alone_or_with_the_rest_of_the_layer(self):
        import weightstore.vllm

        def name(layer, expert):
            return f"model.layers.{layer}.mlp.experts.{expert}.up_proj.weight"

        tensors = {f"model.layers.{layer}.norm.weight": np.full(64, layer, np.int16) for layer in range(2)}
        for layer in range(2):
            for expert in range(4):
                tensors[name(layer, expert)] = np.full((1024, 1024), 4 * layer + expert, np.uint8)
        imported("test/mixture", lambda path: safetensors.numpy.save_file(tensors, path + "/model.safetensors"))
        with weightstore.open(STORE) as store:
            revision = store.revision("test/mixture")
            with revision.lease_experts(1, range(2, 4), tier="host") as lease:
                self.assertEqual([tensor.info.name for tensor in lease], [name(1, 2), name(1, 3)])
                np.testing.assert_array_equal(np.from_dlpack(lease[name(1, 3)]), tensors[name(1, 3)])
            self.assertLess(store.statistics("host").bytes, 3 << 20)
            with revision.lease_layer(0, experts=range(1), tier="host") as lease:
                self.assertEqual(
                    {tensor.info.name for tensor in lease}, {"model.layers.0.norm.weight", name(0, 0)})
            found = set()
            for lease in revision.stream(tier="host", experts=range(1, 3)):
                with lease:
                    found |= {tensor.info.name for tensor in lease}
            self.assertEqual(
                found, {name(layer, expert) for layer in range(2) for expert in (1, 2)}
                | {f"model.layers.{layer}.norm.weight" for layer in range(2)})
            for wrong in (range(0), range(0, 4, 2), range(3, 0, -1)):
                with self.assertRaises(ValueError):
                    revision.lease_experts(0, wrong)
            for absent in (
                    lambda: revision.lease_experts(0, range(7, 9)),
                    lambda: revision.lease_layer(0, experts=range(7, 9)),
                    lambda: revision.prefetch(0, 1, experts=range(7, 9)),
                    lambda: next(revision.stream(tier="host", experts=range(7, 9))),
                    lambda: next(weightstore.vllm.weights(revision, experts=range(7, 9)))):
                with self.assertRaises(weightstore.NotFoundError):
                    absent()

    def test_experts_of_a_tensor_that_stacks_them_are_leased_alone(self):
        stack, bias = (f"model.layers.0.mlp.experts.{name}" for name in ("down_proj", "down_proj_bias"))
        random = np.random.default_rng(1)
        tensors = {
            "model.layers.0.norm.weight": np.ones(33, np.int16),
            stack: random.integers(0, 256, (8, 64, 2049), np.uint8), bias: random.integers(0, 99, (8, 65), np.int16)}
        imported("test/stack", lambda path: safetensors.numpy.save_file(tensors, path + "/model.safetensors"))
        with weightstore.open(STORE) as store:
            revision = store.revision("test/stack")
            for tier in ("host", "ram"):
                before = store.statistics(tier).bytes if store.is_open(tier) else 0
                with revision.lease_experts(0, range(2, 4), tier=tier) as lease:
                    self.assertEqual(
                        [(tensor.info.name, tensor.info.expert) for tensor in lease],
                        [(stack, 2), (stack, 3), (bias, 2), (bias, 3)])
                    self.assertEqual(lease.bytes, 2 * (64 * 2049 + 65 * 2))
                    self.assertLessEqual(store.statistics(tier).bytes - before, lease.bytes)
                    for tensor in lease:
                        expected = tensors[tensor.info.name][tensor.info.expert]
                        np.testing.assert_array_equal(np.from_dlpack(tensor), expected)
                        np.testing.assert_array_equal(tensor.numpy(), expected)
                        if TORCH and tier == "ram":  # A private mapping.
                            np.testing.assert_array_equal(tensor.torch().numpy(), expected)
                    np.testing.assert_array_equal(np.from_dlpack(lease[stack]), tensors[stack][2])
            with revision.lease_layer(0, experts=range(2, 4), tier="ram") as lease:
                self.assertEqual(len(lease), 3)
                np.testing.assert_array_equal(lease[stack].numpy(), tensors[stack])
            with self.assertRaises(weightstore.NotFoundError):
                revision.lease_experts(0, range(8, 9))

    def test_the_loader_of_vllm_finds_the_experts_of_its_rank(self):
        import weightstore.vllm

        class Map:
            def __init__(self, *numbers):
                self.tolist = lambda: list(numbers)

        class Layer:
            def __init__(self, expert_map, eplb=False):
                self.expert_map, self.enable_eplb = expert_map, eplb

        class Model:
            def __init__(self, *layers):
                self.modules = lambda: [object(), *layers]

        known = weightstore.vllm.local_experts
        self.assertIsNone(known(Model()))
        self.assertIsNone(known(Model(Layer(None))))
        self.assertEqual(known(Model(Layer(Map(-1, -1, 0, 1)), Layer(Map(-1, 0, 1, -1)))), range(1, 4))
        self.assertIsNone(known(Model(Layer(Map(-1, 0)), Layer(Map(-1, 0), eplb=True))))
        # The files number the experts of two layers of the model together, or the model has copies of experts.
        self.assertEqual(known(Model(Layer(Map(-1, 0))), 2), range(1, 2))
        self.assertIsNone(known(Model(Layer(Map(-1, 0))), 4))
        self.assertIsNone(known(Model(Layer(Map(-1, -1, 0))), 2))

        class Block:
            enable_eplb = True

        self.assertIsNone(known(Model(Layer(Map(-1, 0)), Block()), 2))

    def test_an_unused_capsule_ends_its_lease(self):
        with weightstore.open(STORE) as store:
            with store.revision("test/model").lease_layer(0) as lease:
                capsules = [lease["model.layers.0.q_proj.weight"].__dlpack__(max_version=version) for version in (None, (1, 0))]
            gc.collect()
            self.assertGreater(store.statistics("ram").leased, 0)

            class Holder:
                def __dlpack_device__(self):
                    return 1, 0

                def __dlpack__(self, **_):
                    return capsules[1]

            # A capsule that other frames and lists refer to lives until it is consumed.
            array = np.from_dlpack(Holder())
            np.testing.assert_array_equal(array, some_tensors()["model.layers.0.q_proj.weight"])
            del capsules, array
            gc.collect()
            self.assertEqual(store.statistics("ram").leased, 0)

    def test_a_forked_child_opens_stores_of_its_own_and_so_does_its_child(self):
        arrays = weightstore.load_file("test/model", framework="np", store=STORE)
        store = weightstore.open(STORE)
        revision = store.revision("test/model")
        lease = revision.lease_layer(1)
        pending = revision.lease_async(weightstore.Part.layer(1))
        name = "model.layers.1.q_proj.weight"
        expected = some_tensors()

        def in_child(depth):
            with self.assertRaisesRegex(weightstore.ForkedError, "before the fork"):
                pending.result()
            np.testing.assert_array_equal(arrays[name], expected[name])
            with self.assertRaisesRegex(weightstore.ForkedError, "before the fork"):
                lease[name]
            with weightstore.Limit(60):
                loaded = weightstore.load_file("test/model", framework="np", store=STORE)
            for key, array in expected.items():
                np.testing.assert_array_equal(loaded[key], array)
            # SQLite acquires locks for this process, although its parent has the same files open.
            catalog = str(os.stat(os.path.join(STORE, "store.db")).st_ino)
            with open("/proc/locks") as locks:
                held = [line.split() for line in locks]
            self.assertTrue([lock for lock in held if str(os.getpid()) in lock and lock[5].endswith(":" + catalog)])
            # What the parent has opened is opened again.
            self.assertEqual([layer.number for layer in revision.layers()], [0, 1, 2])
            own = weightstore._safetensors._store(STORE)
            del loaded
            gc.collect()
            self.assertEqual(own.statistics("ram").leased, 0)
            with revision.lease_layer(2) as other:
                self.assertEqual(store.statistics("ram").leased, other.bytes)
            np.testing.assert_array_equal(
                revision.lease_async(weightstore.Part.layer(1)).result(60)[name].numpy(), expected[name])
            self.assertIn("test/model", [model.name for model in store.models()])
            if depth < 2:
                forked(self, lambda: in_child(depth + 1))

        for _ in range(2):
            forked(self, lambda: in_child(1))
        np.testing.assert_array_equal(lease[name].numpy(), expected[name])
        with revision.lease_layer(2):
            self.assertGreater(store.statistics("ram").leased, 0)

    def test_a_forked_child_opens_its_own_tier_with_the_budget_of_a_reader(self):
        def open_reader():
            return weightstore.safe_open("test/model", "np", store=store, budget="64MiB")

        def in_child():
            open_reader()
            self.assertEqual(store.statistics("ram").budget, 64 << 20)

        with weightstore.open(STORE) as store:
            open_reader()
            forked(self, in_child)

    def test_a_child_that_is_forked_while_a_thread_makes_many_tensors_collects_cycles(self):
        with weightstore._tensors.without_collection():
            self.assertFalse(gc.isenabled())
            forked(self, lambda: self.assertTrue(gc.isenabled()))
        self.assertTrue(gc.isenabled())
        gc.disable()
        try:
            with weightstore._tensors.without_collection():
                forked(self, lambda: self.assertFalse(gc.isenabled()))
            self.assertFalse(gc.isenabled())
        finally:
            gc.enable()

    def test_a_fork_within_a_limit_and_a_log_function_leaves_neither_to_the_child(self):
        lines = []
        weightstore.set_log(lambda level, message: lines.append(message))
        with weightstore.Limit(3600):
            weightstore.load_file("test/model", framework="np", store=STORE)

            def in_child():
                with weightstore.Limit(60):
                    weightstore.load_file("test/model", framework="np", store=STORE)

            forked(self, in_child)
        weightstore.set_log(None)

    def test_a_forked_child_without_a_copy_of_the_library_is_advised_to_spawn(self):
        program = textwrap.dedent(f"""
            import os, sys, weightstore
            def refuse(*_): raise OSError("no memory files")
            weightstore._copies.Copies.of = refuse
            store = weightstore.open({STORE!r})
            child = os.fork()
            if child == 0:
                try:
                    store.revision("test/model")
                except weightstore.ForkedError as refusal:
                    os._exit(0 if "spawn" in str(refusal) and "no memory files" in str(refusal) else 2)
                os._exit(3)
            sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
            """)
        ended = subprocess.run([sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True)
        self.assertEqual((ended.returncode, ended.stderr), (0, ""))

    def test_a_fork_without_free_descriptors_opens_none_for_good(self):
        program = textwrap.dedent(f"""
            import os, resource, weightstore
            weightstore.open({STORE!r}).models()
            limit = max(int(name) for name in os.listdir("/proc/self/fd")) + 64
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
            filled = []
            try:
                while True:
                    filled.append(os.dup(0))
            except OSError:
                pass
            for left in range(1, 6):
                os.close(filled.pop())
                child = os.fork()
                if child == 0:
                    os._exit(0)
                os.waitpid(child, 0)
                # As many as were closed are free; a fork that had enough of them has the copies for its children.
                free = []
                try:
                    while True:
                        free.append(os.dup(0))
                except OSError:
                    pass
                assert len(free) == left or weightstore._library._for_children is not None, (len(free), left)
                for descriptor in free:
                    os.close(descriptor)
            """)
        subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True)

    def test_a_forked_child_of_a_program_with_a_log_function_ends_without_a_message(self):
        program = textwrap.dedent(f"""
            import atexit, os, sys, weightstore
            store = weightstore.open({STORE!r})
            weightstore.set_log(print)
            child = os.fork()
            if child == 0:
                atexit._run_exitfuncs()
                os._exit(0)
            sys.exit(os.waitpid(child, 0)[1])
            """)
        ended = subprocess.run([sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True)
        self.assertEqual((ended.returncode, ended.stderr), (0, ""))

    def test_a_reader_that_was_opened_before_a_fork_reads_in_the_child(self):
        expected = some_tensors()
        reader = weightstore.safe_open("test/model", "np", store=STORE)
        part = reader.get_slice("model.embed_tokens.weight")

        def read():
            for name, array in expected.items():
                np.testing.assert_array_equal(reader.get_tensor(name), array)
                assert not reader.get_tensor(name).flags.writeable
            np.testing.assert_array_equal(part[3:7, 5], expected["model.embed_tokens.weight"][3:7, 5])
            assert set(reader.get_tensors()) == set(expected)
            if TORCH:
                changed = weightstore._frameworks.torch_tensor(weightstore._forked.ForkedTensor(
                    reader._info("model.embed_tokens.weight"), reader._source.revision.store.path, "ram"))
                changed.zero_()
                np.testing.assert_array_equal(part[:], expected["model.embed_tokens.weight"])

        child = os.fork()
        if child == 0:
            status = 1
            try:
                read()
                status = 0
            finally:
                os._exit(status)
        self.assertEqual(os.waitpid(child, 0)[1], 0)
        np.testing.assert_array_equal(reader.get_tensor("scalar"), expected["scalar"])

    def test_a_forked_child_maps_no_small_tensors(self):
        def write(path):
            tensors = {f"layers.{number}.scale": np.full((5, 3), number, np.float32) for number in range(300)}
            safetensors.numpy.save_file(tensors, path + "/model.safetensors")

        imported("test/small", write)
        reader = weightstore.safe_open("test/small", "pt" if TORCH else "np", store=STORE)

        def mappings():
            with open("/proc/self/maps") as lines:
                return sum(1 for _ in lines)

        def read():
            before = mappings()
            tensors = reader.get_tensors()
            assert mappings() < before + 100, mappings() - before
            for number in range(300):
                assert (tensors[f"layers.{number}.scale"] == number).all(), number
            if TORCH:
                tensors["layers.1.scale"].zero_()
                assert (reader.get_tensor("layers.1.scale") == 1).all()

        forked(self, read)

    def test_another_program_starts_with_spawn(self):
        import multiprocessing

        weightstore.load_file("test/model", framework="np", store=STORE)
        with multiprocessing.get_context("spawn").Pool(2) as pool:
            sums = pool.map(embedding_sum, ["test/model", "test/model@~1"])
        self.assertEqual(sums, [float(some_tensors()["model.embed_tokens.weight"].sum(dtype=np.float64))] * 2)

    def test_pickled_and_copied_handles_reopen_what_they_stand_for_or_are_refused(self):
        import copy
        import multiprocessing
        import pickle

        name = "model.layers.0.norm.weight"
        other = imported("test/other", lambda path: safetensors.numpy.save_file({"a": np.ones(3)}, path + "/x.safetensors"))
        self.assertTrue(other)
        with weightstore.open(STORE) as store:
            self.assertEqual(store.path, os.path.realpath(STORE))
            revision = store.revision("test/model")
            opened = weightstore.safe_open("test/model", "np", store=STORE)
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                # The numbers of the handles mean another model there.
                pool.apply(handles_of_another_model, (STORE,))
                sent = (store, revision, opened, opened.get_slice(name))
                digest, files, array, row = pool.apply(what_handles_stand_for, (*sent, name))
            self.assertEqual((digest, files), (revision.digest, [file.path for file in revision.files()]))
            np.testing.assert_array_equal(array, some_tensors()[name])
            np.testing.assert_array_equal(row, some_tensors()[name][1])
            # A copy is a handle of its own.
            for original in (store, revision, opened):
                for made in (copy.copy(original), copy.deepcopy(original), pickle.loads(pickle.dumps(original))):
                    del made
            gc.collect()
            self.assertEqual(len(revision.tensors()), len(store.revision("test/model").tensors()))
            np.testing.assert_array_equal(opened.get_tensor(name), some_tensors()[name])
            with revision.lease_layer(0) as lease:
                for memory in (lease, lease[name]):
                    for make in (copy.copy, copy.deepcopy, pickle.dumps):
                        with self.assertRaisesRegex(TypeError, "Pickle the Revision"):
                            make(memory)

    def test_rm_names_the_engine_that_holds_a_model(self):
        imported("test/held", lambda path: safetensors.numpy.save_file({"a": np.ones(3)}, path + "/x.safetensors"))
        with weightstore.open(STORE) as store, store.revision("test/held"):
            refused = subprocess.run(
                [os.environ["WEIGHTSTORE_TOOL"], "rm", "test/held", "--store", STORE], capture_output=True, text=True)
        self.assertEqual(refused.returncode, 4)
        program = os.path.basename(sys.executable)
        self.assertIn(f"process {os.getpid()} ({program} {os.path.basename(__file__)})", refused.stderr)

    def test_rm_says_what_stays_on_disk_until_a_tier_is_cleared(self):
        imported("test/mapped", lambda path: safetensors.numpy.save_file(
            {"a": np.arange(1 << 20, dtype=np.int32)}, path + "/x.safetensors"))
        with weightstore.open(STORE) as store:
            store.revision("test/mapped").lease().release()
            gc.collect()
            removed = subprocess.run(
                [os.environ["WEIGHTSTORE_TOOL"], "rm", "test/mapped", "--store", STORE], check=True, capture_output=True,
                text=True)
            self.assertIn(f"process {os.getpid()} (", removed.stderr)
            self.assertIn("of deleted files", removed.stderr)
            store.clear_tier("ram")
            with open("/proc/self/maps", encoding="utf-8") as maps:
                self.assertFalse([line for line in maps if STORE in line and "(deleted)" in line])

    def test_a_store_that_is_made_anew_at_its_path_is_opened_anew(self):
        with TemporaryStores() as directory:
            for value in (1, 2):
                store, source = f"{directory}/store", f"{directory}/source{value}"
                shutil.rmtree(store, ignore_errors=True)
                os.mkdir(source)
                safetensors.numpy.save_file({"a": np.full(3, value)}, source + "/model.safetensors")
                subprocess.run(
                    [os.environ["WEIGHTSTORE_TOOL"], "import", source, "--name", "x/y", "--store", store], check=True,
                    stdout=subprocess.DEVNULL)
                loaded = weightstore.load_file("x/y", framework="np", store=store)
                self.assertEqual(loaded["a"].tolist(), [value] * 3)

    def test_tiers_are_cleared_closed_and_opened_again(self):
        for tier in ("ram", "host"):
            with self.subTest(tier), weightstore.open(STORE) as store:
                self.assertEqual(store.clear_tier(tier), 0)
                revision = store.revision("test/model")
                store.open_tier(tier, budget="64MiB")
                self.assertEqual(store.statistics(tier).budget, 64 << 20)
                lease = revision.lease_layer(1, tier=tier)
                array = np.from_dlpack(lease["model.layers.1.q_proj.weight"])
                revision.lease_layer(2, tier=tier).release()
                self.assertGreater(store.clear_tier(tier), 0)
                self.assertEqual(store.statistics(tier).bytes, store.statistics(tier).leased)
                store.close_tier(tier)
                with self.assertRaisesRegex(weightstore.InvalidArgumentError, "closed"):
                    revision.lease_layer(1, tier=tier)
                lease.release()
                np.testing.assert_array_equal(array, some_tensors()["model.layers.1.q_proj.weight"])
                store.open_tier(tier, budget=32 << 20)
                self.assertEqual(store.statistics(tier).budget, 32 << 20)
                with revision.lease_layer(1, tier=tier) as again:
                    np.testing.assert_array_equal(np.from_dlpack(again["model.layers.1.q_proj.weight"]), array)

    def test_every_entry_point_has_a_budget_and_so_has_the_environment(self):
        with weightstore.open(STORE) as store:
            weightstore.load_file("test/model", framework="np", store=store, budget="40MiB")
            # The same budget again, and none, are that of the open tier.
            with weightstore.safe_open("test/model", framework="np", store=store, budget="40MiB") as file:
                self.assertEqual(file.get_tensor("scalar"), 7.5)
            weightstore.load_file("test/model", framework="np", store=store)
            self.assertEqual(store.statistics("ram").budget, 40 << 20)
            with self.assertRaisesRegex(weightstore.InvalidArgumentError, "already open"):
                weightstore.load_file("test/model", framework="np", store=store, budget="50%")
            store.close_tier("ram")
            weightstore.load_file("test/model", framework="np", store=store, budget="50%")
            self.assertGreater(store.statistics("ram").budget, 40 << 20)
            for wrong in ("", "0", "12X", "101%", -1, 1 << 64):
                with self.subTest(wrong), self.assertRaises(ValueError):
                    store.open_tier("host", budget=wrong)
            self.assertFalse(store.is_open("host"))
        program = textwrap.dedent("""
            import sys, weightstore
            store = weightstore.open(sys.argv[1])
            for tier in ("ram", "host"):
                store.revision("test/model").lease_layer(0, tier=tier).release()
                print(store.statistics(tier).budget)
            store.close_tier("ram")
            store.open_tier("ram", budget=12345678)
            print(store.statistics("ram").budget)
            """)
        environment = {**os.environ, "WEIGHTSTORE_RAM_BUDGET": "48MiB", "WEIGHTSTORE_HOST_BUDGET": "24MiB"}
        budgets = subprocess.run(
            [sys.executable, "-c", program, STORE], env=environment, check=True, capture_output=True, text=True).stdout
        self.assertEqual(budgets.split(), [str(48 << 20), str(24 << 20), "12345678"])
        refused = subprocess.run(
            [sys.executable, "-c", program, STORE], env={**environment, "WEIGHTSTORE_RAM_BUDGET": "much"},
            capture_output=True, text=True)
        self.assertIn('WEIGHTSTORE_RAM_BUDGET "much": must be a size of at least 1 byte', refused.stderr)
        listed = subprocess.run(
            [os.environ["WEIGHTSTORE_TOOL"], "load", "test/model", "--to", "host", "--json", "--store", STORE],
            env=environment, check=True, capture_output=True, text=True).stdout
        self.assertEqual(json.loads(listed)["tier"]["budget"], 24 << 20)

    def test_the_shared_store_of_a_path_gives_its_memory_back(self):
        with TemporaryStores() as directory:
            store = f"{directory}/store"
            subprocess.run(
                [os.environ["WEIGHTSTORE_TOOL"], "import", path, "--name", "test/model", "--store", store], check=True,
                stdout=subprocess.DEVNULL)

            def mapped():
                with open("/proc/self/maps", encoding="utf-8") as maps:
                    return sum(f"{store}/blobs/" in line for line in maps)

            def assert_unmapped():
                gc.collect()
                for _ in range(6000):  # A thread that has loaded bytes may hold the tier for a moment.
                    if mapped() == 0:
                        return
                    time.sleep(0.01)
                self.assertEqual(mapped(), 0)

            tensors = weightstore.load_file("test/model", framework="np", store=store)
            self.assertGreater(mapped(), 0)
            del tensors
            gc.collect()
            shared = weightstore.shared_store(store)
            self.assertIs(shared, weightstore.shared_store(store))
            self.assertGreater(shared.clear_tier("ram"), 0)
            assert_unmapped()
            weightstore.load_file("test/model", framework="np", store=store)
            shared.close()
            assert_unmapped()
            self.assertIsNot(weightstore.shared_store(store), shared)
            self.assertEqual(weightstore.load_file("test/model", framework="np", store=store)["scalar"], 7.5)
            weightstore.shared_store(store).close()

    def test_an_interruption_at_any_step_leaves_no_handle(self):
        class Interruption(Exception):
            pass

        package = os.path.dirname(weightstore.__file__)
        left = 0

        def step(frame, event, _):
            nonlocal left
            code, caller = frame.f_code, frame
            if not code.co_filename.startswith(package):
                return None
            while caller is not None:
                if caller.f_code.co_name == "__del__":
                    return None  # A finalizer that is interrupted cannot be repeated.
                caller = caller.f_back
            if event == "line" or (event == "return" and code.co_name == "_check"):
                left -= 1
                if left == 0:
                    raise Interruption
            return step

        def handles():
            count = ctypes.c_size_t()
            weightstore._library.library().open_handles(ctypes.byref(count))
            return count.value

        with weightstore.open(STORE) as store, store.revision("test/model") as revision:
            def lease():
                revision.lease_tensor("scalar").release()

            def resolve():
                store.revision("test/model").__exit__()

            def every():
                with revision.lease_layer(0) as lease:
                    return [name for name, _ in weightstore._frameworks.numpy_arrays(lease)]

            for call in (lease, resolve, every):
                call()
                gc.collect()  # What earlier tests have left.
                before, steps, ended = handles(), 0, False
                while not ended:
                    steps += 1
                    left = steps
                    sys.settrace(step)
                    try:
                        call()
                        ended = True
                    except (Interruption, ctypes.ArgumentError):  # ctypes wraps those of arguments.
                        pass
                    finally:
                        sys.settrace(None)
                    # A call that was interrupted may end a moment later, on another thread.
                    limit = time.monotonic() + 60
                    while handles() != before and time.monotonic() < limit:
                        time.sleep(0.01)
                    self.assertEqual(handles(), before, f"{call.__name__}, step {steps}")
                self.assertGreater(steps, 10)

    def test_numbers_and_names_that_do_not_fit_are_refused(self):
        with weightstore.open(STORE) as store, store.revision("test/model") as revision:
            for call in (
                    lambda: revision.lease_layer(1 << 70), lambda: revision.lease_layer(-(1 << 70)),
                    lambda: revision.prefetch(0, 1 << 64), lambda: revision.read("config.json", 1 << 64, 1),
                    lambda: store.revision("test/model\0x"), lambda: revision.lease_tensor("scalar\0"),
                    lambda: revision.lease(tier="ram\0"), lambda: store.open_tier("host", budget=1 << 64),
                    lambda: revision.lease_experts(0, range(-2, 1)), lambda: store.open_tier("host", policy="lru\0x"),
                    lambda: store.warm("test/model", top=(1 << 64) + 1)):
                with self.assertRaises(ValueError):
                    call()
            with self.assertRaisesRegex(
                    ValueError, f"^{1 << 70}: must be at least {-(1 << 63)} and at most {(1 << 63) - 1}$"):
                revision.lease_layer(1 << 70)
            with revision.lease_writable("scalar", lazy=True) as lease:
                with self.assertRaisesRegex(ValueError, f"^{1 << 64}: must be at least 0 and at most {(1 << 64) - 1}$"):
                    lease.read(1 << 64, 0, 1)
            with self.assertRaisesRegex(TypeError, "'str' object cannot be interpreted as an integer"):
                revision.lease_layer("0")
            # The letters of a string are no refs, patterns or names.
            for call in (
                    lambda: store.import_(path, "test/model", refs="main"),
                    lambda: store.pull("test/model", include="*.json"),
                    lambda: store.import_(path, "test/model", origins="https://example.com")):
                with self.assertRaises(TypeError):
                    call()

    def test_a_file_without_tensors_is_an_empty_model(self):
        import gguf

        def write(path):
            writer = gguf.GGUFWriter(path + "/vocabulary.gguf", "llama")
            writer.add_uint32("llama.context_length", 7)
            writer.write_header_to_file()
            writer.write_kv_data_to_file()
            writer.write_tensors_to_file()
            writer.close()

        imported("test/vocabulary", write, "--any")
        self.assertEqual(weightstore.load_file("test/vocabulary", framework="np", store=STORE), {})
        self.assertEqual(
            weightstore.load_file("test/vocabulary", framework="np", file="vocabulary.gguf", store=STORE), {})

    def test_the_package_has_a_version_and_its_errors_have_its_name(self):
        project = os.path.join(os.path.dirname(weightstore.__file__), "..", "pyproject.toml")
        if os.path.exists(project):
            with open(project) as text:
                self.assertIn(f'version = "{weightstore.__version__}"', text.read())
        self.assertEqual(weightstore.NotFoundError.__module__, "weightstore")

    @unittest.skipUnless(importlib.util.find_spec("mypy"), "needs mypy")
    def test_the_package_and_a_program_that_uses_it_pass_mypy_strict(self):
        sources = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..", "Sources", "Python")
        with tempfile.TemporaryDirectory() as folder:
            program = os.path.join(folder, "engine.py")
            with open(program, "w") as file:
                file.write(textwrap.dedent("""
                    from typing import Any

                    import numpy
                    import weightstore

                    array: numpy.ndarray[Any, Any] = weightstore.load_file("m", framework="np")["a"]
                    sizes: int = weightstore.safe_open("m", "np").info("a").bytes
                    text: str = weightstore.load_file("m", framework="np")["a"]
                    """))
            check = [sys.executable, "-m", "mypy", "--cache-dir", folder + "/cache", "--config-file", "pyproject.toml"]
            done = subprocess.run([*check, "-p", "weightstore"], capture_output=True, text=True, cwd=sources)
            self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
            done = subprocess.run([*check, program], capture_output=True, text=True, cwd=sources)
        self.assertIn("Found 1 error", done.stdout)
        self.assertIn("engine.py:9: error: Incompatible types in assignment", done.stdout)

    def test_a_wrong_library_is_named(self):
        with open("/proc/self/maps") as maps:
            other = next(line.split()[-1] for line in maps if "/libc.so" in line)
        for path in ("/nowhere/libweightstore.so", other):
            done = subprocess.run(
                [sys.executable, "-c", "import weightstore; weightstore.open('/')"], capture_output=True, text=True,
                env={**os.environ, "WEIGHTSTORE_LIBRARY": path})
            self.assertIn("ImportError", done.stderr)
            self.assertIn(path, done.stderr)

    def test_the_library_of_another_interface_is_refused(self):
        done = subprocess.run(
            [sys.executable, "-c", "import weightstore; weightstore._library.ABI = 99; weightstore.open('/')"],
            capture_output=True, text=True, env={
                **os.environ, "WEIGHTSTORE_LIBRARY": weightstore._copies._path(weightstore._library.library().loaded)})
        self.assertIn("interface version 1, expected 99", done.stderr)


def embedding_sum(model):
    arrays = weightstore.load_file(model, framework="np", store=os.environ["SPAWNED_STORE"])
    return float(arrays["model.embed_tokens.weight"].sum(dtype=np.float64))


class Managing(unittest.TestCase):
    """Stores that are made and filled from Python."""

    def setUp(self):
        self.directory = TemporaryStores(dir=DIRECTORY.name)
        self.store = weightstore.open(os.path.join(self.directory.name, "store"), create=True)

    def tearDown(self):
        self.store.close()
        self.directory.cleanup()

    def test_models_are_imported_listed_tagged_warmed_and_removed(self):
        reports = []
        summary = self.store.import_(path, "test/own", refs=["main", "prod"], progress=reports.append)
        (revision,) = summary.revisions
        self.assertEqual((revision.name, revision.version, revision.refs), ("test/own@~1", 1, ("main", "prod")))
        self.assertEqual(summary.bytes, sum(os.path.getsize(os.path.join(path, name)) for name in os.listdir(path)))
        self.assertGreater(summary.written, 0)
        self.assertIsInstance(reports[-1], weightstore.Progress)
        self.assertGreater(reports[-1].done + reports[-1].skipped, 0)
        again = self.store.import_(path, "test/own")
        self.assertEqual((again.written, again.skipped), (0, again.bytes))
        (model,) = self.store.models("test/*")
        self.assertEqual((model.name, model.version, model.refs, model.missing), ("test/own", 1, ("main", "prod"), None))
        self.assertEqual(self.store.models("other/*"), [])
        self.store.tag("test/own@~1", "next")
        self.assertEqual(self.store.revisions("test/own")[0].refs, ("main", "next", "prod"))
        self.store.untag("test/own", "next")
        with self.assertRaises(weightstore.NotFoundError):
            self.store.untag("test/own", "next")
        warmed = self.store.warm("test/own", tier="host", timeout=600)
        self.assertEqual((warmed.items, warmed.failed), (1, 0))
        self.assertGreater(warmed.warmed, 0)
        statistics = self.store.stats()
        self.assertEqual((statistics.models, statistics.revisions, statistics.damaged), (1, 1, 0))
        with self.store.revision("test/own"), self.assertRaises(weightstore.BusyError):
            self.store.rm("test/own")
        self.assertEqual(self.store.rm("test/own", dry_run=True).revisions, 1)
        self.assertEqual(len(self.store.models()), 1)
        removed = self.store.rm("test/own")
        self.assertGreater(removed.bytes, 0)
        self.assertEqual(removed.revisions, 1)
        self.assertEqual(self.store.models(), [])

    def test_an_exception_of_a_progress_function_cancels_the_call_and_is_raised(self):
        class Enough(Exception):
            pass

        def stop(_):
            raise Enough

        with self.assertRaises(Enough):
            self.store.import_(path, "test/stopped", progress=stop)
        self.assertEqual(self.store.import_(path, "test/stopped").revisions[0].version, 1)

    def test_a_pull_fetches_from_a_server_and_ends_at_its_time(self):
        served = os.path.join(self.directory.name, "served")
        with weightstore.open(served, create=True) as other:
            other.import_(path, "test/served")
        server = subprocess.Popen(
            [os.environ["WEIGHTSTORE_TOOL"], "serve", "--port", "0", "--store", served], stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True)
        try:
            url = server.stdout.readline().strip()
            part = self.store.pull("test/served", origin=url, layers=range(0, 1))
            self.assertFalse(part.complete)
            reports = []
            whole = self.store.pull("test/served", origin=url, progress=reports.append)
            self.assertTrue(whole.complete)
            self.assertEqual(whole.revision.model, "test/served")
            self.assertEqual(whole.bytes, whole.revision.bytes)
            self.assertTrue(reports)
        finally:
            server.terminate()
            server.wait()
            server.stdout.close()
        found = weightstore.load_file("test/served", framework="np", store=self.store)
        for name, array in some_tensors().items():
            np.testing.assert_array_equal(found[name], array)
        with socket.create_server(("127.0.0.1", 0)) as silent, self.assertRaises(TimeoutError):
            self.store.pull("test/silent", origin=f"http://127.0.0.1:{silent.getsockname()[1]}", timeout=0.3)
        with self.assertRaises(weightstore.NotFoundError):
            self.store.pull("test/nowhere")

    def test_parts_are_leased_in_the_background_and_awaited(self):
        self.store.import_(path, "test/own")
        revision = self.store.revision("test/own")
        part = weightstore.Part.layers(range(1, 3))
        with revision.lease_part(part) as lease:
            names = [tensor.info.name for tensor in lease]
        self.assertEqual({name.split(".")[2] for name in names}, {"1", "2"})
        pending = revision.lease_async(part)
        with pending.result(timeout=600) as lease:
            self.assertEqual([tensor.info.name for tensor in lease], names)
            self.assertTrue(pending.done())
            self.assertEqual(lease.event, 0)
            np.testing.assert_array_equal(lease[names[0]].numpy(), some_tensors()[names[0]])

        async def awaited():
            leases = await asyncio.gather(
                *(revision.lease_async(weightstore.Part.layer(number), tier="host") for number in range(3)))
            return [lease[f"model.layers.{number}.q_proj.weight"].numpy() for number, lease in enumerate(leases)]

        for number, array in enumerate(asyncio.run(awaited())):
            np.testing.assert_array_equal(array, some_tensors()[f"model.layers.{number}.q_proj.weight"])
        with revision.lease_part(weightstore.Part.rest()) as rest:
            self.assertEqual(len(rest), len(some_tensors()) - 6)
        for wrong in (weightstore.Part.layers(range(0)), weightstore.Part.layers(range(0, 4, 2))):
            with self.assertRaises(ValueError):
                revision.lease_async(wrong)
        with self.assertRaises(weightstore.NotFoundError):
            revision.lease_async(weightstore.Part.layer(9))
        pending = revision.lease_async(weightstore.Part.all())
        pending.cancel()
        try:
            pending.result().release()
        except weightstore.CancelledError:
            pass

    def test_several_threads_wait_for_one_lease(self):
        self.store.import_(path, "test/own")
        revision = self.store.revision("test/own")
        pending = revision.lease_async(weightstore.Part.all())
        with ThreadPoolExecutor(6) as pool:
            leases = set(pool.map(lambda _: pending.result(600), range(24)))
        self.assertEqual(leases, {pending.result()})
        self.assertEqual(len(pending.result()), len(some_tensors()))

    def test_a_lease_that_ends_right_after_a_look_at_it_has_not_failed(self):
        self.store.import_(path, "test/own")
        revision = self.store.revision("test/own")
        pending = revision.lease_async(weightstore.Part.layer(1))
        ended = False

        def look(*_):
            nonlocal ended
            ended = True
            raise weightstore.TimedOutError("not ended yet", 18)

        with unittest.mock.patch.object(pending, "_has_ended", lambda: ended), \
                unittest.mock.patch.object(weightstore._library.library(), "lease_wait", look):
            self.assertFalse(pending.done())
        self.assertEqual(len(pending.result(timeout=600)), 2)

    def test_the_bytes_of_a_tensor_are_read_from_its_blob_and_its_file(self):
        self.store.import_(path, "test/own")
        revision = self.store.revision("test/own")
        for name, array in some_tensors().items():
            expected = array.tobytes()
            with revision.lease_tensor(name) as lease:
                tensor = lease[name]
                place = tensor.location
                self.assertEqual(
                    revision.read("model.safetensors", place.file_offset, place.bytes), expected)
                if not expected:
                    self.assertIsNone(tensor.path)
                    continue
                with open(tensor.path, "rb") as blob:
                    blob.seek(tensor.offset)
                    self.assertEqual(blob.read(len(expected)), expected)
                descriptor = tensor.fd
                self.assertEqual(os.pread(descriptor, len(expected), tensor.offset), expected)
                self.assertEqual(tensor.fd, descriptor)
                self.assertFalse(os.get_inheritable(descriptor))
            del tensor
            with self.assertRaises(OSError):
                os.fstat(descriptor)
        descriptor, place = revision.open_tensor("model.norm.weight")
        expected = some_tensors()["model.norm.weight"].tobytes()
        self.assertEqual(os.pread(descriptor, place.bytes, place.offset), expected)
        revision._close()
        self.store.rm("test/own")
        # The descriptor keeps the bytes.
        self.assertEqual(os.pread(descriptor, place.bytes, place.offset), expected)
        os.close(descriptor)


class Rows:
    """A dataset of PyTorch: the rows of a tensor."""

    def __init__(self, reader, name):
        self.reader, self.name = reader, name

    def __len__(self):
        return 40

    def __getitem__(self, row):
        return self.reader.get_slice(self.name)[row].clone()


kept = []


def handles_of_another_model(store):
    kept.extend(weightstore.open(store).revision("test/other") for _ in range(9))


def what_handles_stand_for(store, revision, opened, part, name):
    assert store.path == revision.store.path
    return revision.digest, [file.path for file in revision.files()], opened.get_tensor(name).copy(), part[1].copy()


os.environ.setdefault("SPAWNED_STORE", STORE)


@unittest.skipUnless(TORCH, "there is no PyTorch here")
class Torch(unittest.TestCase):
    def test_load_file_returns_the_tensors_of_safetensors_in_every_type(self):
        import safetensors.torch
        import torch

        names = [
            "bfloat16", "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu", "float16",
            "float32", "float64", "complex64", "bool", "uint8", "int8", "int16", "int32", "int64", "uint16", "uint32",
            "uint64", "float4_e2m1fn_x2",
        ]
        tensors = {
            name: torch.randint(0, 2, (4, 16), dtype=torch.uint8).view(getattr(torch, name))
            for name in names if hasattr(torch, name)
        }
        path = imported("test/types", lambda path: safetensors.torch.save_file(tensors, path + "/model.safetensors"))
        theirs = safetensors.torch.load_file(path + "/model.safetensors")
        ours = weightstore.load_file("test/types", store=STORE)
        self.assertEqual(set(ours), set(theirs))
        for name, tensor in theirs.items():
            self.assertEqual((ours[name].dtype, ours[name].shape), (tensor.dtype, tensor.shape), name)
            self.assertTrue(torch.equal(ours[name].view(torch.uint8), tensor.view(torch.uint8)), name)

    def test_writes_to_a_tensor_stay_private(self):
        import torch

        one = weightstore.load_file("test/model", store=STORE)
        one["model.embed_tokens.weight"].zero_()
        one["model.norm.weight"] += 1
        two = weightstore.load_file("test/model", store=STORE)
        expected = some_tensors()
        for name, tensor in two.items():
            self.assertTrue(torch.equal(tensor, torch.from_numpy(expected[name])), name)
        self.assertEqual(float(one["model.embed_tokens.weight"].abs().sum()), 0)
        self.assertTrue(torch.equal(one["model.norm.weight"], torch.from_numpy(expected["model.norm.weight"]) + 1))

    def test_tensors_with_equal_bytes_are_separate_memory(self):
        import safetensors.torch
        import torch

        def named(layer):
            return f"layers.{layer}.proj.weight", f"layers.{layer}.norm.weight"

        tensors = {}
        for layer in range(3):
            proj, norm = named(layer)
            tensors[proj], tensors[norm] = torch.full((1024, 512), 2.0), torch.ones(512)
        imported("test/equal", lambda path: safetensors.torch.save_file(tensors, path + "/model.safetensors"))
        ours = weightstore.load_file("test/equal", store=STORE)
        self.assertEqual(len({tensor.data_ptr() for tensor in ours.values()}), len(tensors))
        for name in named(1):
            ours[name].zero_()
        for name, tensor in tensors.items():
            expected = torch.zeros_like(tensor) if name in named(1) else tensor
            self.assertTrue(torch.equal(ours[name], expected), name)
        safetensors.torch.save_file(ours, os.path.join(DIRECTORY.name, "saved.safetensors"))
        # Readers share them.
        views = weightstore.load_file("test/equal", framework="np", store=STORE)
        self.assertEqual(len({views[named(layer)[0]].ctypes.data for layer in range(3)}), 1)

    def test_a_tensor_that_pytorch_got_by_dlpack_is_writable_and_its_own(self):
        import torch

        name = "model.embed_tokens.weight"
        expected = some_tensors()[name]
        with weightstore.open(STORE) as store, store.revision("test/model").lease_tensor(name) as lease:
            torch.from_dlpack(lease[name]).zero_()
            np.testing.assert_array_equal(lease[name].numpy(), expected)
            self.assertFalse(np.from_dlpack(lease[name]).flags.writeable)

    def neighbours(self, name):
        import safetensors.torch
        import torch

        tensors = {f"layers.{layer}.{number}": torch.full((64, 64), layer * 100 + number, dtype=torch.float32)
                   for layer in range(2) for number in range(100)}
        # A layer with the same bytes, which the store keeps once.
        tensors |= {f"layers.2.{number}": tensors[f"layers.1.{number}"].clone() for number in range(100)}
        imported(name, lambda path: safetensors.torch.save_file(tensors, path + "/model.safetensors"))
        return tensors

    def writable_mappings(self):
        with open("/proc/self/maps") as maps:
            places = [line.split()[0].split("-") for line in maps if STORE + "/blobs/" in line and " rw-p " in line]
        return [range(int(start, 16), int(end, 16)) for start, end in places]

    def test_small_tensors_one_by_one_come_with_their_neighbours_and_have_their_own_bytes(self):
        import torch

        expected = self.neighbours("test/singly")
        with weightstore.open(STORE) as store:
            file = weightstore.safe_open("test/singly", "pt", store=store)
            # The order is not that of the shards.
            tensors = {name: file.get_tensor(name) for name in reversed(file.keys())}
            ranges = self.writable_mappings()
            self.assertLess(len(ranges), 30)
            mapped = sum(any(tensor.data_ptr() in one for one in ranges) for tensor in tensors.values())
            # The first of each shard is alone.
            self.assertGreater(mapped, 280)
            for name, tensor in tensors.items():
                self.assertTrue(torch.equal(tensor, expected[name]), name)
            for number, tensor in enumerate(tensors.values()):
                tensor.fill_(-number)
            for number, (name, tensor) in enumerate(tensors.items()):
                self.assertTrue(torch.equal(tensor, torch.full((64, 64), float(-number))), name)
                self.assertTrue(torch.equal(file.get_tensor(name), expected[name]), name)
            one = tensors["layers.1.7"]
            # Nothing is held that no tensor uses.
            del tensor, tensors
            gc.collect()
            held = store.statistics("ram").leased
            del file
            gc.collect()
            self.assertEqual(store.statistics("ram").leased, held)
            self.assertTrue(torch.equal(one, torch.full_like(one, float(one[0, 0]))))
            self.assertGreater(store.statistics("ram").leased, 0)
            del one
            gc.collect()
            self.assertEqual(store.statistics("ram").leased, 0)

    def test_threads_load_small_tensors_of_more_shards_than_are_held(self):
        import concurrent.futures

        import safetensors.torch
        import torch

        # Layers have shards of their own: packs of 1 MiB.
        tensors = {f"layers.{layer}.{number}": torch.full((128, 512), layer * 4.0 + number)
                   for layer in range(60) for number in range(4)}
        imported("test/threads", lambda path: safetensors.torch.save_file(tensors, path + "/model.safetensors"))
        with weightstore.open(STORE) as store:
            file = weightstore.safe_open("test/threads", "pt", store=store)
            names = sorted(tensors, key=lambda name: (name.rpartition(".")[2], name))
            with concurrent.futures.ThreadPoolExecutor(8) as pool:
                for name, tensor in zip(names * 2, pool.map(file.get_tensor, names * 2)):
                    self.assertTrue(torch.equal(tensor, tensors[name]), name)
                    tensor.zero_()
            del tensor
            gc.collect()
            self.assertLess(store.statistics("ram").leased, 34 << 20)
            del file
            gc.collect()
            self.assertEqual(store.statistics("ram").leased, 0)

    def test_small_neighbours_are_parts_of_one_mapping_and_have_their_own_bytes(self):
        import torch

        expected = self.neighbours("test/neighbours")
        tensors = weightstore.load_file("test/neighbours", store=STORE)
        ranges = self.writable_mappings()
        self.assertLess(len(ranges), 30)
        for name, tensor in tensors.items():
            self.assertTrue(any(tensor.data_ptr() in one for one in ranges), name)
            self.assertTrue(torch.equal(tensor, expected[name]), name)
        for number, tensor in enumerate(tensors.values()):
            tensor.fill_(-number)
        for number, (name, tensor) in enumerate(tensors.items()):
            self.assertTrue(torch.equal(tensor, torch.full((64, 64), float(-number))), name)
        one = tensors["layers.1.7"]
        written = one.clone()
        del tensor, tensors
        gc.collect()
        self.assertTrue(torch.equal(one, written))
        again = weightstore.load_file("test/neighbours", store=STORE)
        for name in expected:
            self.assertTrue(torch.equal(again[name], expected[name]), name)

    def test_a_load_maps_each_page_once(self):
        import safetensors.torch
        import torch

        generator = torch.Generator().manual_seed(71)
        expected = {
            f"layers.{layer}.{name}": torch.randn(shape, generator=generator)
            for layer in range(3) for name, shape in (("w", (512, 1024)), ("norm", (64,)))
        }
        imported("test/once", lambda path: safetensors.torch.save_file(expected, path + "/model.safetensors"))

        def mappings():
            with open("/proc/self/maps") as maps:
                return [(line.split()[1], os.path.basename(line.strip())) for line in maps]

        with weightstore.open(STORE) as store, store.revision("test/once") as revision:
            infos = revision.tensors()
            shards = {info.shard for info in infos}
            tensors = weightstore.load_file(revision)
            self.assertEqual(
                sorted(one for one in mappings() if one[1] in shards),
                sorted(("rw-p", info.shard) for info in infos if info.bytes > 64 << 10))
            self.assertEqual(
                store.statistics("ram").leased,
                sum(os.path.getsize(f"{STORE}/blobs/{shard[:2]}/{shard}") for shard in shards))
            self.assertEqual(len({tensor.untyped_storage().data_ptr() for tensor in tensors.values()}), len(expected))
            for name, tensor in tensors.items():
                self.assertEqual(tensor.untyped_storage().nbytes(), tensor.numel() * tensor.element_size(), name)
                self.assertTrue(torch.equal(tensor, expected[name]), name)
            del tensor, tensors
            gc.collect()
            self.assertEqual([one for one in mappings() if one[1] in shards], [])
            self.assertEqual(store.statistics("ram").leased, 0)

    def test_a_reader_works_in_the_workers_of_a_data_loader(self):
        import torch.utils.data

        name = "model.embed_tokens.weight"
        rows = Rows(weightstore.safe_open("test/model", "pt", store=STORE), name)
        self.assertEqual(rows[0].shape, (512,))
        expected = torch.from_numpy(some_tensors()[name])[:40]
        for method in ("fork", "spawn"):
            loader = torch.utils.data.DataLoader(rows, batch_size=10, num_workers=2, multiprocessing_context=method)
            self.assertTrue(torch.equal(torch.cat(list(loader)), expected), method)

    def test_a_tensor_holds_its_bytes_as_long_as_it_lives(self):
        tensors = weightstore.load_file("test/model", store=STORE)
        view = tensors["model.layers.2.q_proj.weight"][5:9].t()
        del tensors
        self.assertEqual(leased(), 512 * 640 * 4)
        del view
        self.assertEqual(leased(), 0)

    def test_slices_are_views_as_safetensors_gives_them(self):
        import torch

        with weightstore.safe_open("test/model", "pt", store=STORE) as ours, safetensors.safe_open(file, "pt") as theirs:
            for index in (slice(None), (slice(None), slice(3, 9)), (0, slice(2)), slice(2, 100), [], (Ellipsis, -1)):
                name = "model.embed_tokens.weight"
                found, expected = ours.get_slice(name)[index], theirs.get_slice(name)[index]
                self.assertTrue(torch.equal(found, expected))
                self.assertEqual(found.stride(), expected.stride())


class DefaultModelLoader:
    """The parts of vLLM's default loader that the store's loader relies on."""

    def __init__(self, load_config):
        assert set(load_config.model_loader_extra_config) <= {"enable_weights_track"}
        self.load_config, self.local_expert_ids = load_config, None
        self.counter_before_loading_weights = 0.0

    def get_all_weights(self, model_config, model):
        primary = types.SimpleNamespace(
            model_or_path=model_config.model, revision=model_config.revision, prefix="", subfolder=None,
            allow_patterns_overrides=getattr(model, "allow_patterns_overrides", None))
        for source in (primary, *getattr(model, "secondary_weights", ())):
            yield from self._get_weights_iterator(source)

    def load_weights(self, model, model_config):
        loaded = model.load_weights(self.get_all_weights(model_config, model))
        missing = set(model.parameters) - loaded
        if missing:
            raise ValueError(f"not initialized from checkpoint: {missing}")


@unittest.skipUnless(TORCH, "there is no PyTorch here")
class VLLMWeights(unittest.TestCase):
    """The weights that the loader of vLLM passes on."""

    @staticmethod
    def save(path, tensors, file="model.safetensors"):
        safetensors.numpy.save_file({name: np.full(shape, value, np.float32) for name, (shape, value) in tensors.items()},
                                    f"{path}/{file}")

    def found(self, revision, **options):
        import weightstore.vllm

        return {name: tensor.clone() for name, tensor in weightstore.vllm.weights(revision, **options)}

    def test_a_rank_gets_its_own_experts_and_the_scales_of_all(self):
        def name(expert, kind):
            return f"layers.0.mlp.experts.{expert}.up_proj.{kind}"

        tensors = {name(expert, kind): ((64, 64), expert) for expert in range(4) for kind in ("weight", "weight_scale")}
        tensors["norm.weight"] = ((64,), 9)
        imported("vllm/scales", lambda path: self.save(path, tensors))
        with weightstore.open(STORE).revision("vllm/scales") as revision:
            scales = {name(expert, "weight_scale") for expert in range(4)} | {"norm.weight"}
            for options, own in (({"experts": range(1, 3)}, (1, 2)), ({"expert_numbers": {0, 3}}, (0, 3))):
                found = self.found(revision, **options)
                self.assertEqual(set(found), scales | {name(expert, "weight") for expert in own})
                for expert in own:
                    self.assertEqual(float(found[name(expert, "weight")][0, 0]), expert)
            self.assertEqual(set(self.found(revision, is_unused=lambda one: ".experts." in one)), {"norm.weight"})

    def test_a_reader_gets_the_pages_that_all_processes_share(self):
        import weightstore.vllm

        tensors = {f"layers.{layer}.w": ((512, 1024), layer) for layer in range(3)} | {"norm.w": ((8,), 4)}
        imported("vllm/shared", lambda path: self.save(path, tensors))
        with weightstore.open(STORE) as store, store.revision("vllm/shared") as revision:
            shards = {tensor.shard for tensor in revision.tensors()}
            for name, tensor in weightstore.vllm.weights(revision):
                with open("/proc/self/maps") as maps:
                    modes = {line.split()[1] for line in maps if os.path.basename(line.strip()) in shards}
                self.assertEqual(modes, {"r--s"}, name)
                self.assertEqual(float(tensor.reshape(-1)[0]), tensors[name][1])
            del tensor
            self.assertEqual(self.found(revision, lazy=True).keys(), tensors.keys())
            gc.collect()
            self.assertEqual(store.statistics("ram").leased, 0)

    def test_only_the_chosen_files_are_read(self):
        import weightstore.vllm

        def write(path):
            self.save(path, {"layers.0.w": ((512, 1024), 1), "norm.w": ((8,), 1)})
            self.save(path, {"layers.0.w": ((512, 1024), 2), "layers.1.w": ((512, 1024), 3)}, "consolidated.safetensors")
            self.save(path, {"norm.w": ((8,), 4)}, "other.safetensors")

        imported("vllm/files", write)
        with weightstore.open(STORE) as store:
            revision = store.revision("vllm/files")
            found = self.found(revision)
            self.assertEqual({name: float(tensor.reshape(-1)[0]) for name, tensor in found.items()}, {"layers.0.w": 1, "norm.w": 1})
            self.assertLess(store.statistics("ram").loaded, 3 << 20)
            chosen = weightstore.vllm.chosen_files(revision, patterns=["none*", "consolidated*.safetensors"])
            self.assertEqual(float(self.found(revision, files=chosen)["layers.1.w"][0, 0]), 3)
            with self.assertRaisesRegex(weightstore.SafetensorError, "norm.w is in"):
                self.found(revision, files=["model.safetensors", "other.safetensors"])
            with self.assertRaises(weightstore.NotFoundError):
                weightstore.vllm.chosen_files(revision, patterns=["*.bin"])

    def test_a_directory_of_the_hub_s_cache_stands_for_its_model(self):
        import weightstore.vllm

        with weightstore.open(STORE) as store:
            name = "/cache/hub/models--test--model/snapshots/0123456789abcdef0123456789abcdef01234567"
            self.assertEqual(weightstore.vllm.find_revision(store, name).name, "test/model@~1")
            self.assertEqual(weightstore.vllm.find_revision(store, name, "main").name, "test/model@~1")
            with self.assertRaises(weightstore.NotFoundError):
                weightstore.vllm.find_revision(store, "/cache/hub/models--no--model/snapshots/01")

    def test_a_commit_of_the_hub_s_cache_that_the_store_lacks_is_a_warning(self):
        import weightstore.vllm

        with weightstore.open(STORE) as store, self.assertLogs("weightstore", "WARNING") as logged:
            weightstore.vllm.find_revision(store, "/cache/hub/models--test--model/snapshots/0123456789abcdef")
        self.assertIn("test/model: the store has no commit 0123456789abcdef", logged.output[0])

    def test_secondary_weights_and_the_check_of_missing_ones_are_those_of_vllm(self):
        import weightstore.vllm

        loaders, package = {}, "vllm.model_executor.model_loader"
        modules = {name: types.ModuleType(name) for name in ("vllm", "vllm.model_executor", package, package + ".default_loader")}
        modules[package].register_model_loader = lambda name: lambda loader: loaders.setdefault(name, loader)
        modules[package + ".default_loader"].DefaultModelLoader = DefaultModelLoader
        with unittest.mock.patch.dict(sys.modules, modules):
            weightstore.vllm.register()

        class Model:
            parameters = ["norm.weight", "second.a"]
            secondary_weights = [types.SimpleNamespace(
                model_or_path="vllm/second", revision=None, prefix="second.", subfolder=None, allow_patterns_overrides=None)]

            def modules(self):
                return []

            def load_weights(self, found):
                return {name for name, _ in found}

        imported("vllm/first", lambda path: self.save(path, {"norm.weight": ((8,), 1)}))
        imported("vllm/second", lambda path: self.save(path, {"a": ((8,), 2)}))
        store = weightstore.open(STORE)
        config = types.SimpleNamespace(model_loader_extra_config={
            "store": store, "tier": "ram", "budget": "16MiB", "enable_weights_track": True})
        loader = loaders["weightstore"](config)
        model_config = types.SimpleNamespace(model="vllm/first", revision="main")
        loader.download_model(model_config)
        loader.load_weights(Model(), model_config)
        self.assertEqual(store.statistics("ram").budget, 16 << 20)
        Model.parameters.append("absent")
        with self.assertRaisesRegex(ValueError, "absent"):
            loader.load_weights(Model(), model_config)
        with self.assertRaisesRegex(ValueError, "unknown: nonsense"):
            loaders["weightstore"](types.SimpleNamespace(model_loader_extra_config={"nonsense": 1}))


@unittest.skipUnless(TORCH and importlib.util.find_spec("transformers"), "there is no transformers here")
class Transformers(unittest.TestCase):
    def test_a_model_computes_the_same_with_the_store_s_tensors_as_its_parameters(self):
        import torch
        import transformers
        import weightstore.transformers

        config = transformers.BertConfig(
            vocab_size=99, hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=128)
        original = transformers.BertModel(config).eval()
        imported("test/bert", lambda path: original.save_pretrained(path))
        loaded = weightstore.transformers.from_pretrained(transformers.AutoModel, "test/bert@main", store=STORE)
        self.assertIsInstance(loaded, transformers.BertModel)
        self.assertFalse(loaded.training)
        tokens = torch.tensor([[2, 7, 1, 8]])
        with torch.no_grad():
            self.assertTrue(torch.equal(loaded(tokens)[0], original(tokens)[0]))
        self.assertGreaterEqual(leased(), sum(tensor.numel() * 4 for tensor in original.state_dict().values()) * 0.9)
        del loaded
        self.assertEqual(leased(), 0)


    def assert_same(self, ours, theirs, path, name):
        """The same class, weights and configurations; a name that is the model's instead of the path."""
        import torch

        self.assertEqual(type(ours).__name__, type(theirs).__name__)
        self.assertEqual(ours.training, theirs.training)
        expected = theirs.state_dict()
        self.assertEqual(set(ours.state_dict()), set(expected))
        for key, tensor in ours.state_dict().items():
            self.assertEqual(tensor.dtype, expected[key].dtype, key)
            self.assertTrue(torch.equal(tensor, expected[key]), key)

        def facts(model):
            generation = getattr(model, "generation_config", None)
            return [
                config.to_dict() | {"_name_or_path": None} for config in (model.config, generation) if config is not None]

        self.assertEqual(facts(ours), facts(theirs))
        names = [[getattr(module, "name_or_path", None) for module in model.modules()] for model in (ours, theirs)]
        self.assertEqual(names[0], [name if known == path else known for known in names[1]])
        self.assertEqual(ours.config.name_or_path, name)

    @staticmethod
    def save_llama(path):
        """A small Llama as an instruct model has it: with a configuration of its generation."""
        import torch
        import transformers

        torch.manual_seed(3)
        model = transformers.LlamaForCausalLM(transformers.LlamaConfig(
            vocab_size=99, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2))
        model.generation_config = transformers.GenerationConfig(
            do_sample=True, temperature=0.6, top_p=0.9, eos_token_id=[2, 7, 9], pad_token_id=0)
        model.save_pretrained(path)
        model.half().save_pretrained(path + "/half")
        with open(path + "/pytorch_model.bin", "wb") as weights:
            weights.write(bytes(1 << 20))

    def test_from_pretrained_makes_what_transformers_makes_from_the_files(self):
        import torch
        import transformers
        import weightstore.transformers

        path = imported("test/llama", self.save_llama)
        for cls in (transformers.AutoModelForCausalLM, transformers.LlamaForCausalLM):
            for options in ({}, {"num_hidden_layers": 1, "use_cache": False}, {"dtype": torch.bfloat16}, {"subfolder": "half"}):
                with self.subTest(cls=cls.__name__, **options):
                    ours = weightstore.transformers.from_pretrained(cls, "test/llama@main", store=STORE, **options)
                    self.assertEqual(ours.generation_config.eos_token_id, [2, 7, 9])
                    self.assert_same(ours, cls.from_pretrained(path, **options), path, "test/llama")
        cls = transformers.AutoModelForSequenceClassification
        ours = weightstore.transformers.from_pretrained(cls, "test/llama", store=STORE, num_labels=5)
        self.assertEqual(ours.num_labels, 5)
        ours.save_pretrained(os.path.join(DIRECTORY.name, "saved-llama"))

    def test_only_small_files_are_copied(self):
        import weightstore.transformers

        if not os.path.exists(os.path.join(DIRECTORY.name, "test-llama")):
            imported("test/llama", self.save_llama)
        with tempfile.TemporaryDirectory() as directory:
            written = weightstore.transformers.files("test/llama", directory, store=STORE)
            self.assertEqual(
                sorted(os.path.relpath(path, directory) for path in written),
                ["config.json", "generation_config.json", "half/config.json", "half/generation_config.json"])
            for path in written:
                with open(path, "rb") as copy, open(path.replace(directory, DIRECTORY.name + "/test-llama"), "rb") as original:
                    self.assertEqual(copy.read(), original.read())

    def test_remote_code_runs_if_it_is_trusted(self):
        import transformers
        import weightstore.transformers

        def write(path):
            sources = {
                "configuration_tiny.py": """
                    from transformers import PretrainedConfig
                    class TinyConfig(PretrainedConfig):
                        model_type = "tiny-test"
                        def __init__(self, width=8, **options):
                            self.width = width
                            super().__init__(**options)
                    """,
                "modeling_tiny.py": """
                    import torch
                    from transformers import PreTrainedModel
                    from .configuration_tiny import TinyConfig
                    class TinyModel(PreTrainedModel):
                        config_class = TinyConfig
                        def __init__(self, config):
                            super().__init__(config)
                            self.linear = torch.nn.Linear(config.width, config.width, bias=False)
                            self.post_init()
                    """,
            }
            for name, text in sources.items():
                with open(f"{path}/{name}", "w") as out:
                    out.write(textwrap.dedent(text))
            with open(path + "/config.json", "w") as config:
                json.dump({
                    "model_type": "tiny-test", "width": 8, "architectures": ["TinyModel"],
                    "auto_map": {"AutoConfig": "configuration_tiny.TinyConfig", "AutoModel": "modeling_tiny.TinyModel"}}, config)
            weights = {"linear.weight": np.arange(64, dtype=np.float32).reshape(8, 8)}
            safetensors.numpy.save_file(weights, path + "/model.safetensors", {"format": "pt"})

        path = imported("test/remote", write)
        cls = transformers.AutoModel
        ours = weightstore.transformers.from_pretrained(cls, "test/remote", store=STORE, trust_remote_code=True)
        self.assert_same(ours, cls.from_pretrained(path, trust_remote_code=True), path, "test/remote")
        with self.assertRaisesRegex(ValueError, "trust_remote_code"):
            weightstore.transformers.from_pretrained(cls, "test/remote", store=STORE, trust_remote_code=False)

    def test_tokenizers_and_feature_extractors_are_those_of_the_files(self):
        import tokenizers
        import transformers
        import weightstore.transformers

        words = tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0, "b": 1, "?": 2}, "?"))

        def write(path):
            transformers.PreTrainedTokenizerFast(tokenizer_object=words, unk_token="?").save_pretrained(path)
            transformers.WhisperFeatureExtractor(feature_size=40).save_pretrained(path)

        path = imported("test/words", write, "--any")
        ours = weightstore.transformers.load(transformers.PreTrainedTokenizerFast, "test/words", store=STORE)
        self.assertEqual((ours.name_or_path, ours("b").input_ids), ("test/words", [1]))
        found = weightstore.transformers.feature_extractor("test/words", store=STORE)
        self.assertEqual(found.to_dict(), transformers.AutoFeatureExtractor.from_pretrained(path).to_dict())
        self.assertEqual(found.feature_size, 40)

    @unittest.skipUnless(importlib.util.find_spec("peft"), "there is no PEFT here")
    def test_an_adapter_is_loaded_into_its_base_model(self):
        import peft
        import torch
        import transformers
        import weightstore.transformers

        cls = transformers.AutoModelForCausalLM
        base = imported("test/base", self.save_llama)

        def write(path):
            made = peft.get_peft_model(
                cls.from_pretrained(base), peft.LoraConfig(r=4, target_modules=["q_proj"], init_lora_weights=False))
            made.peft_config["default"].base_model_name_or_path = "test/base"
            made.save_pretrained(path)

        path = imported("test/adapter", write, "--any")
        theirs = cls.from_pretrained(base)
        theirs.load_adapter(path)
        ours = weightstore.transformers.from_pretrained(cls, "test/adapter", store=STORE)
        loaded = weightstore.transformers.from_pretrained(cls, "test/base", store=STORE)
        weightstore.transformers.load_adapter(loaded, "test/adapter", store=STORE)
        plain = cls.from_pretrained(base)
        tokens = torch.tensor([[3, 4, 5]])
        with torch.no_grad():
            expected = theirs(tokens).logits
            self.assertFalse(torch.equal(plain(tokens).logits, expected))
            for model in (ours, loaded):
                self.assertTrue(torch.equal(model(tokens).logits, expected))


@unittest.skipUnless(TORCH and importlib.util.find_spec("vllm"), "there is no vLLM here")
class VLLM(unittest.TestCase):
    def test_the_loader_gives_a_model_all_weights(self):
        import torch
        import weightstore.vllm
        from vllm.config.load import LoadConfig
        from vllm.model_executor.model_loader import get_model_loader
        from vllm.model_executor.model_loader.base_loader import BaseModelLoader

        class Config:
            model, revision, quantization, is_moe, multimodal_config = "test/model", "main", None, False, None

        class Model:
            def modules(self):
                return []

            def load_weights(self, weights):
                self.seen = {name: tensor.clone() for name, tensor in weights}

        weightstore.vllm.register()
        loader = get_model_loader(LoadConfig(load_format="weightstore", model_loader_extra_config={"store": STORE}))
        self.assertIsInstance(loader, BaseModelLoader)
        loader.download_model(Config)
        model = Model()
        # It reads the configuration of the engine, which is not running.
        with unittest.mock.patch.object(loader, "_init_ep_weight_filter", lambda _: None):
            loader.load_weights(model, Config)
        self.assertEqual(set(model.seen), set(some_tensors()))
        for name, array in some_tensors().items():
            self.assertTrue(torch.equal(model.seen[name], torch.from_numpy(array)), name)
        self.assertEqual(leased(), 0)
        with self.assertRaisesRegex(ValueError, "unknown: nonsense"):
            get_model_loader(LoadConfig(load_format="weightstore", model_loader_extra_config={"nonsense": 1}))


if __name__ == "__main__":
    unittest.main(verbosity=2)

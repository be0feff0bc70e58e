"""One model in an engine's day, through every interface, to the last bit: it is served, trained, sliced, pickled, forked,
interrupted, and read by the engines in C, Rust and Swift. Beside it, transformers and safetensors on the original files.

Run by PythonTests.swift, with WEIGHTSTORE_TOOL and WEIGHTSTORE_LIBRARY. Needs PyTorch and transformers.
"""

import contextlib
import filecmp
import hashlib
import importlib.util
import os
import pickle
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
import unittest

import weightstore
from directories import TemporaryStores

HAS_TRANSFORMERS = all(importlib.util.find_spec(name) for name in ("torch", "transformers"))
if HAS_TRANSFORMERS:
    import safetensors
    import safetensors.torch
    import torch
    import transformers

    import weightstore.transformers
    import weightstore.vllm

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCES = os.path.normpath(os.path.join(HERE, "..", "..", "..", "Sources", "CWeightStore"))
TOOL = os.environ["WEIGHTSTORE_TOOL"]
LIBRARY = os.path.abspath(os.environ["WEIGHTSTORE_LIBRARY"])
MODEL = "test/llama"
TIERS = ("ram", "host")


def setUpModule():
    if not HAS_TRANSFORMERS:
        return
    global holder, folder, store
    holder = TemporaryStores()
    folder, store = holder.name + "/original", holder.name + "/store"
    # Where transformers and huggingface_hub keep files.
    os.environ["HF_HOME"] = holder.name + "/hugging-face"
    torch.manual_seed(5)
    made = transformers.LlamaForCausalLM(transformers.LlamaConfig(
        hidden_size=128, intermediate_size=256, num_hidden_layers=4, num_attention_heads=8, num_key_value_heads=8,
        vocab_size=512))
    # Layers with equal bytes are stored once, and are separate parameters.
    made.model.layers[3].load_state_dict(made.model.layers[2].state_dict())
    made.generation_config = transformers.GenerationConfig(do_sample=False, eos_token_id=7, max_new_tokens=12)
    made.save_pretrained(folder)
    run(TOOL, "import", folder, "--name", MODEL, "--store", store)


def tearDownModule():
    if HAS_TRANSFORMERS:
        holder.cleanup()


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def original():
    return safetensors.torch.load_file(folder + "/model.safetensors")


def digest(tensors):
    """Of all names and bytes."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(name.encode() + b"\0" + tensor.contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def forked(body):
    """Whether a function ends without an exception in a child of this process."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            body()
            status = 0
        finally:
            os._exit(status)
    return os.waitpid(child, 0)[1] == 0


@contextlib.contextmanager
def interruption(seconds):
    """Sends SIGINT to this process after a time, as Ctrl-C does."""
    timer = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()


@unittest.skipUnless(HAS_TRANSFORMERS, "needs PyTorch and transformers")
class EngineTests(unittest.TestCase):
    def tearDown(self):
        # Whatever a test did, the store holds the original bytes.
        self.assertEqual(digest(weightstore.load_file(MODEL, store=store)), digest(original()))
        run(TOOL, "verify", "--store", store)

    def check(self, found, expected):
        self.assertEqual(set(found), set(expected))
        for name, tensor in expected.items():
            self.assertEqual((found[name].dtype, found[name].shape), (tensor.dtype, tensor.shape), name)
            self.assertTrue(torch.equal(found[name], tensor), name)

    def models(self):
        cls = transformers.AutoModelForCausalLM
        return weightstore.transformers.from_pretrained(cls, MODEL, store=store), cls.from_pretrained(folder).eval()

    def test_it_is_served(self):
        ours, theirs = self.models()
        tokens = torch.tensor([[1, 17, 300, 42]])
        with torch.no_grad():
            self.assertTrue(torch.equal(ours(tokens).logits, theirs(tokens).logits))
            self.assertTrue(torch.equal(ours.generate(tokens), theirs.generate(tokens)))
        server = subprocess.Popen(
            [TOOL, "serve", "--port", "0", "--store", store], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            url = server.stdout.readline().strip()
            # The address of the hub is read when the package is imported.
            program = textwrap.dedent(f"""
                import sys, torch, transformers
                made = transformers.AutoModelForCausalLM.from_pretrained({MODEL!r}).eval()
                with torch.no_grad():
                    torch.save(made(torch.tensor([[1, 17, 300, 42]])).logits, sys.argv[1])
                """)
            answer = holder.name + "/logits.pt"
            done = subprocess.run(
                [sys.executable, "-c", program, answer], env={**os.environ, "HF_ENDPOINT": url}, capture_output=True,
                text=True)
            self.assertEqual(done.returncode, 0, done.stderr)
            with torch.no_grad():
                self.assertTrue(torch.equal(torch.load(answer), theirs(tokens).logits))
            # Another store fetches from it, layer after layer.
            with weightstore.open(holder.name + "/second", create=True) as second:
                self.assertFalse(second.pull(MODEL, origin=url, layers=range(0, 1)).complete)
                revision = second.revision(MODEL)
                found = {tensor.info.name: tensor.torch().clone() for lease in revision.stream() for tensor in lease}
                with revision.lease_rest() as lease:
                    found |= {tensor.info.name: tensor.torch().clone() for tensor in lease}
                self.check(found, original())
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(60)

    def test_it_is_trained(self):
        ours, theirs = self.models()
        generator = torch.Generator().manual_seed(9)
        batches = [torch.randint(0, 512, (2, 16), generator=generator) for _ in range(4)]

        def losses(model):
            model.train()
            optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
            losses = []
            for batch in batches:
                loss = model(batch, labels=batch).loss
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
                losses.append(loss.item())
            return losses

        self.assertEqual(losses(ours), losses(theirs))
        self.check(ours.state_dict(), theirs.state_dict())
        self.assertFalse(torch.equal(ours.state_dict()["lm_head.weight"], original()["lm_head.weight"]))
        # What transformers saves from either is the same, byte for byte, and is imported as a model of its own.
        for model, name in ((ours, "ours"), (theirs, "theirs")):
            model.save_pretrained(f"{holder.name}/{name}")
        for name in ("model.safetensors", "generation_config.json"):
            self.assertTrue(filecmp.cmp(*(f"{holder.name}/{one}/{name}" for one in ("ours", "theirs")), shallow=False), name)
        run(TOOL, "import", holder.name + "/ours", "--name", "test/trained", "--store", store)
        self.check(weightstore.load_file("test/trained", store=store), ours.state_dict())

    def test_it_is_sliced(self):
        with weightstore.safe_open(MODEL, "pt", store=store) as ours, \
                safetensors.safe_open(folder + "/model.safetensors", "pt") as theirs:
            self.assertEqual(set(ours.keys()), set(theirs.keys()))
            for name in theirs.keys():
                found, expected = ours.get_slice(name), theirs.get_slice(name)
                shape = expected.get_shape()
                self.assertEqual(found.get_shape(), shape)
                for rank in range(8):
                    rows = slice(rank * shape[0] // 8, (rank + 1) * shape[0] // 8)
                    self.assertTrue(torch.equal(found[rows], expected[rows]), (name, rank))
                    if len(shape) == 2:
                        columns = slice(rank * shape[1] // 8, (rank + 1) * shape[1] // 8)
                        self.assertTrue(torch.equal(found[:, columns], expected[:, columns]), (name, rank))

    def test_every_way_of_reading_gives_the_same_bytes(self):
        expected = original()
        self.check(weightstore.load_file(MODEL, store=store), expected)
        arrays = weightstore.load_file(MODEL, framework="np", store=store)
        self.check({name: torch.from_numpy(array.copy()) for name, array in arrays.items()}, expected)
        opened = weightstore.open(store)
        revision = opened.revision(MODEL)
        self.check({name: tensor.clone() for name, tensor in weightstore.vllm.weights(revision)}, expected)
        for tier in TIERS:
            with revision.lease(tier=tier) as lease:
                self.check({tensor.info.name: tensor.torch().clone() for tensor in lease}, expected)
            pending = [revision.lease_async(weightstore.Part.layer(layer.number), tier=tier) for layer in revision.layers()]
            found = {}
            for one in pending:
                with one.result() as lease:
                    found |= {tensor.info.name: tensor.torch().clone() for tensor in lease}
            with revision.lease_rest(tier=tier) as lease:
                found |= {tensor.info.name: tensor.torch().clone() for tensor in lease}
            self.check(found, expected)
        read = {}
        for info in revision.tensors():
            memory = bytearray(info.bytes)
            revision.read_tensor(info.name, memory, offset=0, size=info.bytes)
            read[info.name] = torch.frombuffer(memory, dtype=expected[info.name].dtype).view(expected[info.name].shape)
        self.check(read, expected)

    def test_it_is_pickled(self):
        reader = weightstore.safe_open(MODEL, "pt", store=store)
        revision = weightstore.open(store).revision(MODEL)
        name = "model.layers.3.mlp.up_proj.weight"
        pickled = holder.name + "/handles"
        with open(pickled, "wb") as file:
            pickle.dump((reader, reader.get_slice(name), revision, revision.store), file)
        # The process that reads it has opened other stores, whose handles have the same numbers.
        other = holder.name + "/other"
        with weightstore.open(other, create=True) as empty:
            empty.import_(folder, "test/other")
        program = textwrap.dedent(f"""
            import pickle, sys, torch, weightstore
            others = [weightstore.open({other!r}).revision("test/other") for _ in range(4)]
            with open({pickled!r}, "rb") as file:
                reader, part, revision, store = pickle.load(file)
            assert revision.model == {MODEL!r} and store.path == {store!r}, (revision, store.path)
            with revision.lease_tensor({name!r}) as lease:
                whole = lease[{name!r}].torch().clone()
            assert torch.equal(reader.get_tensor({name!r}), whole) and torch.equal(part[:], whole)
            torch.save(whole, sys.argv[1])
            """)
        answer = holder.name + "/tensor.pt"
        done = subprocess.run([sys.executable, "-c", program, answer], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue(torch.equal(torch.load(answer), original()[name]))

    def test_it_is_forked(self):
        expected = digest(original())
        reader = weightstore.safe_open(MODEL, "pt", store=store)
        tensors = weightstore.load_file(MODEL, store=store)

        def read():
            # As the workers of PyTorch's data loader: its own threads are not in a forked child, which would wait for them.
            torch.set_num_threads(1)
            assert digest({name: reader.get_tensor(name) for name in reader.keys()}) == expected
            assert digest(weightstore.load_file(MODEL, store=store)) == expected
            # A tensor of the parent is the child's to write.
            tensors["lm_head.weight"].zero_()

        for _ in range(3):
            self.assertTrue(forked(read))
        self.check(tensors, original())

    def test_it_is_interrupted(self):
        with weightstore.open(holder.name + "/waiting", create=True) as waiting, \
                socket.create_server(("127.0.0.1", 0)) as silent:
            origin = f"http://127.0.0.1:{silent.getsockname()[1]}"
            start = time.monotonic()
            with self.assertRaises(KeyboardInterrupt), interruption(0.5):
                waiting.pull(MODEL, origin=origin)
            with self.assertRaises(weightstore.TimedOutError), weightstore.Limit(0.5):
                waiting.pull(MODEL, origin=origin)
            # Ten minutes would be the origin's own limit.
            self.assertLess(time.monotonic() - start, 60)
            self.assertEqual(waiting.models(), [])
            # The store works as before.
            waiting.import_(folder, MODEL)
            self.check(weightstore.load_file(MODEL, store=waiting), original())

    def test_engines_in_other_languages_see_the_same_bytes(self):
        libraries = holder.name + "/lib"
        os.makedirs(libraries, exist_ok=True)
        for name in ("libweightstore.so", "libweightstore.so.1"):
            with contextlib.suppress(FileExistsError):
                os.symlink(LIBRARY, f"{libraries}/{name}")
        paths = f"-Wl,-rpath,{libraries}"
        build = {"c-engine": [
            "cc", "-std=c11", "-I", SOURCES + "/Header", SOURCES + "/Examples/engine.c", "-L", libraries, "-lweightstore", paths]}
        if shutil.which("rustc"):
            build["rust-engine"] = [
                "rustc", "-O", "--edition", "2021", SOURCES + "/Examples/engine.rs", "-L", "native=" + libraries, "-l",
                "dylib=weightstore", "-C", "link-args=" + paths]
        for name, command in build.items():
            engine = f"{holder.name}/{name}"
            run(*command, "-o", engine)
            found = dict(line.split()[1::3] for line in run(engine, store, MODEL).splitlines())
            expected = {
                name: fnv(tensor.contiguous().view(torch.uint8).numpy().tobytes()) for name, tensor in self.few().items()}
            self.assertEqual({name: found[name] for name in expected}, expected)
            self.assertEqual(set(found), set(original()))

    def few(self):
        """Some tensors: the checksum is slow in Python."""
        return {name: tensor for name, tensor in original().items() if "norm" in name or "layers.3.self_attn.k" in name}


def fnv(data):
    checksum = 0xCBF29CE484222325
    for byte in data:
        checksum = (checksum ^ byte) * 0x100000001B3 & 0xFFFF_FFFF_FFFF_FFFF
    return f"{checksum:016x}"


if __name__ == "__main__":
    unittest.main(verbosity=2)

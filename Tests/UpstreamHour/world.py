"""The hub, the server in front of it, and the commits that clients may receive."""
import collections, hashlib, json, os, re, signal, subprocess, sys, threading, time, urllib.request

from clients import Failed, Wrong, get
from models import GGUF, Large, Llama, Mixed, Model, safetensors

HERE = os.path.dirname(os.path.abspath(__file__))


class Hub:
    """`Tests/hub-server.py`."""

    def __init__(self, root):
        script = os.path.join(os.path.dirname(HERE), "hub-server.py")
        self.process = subprocess.Popen(
            [sys.executable, script, root], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port, self.control_port = map(int, self.process.stdout.readline().split())
        self.url = f"http://127.0.0.1:{self.port}"

    def set(self, **control):
        request = urllib.request.Request(f"http://127.0.0.1:{self.control_port}/control", json.dumps(control).encode())
        with urllib.request.urlopen(request, timeout=60) as response:
            return json.load(response)


class World:
    # The longest time that one client may take, in seconds: clients repeat requests for a while by themselves.
    limit = 240
    # The time in which all refs must have moved once the hub is well.
    settling = 60

    def __init__(self, directory, tool, port):
        self.directory, self.tool_path, self.port = directory, tool, port
        self.root, self.store = os.path.join(directory, "hub"), os.path.join(directory, "store")
        self.models = [Model(kind, self.root) for kind in (Llama(), GGUF(), Mixed(), Large())]
        self.hub, self.server, self.faults, self.renamed = None, None, [], {}
        self.lock, self.counts = threading.Lock(), collections.Counter()
        # What a client may receive for a ref: (name, ref) -> commits. A name and a commit of which all bytes are stored.
        self.allowed, self.stored = {}, set()
        # Names and refs that the server has had.
        self.seen = set()
        # Whether refusals and missing answers are right: since the upstream has failed, or the server was stopped.
        self.is_troubled, self.was_stopped, self.denials, self.stored_before = False, False, set(), set()
        # The part of the server's log that was read.
        self.logged = 0
        # Names and commits of which the store had some files before.
        self.partial = set()

    def start(self):
        for model in self.models:
            model.refs = {"main": model.commit(), "v1": model.commits[0]}
        self.hub = Hub(self.root)
        self.publish()
        os.makedirs(f"{self.directory}/local")
        files = {"config.json": b"{}", "model.safetensors": safetensors({"weight": ("F32", (4,), bytes(16))})}
        self.local = {}
        for path, data in files.items():
            with open(f"{self.directory}/local/{path}", "wb") as file:
                file.write(data)
            self.local[path] = hashlib.sha256(data).hexdigest()
        imported = self.tool("import", f"{self.directory}/local", "--name", "local/model")
        if imported.returncode != 0:
            raise Wrong(f"import: {imported.stderr}")
        self.start_server()

    # The tool

    def tool(self, *words):
        return subprocess.run(
            [self.tool_path, *words, "--store", self.store], capture_output=True, text=True, timeout=self.limit)

    def start_server(self):
        log = open(f"{self.directory}/server.log", "a")
        self.server = subprocess.Popen(
            [self.tool_path, "serve", "--port", str(self.port), "--upstream", self.hub.url, "--revalidate", "1s",
             "--store", self.store], stdout=subprocess.PIPE, stderr=log, text=True)
        if not self.server.stdout.readline().startswith("http"):
            raise Wrong("the server did not start; see server.log")

    def stop_server(self, number):
        if self.server.poll() is not None:
            raise Wrong(f"the server has ended with {self.server.returncode}; see server.log")
        self.server.send_signal(number)
        status = self.server.wait(60)
        if number == signal.SIGTERM and status != 0:
            raise Wrong(f"the server ended with {status} after SIGTERM")

    # The hub

    def publish(self):
        """Makes the hub serve the present commits, refs and faults."""
        histories = {
            model.names[-1]: {
                "commits": [commit.directory for commit in model.alive],
                "refs": {ref: commit.directory for ref, commit in model.refs.items()}}
            for model in self.models}
        with self.lock:
            for model in self.models:
                for ref, commit in model.refs.items():
                    for name in model.names:
                        self.allowed.setdefault((name, ref), set()).add(commit)
        is_closed = any(fault["kind"] == "closed" for fault in self.faults)
        faults = [dict(fault, kind="down") if fault["kind"] == "closed" else fault for fault in self.faults]
        shas = self.hub.set(faults=faults, closed=is_closed, histories=histories, renamed=self.renamed, page=7)
        for model in self.models:
            for commit in model.alive:
                commit.sha = shas[commit.directory]

    def set_faults(self, faults):
        if faults:
            self.is_troubled = True
            self.denials |= {fault["status"] for fault in faults if fault.get("status") in (401, 403, 429)}
        self.faults = faults
        self.publish()

    # What clients may receive

    def commit(self, wanted, sha):
        found = next((commit for commit in wanted.model.commits if commit.sha == sha), None)
        if not found:
            raise Wrong(f"{wanted}: the commit {sha} is none of the hub's")
        if found not in self.candidates(wanted):
            names = ", ".join(map(str, self.candidates(wanted)))
            raise Wrong(f"{wanted}: the commit {found}, where the hub has named {names} since the last comparison")
        return found

    def candidates(self, wanted):
        if commit := getattr(wanted, "commit", None):
            if wanted.revision == commit.sha:
                return {commit}
        with self.lock:
            return set(self.allowed.get((wanted.name, wanted.revision), ()))

    def size(self, wanted):
        return max(commit.files[wanted.path][0] for commit in self.candidates(wanted) if wanted.path in commit.files)

    def check_refusal(self, wanted, path, status, code):
        """What the hub has may be refused while it fails, but is never said to be absent."""
        if status in {500, 502, 503, 504} | self.denials or any(c in wanted.model.gone for c in self.candidates(wanted)):
            return
        raise Wrong(f"{path}: {status} {code or ''}, for what the hub has")

    def must_succeed(self, wanted):
        """Whether the client has no reason to fail."""
        commits = self.candidates(wanted)
        if self.was_stopped:
            return False
        if len(commits) == 1 and (wanted.name, next(iter(commits))) in self.stored_before:
            return True
        return not self.is_troubled and not any(commit in wanted.model.gone for commit in commits)

    def note_stored(self, name, commit):
        with self.lock:
            self.stored.add((name, commit))

    def count(self, **counts):
        with self.lock:
            self.counts.update(counts)

    # Between steps

    def wait(self, path, what, condition):
        """Repeats a request until the answer fulfils the condition."""
        end = time.monotonic() + self.settling
        while True:
            try:
                answer = get(self, path)
                if answer.status == 200 and condition(answer):
                    return
                said = f"{answer.status} {answer.body[:300]}"
            except Failed as error:
                said = str(error)
            if time.monotonic() > end:
                raise Wrong(f"{what} after {self.settling} s of a healthy hub: {said}")
            time.sleep(0.2)

    def settle(self):
        """Ends the faults, and waits until every ref names the hub's commit under each of its model's names."""
        self.set_faults([])
        for model in self.models:
            for name in model.names:
                for ref, commit in model.refs.items():
                    self.wait(
                        f"/api/models/{name}/revision/{ref}", f"{name}@{ref} is not {commit}",
                        lambda answer: json.loads(answer.body)["sha"] == commit.sha)
                    with self.lock:
                        self.allowed[name, ref] = {commit}
                    self.seen.add((name, ref))
        # A comparison of a commit's files that failed is repeated after half a minute.
        for name, commit in self.partial:
            self.wait(
                f"/api/models/{name}/tree/{commit.sha}?recursive=true", f"{name}@{commit} is not whole",
                lambda answer: "X-Weightstore-Partial" not in answer.headers)
        self.partial = set()
        if self.denials:
            # A denial is remembered for 5 seconds.
            time.sleep(5.5)
        self.check_log()
        self.is_troubled, self.denials, self.was_stopped = False, set(), False
        self.stored_before = set(self.stored)

    def check_log(self):
        """Every warning and error of the server is about the hub."""
        with open(f"{self.directory}/server.log") as log:
            log.seek(self.logged)
            lines = log.readlines()
            self.logged = log.tell()
        for line in lines:
            level = line.split(" ", 2)[1:2]
            if self.was_stopped and "CancellationError" in line:
                # SIGTERM ends fetches for which clients wait.
                continue
            if re.search(r" 50[234] \d+ bytes .*, request [0-9a-f]{16}$", line):
                # A request's own line: its client decides whether it may fail.
                continue
            if level in (["warning"], ["error"]) and "//127.0.0.1:" not in line and "//localhost:" not in line:
                raise Wrong("the server reports: " + line.strip())

    def close(self):
        for process in (self.server, self.hub and self.hub.process):
            if process and process.poll() is None:
                process.kill()
                process.wait()

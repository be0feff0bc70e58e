"""What clients do with the server, each compared with the hub's bytes of the commit that it received."""
import http.client, importlib.util, json, os, random, shutil, subprocess, sys, tempfile, threading, time
from pathlib import Path
from urllib.parse import quote

from huggingface_hub import HfApi, hf_hub_download, snapshot_download

from models import digest

TRANSFORMERS = all(importlib.util.find_spec(name) for name in ["torch", "transformers"])
loading = threading.Lock()


class Wrong(Exception):
    """An answer that differs from the hub's."""


class Failed(Exception):
    """No answer: right only while the upstream does not answer, or for a commit that it no longer has."""


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def commit(self):
        return self.headers.get("X-Repo-Commit")


def get(world, path, headers={}, method="GET"):
    """One request, without retries."""
    connection = http.client.HTTPConnection("127.0.0.1", world.port, timeout=100)
    try:
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read())
    except (OSError, http.client.HTTPException) as error:
        raise Failed(f"{method} {path}: {error!r}") from None
    finally:
        connection.close()


def ok(world, wanted, path, headers={}, method="GET"):
    answer = get(world, path, headers, method)
    if answer.status not in (200, 206):
        code = answer.headers.get("X-Error-Code")
        world.check_refusal(wanted, path, answer.status, code)
        raise Failed(f"{method} {path}: {answer.status} {code or ''} {answer.headers.get('X-Error-Message') or ''}")
    return answer


class Wanted:
    """A request's model and revision, under one of its names."""

    def __init__(self, model, name, revision, path=None, number=0):
        self.model, self.name, self.revision, self.path, self.number = model, name, revision, path, number
        # The commits from which clients received files.
        self.seen = set()

    def __str__(self):
        return f"{self.name}@{self.revision}" + (f" {self.path}" if self.path else "")

    def url(self, kind="resolve"):
        return f"/{self.name}/{kind}/{quote(self.revision, safe='')}/{quote(self.path)}"


def compare(world, wanted, commit, files, whole):
    """Received files, as {path: SHA-256}, are those of the commit."""
    for path, received in files.items():
        if path not in commit.files:
            raise Wrong(f"{wanted}: the commit {commit} has no {path}")
        if commit.files[path][1] != received:
            raise Wrong(f"{wanted}: {path} is not that of the commit {commit}")
    if whole and files.keys() != commit.files.keys():
        raise Wrong(f"{wanted}: {sorted(commit.files.keys() ^ files.keys())} differ from the commit {commit}")
    world.count(files=len(files), bytes=sum(commit.files[path][0] for path in files))


def received(world, wanted, sha):
    """The commit that a client received, if the revision may name it."""
    commit = world.commit(wanted, sha)
    wanted.seen.add(commit)
    return commit


def read_folder(directory):
    return {
        str(path.relative_to(directory)): digest(path.read_bytes())
        for path in Path(directory).rglob("*") if path.is_file() and ".cache" not in path.relative_to(directory).parts}


def only_snapshot(wanted, cache):
    places = list(Path(cache).glob("models--*/snapshots/*"))
    if len(places) != 1:
        raise Wrong(f"{wanted}: the cache has the snapshots {places}")
    return places[0]


def snapshot(world, wanted, work):
    place = snapshot_download(wanted.name, revision=wanted.revision, cache_dir=work, max_workers=4)
    commit = received(world, wanted, os.path.basename(place))
    compare(world, wanted, commit, read_folder(place), whole=True)
    world.note_stored(wanted.name, commit)


def some_files(world, wanted, work):
    place = snapshot_download(wanted.name, revision=wanted.revision, cache_dir=work, allow_patterns=["*.json", "*.md"])
    commit = received(world, wanted, os.path.basename(place))
    files = read_folder(place)
    compare(world, wanted, commit, files, whole=False)
    if any(path.endswith((".json", ".md")) and path not in files for path in commit.files):
        raise Wrong(f"{wanted}: a file is missing in {sorted(files)}")


def one_file(world, wanted, work):
    place = hf_hub_download(wanted.name, wanted.path, revision=wanted.revision, cache_dir=work)
    commit = received(world, wanted, place.split("/snapshots/")[1].split("/")[0])
    compare(world, wanted, commit, {wanted.path: digest(Path(place).read_bytes())}, whole=False)


def command(world, wanted, work):
    """`hf download`."""
    words = [str(Path(sys.executable).parent / "hf"), "download", wanted.name, "--revision", wanted.revision]
    run = subprocess.run(words + ["--cache-dir", work], capture_output=True, text=True, timeout=world.limit)
    if run.returncode != 0:
        raise Failed(f"hf download: {run.stderr[-300:]}")
    place = only_snapshot(wanted, work)
    commit = received(world, wanted, place.name)
    compare(world, wanted, commit, read_folder(place), whole=True)
    world.note_stored(wanted.name, commit)


def transformers(world, wanted, work):
    with loading:
        import torch
        from transformers import AutoModelForCausalLM

        model = AutoModelForCausalLM.from_pretrained(wanted.name, revision=wanted.revision, cache_dir=work)
        commit = received(world, wanted, only_snapshot(wanted, work).name)
        local = AutoModelForCausalLM.from_pretrained(os.path.join(world.root, commit.directory))
    ours, theirs = model.state_dict(), local.state_dict()
    if ours.keys() != theirs.keys() or not all(torch.equal(ours[name], theirs[name]) for name in theirs):
        raise Wrong(f"{wanted}: transformers loaded other tensors than those of {commit}")
    world.count(files=len([path for path in commit.files if path.endswith(".safetensors")]))


def tree(world, wanted, work):
    """The list of files, and every file by a request of its own."""
    revision = ok(world, wanted, f"/api/models/{wanted.name}/revision/{quote(wanted.revision, safe='')}")
    commit = received(world, wanted, json.loads(revision.body)["sha"])
    files = {}
    path = f"/api/models/{wanted.name}/tree/{commit.sha}?recursive=true"
    while path:
        answer = ok(world, wanted, path)
        for entry in json.loads(answer.body):
            if entry["type"] == "file":
                files[entry["path"]] = entry["size"], (entry.get("lfs") or {}).get("oid")
        link = answer.headers.get("Link")
        path = link and link[link.index("/api/"):link.index(">")]
    if files.keys() != commit.files.keys():
        raise Wrong(f"{wanted}: the list differs from the commit {commit}: {sorted(files.keys() ^ commit.files.keys())}")
    for path, (size, sha256) in files.items():
        if size != commit.files[path][0] or sha256 not in (None, commit.files[path][1]):
            raise Wrong(f"{wanted}: the list has another size or digest of {path} than the commit {commit}")
    for path in files:
        answer = ok(world, wanted, f"/{wanted.name}/resolve/{commit.sha}/{quote(path)}")
        compare(world, wanted, commit, {path: digest(answer.body)}, whole=False)
    world.note_stored(wanted.name, commit)


def curl(world, wanted, work):
    """Ranges of a file, by curl, of which each may be of another commit if the ref moves."""
    source = random.Random(wanted.number)
    for _ in range(3):
        start, length = source.random(), source.randrange(1, 1 << 16)
        size = world.size(wanted)
        first = int(start * size)
        text = source.choice([f"{first}-{first + length}", f"{first}-", f"-{length}", "0-0"])
        words = ["curl", "-s", "-S", "-L", "--max-time", "100", "-r", text, "-D", f"{work}/head", "-o", f"{work}/body"]
        run = subprocess.run(words + [f"http://127.0.0.1:{world.port}{wanted.url()}"], capture_output=True, text=True)
        if run.returncode != 0:
            raise Failed(f"curl -r {text}: {run.stderr}")
        head = Path(f"{work}/head").read_text().replace("\r", "").strip().split("\n\n")[-1].split("\n")
        status, fields = int(head[0].split()[1]), {}
        for line in head[1:]:
            name, _, value = line.partition(": ")
            fields[name.lower()] = value
        if status == 416 and "x-repo-commit" not in fields:
            continue
        if status not in (200, 206, 416):
            world.check_refusal(wanted, wanted.url(), status, fields.get("x-error-code"))
            raise Failed(f"curl -r {text} {wanted}: {status}")
        commit = received(world, wanted, fields["x-repo-commit"])
        whole = wanted.model.read(commit, wanted.path)
        low, _, high = text.partition("-")
        if low:
            part = whole[int(low):int(high) + 1 if high else None]
        else:
            part = whole[-int(high):]
        if status == 416 and not part:
            continue
        if Path(f"{work}/body").read_bytes() != (whole if status == 200 else part):
            raise Wrong(f"{wanted}: range {text} ({status}) differs from the commit {commit}")
        world.count(files=1, bytes=len(part))


def llama(world, wanted, work):
    """The requests of llama.cpp's -hf: the refs, the tree, and a file, resumed in the middle."""
    if wanted.revision in ("main", "dev"):
        refs = json.loads(ok(world, wanted, f"/api/models/{wanted.name}/refs").body)
        sha = next((ref["targetCommit"] for ref in refs["branches"] if ref["name"] == wanted.revision), None)
        if not sha:
            raise Failed(f"{wanted}: not among the refs")
    else:
        sha = json.loads(ok(world, wanted, f"/api/models/{wanted.name}/revision/{wanted.revision}").body)["sha"]
    commit = received(world, wanted, sha)
    entries = json.loads(ok(world, wanted, f"/api/models/{wanted.name}/tree/{sha}?recursive=true").body)
    path = next((entry["path"] for entry in entries if entry["path"].endswith(".gguf")), wanted.path)
    file = f"/{wanted.name}/resolve/{sha}/{quote(path)}"
    size = int(ok(world, wanted, file, method="HEAD").headers["Content-Length"])
    body = b""
    for first, last in [(0, size // 2), (size // 2 + 1, size - 1)]:
        if first <= last:
            body += ok(world, wanted, file, {"Range": f"bytes={first}-{last}"}).body
    compare(world, wanted, commit, {path: digest(body)}, whole=False)


def ollama(world, wanted, work):
    """The requests of `ollama pull host/org/name:Q8_0`, which reads main."""
    manifest = ok(world, wanted, f"/v2/{wanted.name}/manifests/Q8_0")
    layer = next(l for l in json.loads(manifest.body)["layers"] if l["mediaType"].endswith("image.model"))
    commits = [c for c in world.candidates(wanted) if "sha256:" + c.files["Tiny-Q8_0.gguf"][1] == layer["digest"]]
    if not commits:
        raise Wrong(f"{wanted}: Ollama's manifest has {layer['digest']}")
    blob = ok(world, wanted, f"/v2/{wanted.name}/blobs/{layer['digest']}")
    if "sha256:" + digest(blob.body) != layer["digest"]:
        raise Wrong(f"{wanted}: Ollama's blob is not {layer['digest']}")
    world.count(files=1, bytes=len(blob.body))


def metadata(world, wanted, work):
    info = HfApi().model_info(wanted.name, revision=wanted.revision, files_metadata=True)
    commit = received(world, wanted, info.sha)
    sizes = {sibling.rfilename: sibling.size for sibling in info.siblings}
    if sizes != {path: size for path, (size, _) in commit.files.items()}:
        raise Wrong(f"{wanted}: model_info lists other files than the commit {commit}")


def absent(world, wanted, work):
    """A file that no commit has, and a model that the hub does not have."""
    for path, codes in [
        (f"/{wanted.name}/resolve/{quote(wanted.revision, safe='')}/no-such.json", ["EntryNotFound"]),
        (f"/api/models/nobody/nothing-{wanted.number % 100}", ["RepoNotFound"]),
    ]:
        answer = get(world, path)
        if answer.status == 404 and answer.headers.get("X-Error-Code") in codes:
            continue
        if answer.status == 200:
            raise Wrong(f"{path}: 200")
        if world.is_troubled and "nobody" in path:
            # The hub decides, and does not answer.
            continue
        raise Failed(f"{path}: {answer.status} {answer.headers.get('X-Error-Code')}")


def stored(world, wanted, work):
    """A model that only the server has is not delayed, and a dataset is redirected."""
    for path, expected in world.local.items():
        start = time.monotonic()
        answer = get(world, f"/local/model/resolve/main/{path}")
        if time.monotonic() - start > 30:
            raise Wrong(f"local/model {path}: {time.monotonic() - start:.1f} s")
        if answer.status != 200 or digest(answer.body) != expected:
            raise Wrong(f"local/model {path}: {answer.status}")
    answer = get(world, "/datasets/org/data/resolve/main/a.json")
    if answer.status != 307:
        raise Wrong(f"a dataset: {answer.status}")


def pull(world, wanted, work):
    """`weightstore pull` into the store of the server, of small files."""
    words = ["pull", f"{wanted.name}@{wanted.revision}", "--origin", world.hub.url, "--include", "README*"]
    run = world.tool(*words)
    if run.returncode != 0:
        if wanted.commit is None and wanted.revision not in wanted.model.refs and "status 404" in run.stderr:
            # The hub has deleted the branch. Only the server keeps it where it was: a pull asks the hub.
            return
        raise Failed(f"pull: {run.returncode} {run.stderr[-300:]}")


def partial(world, wanted, work):
    """A cache with some files of a commit is imported into the store of the server."""
    commit = wanted.commit
    with world.lock:
        world.partial.add((wanted.name, commit))
    repository = Path(work) / ("models--" + wanted.name.replace("/", "--"))
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / wanted.revision).write_text(commit.sha)
    for path in [path for path in commit.files if path.endswith((".json", ".md"))]:
        place = repository / "snapshots" / commit.sha / path
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(os.path.join(world.root, commit.directory, path), place)
    run = world.tool("import", str(repository))
    if run.returncode != 0:
        raise Wrong(f"import of a cache: {run.returncode} {run.stderr[-500:]}")


# How often each is chosen.
CLIENTS = [
    (snapshot, 6), (command, 2), (one_file, 4), (some_files, 2), (tree, 4), (curl, 6), (llama, 3), (metadata, 2),
    (absent, 1), (stored, 2), (pull, 1), (partial, 1), (ollama, 2), (transformers, 3 if TRANSFORMERS else 0)]


def run(client, world, wanted):
    """Runs a client in a folder of its own. Errors of libraries are failures; what is wrong is not caught."""
    work = tempfile.mkdtemp(dir=world.directory, prefix="client-")
    try:
        client(world, wanted, work)
    except (Wrong, Failed):
        raise
    except Exception as error:
        raise Failed(f"{client.__name__} {wanted}: {type(error).__name__}: {str(error)[:400]}") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)

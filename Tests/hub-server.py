#!/usr/bin/env python3
"""A hub for tests: the Hugging Face Hub's read API over a directory, and faults on request.

    Tests/hub-server.py ROOT            serves ROOT/org/name/…; prints the ports of the hub and of its content network
    Tests/hub-server.py --tree ROOT OUT CDN   writes the same as files for a web server that redirects to CDN

Files of 100,000 bytes or more are in LFS: a request to the hub is redirected to the content network, with a
required signature. `POST /control` accepts {"faults": […], "page": N, "token": T}; `GET /control` returns the
requests and the bytes sent. A fault: {"match": regular expression on the path, "kind": …, "times": N, "after": bytes}.

"tags": [name, …] are further names of the commit of main, and "renamed": {old name: new name} redirects repositories.
"targets": {"org/model": "org/next"} moves the ref main of a model to the files of another directory; the commits that it
had before stay. "histories": {"org/model": {"commits": [directory, …], "refs": {ref: directory}}} gives a model its
commits and refs instead; a commit that is not listed is gone, and the answer to /control has the commit of each directory.
The answer to a request for a revision has an entity tag.
The fault "down" closes the connection without an answer, and "hold" answers only when the client has gone, which is
recorded as "gone". With "closed": true the hub refuses connections; the content network's port accepts /control, too.
"""
import functools, hashlib, json, os, re, select, socket, struct, sys, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, quote, unquote, urlsplit

LFS = 100_000


@functools.cache
def digests(path, *_):
    """The SHA-256 and the git blob id of a file; its size, time and inode follow the path."""
    with open(path, "rb") as file:
        content = file.read()
    return hashlib.sha256(content).hexdigest(), hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class Repository:
    def __init__(self, root, name):
        self.path, self.name = os.path.join(root, name), name
        self.files = []
        for directory, _, names in sorted(os.walk(self.path)):
            for file in sorted(names):
                path = os.path.join(directory, file)
                status = os.stat(path)
                sha256, git = digests(path, status.st_size, status.st_mtime_ns, status.st_ino)
                entry = {"type": "file", "path": os.path.relpath(path, self.path), "size": status.st_size, "oid": git}
                if entry["size"] >= LFS:
                    entry["lfs"] = {"oid": sha256, "size": entry["size"], "pointerSize": 134}
                self.files.append(entry)
        self.commit = hashlib.sha1(json.dumps(self.files).encode()).hexdigest()


class Hub:
    def __init__(self, root):
        self.root, self.lock = root, threading.Lock()
        self.faults, self.log, self.page, self.token, self.repositories = [], [], 1000, None, {}
        self.tags, self.renamed, self.targets, self.commits, self.histories = [], {}, {}, {}, {}

    def repository(self, name):
        with self.lock:
            if name not in self.repositories and os.path.isdir(os.path.join(self.root, name)):
                self.repositories[name] = Repository(self.root, name)
            return self.repositories.get(name)

    def exists(self, name):
        return name in self.histories or bool(self.repository(name))

    def revision(self, name, text):
        """The files that a ref or a commit of a model names."""
        if history := self.histories.get(name):
            if directory := history["refs"].get(text):
                return self.repository(directory)
            return next((r for r in map(self.repository, history["commits"]) if r.commit == text), None)
        main = self.repository(self.targets.get(name, name))
        with self.lock:
            self.commits.setdefault(name, {})[main.commit] = main
            return main if text in ("main", "refs/pr/1", *self.tags) else self.commits[name].get(text)

    def fault(self, path):
        with self.lock:
            for fault in self.faults:
                if fault.get("times", 1) > 0 and re.search(fault["match"], path):
                    fault["times"] = fault.get("times", 1) - 1
                    return fault
        return {}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def send(self, status, body=b"", headers={}):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def json(self, value, headers={}):
        self.send(200, json.dumps(value).encode(), {"Content-Type": "application/json", **headers})

    def no(self, code):
        self.send(404, b"", {"X-Error-Code": code, "X-Error-Message": "not here"})

    def do_POST(self):
        control = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with hub.lock:
            hub.faults = control.get("faults", [])
            hub.page = control.get("page", 1000)
            hub.token = control.get("token")
            hub.tags, hub.renamed = control.get("tags") or [], control.get("renamed") or {}
            hub.targets, hub.histories = control.get("targets") or {}, control.get("histories") or {}
            hub.log, hub.repositories, hub.commits = [], {}, hub.commits if hub.targets else {}
        listen(not control.get("closed"))
        directories = {d for history in hub.histories.values() for d in history["commits"]}
        self.json({directory: hub.repository(directory).commit for directory in directories})

    def do_GET(self):
        url = urlsplit(self.path)
        if url.path == "/control":
            with hub.lock:
                return self.json(hub.log)
        self.entry = {
            "path": unquote(url.path), "range": self.headers.get("Range"), "bytes": 0,
            "place": "cdn" if self.server.is_cdn else "hub", "token": self.headers.get("Authorization"),
            "tag": self.headers.get("If-None-Match"), "gone": False}
        with hub.lock:
            hub.log.append(self.entry)
        self.answer(url, hub.fault(unquote(url.path)))

    def answer(self, url, fault):
        kind = fault.get("kind")
        if kind == "status":
            return self.send(fault["status"], b"no", fault.get("headers", {}))
        if kind == "html":
            return self.send(200, b"<html>Please log in</html>", {"Content-Type": "text/html; charset=utf-8"})
        if kind == "loop":
            return self.send(302, b"", {"Location": self.path})
        if kind == "redirect":
            return self.send(302, b"", {"Location": fault["location"]})
        if kind == "down":
            self.close_connection = True
            return self.connection.shutdown(socket.SHUT_RDWR)
        if kind == "hold":
            select.select([self.connection], [], [])
            self.entry["gone"] = self.close_connection = True
            return
        if kind == "stall":
            time.sleep(fault.get("seconds", 5))
        if self.server.is_cdn:
            if "signature" not in parse_qs(url.query):
                return self.send(403, b"<Error><Code>AccessDenied</Code></Error>", {"Content-Type": "application/xml"})
            repository, path = re.fullmatch(r"/([^/]+/[^/]+)/(.+)", unquote(url.path)).groups()
            return self.file(hub.repository(repository), path, fault)
        if hub.token and self.headers.get("Authorization") != "Bearer " + hub.token:
            return self.send(401, b"", {"X-Error-Message": "Invalid username or password."})
        if match := re.fullmatch(r"(/api/models)?/([^/]+/[^/]+)(/.*)", url.path):
            if new := hub.renamed.get(match[2]):
                location = f"{match[1] or ''}/{new}{match[3]}" + (f"?{url.query}" if url.query else "")
                return self.send(307, b"", {"Location": location})
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/(revision|tree)/([^/]+)", url.path):
            if not hub.exists(match[1]):
                return self.no("RepoNotFound")
            repository = hub.revision(match[1], unquote(match[3]))
            if not repository:
                return self.no("RevisionNotFound")
            if match[2] == "revision":
                tag = {"ETag": f'W/"{repository.commit}"'}
                if self.headers.get("If-None-Match") == tag["ETag"]:
                    self.send_response(304)
                    self.send_header("ETag", tag["ETag"])
                    return self.end_headers()
                return self.json({"id": match[1], "sha": repository.commit}, tag)
            start = int(parse_qs(url.query).get("cursor", ["0"])[0])
            more = start + hub.page < len(repository.files)
            link = f'<http://127.0.0.1:{hub.port}{url.path}?recursive=true&cursor={start + hub.page}>; rel="next"'
            return self.json(repository.files[start : start + hub.page], {"Link": link} if more else {})
        if match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", unquote(url.path)):
            repository = hub.exists(match[1]) and hub.revision(match[1], match[2])
            entry = repository and match[2] == repository.commit and next((f for f in repository.files if f["path"] == match[3]), None)
            if not entry:
                return self.no("EntryNotFound")
            if "lfs" in entry:
                location = f"http://localhost:{hub.cdn_port}/{quote(repository.name)}/{quote(match[3])}?signature=secret{time.time()}"
                return self.send(302, b"", {"Location": location, "X-Repo-Commit": repository.commit})
            return self.file(repository, match[3], fault)
        self.no("EntryNotFound")

    def file(self, repository, path, fault):
        kind = fault.get("kind")
        size = os.path.getsize(os.path.join(repository.path, path))
        first, last, status = 0, size - 1, 200
        if (match := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")) and kind != "whole":
            first, last, status = int(match[1]), min(int(match[2] or last), last), 206
        with open(os.path.join(repository.path, path), "rb") as file:
            file.seek(first)
            body = bytearray(file.read(last + 1 - first))
        if kind == "corrupt" and first <= fault["after"] <= last:
            body[fault["after"] - first] ^= 1
        self.send_response(status)
        self.send_header("Content-Type", "application/octet-stream")
        total = size + fault.get("extra", 0)
        if status == 206:
            shift = 1 if kind == "shifted" else 0
            self.send_header("Content-Range", f"bytes {first + shift}-{last + shift}/{total}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        end = len(body)
        if kind in ("reset", "cut", "freeze"):
            end = min(fault["after"], len(body))
        for start in range(0, end, 65536):
            part = body[start : min(start + 65536, end)]
            if pace := fault.get("pace", 0):
                time.sleep(pace)
            self.wfile.write(part)
            with hub.lock:
                self.entry["bytes"] += len(part)
        if kind == "freeze":
            time.sleep(fault.get("seconds", 5))
        if kind == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if kind in ("reset", "cut", "freeze"):
            self.close_connection = True
            self.connection.close() if kind == "reset" else self.connection.shutdown(socket.SHUT_RDWR)


class Server(ThreadingHTTPServer):
    daemon_threads, request_queue_size = True, 128

    def __init__(self, port=0, is_cdn=False):
        super().__init__(("127.0.0.1", port), Handler)
        self.port, self.is_cdn = self.server_address[1], is_cdn
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, *_):
        pass


def listen(is_open):
    """Opens or closes the port of the hub."""
    if is_open and not hub.server:
        hub.server = Server(hub.port)
    elif not is_open and hub.server:
        hub.server.shutdown()
        hub.server.server_close()
        hub.server = None


def write_tree(root, out, cdn):
    """Answers as files, for a web server whose index is `index.json`."""
    for organization in sorted(os.listdir(root)):
        for model in sorted(os.listdir(os.path.join(root, organization))):
            name = f"{organization}/{model}"
            repository = Repository(root, name)
            answers = [("revision/main", {"id": name, "sha": repository.commit}), (f"tree/{repository.commit}", repository.files)]
            for path, value in answers:
                place = os.path.join(out, "api/models", name, path)
                os.makedirs(place, exist_ok=True)
                with open(place + "/index.json", "w") as file:
                    json.dump(value, file)
            place = os.path.join(out, name, "resolve")
            os.makedirs(place, exist_ok=True)
            os.symlink(repository.path, os.path.join(place, repository.commit))


if sys.argv[1] == "--tree":
    write_tree(*sys.argv[2:5])
else:
    hub = Hub(sys.argv[1])
    hub.server, cdn = Server(), Server(is_cdn=True)
    hub.port, hub.cdn_port = hub.server.port, cdn.port
    print(hub.port, hub.cdn_port, flush=True)
    sys.stdin.read()  # Ends with the process that started it.

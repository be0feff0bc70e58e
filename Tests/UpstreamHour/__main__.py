"""Clients of `serve --upstream` in front of a hub that changes and fails, for an hour.

    python Tests/UpstreamHour [--seconds N] [--steps N] [--seed N] [--tool PATH] [--keep]

In each step the hub gets commits with changed, more and fewer files, moves refs and tags, rewrites histories or renames a
repository; it goes down, stalls, refuses, or breaks connections; the server is stopped and started again. Meanwhile
clients download in parallel: huggingface_hub, `hf`, transformers if PyTorch is there, the requests of llama.cpp and of
Ollama, curl with ranges. What they receive must be the bytes of one commit of the hub which the revision named since the
last comparison. Without a fault every download succeeds, and so does that of a commit whose bytes are stored while the
hub is down. After each step the hub is well again, and every ref must name its commit.

Needs huggingface_hub and numpy, and a release build. Prints a line a minute, and at the end the seed, the steps, the downloads and the faults. At the first wrong answer it
prints what happened in the step and how to repeat it, keeps the folder, and ends with 1.
"""
import argparse, collections, os, random, shutil, signal, socket, sys, tempfile, threading, time

for key in [key for key in os.environ if key.lower().endswith("_proxy") or key.startswith("HF_")]:
    del os.environ[key]


def arguments():
    parser = argparse.ArgumentParser(prog="Tests/UpstreamHour")
    parser.add_argument("--seconds", type=int, default=3600)
    parser.add_argument("--steps", type=int, default=1 << 30, help="stop after N steps")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    parser.add_argument("--tool", default=os.path.join(root, ".build/release/weightstore"))
    parser.add_argument("--keep", action="store_true", help="keep the folder with the hub, the store and the log")
    return parser.parse_args()


def change(world, source, happened):
    """One change at the hub."""
    model = source.choices(world.models, [4, 3, 4, 1])[0]
    kind = source.choices(
        ["tensors", "file", "remove", "tag", "branch", "back", "force", "unbranch", "rename"],
        [6, 4, 2, 2, 2, 1, 2, 1, 1])[0]
    if kind in ("file", "tensors", "remove") and model.kind.name.startswith("big") and model.count > 30:
        kind = "back"
    if kind == "tensors":
        chosen = source.sample(model.kind.tensors, source.randint(1, min(3, len(model.kind.tensors))))
        model.refs["main"] = model.commit(changed=chosen)
    elif kind == "file":
        path = source.choice(["notes.md", "extra/a.json", "extra/data.bin", "vocab.txt", f"late-{model.count}.json"])
        model.refs["main"] = model.commit(add=(path, source.choice([0, 1, 5_000, 99_999, 100_000, 400_000])))
    elif kind == "remove":
        removed = source.choice(sorted(model.extra)) if model.extra else None
        model.refs["main"] = model.commit(remove=removed)
    elif kind == "tag":
        model.refs[source.choice(["v1", "v2", "v1.5"])] = source.choice(model.alive)
    elif kind == "branch":
        model.refs["dev"] = source.choice(model.alive)
    elif kind == "back":
        model.refs["main"] = source.choice(model.alive)
    elif kind == "force":
        # The history of main is rewritten: commits that no ref names are gone.
        model.refs["main"] = model.commit(changed=source.sample(model.kind.tensors, 1))
        model.gone |= {commit for commit in model.commits if commit not in model.refs.values()}
    elif kind == "unbranch":
        model.refs.pop("dev", None)
    elif kind == "rename" and len(model.names) < 3:
        old, new = model.names[-1], f"renamed/{model.kind.name.split('/')[1]}-{len(model.names)}"
        model.names.append(new)
        world.renamed |= {name: new for name in model.names[:-1]}
        happened.append(f"{old} is renamed to {new}")
    happened.append(f"{kind} {model.names[-1]}: " + ", ".join(f"{r}={c.directory[8:]}" for r, c in model.refs.items()))
    world.counts[f"change: {kind}"] += 1


def trouble(source):
    """Faults of the hub for a while; [] for a healthy one."""
    kind = source.choices(
        ["", "closed", "down", "hold", "stall", "freeze", "reset", "cut", "status", "deny", "html", "loop", "whole",
         "shifted", "slow"], [14, 3, 3, 2, 2, 2, 2, 2, 4, 1, 1, 1, 1, 1, 2])[0]
    if not kind:
        return []
    match = source.choice(["", "^/api/models", "resolve", r"\.(safetensors|gguf)", "^/api/.*tree", r"\.json"])
    fault = {"kind": kind, "match": match, "times": source.choice([1, 3, 10, 1 << 30])}
    if kind in ("closed", "down"):
        fault |= {"match": "", "times": 1 << 30}
    if kind == "stall":
        fault["seconds"] = source.choice([1, 3, 6])
    if kind in ("freeze", "reset", "cut"):
        fault |= {"after": source.choice([0, 1, 1000, 100_000, 3_000_000]), "seconds": 3}
    if kind == "status":
        fault["status"] = source.choice([429, 500, 502, 503, 504])
        if source.random() < 0.5:
            fault["headers"] = {"Retry-After": str(source.choice([0, 1, 2]))}
    if kind == "deny":
        fault |= {"kind": "status", "status": source.choice([401, 403])}
    if kind == "slow":
        fault |= {"kind": "pace", "pace": 0.05}
    return [fault]


def choose(world, source, happened):
    """A client, and what it requests."""
    from clients import CLIENTS, Wanted, curl, llama, ollama, partial, transformers
    client = source.choices([client for client, _ in CLIENTS], [weight for _, weight in CLIENTS])[0]
    kinds = {ollama: "org/gguf", transformers: "org/llama"}
    models = [model for model in world.models if kinds.get(client, model.kind.name) == model.kind.name]
    model = source.choices(models, [1 if model.kind.name.startswith("big") else 3 for model in models])[0]
    name = source.choice(model.names)
    # A branch that the hub has deleted stays where it was.
    refs = sorted(model.refs.keys() | {ref for seen, ref in world.seen if seen == name})
    revision = "main" if source.random() < 0.5 else source.choice(refs)
    commit = None
    if client is ollama:
        revision = "main"
    elif client is partial:
        # The cache has main as the hub has it.
        revision, commit = "main", model.refs["main"]
    elif source.random() < 0.35 or (client is transformers and happened):
        commit = source.choice(model.alive)
        revision = commit.sha
    of = commit or model.refs.get(revision) or next(iter(world.allowed[name, revision]))
    paths = sorted(set(of.files).intersection(*(commit.files for commit in model.commits if commit is not of)) or of.files)
    path = source.choice(paths)
    if path == "empty.txt" and client in (curl, llama):
        # It has no range.
        path = "README.md"
    wanted = Wanted(model, name, revision, path, source.randrange(1 << 30))
    wanted.commit = commit
    return client, wanted


def step(world, source, happened):
    from clients import Failed, Wrong, run
    for _ in range(source.choice([0, 1, 1, 2, 3])):
        change(world, source, happened)
    world.publish()
    faults = trouble(source)
    if faults:
        happened.append(f"fault {faults}")
        world.counts[f"fault: {faults[0]['kind']}"] += 1
        world.set_faults(faults)
    clients = [choose(world, source, happened) for _ in range(source.randint(2, 6))]
    happened += [f"{client.__name__} {wanted}" for client, wanted in clients]
    errors, done = [], collections.Counter()

    def work(client, wanted):
        start = time.monotonic()
        try:
            run(client, world, wanted)
            done["downloads"] += 1
            done[f"client: {client.__name__}"] += 1
        except Failed as error:
            if world.must_succeed(wanted):
                errors.append(f"{client.__name__} {wanted} failed: {error}")
            else:
                done["failures without an answer"] += 1
        except Wrong as error:
            errors.append(f"{client.__name__}: {error}")
        except BaseException as error:
            errors.append(f"{client.__name__} {wanted}: {error!r}")
        happened.append(f"{client.__name__} {wanted} ended after {time.monotonic() - start:.1f} s")

    threads = [threading.Thread(target=work, args=each, daemon=True) for each in clients]
    for thread in threads:
        thread.start()
    if source.random() < 0.4:
        time.sleep(source.random() * 2)
        change(world, source, happened)
        world.publish()
    if source.random() < 0.08:
        time.sleep(source.random() * 2)
        world.was_stopped = world.is_troubled = True
        number = source.choice([signal.SIGTERM, signal.SIGKILL])
        happened.append(f"the server is stopped by {number.name} and started again")
        world.counts["server stopped"] += 1
        world.stop_server(number)
        world.start_server()
    pause = source.choice([0.5, 2, 5, 10])
    if faults:
        # Up again while clients still wait.
        time.sleep(pause)
        world.set_faults([])
    end = time.monotonic() + world.limit
    for thread in threads:
        thread.join(max(0, end - time.monotonic()))
        if thread.is_alive():
            raise Wrong(f"a client has not ended after {world.limit} s")
    world.counts.update(done)
    if errors:
        raise Wrong("; ".join(errors))
    world.settle()


def main():
    options = arguments()
    # As Ctrl-C, so that the hub and the server end, too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    directory = tempfile.mkdtemp(prefix="weightstore-upstream-")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    # Read when the libraries are imported.
    os.environ |= {
        "HF_ENDPOINT": f"http://127.0.0.1:{port}", "HF_HOME": f"{directory}/home", "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_XET": "1", "HF_HUB_DOWNLOAD_TIMEOUT": "30",
        "HF_HUB_ETAG_TIMEOUT": "30", "DISABLE_SAFETENSORS_CONVERSION": "1", "TRANSFORMERS_VERBOSITY": "error"}
    from clients import Wanted, Wrong, run, tree
    from world import World
    world = World(directory, os.path.abspath(options.tool), port)
    import logging
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    source, start, steps, happened, fault, last = random.Random(options.seed), time.monotonic(), 0, [], None, 0

    def line():
        counts = world.counts
        return (f"seed {options.seed}: {steps} steps in {time.monotonic() - start:.0f} s, {counts['downloads']} downloads,"
                f" {counts['files']} files and {counts['bytes'] / 1e9:.2f} GB compared,"
                f" {counts['failures without an answer']} failed as they may")

    try:
        world.start()
        world.settle()
        while time.monotonic() - start < options.seconds and steps < options.steps:
            happened.clear()
            steps += 1
            step(world, source, happened)
            # Without a fault, one whole model.
            model = source.choice(world.models)
            wanted = Wanted(model, source.choice(model.names), source.choice(sorted(model.refs)))
            happened.append(f"tree {wanted} of a healthy hub")
            run(tree, world, wanted)
            world.counts["downloads"] += 1
            if time.monotonic() - last > 60:
                last = time.monotonic()
                print(line(), flush=True)
        world.stop_server(signal.SIGTERM)
        verified = world.tool("verify")
        if verified.returncode != 0:
            raise Wrong(f"verify: {verified.returncode} {verified.stdout}{verified.stderr}")
        world.counts["verify: intact"] += 1
    except KeyboardInterrupt:
        fault = "interrupted"
    except Exception as error:
        fault = f"{type(error).__name__}: {error}"
    finally:
        world.close()
    print(line())
    for name, count in sorted(world.counts.items()):
        if ":" in name or " stopped" in name:
            print(f"  {name}: {count}")
    if not fault:
        print("faults: 0")
        if not options.keep:
            shutil.rmtree(directory)
        return 0
    print("faults: 1\n" + fault)
    for event in happened:
        print("  " + event)
    print(f"The folder {directory} has the store and server.log. To repeat:")
    print(f"  {sys.executable} Tests/UpstreamHour --seed {options.seed} --steps {steps}")
    sys.stdout.flush()
    # Clients that hang must not keep the process.
    os._exit(1)


sys.exit(main())

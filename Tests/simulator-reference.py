#!/usr/bin/env python3
"""Compares the simulator with libCacheSim (PyPI libcachesim): the same traces, policies and cache sizes.

    .build/test-support/python/bin/pip install libcachesim
    .build/test-support/python/bin/python Tests/simulator-reference.py [--requests N] [TOOL]

Prints both miss ratios of each pair; exit status 1 if one of lru, lfu, size, gdsf differs by more than 0.1 percentage
points. Without TOOL, the release build's is run, or else the debug build's.

One definition differs. libCacheSim's GDSF brings the new object in first and evicts then, so that the new object itself
may go at once; its other policies, and this store, make room first: what is being fetched is in use. So gdsf is compared
with GDSF written out both ways below: "first" must be libCacheSim's, "after" must be ours.
"""
import argparse, heapq, json, math, os, random, subprocess, sys, tempfile
import libcachesim

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# Not lfuda: libcachesim 0.3.5 does not return from it.
THEIRS = {"lru": libcachesim.LRU, "lfu": libcachesim.LFU, "size": libcachesim.Size, "gdsf": libcachesim.GDSF}


def zipf(requests, objects, alpha, seed):
    """Requests to objects with Zipf popularity and log-normal sizes, as shards have them."""
    choose = random.Random(seed)
    weights = [1 / (rank + 1) ** alpha for rank in range(objects)]
    sizes = [max(1, int(math.exp(choose.gauss(13, 1.5)))) for _ in range(objects)]
    picks = choose.choices(range(objects), weights, k=requests)
    return [(index // 100, pick, sizes[pick]) for index, pick in enumerate(picks)]


def drifting(requests, objects, seed):
    """Popularity that changes: new models arrive, old ones fall out of use."""
    choose = random.Random(seed)
    sizes = [max(1, int(math.exp(choose.gauss(13, 1.5)))) for _ in range(objects)]
    trace = []
    for index in range(requests):
        start = objects * index // requests
        pick = (start + int(choose.paretovariate(0.7))) % objects
        trace.append((index // 100, pick, sizes[pick]))
    return trace


def theirs(name, trace, size):
    cache = THEIRS[name](cache_size=size)
    request = libcachesim.Request()
    misses = missed = total = 0
    for time, id, bytes in trace:
        request.clock_time, request.obj_id, request.obj_size = time, id, bytes
        total += bytes
        if not cache.get(request):
            misses += 1
            missed += bytes
    return misses / len(trace), missed / total


def gdsf(trace, size, first):
    """GDSF with a heap: priority = clock + uses / bytes, of equals the least recently used first.

    first: bring the new object in, then evict; or make room, then bring it in.
    """
    clock, stored, misses, missed, total = 0.0, 0, 0, 0, 0
    entries, heap = {}, []  # id: (priority, last use, uses, bytes); the heap holds old entries, too

    def enter(id, uses, bytes, now):
        entries[id] = (clock + uses / bytes, now, uses, bytes)
        heapq.heappush(heap, (entries[id][0], now, id))

    def evict():
        nonlocal clock, stored
        while True:
            priority, last, id = heapq.heappop(heap)
            if id in entries and entries[id][1] == last:
                clock = priority
                stored -= entries.pop(id)[3]
                return

    for now, (_, id, bytes) in enumerate(trace):
        total += bytes
        if id in entries:
            enter(id, entries[id][2] + 1, bytes, now)
            continue
        misses += 1
        missed += bytes
        if bytes > size:
            continue
        while not first and stored + bytes > size:
            evict()
        enter(id, 1, bytes, now)
        stored += bytes
        while stored > size:
            evict()
    return misses / len(trace), missed / total


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tool", nargs="?")
    parser.add_argument("--requests", type=int, default=200_000)
    options = parser.parse_args()
    builds = [os.path.join(ROOT, ".build", kind, "weightstore") for kind in ("release", "debug")]
    tool = options.tool or next(build for build in builds if os.path.exists(build))
    requests = options.requests
    traces = {
        "zipf 1.0": zipf(requests, requests // 20, 1.0, 1), "zipf 0.7": zipf(requests, requests // 20, 0.7, 2),
        "drifting": drifting(requests, requests // 20, 3),
    }
    bad = 0
    with tempfile.TemporaryDirectory() as directory:
        for title, trace in traces.items():
            path = os.path.join(directory, "trace.csv")
            with open(path, "w") as file:
                file.writelines(f"{time},{id},{bytes}\n" for time, id, bytes in trace)
            footprint = sum({id: bytes for _, id, bytes in trace}.values())
            sizes = [footprint // 100, footprint // 20, footprint // 5]
            answer = subprocess.run(
                [tool, "policy", "simulate", "--log", path, "--policy", ",".join(THEIRS), "--quota",
                 ",".join(map(str, sizes)), "--json"], check=True, stdout=subprocess.PIPE).stdout
            ours = {line["name"]: line["points"] for line in json.loads(answer)["lines"]}
            for name in THEIRS:
                for point in ours[name]:
                    mine = point["missRatio"], point["byteMissRatio"]
                    pairs = [("libCacheSim", theirs(name, trace, point["quota"]), mine)]
                    if name == "gdsf":
                        pairs = [
                            ("libCacheSim, first", pairs[0][1], gdsf(trace, point["quota"], True)),
                            ("by hand, after", gdsf(trace, point["quota"], False), mine),
                        ]
                    for other, pair, mine in pairs:
                        off = max(abs(a - b) for a, b in zip(pair, mine)) * 100
                        bad += off > 0.1
                        print(
                            f"{title:9} {name:5} {point['quota']:14,}  {mine[0]:8.3%} {mine[1]:8.3%}   {other:18}"
                            f" {pair[0]:8.3%} {pair[1]:8.3%}  {off:6.3f} points {'DIFFERS' if off > 0.1 else ''}")
    sys.exit(1 if bad else 0)


main()

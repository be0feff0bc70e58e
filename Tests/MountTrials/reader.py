"""A reader of the ten minutes: opens files of a mount, and compares what it reads with the originals.

    python reader.py SECONDS SEED FILE      FILE: JSON, {mounted path: [possible originals]}

Prints one line of JSON: counts, and the first wrong bytes or failed reads.
"""
import json, mmap, os, random, sys, time


def main():
    seconds, source = float(sys.argv[1]), random.Random(int(sys.argv[2]))
    with open(sys.argv[3]) as file:
        files = json.load(file)
    found = {"opens": 0, "reads": 0, "bytes": 0, "wrong": [], "failed": []}
    originals = {path: open(path, "rb").read() for places in files.values() for path in places}
    end = time.monotonic() + seconds
    while time.monotonic() < end and not found["wrong"]:
        path = source.choice(list(files))
        try:
            read(path, files[path], originals, source, found)
        except OSError as error:
            found["failed"].append(f"{path}: {error}")
    found["failed"] = found["failed"][:5] + ([f"and {len(found['failed']) - 5} more"] if len(found["failed"]) > 5 else [])
    print(json.dumps(found))


def read(path, places, originals, source, found):
    file = os.open(path, os.O_RDONLY)
    try:
        found["opens"] += 1
        size = os.fstat(file).st_size
        # While a file is open it keeps its bytes, so that one original has them all.
        possible = [place for place in places if len(originals[place]) == size]
        mapped = mmap.mmap(file, 0, prot=mmap.PROT_READ) if size and source.random() < 0.3 else None
        if source.random() < 0.2:
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        whole = source.random() < 0.3
        position = 0
        for _ in range(1 << 20 if whole else source.randrange(1, 40)):
            length = 1 << 20 if whole else source.choice([1, 100, 4096, 65536, 1 << 20])
            offset = position if whole else source.randrange(size + 1)
            data = mapped[offset:offset + length] if mapped else os.pread(file, length, offset)
            possible = [place for place in possible if originals[place][offset:offset + length] == data]
            found["reads"] += 1
            found["bytes"] += len(data)
            if not possible:
                found["wrong"].append(f"{path}: {length} bytes at {offset}")
                return
            position += len(data)
            if whole and position >= size:
                break
    finally:
        os.close(file)


main()

"""The checksum of the embeddings of a BERT.

    embedding.py STORE MODEL DIRECTORY     from the store, when two others have loaded the model as well
    embedding.py FILE                      from the original file, with safetensors
"""

import os
import sys
import time

import numpy as np

NAMES = [f"embeddings.{name}_embeddings.weight" for name in ("word", "position", "token_type")]


def checksum(words, positions, types):
    embeddings = words + positions[np.arange(len(words)) % len(positions)]
    embeddings += types[0]
    bits = embeddings.view(np.uint32).reshape(-1).astype(np.uint64)
    places = np.arange(len(bits), dtype=np.uint64) % np.uint64(65521) + np.uint64(1)
    return int((bits * places).sum(dtype=np.uint64))


if len(sys.argv) == 2:
    import safetensors

    with safetensors.safe_open(sys.argv[1], framework="np") as file:
        print(checksum(*map(file.get_tensor, NAMES)))
else:
    import weightstore

    store, model, directory = sys.argv[1:]
    tensors = weightstore.load_file(model, framework="np", store=store)
    open(os.path.join(directory, "python"), "w").close()
    end = time.monotonic() + 120
    while len(os.listdir(directory)) < 3:
        if time.monotonic() > end:
            sys.exit("the others did not come")
        time.sleep(0.01)
    print(checksum(*(tensors[name] for name in NAMES)))

"""A BERT's forward pass in NumPy, from the original files: forward.py DIRECTORY TOKEN …

Prints the hidden states behind the first layer and the last, as JSON. In 64-bit floats, so that what differs is the
other's rounding.
"""

import json
import math
import sys

import numpy as np
from safetensors.numpy import load_file

directory, tokens = sys.argv[1], [int(token) for token in sys.argv[2:]]
weights = {name: array.astype(np.float64) for name, array in load_file(directory + "/model.safetensors").items()}
with open(directory + "/config.json") as file:
    config = json.load(file)


def linear(states, name):
    return states @ weights[name + ".weight"].T + weights[name + ".bias"]


def normalized(states, name):
    centred = states - states.mean(-1, keepdims=True)
    spread = np.sqrt((centred ** 2).mean(-1, keepdims=True) + config["layer_norm_eps"])
    return centred / spread * weights[name + ".weight"] + weights[name + ".bias"]


def heads(states):
    return states.reshape(len(states), config["num_attention_heads"], -1).transpose(1, 0, 2)


def layer(states, prefix):
    query, key, value = (heads(linear(states, f"{prefix}.attention.self.{name}")) for name in ("query", "key", "value"))
    scores = query @ key.transpose(0, 2, 1) / math.sqrt(query.shape[-1])
    shares = np.exp(scores - scores.max(-1, keepdims=True))
    shares /= shares.sum(-1, keepdims=True)
    attended = (shares @ value).transpose(1, 0, 2).reshape(states.shape)
    states = normalized(linear(attended, prefix + ".attention.output.dense") + states, prefix + ".attention.output.LayerNorm")
    wide = linear(states, prefix + ".intermediate.dense")
    wide = wide * 0.5 * (1 + np.vectorize(math.erf)(wide / math.sqrt(2)))
    return normalized(linear(wide, prefix + ".output.dense") + states, prefix + ".output.LayerNorm")


states = normalized(
    weights["embeddings.word_embeddings.weight"][tokens]
    + weights["embeddings.position_embeddings.weight"][:len(tokens)]
    + weights["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
answers = []
for number in range(config["num_hidden_layers"]):
    states = layer(states, f"encoder.layer.{number}")
    answers.append(states)
print(json.dumps({"first": answers[0].reshape(-1).tolist(), "last": answers[-1].reshape(-1).tolist()}))

#!/usr/bin/env python3
"""Random and adversarial keys, values and attention scores, and NumPy's results for them: the reference of KVCompression.

    Tests/kv-reference.py DIRECTORY
    WEIGHTSTORE_KV_REFERENCE=DIRECTORY swift test --filter KVReferenceTests

DIRECTORY/cases.json has for each case a method with its parameters, its inputs and what must come out; the arrays lie
one after the other in DIRECTORY/data. Everything is computed straight from the definitions (the papers, and where they
leave a choice the docstrings), element by element or in float64, and bfloat16 by hand.
"""

import itertools
import json
import os
import sys

import numpy as np

RNG = np.random.default_rng(20240607)
LIMIT = 2.0**126


# Elements


def to_bits(values, element):
    """Float values as the bits of an element, rounded to the nearest, ties to even."""
    values = np.asarray(values, dtype=np.float32)
    if element == "float32":
        return values.view(np.uint32)
    if element == "float16":
        with np.errstate(over="ignore"):
            return values.astype(np.float16).view(np.uint16)
    bits = values.view(np.uint32).astype(np.uint64)
    rounded = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16
    return np.where(np.isnan(values), bits >> 16 | 0x40, rounded).astype(np.uint16)


def to_floats(bits, element):
    if element == "float32":
        return bits.view(np.float32)
    if element == "float16":
        return bits.view(np.float16).astype(np.float32)
    return (bits.astype(np.uint32) << 16).view(np.float32)


def round_up(value, element):
    """The least element that is not below `value`; float32 is rounded to the nearest."""
    if element == "float32":
        return max(float(np.float32(value)), 2.0**-126) if value > 0 else 0.0
    value = max(value, 2.0**-126) if value > 0 else 0.0
    near = to_bits(np.float32(value), element).reshape(1)
    for candidate in (near - 1 if near[0] else near, near, near + 1):
        result = float(to_floats(candidate.astype(np.uint16), element)[0])
        if result >= value:
            return result
    raise AssertionError


# Output


class Output:
    def __init__(self, directory):
        os.makedirs(directory, exist_ok=True)
        self.directory = directory
        self.data = open(os.path.join(directory, "data"), "wb")
        self.cases = []

    def array(self, array):
        offset = self.data.tell()
        raw = np.ascontiguousarray(array).tobytes()
        self.data.write(raw)
        return {"offset": offset, "bytes": len(raw)}

    def tensor(self, tensor):
        return {
            "element": tensor.element, "shape": list(tensor.bits.shape), "strides": tensor.strides,
            "first": tensor.first, **self.array(tensor.storage)}

    def case(self, name, method, keys, values, attention=None, layer=0, **expected):
        self.cases.append({
            "name": name, "method": method[0], "parameters": method[1], "keys": self.tensor(keys),
            "values": self.tensor(values), "attention": self.tensor(attention) if attention else None,
            "layer": layer, **expected})

    def close(self):
        self.data.close()
        with open(os.path.join(self.directory, "cases.json"), "w") as file:
            json.dump(self.cases, file)
        print(f"{len(self.cases)} cases in {self.directory}")


# Inputs


class Tensor:
    """Bits [b, h, r, c] in a storage with strides; `storage` holds other numbers between them."""

    def __init__(self, values, element, layout="contiguous"):
        bits = to_bits(values, element)
        self.element = element
        b, h, r, c = bits.shape
        if layout == "broadcast":  # One head for all.
            bits = np.broadcast_to(bits[:, :1], bits.shape)
            strides, size, self.first = (r * c, 0, c, 1), b * r * c, 0
        elif layout == "interleaved":  # [batch, sequence, heads, dim]
            strides, size, self.first = (r * h * c, c, h * c, 1), bits.size, 0
        elif layout == "padded":
            strides, size, self.first = (h * r * (c + 3), r * (c + 3), c + 3, 1), b * h * r * (c + 3) + 5, 5
        elif layout == "transposed":  # [batch, heads, dim, sequence]
            strides, size, self.first = (h * r * c, r * c, 1, r), bits.size, 0
        elif layout == "reversed":
            strides, size, self.first = (h * r * c, r * c, -c, 1), bits.size, (r - 1) * c
        else:
            strides, size, self.first = (h * r * c, r * c, c, 1), bits.size, 0
        self.strides = list(strides)
        self.storage = np.full(size, 0x7B7B, dtype=bits.dtype)
        for i in itertools.product(range(b), range(h), range(r)):
            start = self.first + sum(x * s for x, s in zip(i, strides))
            self.storage[[start + x * strides[3] for x in range(c)]] = bits[i]
        self.bits = np.array(bits)
        self.floats = to_floats(self.bits, element)


LAYOUTS = ["contiguous", "interleaved", "padded", "transposed", "reversed", "broadcast"]


def numbers(kind, shape):
    x = RNG.standard_normal(shape).astype(np.float32)
    if kind == "outlier channels":
        x[..., :: 7] *= 100
        x[..., 3 :: 7] += 50
    elif kind == "constant":
        x[:] = 1.5
    elif kind == "tiny":
        x *= np.float32(3e-8)
    elif kind == "smallest":
        x = (RNG.integers(-5, 5, shape) * 2.0**-149).astype(np.float32)
    elif kind == "huge":
        x = np.sign(x) * np.float32(6.4e4)
    elif kind == "wide":
        x = (x * 10.0 ** RNG.integers(-30, 37, shape)).astype(np.float32)
    elif kind == "special":
        choice = RNG.random(shape)
        for limit, value in [(0.3, np.nan), (0.2, np.inf), (0.1, -np.inf), (0.05, 3e38), (0.02, -0.0)]:
            x[choice < limit] = value
    return x


def scores(kind, shape):
    if kind == "softmax":
        x = np.exp(3 * RNG.standard_normal(shape))
        x /= np.maximum(x.sum(axis=-1, keepdims=True), 1e-30)
    elif kind == "ties":
        x = RNG.integers(0, 3, shape) / 4
    elif kind == "zeros":
        x = np.where(RNG.random(shape) < 0.5, 0.0, -0.0)
    else:
        x = RNG.standard_normal(shape)
        choice = RNG.random(shape)
        for limit, value in [(0.3, np.nan), (0.15, np.inf), (0.08, -np.inf)]:
            x[choice < limit] = value
    return np.asarray(x, dtype=np.float32)


# Methods


def attention_sums(attention, heads):
    """[batch, heads, sequence]: float32, query head by query head, query by query; NaN counts as 0."""
    b, query_heads, queries, length = attention.shape
    group = query_heads // heads if heads else 1
    sums = np.zeros((b, heads, length), dtype=np.float32)
    with np.errstate(invalid="ignore"):
        for h, g, q in itertools.product(range(heads), range(group), range(queries)):
            row = attention[:, h * group + g, q]
            sums[:, h] = sums[:, h] + np.where(np.isnan(row), np.float32(0), row)
    return sums


def pooled(row, kernel, pooling):
    """One head's scores, pooled."""
    result = np.empty_like(row)
    half = kernel // 2
    for i in range(len(row)):
        part = row[max(i - half, 0) : i + half + 1]
        if pooling == "max":
            numbers = part[~np.isnan(part)]
            result[i] = numbers.max() if len(numbers) else -np.inf
        else:
            total = np.float32(0)
            with np.errstate(invalid="ignore"):
                for value in part:
                    total = np.float32(total + value)
            result[i] = total
    return result


def ranked(attention, heads, length, best, recent, kernel=1, pooling="max"):
    """Positions [batch, heads, kept]."""
    recent = min(recent, length)
    best = min(best, length - recent)
    sums = attention_sums(attention, heads)[..., : length - recent]
    result = np.empty((attention.shape[0], heads, best + recent), dtype=np.int32)
    for b, h in itertools.product(range(attention.shape[0]), range(heads)):
        row = pooled(sums[b, h], kernel, pooling) if kernel > 1 else sums[b, h]
        order = sorted(range(len(row)), key=lambda i: (bool(np.isnan(row[i])), -row[i] if not np.isnan(row[i]) else 0, i))
        result[b, h] = sorted(order[:best]) + list(range(length - recent, length))
    return result


def pyramid_budget(layers, budget, window, steepness, layer, length):
    if budget >= length:
        return budget
    mean = budget - window
    first = min(2 * mean - mean // steepness, length - window)
    if layers == 1:
        return budget
    line = [first + (2 * mean - 2 * first) * i / (layers - 1) for i in range(layers)]
    assert abs(sum(line) - layers * mean) < 1e-6 * layers * max(mean, 1)
    from fractions import Fraction
    exact = first + Fraction(2 * (mean - first) * layer, layers - 1)
    above = exact - mean  # Rounded towards the mean.
    return window + mean + int(above)


def positions_of(method, parameters, attention, heads, batch, length, layer):
    same = lambda p: np.broadcast_to(np.array(p, dtype=np.int32), (batch, heads, len(p)))
    if method == "window":
        return same([i for i in range(length) if i >= length - parameters["last"]])
    if method == "sinks":
        return same([i for i in range(length) if i < parameters["first"] or i >= length - parameters["last"]])
    if method == "heavyHitters":
        return ranked(attention, heads, length, parameters["heavy"], parameters["recent"])
    budget = parameters["budget"]
    if method == "pyramid":
        budget = pyramid_budget(parameters["layers"], budget, parameters["window"], parameters["steepness"], layer, length)
    return ranked(
        attention, heads, length, budget - parameters["window"], parameters["window"], parameters["kernel"],
        parameters["pooling"])


def quantized(floats, element, bits, group, axis):
    """Scales and zero points in the order of the layout, steps before rounding, and dequantised elements."""
    levels = 2**bits - 1
    b, h, r, c = floats.shape
    groups = -(-(r if axis == "channel" else c) // group)
    shape = (b, h, groups, c) if axis == "channel" else (b, h, r, groups)
    scales, zeros = np.zeros(shape), np.zeros(shape)
    steps, result = np.zeros(floats.shape), np.zeros(floats.shape)
    greatest = {"float16": 65504.0, "bfloat16": float(np.array([0x7F7F0000], np.uint32).view(np.float32)[0])}.get(
        element, float(np.finfo(np.float32).max))
    for i, j, g in itertools.product(range(b), range(h), range(groups)):
        for k in range(c if axis == "channel" else r):
            part = slice(g * group, (g + 1) * group)
            at = (i, j, part, k) if axis == "channel" else (i, j, k, part)
            where = (i, j, g, k) if axis == "channel" else (i, j, k, g)
            x = floats[at].astype(np.float64)
            with np.errstate(invalid="ignore"):
                finite = x[np.abs(x) <= LIMIT]
            low, high = (finite.min(), finite.max()) if len(finite) else (0.0, 0.0)
            scale = round_up((high - low) / levels, element)
            scales[where], zeros[where] = scale, low
            x = np.clip(np.where(np.isnan(x), low, x), low, high)
            t = np.clip((x - low) / scale, 0, levels) if scale else np.zeros_like(x)
            steps[at] = t
            result[at] = np.minimum(low + np.rint(t) * scale, greatest)
    return scales, zeros, steps, to_floats(to_bits(result, element), element)


# Cases


def selection_cases(out):
    choices = [
        ("window", {"last": 0}), ("window", {"last": 1}), ("window", {"last": 9}), ("window", {"last": 1000}),
        ("sinks", {"first": 4, "last": 9}), ("sinks", {"first": 0, "last": 3}), ("sinks", {"first": 20, "last": 20}),
        ("heavyHitters", {"heavy": 5, "recent": 4}), ("heavyHitters", {"heavy": 0, "recent": 3}),
        ("heavyHitters", {"heavy": 12, "recent": 0}), ("heavyHitters", {"heavy": 40, "recent": 40}),
    ] + [
        ("snap", {"budget": budget, "window": window, "kernel": kernel, "pooling": pooling})
        for budget, window, kernel in [(12, 4, 5), (12, 4, 1), (9, 0, 3), (4, 4, 7), (100, 8, 7), (20, 3, 99)]
        for pooling in ("max", "mean")
    ] + [
        ("pyramid", {"layers": 5, "budget": 10, "window": 3, "kernel": 3, "pooling": "max", "steepness": 4}),
        ("pyramid", {"layers": 1, "budget": 10, "window": 3, "kernel": 3, "pooling": "mean", "steepness": 20}),
    ]
    shapes = [(2, 3, 37, 20), (1, 2, 1, 5), (1, 1, 24, 1), (2, 2, 0, 4), (1, 2, 26, 64)]
    for shape, (method, parameters), kind in itertools.product(
            shapes, choices, ["softmax", "ties", "zeros", "special"]):
        if method in ("window", "sinks") and kind != "softmax":
            continue
        b, h, r, c = shape
        element, layout = RNG.choice(["float32", "float16", "bfloat16"]), RNG.choice(LAYOUTS)
        keys = Tensor(numbers("special", shape), element, layout)
        values = Tensor(numbers("special", (b, h, r, c + 3)), element, RNG.choice(LAYOUTS))
        group, queries = RNG.choice([1, 2, 4]), RNG.choice([1, 5, 8])
        attention = Tensor(
            scores(kind, (b, h * group, queries, r)), RNG.choice(["float32", "float16", "bfloat16"]),
            RNG.choice(LAYOUTS[:5]))
        for layer in range(parameters.get("layers", 1)):
            positions = positions_of(method, parameters, attention.floats, h, b, r, layer)
            gathered = [np.take_along_axis(x.bits, positions[..., None].astype(np.int64), axis=2) for x in (keys, values)]
            out.case(
                f"{method} {parameters} of {shape}, {kind}, {element} {layout}", (method, parameters), keys, values,
                attention, layer, positions=out.array(positions), count=positions.shape[2],
                keptKeys=out.array(gathered[0]), keptValues=out.array(gathered[1]))


def quantization_cases(out):
    kinds = ["normal", "outlier channels", "constant", "tiny", "smallest", "huge", "wide", "special"]
    shapes = [(2, 2, 37, 20), (1, 1, 1, 1), (1, 2, 64, 48), (1, 1, 5, 7), (1, 1, 0, 8), (1, 1, 33, 0)]
    for element, bits, kind in itertools.product(["float32", "float16", "bfloat16"], [8, 4, 2], kinds):
        for number, shape in enumerate(shapes):
            group = int(RNG.choice([1, 3, 16, 32, 1000]))
            layout = RNG.choice(LAYOUTS)
            keys, values = (Tensor(numbers(kind, shape), element, layout) for _ in range(2))
            select = {"first": 2, "last": 11} if number == 2 else None
            rows = lambda x: x
            if select:
                kept = positions_of("sinks", select, None, shape[1], shape[0], shape[2], 0)
                rows = lambda x: np.take_along_axis(x, kept[..., None].astype(np.int64), axis=2)
            parts = {}
            for name, tensor, axis in [("keys", keys, "channel"), ("values", values, "token")]:
                scales, zeros, steps, result = quantized(rows(tensor.floats), element, bits, group, axis)
                parts[name] = {
                    "scales": out.array(scales.astype(np.float32)), "zeros": out.array(zeros.astype(np.float32)),
                    "steps": out.array(steps.astype(np.float32)), "dequantized": out.array(result.astype(np.float32))}
            out.case(
                f"{bits} bits, group {group}, {kind}, {shape}, {element} {layout}",
                ("sinksQuantized" if select else "quantized", {"bits": bits, "group": group, **(select or {})}),
                keys, values, quantizedKeys=parts["keys"], quantizedValues=parts["values"])



if __name__ == "__main__":
    output = Output(sys.argv[1])
    selection_cases(output)
    quantization_cases(output)
    output.close()

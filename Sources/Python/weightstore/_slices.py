"""The bytes of a slice of a tensor."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from ._tensors import TensorInfo


@dataclass(frozen=True)
class SlicePlan:
    """The parts of a tensor that a slice needs: those in the range of one dimension, with all of the dimensions behind it.

    The parts are ``size`` bytes each, the first at ``offset``, and ``stride`` bytes apart. ``shape`` is that of all of
    them, and ``rest`` selects the slice of it.
    """

    offset: int
    size: int
    stride: int
    count: int
    shape: tuple[int, ...]
    rest: tuple[Any, ...]

    @property
    def is_one_run(self) -> bool:
        return self.count == 1

    def result(self, info: TensorInfo) -> TensorInfo:
        """The parts as a tensor."""
        return info._replace(shape=self.shape, bytes=self.size * self.count)

    @classmethod
    def of(cls, info: TensorInfo, index: Any) -> SlicePlan | None:
        """None if the index needs all of the tensor, or selects in another way than by integers and ranges."""
        parts = list(index) if isinstance(index, tuple) else [index]
        elements = math.prod(info.shape)
        if len(parts) > len(info.shape) or elements == 0 or info.bytes % elements:
            return None
        ranges: list[range] = []
        for part, size in zip(parts, info.shape):
            if isinstance(part, bool) or not isinstance(part, (int, slice)):
                return None
            if isinstance(part, slice):
                if part.step not in (None, 1):
                    return None
                ranges.append(range(size)[part])
            elif -size <= part < size:
                ranges.append(range(part % size, part % size + 1))
            else:
                return None  # PyTorch and NumPy raise their own errors.
        cut = next((place for place, (one, size) in enumerate(zip(ranges, info.shape)) if len(one) < size), None)
        if cut is None or not all(ranges):
            return None
        # Of a single row, only the range of the next dimension is needed.
        offset, inner = 0, info.bytes // elements * math.prod(info.shape[cut + 1:])
        while cut + 1 < len(ranges) and all(len(one) == 1 for one in ranges[:cut + 1]):
            offset += ranges[cut].start * inner
            cut += 1
            inner //= info.shape[cut]
        chosen = ranges[cut]
        shape = tuple(len(one) for one in ranges[:cut]) + (len(chosen),) + tuple(info.shape[cut + 1:])
        rest = tuple(
            0 if isinstance(part, int) else slice(None) for part in parts[:cut + 1]) + tuple(parts[cut + 1:])
        return cls(
            offset + chosen.start * inner, len(chosen) * inner, info.shape[cut] * inner,
            math.prod(len(one) for one in ranges[:cut]), shape, rest)

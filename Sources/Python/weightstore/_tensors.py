"""Tensors as the library describes them: one call fills a table of many."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import struct
from typing import Any, Callable, Iterator, NamedTuple

from . import _library as c
from ._library import text


class TensorInfo(NamedTuple):
    """A tensor's description. ``shape`` has the outermost dimension first; ``dtype`` is spelled as in the file;
    ``shard`` is the SHA-256 of the blob that has its bytes, from ``shard_offset`` on."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    bytes: int
    file: str
    stack: str | None
    layer: int | None
    expert: int | None
    shard: str | None
    shard_offset: int = 0


class TensorRow(NamedTuple):
    """A tensor of a lease: ``address`` is that of its bytes, in this process or on the device; 0 for zero bytes."""

    info: TensorInfo
    address: int
    device: tuple[int, int]


#: The fields of weightstore_tensor: struct_size, name, dtype, file, stack; layer, expert, rank; shape, strides, bytes,
#: shard, data; device_type, device_id; shard_offset.
_ROW = struct.Struct("@5Q3q5Q2iQ")
assert _ROW.size == ctypes.sizeof(c.Tensor)


def _table(fill: Callable[..., Any], handle: Any, count: int, first: int) -> bytearray:
    """The array into which a function of the library writes tensors."""
    table = bytearray(count * _ROW.size)
    struct.pack_into("@Q", table, 0, _ROW.size)
    fill(handle, first, count, ctypes.addressof(ctypes.c_char.from_buffer(table)))
    return table


def tensor_rows(fill: Callable[..., Any], handle: Any, count: int, first: int = 0) -> list[TensorRow]:
    """The tensors that a function of the library writes into an array."""
    if count == 0:
        return []
    table = _table(fill, handle, count, first)
    # Many tensors have the same strings, and then the same pointers.
    known: dict[int, Any] = {0: None}
    string, numbers = ctypes.c_char_p, ctypes.string_at

    def shared(pointer: int) -> Any:
        if pointer not in known:
            known[pointer] = text(string(pointer).value)
        return known[pointer]

    shapes: dict[tuple[int, int], tuple[int, ...]] = {(0, 0): ()}

    def shape_of(pointer: int, rank: int) -> tuple[int, ...]:
        if (pointer, rank) not in shapes:
            shapes[pointer, rank] = struct.unpack(f"@{rank}q", numbers(pointer, rank * 8))
        return shapes[pointer, rank]

    rows = []
    for (_, name, dtype, file, stack, layer, expert, rank, shape, _, size, shard, data, kind, number,
         offset) in _ROW.iter_unpack(table):
        info = TensorInfo(
            text(string(name).value), shared(dtype), shape_of(shape, rank), size, shared(file), shared(stack),
            layer if layer >= 0 else None, expert if expert >= 0 else None, shared(shard), offset)
        rows.append(TensorRow(info, data, (kind, number)))
    return rows


def pointers(count: int) -> memoryview:
    """An array of pointers, all of them 0."""
    return memoryview(bytearray(count * ctypes.sizeof(ctypes.c_void_p))).cast("P")


def fill_pointers(fill: Callable[..., Any], handle: Any, array: memoryview) -> memoryview:
    """The array, into which a function of the library has written a pointer for each of the first tensors."""
    fill(handle, 0, len(array), ctypes.addressof(ctypes.c_char.from_buffer(array)))
    return array


@contextlib.contextmanager
def without_collection() -> Iterator[None]:
    """Keeps Python from looking for cycles while many values are made, all of which stay: each look visits all of them."""
    global _is_paused
    if not gc.isenabled():
        yield
        return
    try:
        _is_paused = True
        gc.disable()
        yield
    finally:
        gc.enable()
        _is_paused = False


#: Whether a thread is in `without_collection`, which does not run on in a forked child.
_is_paused = False


def _resume_in_child() -> None:
    global _is_paused
    if _is_paused:
        gc.enable()
        _is_paused = False


os.register_at_fork(after_in_child=_resume_in_child)


class _Block(ctypes.Array[ctypes.c_ubyte]):
    """As many bytes as a process has addresses: one type for memory of any size, because ctypes creates types slowly."""

    _type_ = ctypes.c_ubyte
    _length_ = 1 << 47
    # A dictionary would take five times the memory.
    __slots__ = ("_hold",)
    _hold: Any


def block(address: int, hold: Any) -> Any:
    """Memory from an address on, of no known end. What is made from it keeps ``hold``."""
    memory = _Block.from_address(address)
    memory._hold = hold
    return memory


def read_only(memory: Any, size: int) -> memoryview:
    """The first bytes of a block."""
    return memoryview(memory)[:size].cast("B").toreadonly()

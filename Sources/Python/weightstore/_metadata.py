"""Values of metadata, from the structures of the C interface."""

from __future__ import annotations

import ctypes
from ctypes import POINTER, byref, c_size_t
from typing import TYPE_CHECKING, Any, Union

from . import _library as c
from ._library import encoded, library, text
from ._waiting import wait

if TYPE_CHECKING:
    from ._store import Revision

#: A value of metadata: strings are decoded, bytes that are not UTF-8 as surrogates (``surrogateescape``).
MetadataValue = Union[int, float, bool, str, "list[MetadataValue]"]

_NUMBERS: dict[str, Any] = {
    "uint8": ctypes.c_uint8, "int8": ctypes.c_int8, "uint16": ctypes.c_uint16, "int16": ctypes.c_int16,
    "uint32": ctypes.c_uint32, "int32": ctypes.c_int32, "uint64": ctypes.c_uint64, "int64": ctypes.c_int64,
    "float32": ctypes.c_float, "float64": ctypes.c_double, "bool": ctypes.c_bool,
}


def metadata(revision: Revision, file: str) -> dict[str, MetadataValue]:
    count = c_size_t()
    wait("metadata_count", revision, encoded(file), byref(count))
    found: dict[str, MetadataValue] = {}
    entry = c.Metadata()
    for index in range(count.value):
        library().metadata_at(revision, encoded(file), index, byref(entry))
        found[text(entry.key)] = _value(entry)
    return found


def _value(entry: Any) -> MetadataValue:
    size = max(entry.count, 1) if entry.count != 0 else 0
    kind = text(entry.type)
    values: list[MetadataValue]
    if size == 0:
        values = []
    elif kind == "string":
        texts = ctypes.cast(entry.values, POINTER(c.Text))
        values = [
            ctypes.string_at(texts[index].data, texts[index].size).decode("utf-8", "surrogateescape") for index in range(size)]
    elif kind == "array":
        arrays = ctypes.cast(entry.values, POINTER(POINTER(c.Metadata)))
        values = [_value(arrays[index].contents) for index in range(size)]
    else:
        values = list((_NUMBERS[kind] * size).from_address(entry.values))
    return values[0] if entry.count < 0 else values

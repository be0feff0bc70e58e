"""The ctypes declarations of libweightstore. weightstore.h documents the functions."""

from __future__ import annotations

import ctypes
import operator
import os
import sys
import threading
from ctypes import POINTER, Structure, c_char_p, c_int, c_int32, c_int64, c_size_t, c_uint32, c_uint64, c_void_p
from typing import Any, Iterable

from ._copies import Copies
from ._errors import ForkedError, WeightStoreError, error

ABI = 1
DLPACK_BYTES = 1
DLPACK_PRIVATE = 2
LEASE_LAZY = 1
LEASE_NEIGHBOURS = 2


class _Sized(Structure):
    """A structure that begins with its size."""

    def __init__(self) -> None:
        super().__init__()
        self.struct_size = ctypes.sizeof(self)


class TierOptions(_Sized):
    _fields_ = [
        ("struct_size", c_size_t), ("budget", c_uint64), ("policy", c_char_p), ("lock_pages", c_int32),
        ("verifies", c_int64),
    ]


class Statistics(_Sized):
    _fields_ = [("struct_size", c_size_t)] + [
        (name, c_uint64)
        for name in ("budget", "bytes", "loading", "leased", "shards", "hits", "misses", "loaded", "evictions", "failures")
    ]


class StoreInfo(_Sized):
    _fields_ = [("struct_size", c_size_t), ("path", c_char_p)]


class RevisionInfo(_Sized):
    _fields_ = [
        ("struct_size", c_size_t), ("model", c_char_p), ("name", c_char_p), ("digest", c_char_p), ("version", c_int64),
        ("tensors", c_size_t), ("layers", c_size_t), ("files", c_size_t), ("bytes", c_uint64),
    ]


class Tensor(_Sized):
    _fields_ = [
        ("struct_size", c_size_t), ("name", c_char_p), ("dtype", c_char_p), ("file", c_char_p), ("stack", c_char_p),
        ("layer", c_int64), ("expert", c_int64), ("rank", c_int64), ("shape", POINTER(c_int64)),
        ("strides", POINTER(c_int64)), ("bytes", c_uint64), ("shard", c_char_p), ("data", c_void_p),
        ("device_type", c_int32), ("device_id", c_int32), ("shard_offset", c_uint64),
    ]


class TensorParts(_Sized):
    _fields_ = [
        ("struct_size", c_size_t), ("offset", c_uint64), ("bytes", c_uint64), ("stride", c_uint64), ("count", c_uint64),
    ]


class Layer(_Sized):
    _fields_ = [
        ("struct_size", c_size_t), ("stack", c_char_p), ("number", c_int64), ("tensors", c_size_t), ("bytes", c_uint64),
    ]


class File(_Sized):
    _fields_ = [
        ("struct_size", c_size_t), ("path", c_char_p), ("format", c_char_p), ("digest", c_char_p), ("bytes", c_uint64),
    ]


class Text(Structure):
    _fields_ = [("data", c_void_p), ("size", c_size_t)]


class Metadata(_Sized):
    _fields_ = [
        ("struct_size", c_size_t), ("key", c_char_p), ("type", c_char_p), ("count", c_int64), ("values", c_void_p),
    ]


class LeaseInfo(_Sized):
    _fields_ = [("struct_size", c_size_t), ("tensors", c_size_t), ("bytes", c_uint64)]


class Part(_Sized):
    _fields_ = [
        ("struct_size", c_size_t), ("kind", c_int64), ("file", c_char_p), ("name", c_char_p), ("stack", c_char_p),
        ("first_layer", c_int64), ("last_layer", c_int64), ("first_expert", c_int64), ("last_expert", c_int64),
    ]


#: The status of a lease that was begun, and the context.
LeaseFunction = ctypes.CFUNCTYPE(None, c_int, c_void_p)


class LeaseOptions(_Sized):
    _fields_ = [
        ("struct_size", c_size_t), ("completion", LeaseFunction), ("context", c_void_p), ("event", c_int32),
        ("when_queued", c_int32),
    ]


class Location(_Sized):
    _fields_ = [
        ("struct_size", c_size_t), ("file_offset", c_uint64), ("path", c_char_p), ("offset", c_uint64),
        ("bytes", c_uint64),
    ]


class Progress(Structure):
    _fields_ = [
        ("struct_size", c_size_t), ("total", c_uint64), ("done", c_uint64), ("skipped", c_uint64), ("label", c_char_p),
    ]


ProgressFunction = ctypes.CFUNCTYPE(c_int32, POINTER(Progress), c_void_p)


class ImportOptions(_Sized):
    _fields_ = [
        ("struct_size", c_size_t), ("name", c_char_p), ("refs", POINTER(c_char_p)), ("ref_count", c_size_t),
        ("origins", POINTER(c_char_p)), ("origin_count", c_size_t), ("move", c_int32), ("partial", c_int32),
        ("strict", c_int32), ("opaque", c_int32), ("rehash", c_int32), ("progress", ProgressFunction),
        ("context", c_void_p),
    ]


class ImportSummary(_Sized):
    _fields_ = [
        ("struct_size", c_size_t), ("bytes", c_uint64), ("written", c_uint64), ("skipped", c_uint64),
        ("moved", c_size_t), ("skipped_files", c_size_t), ("warnings", c_size_t), ("failures", c_size_t),
    ]


class PullOptions(_Sized):
    _fields_ = [
        ("struct_size", c_size_t), ("origin", c_char_p), ("layers", POINTER(c_int64)), ("experts", POINTER(c_int64)),
        ("include", POINTER(c_char_p)), ("include_count", c_size_t), ("opaque", c_int64),
        ("progress", ProgressFunction), ("context", c_void_p),
    ]


class PullSummary(_Sized):
    _fields_ = [("struct_size", c_size_t), ("bytes", c_uint64), ("fetched", c_uint64), ("complete", c_int64)]


class Model(_Sized):
    _fields_ = [
        ("struct_size", c_size_t), ("name", c_char_p), ("revisions", c_size_t), ("version", c_int64),
        ("bytes", c_uint64), ("tensors", c_size_t), ("layers", c_size_t), ("refs", POINTER(c_char_p)),
        ("ref_count", c_size_t), ("pinned", c_int64), ("missing", c_char_p), ("modified", c_int64),
        ("last_access", c_int64), ("accesses", c_int64),
    ]


class RevisionEntry(_Sized):
    _fields_ = [
        ("struct_size", c_size_t), ("model", c_char_p), ("name", c_char_p), ("digest", c_char_p),
        ("commit", c_char_p), ("source", c_char_p), ("version", c_int64), ("bytes", c_uint64), ("files", c_size_t),
        ("tensors", c_size_t), ("layers", c_size_t), ("refs", POINTER(c_char_p)), ("ref_count", c_size_t),
        ("pin", c_char_p), ("missing", c_char_p), ("created", c_int64), ("last_access", c_int64),
        ("accesses", c_int64),
    ]


class RemovalOptions(_Sized):
    _fields_ = [
        ("struct_size", c_size_t), ("force", c_int32), ("dry_run", c_int32), ("progress", ProgressFunction),
        ("context", c_void_p),
    ]


class RemovalSummary(_Sized):
    _fields_ = [("struct_size", c_size_t), ("revisions", c_size_t), ("shards", c_size_t), ("bytes", c_uint64)]


class WarmOptions(_Sized):
    _fields_ = [
        ("struct_size", c_size_t), ("revisions", POINTER(c_char_p)), ("revision_count", c_size_t), ("top", c_size_t),
        ("no_fetch", c_int64), ("progress", ProgressFunction), ("context", c_void_p),
    ]


class WarmSummary(_Sized):
    _fields_ = [
        ("struct_size", c_size_t), ("warmed", c_uint64), ("items", c_size_t), ("skipped", c_size_t),
        ("failed", c_size_t),
    ]


class StoreTotals(_Sized):
    _fields_ = [("struct_size", c_size_t)] + [
        (name, c_uint64)
        for name in (
            "models", "revisions", "files", "tensors", "shards", "stored", "kv_blocks", "kv_stored", "damaged", "pins",
            "accesses", "catalog", "available")
    ]


#: Level, message and context of a line of the log.
LogFunction = ctypes.CFUNCTYPE(None, c_int32, c_char_p, c_void_p)

class _Int64:
    """An argument of 64 bits. ctypes itself drops the higher bits of a number without a word."""

    low, high = -(1 << 63), (1 << 63) - 1
    kind: Any = c_int64

    @classmethod
    def from_param(cls, value: Any) -> Any:
        number = operator.index(value)
        if not cls.low <= number <= cls.high:
            raise ValueError(f"{number}: must be at least {cls.low} and at most {cls.high}")
        return cls.kind(number)


class _UInt64(_Int64):
    low, high = 0, (1 << 64) - 1
    kind = c_uint64


class _Text:
    """A string argument, without NUL, which would end it."""

    @classmethod
    def from_param(cls, value: bytes | None) -> bytes | None:
        if value is not None and b"\0" in value:
            raise ValueError(f"{value.decode('utf-8', 'replace')!r}: has a NUL character")
        return value


_FUNCTIONS: dict[str, list[Any]] = {
    "open_handles": [POINTER(c_size_t)],
    "open": [_Text, POINTER(c_void_p)],
    "close": [c_void_p],
    "store_describe": [c_void_p, POINTER(StoreInfo)],
    "open_tier": [c_void_p, _Text, POINTER(TierOptions)],
    "statistics": [c_void_p, _Text, POINTER(Statistics)],
    "tier_clear": [c_void_p, _Text, POINTER(c_uint64)],
    "tier_close": [c_void_p, _Text, POINTER(c_uint64)],
    "tier_budget": [_Text, _Text, POINTER(c_uint64)],
    "resolve": [c_void_p, _Text, POINTER(c_void_p)],
    "revision_release": [c_void_p],
    "revision_describe": [c_void_p, POINTER(RevisionInfo)],
    "tensors": [c_void_p, c_size_t, c_size_t, c_void_p],
    "layer_at": [c_void_p, c_size_t, POINTER(Layer)],
    "file_at": [c_void_p, c_size_t, POINTER(File)],
    "file_is_selected": [c_void_p, c_size_t, POINTER(c_int32)],
    "read_file": [c_void_p, _Text, _UInt64, c_void_p, c_size_t, POINTER(c_size_t)],
    "metadata_count": [c_void_p, _Text, POINTER(c_size_t)],
    "metadata_at": [c_void_p, _Text, c_size_t, POINTER(Metadata)],
    "lease_layer": [c_void_p, _Text, _Int64, _Text, POINTER(c_void_p)],
    "lease_experts": [c_void_p, _Int64, _Int64, _Int64, _Text, POINTER(c_void_p)],
    "lease_layer_with_experts": [c_void_p, _Int64, _Int64, _Int64, _Text, POINTER(c_void_p)],
    "lease_rest": [c_void_p, _Text, POINTER(c_void_p)],
    "lease_tensor": [c_void_p, _Text, _Text, _Text, POINTER(c_void_p)],
    "lease_file": [c_void_p, _Text, _Text, POINTER(c_void_p)],
    "prefetch_layers": [c_void_p, _Int64, _Int64, _Text],
    "prefetch_layers_with_experts": [c_void_p, _Int64, _Int64, _Int64, _Int64, _Text],
    "lease_describe": [c_void_p, POINTER(LeaseInfo)],
    "lease_tensors": [c_void_p, c_size_t, c_size_t, c_void_p],
    "lease_addresses": [c_void_p, c_size_t, c_size_t, c_void_p],
    "lease_share_memory": [c_void_p, c_size_t, c_size_t, c_void_p],
    "lease_writable": [c_void_p, _Text, _Text, c_uint32, POINTER(c_void_p)],
    "lease_read": [c_void_p, _UInt64, _UInt64, _UInt64],
    "tensor_is_stored": [c_void_p, _Text, _Text, POINTER(c_int32)],
    "read_tensor": [c_void_p, _Text, _Text, POINTER(TensorParts), c_void_p, c_size_t],
    "lease_find": [c_void_p, _Text, _Text, POINTER(c_size_t)],
    "lease_share": [c_void_p, c_size_t, POINTER(c_void_p)],
    "lease_release": [c_void_p],
    "set_log": [LogFunction, c_void_p],
    "work_new": [c_void_p, _Int64, POINTER(c_void_p)],
    "work_use": [c_void_p],
    "work_cancel": [c_void_p],
    "work_release": [c_void_p],
    "lease_part": [c_void_p, POINTER(Part), _Text, POINTER(c_void_p)],
    "lease_begin": [c_void_p, POINTER(Part), _Text, POINTER(LeaseOptions), POINTER(c_void_p)],
    "lease_wait": [c_void_p, _Int64, POINTER(c_void_p)],
    "lease_cancel": [c_void_p],
    "lease_event": [c_void_p, POINTER(c_void_p)],
    "pending_release": [c_void_p],
    "lease_tensor_location": [c_void_p, c_size_t, POINTER(Location)],
    "tensor_open": [c_void_p, c_size_t, POINTER(Location), POINTER(c_int32)],
    "lease_tensor_open": [c_void_p, c_size_t, POINTER(Location), POINTER(c_int32)],
    "create": [_Text, POINTER(c_void_p)],
    "import": [c_void_p, _Text, POINTER(ImportOptions), POINTER(ImportSummary), POINTER(c_void_p)],
    "pull": [c_void_p, _Text, POINTER(PullOptions), POINTER(PullSummary), POINTER(c_void_p)],
    "models": [c_void_p, _Text, POINTER(c_void_p)],
    "revisions": [c_void_p, _Text, POINTER(c_void_p)],
    "list_count": [c_void_p, POINTER(c_size_t)],
    "list_model": [c_void_p, c_size_t, POINTER(Model)],
    "list_revision": [c_void_p, c_size_t, POINTER(RevisionEntry)],
    "list_release": [c_void_p],
    "tag": [c_void_p, _Text, _Text],
    "untag": [c_void_p, _Text, _Text],
    "remove": [c_void_p, POINTER(c_char_p), c_size_t, POINTER(RemovalOptions), POINTER(RemovalSummary)],
    "warm": [c_void_p, _Text, POINTER(WarmOptions), POINTER(WarmSummary)],
    "store_statistics": [c_void_p, POINTER(StoreTotals)],
    "dlpack": [c_void_p, c_size_t, c_uint32, POINTER(c_void_p)],
    "dlpack_versioned": [c_void_p, c_size_t, c_uint32, POINTER(c_void_p)],
}


def _refusing(function: Any) -> Any:
    """A function of the library that raises the errors of its arguments themselves, which ctypes wraps in an
    ``ArgumentError``."""

    def call(*arguments: Any) -> Any:
        try:
            return function(*arguments)
        except ctypes.ArgumentError:
            for kind, argument in zip(function.argtypes, arguments):
                try:
                    kind.from_param(argument)
                except (TypeError, ValueError) as refusal:
                    raise refusal from None
            raise

    return call


class _Library:
    """The functions by their names without the prefix. A status other than 0 is raised as an exception."""

    def __init__(self, path: str) -> None:
        library = self.loaded = ctypes.CDLL(path)
        if not hasattr(library, "weightstore_abi"):
            raise ImportError(f"{path}: not the library of WeightStore.")
        library.weightstore_abi.restype = c_uint32
        abi = library.weightstore_abi()
        if abi != ABI:
            raise WeightStoreError(
                f"{path}: interface version {abi}, expected {ABI}. Install library and package from one version.")
        library.weightstore_last_message.restype = c_char_p
        self._message = library.weightstore_last_message
        for name, arguments in _FUNCTIONS.items():
            try:
                function = getattr(library, "weightstore_" + name)
            except AttributeError:
                raise ImportError(
                    f"{path}: has no function weightstore_{name}: older than this package. Install both from one version."
                ) from None
            function.argtypes = arguments
            function.restype = c_int
            function.errcheck = self._check
            has_numbers = any(isinstance(kind, type) and issubclass(kind, _Int64) for kind in arguments)
            setattr(self, name, _refusing(function) if has_numbers else function)
        #: The address of the destructor of capsules.
        self.capsule_end = ctypes.cast(library.weightstore_dlpack_capsule_end, c_void_p).value

    def _check(self, status: int, function: Any, arguments: Any) -> int:
        if status != 0:
            # A handle of the parent that could not be opened again has the reason.
            for argument in arguments:
                failure = getattr(argument, "reopening_failure", None)
                if failure is not None:
                    raise failure
            raise error(status, (self._message() or b"").decode("utf-8", "replace"))
        return status

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)


def _load(path: str, name: str) -> _Library:
    """Loads a library that must be usable.

    Args:
        name: how messages name it.
    """
    try:
        return _Library(path)
    except OSError as failure:
        advice = ""
        if "undefined symbol: sqlite3_" in str(failure):
            advice = ". It needs SQLite 3.38 or newer, and found an older libsqlite3"
        elif "libsqlite3" in str(failure):
            advice = (
                ". It needs SQLite: install the package libsqlite3-0 (Debian, Ubuntu, openSUSE), sqlite-libs (Fedora, RHEL) "
                "or sqlite (Arch)")
        raise ImportError(f"{name}: cannot be loaded: {failure}{advice}.") from None


def _find() -> _Library:
    named = os.environ.get("WEIGHTSTORE_LIBRARY")
    if named:
        return _load(named, f"WEIGHTSTORE_LIBRARY={named}")
    file = f"libweightstore.so.{ABI}"
    # A wheel has the library in the package. Sources/Command/install puts the package into a folder such as
    # PREFIX/lib/python3.11/site-packages, and the library into PREFIX/lib.
    package = os.path.dirname(os.path.abspath(__file__))
    folders = [package, os.path.dirname(os.path.dirname(os.path.dirname(package))), os.path.join(sys.prefix, "lib")]
    places = list(dict.fromkeys(os.path.join(folder, file) for folder in folders))
    for place in places:
        if os.path.exists(place):
            return _load(place, place)
    try:
        return _Library(file)
    except OSError as failure:
        place = "/usr/local/lib/" + file
        if os.path.exists(place):
            return _load(place, place)
        if "sqlite3" in str(failure):
            return _load(file, file)
        raise ImportError(
            f"{file}: not found in {', '.join(places)}, by the dynamic linker and in /usr/local/lib. Install a wheel of "
            f"this package that contains it, or install it with Sources/Command/install, or set WEIGHTSTORE_LIBRARY "
            f"to its path. ({failure})") from None


_loaded: _Library | None = None
_lock = threading.RLock()
#: The number of forks since the first process that used the library. Handles of other numbers are not of this process.
depth = 0
#: The copies that children of this process load; and those that this process loads. Why there are none.
_for_children: Copies | None = None
_for_this: Copies | None = None
_no_copies = ""


def library() -> Any:
    """The library, loaded on first use."""
    global _loaded
    if _loaded is None:
        with _lock:
            if _loaded is None:
                _loaded = _find() if depth == 0 else _copy()
    return _loaded


def _copy() -> _Library:
    try:
        if _for_this is None:
            raise OSError(_no_copies)
        return _Library(_for_this.load())
    except (OSError, ImportError) as failure:
        raise ForkedError(
            "This process was forked after its parent had loaded the library, and cannot load a copy of it: "
            f"{failure}. Start a new program (the start method \"spawn\"), or fork before the library is used.", 3) from None


def _before_fork() -> None:
    global _for_children, _no_copies
    if _loaded is None:
        _for_children = _for_this
    elif _for_children is None or _for_children is _for_this:
        try:
            _for_children = Copies.of(_loaded.loaded) if _for_this is None else _for_this.next()
        except (AttributeError, LookupError, OSError, ValueError) as failure:
            _for_children, _no_copies = None, f"{type(failure).__name__}: {failure}"


def _after_fork() -> None:
    global depth, _loaded, _lock, _for_children, _for_this
    _lock = threading.RLock()
    if _loaded is None and depth == 0:
        return  # The parent never loaded the library, so that the child can.
    depth += 1
    _loaded, _for_this, _for_children = None, _for_children, None


os.register_at_fork(before=_before_fork, after_in_child=_after_fork)


def text(value: bytes | None) -> str:
    return (value or b"").decode("utf-8")


def encoded(value: str) -> bytes:
    """A string as an argument of the library.

    Raises:
        TypeError: it is no string.
        ValueError: it has a NUL character, or cannot be UTF-8.
    """
    if not isinstance(value, str):
        raise TypeError(f"{value!r}: must be a string, not {type(value).__name__}")
    return _Text.from_param(value.encode("utf-8")) or b""


def encoded_path(path: str | os.PathLike[str]) -> bytes:
    """A path as an argument of the library.

    Raises:
        ValueError: it has a NUL character.
    """
    return _Text.from_param(os.fsencode(path)) or b""


def optional(value: str | None) -> bytes | None:
    return None if value is None else encoded(value)


def plain(value: str | None) -> bytes | None:
    """A string for a field of a structure."""
    return _Text.from_param(optional(value))


def strings(values: Iterable[str]) -> tuple[Any, int]:
    """Strings for a field of a structure, and their number."""
    if isinstance(values, (str, bytes)):
        raise TypeError(f"{values!r}: must be a list of strings, not a string")
    encoded = [plain(value) for value in values]
    return (c_char_p * len(encoded))(*encoded), len(encoded)


def ends(numbers: range) -> tuple[int, int]:
    """The first and the last number of a range without gaps."""
    if not isinstance(numbers, range):
        raise TypeError(f"{numbers!r}: must be a range")
    if not numbers or numbers.step != 1:
        raise ValueError(f"{numbers!r}: must be a range of at least one number, in steps of 1")
    return _Int64.from_param(numbers[0]).value, _Int64.from_param(numbers[-1]).value

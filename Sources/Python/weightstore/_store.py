"""Stores, revisions and leases."""

from __future__ import annotations

import atexit
import ctypes
import os
import threading
from ctypes import byref, c_int32, c_size_t, c_uint64, c_void_p
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable, Iterator, Sequence

from . import _library as c
from ._errors import ForkedError, NotFoundError, WeightStoreError
from ._library import encoded, encoded_path, ends, library, optional, plain, text
from ._management import Management
from ._metadata import MetadataValue, metadata
from ._tensors import TensorInfo, TensorRow, block, fill_pointers, pointers, read_only, tensor_rows
from ._waiting import Result, wait

if TYPE_CHECKING:
    import numpy
    import torch
    from torch import Tensor

    from ._pending import Part, PendingLease


@dataclass(frozen=True)
class Location:
    """Where the bytes of a tensor lie: at ``file_offset`` of its file, and at ``offset`` of the blob at ``path`` (None for
    zero bytes). An eviction can remove the blob; an open descriptor keeps its bytes."""

    path: str | None
    offset: int
    bytes: int
    file_offset: int

    @classmethod
    def _from(cls, location: c.Location) -> Location:
        path = None if location.path is None else os.fsdecode(location.path)
        return cls(path, location.offset, location.bytes, location.file_offset)


@dataclass(frozen=True)
class LayerInfo:
    """A layer. ``stack`` is the path up to its number, such as ``model.layers``."""

    stack: str
    number: int
    tensors: int
    bytes: int


@dataclass(frozen=True)
class FileInfo:
    """``format`` is safetensors, gguf or other; ``digest`` the SHA-256 of the file."""

    path: str
    format: str
    digest: str
    bytes: int


@dataclass(frozen=True)
class TierStatistics:
    """Sizes in bytes; hits, misses, evictions and failures count shards."""

    budget: int
    bytes: int
    loading: int
    leased: int
    shards: int
    hits: int
    misses: int
    loaded: int
    evictions: int
    failures: int


class _Handle:
    """A handle of the library, released with the value. It is a number of this process, so it is neither copied nor
    pickled: values that name what they stand for reopen it (``__reduce__``, and ``_reopened`` in a forked child), and
    others refuse."""

    _release = ""
    #: In a forked child, why the handle of the parent could not be opened again.
    reopening_failure: BaseException | None = None

    def __reduce__(self) -> Any:
        raise TypeError(
            f"{type(self).__name__}: memory of this process, which can be neither copied nor pickled. Pickle the "
            "Revision, which is resolved again where it is unpickled, and lease there")

    _handle: int | None

    def __init__(self, handle: Result | int | None) -> None:
        if isinstance(handle, Result):
            self._own(handle)
        else:
            self._handle, self._depth = handle, c.depth

    def _own(self, result: Result) -> None:
        """Takes over a handle."""
        self._handle, self._depth = result.value, c.depth
        result.value = None

    def _reopened(self) -> Result:
        """A handle of this process, in a child of the process that has the known one."""
        raise ForkedError(
            f"{type(self).__name__}: leased before the fork, by the parent of this process. Its arrays in RAM stay readable; "
            "others must be leased again from the revision.", 3)

    @property
    def _as_parameter_(self) -> int | None:
        if self._depth != c.depth and self._handle is not None:
            # ctypes would wrap an exception. NULL is refused by the library, and then it is raised.
            try:
                result, self.reopening_failure = self._reopened(), None
            except BaseException as failure:
                self.reopening_failure = failure
                return None
            self._own(result)
        return self._handle

    def _close(self) -> None:
        handle = self._handle
        try:
            self._handle = None
            # In a forked child, the handle of the parent stays the parent's.
            if handle is not None and self._depth == c.depth:
                getattr(library(), self._release)(handle)
        except BaseException:
            self._handle = handle  # A signal's exception may have come first.
            raise

    def __del__(self) -> None:
        try:
            self._close()
        except Exception:  # The interpreter is shutting down, and the handles end with the process.
            pass


class Store(Management, _Handle):
    """A store, opened by :func:`open`. Threads can share it.

    A copy, a store that is unpickled in another process, and one that is used in a forked child are the same directory,
    opened again: tiers have their default options there.
    """

    _release = "close"
    #: Whether it is one of those that are opened once for each path.
    _is_shared = False

    def __init__(self, path: str | os.PathLike[str] | None = None, *, create: bool = False) -> None:
        super().__init__(_opened(path, create))
        info = c.StoreInfo()
        library().store_describe(self, byref(info))
        #: The absolute path of the directory.
        self.path: str = os.fsdecode(info.path or b"")
        self._budgets = _Budgets()

    def _reopened(self) -> Result:
        return _opened(self.path)

    def __reduce__(self) -> Any:
        return (shared_store if self._is_shared else Store), (self.path,)

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Releases the store. It closes with the last of its revisions, leases and tensors."""
        self._close()

    def open_tier(
        self, tier: str, *, budget: int | str | None = None, policy: str | None = None, lock_pages: bool = False,
        verifies: bool = False
    ) -> None:
        """Opens a tier with options, also one that was closed. The first use of a tier that is not open opens it with the
        default options.

        Args:
            tier: ``ram``, ``gpu``, ``cuda:1`` … or ``host``.
            budget: the size limit: bytes, or a text such as ``8G``, ``8GiB``, or ``50%`` of the memory that is available
                (of all memory of a GPU). None and 0 mean ``WEIGHTSTORE_RAM_BUDGET``, ``WEIGHTSTORE_HOST_BUDGET`` or
                ``WEIGHTSTORE_GPU_BUDGET`` of the environment, or else, of the memory that is available within the limits
                of the container, all in ``ram``, and half with locked pages or in ``host``. On a GPU it is then what is
                free when a load needs it, except a tenth of its memory, and what was not used for a minute is evicted.
            verifies: each blob is hashed before it is loaded; a damaged one is moved to quarantine, and fetched again if
                it has an origin.
        """
        options = c.TierOptions()
        options.budget, options.policy, options.lock_pages = _bytes(budget, tier), plain(policy), lock_pages
        options.verifies = verifies
        library().open_tier(self, encoded(tier), byref(options))

    def clear_tier(self, tier: str) -> int:
        """Evicts what no lease, array or tensor holds, and returns its memory: that of a GPU to the device, and in ``ram``
        the mappings, which keep the disk space of files that were removed.

        Returns the bytes evicted; 0 if the tier is not open.
        """
        bytes = c_uint64()
        library().tier_clear(self, encoded(tier), byref(bytes))
        return bytes.value

    def close_tier(self, tier: str) -> int:
        """Closes a tier: evicts what no lease, array or tensor holds, and the rest when its last holder ends. The tier
        refuses leases until :meth:`open_tier` opens it again.

        Returns the bytes evicted now; 0 if the tier was not open.
        """
        bytes = c_uint64()
        with self._own_budgets() as known:
            known.pop(_one_name(tier), None)
            library().tier_close(self, encoded(tier), byref(bytes))
        return bytes.value

    def _use_budget(self, tier: str, budget: int | str | None) -> None:
        """Opens a tier with a budget, unless this did so before. A tier with another budget is an error."""
        if budget is None:
            return
        with self._own_budgets() as known:
            if known.get(_one_name(tier)) != budget:
                self.open_tier(tier, budget=budget)
                known[_one_name(tier)] = budget

    def _own_budgets(self) -> _Budgets:
        """Those of this process: a forked child opens the store again, and its tiers are not open yet."""
        if self._budgets.depth != c.depth:
            self._budgets = _Budgets()
        return self._budgets

    def statistics(self, tier: str) -> TierStatistics:
        """The contents of a tier, and its counters since it was opened."""
        statistics = c.Statistics()
        library().statistics(self, encoded(tier), byref(statistics))
        return TierStatistics(*(getattr(statistics, name) for name in TierStatistics.__dataclass_fields__))

    def is_open(self, tier: str) -> bool:
        """Whether the tier is open, so that its options can no longer be set."""
        try:
            self.statistics(tier)
        except NotFoundError:
            return False
        return True

    def revision(self, name: str) -> Revision:
        """Finds and holds a revision: ``model``, ``model@ref``, ``model@~3``, ``model@<commit>`` or ``model@<digest>``."""
        return Revision(self._resolved(name), self)

    def _resolved(self, name: str) -> Result:
        handle = Result("revision_release")
        wait("resolve", self, encoded(name), byref(handle), tries=False)
        return handle


def _opened(path: str | os.PathLike[str] | None, create: bool = False) -> Result:
    handle = Result("close")
    wait("create" if create else "open", None if path is None else encoded_path(path), byref(handle), tries=False)
    return handle


class _Budgets:
    """The budgets with which a store has opened tiers, as they were given, under a lock: ``with budgets as known``."""

    def __init__(self) -> None:
        self.depth = c.depth
        self._lock = threading.Lock()
        self._known: dict[str, int | str] = {}

    def __enter__(self) -> dict[str, int | str]:
        self._lock.acquire()
        return self._known

    def __exit__(self, *_: object) -> None:
        self._lock.release()


#: Larger reads are compared with the size of the file first, in bytes.
_LARGE_READ = 1 << 20


def _one_name(tier: str) -> str:
    return "cuda:0" if tier == "gpu" else tier


def _bytes(budget: int | str | None, tier: str) -> int:
    """A budget in bytes; 0 for the default."""
    if isinstance(budget, str):
        bytes = c_uint64()
        library().tier_budget(encoded(tier), encoded(budget), byref(bytes))
        return bytes.value
    if budget is not None and not 0 <= budget < 1 << 64:
        raise ValueError(f"budget {budget}: must be 0 or more bytes, and fit into 64 bits")
    return budget or 0


def open(path: str | os.PathLike[str] | None = None, *, create: bool = False) -> Store:
    """Opens the store in a directory. None means the default of the command-line tool: ``$WEIGHTSTORE_HOME``, or
    ``~/.local/share/weightstore``. With ``create``, the directory and an empty store are created if there is none."""
    return Store(path, create=create)


def set_log(function: Callable[[str, str], None] | None) -> None:
    """Passes the lines that the library logs, such as warnings of fetches that are tried again, to a function instead
    of the standard error; None means the standard error.

        log = logging.getLogger("weightstore")
        weightstore.set_log(lambda level, message: log.log(logging.getLevelName(level), message))

    The function gets the level (``DEBUG``, ``INFO``, ``WARNING``, ``ERROR``) and the message, on a thread of the library.
    """
    global _log
    if function is not None and not callable(function):
        raise TypeError(f"{function!r}: must be a function, or None")
    levels = ("DEBUG", "INFO", "WARNING", "ERROR")
    wrapped = c.LogFunction() if function is None else c.LogFunction(
        lambda level, message, _: function(levels[level], message.decode("utf-8", "replace")))
    library().set_log(wrapped, None)
    if function is not None and _log is None:
        atexit.register(set_log, None)  # The thread must not call Python when there is none any more.
    _log = wrapped if function is not None else None


_log: Any = None

_stores: dict[str, tuple[Store, tuple[int, int] | None]] = {}
_lock = threading.Lock()


def _forget() -> None:
    global _lock, _log
    _lock = threading.Lock()
    if _log is not None:
        # The library of the child has no function yet, and its thread is none of the parent's.
        atexit.unregister(set_log)
        _log = None


os.register_at_fork(after_in_child=_forget)


def _identity(path: str) -> tuple[int, int] | None:
    """The store at a path, which may be another one later; None if there is none. An open store keeps its catalog, so
    no other has its number."""
    try:
        status = os.stat(os.path.join(path, "store.db"))
    except OSError:
        return None
    return status.st_dev, status.st_ino


def shared_store(store: Store | str | os.PathLike[str] | None = None) -> Store:
    """The store that :func:`load_file`, :func:`safe_open` and the loaders of transformers and vLLM use: opened once for
    each path, so that all callers share its tiers.

    Its memory can be returned with :meth:`Store.clear_tier` and :meth:`Store.close_tier`. After :meth:`Store.close`, the
    next caller opens the store again.

    Args:
        store: the directory, as in :func:`open`; an open store is returned as it is.
    """
    if isinstance(store, Store):
        return store
    key = "" if store is None else os.path.realpath(os.fspath(store))
    if store is None:
        key = "\n".join(os.environ.get(name, "") for name in ("WEIGHTSTORE_HOME", "XDG_DATA_HOME", "HOME"))
    with _lock:
        known, identity = _stores.get(key, (None, None))
        if known is None or known._handle is None or _identity(known.path) != identity:
            known = open(store)
            known._is_shared = True
            _stores[key] = _stores[known.path] = known, _identity(known.path)
        return known


class Revision(_Handle):
    """One immutable state of a model. It cannot be removed from the store while the value lives.

    A copy, a revision that is unpickled in another process, and one that is used in a forked child are resolved again
    by their digest.
    """

    _release = "revision_release"

    def __init__(self, handle: Result | None, store: Store) -> None:
        super().__init__(handle)
        self.store = store
        info = c.RevisionInfo()
        library().revision_describe(self, byref(info))
        self.model, self.name, self.digest = text(info.model), text(info.name), text(info.digest)
        #: 1, 2, 3 … per model; None while an import is still adding files.
        self.version: int | None = info.version if info.version >= 0 else None
        self._counts = (info.tensors, info.layers, info.files)
        self.bytes: int = info.bytes

    def __enter__(self) -> Revision:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def __repr__(self) -> str:
        return f"<weightstore.Revision {self.name}>"

    def _reopened(self) -> Result:
        return self.store._resolved(f"{self.model}@{self.digest}")

    def __reduce__(self) -> Any:
        return Store.revision, (self.store, f"{self.model}@{self.digest}")

    def tensors(self) -> list[TensorInfo]:
        """All tensors, by file and name. Loads nothing."""
        return [row.info for row in tensor_rows(library().tensors, self, self._counts[0])]

    def layers(self) -> list[LayerInfo]:
        """The layers, by stack and number."""
        layer = c.Layer()
        found = []
        for index in range(self._counts[1]):
            library().layer_at(self, index, byref(layer))
            found.append(LayerInfo(text(layer.stack), layer.number, layer.tensors, layer.bytes))
        return found

    def files(self) -> list[FileInfo]:
        """The files, by path."""
        file = c.File()
        found = []
        for index in range(self._counts[2]):
            library().file_at(self, index, byref(file))
            found.append(FileInfo(text(file.path), text(file.format), text(file.digest), file.bytes))
        return found

    def selected_files(self, subfolder: str | None = None) -> list[str]:
        """The paths of the files that an engine loads together, as transformers and diffusers choose them.

        These are ``model.safetensors``, or the files of its index that exist, or else the files with tensors without
        variants such as ``model.fp16.safetensors`` and without ``consolidated.safetensors``.

        Args:
            subfolder: a folder, such as ``unet``. None means the files at the root; if none of them has tensors, those
                of all folders.
        """
        selected = c_int32()
        found = []
        for index, file in enumerate(self.files()):
            wait("file_is_selected", self, index, byref(selected))
            if selected.value:
                found.append(file.path)
        folder = "" if subfolder is None else subfolder.strip("/")
        inside = [path for path in found if path.rpartition("/")[0] == folder]
        return inside if inside or subfolder is not None else found

    def metadata(self, path: str) -> dict[str, MetadataValue]:
        """The metadata of a file: the keys of GGUF, in the order of the file, with all elements of arrays as lists; the
        strings of ``__metadata__`` of safetensors; empty for other files."""
        return metadata(self, path)

    def read(self, path: str, offset: int = 0, size: int | None = None) -> bytes:
        """Bytes of a file; all of them if ``size`` is None. The result is shorter than ``size`` only at the end."""
        if offset < 0 or (size is not None and size < 0):
            raise ValueError(f"offset {offset} and size {size}: must be 0 or more")
        if size is None or size > _LARGE_READ:
            # The buffer is no larger than what the file has.
            rest = max(next((file.bytes for file in self.files() if file.path == path), 0) - offset, 0)
            size = rest if size is None else min(size, rest)
        buffer = (ctypes.c_char * max(size, 1))()
        count = c_size_t()
        wait("read_file", self, encoded(path), offset, buffer, size, byref(count))
        return ctypes.string_at(buffer, count.value)

    def lease_layer(
            self, layer: int, *, stack: str | None = None, experts: range | None = None, tier: str = "ram") -> Lease:
        """Loads the tensors of a layer into a tier and holds them there. Blocks until they are loaded.

        Args:
            experts: of the experts of the layer, only those with these numbers, as for an expert-parallel
                rank. A tensor that stacks all experts is leased whole.
        """
        handle = Result("lease_release")
        if experts is None:
            wait("lease_layer", self, optional(stack), layer, encoded(tier), byref(handle))
        elif stack is None:
            wait("lease_layer_with_experts", self, layer, *ends(experts), encoded(tier), byref(handle))
        else:
            raise ValueError("stack and experts exclude each other")
        return Lease(handle, tier)

    def lease_experts(self, layer: int, experts: range, *, tier: str = "ram") -> Lease:
        """The tensors of experts of a layer, and no others.

        Of a tensor that stacks all experts, the lease has one tensor for each of them: of the same name, with the number
        in ``info.expert``, and a shape without the dimension of experts. Only their bytes are loaded.
        """
        handle = Result("lease_release")
        wait("lease_experts", self, layer, *ends(experts), encoded(tier), byref(handle))
        return Lease(handle, tier)

    def lease_rest(self, *, tier: str = "ram") -> Lease:
        """The tensors that belong to no layer: embedding, final norm, head."""
        handle = Result("lease_release")
        wait("lease_rest", self, encoded(tier), byref(handle))
        return Lease(handle, tier)

    def lease_tensor(self, name: str, *, file: str | None = None, tier: str = "ram") -> Lease:
        """One tensor; if ``file`` is None, every tensor of that name in any file."""
        handle = Result("lease_release")
        wait("lease_tensor", self, optional(file), encoded(name), encoded(tier), byref(handle))
        return Lease(handle, tier)

    def lease(self, *, file: str | None = None, tier: str = "ram") -> Lease:
        """All tensors, or those of one file."""
        handle = Result("lease_release")
        wait("lease_file", self, optional(file), encoded(tier), byref(handle))
        return Lease(handle, tier)

    def lease_part(self, part: Part, *, tier: str = "ram") -> Lease:
        """The tensors of a :class:`Part`, such as ``Part.layers(range(4, 8))``."""
        handle = Result("lease_release")
        wait("lease_part", self, byref(part._structure()), encoded(tier), byref(handle))
        return Lease(handle, tier)

    def lease_async(self, part: Part, *, tier: str = "ram", when_queued: bool = False) -> PendingLease:
        """Begins to load a part into a tier, and returns at once. Parts are loaded in the order of the calls.

            pending = revision.lease_async(Part.layers(range(4, 8)), tier="gpu")
            lease = pending.result(timeout=30)         # or: lease = await pending

        Args:
            when_queued: on a GPU, the lease is ready when the copies of its bytes are queued: a stream that waits for
                :attr:`Lease.event` can use them.
        """
        from ._pending import PendingLease

        return PendingLease(self, part, tier, when_queued)

    def open_tensor(self, name: str, *, file: str | None = None) -> tuple[int, Location]:
        """Opens the blob of a tensor for reading, and fetches it if the store lacks it. Loads it into no tier.

        Returns a descriptor, which the caller closes, and the place of the tensor in it. The bytes stay as long as the
        descriptor is open. If ``file`` is None and several files have the name, it is the first one.
        """
        for index, tensor in enumerate(self.tensors()):
            if tensor.name == name and file in (None, tensor.file):
                location, descriptor = c.Location(), c_int32()
                wait("tensor_open", self, index, byref(location), byref(descriptor), tries=False)
                return descriptor.value, Location._from(location)
        raise NotFoundError(f"{self.name} {name}: no such tensor.", 4)

    def lease_writable(
        self, name: str | None = None, *, file: str | None = None, lazy: bool = False, neighbours: bool = False
    ) -> Lease:
        """Tensors in RAM for a consumer that may write: each in memory of its own, whose pages become private when they
        are written. Neither the store nor another tensor changes.

        Args:
            name: only the tensors of this name.
            file: only the tensors of this file.
            lazy: whether the bytes are read when they are accessed, and not now.
            neighbours: whether the other tensors of ``file`` in the shard of ``name`` are leased, too. Needs both.
        """
        handle = Result("lease_release")
        flags = (c.LEASE_LAZY if lazy else 0) | (c.LEASE_NEIGHBOURS if neighbours else 0)
        wait("lease_writable", self, optional(file), optional(name), flags, byref(handle))
        return Lease(handle, "ram", is_writable=True)

    def is_stored(self, name: str, *, file: str | None = None) -> bool:
        """Whether the bytes of a tensor are on disk, so that a lease fetches nothing."""
        stored = c_int32()
        library().tensor_is_stored(self, optional(file), encoded(name), byref(stored))
        return stored.value != 0

    def read_tensor(
        self, name: str, buffer: Any, *, offset: int, size: int, stride: int = 0, count: int = 1, file: str | None = None
    ) -> None:
        """Copies parts of a tensor into a writable buffer, one behind the other, and reads only them.

        Bytes that are not on disk are read from an origin, and neither checked nor stored, because only whole shards
        have digests; they are if the parts are the whole tensor.

        Args:
            buffer: supports the buffer protocol, such as a ``bytearray`` or a NumPy array.
            offset: the position of the first part, in bytes from the beginning of the tensor.
            size: the size of each part, in bytes.
            stride: from the beginning of a part to that of the next one, in bytes.
            count: the number of parts.
        """
        with memoryview(buffer) as view:
            if view.readonly or not view.c_contiguous:
                raise ValueError("the buffer must be writable and contiguous")
            if "O" in view.format:
                raise ValueError("the buffer must hold numbers, and not Python objects")
            room = view.nbytes
            memory = ctypes.c_char.from_buffer(view.cast("B")) if room else None
            parts = c.TensorParts()
            numbers = (offset, size, stride, count)
            if min(numbers) < 0 or max(numbers) >= 1 << 63:
                raise ValueError(f"{numbers}: must be 0 or more, and fit into 64 bits")
            parts.offset, parts.bytes, parts.stride, parts.count = numbers
            try:
                wait("read_tensor", self, optional(file), encoded(name), byref(parts),
                     byref(memory) if memory is not None else None, room)
            finally:
                del memory  # It exports the view, which otherwise cannot be released.

    def prefetch(self, first: int, last: int, *, experts: range | None = None, tier: str = "ram") -> None:
        """Begins to load layers into a tier, and returns at once.

        Args:
            experts: of the experts of each layer, only those with these numbers.
        """
        if experts is None:
            library().prefetch_layers(self, first, last, encoded(tier))
        else:
            library().prefetch_layers_with_experts(self, first, last, *ends(experts), encoded(tier))

    def stream(self, *, tier: str = "ram", ahead: int = 2, experts: range | None = None) -> Iterator[Lease]:
        """The layers in order; the next ``ahead`` are loaded while one is used. Release each before the next one.

        Args:
            experts: of the experts of each layer, only those with these numbers.
        """
        numbers = sorted({layer.number for layer in self.layers()})
        for place, number in enumerate(numbers):
            for coming in numbers[place + 1:place + 1 + ahead]:
                self.prefetch(coming, coming, experts=experts, tier=tier)
            yield self.lease_layer(number, experts=experts, tier=tier)


class Lease(_Handle):
    """Tensors whose bytes stay in a tier as long as the lease, or a tensor made from it, lives."""

    _release = "lease_release"

    def __init__(self, handle: Result | None, tier: str, is_writable: bool = False) -> None:
        super().__init__(handle)
        self.tier = tier
        #: Whether the memory of its tensors can be written.
        self.is_writable = is_writable
        self._described: tuple[int, int] | None = None

    def _describe(self) -> tuple[int, int]:
        if self._described is None:
            info = c.LeaseInfo()
            library().lease_describe(self, byref(info))
            self._described = info.tensors, info.bytes
        return self._described

    @property
    def bytes(self) -> int:
        """The bytes of its tensors."""
        return self._describe()[1]

    def __enter__(self) -> Lease:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def release(self) -> None:
        """Releases the lease now. Arrays and tensors that were made from it have leases of their own."""
        if self._handle is not None and self._depth == c.depth:
            self._describe()  # Its number of tensors and of bytes can be read later, too.
        self._close()

    @property
    def event(self) -> int:
        """The CUDA event (``CUevent``) that completes when the bytes have arrived, for ``cuStreamWaitEvent``, as long as
        the lease is held. 0 if they are there already: only a lease that was begun with ``when_queued`` has an event."""
        event = c_void_p()
        library().lease_event(self, byref(event))
        return event.value or 0

    def __len__(self) -> int:
        return self._describe()[0]

    def __iter__(self) -> Iterator[LeasedTensor]:
        """The tensors, by file and name."""
        for index, row in enumerate(self._rows()):
            yield LeasedTensor(self, index, row)

    def __getitem__(self, name: str) -> LeasedTensor:
        return self.tensor(name)

    def tensor(self, name: str, *, file: str | None = None) -> LeasedTensor:
        """The tensor of that name; the first one if several files have it and ``file`` is None, and the one with the
        lowest number if the lease has several experts of a tensor that stacks them."""
        index = c_size_t()
        library().lease_find(self, optional(file), encoded(name), byref(index))
        return LeasedTensor(self, index.value)

    def _rows(self, first: int = 0, count: int | None = None) -> list[TensorRow]:
        return tensor_rows(library().lease_tensors, self, len(self) if count is None else count, first)

    def _block(self) -> Any:
        """The memory of the first tensor in this process, which holds this lease."""
        return block(fill_pointers(library().lease_addresses, self, pointers(1))[0], self)

    def _places(self, known: Sequence[TensorInfo]) -> dict[str, tuple[int, int]]:
        """The index and the address of each tensor, by name.

        Args:
            known: the descriptions of all of them, in the order of :meth:`Revision.tensors`.
        """
        if len(known) != len(self):
            known = [row.info for row in self._rows()]
        places = fill_pointers(library().lease_addresses, self, pointers(len(known)))
        return {info.name: (index, address) for index, (info, address) in enumerate(zip(known, places))}

    def _blocks(self, known: Sequence[TensorInfo] | None = None) -> Iterator[tuple[TensorInfo, Any]]:
        """The memory of each tensor in this process, with a lease that outlives this one; None for zero bytes.

        Args:
            known: the descriptions of all of them, in the order of :meth:`Revision.tensors`.
        """
        if known is None or len(known) != len(self):
            known = [row.info for row in self._rows()]
        if not known:
            return
        places = fill_pointers(library().lease_addresses, self, pointers(len(known)))
        handles = pointers(len(known))
        holds: dict[int, _Hold] = {}
        try:
            for handle in fill_pointers(library().lease_share_memory, self, handles):
                if handle not in holds:
                    holds[handle] = _Hold(handle)
        except BaseException:
            # Also those that a signal's exception left without an owner; 0 is none.
            for handle in set(handles) - holds.keys():
                _Hold(handle or None)
            raise
        for info, address, handle in zip(known, places, handles):
            yield info, block(address, holds[handle]) if info.bytes else None

    def read(self, index: int, offset: int, size: int) -> None:
        """Reads bytes of a tensor of a lazy lease into memory, so that accesses do not wait."""
        wait("lease_read", self, index, offset, size)

    def _share(self, index: int) -> _Hold:
        handle = Result("lease_release")
        library().lease_share(self, index, byref(handle))
        return _Hold(handle)


class _Hold(_Handle):
    """A lease that only holds memory."""

    _release = "lease_release"


class _Descriptor:
    """An open file, closed with the value."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __del__(self) -> None:
        os.close(self.number)


class LeasedTensor:
    """A tensor of a lease. It supports DLPack, and makes NumPy arrays and PyTorch tensors that share its memory."""

    __reduce__ = _Handle.__reduce__

    def __init__(self, lease: Lease, index: int, row: TensorRow | None = None) -> None:
        self._lease, self._index = lease, index
        #: The address is that of the bytes, in this process or on the device. 0 for zero bytes.
        self.info, self.address, self._device = row or lease._rows(index, 1)[0]
        self.is_in_ram = lease.tier == "ram"
        self._descriptor: _Descriptor | None = None

    @property
    def location(self) -> Location:
        """Where the bytes lie on disk."""
        location = c.Location()
        library().lease_tensor_location(self._lease, self._index, byref(location))
        return Location._from(location)

    @property
    def path(self) -> str | None:
        """The path of the blob that has the bytes; None for zero bytes."""
        return self.location.path

    @property
    def offset(self) -> int:
        """The offset of the bytes in the blob."""
        return self.location.offset

    @property
    def fd(self) -> int:
        """A descriptor of the blob for reading, which is closed with this value; ``os.dup`` keeps it longer."""
        if self._descriptor is None:
            descriptor = c_int32()
            wait("lease_tensor_open", self._lease, self._index, None, byref(descriptor), tries=False)
            self._descriptor = _Descriptor(descriptor.value)
        return self._descriptor.number

    def memory(self) -> memoryview:
        """The bytes, read-only. They stay as long as the view lives."""
        if self._device[0] != 1:
            raise WeightStoreError(f"{self.info.name}: on a device, not in this process's memory.", 1)
        if self.info.bytes == 0:
            return memoryview(b"")
        return read_only(block(self.address, self._lease._share(self._index)), self.info.bytes)

    def numpy(self) -> numpy.ndarray[Any, Any]:
        """A read-only array."""
        from ._frameworks import numpy_array

        return numpy_array(self)

    def torch(self) -> torch.Tensor:
        """A tensor on the device of the lease's tier. In ``ram`` it is writable: written pages become private.

        Its memory is its own: tensors with equal bytes do not share it.
        """
        from ._frameworks import torch_tensor

        return torch_tensor(self)

    def torch_bytes(self) -> Tensor:
        """The bytes as a tensor of one dimension; in ``ram`` its pages become private when they are written."""
        from torch.utils.dlpack import from_dlpack

        made: Tensor = from_dlpack(self._capsule(c.DLPACK_BYTES | (c.DLPACK_PRIVATE if self.is_in_ram else 0)))
        return made

    def __dlpack_device__(self) -> tuple[int, int]:
        return self._device

    def __dlpack__(
        self, *, stream: Any = None, max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None, copy: bool | None = None,
    ) -> Any:
        """A capsule, which the consumer must take over. The bytes are loaded already, so no stream has to wait."""
        if copy or dl_device not in (None, self._device):
            raise BufferError("the tensor can only be exported without a copy, on its own device")
        # In ram the pages are this tensor's own, even for a reader: a consumer may ignore the read-only flag, as PyTorch
        # does, and one without versions never sees it.
        flags = c.DLPACK_PRIVATE if self.is_in_ram else 0
        return self._capsule(flags, versioned=max_version is not None and max_version[0] >= 1, read_only=True)

    def _capsule(self, flags: int, versioned: bool = False, read_only: bool = False) -> Any:
        managed = c_void_p()
        export = library().dlpack_versioned if versioned else library().dlpack
        export(self._lease, self._index, flags, byref(managed))
        if versioned and read_only:
            c_uint64.from_address((managed.value or 0) + _FLAGS).value |= _READ_ONLY
        return _capsule_of(managed.value or 0, versioned)


# A capsule keeps the address of its name, so these must not be freed.
_NAMES = {False: b"dltensor", True: b"dltensor_versioned"}
# The offset of the flags in DLManagedTensorVersioned, and DLPACK_FLAG_BITMASK_READ_ONLY.
_FLAGS, _READ_ONLY = 24, 1

_new_capsule = ctypes.pythonapi.PyCapsule_New
_new_capsule.restype = ctypes.py_object
_new_capsule.argtypes = [c_void_p, ctypes.c_char_p, c_void_p]


def _capsule_of(managed: int, versioned: bool) -> Any:
    """A capsule for a consumer. Its destructor is a function of the library: it may run while an exception of the
    consumer is pending, when Python code must not run."""
    return _new_capsule(managed, _NAMES[versioned], library().capsule_end)

"""Stores, revisions and leases."""

from __future__ import annotations

import atexit
import ctypes
import os
import threading
from ctypes import byref, c_int32, c_size_t, c_uint64, c_void_p
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable, Iterator

from . import _library as c
from ._errors import ForkedError, NotFoundError, WeightStoreError
from ._library import library, optional, text
from ._metadata import MetadataValue, metadata
from ._waiting import wait

if TYPE_CHECKING:
    import numpy
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class TensorInfo:
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

    @classmethod
    def _from(cls, tensor: c.Tensor) -> TensorInfo:
        return cls(
            text(tensor.name), text(tensor.dtype), tuple(tensor.shape[i] for i in range(tensor.rank)), tensor.bytes,
            text(tensor.file), text(tensor.stack) if tensor.stack is not None else None,
            tensor.layer if tensor.layer >= 0 else None, tensor.expert if tensor.expert >= 0 else None,
            text(tensor.shard) if tensor.shard is not None else None, tensor.shard_offset)


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

    def __init__(self, handle: int | None) -> None:
        self._handle, self._depth = handle, c.depth

    def _reopened(self) -> int | None:
        """A handle of this process, in a child of the process that has the known one."""
        raise ForkedError(
            f"{type(self).__name__}: leased before the fork, by the parent of this process. Its arrays in RAM stay readable; "
            "others must be leased again from the revision.", 3)

    @property
    def _as_parameter_(self) -> int | None:
        if self._depth != c.depth and self._handle is not None:
            # ctypes would wrap an exception. NULL is refused by the library, and then it is raised.
            try:
                handle, self.reopening_failure = self._reopened(), None
            except BaseException as failure:
                self.reopening_failure = failure
                return None
            self._handle, self._depth = handle, c.depth
        return self._handle

    def _close(self) -> None:
        handle, self._handle = self._handle, None
        # In a forked child, the handle of the parent stays the parent's.
        if handle is not None and self._depth == c.depth:
            getattr(library(), self._release)(handle)

    def __del__(self) -> None:
        try:
            self._close()
        except Exception:  # The interpreter is shutting down, and the handles end with the process.
            pass


class Store(_Handle):
    """A store, opened by :func:`open`. Threads can share it.

    A copy, a store that is unpickled in another process, and one that is used in a forked child are the same directory,
    opened again: tiers have their default options there.
    """

    _release = "close"
    #: Whether it is one of those that are opened once for each path.
    _is_shared = False

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        super().__init__(_opened(path))
        info = c.StoreInfo()
        library().store_describe(self, byref(info))
        #: The absolute path of the directory.
        self.path: str = os.fsdecode(info.path or b"")

    def _reopened(self) -> int | None:
        return _opened(self.path)

    def __reduce__(self) -> Any:
        return (_shared_store if self._is_shared else Store), (self.path,)

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Releases the store. It closes with the last of its revisions, leases and tensors."""
        self._close()

    def open_tier(
        self, tier: str, *, budget: int = 0, policy: str | None = None, lock_pages: bool = False, verifies: bool = False
    ) -> None:
        """Opens a tier with options. The first use of a tier that is not open opens it with the default options.

        ``tier`` is ``ram``, ``gpu``, ``cuda:1`` … or ``host``; ``budget`` is the size limit in bytes; 0 means, of
        the memory that is available within the limits of the container, all in ``ram``, half with locked pages or in
        ``host``, and nine tenths of a GPU's. With ``verifies``, each blob is hashed before it is loaded; a damaged one
        is moved to quarantine, and fetched again if it has an origin.
        """
        options = c.TierOptions()
        if not 0 <= budget < 1 << 64:
            raise ValueError(f"budget {budget}: must be 0 or more bytes, and fit into 64 bits")
        options.budget, options.policy, options.lock_pages = budget, optional(policy), lock_pages
        options.verifies = verifies
        library().open_tier(self, tier.encode(), byref(options))

    def statistics(self, tier: str) -> TierStatistics:
        """The contents of a tier, and its counters since it was opened."""
        statistics = c.Statistics()
        library().statistics(self, tier.encode(), byref(statistics))
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

    def _resolved(self, name: str) -> int | None:
        handle = c_void_p()
        wait("resolve", self, name.encode(), byref(handle), undo="revision_release", tries=False)
        return handle.value


def _opened(path: str | os.PathLike[str] | None) -> int | None:
    handle = c_void_p()
    wait("open", None if path is None else os.fsencode(path), byref(handle), undo="close", tries=False)
    return handle.value


def open(path: str | os.PathLike[str] | None = None) -> Store:
    """Opens the store in a directory. None means the default of the command-line tool: ``$WEIGHTSTORE_HOME``, or
    ``~/.local/share/weightstore``."""
    return Store(path)


def set_log(function: Callable[[str, str], None] | None) -> None:
    """Passes the lines that the library logs, such as warnings of fetches that are tried again, to a function instead
    of the standard error; None means the standard error.

        log = logging.getLogger("weightstore")
        weightstore.set_log(lambda level, message: log.log(logging.getLevelName(level), message))

    The function gets the level (``DEBUG``, ``INFO``, ``WARNING``, ``ERROR``) and the message, on a thread of the library.
    """
    global _log
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


def _shared_store(store: Store | str | os.PathLike[str] | None) -> Store:
    """The store, opened once for each path, so that all callers share its tiers."""
    if isinstance(store, Store):
        return store
    key = "" if store is None else os.path.realpath(os.fspath(store))
    if store is None:
        key = "\n".join(os.environ.get(name, "") for name in ("WEIGHTSTORE_HOME", "XDG_DATA_HOME", "HOME"))
    with _lock:
        known, identity = _stores.get(key, (None, None))
        if known is None or _identity(known.path) != identity:
            known = open(store)
            known._is_shared = True
            _stores[key] = _stores[known.path] = known, _identity(known.path)
        return known


def _ends(numbers: range) -> tuple[int, int]:
    """The first and the last number of a range without gaps."""
    if not numbers or numbers.step != 1:
        raise ValueError(f"{numbers!r}: must be a range of at least one number, in steps of 1")
    return numbers[0], numbers[-1]


class Revision(_Handle):
    """One immutable state of a model. It cannot be removed from the store while the value lives.

    A copy, a revision that is unpickled in another process, and one that is used in a forked child are resolved again
    by their digest.
    """

    _release = "revision_release"

    def __init__(self, handle: int | None, store: Store) -> None:
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

    def _reopened(self) -> int | None:
        return self.store._resolved(f"{self.model}@{self.digest}")

    def __reduce__(self) -> Any:
        return Store.revision, (self.store, f"{self.model}@{self.digest}")

    def tensors(self) -> list[TensorInfo]:
        """All tensors, by file and name. Loads nothing."""
        tensor = c.Tensor()
        found = []
        for index in range(self._counts[0]):
            library().tensor_at(self, index, byref(tensor))
            found.append(TensorInfo._from(tensor))
        return found

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
        if size is None:
            size = next((file.bytes for file in self.files() if file.path == path), 0)
        if offset < 0 or size < 0:
            raise ValueError(f"offset {offset} and size {size}: must be 0 or more")
        buffer = (ctypes.c_char * max(size, 1))()
        count = c_size_t()
        wait("read_file", self, path.encode(), offset, buffer, size, byref(count))
        return ctypes.string_at(buffer, count.value)

    def lease_layer(
            self, layer: int, *, stack: str | None = None, experts: range | None = None, tier: str = "ram") -> Lease:
        """Loads the tensors of a layer into a tier and holds them there. Blocks until they are loaded.

        Args:
            experts: of the experts of the layer, only those with these numbers, as for an expert-parallel
                rank. A tensor that stacks all experts is leased whole.
        """
        handle = c_void_p()
        if experts is None:
            wait("lease_layer", self, optional(stack), layer, tier.encode(), byref(handle), undo="lease_release")
        elif stack is None:
            wait("lease_layer_with_experts", self, layer, *_ends(experts), tier.encode(), byref(handle), undo="lease_release")
        else:
            raise ValueError("stack and experts exclude each other")
        return Lease(handle.value, tier)

    def lease_experts(self, layer: int, experts: range, *, tier: str = "ram") -> Lease:
        """The tensors of experts of a layer, and no others.

        Of a tensor that stacks all experts, the lease has one tensor for each of them: of the same name, with the number
        in ``info.expert``, and a shape without the dimension of experts. Only their bytes are loaded.
        """
        handle = c_void_p()
        wait("lease_experts", self, layer, *_ends(experts), tier.encode(), byref(handle), undo="lease_release")
        return Lease(handle.value, tier)

    def lease_rest(self, *, tier: str = "ram") -> Lease:
        """The tensors that belong to no layer: embedding, final norm, head."""
        handle = c_void_p()
        wait("lease_rest", self, tier.encode(), byref(handle), undo="lease_release")
        return Lease(handle.value, tier)

    def lease_tensor(self, name: str, *, file: str | None = None, tier: str = "ram") -> Lease:
        """One tensor; if ``file`` is None, every tensor of that name in any file."""
        handle = c_void_p()
        wait("lease_tensor", self, optional(file), name.encode(), tier.encode(), byref(handle), undo="lease_release")
        return Lease(handle.value, tier)

    def lease(self, *, file: str | None = None, tier: str = "ram") -> Lease:
        """All tensors, or those of one file."""
        handle = c_void_p()
        wait("lease_file", self, optional(file), tier.encode(), byref(handle), undo="lease_release")
        return Lease(handle.value, tier)

    def prefetch(self, first: int, last: int, *, experts: range | None = None, tier: str = "ram") -> None:
        """Begins to load layers into a tier, and returns at once.

        Args:
            experts: of the experts of each layer, only those with these numbers.
        """
        if experts is None:
            library().prefetch_layers(self, first, last, tier.encode())
        else:
            library().prefetch_layers_with_experts(self, first, last, *_ends(experts), tier.encode())

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

    def __init__(self, handle: int | None, tier: str) -> None:
        super().__init__(handle)
        self.tier = tier
        info = c.LeaseInfo()
        library().lease_describe(self, byref(info))
        self._count: int = info.tensors
        self.bytes: int = info.bytes

    def __enter__(self) -> Lease:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def release(self) -> None:
        """Releases the lease now. Arrays and tensors that were made from it have leases of their own."""
        self._close()

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[LeasedTensor]:
        """The tensors, by file and name."""
        for index in range(self._count):
            yield LeasedTensor(self, index)

    def __getitem__(self, name: str) -> LeasedTensor:
        return self.tensor(name)

    def tensor(self, name: str, *, file: str | None = None) -> LeasedTensor:
        """The tensor of that name; the first one if several files have it and ``file`` is None, and the one with the
        lowest number if the lease has several experts of a tensor that stacks them."""
        index = c_size_t()
        library().lease_find(self, optional(file), name.encode(), byref(index))
        return LeasedTensor(self, index.value)

    def _share(self, index: int) -> Lease:
        handle = c_void_p()
        library().lease_share(self, index, byref(handle))
        return Lease(handle.value, self.tier)


class LeasedTensor:
    """A tensor of a lease. It supports DLPack, and makes NumPy arrays and PyTorch tensors that share its memory."""

    __reduce__ = _Handle.__reduce__

    def __init__(self, lease: Lease, index: int) -> None:
        self._lease, self._index = lease, index
        tensor = c.Tensor()
        library().lease_tensor_at(lease, index, byref(tensor))
        self.info = TensorInfo._from(tensor)
        #: The address of the bytes, in this process or on the device. 0 for zero bytes.
        self.address: int = tensor.data or 0
        self._device = (tensor.device_type, tensor.device_id)
        self.is_in_ram = lease.tier == "ram"

    def memory(self) -> memoryview:
        """The bytes, read-only. They stay as long as the view lives."""
        if self._device[0] != 1:
            raise WeightStoreError(f"{self.info.name}: on a device, not in this process's memory.", 1)
        if self.info.bytes == 0:
            return memoryview(b"")
        bytes: Any = (ctypes.c_ubyte * self.info.bytes).from_address(self.address)
        bytes._lease = self._lease._share(self._index)
        return memoryview(bytes).cast("B").toreadonly()

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

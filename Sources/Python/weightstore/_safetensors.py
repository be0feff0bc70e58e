"""``safe_open`` and ``load_file`` with the interface of safetensors, for models of a store."""

from __future__ import annotations

import json
import operator
import os
import struct
import threading
from typing import TYPE_CHECKING, Any, Iterator, Literal, Sequence, overload

from . import _frameworks as frameworks
from ._errors import ForkedError, NotFoundError, SafetensorError, TierFullError, WeightStoreError
from ._forked import ForkedTensor
from ._library import library
from ._slices import SlicePlan
from ._store import Lease, Revision, Store
from ._store import shared_store as _store
from ._tensors import TensorInfo, block, without_collection

if TYPE_CHECKING:
    import numpy
    import torch

_FRAMEWORKS = {"pt": "pt", "torch": "pt", "pytorch": "pt", "np": "np", "numpy": "np"}


class _Source:
    """The tensors of one file, or of the files that make up the model."""

    def __init__(
        self, model: str | os.PathLike[str] | Revision, file: str | None, subfolder: str | None,
        store: Store | str | os.PathLike[str] | None, tier: str, budget: int | str | None
    ) -> None:
        if file is not None and subfolder is not None:
            raise SafetensorError("file and subfolder exclude each other")
        self._selection, self._memory = (file, subfolder), (tier, budget)
        self._process = os.getpid()
        self.revision = model if isinstance(model, Revision) else _store(store).revision(os.fspath(model))
        self.revision.store._use_budget(tier, budget)
        self.formats = {known.path: known.format for known in self.revision.files()}
        self.files = [file] if file is not None else _files_of_model(self.revision, subfolder)
        chosen = set(self.files)
        self.tensors: dict[str, TensorInfo] = {}
        self._neighbours = _Neighbours()
        with without_collection():
            tensors = self.revision.tensors()
        for tensor in tensors:
            if tensor.file not in chosen:
                continue
            if tensor.name in self.tensors:
                raise SafetensorError(
                    f"{tensor.name} is in {self.tensors[tensor.name].file} and in {tensor.file}: select one with file= or "
                    "subfolder=")
            self.tensors[tensor.name] = tensor
        if file is not None and file not in self.formats:
            raise NotFoundError(f"{self.revision.name} {file}: no such file.", 4)

    def tensor(self, info: TensorInfo, target: _Target) -> Any:
        """One tensor. A forked child maps it from its file, and opens the store itself if that is not possible."""
        if self._process != os.getpid():
            mapped = self._mapped(info, target)
            if mapped is not None:
                return mapped
            self.revision.store._use_budget(*self._memory)
        if target.tier == "ram":
            if target.is_writable and info.bytes < _Neighbours.most_bytes and self._process == os.getpid():
                memory = self._neighbours.memory(self, info)
                if memory is not None:
                    return target.over_block(info, memory)
            # The lease ends with the tensor, which the frames of an exception may hold, too.
            try:
                return target.only(target.lease(self.revision, info.file, info.name), info)
            except TierFullError:
                if not self._neighbours.clear():
                    raise
            return target.only(target.lease(self.revision, info.file, info.name), info)
        with target.lease(self.revision, info.file, info.name) as lease:
            return next(target.tensors(lease))[1]

    def _mapped(self, info: TensorInfo, target: _Target) -> Any:
        """A tensor in a forked child, from its file; None if the store must be opened for it."""
        try:
            return target.forked(ForkedTensor(info, self.revision.store.path, target.tier))
        except ForkedError:
            return None

    def part(self, info: TensorInfo, target: _Target, index: Any) -> Any:
        """A part of a tensor. Only its bytes are read, or those of the pages that it touches."""
        if self._process != os.getpid():
            mapped = self._mapped(info, target)
            if mapped is not None:
                return mapped[index]
        stored = frameworks.array_info(info, target.raw)
        plan = SlicePlan.of(stored, index)
        if plan is None:
            return self.tensor(info, target)[index]
        if self.revision.is_stored(info.name, file=info.file):
            with self.revision.lease_writable(info.name, file=info.file, lazy=True) as lease:
                if plan.is_one_run:
                    lease.read(0, plan.offset, plan.size)
                return target.moved(next(target.views(lease))[1][index])
        memory = bytearray(plan.size * plan.count)
        self.revision.read_tensor(
            info.name, memory, offset=plan.offset, size=plan.size, stride=plan.stride, count=plan.count, file=info.file)
        return target.moved(target.over(plan.result(stored), memory)[plan.rest])

    def all_tensors(self, target: _Target) -> dict[str, Any]:
        """All tensors, by file and place in it."""
        if self._process != os.getpid():
            return {name: self.tensor(info, target) for name, info in self.tensors.items()}
        tensors: dict[str, Any] = {}
        filled: dict[str, list[TensorInfo]] = {file: [] for file in self.files}
        for info in self.tensors.values():
            filled[info.file].append(info)
        for file, known in filled.items():
            if known:
                with target.lease(self.revision, file) as lease, without_collection():
                    tensors.update(target.tensors(lease, known))
        return tensors

    def __reduce__(self) -> Any:
        return _Source, (self.revision, *self._selection, None, *self._memory)

    def header(self, file: str) -> dict[str, Any]:
        """The header of a safetensors file; empty for other files."""
        if self.formats.get(file) != "safetensors":
            return {}
        start = self.revision.read(file, 0, 8)
        header: dict[str, Any] = json.loads(self.revision.read(file, 8, struct.unpack("<Q", start)[0]))
        return header


class _Neighbours:
    """Small tensors that are loaded one by one: a lease has all those of a shard, and each of them is handed out once."""

    #: Tensors of fewer bytes are stored together with others.
    most_bytes = 1 << 20
    #: The most bytes of all shards of which tensors are still to be handed out, and of one of them.
    _most_leased, _most_of_shard = 32 << 20, 16 << 20

    def __init__(self) -> None:
        #: Of each shard, the first tensor that was loaded.
        self._first: dict[tuple[str, str], str] = {}
        self._known: dict[tuple[str, str], list[TensorInfo]] | None = None
        #: The lease of each shard, and the index and the address of each tensor that was not handed out, by name. The shard
        #: that was used last is the last one.
        self._leases: dict[tuple[str, str], tuple[Lease, dict[str, tuple[int, int]]]] = {}
        #: Held while the dictionaries change. A forked child does not use them.
        self._lock = threading.Lock()

    def memory(self, source: _Source, info: TensorInfo) -> Any:
        """The bytes of a tensor, which were read; None if it is to be leased alone: the first one of a shard, because it may
        be the only one, and one that was handed out."""
        if info.shard is None:
            return None
        key = info.file, info.shard
        with self._lock:
            if key not in self._first:
                self._first[key] = info.name
                return None
            place = self._take(key, info.name)
        if place is None:
            try:
                self._lease(source, info, key)
            except WeightStoreError:
                return None  # The tensor alone may be readable, or is the error to report.
            with self._lock:
                place = self._take(key, info.name)
            if place is None:
                return None
        lease, index, address = place
        library().lease_read(lease, index, 0, info.bytes)
        return block(address, lease)

    def clear(self) -> bool:
        """Ends the leases of which no tensor is used. Returns whether there were any."""
        with self._lock:
            leases, self._leases = self._leases, {}
        return bool(leases)

    def _take(self, key: tuple[str, str], name: str) -> tuple[Lease, int, int] | None:
        found = self._leases.pop(key, None)
        place = found[1].pop(name, None) if found is not None else None
        if found is not None and found[1]:
            self._leases[key] = found
        return (found[0], *place) if found is not None and place is not None else None

    def _lease(self, source: _Source, info: TensorInfo, key: tuple[str, str]) -> None:
        """Leases the tensors of a shard, unless the lease has others to hand out, or the shard is large."""
        with self._lock:
            if key in self._leases:
                return
            if self._known is None:
                self._known = {}
                for tensor in source.tensors.values():
                    if tensor.shard is not None:
                        self._known.setdefault((tensor.file, tensor.shard), []).append(tensor)
            known = self._known[key]
        if sum(tensor.bytes for tensor in known) > self._most_of_shard:
            return
        lease = source.revision.lease_writable(info.name, file=info.file, lazy=True, neighbours=True)
        large = [tensor.name for tensor in known if tensor.bytes >= self.most_bytes]
        places = lease._places(known)
        for name in (self._first[key], *large):
            if name != info.name:
                places.pop(name, None)
        with self._lock:
            leased = sum(other.bytes for other, _ in self._leases.values()) + lease.bytes
            while self._leases and leased > self._most_leased:
                leased -= self._leases.pop(next(iter(self._leases)))[0].bytes
            self._leases[key] = lease, places


def _files_of_model(revision: Revision, subfolder: str | None = None) -> list[str]:
    """The files that make up the model, or a component of it."""
    found = revision.selected_files(subfolder)
    if not found:
        # A file may have no tensors, as a GGUF file with a vocabulary.
        folder = (subfolder or "").strip("/")
        if any(file.format != "other" and file.path.rpartition("/")[0] == folder for file in revision.files()):
            return []
        raise NotFoundError(f"{revision.name}: no file{f' in {subfolder}' if subfolder else ''} has tensors.", 4)
    return found


class _Target:
    """The framework and the device of the returned tensors."""

    def __init__(
            self, framework: str, device: str | int | torch.device | None, quantized: Literal["raw"] | None = None) -> None:
        if quantized not in (None, "raw"):
            raise SafetensorError(f"quantized \"{quantized}\" is invalid (expected None or \"raw\")")
        #: Whether quantized tensors are returned as bytes.
        self.raw = quantized == "raw"
        if framework not in _FRAMEWORKS:
            raise SafetensorError(f"framework {framework} is invalid (expected one of: \"pt\", \"np\")")
        self.framework = _FRAMEWORKS[framework]
        if isinstance(device, int):
            device = f"cuda:{device}"
        name = "cpu" if device is None else str(device)
        if name == "cuda":
            name = "cuda:0"
        kind, _, number = name.partition(":")
        if not kind or (number and not number.isdigit()):
            raise SafetensorError(f"device {name} is invalid")
        if self.framework == "np" and name != "cpu":
            raise SafetensorError(f"Device {name} is not supported for framework numpy")
        self.tier = name if kind == "cuda" else "ram"
        #: The device to which PyTorch must move tensors, if no tier is on it.
        self.elsewhere = name if kind not in ("cpu", "cuda") else None
        if self.framework == "pt":
            import torch

            if self.elsewhere is not None:
                try:
                    torch.device(self.elsewhere)
                except RuntimeError:
                    raise SafetensorError(f"device {name} is invalid") from None
        else:
            import numpy  # noqa: F401  A missing NumPy is reported at once.

    def lease(self, revision: Revision, file: str, name: str | None = None) -> Lease:
        """The tensors of a file, or one of them. PyTorch has no read-only tensors, so theirs can be written."""
        if self.is_writable and self.tier == "ram":
            return revision.lease_writable(name, file=file)
        if name is None:
            return revision.lease(file=file, tier=self.tier)
        return revision.lease_tensor(name, file=file, tier=self.tier)

    def tensors(
            self, lease: Lease, known: Sequence[TensorInfo] | None = None) -> Iterator[tuple[str, Any]]:
        """The tensors of a lease by name, for the framework, on the device."""
        return ((name, self._elsewhere(tensor)) for name, tensor in self.views(lease, known))

    def views(self, lease: Lease, known: Sequence[TensorInfo] | None = None) -> Iterator[tuple[str, Any]]:
        """The tensors of a lease by name, for the framework, where they are; ``known`` has the descriptions of all."""
        if self.framework == "np":
            return frameworks.numpy_arrays(lease, self.raw, known)
        return frameworks.torch_tensors(lease, self.raw, known)

    @property
    def is_writable(self) -> bool:
        """Whether tensors in RAM can be written."""
        return self.framework == "pt"

    def only(self, lease: Lease, info: TensorInfo) -> Any:
        """The only tensor of a lease in RAM, which holds the lease."""
        return self.over_block(info, lease._block() if info.bytes else None)

    def over_block(self, info: TensorInfo, memory: Any) -> Any:
        """A tensor over a block of memory, which holds its lease; None for zero bytes."""
        if self.framework == "np":
            return frameworks.numpy_over(info, memory, self.raw)
        return self._elsewhere(frameworks.torch_over(info, memory, self.raw))

    def forked(self, tensor: ForkedTensor) -> Any:
        if self.framework == "np":
            return frameworks.numpy_array(tensor, self.raw)
        return self._elsewhere(frameworks.torch_tensor(tensor, self.raw))

    def over(self, info: TensorInfo, memory: bytearray) -> Any:
        """A tensor over memory that has its bytes."""
        if self.framework == "np":
            return frameworks.numpy_view(info, memoryview(memory).toreadonly())
        import torch

        dtype, shape = frameworks.torch_dtype(info.dtype), frameworks.torch_shape(info)
        if not memory:
            return torch.zeros(shape, dtype=dtype)
        return torch.frombuffer(memory, dtype=torch.uint8).view(dtype).reshape(shape)

    def _elsewhere(self, tensor: Any) -> Any:
        return tensor if self.elsewhere is None else tensor.to(self.elsewhere)

    def moved(self, tensor: Any) -> Any:
        """A tensor in RAM on the device."""
        return self._elsewhere(tensor) if self.tier == "ram" else tensor.to(self.tier)


class safe_open:
    """Opens a model and loads its tensors on demand, like ``safetensors.safe_open``.

    It can be pickled, and used in a forked child, such as a worker of a DataLoader: the child maps the tensors from the
    files of the store, and opens the store to fetch absent ones.

    PyTorch's small tensors are leased with those that lie in the same shard, of which it holds up to 32 MiB until they are
    loaded, too, or it is closed.

    Args:
        model: a revision, such as ``org/name@main``, or a :class:`Revision`.
        framework: ``pt`` or ``np``.
        device: ``cpu``, or with ``pt`` any PyTorch device; ``cuda`` and ``cuda:1`` are the store's GPU tiers.
        backend: ``mmap`` or ``pread``, without effect.
        file: only the tensors of this file (default: those of all files that make up the model:
            :meth:`Revision.selected_files`).
        subfolder: only the tensors of the files in this folder, such as ``unet``.
        quantized: with ``raw``, tensors of GGUF's quantized types are arrays of ``uint8``: the last dimension is the bytes
            of a row of blocks, as in the package ``gguf``. :meth:`info` has the type and the shape. None refuses them.
        store: an open :class:`Store`, or its directory; None means the default of :func:`open`.
        budget: the size limit of the tier, as in :meth:`Store.open_tier`, if it is not open yet. A tier that is open with
            another budget is an error: :meth:`Store.close_tier` of :func:`shared_store` closes it.
    """

    def __init__(
        self, model: str | os.PathLike[str] | Revision, framework: str, device: str | int | torch.device | None = "cpu", *,
        backend: str = "mmap", file: str | None = None, subfolder: str | None = None,
        quantized: Literal["raw"] | None = None, store: Store | str | os.PathLike[str] | None = None,
        budget: int | str | None = None,
    ) -> None:
        if backend not in ("mmap", "pread"):
            raise SafetensorError(f"backend \"{backend}\" is invalid (expected one of: \"mmap\", \"pread\")")
        self._target = _Target(framework, device, quantized)
        self._source: _Source | None = _Source(model, file, subfolder, store, self._target.tier, budget)

    def __enter__(self) -> safe_open:
        self._opened()
        return self

    def __exit__(self, *_: object) -> None:
        self._source = None

    def _opened(self) -> _Source:
        if self._source is None:
            raise SafetensorError("File is closed")
        return self._source

    def keys(self) -> list[str]:
        """The names of the tensors, sorted."""
        return sorted(self._opened().tensors)

    def offset_keys(self) -> list[str]:
        """The names of the tensors, by file and place in it."""
        source = self._opened()
        keys: list[str] = []
        for file in source.files:
            header = source.header(file)
            header.pop("__metadata__", None)
            keys += sorted(header, key=lambda name: (header[name]["data_offsets"], name))
        return keys or self.keys()

    def info(self, name: str) -> TensorInfo:
        """The description of a tensor: its type and shape as in the file."""
        return self._info(name)

    def metadata(self) -> dict[str, str] | None:
        """The metadata in the headers of safetensors, or None. If several files have a key, the first file decides.
        :meth:`Revision.metadata` also has that of GGUF."""
        source = self._opened()
        found: dict[str, str] | None = None
        for file in source.files:
            said = source.header(file).get("__metadata__")
            if said is not None:
                found = {**said, **(found or {})}
        return found

    def get_tensor(self, name: str) -> Any:
        """A tensor: a view that holds its bytes as long as it lives."""
        return self._opened().tensor(self._info(name), self._target)

    def get_tensors(self) -> dict[str, Any]:
        """All tensors, by file and place in it."""
        return self._opened().all_tensors(self._target)

    def get_slice(self, name: str) -> TensorSlice:
        """A tensor to slice: ``get_slice(name)[:, 8:16]``."""
        return TensorSlice(self, self._info(name), self._target.framework == "np")

    def _info(self, name: str) -> TensorInfo:
        info = self._opened().tensors.get(name)
        if info is None:
            raise SafetensorError(f"File does not contain tensor {name}")
        return info


class TensorSlice:
    """A tensor of which the slices are loaded alone. What is not on disk is read from an origin, and neither checked nor
    stored, because only whole shards have digests."""

    def __init__(self, file: safe_open, info: TensorInfo, is_strict: bool) -> None:
        self._file, self._info, self._is_strict = file, info, is_strict
        self._shape = frameworks.array_shape(info, file._target.raw)
        # A slice stays usable after the file is closed, as in safetensors.
        self._source = file._opened()

    def get_shape(self) -> list[int]:
        return list(self._shape)

    def get_dtype(self) -> str:
        """As safetensors spells it: ``F32``."""
        return self._info.dtype

    def __getitem__(self, index: Any) -> Any:
        if self._is_strict:
            index = _checked(index, self._shape)
        return self._source.part(self._info, self._file._target, index)


def _checked(index: Any, shape: tuple[int, ...]) -> tuple[Any, ...]:
    """The index for NumPy. It is refused where safetensors refuses it: a slice beyond the end is an error."""
    if isinstance(index, list):
        if index:
            raise SafetensorError("Non empty lists are not implemented")
        index = slice(0, 0)
    parts = index if isinstance(index, tuple) else (index,)
    places = [place for place, part in enumerate(parts) if part is Ellipsis]
    if len(places) > 1:
        raise SafetensorError("an index can only have a single ellipsis")
    for place in places:
        missing = (slice(None),) * (len(shape) - len(parts) + 1)
        parts = parts[:place] + missing + parts[place + 1:]
    if len(parts) > len(shape):
        raise SafetensorError("more slicing indexes than dimensions in tensor")

    parts = tuple(_from_start(part, dimension, shape[dimension]) for dimension, part in enumerate(parts))

    def shown(part: Any) -> str:
        if not isinstance(part, slice):
            return str(part)
        return ":".join("" if end is None else str(end) for end in (part.start, part.stop))

    for dimension, part in reversed(list(enumerate(parts))):
        size = shape[dimension]
        if isinstance(part, int):
            start, stop = part, part + 1
        else:
            start, stop = 0 if part.start is None else part.start, size if part.stop is None else part.stop
            if start < 0 or stop < 0:
                continue  # safetensors does not support negative bounds; they have Python's meaning.
        if start >= size or stop > size:
            raise SafetensorError(
                f"Error during slicing [{', '.join(map(shown, parts))}] with shape {list(shape)}: "
                f"index {start if start >= size else stop - 1} out of bounds for tensor dimension #{dimension} of size {size}")
    return parts


def _from_start(part: Any, dimension: int, size: int) -> Any:
    """The index counted from the start."""
    if isinstance(part, slice):
        return part
    try:
        number = operator.index(part)
    except TypeError:
        raise TypeError(f"index must be a slice, an integer or an ellipsis, not {type(part).__name__}") from None
    if number < -size:
        raise SafetensorError(f"Invalid index {number} for dimension {dimension} of size {size}")
    return number + size if number < 0 else number


@overload
def load_file(
    model: str | os.PathLike[str] | Revision, device: str | int | torch.device = "cpu", *,
    framework: Literal["pt", "torch", "pytorch"] = "pt", backend: str = "mmap", file: str | None = None,
    subfolder: str | None = None, quantized: Literal["raw"] | None = None,
    store: Store | str | os.PathLike[str] | None = None, budget: int | str | None = None,
) -> dict[str, torch.Tensor]: ...


@overload
def load_file(
    model: str | os.PathLike[str] | Revision, device: str | int | torch.device = "cpu", *,
    framework: Literal["np", "numpy"], backend: str = "mmap", file: str | None = None, subfolder: str | None = None,
    quantized: Literal["raw"] | None = None, store: Store | str | os.PathLike[str] | None = None, budget: int | str | None = None,
) -> dict[str, numpy.ndarray[Any, Any]]: ...


@overload
def load_file(
    model: str | os.PathLike[str] | Revision, device: str | int | torch.device = "cpu", *, framework: str,
    backend: str = "mmap", file: str | None = None, subfolder: str | None = None,
    quantized: Literal["raw"] | None = None, store: Store | str | os.PathLike[str] | None = None, budget: int | str | None = None,
) -> dict[str, Any]: ...


def load_file(
    model: str | os.PathLike[str] | Revision, device: str | int | torch.device = "cpu", *, framework: str = "pt",
    backend: str = "mmap", file: str | None = None, subfolder: str | None = None,
    quantized: Literal["raw"] | None = None, store: Store | str | os.PathLike[str] | None = None,
    budget: int | str | None = None,
) -> dict[str, Any]:
    """All tensors of a model, or of one of its files, by name, like ``safetensors.torch.load_file``.

    The arguments are those of :class:`safe_open`. With ``framework="pt"`` the values are ``torch.Tensor``, with ``np``
    read-only NumPy arrays. The page of a ``torch.Tensor`` is copied when it is written. Each value holds the shard that has
    its bytes, as long as it lives.
    """
    with safe_open(
        model, framework, device, backend=backend, file=file, subfolder=subfolder, quantized=quantized, store=store,
        budget=budget,
    ) as source:
        return source.get_tensors()

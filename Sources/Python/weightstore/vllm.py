"""A model loader for vLLM: it loads weights from a store, layer by layer, and prefetches the next layers.

The package registers it as a plug-in, which vLLM loads in each of its processes:

    vllm serve org/name --load-format weightstore
    vllm serve org/name --load-format weightstore --model-loader-extra-config '{"store": "/srv/store", "model": "org/name@prod"}'

vLLM reads configuration and tokenizer from a directory or a hub, such as ``weightstore serve``.

The loader is vLLM's default one with another source of weights: secondary weights, patterns of files, Mistral's format,
the filter of experts and the check that all weights were loaded are vLLM's own. It reads only the tensors that it loads.
With ``HF_HUB_OFFLINE``, vLLM names a directory of its cache, which stands for the model and commit in its path.

Extra configuration: ``store``, the store's directory; ``model``, the revision, if it is not vLLM's model and revision;
``tier``, the tier through which the weights are loaded (``ram``), and ``budget``, its size limit: bytes, ``8GiB``, ``50%``;
``enable_weights_track``, as in vLLM's default loader.

With expert parallelism, each rank reads its own experts alone, and the scales of all of them. With tensor parallelism,
each rank reads the pages alone that it copies.
"""

from __future__ import annotations

import copy
import fnmatch
import logging
import os
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Callable, Iterable, Iterator

from ._errors import NotFoundError, SafetensorError
from ._frameworks import torch_tensors
from ._safetensors import _files_of_model
from ._store import Lease, Revision, Store
from ._store import shared_store as _store
from ._tensors import TensorInfo
from ._waiting import Limit

if TYPE_CHECKING:
    import torch

LOAD_FORMAT = "weightstore"
_log = logging.getLogger("weightstore")
_OPTIONS = ("store", "model", "tier", "budget")
#: Tensors that are leased one by one: threads, and bytes that are loaded before they are used.
_THREADS, _AHEAD = 8, 256 << 20


def register() -> None:
    """Registers the load format. vLLM calls this in each of its processes."""
    from vllm.model_executor.model_loader import register_model_loader
    from vllm.model_executor.model_loader.default_loader import DefaultModelLoader

    class WeightStoreLoader(DefaultModelLoader):  # type: ignore[misc]
        counter_before_loading_weights: float

        def __init__(self, load_config: Any) -> None:
            extra = dict(load_config.model_loader_extra_config or {})
            own = {name: extra.pop(name) for name in _OPTIONS if name in extra}
            unknown = set(extra) - {"enable_weights_track"}
            if unknown:
                raise ValueError(
                    f"model_loader_extra_config: unknown: {', '.join(sorted(unknown))}; "
                    f"must be {', '.join(_OPTIONS)} or enable_weights_track")
            # The default loader accepts its own options alone.
            config = copy.copy(load_config)
            config.model_loader_extra_config = extra
            super().__init__(config)
            self._directory, self._model = own.get("store"), own.get("model")
            self._tier, self._budget = own.get("tier", "ram"), own.get("budget")
            self._primary: str | None = None
            self._is_mistral = False
            self._experts: range | None = None

        def _begin(self, model_config: Any) -> None:
            self._primary = model_config.model
            self._is_mistral = getattr(model_config, "config_format", None) == "mistral"

        def _revision(self, name: str, revision: str | None) -> Revision:
            store = _store(self._directory)
            if name == self._primary and self._model is not None:
                return store.revision(self._model)
            return find_revision(store, name, revision)

        def get_all_weights(self, model_config: Any, model: Any) -> Iterator[tuple[str, torch.Tensor]]:
            self._begin(model_config)
            found: Iterator[tuple[str, torch.Tensor]] = super().get_all_weights(model_config, model)
            return found

        def download_model(self, model_config: Any) -> None:
            # Bytes that the store lacks are fetched when they are loaded.
            self._begin(model_config)
            self._revision(model_config.model, model_config.revision)

        def load_weights(self, model: Any, model_config: Any) -> None:
            _store(self._directory)._use_budget(self._tier, self._budget)
            self._begin(model_config)
            revision = self._revision(model_config.model, model_config.revision)
            self._experts = local_experts(model, _number_of_experts(revision))
            super().load_weights(model, model_config)

        def _get_weights_iterator(self, source: Any) -> Iterator[tuple[str, torch.Tensor]]:
            if getattr(self.load_config, "safetensors_load_strategy", None) == "torchao":
                raise ValueError("checkpoints that torchao has serialized: use --load-format auto")
            revision = self._revision(source.model_or_path, source.revision)
            patterns = getattr(source, "allow_patterns_overrides", None)
            if patterns is None and self._is_mistral and source.model_or_path == self._primary:
                patterns = ["consolidated*.safetensors"]
            files = chosen_files(
                revision, getattr(source, "subfolder", None), patterns, getattr(self.load_config, "ignore_patterns", None))
            is_primary = source.model_or_path == self._primary
            found = weights(
                revision, tier=self._tier, files=files, experts=self._experts if is_primary else None,
                expert_numbers=getattr(self, "local_expert_ids", None) if is_primary else None,
                is_unused=getattr(source, "is_unused_weight", None), lazy=self._tier == "ram" and _ranks() > 1)
            try:
                from vllm.model_executor.model_loader.csf_scales import decode_csf_scale_streams
            except ImportError:  # Of an older vLLM.
                pass
            else:
                found = decode_csf_scale_streams(found)
            if self.counter_before_loading_weights == 0.0:
                self.counter_before_loading_weights = time.perf_counter()
            return ((source.prefix + name, tensor) for name, tensor in found)

    register_model_loader(LOAD_FORMAT)(WeightStoreLoader)


def _ranks() -> int:
    """The number of tensor-parallel ranks: each copies a part of most tensors."""
    try:
        from vllm.distributed import get_tensor_model_parallel_world_size
    except ImportError:
        return 1
    try:
        return int(get_tensor_model_parallel_world_size())
    except AssertionError:  # Without parallelism, vLLM may have no groups.
        return 1


def find_revision(store: Store, name: str, revision: str | None = None) -> Revision:
    """The revision of the store for a model of vLLM.

    Args:
        name: a model, or a directory of a Hugging Face cache, ``models--org--name/snapshots/<commit>``: its model at
            that commit, or if the store does not know the commit, as without the cache, with a warning in the log.
    """
    parts = os.path.normpath(name).split(os.sep)
    if len(parts) >= 3 and parts[-2] == "snapshots" and parts[-3].startswith("models--"):
        name = parts[-3][len("models--"):].replace("--", "/")
        if revision is None:
            try:
                return store.revision(f"{name}@{parts[-1]}")
            except NotFoundError:
                _log.warning(
                    "%s: the store has no commit %s, which vLLM's configuration is of; its own version is loaded", name,
                    parts[-1])
    return store.revision(name if revision is None else f"{name}@{revision}")


def chosen_files(
    revision: Revision, subfolder: str | None = None, patterns: Iterable[str] | None = None,
    ignored: str | Iterable[str] | None = None,
) -> list[str]:
    """The files whose tensors are loaded.

    Args:
        patterns: of these patterns of names in the folder, the first that matches files with tensors; None means the
            files that make up the model.
        ignored: patterns of paths that are left out.
    """
    left_out = [ignored] if isinstance(ignored, str) else list(ignored or ())
    folder = (subfolder or "").strip("/")
    if patterns is None:
        found = [_files_of_model(revision, subfolder)]
    else:
        paths = [file.path for file in revision.files() if file.format != "other"]
        inside = [path for path in paths if path.rpartition("/")[0] == folder]
        found = [[path for path in inside if fnmatch.fnmatchcase(path.rpartition("/")[2], one)] for one in patterns]
    for files in found:
        kept = [path for path in files if not any(fnmatch.fnmatchcase(path, one) for one in left_out)]
        if kept:
            return kept
    raise NotFoundError(f"{revision.name}: no file with tensors matches {', '.join(patterns or left_out)}.", 4)


def _number_of_experts(revision: Revision) -> int:
    """The greatest number of experts of a layer, according to the names of the tensors."""
    return 1 + max((tensor.expert for tensor in revision.tensors() if tensor.expert is not None), default=-1)


def local_experts(model: Any, count: int | None = None) -> range | None:
    """The experts of a rank: a range that has those of all layers of experts. None if the rank needs all experts.

    vLLM's layers of experts have an ``expert_map``: for each expert, its number in this rank, or -1.

    Args:
        count: the number of experts of a layer in the files. The numbers of a layer with fewer or more experts mean
            others: the files may number the experts of several layers together, as those of ERNIE 4.5 VL do, and
            copies of experts have numbers of their own.
    """
    first, last = None, -1
    for module in model.modules():
        # With load balancing, a rank may hold copies of any expert. The block around the layer may know of it alone.
        if getattr(module, "enable_eplb", False):
            return None
        if not hasattr(module, "expert_map"):
            continue
        if module.expert_map is None:
            return None
        places = module.expert_map.tolist()
        if count is not None and len(places) != count:
            return None
        numbers = [number for number, local in enumerate(places) if local >= 0]
        if numbers:
            first, last = min(numbers[0], numbers[0] if first is None else first), max(numbers[-1], last)
    return None if first is None else range(first, last + 1)


def weights(
    revision: Revision, *, tier: str = "ram", ahead: int = 2, experts: range | None = None,
    files: Iterable[str] | None = None, expert_numbers: set[int] | None = None,
    is_unused: Callable[[str], bool] | None = None, lazy: bool = False,
) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors of a model by name: first those that belong to no layer, then the layers in order.

    They are to be read and copied: unless ``lazy``, a write to one ends the process (SIGSEGV), because their memory is
    shared with all processes that load the model.

    Args:
        ahead: the number of layers that are loaded while one is used.
        experts: of the weights of experts, only those of these. Their other tensors, such as scales, are small, and some
            backends need those of all experts.
        files: the files whose tensors are loaded; None means those that make up the model.
        expert_numbers: as ``experts``, for numbers that are not in a row.
        is_unused: names that are not loaded.
        lazy: whether the bytes are read when they are accessed, and not before, as for a rank that copies a part of each
            tensor. Only for ``tier="ram"``.
    """
    chosen = set(_files_of_model(revision) if files is None else files)
    every = revision.tensors()
    if experts is not None and not any(tensor.expert in experts for tensor in every if tensor.expert is not None):
        raise NotFoundError(f"{revision.name}: no experts {experts.start} to {experts.stop - 1}.", 4)

    def is_wanted(tensor: TensorInfo) -> bool:
        if tensor.file not in chosen or (is_unused is not None and is_unused(tensor.name)):
            return False
        if tensor.expert is None or not tensor.name.endswith(".weight"):
            return True
        return (experts is None or tensor.expert in experts) and (
            expert_numbers is None or tensor.expert in expert_numbers)

    wanted = [tensor for tensor in every if is_wanted(tensor)]
    files_by_name: dict[str, str] = {}
    for tensor in wanted:
        other = files_by_name.setdefault(tensor.name, tensor.file)
        if other != tensor.file:
            raise SafetensorError(f"{tensor.name} is in {other} and in {tensor.file}")
    if lazy:
        return _lazily(revision, wanted)
    # What a lease of layers has, with the filter that it knows.
    leased = [tensor for tensor in every if experts is None or tensor.expert is None or tensor.expert in experts]
    return _layers(revision, wanted, tier, ahead, experts) if wanted == leased else _singly(revision, wanted, tier)


def _layers(
    revision: Revision, wanted: list[TensorInfo], tier: str, ahead: int, experts: range | None
) -> Iterator[tuple[str, torch.Tensor]]:
    leases = revision.stream(tier=tier, ahead=ahead, experts=experts)
    if any(tensor.layer is None for tensor in wanted):
        with revision.lease_rest(tier=tier) as lease:
            yield from torch_tensors(lease)
    for lease in leases:
        with lease:
            yield from torch_tensors(lease)


def _lazily(revision: Revision, wanted: list[TensorInfo]) -> Iterator[tuple[str, torch.Tensor]]:
    for tensor in sorted(wanted, key=lambda tensor: -1 if tensor.layer is None else tensor.layer):
        with revision.lease_writable(tensor.name, file=tensor.file, lazy=True) as lease:
            yield from torch_tensors(lease)


def _singly(revision: Revision, wanted: list[TensorInfo], tier: str) -> Iterator[tuple[str, torch.Tensor]]:
    """Tensors that are leased one by one, while threads load the next ones."""

    limits: set[Limit] = set()

    def lease(tensor: TensorInfo) -> Lease:
        with Limit() as limit:
            limits.add(limit)
            try:
                return revision.lease_tensor(tensor.name, file=tensor.file, tier=tier)
            finally:
                limits.discard(limit)

    waiting = deque(sorted(wanted, key=lambda tensor: -1 if tensor.layer is None else tensor.layer))
    loading: deque[tuple[TensorInfo, Future[Lease]]] = deque()
    pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="weightstore")
    bytes = 0
    try:
        while waiting or loading:
            while waiting and (not loading or bytes + waiting[0].bytes <= _AHEAD):
                tensor = waiting.popleft()
                bytes += tensor.bytes
                loading.append((tensor, pool.submit(lease, tensor)))
            tensor, future = loading.popleft()
            with future.result() as held:
                yield from torch_tensors(held)
            bytes -= tensor.bytes
    finally:
        for _, future in loading:
            future.cancel()
        for limit in list(limits):
            limit.cancel()
        pool.shutdown(wait=False)

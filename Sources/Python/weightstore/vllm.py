"""A model loader for vLLM: it loads weights from a store, layer by layer, and prefetches the next layers.

The package registers it as a plug-in, which vLLM loads in each of its processes:

    vllm serve org/name --load-format weightstore
    vllm serve org/name --load-format weightstore --model-loader-extra-config '{"store": "/srv/store", "model": "org/name@prod"}'

vLLM reads configuration and tokenizer from a directory or a hub, such as ``weightstore serve``.

Extra configuration: ``store``, the store's directory; ``model``, the revision, if it is not vLLM's model and revision;
``tier``, the tier through which the weights are loaded (``ram``), and ``budget``, its size limit in bytes.

With expert parallelism, each rank reads its own experts alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Iterator

from ._safetensors import _files_of_model, _store
from ._store import Revision

if TYPE_CHECKING:
    import torch

LOAD_FORMAT = "weightstore"


def register() -> None:
    """Registers the load format. vLLM calls this in each of its processes."""
    from vllm.model_executor.model_loader import register_model_loader
    from vllm.model_executor.model_loader.base_loader import BaseModelLoader

    class WeightStoreLoader(BaseModelLoader):  # type: ignore[misc]
        def __init__(self, load_config: Any) -> None:
            super().__init__(load_config)
            extra = dict(load_config.model_loader_extra_config or {})
            self._directory, self._model = extra.pop("store", None), extra.pop("model", None)
            self._tier, self._budget = extra.pop("tier", "ram"), extra.pop("budget", None)
            if extra:
                raise ValueError(
                    f"model_loader_extra_config: unknown: {', '.join(sorted(extra))}; "
                    "must be store, model, tier or budget")

        def _revision(self, model_config: Any) -> Revision:
            name = self._model
            if name is None:
                name = model_config.model + (f"@{model_config.revision}" if model_config.revision else "")
            return _store(self._directory).revision(name)

        def download_model(self, model_config: Any) -> None:
            # Bytes that the store lacks are fetched when they are loaded.
            self._revision(model_config)

        def load_weights(self, model: Any, model_config: Any) -> None:
            if self._budget is not None:
                store = _store(self._directory)
                if not store.is_open(self._tier):
                    store.open_tier(self._tier, budget=self._budget)
            revision = self._revision(model_config)
            experts = local_experts(model, _number_of_experts(revision))
            model.load_weights(weights(revision, tier=self._tier, experts=experts))

    register_model_loader(LOAD_FORMAT)(WeightStoreLoader)


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
        revision: Revision, *, tier: str = "ram", ahead: int = 2, experts: range | None = None
) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors of a model by name: first those that belong to no layer, then the layers in order.

    Args:
        ahead: the number of layers that are loaded while one is used.
        experts: of the experts of each layer, only those with these numbers.
    """
    chosen = set(_files_of_model(revision))
    leases = revision.stream(tier=tier, ahead=ahead, experts=experts)
    if any(tensor.layer is None for tensor in revision.tensors()):
        with revision.lease_rest(tier=tier) as lease:
            yield from ((tensor.info.name, tensor.torch()) for tensor in lease if tensor.info.file in chosen)
    for lease in leases:
        with lease:
            yield from ((tensor.info.name, tensor.torch()) for tensor in lease if tensor.info.file in chosen)

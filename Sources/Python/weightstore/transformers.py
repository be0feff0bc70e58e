"""Models of a store for Hugging Face transformers.

    from transformers import AutoModel
    import weightstore.transformers

    model = weightstore.transformers.from_pretrained(AutoModel, "org/name@main")
    tokenizer = weightstore.transformers.tokenizer("org/name@main")
"""

from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING, Any

from ._safetensors import _store, load_file

if TYPE_CHECKING:
    import torch

    from ._store import Store


def from_pretrained(
    cls: Any, model: str, *, device: str | int | torch.device = "cpu", store: Store | str | os.PathLike[str] | None = None,
    **options: Any,
) -> Any:
    """A model with the weights of a revision, in evaluation mode.

    The parameters are the tensors of :func:`weightstore.load_file`, without a copy, unless ``options`` select another
    type or device.

    Args:
        cls: a class of transformers: ``AutoModel``, ``AutoModelForCausalLM``, ``BertModel`` …
        options: passed to the class's own ``from_pretrained``.
    """
    from transformers import AutoConfig

    with tempfile.TemporaryDirectory() as directory:
        files(model, directory, store=store)
        config = options.pop("config", None) or AutoConfig.from_pretrained(directory)
    return _concrete(cls, config).from_pretrained(
        None, config=config, state_dict=load_file(model, device, store=store), **options)


def tokenizer(model: str, *, store: Store | str | os.PathLike[str] | None = None, **options: Any) -> Any:
    """The tokenizer of a revision, made by ``AutoTokenizer.from_pretrained``."""
    from transformers import AutoTokenizer

    with tempfile.TemporaryDirectory() as directory:
        files(model, directory, store=store)
        return AutoTokenizer.from_pretrained(directory, **options)


def files(model: str, directory: str, *, store: Store | str | os.PathLike[str] | None = None) -> list[str]:
    """Writes the files of a revision that contain no tensors, and returns their paths."""
    written = []
    with _store(store).revision(model) as revision:
        for file in revision.files():
            if file.format != "other":
                continue
            path = os.path.join(directory, file.path)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as out:
                out.write(revision.read(file.path, 0, file.bytes))
            written.append(path)
    return written


def _concrete(cls: Any, config: Any) -> Any:
    """The model class that an Auto class of transformers selects."""
    mapping = getattr(cls, "_model_mapping", None)
    if mapping is None:
        return cls
    found = mapping[type(config)]
    if not isinstance(found, (tuple, list)):
        return found
    named = getattr(config, "architectures", None) or []
    return next((one for one in found if one.__name__ in named), found[0])

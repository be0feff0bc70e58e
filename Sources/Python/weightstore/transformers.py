"""Models of a store for Hugging Face transformers.

    from transformers import AutoModel
    import weightstore.transformers

    model = weightstore.transformers.from_pretrained(AutoModel, "org/name@main")
    tokenizer = weightstore.transformers.tokenizer("org/name@main")
    weightstore.transformers.load_adapter(model, "org/adapter")

The results are those of the ``from_pretrained`` of transformers on the same files, with the same arguments. The tensors
are in the store's memory, and only configuration, tokenizer, code and the like are copied, to a temporary directory.
"""

from __future__ import annotations

import builtins
import contextlib
import copy
import json
import os
import tempfile
from typing import TYPE_CHECKING, Any, Iterator

from ._errors import NotFoundError
from ._safetensors import load_file
from ._store import Revision
from ._store import shared_store as _store

if TYPE_CHECKING:
    import torch

    from ._store import Store

#: The files that configurations, tokenizers, processors and code are read from.
_SUFFIXES = (
    ".json", ".txt", ".model", ".jinja", ".py", ".spm", ".tiktoken", ".bpe", ".codes", ".vocab", ".yaml", ".yml",
)
#: Larger files of these names are data. The largest tokenizers have 35 MB.
_MOST_BYTES = 128 << 20
_PIECE = 1 << 20


def from_pretrained(
    cls: Any, model: str, *arguments: Any, device: str | int | torch.device = "cpu",
    store: Store | str | os.PathLike[str] | None = None, budget: int | str | None = None, **options: Any,
) -> Any:
    """A model with the weights of a revision, in evaluation mode.

    The parameters are the tensors of :func:`weightstore.load_file`, without a copy, unless ``options`` select another
    type or device. An adapter is loaded into its base model, which must be in the store.

    Args:
        cls: a class of transformers: ``AutoModel``, ``AutoModelForCausalLM``, ``BertModel`` …
        budget: the size limit of the tier, as in :class:`weightstore.safe_open`.
        options: those of the class's own ``from_pretrained``: ``trust_remote_code``, ``subfolder``, ``revision``,
            ``variant``, ``dtype``, ``output_loading_info`` …, and attributes of the configuration such as
            ``num_labels``.
    """
    with _files(model, options, store) as (revision, directory):
        subfolder = options.pop("subfolder", None) or None
        adapter = _adapter(os.path.join(directory, subfolder or "", "adapter_config.json"))
        adapter_name = options.pop("adapter_name", None) or "default"
        adapter_options = dict(options.pop("adapter_kwargs", None) or {})
        if adapter is not None and not os.path.exists(os.path.join(directory, subfolder or "", "config.json")):
            made = from_pretrained(
                cls, adapter["base_model_name_or_path"], *arguments, device=device, store=revision.store, budget=budget,
                **options)
        else:
            made = _made(cls, revision, directory, subfolder, arguments, device, budget, options)
        if adapter is not None:
            loaded, info = made if isinstance(made, tuple) else (made, None)
            of_adapter = _load_adapter(loaded, revision, directory, subfolder, adapter_name, device, adapter_options)
            if info is not None:
                made = (loaded, of_adapter.to_dict() if hasattr(of_adapter, "to_dict") else info)
    return made


def load_adapter(
    model: Any, adapter: str, adapter_name: str | None = None, *, device: str | int | torch.device = "cpu",
    store: Store | str | os.PathLike[str] | None = None, **options: Any,
) -> Any:
    """Loads a PEFT adapter of the store into a model of transformers, as the model's own ``load_adapter``.

    Args:
        options: those of the model's ``load_adapter``, such as ``is_trainable``; ``subfolder`` and ``revision``.
    """
    with _files(adapter, options, store) as (revision, directory):
        subfolder = options.pop("subfolder", None) or None
        return _load_adapter(model, revision, directory, subfolder, adapter_name, device, options)


def load(
    cls: Any, model: str, *arguments: Any, store: Store | str | os.PathLike[str] | None = None, **options: Any
) -> Any:
    """What ``cls.from_pretrained`` makes from files without tensors: a configuration, a tokenizer, a processor."""
    with _files(model, options, store) as (revision, directory):
        made = cls.from_pretrained(directory, *arguments, **options)
        for part in [made, *vars(made).values()] if hasattr(made, "__dict__") else [made]:
            _rename(part, directory, revision.model)
        return made


def tokenizer(model: str, *, store: Store | str | os.PathLike[str] | None = None, **options: Any) -> Any:
    """The tokenizer of a revision, made by ``AutoTokenizer.from_pretrained``."""
    from transformers import AutoTokenizer

    return load(AutoTokenizer, model, store=store, **options)


def processor(model: str, *, store: Store | str | os.PathLike[str] | None = None, **options: Any) -> Any:
    """The processor of a revision, made by ``AutoProcessor.from_pretrained``."""
    from transformers import AutoProcessor

    return load(AutoProcessor, model, store=store, **options)


def image_processor(model: str, *, store: Store | str | os.PathLike[str] | None = None, **options: Any) -> Any:
    """The image processor of a revision, made by ``AutoImageProcessor.from_pretrained``."""
    from transformers import AutoImageProcessor

    return load(AutoImageProcessor, model, store=store, **options)


def feature_extractor(model: str, *, store: Store | str | os.PathLike[str] | None = None, **options: Any) -> Any:
    """The feature extractor of a revision, made by ``AutoFeatureExtractor.from_pretrained``."""
    from transformers import AutoFeatureExtractor

    return load(AutoFeatureExtractor, model, store=store, **options)


def config(model: str, *, store: Store | str | os.PathLike[str] | None = None, **options: Any) -> Any:
    """The configuration of a revision, made by ``AutoConfig.from_pretrained``."""
    from transformers import AutoConfig

    return load(AutoConfig, model, store=store, **options)


def files(
    model: str | Revision, directory: str, *, store: Store | str | os.PathLike[str] | None = None
) -> list[str]:
    """Writes the small files of a revision, from which configurations, tokenizers, processors and code are read, and
    returns their paths.

    These are files without tensors such as ``*.json``, ``*.txt``, ``*.model``, ``*.jinja`` and ``*.py``, without the
    indexes of weights. No other file is read or fetched.
    """
    revision = model if isinstance(model, Revision) else _store(store).revision(model)
    written = []
    for file in revision.files():
        name = file.path.rpartition("/")[2]
        if file.format != "other" or file.bytes > _MOST_BYTES or not name.endswith(_SUFFIXES):
            continue
        if name.endswith(".index.json"):
            continue
        path = os.path.join(directory, file.path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with builtins.open(path, "wb") as out:
            for offset in range(0, file.bytes, _PIECE):
                out.write(revision.read(file.path, offset, min(_PIECE, file.bytes - offset)))
        written.append(path)
    return written


@contextlib.contextmanager
def _files(
    model: str, options: dict[str, Any], store: Store | str | os.PathLike[str] | None
) -> Iterator[tuple[Revision, str]]:
    """A revision, and a directory with its small files. Removes ``revision`` from the options."""
    named = options.pop("revision", None)
    with _store(store).revision(model if named is None else f"{model}@{named}") as revision, \
            tempfile.TemporaryDirectory() as parent:
        # transformers names the module of remote code after the directory.
        directory = os.path.join(parent, revision.model.replace("/", "--"))
        os.mkdir(directory)
        files(revision, directory)
        yield revision, directory


def _made(
    cls: Any, revision: Revision, directory: str, subfolder: str | None, arguments: tuple[Any, ...],
    device: str | int | torch.device, budget: int | str | None, options: dict[str, Any],
) -> Any:
    trust, variant = options.pop("trust_remote_code", None), options.pop("variant", None)
    code = {"code_revision": options.pop("code_revision")} if "code_revision" in options else {}
    config, options, overrides = _config(cls, directory, subfolder or "", trust, code, options)
    chosen, config, trust = _chosen(cls, config, directory, subfolder or "", trust, code)
    state = _state(revision, subfolder, variant, device, budget)
    made = chosen.from_pretrained(None, *arguments, config=config, state_dict=state, **options)
    model = made[0] if isinstance(made, tuple) else made
    for module in model.modules():
        _rename(module, "None", revision.model)
    _rename(model.config, "None", revision.model)
    if options.get("generation_config") is None:
        _generation(model, directory, subfolder or "", trust, overrides)
    return made


def _config(
    cls: Any, directory: str, subfolder: str, trust: bool | None, code: dict[str, Any], options: dict[str, Any]
) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    """The configuration; the options that are not attributes of it; those that override the generation's."""
    from transformers import AutoConfig, PretrainedConfig

    given = options.pop("config", None)
    if isinstance(given, PretrainedConfig):
        return copy.deepcopy(given), options, {}
    # These are attributes of configurations, too, but mean the model.
    kept = {
        name: options.pop(name) for name in ("dtype", "torch_dtype", "quantization_config", "generation_config")
        if name in options
    }
    absorbed = {
        name: value for name, value in kept.items() if name in ("dtype", "torch_dtype") and value not in ("auto", None)}
    source, folder = (directory, subfolder) if given is None else (given, "")
    reader = AutoConfig if hasattr(cls, "_model_mapping") else cls.config_class
    code = {**code, "trust_remote_code": trust} if reader is AutoConfig else {}
    found, unused = reader.from_pretrained(
        source, return_unused_kwargs=True, subfolder=folder, **code, **absorbed, **options)
    for name in ("subfolder", "trust_remote_code", "code_revision", "dtype", "torch_dtype", "_from_auto"):
        unused.pop(name, None)
    # Classes other than Auto classes pass the attributes to the configuration of the generation, too.
    skipped = {*unused, "attn_implementation", "experts_implementation"}
    overrides = {} if reader is AutoConfig else {name: options[name] for name in options if name not in skipped}
    return found, {**unused, **kept}, overrides


def _chosen(
    cls: Any, config: Any, directory: str, subfolder: str, trust: bool | None, code: dict[str, Any]
) -> tuple[Any, Any, bool | None]:
    """The class that an Auto class selects, as its ``from_pretrained`` does; its configuration; whether remote code is
    trusted."""
    mapping = getattr(cls, "_model_mapping", None)
    if mapping is None:
        return cls, config, trust
    from transformers.dynamic_module_utils import get_class_from_dynamic_module, resolve_trust_remote_code

    reference = (getattr(config, "auto_map", None) or {}).get(cls.__name__)
    local = _local(mapping, config) if type(config) in mapping else None
    if reference is not None:
        trust = resolve_trust_remote_code(trust, directory, local is not None, True)
        if trust and (local is None or local.__module__.startswith("transformers.")):
            remote = get_class_from_dynamic_module(reference, directory, subfolder=subfolder, **code)
            if local is None:
                cls.register(type(config), remote, exist_ok=True)
            remote.register_for_auto_class(auto_class=cls)
            try:
                from transformers.models.auto.auto_factory import add_generation_mixin_to_remote_model
            except ImportError:
                return remote, config, trust
            return add_generation_mixin_to_remote_model(remote), config, trust
    if local is None:
        names = ", ".join(sorted(known.__name__ for known in mapping))
        raise ValueError(
            f"Unrecognized configuration class {type(config)} for this kind of AutoModel: {cls.__name__}.\n"
            f"Model type should be one of {names}.")
    text_class = (getattr(config, "sub_configs", None) or {}).get("text_config")
    if text_class is not None and getattr(local, "config_class", None) == text_class:
        quantization = getattr(config, "quantization_config", None)
        config = config.get_text_config()
        if quantization is not None:
            config.quantization_config = quantization
    return local, config, trust


def _local(mapping: Any, config: Any) -> Any:
    """The class of the library for a configuration."""
    found = mapping[type(config)]
    if not isinstance(found, (tuple, list)):
        return found
    named = getattr(config, "architectures", None) or []
    by_name = {one.__name__: one for one in found}
    return next((by_name[name] for name in named if name in by_name), found[0])


def _state(
    revision: Revision, subfolder: str | None, variant: str | None, device: str | int | torch.device,
    budget: int | str | None,
) -> dict[str, Any]:
    """The tensors of the model."""
    if variant is None:
        return load_file(revision, device, subfolder=subfolder, budget=budget)
    folder = (subfolder or "").strip("/")
    chosen = []
    for file in revision.files():
        parent, _, name = file.path.rpartition("/")
        # model.fp16.safetensors, model.fp16-00001-of-00002.safetensors, model-00001-of-00002.fp16.safetensors
        if file.format == "safetensors" and parent == folder and (f".{variant}." in name or f".{variant}-" in name):
            chosen.append(file.path)
    if not chosen:
        raise NotFoundError(f"{revision.name}: no file with tensors has the variant {variant}.", 4)
    state: dict[str, Any] = {}
    for path in chosen:
        state.update(load_file(revision, device, file=path, budget=budget))
    return state


def _generation(
    model: Any, directory: str, subfolder: str, trust: bool | None, overrides: dict[str, Any]
) -> None:
    """Loads the generation configuration and the custom generation of the files."""
    if not model.can_generate():
        return
    from transformers import GenerationConfig

    try:
        model.generation_config = GenerationConfig.from_pretrained(directory, subfolder=subfolder, **overrides)
    except OSError:  # Older models have it in their configuration.
        if not os.path.exists(os.path.join(directory, subfolder, "config.json")):
            return
        model.generation_config = GenerationConfig.from_pretrained(
            directory, config_file_name="config.json", subfolder=subfolder, _from_model_config=True, **overrides)
    if trust and hasattr(model, "load_custom_generate"):
        import functools

        try:
            custom = model.load_custom_generate(directory, trust_remote_code=trust, subfolder=subfolder)
        except OSError:  # There is none.
            return
        model.generate = functools.partial(custom, model=model)


def _adapter(path: str) -> dict[str, Any] | None:
    """The configuration of an adapter, if there is one and PEFT is installed."""
    from transformers.utils import is_peft_available

    if not os.path.exists(path) or not is_peft_available():
        return None
    with builtins.open(path, encoding="utf-8") as file:
        found: dict[str, Any] = json.load(file)
        return found


def _load_adapter(
    model: Any, revision: Revision, directory: str, subfolder: str | None, name: str | None,
    device: str | int | torch.device, options: dict[str, Any],
) -> Any:
    from peft import PeftConfig

    folder = f"{subfolder.strip('/')}/" if subfolder else ""
    state = load_file(revision, device, file=folder + "adapter_model.safetensors")
    configuration = PeftConfig.from_pretrained(os.path.join(directory, folder))
    options = {**options, "adapter_name": name} if name is not None else options
    return model.load_adapter(peft_config=configuration, adapter_state_dict=state, **options)


def _rename(made: Any, old: str, name: str) -> None:
    """Replaces the name of a temporary directory, or of none, by that of the model."""
    if str(getattr(made, "name_or_path", name)) == old:
        made.name_or_path = name
    known = getattr(made, "init_kwargs", None)
    if isinstance(known, dict) and known.get("name_or_path") == old:
        known["name_or_path"] = name

"""LoRA adapters beside a loaded model: put in, weighted and taken out while it stays.

peft computes them. What is here decides whether an adapter was made for this model, by the
name of its base and by the sizes of its matrices, and leaves the model as it was when the
last one goes. Adapters are read from safetensors alone.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from torch import nn

from chatbot.engine.failures import as_chatbot_error
from chatbot.engine.loading import LoadedModel
from chatbot.engine.protocol.model_info import AdapterInfo, AdapterUse
from chatbot.errors import ModelError
from chatbot.models.facts import read_small
from chatbot.models.references import resolve
from chatbot.models.safetensors_header import read_tensors

MAX_WEIGHT: Final = 10.0

_PREFIX: Final = "base_model.model."
_DOWN: Final = ".lora_A.weight"
_UP: Final = ".lora_B.weight"

_IN_MIXTURE: Final = re.compile(r"\.(experts|gate|router)\.")
"""In the names of what is no layer of its own, but a part of all experts, and of what chooses."""

_NEARLY_A_NAME: Final = re.compile(r"[\w.^$\\-]*(\.\*[\w.^$\\-]*)?")
"""An expression for a layer that is matched at once: of those that repeat, one at most."""


class _Found(msgspec.Struct, frozen=True, kw_only=True):
    """An adapter that is in order and fits."""

    use: AdapterUse
    folder: Path
    info: AdapterInfo


def use_adapters(loaded: LoadedModel, wanted: Sequence[AdapterUse]) -> tuple[AdapterInfo, ...]:
    """Have ``loaded`` use these adapters and no others; those that stay are not read again.

    The caller forgets what the model has read.

    Raises:
        ModelError: one of them cannot be used; nothing is changed then.
    """
    found = [_find(loaded, use) for use in wanted]
    if len({item.folder for item in found}) < len(found):
        raise ModelError("An adapter is named twice; name each once, with one weight.")
    model = loaded.model
    present = _names_in(model)
    names = {_key(item.folder): item for item in found}
    active = model.active_adapters() if present else []
    try:
        for key, item in names.items():
            if key not in present:
                _put_in(model, key, item.folder)
        if names:
            model.set_adapter(list(names))
    except Exception as error:
        _put_back(model, active)
        loaded.cached.clear()  # what peft did to the model in between is not known here
        raise as_chatbot_error(error, "loading the adapter") from error
    for key in present - set(names):
        model.delete_adapter(key)
    for key, item in names.items():
        _weigh(model, key, item.use.weight)
    _restore_bare(model)
    return tuple(item.info for item in found)


def _key(folder: Path) -> str:
    """A name for peft, which takes dots for the borders of modules."""
    return "adapter_" + str(folder).encode().hex()


def _put_in(model: Any, key: str, folder: Path) -> None:
    from peft import LoraConfig
    from safetensors.torch import load_file

    config = LoraConfig.from_pretrained(str(folder))
    tensors = load_file(folder / "adapter_model.safetensors")
    config.inference_mode = True
    config.megatron_config = None  # with one, peft imports whatever module the file names
    _without_expressions(config, tensors)
    model.load_adapter(peft_config=config, adapter_state_dict=tensors, adapter_name=key)


def _without_expressions(config: Any, names: Iterable[str]) -> None:
    """Have peft match no expression of the file's for the layers: the names of the weights say
    which are meant.
    """
    chosen = (config.target_modules, config.exclude_modules, config.layers_pattern)
    if any(isinstance(one, str) for one in chosen) or config.layers_pattern:
        config.target_modules = {
            name.removeprefix(_PREFIX).split(".lora_")[0] for name in names if ".lora_" in name
        }
        config.exclude_modules = config.layers_pattern = config.layers_to_transform = None


def _put_back(model: Any, active: list[str]) -> None:
    """Have the adapters ``active`` and no others, after peft has failed with another one.

    peft leaves that one in the model, perhaps half read, and has made it the active one.
    """
    if active:
        model.set_adapter(active)
    for key in _names_in(model) - set(active):
        model.delete_adapter(key)
    _restore_bare(model)


def _weigh(model: Any, key: str, weight: float) -> None:
    from peft.tuners.lora import LoraLayer

    for module in model.modules():
        if isinstance(module, LoraLayer) and key in module.scaling:
            module.set_scale(key, weight)


def _restore_bare(model: Any) -> None:
    """Take peft's layers out again where no adapter is left, so that nothing is slower."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    kept = _names_in(model)
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, BaseTunerLayer) and not kept & _adapters_of(child):
                setattr(module, name, child.get_base_layer())
    model._hf_peft_config_loaded = bool(kept)


def _names_in(model: Any) -> set[str]:
    """The names of the adapters in a model."""
    return set(getattr(model, "peft_config", {}) or {})


def _adapters_of(layer: Any) -> set[str]:
    """The names of the adapters in a layer of peft's."""
    return {name for part in layer.adapter_layer_names for name in getattr(layer, part)}


def _find(loaded: LoadedModel, use: AdapterUse) -> _Found:
    """The adapter at ``use.path``, checked against the model.

    Raises:
        ModelError: it is not there, is damaged, or was made for another model.
    """
    folder = Path(use.path).expanduser().resolve()
    name = folder.name
    if not -MAX_WEIGHT <= use.weight <= MAX_WEIGHT:  # NaN fails this too
        raise ModelError(f"The weight of an adapter is a number from -10 to 10, not {use.weight}.")
    if not folder.is_dir():
        raise ModelError(f"There is no adapter {use.path}; give the folder that peft wrote.")
    weights = folder / "adapter_model.safetensors"
    if not weights.is_file():
        if any(folder.glob("*.bin")):
            raise ModelError(
                f"The adapter {name} has its weights as a pickle, which can run any code when it "
                "is read; save it as safetensors."
            )
        raise ModelError(f"{use.path} is no adapter: it has no adapter_model.safetensors.")
    try:
        config = read_small(folder / "adapter_config.json")
        tensors = read_tensors(weights)
    except ModelError as error:
        raise ModelError(f"The adapter {name} cannot be used: {error}") from error
    except OSError as error:
        raise ModelError(f"The adapter {name} cannot be read: {error.strerror}.") from error
    if config.get("peft_type") != "LORA":
        raise ModelError(f"The adapter {name} is no LoRA but {config.get('peft_type')}.")
    for field in ("rank_pattern", "alpha_pattern", "modules_to_save"):
        if not all(_NEARLY_A_NAME.fullmatch(str(layer)) for layer in config.get(field) or ()):
            raise ModelError(
                f"The adapter {name} is not used, since its {field} may take for ever to match; "
                "name the layers in full in its adapter_config.json."
            )
    _check_base(loaded, name, str(config.get("base_model_name_or_path") or ""))
    rank = _check_sizes(loaded, name, tensors)
    info = AdapterInfo(path=use.path, name=name, weight=use.weight, rank=rank)
    return _Found(use=use, folder=folder, info=info)


def _check_base(loaded: LoadedModel, name: str, base: str) -> None:
    """Refuse an adapter that names another model of the hub as its base."""
    own = _hub_id(loaded.found.name) or loaded.found.own_name
    if _is_hub_id(base) and _is_hub_id(own) and base.lower() != own.lower():
        raise ModelError(f"The adapter {name} was made for {base}, not for {own}.")


def _is_hub_id(name: str) -> bool:
    return name.count("/") == 1 and not name.startswith((".", "~", "/"))


def _hub_id(reference: str) -> str:
    try:
        return resolve(reference).hub_id
    except ModelError:
        return ""


def _check_sizes(loaded: LoadedModel, name: str, tensors: Mapping[str, Any]) -> int:
    """The rank of an adapter whose matrices fit the model's."""
    rank = 0
    for key, entry in tensors.items():
        end = _DOWN if key.endswith(_DOWN) else _UP if key.endswith(_UP) else ""
        if not end:
            continue
        inputs, outputs = _sizes(loaded.model, key.removeprefix(_PREFIX).removesuffix(end))
        shape = entry["shape"]
        fits = len(shape) == 2 and (
            (end == _DOWN and shape[1] == inputs) or (end == _UP and shape[0] == outputs)
        )
        if _IN_MIXTURE.search(key):
            raise ModelError(
                f"The adapter {name} changes experts, or how they are chosen, which cannot be "
                "done; use one for other layers."
            )
        if not fits:
            raise ModelError(
                f"The adapter {name} was made for another model: its {key.split('.lora_')[0]} "
                f"does not fit {loaded.found.name}."
            )
        rank = max(rank, shape[0] if end == _DOWN else shape[1])
    if not rank:
        raise ModelError(f"The adapter {name} holds no LoRA weights.")
    return rank


def _sizes(model: nn.Module, name: str) -> tuple[int, int]:
    """How many features a layer takes and gives; (0, 0) where there is no such layer."""
    try:
        layer: Any = model.get_submodule(name)
    except AttributeError:
        return 0, 0
    layer = getattr(layer, "base_layer", layer)
    if isinstance(layer, nn.Embedding):
        return layer.num_embeddings, layer.embedding_dim
    if hasattr(layer, "in_features"):
        return layer.in_features, layer.out_features
    weight = getattr(layer, "weight", None)  # GPT-2 has its matrices the other way round
    return tuple(weight.shape) if weight is not None and weight.dim() == 2 else (0, 0)

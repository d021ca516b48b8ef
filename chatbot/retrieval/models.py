"""From what the user typed to the folder of an embedding model or a reranker. No torch.

A reference is a name of the catalogue, a local folder, or a hub id. What is in the hub's cache is
used as it is, so that nothing waits for the network then. No code of a model is ever run, and no
pickle read.
"""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from chatbot.errors import KnowledgeError
from chatbot.settings import DEFAULT_EMBEDDING_MODEL
from chatbot.terminal_text import clean_line
from chatbot.weights import MINILM, EmbeddedWeights

if TYPE_CHECKING:
    from tokenizers import Tokenizer

CATALOGUE: Final[dict[str, EmbeddedWeights]] = {DEFAULT_EMBEDDING_MODEL: MINILM}
"""The embedding models that come as Python packages."""

HUB_TIMEOUT_SECONDS: Final = 10.0
"""How long a silent server is waited for."""

DEFAULT_MAX_TOKENS: Final = 256
"""Where a model does not say what it can take."""

_HUB_ID: Final = re.compile(r"[A-Za-z0-9][\w.-]*(?:/[A-Za-z0-9][\w.-]*)?")
_WANTED: Final = ("*.safetensors", "*.json", "*.model", "*.txt")
_UNWANTED: Final = ("onnx/*", "openvino/*")
"""The same weights for other libraries."""
_PICKLES: Final = (".bin", ".pt", ".pth", ".ckpt")
_MOST_TOKENS: Final = 1_000_000
"""Tokenizers say 10^30 for no limit."""


def find_model_folder(reference: str) -> Path:
    """The folder that ``reference`` stands for; it may be downloaded first.

    Raises:
        KnowledgeError: it cannot be found, fetched or used.
    """
    if weights := CATALOGUE.get(reference.lower()):
        file = weights.find()
        if file is None:
            raise KnowledgeError(
                f"The weights of {reference} are not installed; run: {weights.install_command}"
            )
        return file.parent
    path = Path(reference).expanduser()
    # As with language models: what lies here under the name of one of the hub is not meant.
    is_id = "/" in reference and _HUB_ID.fullmatch(reference)
    if reference.strip() and not is_id and path.is_dir():
        _check_folder(path, reference)
        return path
    if path.is_absolute() or not _HUB_ID.fullmatch(reference):
        raise KnowledgeError(
            f"There is no model {clean_line(reference, 80)!r}; give {', '.join(CATALOGUE)}, a hub "
            "id (org/name), or a folder, which begins with ./, ~ or /."
        )
    folder = _fetch(reference)
    _check_folder(folder, reference)
    return folder


def load_tokenizer(reference: str) -> "Tokenizer":
    """The tokenizer of an embedding model, without truncation and padding; imports no torch.

    Raises:
        KnowledgeError: there is no such model, or it cannot be read.
    """
    from tokenizers import Tokenizer

    folder = find_model_folder(reference)
    file = _first_module(folder) / "tokenizer.json"
    if not file.is_file():
        file = folder / "tokenizer.json"
    try:
        if file.is_file():
            tokenizer = Tokenizer.from_file(str(file))
        else:
            from transformers import AutoTokenizer

            slow = AutoTokenizer.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )
            tokenizer = slow.backend_tokenizer
    except Exception as error:  # the library raises bare Exception
        raise KnowledgeError(
            f"The tokenizer of {reference} cannot be used: {first_line(error)}."
        ) from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def read_max_tokens(reference: str) -> int:
    """How many tokens of a text the model sees, special ones included; imports no torch.

    Raises:
        KnowledgeError: there is no such model, or it cannot be read.
    """
    folder = find_model_folder(reference)
    module = _first_module(folder)
    said = _read_json(module / "sentence_bert_config.json").get("max_seq_length")
    if isinstance(said, int) and said > 0:
        return said
    limits = [
        _read_json(module / "tokenizer_config.json").get("model_max_length"),
        _read_json(module / "config.json").get("max_position_embeddings"),
    ]
    known = [limit for limit in limits if isinstance(limit, int) and 0 < limit < _MOST_TOKENS]
    return min(known, default=DEFAULT_MAX_TOKENS)


def first_line(error: Exception) -> str:
    """What an error of a library says, as a part of a sentence."""
    lines = str(error).strip().splitlines()
    return clean_line(lines[0] if lines else type(error).__name__, 160).rstrip(".")


def _first_module(folder: Path) -> Path:
    """Where the part of a sentence-transformers model that reads text is: mostly the top."""
    modules = _read_json(folder / "modules.json", default=[])
    if isinstance(modules, list) and modules and isinstance(modules[0], dict):
        # By name alone: a list must not reach out of the folder.
        return folder / Path(str(modules[0].get("path", ""))).name
    return folder


def _read_json(file: Path, default: Any = None) -> Any:
    default = {} if default is None else default
    if not file.is_file():
        return default
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise KnowledgeError(
            f"The model in {file.parent} is damaged: {file.name} cannot be read; fetch it again."
        ) from error
    return content if isinstance(content, type(default)) else default


def _check_folder(folder: Path, name: str) -> None:
    """Refuse a folder whose weights are not there, or not all of them safetensors.

    Raises:
        KnowledgeError: the text says what is missing.
    """
    parts = [folder, *(part for part in folder.iterdir() if part.is_dir())]
    found = {part: {file.suffix for file in part.iterdir() if file.is_file()} for part in parts}
    if not any(".safetensors" in suffixes for suffixes in found.values()):
        if any(suffixes & set(_PICKLES) for suffixes in found.values()):
            raise _is_pickle(name)
        raise KnowledgeError(f"{name} is not a model: there is no .safetensors file in it.")
    modules = _read_json(folder / "modules.json", default=[])
    paths = [Path(str(module.get("path", ""))).name for module in modules]
    for part in {folder / path for path in paths}:
        suffixes = found.get(part, set())
        if suffixes & set(_PICKLES) and ".safetensors" not in suffixes:
            raise _is_pickle(name)


def _is_pickle(name: str) -> KnowledgeError:
    return KnowledgeError(
        f"{name} has weights as pickle files only, which can run any code when they are read; "
        "choose a model with safetensors."
    )


def _fetch(hub_id: str) -> Path:
    from huggingface_hub import constants, errors

    try:
        return _snapshot(hub_id, local_files_only=True)
    except (FileNotFoundError, errors.LocalEntryNotFoundError) as error:
        if constants.HF_HUB_OFFLINE:
            raise KnowledgeError(
                f"{hub_id} is not on this machine, and downloading is switched off "
                f"(HF_HUB_OFFLINE); give {', '.join(CATALOGUE)} or a folder instead."
            ) from error
    try:
        return _snapshot(hub_id)
    except errors.GatedRepoError as error:
        raise KnowledgeError(
            f"{hub_id} is only given to people who accepted its terms; accept them on its page "
            "and log in with: hf auth login"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise KnowledgeError(f"There is no model {hub_id} on the hub, or it is private.") from error
    except Exception as error:  # which HTTP library raises differs from version to version
        raise KnowledgeError(
            f"{hub_id} is not on this machine and could not be downloaded "
            f"({first_line(error)}); check the network, or give a folder instead."
        ) from error


def _snapshot(hub_id: str, *, local_files_only: bool = False) -> Path:
    from huggingface_hub import snapshot_download

    # Names without an organisation are those of sentence-transformers' own models.
    full_id = hub_id if "/" in hub_id else f"sentence-transformers/{hub_id}"
    folder = Path(
        snapshot_download(
            full_id,
            allow_patterns=list(_WANTED),
            ignore_patterns=list(_UNWANTED),
            etag_timeout=HUB_TIMEOUT_SECONDS,
            local_files_only=local_files_only,
        )
    )
    if local_files_only and not any(folder.rglob("*.safetensors")):
        raise FileNotFoundError(folder)  # an earlier download broke off
    return folder

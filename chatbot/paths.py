"""Where things are: the user's folders, and the folders that travel with the program.

Only paths are made here; nothing is read.
"""

import hashlib
import os
import re
from pathlib import Path

import platformdirs


def _user_dir(variable: str, default: str) -> Path:
    return Path(os.environ.get(variable) or default).expanduser()


def working_dir() -> Path:
    """The folder that relative paths begin at: the present one, or where that was before it was
    deleted. There nothing is found then, and what asks is told so.
    """
    try:
        return Path.cwd()
    except FileNotFoundError:
        return Path(os.environ.get("PWD", "/"))


def process_dir() -> Path:
    """The folder to start a process in: from a deleted one torch does not find its libraries."""
    folder = working_dir()
    return folder if folder.is_dir() else Path("/")


def config_dir() -> Path:
    """Settings, and the user's own themes and prompts; ``CHATBOT_CONFIG_DIR`` overrides it."""
    return _user_dir("CHATBOT_CONFIG_DIR", platformdirs.user_config_dir("chatbot"))


def data_dir() -> Path:
    """Chats and indexes; ``CHATBOT_DATA_DIR`` overrides it."""
    return _user_dir("CHATBOT_DATA_DIR", platformdirs.user_data_dir("chatbot"))


def cache_dir() -> Path:
    """What can be made again, such as converted weights; ``CHATBOT_CACHE_DIR`` overrides it."""
    return _user_dir("CHATBOT_CACHE_DIR", platformdirs.user_cache_dir("chatbot"))


def log_dir() -> Path:
    """What the worker processes print."""
    return cache_dir() / "logs"


def index_dir(folder: Path) -> Path:
    """The index of a knowledge folder.

    Args:
        folder: absolute and resolved, so that one folder has one index whatever it is called by.
    """
    readable = re.sub(r"[^\w.-]+", "-", folder.name, flags=re.ASCII).strip("-.")[:40] or "folder"
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    return data_dir() / "indexes" / f"{readable}-{digest}"


def config_file() -> Path:
    """The settings file."""
    return config_dir() / "config.toml"


def shipped_dir(name: str) -> Path:
    """``themes``, ``prompts`` or ``knowledge``: inside the package, or beside it in a checkout."""
    package = Path(__file__).parent
    inside = package / name
    return inside if inside.is_dir() else package.parent / name

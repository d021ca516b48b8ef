"""The settings file: read with every problem named, written without losing comments.

``config.toml`` has the settings at its top level, the sampling settings under
``[sampling]``, the knowledge folders under ``[knowledge]``, rebound keys under ``[keys]`` and
what is allowed to single models under ``[models]``::

    model = "smollm2-135m"
    theme = "night"

    [sampling]
    temperature = 0.3

    [knowledge]
    folders = ["manual", "~/notes"]
    off = ["~/notes"]

    [keys]
    toggle_sidebar = "f2"

    [models]
    folders = ["~/models"]
    allow_code = ["org/name@1a2b…"]

Knows nothing of what a setting does.
"""

import os
import stat
import tempfile
import tomllib
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from chatbot.errors import ConfigError, SettingError
from chatbot.settings import (
    SPECS,
    KnowledgeFolder,
    Settings,
    Spec,
    find_spec,
    get_value,
    with_value,
)
from chatbot.terminal_text import clean, clean_line, is_safe

DEFAULT_MODEL_FOLDERS: Final = ("~/models",)

LOCK_SECONDS: Final = 3.0
"""How long a change waits for another program's; the screen stands still meanwhile."""


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """What stands in the settings file."""

    settings: Settings = msgspec.field(default_factory=Settings)
    keys: dict[str, str] = msgspec.field(default_factory=dict)
    """Rebound keys: the name of an action, and its keys separated by commas."""
    allow_code: tuple[str, ...] = ()
    """Models that may run program code of their own: hub ids with a commit (``org/name@1a2b…``) and
    absolute paths."""
    model_folders: tuple[str, ...] = DEFAULT_MODEL_FOLDERS
    """Where the user keeps models; ``~`` stands in it as it was written."""
    problems: tuple[str, ...] = ()
    """One sentence for each entry that was not used, for the user to read."""


def load_config(file: Path) -> Config:
    """Read ``file``; what is missing keeps its default, what is wrong is named.

    A file that cannot be parsed yields the defaults and one problem: the program must
    start. It is then never written over (see ``save_settings``).
    """
    try:
        document = tomllib.loads(read_document(file))
    except FileNotFoundError:
        return Config()
    except (OSError, ValueError, RecursionError) as error:
        reason = clean_line(str(error))
        return Config(problems=(f"{file} cannot be read ({reason}); mend or delete it.",))
    settings, problems = Settings(), list[str]()
    sampling = document.pop("sampling", {})
    keys = document.pop("keys", {})
    models = document.pop("models", {})
    allow_code = _load_allow_code(models, file, problems)
    model_folders = _load_model_folders(models, file, problems)
    folders = _load_folders(document.pop("knowledge", {}), file, problems)
    settings = msgspec.structs.replace(settings, folders=folders)
    for name in ("tools", "mcpServers"):  # read by chatbot.tools.settings
        document.pop(name, None)
    theme = document.pop("theme", settings.theme)
    if isinstance(theme, str):
        settings = msgspec.structs.replace(settings, theme=clean_line(theme))
    else:
        problems.append(f"theme in {file} must be a theme's name.")
    for table, place in ((document, ""), (sampling, "[sampling] ")):
        if not isinstance(table, dict):
            problems.append(f"sampling in {file} must be a table: write [sampling].")
            continue
        for name, value in table.items():
            try:
                spec = find_spec(name)
                if spec.is_sampling is not bool(place):
                    where = "under [sampling]" if spec.is_sampling else "at the top"
                    raise SettingError(f"it belongs {where}.")
                text = clean(value) if isinstance(value, str) else _as_text(value, spec)
                settings = with_value(settings, name, text)
            except SettingError as error:
                problems.append(f"{place}{clean_line(name)} in {file} is not used: {error}")
    return Config(
        settings=settings,
        keys=_load_keys(keys, file, problems),
        allow_code=allow_code,
        model_folders=model_folders,
        problems=tuple(problems),
    )


def read_document(file: Path) -> str:
    """The text of the settings file, without the mark that some editors put before it.

    Raises:
        OSError: there is none, it cannot be read, or is a folder, a pipe or a device.
        ValueError: it is not UTF-8.
    """
    # Asked first: a pipe would be waited for without end, and a device read without end.
    if file.exists() and not file.is_file():
        raise OSError("it is not a regular file")
    return file.read_text("utf-8-sig")


def _as_text(value: Any, spec: Spec) -> str:
    if isinstance(value, bool) and {"on", "off"} <= {*spec.choices}:  # as one would write it
        return "on" if value else "off"
    if spec.kind in ("text", "choice"):
        raise SettingError(f'it must be text: write it in quotes, {spec.name} = "…".')
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise SettingError("it must be a number or text.")
    return str(value)


def _load_folders(table: Any, file: Path, problems: list[str]) -> tuple[KnowledgeFolder, ...]:
    default = Settings().folders
    if not isinstance(table, dict):
        problems.append(f"knowledge in {file} must be a table: write [knowledge].")
        return default
    problems += [
        f"[knowledge] {clean_line(name)} in {file} is not used: there are folders and off."
        for name in table
        if name not in ("folders", "off")
    ]
    paths = _load_paths(table, "folders", file, problems)
    off = _load_paths(table, "off", file, problems) or []
    paths = [folder.path for folder in default] if paths is None else paths
    problems += [
        f"[knowledge] off in {file} names {clean_line(path)}, which is not among its folders."
        for path in off
        if path not in paths
    ]
    return tuple(KnowledgeFolder(path, is_on=path not in off) for path in paths)


def _load_paths(
    table: dict[str, Any], name: str, file: Path, problems: list[str], place: str = "knowledge"
) -> list[str] | None:
    """The folders that a list names, each once; None where there is no such list."""
    if name not in table:
        return None
    entries = table[name]
    if not isinstance(entries, list):
        problems.append(f'[{place}] {name} in {file} must be a list: {name} = ["~/notes"].')
        return None
    paths = []
    for entry in entries:
        path = entry.strip() if isinstance(entry, str) else ""
        if not path or not is_safe(path) or "\n" in path:
            shown = clean_line(str(entry))
            problems.append(f"[{place}] {name} in {file}: {shown!r} is not a folder's path.")
        elif path in paths:
            problems.append(f"[{place}] {name} in {file} has {path} twice.")
        else:
            paths.append(path)
    return paths


def _load_keys(table: Any, file: Path, problems: list[str]) -> dict[str, str]:
    if not isinstance(table, dict):
        problems.append(f"keys in {file} must be a table: write [keys].")
        return {}
    keys = {}
    for action, value in table.items():
        if isinstance(value, str) and value.strip():
            keys[clean_line(action)] = clean_line(value)
        else:
            problems.append(f"[keys] {clean_line(action)} in {file} must be a key, such as 'f2'.")
    return keys


def _load_allow_code(table: Any, file: Path, problems: list[str]) -> tuple[str, ...]:
    models = table.get("allow_code", []) if isinstance(table, dict) else None
    if not isinstance(models, list) or not all(isinstance(model, str) for model in models):
        form = 'allow_code = ["org/name@1a2b…"]'
        problems.append(f"[models] allow_code in {file} must be a list: {form}.")
        return ()
    problems += [
        f"{clean_line(model)} in allow_code in {file} is not used, since it names no commit; run: "
        f"chatbot models allow-code {clean_line(model)}"
        for model in models
        if "@" not in model and not model.startswith("/")
    ]
    return tuple(model.strip() for model in models)


def _load_model_folders(table: Any, file: Path, problems: list[str]) -> tuple[str, ...]:
    if not isinstance(table, dict):
        return DEFAULT_MODEL_FOLDERS  # which is complained of already
    problems += [
        f"[models] {clean_line(name)} in {file} is not used: there are folders and allow_code."
        for name in table
        if name not in ("folders", "allow_code")
    ]
    paths = _load_paths(table, "folders", file, problems, "models")
    return DEFAULT_MODEL_FOLDERS if paths is None else tuple(paths)


def save_allow_code(model: str, *, is_allowed: bool, file: Path) -> None:
    """Let a model run program code of its own, or no longer; all else in ``file`` stays.

    Raises:
        ConfigError: the present file cannot be parsed, or the new one cannot be written.
    """
    import tomlkit

    def change(document: Any) -> None:
        table: Any = document.get("models")
        if table is None:
            table = document["models"] = tomlkit.table()
        known = [str(name) for name in table.get("allow_code", [])]
        kept = (name for name in known if _without_commit(name) != _without_commit(model))
        wanted = [*kept, *([model] if is_allowed else [])]
        _put_list(table, "allow_code", wanted, [])
        if not document["models"]:
            del document["models"]

    edit_document(file, change)


def _without_commit(model: str) -> str:
    return model if model.startswith("/") else model.partition("@")[0]


def save_settings(settings: Settings, names: Collection[str], file: Path) -> None:
    """Write the settings called ``names`` into ``file``; all else there stays, comments too.

    Besides those of ``SPECS`` there are ``theme`` and ``folders``.

    Only the named ones are written, because others may differ from the file for this run
    alone (a flag on the command line). The file is replaced through a temporary one, so that
    a crash or a full disk leaves the old one whole.

    Raises:
        ConfigError: the present file cannot be parsed, or the new one cannot be written.
    """
    import tomlkit

    def change(document: Any) -> None:
        defaults = Settings()
        for spec in SPECS:
            if spec.name not in names:
                continue
            table: Any = document
            if spec.is_sampling:
                if "sampling" not in document:
                    document["sampling"] = tomlkit.table()
                table = document["sampling"]
            _put(table, spec.name, get_value(settings, spec.name), get_value(defaults, spec.name))
        if "theme" in names:
            _put(document, "theme", settings.theme, defaults.theme)
        if "folders" in names:
            _put_folders(document, settings.folders, defaults.folders)
        for name in ("sampling", "knowledge"):
            if not document.get(name, True) and "#" not in document[name].as_string():
                del document[name]

    edit_document(file, change)


def edit_document(file: Path, change: Callable[[Any], None]) -> None:
    """Let ``change`` alter the parsed settings file, and write it back where it did.

    Other running programs wait meanwhile: of two changes at one moment both are kept.

    Args:
        file: the settings file; it and its folder are made when they are missing.
        change: alters the document; called once more on what another program wrote just before.

    Raises:
        ConfigError: the present file cannot be parsed, the new one cannot be written, or another
            program has kept the file locked for LOCK_SECONDS.
    """
    from filelock import FileLock, Timeout  # only here: start-up has no use for it
    from tomlkit.exceptions import TOMLKitError

    try:
        if _changed(file, change) is None:
            return  # also where nothing can be written, which a lock would have to be
        file.parent.mkdir(parents=True, exist_ok=True)
        # Beside the file itself: programs may know it by different links.
        target = file.resolve()
        lock = FileLock(target.with_name(f".{target.name}.lock"), timeout=LOCK_SECONDS)
        with lock:
            written = _changed(file, change)
            if written is not None:
                _replace(target, written)
    except Timeout as error:
        raise ConfigError(
            f"The settings could not be saved to {file}: another chatbot is changing them; "
            "try again."
        ) from error
    except (OSError, ValueError, TypeError, AttributeError, RecursionError, TOMLKitError) as error:
        reason = clean_line((isinstance(error, OSError) and error.strerror) or str(error))
        raise ConfigError(f"The settings could not be saved to {file}: {reason}.") from error


def _changed(file: Path, change: Callable[[Any], None]) -> str | None:
    """The text of ``file`` after ``change``; None where that is the present one.

    Raises:
        OSError: it cannot be read.
        ValueError: it cannot be parsed.
    """
    import tomlkit

    try:
        text = read_document(file)
    except FileNotFoundError:
        text = ""
    tomllib.loads(text)  # the stricter of the two: what was not read is not written over
    document = tomlkit.parse(text)
    change(document)
    written = tomlkit.dumps(document)
    return None if written == text else written


def _put_folders(
    document: Any, folders: Sequence[KnowledgeFolder], defaults: Sequence[KnowledgeFolder]
) -> None:
    import tomlkit

    if "knowledge" not in document:
        document["knowledge"] = tomlkit.table()
    table = document["knowledge"]
    _put_list(table, "folders", [f.path for f in folders], [f.path for f in defaults])
    _put_list(table, "off", [f.path for f in folders if not f.is_on], [])


def _put_list(table: Any, name: str, values: list[str], default: list[str]) -> None:
    """Set a list entry by entry, so that comments between the others stay."""
    present = table.get(name)
    if not isinstance(present, list):
        if values != default:
            table[name] = values
        return
    if values == default:
        del table[name]
        return
    for index in range(len(present) - 1, -1, -1):
        if present[index] not in values or present[index] in present[:index]:
            del present[index]
    for value in values:
        if value not in present:
            present.append(value)
    if list(present) != values:  # another order
        table[name] = values


def _put(table: Any, name: str, value: Any, default: Any) -> None:
    """Set, leave or take out one entry; None (a random seed) is written as 'random'."""
    value = "random" if value is None else value
    default = "random" if default is None else default
    present = table.get(name, default)
    if present != value:
        if value == default:
            del table[name]
        else:
            table[name] = value


def _replace(target: Path, text: str) -> None:
    """Write a file anew, with the line ends that it has.

    Args:
        target: where it is itself, so that dotfiles kept in a repository stay linked.
        text: all that will be in it.
    """
    ends = "\r\n" if target.exists() and b"\r\n" in target.read_bytes() else "\n"
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline=ends) as out:
            if target.exists():
                os.fchmod(handle, stat.S_IMODE(target.stat().st_mode))
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
        os.replace(temporary, target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise

"""The user's own file of tools: run, and its functions found. Only in a tool process.

Every public function that the file itself defines is a tool; a helper's name begins with an
underscore. The file's bytes are read once, and what is hashed is what is run.
"""

import hashlib
import inspect
import sys
import traceback
import types
from collections.abc import Callable
from pathlib import Path
from typing import Final

from chatbot.errors import ToolError
from chatbot.terminal_text import clean_line
from chatbot.tools.definitions import define
from chatbot.tools.values import ToolDefinition
from chatbot.wording import memory

MAX_FILE_BYTES: Final = 2**20
MODULE: Final = "chatbot_user_tools"


def load_functions(
    file: Path, source_hash: str = ""
) -> tuple[dict[str, Callable[..., object]], str]:
    """Run the file.

    Args:
        file: Python source.
        source_hash: SHA-256 that it must have; empty for any.

    Returns:
        Its public functions by their names in the file, and its SHA-256.

    Raises:
        ToolError: it cannot be read or run, or is another than was asked for.
    """
    try:
        source = file.read_bytes()
    except OSError as error:
        raise ToolError(f"{file.name} cannot be read ({clean_line(str(error))}).") from error
    if len(source) > MAX_FILE_BYTES:
        raise ToolError(f"{file.name} is larger than {memory(MAX_FILE_BYTES)}; make it smaller.")
    found_hash = hashlib.sha256(source).hexdigest()
    if source_hash and found_hash != source_hash:
        raise ToolError(f"{file.name} was changed since it was allowed; call the tool again.")
    module = types.ModuleType(MODULE)
    module.__file__ = str(file)
    # Dataclasses and pickles look their module up by its name.
    sys.modules[MODULE] = module
    # Its own folder first, as for any script that is run.
    sys.path.insert(0, str(file.parent))
    try:
        exec(compile(source, str(file), "exec"), module.__dict__)
    except SyntaxError as error:
        where = f" in line {error.lineno}" if error.lineno else ""
        raise ToolError(
            f"{file.name} is no valid Python{where}: {clean_line(error.msg)}."
        ) from error
    except (Exception, SystemExit) as error:
        raise ToolError(
            f"{file.name} cannot be run{_line_in(file, error)}: {describe(error)}."
        ) from error
    functions: dict[str, Callable[..., object]] = {
        name: value
        for name, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == MODULE and not name.startswith("_")
    }
    return functions, found_hash


def list_tools(file: Path) -> tuple[tuple[ToolDefinition, ...], tuple[str, ...]]:
    """The tools of the file, and a sentence for each function that is none.

    Raises:
        ToolError: the file cannot be read or run.
    """
    functions, source_hash = load_functions(file)
    tools: dict[str, ToolDefinition] = {}
    problems = []
    for name, function in functions.items():
        try:
            definition = define(function, origin="user", source_hash=source_hash)
            if definition.name in tools:
                raise ToolError(f"another one is called {definition.name}; rename one of them.")
            tools[definition.name] = definition
        except ToolError as error:
            problems.append(f"{clean_line(name, 64)} in {file.name} is no tool yet: {error}")
    return tuple(tools.values()), tuple(problems)


def find_function(file: Path, name: str, source_hash: str) -> Callable[..., object]:
    """The function that the tool ``name`` is.

    Raises:
        ToolError: it is not there, or the file is another than the hash says.
    """
    from chatbot.tools.decorator import traits_of

    for function_name, function in load_functions(file, source_hash)[0].items():
        if (traits_of(function).name or function_name) == name:
            return function
    raise ToolError(f"There is no tool called {clean_line(name, 64)} in {file.name}.")


def describe(error: BaseException) -> str:
    """An exception in one line: its type, and what it says."""
    kind, text = type(error).__name__, clean_line(str(error)).rstrip(".")
    return f"{kind}: {text}" if text else kind


def _line_in(file: Path, error: BaseException) -> str:
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename == str(file)
    ]
    return f" (line {lines[-1]})" if lines else ""

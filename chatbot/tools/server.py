"""Serves one request in a tool process: lists the user's file, or calls one tool.

Whatever a tool does wrong becomes one sentence for the model. Knows nothing of approval: what
arrives here is allowed.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from chatbot.errors import ToolError
from chatbot.terminal_text import clean
from chatbot.tools.protocol import ListTools, RunTool, ToolEvent, ToolRan, ToolRequest, ToolsListed
from chatbot.worker.protocol import Failed

_CUT: Final = "\n[The result was longer and is cut off here.]"


def serve(request: ToolRequest) -> ToolEvent:
    """Carry out a request; never raises."""
    try:
        match request:
            case ListTools():
                from chatbot.tools.user_file import list_tools

                tools, problems = list_tools(Path(request.user_file))
                return ToolsListed(request_id=request.id, tools=tools, problems=problems)
            case RunTool():
                function = _function(request)
                text = as_text(function(**_arguments(function, request.arguments)))
                return ToolRan(request_id=request.id, text=cut(text, request.max_bytes))
    except ToolError as error:
        return Failed(request_id=request.id, message=clean(str(error)), kind="ToolError")
    except MemoryError:
        message = "The tool ran out of memory; ask it for less."
        return Failed(request_id=request.id, message=message, kind="MemoryError")
    except BaseException as error:
        from chatbot.tools.user_file import describe

        message = f"The tool failed ({describe(error)})."
        return Failed(request_id=request.id, message=message, kind=type(error).__name__)


def _function(request: RunTool) -> Callable[..., object]:
    if request.user_file:
        from chatbot.tools.user_file import find_function

        return find_function(Path(request.user_file), request.name, request.source_hash)
    # One of them is called, so that the other ones' modules are of no concern; all are light.
    from chatbot.tools.built_in.registry import FUNCTIONS

    if request.name not in FUNCTIONS:
        raise ToolError(f"There is no built-in tool called {request.name[:64]}.")
    return FUNCTIONS[request.name]


def _arguments(function: Callable[..., object], arguments: str) -> dict[str, Any]:
    """The arguments as the function's hints want them: an enumeration's member, a dataclass.

    Raises:
        ToolError: one does not fit.
    """
    import msgspec

    from chatbot.tools.definitions import hints_of

    hints = hints_of(function)
    values = json.loads(arguments)
    try:
        return {
            name: msgspec.convert(value, hints[name], strict=False) if name in hints else value
            for name, value in values.items()
        }
    except msgspec.ValidationError as error:
        raise ToolError(f"The arguments do not fit: {clean(str(error))}.") from error


def as_text(result: object) -> str:
    """A tool's result as the model reads it: texts as they are, other values as JSON."""
    if isinstance(result, str):
        return result
    if result is None:
        return "Done."
    try:
        return json.dumps(result, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        return str(result)


def cut(text: str, max_bytes: int) -> str:
    """``text``, cleaned, within ``max_bytes`` of UTF-8, with a note where it was longer."""
    # Cleaning costs time in proportion, and what is cut off needs none.
    cleaned = clean(text[:max_bytes])
    encoded = cleaned.encode("utf-8", "replace")
    if len(text) <= max_bytes and len(encoded) <= max_bytes:
        return cleaned
    kept = encoded[: max_bytes - len(_CUT)].decode("utf-8", "ignore")
    return kept + _CUT

"""Serves one request in a tool process: lists the user's file, calls one tool, or checks
the arguments of a call.

Whatever a tool does wrong becomes one sentence for the model. Knows nothing of approval: what
arrives here is allowed.
"""

import inspect
import json
from collections.abc import Callable, Iterator
from typing import Any

from chatbot.errors import ToolError
from chatbot.terminal_text import clean
from chatbot.tools.protocol import (
    ArgumentsChecked,
    CheckArguments,
    ListTools,
    RunTool,
    ToolEvent,
    ToolRan,
    ToolRequest,
    ToolsListed,
)
from chatbot.tools.results import as_text, cut
from chatbot.worker.protocol import Failed


def serve(request: ToolRequest) -> ToolEvent:
    """Carry out a request; never raises."""
    try:
        match request:
            case ListTools():
                from pathlib import Path

                from chatbot.tools.user_file import list_tools

                tools, problems = list_tools(Path(request.user_file))
                return ToolsListed(request_id=request.id, tools=tools, problems=problems)
            case CheckArguments():
                from chatbot.tools.validation import checked_arguments

                checked = checked_arguments(request.definition, json.loads(request.arguments))
                return ArgumentsChecked(request_id=request.id, arguments=json.dumps(checked))
            case RunTool():
                text = as_text(_run(request))
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


def _run(request: RunTool) -> object:
    arguments = json.loads(request.arguments)
    if request.user_file:
        from pathlib import Path

        from chatbot.tools.user_file import find_function

        function = find_function(Path(request.user_file), request.name, request.source_hash)
        return _finished(function(**_converted(function, arguments)))
    from chatbot.tools.built_in.registry import FUNCTIONS

    if request.name not in FUNCTIONS:
        raise ToolError(f"There is no built-in tool called {request.name[:64]}.")
    # Their parameters are all of types that JSON has, and were checked against the schema.
    return FUNCTIONS[request.name](**arguments)


def _finished(result: object) -> object:
    """What comes of a call: of an ``async`` function when it is through, of ``yield`` a list."""
    if inspect.iscoroutine(result):
        import asyncio

        return asyncio.run(result)
    return list(result) if isinstance(result, Iterator) else result


def _converted(function: Callable[..., object], arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments as the function's hints want them: an enumeration's member, a dataclass.

    Raises:
        ToolError: one does not fit.
    """
    import msgspec

    from chatbot.tools.definitions import hints_of

    hints = hints_of(function)
    try:
        return {
            name: msgspec.convert(value, hints[name]) if name in hints else value
            for name, value in arguments.items()
        }
    except msgspec.ValidationError as error:
        raise ToolError(f"The arguments do not fit: {clean(str(error))}.") from error

"""What a tool process can be asked, and what it answers. One process serves one request."""

from typing import ClassVar

from chatbot.tools.values import ToolDefinition
from chatbot.worker.protocol import Event, Failed, Request


class RunTool(Request, frozen=True, kw_only=True):
    """Call a tool. Answered by ToolRan, or by Failed with a sentence for the model."""

    name: str
    arguments: str
    """A JSON object; as text, so that numbers of any size arrive as they were."""
    user_file: str = ""
    """The user's file that it is in; empty for a built-in tool."""
    source_hash: str = ""
    """SHA-256 of the file that the user approved; another content is not run."""
    max_bytes: int
    """Longest result."""


class CheckArguments(Request, frozen=True, kw_only=True):
    """Check arguments that could keep a check busy for ever. Answered by ArgumentsChecked, or by
    Failed with a sentence for the model.
    """

    definition: ToolDefinition
    arguments: str
    """A JSON object."""


class ListTools(Request, frozen=True, kw_only=True):
    """The tools in the user's file, which is run for that. Answered by ToolsListed."""

    user_file: str


class ToolRan(Event, frozen=True, kw_only=True):
    """What the tool returned, as text, cleaned and cut to the limit."""

    is_last: ClassVar[bool] = True

    text: str


class ArgumentsChecked(Event, frozen=True, kw_only=True):
    """The arguments fit."""

    is_last: ClassVar[bool] = True

    arguments: str
    """As the tool is run with them: a JSON object."""


class ToolsListed(Event, frozen=True, kw_only=True):
    """What the user's file holds."""

    is_last: ClassVar[bool] = True

    tools: tuple[ToolDefinition, ...] = ()
    problems: tuple[str, ...] = ()
    """One sentence for each function, or for the file, that cannot be used."""


ToolRequest = RunTool | CheckArguments | ListTools
ToolEvent = ToolRan | ArgumentsChecked | ToolsListed | Failed

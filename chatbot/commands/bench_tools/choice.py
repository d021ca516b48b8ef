"""Our own hundred questions: is the right tool called, or none where none is needed?"""

import json
import tomllib
from importlib import resources
from typing import Any, Final

import msgspec

from chatbot.engine.protocol.messages import ToolSchema

NONE: Final = "none"


class Question(msgspec.Struct, frozen=True):
    """A question, and the tool that it needs; ``none`` for no tool."""

    text: str
    tool: str


_MAX_LENGTH: Final = 200
"""Characters of a string: bounded as in the tools that come along, whose copies these are."""


def _tool(name: str, description: str, optional: tuple[str, ...] = (), **kinds: str) -> ToolSchema:
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {
            key: {"type": kind, **({"maxLength": _MAX_LENGTH} if kind == "string" else {})}
            for key, kind in kinds.items()
        },
        "required": [key for key in kinds if key not in optional],
        "additionalProperties": False,
    }
    return ToolSchema(name=name, description=description, parameters=json.dumps(schema))


TOOLS: Final = (
    _tool("calculate", "Work out an arithmetic expression.", expression="string"),
    _tool(
        "get_weather",
        "The weather now and soon.",
        ("days",),
        place="string",
        days="integer",
    ),
    _tool(
        "convert_units",
        "Convert a quantity to another unit.",
        value="number",
        from_unit="string",
        to_unit="string",
    ),
    _tool("current_time", "The date and the time now.", ("timezone",), timezone="string"),
)


def questions() -> tuple[Question, ...]:
    """All of them, the tools taking turns, so that the first ones are a fair share."""
    text = resources.files(__package__).joinpath("prompts.toml").read_text("utf-8")
    by_tool: dict[str, list[str]] = tomllib.loads(text)
    rows = zip(
        *([Question(q, name) for q in texts] for name, texts in by_tool.items()), strict=True
    )
    return tuple(question for row in rows for question in row)

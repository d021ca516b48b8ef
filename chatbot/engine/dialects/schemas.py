"""The JSON side of grammars: a tool's parameters as Lark rules.

Knows llguidance's syntax as text; does not import it.
"""

import json
from collections.abc import Sequence
from typing import Any, Final

from chatbot.engine.protocol.messages import ToolSchema
from chatbot.errors import ModelError

SPACING: Final = {"whitespace_flexible": False, "item_separator": ", ?", "key_separator": ": ?"}
"""Free white space would let a small model write nothing else until it is cut off."""

_COMPOSED: Final = frozenset({"$ref", "allOf", "anyOf", "oneOf", "patternProperties"})
"""With one of these, what a schema allows is not said by ``properties`` alone."""


def quoted(text: str) -> str:
    """``text`` as a Lark string."""
    return json.dumps(text, ensure_ascii=False)


def parameters_of(tool: ToolSchema) -> dict[str, Any]:
    """The schema of a tool's arguments; other arguments than it names are forbidden.

    Raises:
        ModelError: it is not the schema of an object.
    """
    try:
        schema = json.loads(tool.parameters)
    except ValueError as error:
        raise ModelError(
            f"The parameters of the tool {tool.name} are not valid JSON; correct them or switch "
            "the tool off."
        ) from error
    if not isinstance(schema, dict) or schema.get("type", "object") != "object":
        raise ModelError(
            f"The parameters of the tool {tool.name} are not those of an object; correct them or "
            "switch the tool off."
        )
    if _COMPOSED.isdisjoint(schema):
        schema = {"additionalProperties": False, **schema}
        schema.setdefault("properties", {})
    return {**schema, "type": "object"}


def argument_rules(tools: Sequence[ToolSchema]) -> str:
    """Lark rules ``args_0``, ``args_1``, …: the arguments of each tool as JSON.

    A document for each, so that references inside a schema keep their meaning.
    """
    return "".join(f"args_{i}: {json_rule(parameters_of(tool))}\n" for i, tool in enumerate(tools))


def json_rule(schema: dict[str, Any]) -> str:
    """What a Lark rule says to be held to a JSON schema."""
    return "%json " + json.dumps({**schema, "x-guidance": SPACING})


def alternatives(rule: str, number: int) -> str:
    """``rule_0 | rule_1 | …``."""
    return " | ".join(f"{rule}_{i}" for i in range(number))

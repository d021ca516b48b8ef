"""Worked examples for the compact protocol.

A tool brings its own where it can. For some names that many tools have, one is known here; for
all others the description has to stand in for the question.
"""

import json
from typing import Any, Final

from chatbot.engine.dialects.json_calls import encode
from chatbot.engine.dialects.schemas import parameters_of
from chatbot.engine.protocol.messages import ToolExample, ToolSchema

_KNOWN: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "calculate": ("What is 6 * 7?", {"expression": "6 * 7"}),
    "get_weather": ("Is it windy in Madrid?", {"place": "Madrid", "days": 1}),
    "convert_units": (
        "How many feet are 3 metres?",
        {"value": 3, "from_unit": "metre", "to_unit": "foot"},
    ),
    "current_time": ("What time is it in Berlin?", {"timezone": "Europe/Berlin"}),
    "search_web": ("Find news about electric cars.", {"query": "electric cars news"}),
    "search_knowledge": ("What do my notes say about taxes?", {"query": "taxes"}),
}


def example_of(tool: ToolSchema) -> ToolExample:
    """A question, and the arguments of the call that answers it.

    Raises:
        ModelError: the tool's parameters are no schema.
    """
    if tool.example:
        return tool.example
    schema = parameters_of(tool)
    properties = schema.get("properties", {})
    required = schema.get("required", [])
    question, arguments = _KNOWN.get(tool.name, ("", {}))
    if question and set(required) <= set(arguments) <= set(properties):
        return ToolExample(question=question, arguments=encode(arguments))
    wanted = [name for name in properties if name in required] or list(properties)[:1]
    arguments = {name: _sample(properties[name], name) for name in wanted}
    values = ", ".join(f"{name} {_word(value)}" for name, value in arguments.items())
    request = " ".join(tool.description.split()).rstrip(".") or tool.name
    return ToolExample(
        question=f"{request}{': ' if values else ''}{values}.", arguments=encode(arguments)
    )


def _word(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _sample(schema: Any, name: str) -> Any:
    """A value that a parameter could have."""
    if not isinstance(schema, dict):
        return name
    for key in ("example", "default", "const"):
        if key in schema:
            return schema[key]
    for key in ("examples", "enum"):
        if schema.get(key):
            return schema[key][0]
    kind = schema.get("type")
    kind = kind[0] if isinstance(kind, list) and kind else kind
    samples = {"integer": 7, "number": 2.5, "boolean": True, "array": [], "object": {}}
    return samples.get(str(kind), name.replace("_", " "))

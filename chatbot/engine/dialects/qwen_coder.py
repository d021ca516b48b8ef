"""Qwen3-Coder: ``<function=NAME>`` with a ``<parameter=NAME>`` element for each argument.

Strings stand there as they are, everything else as JSON.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from chatbot.engine.dialects.dialect import Dialect, Literal, Reading
from chatbot.engine.dialects.json_calls import decode, encode
from chatbot.engine.dialects.schemas import alternatives, json_rule, parameters_of, quoted
from chatbot.engine.protocol.messages import ToolSchema

_NAME: Final = re.compile(r"\s*<function=([^>\n]+)>")
_CLOSE: Final = "\n</parameter>"
_PARAMETER: Final = re.compile(r"\s*<parameter=([^>\n]+)>\n?(.*?)\n?</parameter>", re.DOTALL)


@dataclass(frozen=True, slots=True)
class ElementCall:
    """A call in elements."""

    trigger: str = "<tool_call>"
    end: str = "</tool_call>"
    keeps_trigger: bool = False
    only_at_start: bool = False

    def grammar(self, tools: Sequence[ToolSchema], literal: Literal) -> str:
        """See ``CallForm``."""
        rules = []
        for i, tool in enumerate(tools):
            schema = parameters_of(tool)
            parts = []
            for j, (name, value) in enumerate(schema.get("properties", {}).items()):
                part = f"{quoted(f'<parameter={name}>' + chr(10))} value_{i}_{j} {quoted(_CLOSE)}"
                part = f'{part} "\\n"'
                parts.append(part if name in schema.get("required", ()) else f"({part})?")
                rules.append(f"value_{i}_{j}: {_value(value, schema)}\n")
            head = quoted(f"<function={tool.name}>\n")
            rules.append(f'call_{i}: {head} {" ".join(parts)} "</function>"\n')
        calls = alternatives("call", len(tools))
        end = literal(self.end)
        return f"start: gap ({calls}) gap {end}\ngap: /[ \\n]{{0,2}}/\n{''.join(rules)}"

    def read(self, body: str, tools: Sequence[ToolSchema]) -> Reading:
        """See ``CallForm``."""
        head = _NAME.match(body)
        names = (head[1],) if head else ()
        position = head.end() if head else 0
        properties = _properties(names, tools)
        arguments: dict[str, Any] = {}
        while part := _PARAMETER.match(body, position):
            arguments[part[1]] = _read_value(part[2], properties.get(part[1]))
            position = part.end()
        rest = body[position:]
        if close := re.match(rf"\s*</function>\s*{self.end}", rest):
            if head:
                end = position + close.end()
                return Reading(names=names, arguments=(encode(arguments),), end=end)
        elif (at := rest.find(self.end)) < 0 or _is_open(rest):
            return Reading(names=names)
        else:
            position += at
        end = body.find(self.end, position) + len(self.end)
        return Reading(names=names, end=end, error="The call is not in the form of this model.")


def _is_open(rest: str) -> bool:
    """Whether a parameter has begun, in which the marker of the end is only text."""
    return bool(re.match(r"\s*<parameter=[^>\n]+>", rest))


def _is_string(schema: Any) -> bool:
    return isinstance(schema, dict) and schema.get("type") == "string"


def _value(schema: Any, whole: dict[str, Any]) -> str:
    """The Lark expression of one argument."""
    if _is_string(schema) and "enum" in schema:
        return " | ".join(quoted(str(value)) for value in schema["enum"])
    if _is_string(schema):
        return r"/([^<]|<[^\/])*/"
    # References point to definitions beside the properties.
    definitions: dict[str, Any] = {
        key: whole[key] for key in ("$defs", "definitions") if key in whole
    }
    return json_rule({**definitions, **(schema if isinstance(schema, dict) else {})})


def _properties(names: tuple[str, ...], tools: Sequence[ToolSchema]) -> dict[str, Any]:
    for tool in tools:
        if tool.name in names:
            found: dict[str, Any] = parameters_of(tool).get("properties", {})
            return found
    return {}


def _read_value(text: str, schema: Any) -> Any:
    if _is_string(schema):
        return text
    try:
        value, end = decode(text, 0)
    except ValueError:
        return text
    return value if not text[end:].strip() else text


QWEN_CODER: Final = Dialect(name="qwen-coder", forms=(ElementCall(),))

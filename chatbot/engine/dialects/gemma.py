"""Gemma made for functions: ``call:NAME{key:value,…}`` with strings between marks.

Gemma 4 has the same form with other marks.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from chatbot.engine.dialects.dialect import Dialect, Literal, Reading
from chatbot.engine.dialects.json_calls import encode
from chatbot.engine.dialects.schemas import alternatives, parameters_of, quoted
from chatbot.engine.protocol.messages import ToolSchema
from chatbot.errors import ModelError

_NAME: Final = re.compile(r"\s*call:([\w.-]+)(?=\{)")
_BARE: Final = re.compile(r"[^,{}\[\]]*")
_MAX_DEPTH: Final = 32


class _Unfinished(Exception):  # noqa: N818  (not an error: more text is to come)
    pass


@dataclass(frozen=True, slots=True)
class GemmaCall:
    """A call with marks of its own."""

    trigger: str
    end: str
    quote: str
    keeps_trigger: bool = False
    only_at_start: bool = False

    def grammar(self, tools: Sequence[ToolSchema], literal: Literal) -> str:
        """See ``CallForm``."""
        rules = []
        for i, tool in enumerate(tools):
            value = _Rules(tool.name, literal(self.quote)).of(parameters_of(tool))
            rules.append(f"call_{i}: {quoted('call:' + tool.name)} {value}\n")
        start = f"({alternatives('call', len(tools))}) {literal(self.end)}"
        return f"start: {start}\nTEXT: /[^<]*/\n{''.join(rules)}"

    def read(self, body: str, tools: Sequence[ToolSchema]) -> Reading:
        """See ``CallForm``."""
        head = _NAME.match(body)
        names = (head[1],) if head else ()
        close = body.find(self.end)
        if head:
            try:
                value, position = self._value(body, head.end(), 0)
            except _Unfinished:
                return Reading(names=names)
            rest = body[position:].lstrip()
            if self.end.startswith(rest) and rest != self.end:
                return Reading(names=names)
            if rest.startswith(self.end) and isinstance(value, dict):
                end = len(body) - len(rest) + len(self.end)
                return Reading(names=names, arguments=(encode(value),), end=end)
        if close < 0:
            return Reading(names=names)
        end = close + len(self.end)
        return Reading(names=names, end=end, error="The call is not in the form of this model.")

    def _value(self, text: str, at: int, depth: int) -> tuple[Any, int]:
        """The value at ``at``, and where it ends."""
        if depth > _MAX_DEPTH or at >= len(text):
            raise _Unfinished
        if text.startswith(self.quote, at):
            start = at + len(self.quote)
            if (stop := text.find(self.quote, start)) < 0:
                raise _Unfinished
            return text[start:stop], stop + len(self.quote)
        if text[at] == "{":
            return self._object(text, at + 1, depth)
        if text[at] == "[":
            return self._list(text, at + 1, depth)
        bare = _BARE.match(text, at)
        end = bare.end() if bare else at
        if end >= len(text) or end == at:
            raise _Unfinished
        return _scalar(text[at:end].strip()), end

    def _object(self, text: str, at: int, depth: int) -> tuple[dict[str, Any], int]:
        found: dict[str, Any] = {}
        while True:
            if at >= len(text):
                raise _Unfinished
            if text[at] == "}":
                return found, at + 1
            colon = text.find(":", at)
            if colon < 0:
                raise _Unfinished
            key = text[at:colon].strip(" ,").replace(self.quote, "")
            found[key], at = self._value(text, colon + 1, depth + 1)
            at = _past_comma(text, at)

    def _list(self, text: str, at: int, depth: int) -> tuple[list[Any], int]:
        found: list[Any] = []
        while True:
            if at >= len(text):
                raise _Unfinished
            if text[at] == "]":
                return found, at + 1
            value, at = self._value(text, at, depth + 1)
            found.append(value)
            at = _past_comma(text, at)


def _past_comma(text: str, at: int) -> int:
    return at + 1 if text.startswith(",", at) else at


def _scalar(text: str) -> Any:
    constants = {"true": True, "false": False, "null": None, "None": None}
    if text in constants:
        return constants[text]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


@dataclass(frozen=True, slots=True)
class _Rules:
    """Lark expressions of JSON schemas, in this family's spelling."""

    tool: str
    quote: str

    def of(self, schema: Any) -> str:
        """One value; only what a model of this size can be asked for."""
        if not isinstance(schema, dict):
            raise self._unsupported("a schema that is no object")
        if "enum" in schema or "const" in schema:
            values = schema.get("enum", [schema.get("const")])
            return f"({' | '.join(self._constant(value) for value in values)})"
        match schema.get("type"):
            case "string":
                return f"({self.quote} TEXT {self.quote})"
            case "integer":
                return r"/-?(0|[1-9][0-9]{0,14})/"
            case "number":
                return r"/-?(0|[1-9][0-9]{0,14})(\.[0-9]{1,15})?/"
            case "boolean":
                return '("true" | "false")'
            case "null":
                return '"null"'
            case "array":
                item = self.of(schema.get("items"))
                return f'("[" ({item} ("," {item})*)? "]")'
            case "object":
                return self._object(schema)
            case _:
                raise self._unsupported("a parameter without a plain type")

    def _object(self, schema: dict[str, Any]) -> str:
        required = [
            key for key in schema.get("properties", {}) if key in schema.get("required", ())
        ]
        optional = [key for key in schema.get("properties", {}) if key not in required]
        pairs = {
            key: f"{quoted(key + ':')} {self.of(value)}"
            for key, value in schema.get("properties", {}).items()
        }
        # Required ones first, so that commas stand in the right places.
        if required:
            inner = ' "," '.join(pairs[key] for key in required)
            inner += "".join(f' ("," {pairs[key]})?' for key in optional)
            return f'("{{" {inner} "}}")'
        starts = []
        for index, key in enumerate(optional):
            later = "".join(f' ("," {pairs[other]})?' for other in optional[index + 1 :])
            starts.append(f"{pairs[key]}{later}")
        inner = f"({' | '.join(starts)})?" if starts else ""
        return f'("{{" {inner} "}}")'

    def _constant(self, value: Any) -> str:
        if isinstance(value, str):
            return f"({self.quote} {quoted(value)} {self.quote})"
        return quoted(encode(value))

    def _unsupported(self, what: str) -> ModelError:
        return ModelError(
            f"The tool {self.tool} has {what}, which calls of this model cannot be held to; "
            "simplify it or switch the tool off."
        )


FUNCTION_GEMMA: Final = Dialect(
    name="gemma",
    forms=(GemmaCall("<start_function_call>", "<end_function_call>", "<escape>"),),
    more_markers=("<escape>",),
)
GEMMA4: Final = Dialect(
    name="gemma",
    forms=(GemmaCall("<|tool_call>", "<tool_call|>", '<|"|>'),),
    think=("<|channel>thought\n", "<channel|>"),
    closing="<channel|>",
    more_markers=('<|"|>', "<|channel>"),
)

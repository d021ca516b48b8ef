"""Calls that are JSON objects with a name and arguments: what most families write.

Also reads the forms that models fall into: a list of calls, arguments as a string of JSON.
"""

import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from chatbot.engine.dialects.dialect import Literal, Reading
from chatbot.engine.dialects.schemas import alternatives, argument_rules, quoted
from chatbot.engine.protocol.messages import ToolSchema


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonCall:
    """``{"name": …, "arguments": {…}}`` after a trigger."""

    trigger: str
    end: str = ""
    name_key: str = "name"
    arguments_key: str = "arguments"
    keeps_trigger: bool = False
    only_at_start: bool = False
    is_list: bool = False
    """Whether the grammar makes a list of calls; reading takes both."""
    max_calls: int = 8
    """How long such a list may be."""

    def grammar(self, tools: Sequence[ToolSchema], literal: Literal) -> str:
        """See ``CallForm``."""
        name, arguments = quoted(f'"{self.name_key}":'), quoted(f'"{self.arguments_key}":')
        rules = "".join(
            f'call_{i}: "{{" {name} " "? {quoted(json.dumps(tool.name))} "," " "? {arguments} " "? '
            f'args_{i} "}}"\n'
            for i, tool in enumerate(tools)
        )
        one = f"({alternatives('call', len(tools))})"
        many = f'"[" {one} ("," " "? {one}){{0,{self.max_calls - 1}}} "]"'
        start = many if self.is_list else one
        if self.end:
            start = f"gap {start} gap {literal(self.end)}"
        return f"start: {start}\ngap: /[ \\n]{{0,2}}/\n{rules}{argument_rules(tools)}"

    def read(self, body: str, tools: Sequence[ToolSchema]) -> Reading:
        """See ``CallForm``."""
        start = len(body) - len(body.lstrip())
        try:
            value, stop = decode(body, start)
        except ValueError:
            return self._unread(body)
        end = stop
        if self.end:
            rest = body[stop:].lstrip()
            if not rest.startswith(self.end):
                return self._unread(body)
            end = len(body) - len(rest) + len(self.end)
        calls = value if isinstance(value, list) else [value]
        names = tuple(str(self._name(call)) for call in calls)
        for call in calls:
            if not isinstance(self._name(call), str):
                return Reading(names=(), end=end, error="The call names no tool.")
            if self._arguments(call) is None:
                return Reading(
                    names=names, end=end, error="The arguments of the call are not an object."
                )
        arguments = tuple(encode(self._arguments(call)) for call in calls)
        return Reading(names=names, arguments=arguments, end=end)

    def _unread(self, body: str) -> Reading:
        """What is known of a call that is not complete, or is none."""
        names = self._names_in(body)
        if self.end and (at := body.find(self.end)) >= 0:
            return Reading(names=names, end=at + len(self.end), error="The call is not valid JSON.")
        return Reading(names=names)

    def _names_in(self, body: str) -> tuple[str, ...]:
        pattern = rf'^\s*\[?\s*\{{\s*"{self.name_key}"\s*:\s*"([^"\\]+)"'
        return tuple(re.findall(pattern, body))

    def _name(self, call: Any) -> Any:
        if not isinstance(call, dict):
            return None
        if isinstance(function := call.get("function"), dict):
            call = function
        return call.get(self.name_key)

    def _arguments(self, call: dict[str, Any]) -> Any:
        if isinstance(function := call.get("function"), dict):
            call = function
        value = call.get(self.arguments_key, call.get("arguments", call.get("parameters", {})))
        if isinstance(value, str):
            try:
                value, _ = decode(value, 0)
            except ValueError:
                return None
        return value if isinstance(value, dict) else None


def decode(text: str, start: int) -> tuple[Any, int]:
    """The JSON value at ``start``, and where it ends.

    Raises:
        ValueError: there is none, or not all of it; nested too deep counts as none.
    """
    try:
        return _DECODER.raw_decode(text, start)
    except RecursionError as error:
        raise ValueError("nested too deep") from error


def encode(value: Any) -> str:
    """``value`` as JSON, in the spacing that models write."""
    return json.dumps(value, ensure_ascii=False)


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")


def _finite(number: str) -> float:
    """JSON knows no infinity, which Python makes of ``1e999``."""
    return max(-sys.float_info.max, min(sys.float_info.max, float(number)))


_DECODER = json.JSONDecoder(parse_constant=_refuse, parse_float=_finite)

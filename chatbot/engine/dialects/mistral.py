"""Mistral: ``[TOOL_CALLS]`` and a list of calls, or since 2025 ``NAME[ARGS]{…}``."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from chatbot.engine.dialects.dialect import Dialect, Literal, Reading
from chatbot.engine.dialects.json_calls import JsonCall, decode, encode
from chatbot.engine.dialects.schemas import alternatives, argument_rules, quoted
from chatbot.engine.protocol.messages import ToolSchema

TRIGGER: Final = "[TOOL_CALLS]"
_LISTED: Final = JsonCall(trigger=TRIGGER, is_list=True)
_HEAD: Final = re.compile(r"\s*([\w.-]+)(?:\[CALL_ID\]\w*)?(?:\[ARGS\])?\s*(?=\{)")


@dataclass(frozen=True, slots=True)
class NamedCall:
    """``NAME[ARGS]{…}``; reads a list of calls as well."""

    trigger: str = TRIGGER
    end: str = ""
    keeps_trigger: bool = False
    only_at_start: bool = False

    def grammar(self, tools: Sequence[ToolSchema], literal: Literal) -> str:
        """See ``CallForm``."""
        rules = "".join(
            f"call_{i}: {quoted(tool.name)} {literal('[ARGS]')} args_{i}\n"
            for i, tool in enumerate(tools)
        )
        return f"start: {alternatives('call', len(tools))}\n{rules}{argument_rules(tools)}"

    def read(self, body: str, tools: Sequence[ToolSchema]) -> Reading:
        """See ``CallForm``."""
        if body.lstrip().startswith("["):
            return _LISTED.read(body, tools)
        head = _HEAD.match(body)
        if head is None:
            return Reading()
        names = (head[1],)
        try:
            value, end = decode(body, head.end())
        except ValueError:
            return Reading(names=names)
        return Reading(names=names, arguments=(encode(value),), end=end)


MISTRAL_LIST: Final = Dialect(name="mistral", forms=(_LISTED,), call_id_length=9)
MISTRAL: Final = Dialect(
    name="mistral",
    forms=(NamedCall(),),
    think=("[THINK]", "[/THINK]"),
    closing="[/THINK]",
    more_markers=("[ARGS]", "[CALL_ID]"),
    call_id_length=9,
)

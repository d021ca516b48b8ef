"""gpt-oss: an answer in channels, each with a head that says what it is.

The head of a call names the tool: ``<|channel|>commentary to=functions.NAME``; the message that
follows is its arguments. The channel ``analysis`` is thinking.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from chatbot.engine.dialects.dialect import Dialect, Literal, Reading
from chatbot.engine.dialects.json_calls import decode, encode
from chatbot.engine.dialects.schemas import alternatives, argument_rules, quoted
from chatbot.engine.protocol.messages import ToolSchema

CHANNEL: Final = "<|channel|>"
MESSAGE: Final = "<|message|>"
START: Final = "<|start|>"
CONSTRAIN: Final = "<|constrain|>"
ENDS: Final = ("<|end|>", "<|return|>", "<|call|>")
THINKING_CHANNEL: Final = "analysis"

_HEAD: Final = re.compile(r"([\w.-]+?)(?=[\s<])[^{]*?<\|message\|>")
_NAME: Final = re.compile(r"([\w.-]+)[\s<]")


@dataclass(frozen=True, slots=True)
class ChannelCall:
    """What follows ``to=functions.`` in a head."""

    trigger: str = "to=functions."
    end: str = ""
    keeps_trigger: bool = False
    only_at_start: bool = False

    def grammar(self, tools: Sequence[ToolSchema], literal: Literal) -> str:
        """See ``CallForm``."""
        names = "".join(
            f"call_{i}: {quoted(tool.name)} kind args_{i}\n" for i, tool in enumerate(tools)
        )
        # The recipient stands before the channel in some answers, and after it in most.
        kind = (
            f'kind: ({literal(CHANNEL)} "commentary")? (" "? {literal(CONSTRAIN)} "json" '
            f'| " json")? {literal(MESSAGE)}\n'
        )
        return f"start: {alternatives('call', len(tools))}\n{names}{kind}{argument_rules(tools)}"

    def read(self, body: str, tools: Sequence[ToolSchema]) -> Reading:
        """See ``CallForm``."""
        name = _NAME.match(body)
        names = (name[1],) if name else ()
        head = _HEAD.match(body)
        if head is None:
            return Reading(names=names)
        try:
            value, end = decode(body, len(body) - len(body[head.end() :].lstrip()))
        except ValueError:
            stops = [at for mark in ENDS if (at := body.find(mark, head.end())) >= 0]
            if not stops:
                return Reading(names=names)
            return Reading(names=names, end=min(stops), error="The call is not valid JSON.")
        if not isinstance(value, dict):
            return Reading(names=names, end=end, error="The arguments are not an object.")
        return Reading(names=names, arguments=(encode(value),), end=end)


HARMONY: Final = Dialect(
    name="harmony",
    forms=(ChannelCall(),),
    more_markers=(CHANNEL, MESSAGE, START, CONSTRAIN, *ENDS),
    closing=f"<|end|>{START}assistant{CHANNEL}final{MESSAGE}",
    writes_raw=False,
    not_ends=frozenset({"<|end|>"}),
    has_channels=True,
)

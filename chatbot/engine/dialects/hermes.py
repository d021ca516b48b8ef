"""Hermes, Qwen 2.5 and 3, SmolLM3: JSON between ``<tool_call>`` and ``</tool_call>``.

SmolLM2 was trained on a list of calls between the same marks, which is read as well.
"""

from typing import Final

from chatbot.engine.dialects.dialect import Dialect
from chatbot.engine.dialects.json_calls import JsonCall

TAGGED: Final = JsonCall(trigger="<tool_call>", end="</tool_call>")

HERMES: Final = Dialect(name="hermes", forms=(TAGGED,))
SMOLLM3: Final = Dialect(
    name="smollm3",
    forms=(TAGGED,),
    think=("<think>", "</think>"),
    closing="\n</think>\n\n",
)

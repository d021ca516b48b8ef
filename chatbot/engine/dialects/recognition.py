"""Which dialect a model speaks, by the template and the tokens that came with it.

The template is what the model was trained with, so its marks say more than any name.
"""

import dataclasses
from collections.abc import Collection
from typing import Final

from chatbot.engine.dialects.compact import COMPACT
from chatbot.engine.dialects.dialect import Dialect
from chatbot.engine.dialects.gemma import FUNCTION_GEMMA, GEMMA4
from chatbot.engine.dialects.harmony import CHANNEL, HARMONY
from chatbot.engine.dialects.hermes import HERMES, SMOLLM3
from chatbot.engine.dialects.llama3 import LLAMA3
from chatbot.engine.dialects.mistral import MISTRAL, MISTRAL_LIST, TRIGGER
from chatbot.engine.dialects.qwen_coder import QWEN_CODER

_THINKING: Final = (
    (("<think>", "</think>"), "\n</think>\n\n"),
    (("[THINK]", "[/THINK]"), "[/THINK]"),
)
"""Marks of thinking that families of several dialects share, and what cuts it short."""


def recognise(template: str, added_tokens: Collection[str] = ()) -> Dialect:
    """The dialect of a model.

    Args:
        template: source of its chat template; empty where it has none.
        added_tokens: tokens that its tokenizer never cuts.
    """
    dialect = _of_calls(template)
    if dialect.think is None and not dialect.has_channels:
        for think, closing in _THINKING:
            if think[1] in template or all(mark in added_tokens for mark in think):
                return dataclasses.replace(dialect, think=think, closing=closing)
    return dialect


def _of_calls(template: str) -> Dialect:
    if CHANNEL in template and "functions." in template:
        return HARMONY
    if "tools" not in template:
        return COMPACT
    if "<start_function_call>" in template:
        return FUNCTION_GEMMA
    if "<|tool_call>" in template:
        return GEMMA4
    if TRIGGER in template:
        return MISTRAL if "[ARGS]" in template else MISTRAL_LIST
    if "<tool_call>" in template:
        if "<function=" in template:
            return QWEN_CODER
        return SMOLLM3 if "xml_tools" in template else HERMES
    if "<|python_tag|>" in template or ("ipython" in template and '"parameters"' in template):
        return LLAMA3
    return COMPACT

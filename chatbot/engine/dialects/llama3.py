"""Llama 3.1 and later: the answer is a JSON object, or follows ``<|python_tag|>``."""

from typing import Final

from chatbot.engine.dialects.dialect import Dialect
from chatbot.engine.dialects.json_calls import JsonCall

LLAMA3: Final = Dialect(
    name="llama3",
    forms=(
        JsonCall(
            trigger='{"name":',
            arguments_key="parameters",
            keeps_trigger=True,
            only_at_start=True,
        ),
        JsonCall(trigger="<|python_tag|>", arguments_key="parameters"),
    ),
)

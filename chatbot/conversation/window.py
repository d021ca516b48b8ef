"""What another length of the context window means for the model that is loaded.

Weighs the window against the memory that is free. Loads nothing.
"""

import asyncio

from chatbot.engine.client import Engine
from chatbot.engine.protocol.model_info import ModelInfo
from chatbot.errors import ModelError, ModelFitError
from chatbot.models.facts import facts_of
from chatbot.models.fitting import automatic, best_precision, check_fit
from chatbot.models.hardware import look
from chatbot.models.memory import RUNTIME_BYTES
from chatbot.models.references import resolve
from chatbot.settings import Settings
from chatbot.terminal_text import clean_line


def window_of(info: ModelInfo, settings: Settings) -> int:
    """Tokens that prompt and answer can have together."""
    return min(settings.context_length or info.context_length, info.context_length)


async def window_note(engine: Engine, settings: Settings) -> tuple[str, bool]:
    """What the window that is set means now, in a sentence, and whether it is a warning."""
    info = engine.status.info
    if info is None:
        return "The window counts from the next load on.", False
    longest = info.context_length
    words = f"The window is {window_of(info, settings):,} tokens from the next answer on"
    if settings.context_length > longest:
        words = f"{clean_line(info.name, 80)} was made for {longest:,} tokens: these are its window"
    if problem := await asyncio.to_thread(_problem, info, settings):
        return f"{words}, but: {problem}", True
    return f"{words}; nothing has to be loaded anew.", False


def _problem(info: ModelInfo, settings: Settings) -> str:
    """Why the window needs the model to be loaded otherwise; empty when it does not."""
    try:
        shape = facts_of(resolve(info.name)).shape
    except ModelError:
        return ""
    if shape is None:
        return ""
    hardware = look()
    length, given_back = settings.context_length, info.weight_bytes + RUNTIME_BYTES
    try:
        check_fit(info.name, shape, info.precision, hardware, length, given_back)
    except ModelFitError as error:
        return f"{clean_line(str(error), 400)} It acts fully once the model is loaded anew."
    if settings.precision == "auto":
        best = best_precision(shape, hardware, automatic(hardware), length, given_back)
        if best != info.precision:
            return (
                f"auto would choose {best} for it, and {info.precision} is loaded; it acts fully "
                "once the model is loaded anew (/model)."
            )
    return ""

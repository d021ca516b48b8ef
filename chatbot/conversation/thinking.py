"""Whether the model that is loaded can be told to think or not. Pure functions."""

from chatbot.engine.protocol.model_info import ModelInfo
from chatbot.errors import CommandError
from chatbot.settings import Settings
from chatbot.terminal_text import clean_line


def thinking_problem(settings: Settings, info: ModelInfo) -> str:
    """Why the model does not heed what is set about thinking, in a sentence; empty where it does.

    Args:
        settings: as they are in force.
        info: what is loaded.
    """
    if settings.thinking == "auto":
        return ""
    name = clean_line(info.name, 80)
    if info.thinking_switch == "none":
        return (
            f"{name} cannot be told to think or not, because its chat template has no switch for "
            "it; set thinking to auto, or load a model that has one."
        )
    if info.thinking_switch == "without_system" and settings.system_prompt.strip():
        return (
            f"{name} can be told to think or not only without a system prompt; empty that in the "
            "settings (Ctrl+B), or start with --system ''."
        )
    return ""


def refuse_thinking(settings: Settings, info: ModelInfo) -> None:
    """Refuse what the model does not heed.

    Raises:
        CommandError: it does not heed what is set about thinking.
    """
    if problem := thinking_problem(settings, info):
        raise CommandError(problem)

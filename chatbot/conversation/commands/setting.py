"""Slash commands that show and change settings: model, system prompt, prompts, theme."""

from collections.abc import Mapping, Sequence
from typing import Final

from chatbot.conversation.commands.face import Command, Face
from chatbot.conversation.manager import ConversationManager
from chatbot.conversation.mentions import mentioned_files
from chatbot.conversation.prompt_arguments import parse_arguments
from chatbot.conversation.prompt_library import load_library
from chatbot.conversation.prompt_template import FilledPrompt
from chatbot.conversation.thinking import thinking_problem
from chatbot.conversation.window import window_note, window_of
from chatbot.engine.protocol.model_info import ModelInfo, parse_adapter
from chatbot.errors import CommandError, ConfigError
from chatbot.models.catalogue import catalogue
from chatbot.settings import SPECS, Settings, Spec, find_spec, get_value
from chatbot.terminal_text import clean_line
from chatbot.wording import memory, parameters

_FORCE: Final = " --force"


async def _model(face: Face, arguments: str) -> None:
    if not arguments:
        face.show_models()
        return
    name = arguments.removesuffix(_FORCE).strip()
    if arguments.endswith(_FORCE):
        face.manager.engine.force(name)
        if name == face.manager.settings.model:
            face.load_model()
    _change(face, "model", name)


def model_note(manager: ConversationManager) -> str:
    """What is loaded, where, and by which adapters it is changed; Markdown."""
    info = manager.engine.status.info
    if info is None:
        return f"`{manager.settings.model}` is not loaded yet."
    parts = [
        f"`{info.name}`",
        f"{parameters(info.num_parameters)} parameters",
        f"{info.precision} on {info.device}",
        _window_words(info, manager.settings),
        f"loaded in {info.load_seconds:.1f} s",
    ]
    if info.weight_bytes:
        parts.append(f"{memory(info.weight_bytes)} of weights")
    if info.split:
        parts.append(f"split: {info.split}")
    parts += [f"adapter {clean_line(adapter.label)}" for adapter in info.adapters]
    return " · ".join(parts)


def _window_words(info: ModelInfo, settings: Settings) -> str:
    window = window_of(info, settings)
    of = f" of {info.context_length:,}" if window < info.context_length else ""
    return f"window {window:,}{of} tokens"


async def _adapter(face: Face, arguments: str) -> None:
    engine = face.manager.engine
    present = {use.path: use for use in engine.adapters}
    verb, _, rest = arguments.partition(" ")
    if not arguments:
        info = engine.status.info
        lines = [
            f"- `{clean_line(a.path, 500)}` · weight {a.weight:g} · rank {a.rank}"
            for a in (info.adapters if info else ())
        ]
        face.show_note("\n".join(lines) or "No adapter is in use.")
        return
    if verb == "remove":
        gone = [path for path in present if rest.strip() in ("", path, path.rsplit("/", 1)[-1])]
        if not gone:
            raise CommandError(f"There is no adapter {clean_line(rest)!r} in use.")
        for path in gone:
            del present[path]
    else:
        use = parse_adapter(arguments)
        present[use.path] = use
    info = await engine.use_adapters(tuple(present.values()))
    labels = ", ".join(clean_line(adapter.label) for adapter in info.adapters)
    face.show_note(f"Adapters from the next answer on: {labels or 'none'}.")


async def _system(face: Face, arguments: str) -> None:
    if arguments:
        _change(face, "system_prompt", arguments)
    else:
        face.show_note(f"System prompt:\n\n> {face.manager.settings.system_prompt or '(none)'}")


async def _set(face: Face, arguments: str) -> None:
    name, _, value = arguments.partition(" ")
    settings = face.manager.settings
    if not name:
        lines = [
            f"- `{s.name}` = `{clean_line(s.format(get_value(settings, s.name)))}`: {s.help}"
            for s in SPECS
        ]
        face.show_note("\n".join(["**Settings**", "", *lines]))
        return
    if name.lower() == "theme":
        face.set_theme(value.strip())
        return
    spec = find_spec(name)
    if not value.strip():
        now = clean_line(spec.format(get_value(settings, spec.name)))
        face.show_note(f"`{spec.name}` = `{now}`: {spec.help} Allowed: {spec.allowed}.")
        return
    _change(face, spec.name, value.strip())
    info = face.manager.engine.status.info
    if (
        spec.name == "thinking"
        and info
        and (words := thinking_problem(face.manager.settings, info))
    ):
        face.show_note(words)
    if spec.name == "context_length":
        sentence, _ = await window_note(face.manager.engine, face.manager.settings)
        face.show_note(sentence)


async def _reset(face: Face, arguments: str) -> None:
    specs = [find_spec(arguments)] if arguments else [s for s in SPECS if s.is_sampling]
    defaults, settings = Settings(), face.manager.settings
    changed = [s for s in specs if get_value(settings, s.name) != get_value(defaults, s.name)]
    for spec in changed:
        _change(face, spec.name, _default(spec))
    words = ", ".join(f"`{spec.name}` = `{_default(spec) or 'none'}`" for spec in changed)
    whose = f"`{specs[0].name}` has its" if arguments else "All sampling settings have their"
    face.show_note(f"Back to the default: {words}." if words else f"{whose} default already.")


def _default(spec: Spec) -> str:
    return spec.format(get_value(Settings(), spec.name))


def _change(face: Face, name: str, value: str) -> None:
    """Change a setting, and show and use it even where it cannot be written to the disk."""
    try:
        face.manager.change_setting(name, value)
    except ConfigError:
        _use(face, name)
        raise
    _use(face, name)


def _use(face: Face, name: str) -> None:
    face.show_settings(name)
    if name in ("model", "precision"):
        face.load_model()


async def _prompt(face: Face, arguments: str) -> None:
    library = load_library()
    name, _, rest = arguments.partition(" ")
    values: Mapping[str, str] = {}
    if name:
        prompt = library.get(name)
        values = parse_arguments(prompt, rest)
        if not prompt.missing(values):
            await use_prompt(face, prompt.fill(values))
            return
    filled = await face.fill_prompt(library, name, values)
    if filled is not None:
        await use_prompt(face, filled)


async def use_prompt(face: Face, filled: FilledPrompt) -> None:
    """Send a filled prompt, or take on its persona.

    Raises:
        ChatbotError: the system prompt could not be kept, or nothing can be asked.
    """
    prompt = filled.prompt
    if prompt.kind == "persona":
        face.manager.change_setting("system_prompt", filled.text)
        face.show_settings()
        face.show_note(
            f"The model is now `{prompt.name}`, from the next question on; "
            f"`/system` shows the system prompt, `/prompt assistant` takes it back."
        )
        return
    # What the template itself names is somebody else's wish, and is not read.
    files = mentioned_files("\n".join(filled.values))
    await face.ask(filled.text, face.manager.reply(filled.text, prompt.settings, files=files))


async def _theme(face: Face, arguments: str) -> None:
    face.set_theme(arguments)


def _model_words(face: Face, before: Sequence[str]) -> Mapping[str, str]:
    if before:
        return {}
    return {entry.name: entry.description for entry in catalogue().values()}


def _adapter_words(face: Face, before: Sequence[str]) -> Mapping[str, str]:
    used = {use.path: "in use" for use in face.manager.engine.adapters}
    if not before and used:
        return {"remove": "takes one out, or all", **used}
    return used if before == ["remove"] else {}


def _set_words(face: Face, before: Sequence[str]) -> Mapping[str, str]:
    settings = face.manager.settings
    if not before:
        return {
            s.name: f"{clean_line(s.format(get_value(settings, s.name)), 40)} · {s.help}"
            for s in SPECS
        }
    name, *more = before
    if more:
        return {}
    if name == "model":
        return _model_words(face, ())
    if name == "theme":
        return _theme_words(face, ())
    spec = find_spec(name)
    if spec.choices or spec.kind == "text":
        return dict.fromkeys(spec.choices, "")
    return {spec.format(get_value(settings, spec.name)): f"as it is; {spec.allowed}"}


def _reset_words(face: Face, before: Sequence[str]) -> Mapping[str, str]:
    return {} if before else {spec.name: f"back to {_default(spec)}" for spec in SPECS}


def _prompt_words(face: Face, before: Sequence[str]) -> Mapping[str, str]:
    if before:
        return {}
    return {prompt.name: prompt.description for prompt in load_library().prompts.values()}


def _theme_words(face: Face, before: Sequence[str]) -> Mapping[str, str]:
    return {} if before else dict.fromkeys(face.theme_names, "")


COMMANDS = (
    Command("model", "[NAME]", "shows the model, or loads another one.", _model, _model_words),
    Command(
        "adapter",
        "[PATH[=WEIGHT]]",
        "lists the LoRA adapters, or uses one; `remove` takes one out, or all.",
        _adapter,
        _adapter_words,
    ),
    Command("system", "[TEXT]", "shows or sets the system prompt.", _system),
    Command("set", "[NAME [VALUE]]", "shows or changes a setting.", _set, _set_words),
    Command(
        "reset",
        "[NAME]",
        "sets the sampling settings back to their defaults, or the setting named.",
        _reset,
        _reset_words,
    ),
    Command(
        "prompt",
        "[NAME [TEXT]]",
        "uses a prompt of the library, or lists them.",
        _prompt,
        _prompt_words,
    ),
    Command("theme", "[NAME]", "lists the colour themes, or uses one.", _theme, _theme_words),
)

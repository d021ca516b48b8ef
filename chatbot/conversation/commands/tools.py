"""Slash commands about tools: which there are, which are on, what they may do; one run by hand."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, get_args

from chatbot.conversation.commands.face import Command, Face
from chatbot.conversation.tools import Tools
from chatbot.errors import CommandError, ToolError
from chatbot.fencing import fenced
from chatbot.terminal_text import clean, clean_line

if TYPE_CHECKING:
    from chatbot.tools.values import ServerInfo, ToolInfo, ToolOutcome

_POLICIES: Final = {
    "ask": "you are asked before it runs",
    "allow": "it runs without a question, unless text of others is in the chat",
    "deny": "the model never runs it",
}
_VERBS: Final = {
    "on": "the model may call it",
    "off": "the model does not know of it",
    **_POLICIES,
    "refresh": "asks the servers anew",
}
_WITH_NAME: Final = "on, off, ask, allow or deny with the name of a tool"


async def _tools(face: Face, arguments: str) -> None:
    from chatbot.tools.values import Policy

    tools = _tools_of(face)
    verb, _, name = arguments.partition(" ")
    verb, name = verb.lower(), name.strip()
    if not verb:
        if not tools.is_begun:
            await tools.started()
        face.show_note(tool_list(tools))
        return
    if verb == "refresh":
        await tools.refresh()
        face.show_note(tool_list(tools))
        return
    policy: Policy | None = next((p for p in get_args(Policy) if p == verb), None)
    if not name or not (policy or verb in ("on", "off")):
        raise CommandError(f"/tools takes {_WITH_NAME}, or refresh; alone it lists the tools.")
    await tools.known(name)
    if policy:
        tools.box.set_policy(name, policy)
        face.show_note(f"`{name}`: {_POLICIES[policy]}.")
    else:
        tools.box.switch(name, is_on=verb == "on")
        face.show_note(f"`{name}` is {verb}.")
    face.show_settings()


def _tools_of(face: Face) -> Tools:
    if face.manager.tools is None:
        raise ToolError("There are no tools in this run.")
    return face.manager.tools


def tool_list(tools: Tools) -> str:
    """Every tool with its state, the servers and what is wrong, as Markdown."""
    lines = ["**Tools**", "", *map(_line, tools.box.tools)]
    if tools.box.servers:
        lines += ["", "**MCP servers**", "", *map(_server_line, tools.box.servers)]
    problems = [*tools.box.problems, *([tools.problem] if tools.problem else [])]
    lines += ["", *(f"- ✗ {clean_line(problem, 500)}" for problem in problems)] if problems else []
    return "\n".join(
        [*lines, "", f"`/tools` takes {_WITH_NAME}, or refresh; `/tool NAME ARGUMENTS` runs one."]
    )


def _line(info: "ToolInfo") -> str:
    definition = info.definition
    mark = "☑" if info.is_on else "☐"
    about = clean_line(definition.description, 120)
    return f"- {mark} `{definition.name}` *{state_words(info)}*: {about}"


def state_words(info: "ToolInfo") -> str:
    """What a tool does to the world and whether it is asked about, in a few words."""
    definition = info.definition
    words = []
    if definition.reaches_network:
        words.append("network")
    if definition.writes:
        words.append("writes")
    words.append("always allowed" if info.is_always_allowed else info.policy)
    if definition.server:
        words.append(f"of {definition.server}")
    elif definition.origin == "user":
        words.append("yours")
    return " · ".join(words)


def _server_line(server: "ServerInfo") -> str:
    about = server.error or f"{server.num_tools} tools"
    return f"- `{clean_line(server.name, 64)}` {server.state} · {clean_line(about, 300)}"


async def _tool(face: Face, arguments: str) -> None:
    name, _, text = arguments.partition(" ")
    if not name:
        raise CommandError(
            "Name a tool and its arguments: /tool calculate 2+2, or several of them as a JSON "
            'object: /tool convert_units {"value": 3, "from_unit": "mile", "to_unit": "km"}'
        )
    tools = _tools_of(face)
    await tools.known(name)
    outcome = await tools.box.run_by_hand(name, text)
    face.show_note(_outcome(outcome))


def _outcome(outcome: "ToolOutcome") -> str:
    if outcome.error:
        return f"`{outcome.name}` ✗ {outcome.error}"
    text = fenced(clean(outcome.result), "text")
    return f"`{outcome.name}` · {outcome.seconds:.1f} s\n\n{text}"


def _tools_words(face: Face, before: Sequence[str]) -> Mapping[str, str]:
    if not before:
        return _VERBS
    return {} if before[0] == "refresh" or len(before) > 1 else _tool_words(face, ())


def _tool_words(face: Face, before: Sequence[str]) -> Mapping[str, str]:
    tools = face.manager.tools
    if tools is None or len(before) > 1:
        return {}
    definitions = {info.definition.name: info.definition for info in tools.box.tools}
    if not before:
        return {name: clean_line(one.description, 100) for name, one in definitions.items()}
    chosen = definitions.get(before[0])
    names = chosen.parameters.get("required", []) if chosen else []
    if chosen is None or len(names) < 2:
        return {}
    schemas = chosen.parameters.get("properties", {})
    empty = {name: _empty_value(schemas.get(name)) for name in names}
    begun = json.dumps(empty, ensure_ascii=False)
    # Half of it, or with other names, it would be worth nothing.
    is_whole = begun == clean_line(begun, _MOST_BEGUN)
    return {begun: "its arguments, to be filled in"} if is_whole else {}


_MOST_BEGUN: Final = 400
"""Characters."""


def _empty_value(schema: Any) -> Any:
    """One of a parameter's type; None where it has none that is simple."""
    kind = schema.get("type") if isinstance(schema, dict) else None
    return _EMPTY_VALUES.get(kind) if isinstance(kind, str) else None


_EMPTY_VALUES: Final = {
    "string": "",
    "number": 0,
    "integer": 0,
    "boolean": False,
    "array": (),
    "object": {},
}


COMMANDS = (
    Command(
        "tools",
        "[VERB [NAME]]",
        f"lists the tools the model may call; verbs: {', '.join(_VERBS)}.",
        _tools,
        _tools_words,
    ),
    Command(
        "tool",
        "NAME [ARGUMENTS]",
        "runs a tool: /tool calculate 2+2, or a JSON object.",
        _tool,
        _tool_words,
        lambda words: bool(words) and words[0].lower() == "search_knowledge",
    ),
)

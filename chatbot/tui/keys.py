"""All keys in one table: what the help shows is what is bound.

Each can be rebound by its name under ``[keys]`` in config.toml.
"""

from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec
from textual.app import App
from textual.binding import Binding, Keymap
from textual.keys import KEY_NAME_REPLACEMENTS, Keys, _character_to_key, key_to_character

Place = Literal[
    "everywhere",
    "prompt",
    "message",
    "lens",
    "variants",
    "passage",
    "knowledge",
    "models",
    "chats",
]

NUM_SOURCE_KEYS: Final = 9
"""Sources of an answer that have a key of their own."""

NUM_VARIANT_KEYS: Final = 9
"""Answers beside one another that have a key of their own."""


class Key(msgspec.Struct, frozen=True):
    """What one action is bound to unless the user says otherwise."""

    keys: str
    """Key names, separated by commas."""
    help: str
    place: Place
    is_listed: bool = True
    """Has a line of its own in the help."""


KEYS: Final[Mapping[str, Key]] = {
    "send": Key("enter", "send the message", "prompt"),
    "newline": Key("shift+enter,ctrl+j", "begin a new line", "prompt"),
    "complete": Key(
        "tab", "complete a slash command, its argument or @file; again: the next", "prompt"
    ),
    "complete_back": Key("shift+tab", "the completion before", "prompt"),
    "earlier": Key("up", "an earlier message of yours, from the first line", "prompt"),
    "later": Key(
        "down", "a later message of yours, from the last line; the next completion", "prompt"
    ),
    "editor": Key("ctrl+g", "write the message in your own editor", "prompt"),
    "stop": Key("escape", "stop the answer, keeping what there is", "everywhere"),
    "interrupt": Key(
        "ctrl+c", "copy what is selected, else stop the answer, else empty the prompt", "everywhere"
    ),
    "hold": Key("f8", "hold the answer between two tokens, or let it go on", "everywhere"),
    "step": Key("f9", "draw one more token, and hold there", "everywhere"),
    "answer_now": Key("f5", "end the thinking, so that the answer comes now", "everywhere"),
    "toggle_sidebar": Key("ctrl+b", "show or hide the settings", "everywhere"),
    "new_chat": Key("ctrl+n", "begin a new chat", "everywhere"),
    "chats": Key("ctrl+k", "all chats, and a search through them", "everywhere"),
    "ribbon": Key("f3", "what the next prompt consists of", "everywhere"),
    "knowledge": Key("f4", "your folders: documents, searches, a map", "everywhere"),
    "models": Key("ctrl+o", "all models, and whether each fits", "everywhere"),
    "prompts": Key("ctrl+r", "use a prompt of the library", "everywhere"),
    "palette": Key("ctrl+p", "all commands, by name", "everywhere"),
    "help": Key("f1", "this help", "everywhere"),
    "quit": Key("ctrl+q", "end the program", "everywhere"),
    "scroll_up": Key("ctrl+up,pageup", "scroll the chat up", "everywhere"),
    "scroll_down": Key("ctrl+down,pagedown", "scroll the chat down", "everywhere"),
    "focus_messages": Key("ctrl+t", "go from the prompt to the messages", "everywhere"),
    "previous_message": Key("k,up", "the message above", "message"),
    "next_message": Key("j,down", "the message below, at last the prompt", "message"),
    "edit": Key("e", "ask the question in other words", "message"),
    "regenerate": Key("r", "answer once more", "message"),
    "copy": Key("c", "copy the message", "message"),
    "copy_code": Key("y", "copy its last code block", "message"),
    "previous_variant": Key("left", "the variant before", "message"),
    "next_variant": Key("right", "the variant after", "message"),
    "continue": Key("g", "go on with an answer that was cut short", "message"),
    "fork": Key("f", "begin a new chat with all up to here", "message"),
    "pin": Key("p", "keep in the window, or no longer", "message"),
    "delete": Key("delete", "delete it with all below; /undo brings it back", "message"),
    "fold": Key("x", "open or close thoughts, tool calls, attached files", "message"),
    "lens": Key("t", "the answer token by token, with what else might have come", "message"),
    "rate_good": Key("+", "a good answer, or no longer", "message"),
    "rate_bad": Key("-", "a bad answer, or no longer", "message"),
    "sources": Key("s", "all that was found for an answer, with scores", "message"),
    **{
        f"source_{number}": Key(
            str(number), f"open source {number} of an answer", "message", is_listed=number == 1
        )
        for number in range(1, NUM_SOURCE_KEYS + 1)
    },
    "lens_left": Key("left,h", "the token before", "lens"),
    "lens_right": Key("right,l", "the next token", "lens"),
    "lens_up": Key("up,k", "a line up, or the alternative above", "lens"),
    "lens_down": Key("down,j", "a line down, or the alternative below", "lens"),
    "lens_first": Key("home", "the first token", "lens"),
    "lens_last": Key("end", "the last token", "lens"),
    "lens_uncertain": Key("n", "the most uncertain token, then the next most", "lens"),
    "lens_less_uncertain": Key("N", "back to a more uncertain token", "lens"),
    "lens_surprising": Key("s", "the token with the least probability, then the next", "lens"),
    "lens_less_surprising": Key("S", "back to a more surprising token", "lens"),
    "lens_branch": Key("enter", "to the alternatives; there: go on with this one", "lens"),
    "lens_type": Key("i", "type what is to stand here, and go on with it", "lens"),
    "lens_temperatures": Key("t", "what other temperatures would do at this token", "lens"),
    "lens_marks": Key("m", "surprise as heights below the text", "lens"),
    "lens_copy": Key("c", "copy the token with its figures and alternatives, as JSON", "lens"),
    "variants_left": Key("left,h", "the answer on the left", "variants"),
    "variants_right": Key("right,l", "the answer on the right", "variants"),
    "variants_set": Key("s", "set a setting of all of them, from the next token on", "variants"),
    "variants_keep": Key("enter", "keep the answer; the others stay beside it", "variants"),
    **{
        f"variants_keep_{number}": Key(
            str(number), f"keep answer {number}", "variants", is_listed=number == 1
        )
        for number in range(1, NUM_VARIANT_KEYS + 1)
    },
    "next_source": Key("right,n", "the next source", "passage"),
    "previous_source": Key("left,p", "the source before", "passage"),
    "copy_passage": Key("c", "copy the passage", "passage"),
    "edit_document": Key("e", "open the document in your own editor", "passage"),
    "back_to_passage": Key("b", "back to the passage", "passage"),
    "up": Key("up,k", "a line up", "passage"),
    "down": Key("down,j", "a line down", "passage"),
    "page_up": Key("pageup", "a page up", "passage"),
    "page_down": Key("pagedown,space", "a page down", "passage"),
    "start": Key("home", "the beginning of the document", "passage"),
    "end": Key("end", "the end of the document", "passage"),
    "add_folder": Key("a", "add a folder", "knowledge"),
    "switch_folder": Key("space", "search the folder, or no longer", "knowledge"),
    "remove_folder": Key("delete", "remove the folder from the list; its files stay", "knowledge"),
    "reindex_folder": Key("r", "index the folder anew", "knowledge"),
    "cancel_index": Key("x", "stop indexing; what is indexed stays", "knowledge"),
    "open_passage": Key("enter", "open the passage in its document", "knowledge"),
    "map_labels": Key("l", "show or hide the keywords on the map", "knowledge"),
    "only_problems": Key("p", "only the files that could not be read, or all", "knowledge"),
    "previous_pane": Key("f5,ctrl+left", "the tab before", "knowledge"),
    "next_pane": Key("f6,ctrl+right", "the next tab", "knowledge"),
    "previous_precision": Key("left", "price by the precision before", "models"),
    "next_precision": Key("right", "price by the next precision", "models"),
    "shorter_window": Key("minus", "price by a shorter window", "models"),
    "longer_window": Key("plus", "price by a longer window", "models"),
    "pull_model": Key("p", "download the model from the hub", "models"),
    "stop_pull": Key("x", "stop the download; what is here stays", "models"),
    "remove_model": Key("delete", "remove the model from this machine", "models"),
    "add_model": Key("a", "another hub id, folder or .gguf file", "models"),
    "rename_chat": Key("f2", "rename the chat", "chats"),
    "pin_chat": Key("ctrl+s", "keep the chat at the top, or no longer", "chats"),
    "delete_chat": Key("ctrl+d", "delete the chat", "chats"),
    "undo_delete": Key("ctrl+z", "bring back what was deleted", "chats"),
}

PLACES: Final[Mapping[Place, str]] = {
    "everywhere": "Everywhere",
    "prompt": "While writing",
    "message": "On a message",
    "lens": "In the token lens",
    "variants": "With several answers side by side",
    "passage": "In a passage",
    "knowledge": "On the knowledge screen",
    "models": "On the model screen",
    "chats": "In the list of chats",
}


def bind(name: str, action: str | None = None, *, priority: bool = False) -> Binding:
    """The binding for a key of the table; its action has the same name unless given."""
    key = KEYS[name]
    return Binding(
        key.keys, action or name, key.help.capitalize(), id=name, priority=priority, show=False
    )


def check_keymap(wanted: Mapping[str, str]) -> tuple[Keymap, tuple[str, ...]]:
    """The user's keys that can be used, and a sentence for each that cannot."""
    usable: dict[str, str] = {}
    problems = []
    for name, keys in wanted.items():
        own = _keys_of(keys)
        wrong = [key for key in own if not _is_key(key)]
        typed = [key for key in map(str.strip, keys.split(",")) if _is_typed(key)]
        if name not in KEYS:
            problems.append(f"[keys] {name}: there is no such action; F1 lists them by name.")
        elif wrong or not own:
            said = f"{wrong[0]!r} is no key" if wrong else "it has no key"
            problems.append(f"[keys] {name}: {said}; its own stays: {shown_keys(name, {})}.")
        elif typed and KEYS[name].place in ("everywhere", "prompt"):
            problems.append(
                f"[keys] {name}: {typed[0]!r} is needed to write with; its own stays: "
                f"{shown_keys(name, {})}."
            )
        else:
            usable[name] = keys
    # What is taken back may be what another one was moved to.
    while clash := next(filter(None, (_taken(name, usable) for name in usable)), None):
        name, key, other = clash
        problems.append(
            f"[keys] {name}: {_shown(key)} is the key of {other} there; its own stays: "
            f"{shown_keys(name, {})}."
        )
        del usable[name]
    return usable, tuple(problems)


def _keys_of(keys: str) -> list[str]:
    """As Textual names them: ``plus`` for ``+``."""
    names = [key.strip() for key in keys.split(",") if key.strip()]
    return [_character_to_key(name) if len(name) == 1 else name for name in names]


def _is_key(key: str) -> bool:
    """Whether a terminal may send what Textual calls so."""
    *modifiers, base = key.split("+") if len(key) > 1 else [key]
    is_known = len(base) == 1 or base in _NAMED or key_to_character(base) is not None
    return is_known and set(modifiers) <= _MODIFIERS


def _is_typed(key: str) -> bool:
    """Whether it puts a character into a text."""
    return len(key) == 1 or (key_to_character(key) or "\t").isprintable()


_MODIFIERS: Final = frozenset({"ctrl", "shift", "alt", "super", "hyper", "meta"})
_NAMED: Final = frozenset({*(key.value for key in Keys), *KEY_NAME_REPLACEMENTS.values()})


def _meet(place: Place, other: Place) -> bool:
    """Whether keys of both are looked for at a time. On other screens their own come first."""
    return place == other or {place, other} in ({"everywhere", "prompt"}, {"everywhere", "message"})


def _taken(name: str, wanted: Mapping[str, str]) -> tuple[str, str, str] | None:
    """An action, a key of it that another one has in the same place, and the name of that."""
    own = set(_keys_of(wanted[name]))
    for other, entry in KEYS.items():
        if other != name and _meet(entry.place, KEYS[name].place):
            both = own & set(_keys_of(wanted.get(other) or entry.keys))
            if both:
                return name, min(both), other
    return None


def shown_keys(name: str, keymap: Mapping[str, str]) -> str:
    """The keys of an action as a person reads them: ``Shift+Enter, Ctrl+J``."""
    keys = keymap.get(name) or KEYS[name].keys
    return ", ".join(map(_shown, keys.split(",")))


def with_keys(app: App[Any], words: str) -> str:
    """Words with the keys that are bound in this app.

    Args:
        app: knows which the user rebound.
        words: the name of an action stands in braces where its key is to be: ``{pin_chat} pins``.
    """
    return words.format_map({name: _first_key(name, app._keymap) for name in KEYS})


def _first_key(name: str, keymap: Mapping[str, str]) -> str:
    """The first key of an action, where there is little room: ``←``, or ``Ctrl+K``."""
    key = (keymap.get(name) or KEYS[name].keys).split(",")[0].strip()
    return _SIGNS.get(key) or _shown(key)


_SIGNS: Final[Mapping[str, str]] = {
    **{"left": "←", "right": "→", "up": "↑", "down": "↓"},
    **{"minus": "-", "plus": "+"},
}


def message_keys(keymap: Mapping[str, str], width: int) -> str:
    """The main keys of a message, and what lists all of them, in so many cells.

    Args:
        keymap: keys that the user rebound, by action.
        width: cells; what is needed least is left off where they are too few.
    """

    def first(name: str) -> str:
        return shown_keys(name, keymap).split(", ")[0]

    keys = [
        f"{first('previous_message')}/{first('next_message')} move",
        f"{first('regenerate')} again",
        f"{first('edit')} edit",
        f"{first('copy')} copy",
        f"{first('lens')} tokens",
        f"{first('pin')} pin",
        f"{first('delete')} removes",
        f"{first('previous_variant')}/{first('next_variant')} variants",
    ]
    for count in range(len(keys), -1, -1):
        hint = " · ".join([*keys[:count], f"{first('help')} all keys"])
        if len(hint) <= width:
            return hint
    return ""


def is_message_key(key: str, keymap: Mapping[str, str]) -> bool:
    """Whether a key, as Textual names it, means something on a message."""
    return any(
        key in _keys_of(keymap.get(name) or entry.keys)
        for name, entry in KEYS.items()
        if entry.place == "message"
    )


def _shown(key: str) -> str:
    """One key; a letter alone stays small, because that is what is pressed."""
    key = key.strip()
    if len(key) == 1:
        return key
    names = {"pageup": "PageUp", "pagedown": "PageDown"}
    return "+".join(names.get(part, part.capitalize()) for part in key.split("+"))

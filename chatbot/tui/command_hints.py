"""What the slash command that is being typed could become."""

from textual.content import Content
from textual.widgets import Static

from chatbot.conversation.commands import COMMANDS, Command

MOST_SHOWN = 6


class CommandHints(Static):
    """A few lines above the prompt; nothing while no command is being typed."""

    def show_for(self, text: str) -> None:
        """Show the commands that ``text`` is the beginning of."""
        found = matching(text)
        self.display = bool(found)
        if not found:
            return  # or the whole screen would be laid out for each key
        lines = [
            Content.from_markup("[b $accent]$usage[/] [dim]$help[/]", usage=c.usage, help=c.help)
            for c in found[:MOST_SHOWN]
        ]
        if len(found) > MOST_SHOWN:
            lines.append(Content.from_markup(f"[dim]… {len(found) - MOST_SHOWN} more[/]"))
        self.update(Content("\n").join(lines))


def matching(text: str) -> list[Command]:
    """Commands whose name ``text`` (with its slash) is the beginning of."""
    if not text.startswith("/") or "\n" in text:
        return []
    name, space, _ = text[1:].partition(" ")
    if space:
        return [COMMANDS[name.lower()]] if name.lower() in COMMANDS else []
    return [c for c in COMMANDS.values() if c.name.startswith(name.lower())]


def completion(text: str) -> str | None:
    """``text`` completed as far as it is certain; None when there is nothing to add."""
    found = [c.name for c in matching(text)]
    if not found or " " in text:
        return None
    common = found[0]
    for name in found[1:]:
        while not name.startswith(common):
            common = common[:-1]
    done = f"/{common} " if len(found) == 1 else f"/{common}"
    return done if done != text else None

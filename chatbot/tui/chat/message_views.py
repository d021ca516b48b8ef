"""How messages look: what all of them have in common, and the answer as it streams."""

import re
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, ClassVar, Final

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.geometry import Region
from textual.message import Message as TextualMessage
from textual.strip import Strip
from textual.timer import Timer
from textual.widgets import Static

from chatbot.conversation.keeping import is_empty
from chatbot.conversation.making_words import beam_words, drawn_with
from chatbot.conversation.source_block import sources_of
from chatbot.events import ThoughtDelta
from chatbot.messages import (
    Making,
    Message,
    SettingChange,
    SourcesPart,
    ToolCallPart,
    ToolResultPart,
)
from chatbot.tokens import TokenRecord
from chatbot.tui.chat.answer_body import AnswerBody
from chatbot.tui.chat.facts import Facts, Spare
from chatbot.tui.chat.pulse import pulse_of
from chatbot.tui.drawing.cheap_layout import all_alike, content_size
from chatbot.tui.drawing.pacing import Pacing
from chatbot.tui.keys import KEYS, bind

if TYPE_CHECKING:
    from chatbot.tui.chat.sources_view import SourcesView

UPDATES_PER_SECOND: Final = 25
"""More cannot be told apart; deltas are gathered in between."""

_CODE: Final = re.compile(r"^(```+|~~~+)[^\n]*\n(.*?)^\1\s*$", re.MULTILINE | re.DOTALL)


class PinnedMark(Static):
    """Stands below a message that stays in the window, however long the chat gets."""

    def __init__(self) -> None:
        super().__init__("◆ pinned: stays in the window", markup=False, classes="message-foot")


class MessageView(Vertical, can_focus=True):
    """What questions and answers have in common: they can be gone to and acted on."""

    virtual_size = content_size()

    BINDINGS: ClassVar[list[BindingType]] = [
        # Of the app, which runs them while it handles the key: the next one finds them done.
        bind(name, f"app.act_on_message('{name}')")
        for name, key in KEYS.items()
        if key.place == "message" and name != "fold"
    ]

    class Acted(TextualMessage):
        """The user clicked on something that means what a key does."""

        def __init__(self, view: "MessageView", action: str) -> None:
            super().__init__()
            self.view = view
            self.action = action

    def __init__(self, message_id: str) -> None:
        super().__init__()
        self.message_id = message_id

    def on_mount(self) -> None:
        if self.has_class("-pinned"):
            self.mount(PinnedMark())

    def show_pinned(self, is_pinned: bool) -> None:
        """Say that the message stays in the window, or no longer."""
        self.set_class(is_pinned, "-pinned")
        self.query(PinnedMark).remove()
        if is_pinned:
            self.mount(PinnedMark())

    def render_lines(self, crop: Region) -> list[Strip]:
        return all_alike(super().render_lines, crop)

    @property
    def message(self) -> Message | None:
        """The message as it is kept; None while it streams."""
        raise NotImplementedError

    @property
    def text(self) -> str:
        """The message as it is stored, without marks of ours."""
        raise NotImplementedError

    def last_code_block(self) -> str | None:
        """The last fenced block of code, without its fence; None where there is none."""
        blocks = _CODE.findall(self.text)
        return blocks[-1][1] if blocks else None


class AnswerView(MessageView):
    """An answer as it grows, under it what it rests on, and how it was made."""

    BINDINGS: ClassVar[list[BindingType]] = [bind("fold")]

    def __init__(
        self,
        message_id: str,
        message: Message | None = None,
        variant: str = "",
        rating: int | None = None,
        *,
        is_elsewhere: bool = False,
    ) -> None:
        """Show an answer.

        Args:
            message_id: its id, known before the answer is.
            message: the finished answer; None for one that is about to stream.
            variant: which of several variants it is, ``2/3``; empty when it is the only one.
            rating: what the user thinks of it: 1, -1 or nothing.
            is_elsewhere: another running chatbot writes it.
        """
        super().__init__(message_id)
        self._message = message
        self._is_elsewhere = is_elsewhere
        self._variant = variant
        self._rating = rating
        self._changes: list[SettingChange] = []
        self._num_tokens = 0
        self._pacing = Pacing()
        self._found: SourcesPart | None = None
        """What was found, while the answer is written."""
        self._search_words = ""
        """While the folders are searched: what is said of that."""
        self._found_words = ""
        """What the search came to, in the foot while the answer is written."""
        self._held_words = ""
        """That the answer is held, while it is."""
        self._thinking_words = ""
        """That the model thinks, and what can be done about it."""
        self._read_tokens: Callable[[], Awaitable[Sequence[TokenRecord]]] | None = None
        """Gives what its tokens so far were drawn from."""
        self._sources: SourcesView | None = None
        self._body = AnswerBody(message)
        self._foot = Static("", markup=False, classes="message-foot")
        self._timer: Timer | None = None

    @property
    def message(self) -> Message | None:
        return self._message

    @property
    def text(self) -> str:
        return self._message.text if self._message else self._body.text

    @property
    def found(self) -> SourcesPart | None:
        """What the answer could rest on; None where nothing was searched for it."""
        return sources_of(self._message) if self._message else self._found

    def compose(self) -> ComposeResult:
        yield self._body
        if self.found:
            yield self._make_sources(self.found)
        yield self._foot

    def on_mount(self) -> None:
        if self._message and self._message.making:
            self._show_making(self._message.making)
        elif self._message is None:
            self.add_class("-streaming")
            self._timer = self.set_interval(1 / UPDATES_PER_SECOND, self._write_new)

    def say(self, text: str) -> None:
        """Say in the foot, in one line, what is going on: ``reading 312 tokens``."""
        self._search_words = ""
        self._foot.update(text, layout=not self._foot.size.height)

    def say_searching(self, words: str) -> None:
        """Say in the foot that the folders are searched."""
        self.say(words)
        self._search_words = words

    def say_work(self, work: str) -> None:
        """Say beside it what is being done to them, which the search may wait for."""
        if words := self._search_words:
            self.say(" · ".join(filter(None, (words, work))))
            self._search_words = words

    def say_reading(self, words: str) -> None:
        """Say in the foot how the model reads the prompt."""
        self.say(f"{self._found_words}{words}")

    def say_found(self, found: SourcesPart, words: str) -> None:
        """Say in the foot, for as long as the answer is written, what was found for it."""
        self._found = found
        self._found_words = f"{words} · "

    def show_rating(self, rating: int | None) -> None:
        """Show what the user thinks of the answer."""
        self._rating = rating
        if self._message and self._message.making:
            self._show_making(self._message.making)

    async def say_held(self, words: str) -> None:
        """Say in the foot, until more of the answer comes, that it is held."""
        self._held_words = words
        await self._say_with_pulse(words)

    def draw_tokens(self, read: Callable[[], Awaitable[Sequence[TokenRecord]]]) -> None:
        """Draw in the foot, while the answer is written, how unsure the model was.

        Args:
            read: gives what the tokens so far were drawn from.
        """
        self._read_tokens = read

    def append(self, text: str, num_tokens: int) -> None:
        """Add a piece of the answer, which has ``num_tokens`` tokens with it."""
        self._held_words = ""
        self._body.append(text)
        self._num_tokens = num_tokens

    def think(self, thought: ThoughtDelta, keys: str = "") -> None:
        """Add a piece of what the model thinks; ``keys`` says what can be done about it."""
        self._held_words = ""
        self._body.think(thought.text, thought.num_thinking_tokens, thought.seconds)
        self._num_tokens = thought.num_tokens
        self._thinking_words = f"thinking · {keys} · " if keys else "thinking · "

    def cut_thought(self) -> None:
        """The thought ends because the user wants the answer."""
        self._body.cut_thought()

    async def add_call(self, call: ToolCallPart) -> None:
        """Show a call of a tool, behind the text so far."""
        await self._body.add_call(call, self._changes)

    def start_call(self, call_id: str) -> None:
        """Show that a call runs."""
        self._body.start_call(call_id)

    def end_call(self, result: ToolResultPart) -> None:
        """Show what became of a call."""
        self._body.end_call(result)

    def action_fold(self) -> None:
        """Open the thoughts and calls of the answer, or close them."""
        self._body.toggle()

    def mark(self, change: SettingChange) -> None:
        """Show here that the answer goes on with another setting."""
        self._changes.append(change)

    async def finish(self, message: Message, variant: str = "") -> None:
        """Show the answer as it is kept."""
        self._message = message
        self._variant = variant
        if self._timer:
            self._timer.stop()
        await self._body.finish(message)
        self.remove_class("-streaming")
        await self._show_sources()
        if message.making:
            self._show_making(message.making)

    async def _show_sources(self) -> None:
        """Show what the finished answer rests on."""
        if self.found is None:
            return
        if self._sources is None:
            await self.mount(self._make_sources(self.found), before=self._foot)
        else:
            self._sources.found = self.found

    def _make_sources(self, found: SourcesPart) -> "SourcesView":
        # Only where there are sources: the first frame has no use for them.
        from chatbot.tui.chat.sources_view import SourcesView

        self._sources = SourcesView(found)
        return self._sources

    # By its name, because the class is not there where no answer has sources.
    def on_sources_view_chosen(self, event: "SourcesView.Chosen") -> None:
        event.stop()
        self.post_message(self.Acted(self, f"source_{event.index + 1}"))

    def run_beside(self, device: str) -> None:
        """Take as much of the processor as a model on this device leaves."""
        self._pacing.run_beside(device)

    def give_way(self) -> None:
        """Draw nothing for a moment: a key was pressed, which is to be seen first."""
        self._pacing.give_way()

    async def _write_new(self) -> None:
        if not (self.parent and self.parent.display):
            return  # another chat is open
        start = self._pacing.begin()
        if start is None:
            return
        if await self._body.draw(self._changes):
            thinking = self._thinking_words if self._body.is_thinking else ""
            counted = f"{self._found_words}{thinking}{self._num_tokens} tokens"
            await self._say_with_pulse(self._held_words or counted)
            self.call_after_refresh(self._pacing.rest_after, start)

    async def _say_with_pulse(self, words: str) -> None:
        records = await self._read_tokens() if self._read_tokens else ()
        self.say(words + pulse_of(records, self._foot.size.width - len(words)))

    def _show_making(self, made: Making) -> None:
        self.set_class(made.finish_reason == "error", "-failed")
        is_blank = self._message is not None and is_empty(self._message)
        facts = [" + ".join((made.model, *made.adapters))]
        is_known = made.precision != ""  # what was imported does not say it
        if is_known and (made.device or not is_blank):  # else stopped before the model was there
            facts.append(made.precision)
        if made.is_by_program:
            facts = ["the program's own words: no model was asked"]
        if made.thinking != "auto":
            facts.append(f"thinking {made.thinking}")
        facts += filter(None, [beam_words(made)])
        facts += [Spare(f"{name} {value}") for name, value in drawn_with(made).items()]
        if made.statistics and made.statistics.num_new_tokens:
            facts.append(f"{made.statistics.num_new_tokens} tokens")
            if made.statistics.tokens_per_second:
                facts.append(f"{made.statistics.tokens_per_second:.1f} tok/s")
            facts.append(f"first after {made.statistics.first_token_seconds:.2f} s")
        match made.finish_reason:
            case "cancelled" if is_blank:
                facts.append("stopped before its first token; /regen or r answers")
            case "cancelled":
                facts.append("stopped; /continue or g goes on")
            case "length":
                facts.append("cut at the longest length; /continue or g goes on")
            case "interrupted" if self._is_elsewhere:
                facts.append("another running chatbot is writing it")
            case "interrupted":
                facts.append("interrupted: the program ended; /continue or g goes on")
        facts += [f"{c.name} {c.old} → {c.new}" for c in made.changes]
        if made.num_controls_removed:
            facts.append(f"{made.num_controls_removed} control sequences removed")
        self.set_class(self._rating == 1, "-good")
        self.set_class(self._rating == -1, "-bad")
        if self._rating:
            facts.insert(0, "✓ good" if self._rating > 0 else "✗ bad")
        if self._variant:
            facts[0] = f"‹ {self._variant} ›  {facts[0]}"
        self._foot.update(Facts(facts, f"✗ {made.error}" if made.error else ""))

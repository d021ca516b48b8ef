"""One of several answers that are made at once: a heading, and the text as it grows.

Knows nothing of how the answer comes about, nor of the columns beside it.
"""

from time import monotonic

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.message import Message as TextualMessage
from textual.widgets import Static

from chatbot.events import VariantPlan
from chatbot.messages import Message, SettingChange, ThinkingPart
from chatbot.tui.variants.drawing import ending, parted
from chatbot.wording import counted


class VariantColumn(Vertical):
    """An answer, from its plan to its end."""

    class Clicked(TextualMessage):
        """The user clicked somewhere in it."""

        def __init__(self, column: "VariantColumn") -> None:
            super().__init__()
            self.column = column

    def __init__(self, plan: VariantPlan) -> None:
        super().__init__()
        self.plan = plan
        self.answer: Message | None = None
        """The answer as it is kept, once it is complete."""
        self.is_stale = True
        """Something is not drawn yet."""
        self._parts: list[str] = []
        self._num_tokens = 0
        self._num_thinking_tokens = 0
        self._thinking_seconds = 0.0
        self._is_cut = False
        self.is_thinking = False
        """What comes next is thought, as far as it is known."""
        self._changes: list[SettingChange] = []
        self._started_at: float | None = None
        self._held_at: float | None = None
        self._held_seconds = 0.0
        self._is_broken = False
        self._state = "waiting"
        self._facts = ""
        self._parting = ""
        self._places: tuple[int, ...] = ()
        self._head = Static("", classes="variant-head", markup=False)
        self._scroll = VerticalScroll(classes="variant-scroll")
        self._body = Static("", classes="variant-text", markup=False)

    def compose(self) -> ComposeResult:
        yield self._head
        with self._scroll:
            yield self._body

    def on_click(self, event: events.Click) -> None:
        self.post_message(self.Clicked(self))

    @property
    def text(self) -> str:
        """The answer so far."""
        return "".join(self._parts)

    @property
    def is_silent(self) -> bool:
        """Whether nothing of the answer is there yet, nor its end."""
        return self._started_at is None and self.answer is None

    def go_to(self) -> None:
        """Have the keys scroll this one."""
        self._scroll.focus()

    def say(self, state: str) -> None:
        """Say in the heading what is going on."""
        self._state = state
        self.is_stale = True

    def say_loaded(self, facts: str) -> None:
        """Say in the heading what was loaded: ``cpu · 142 MB``."""
        self._facts = f" · {facts}"
        self.say("reading the prompt")

    def say_parting(self, words: str) -> None:
        """Say in the heading where it leaves the first answer."""
        self._parting = words
        self.is_stale = True

    def append(self, text: str, num_tokens: int) -> None:
        """Add a piece of the answer, which has ``num_tokens`` tokens with it."""
        self._parts.append(text)
        self.is_thinking = False
        self._count(num_tokens)

    def think(self, num_tokens: int, num_thinking_tokens: int, seconds: float) -> None:
        """Note that it thinks.

        Args:
            num_tokens: of the answer so far.
            num_thinking_tokens: of the thought so far.
            seconds: what those took.
        """
        self._num_thinking_tokens, self._thinking_seconds = num_thinking_tokens, seconds
        self.is_thinking = not self._is_cut
        self._count(num_tokens)

    def cut_thought(self) -> None:
        """Note that the user has the thought end here."""
        self._is_cut, self.is_thinking = True, False
        self.is_stale = True

    def mark(self, change: SettingChange) -> None:
        """Show in the text that it goes on with another setting from here."""
        self._changes.append(change)
        self.is_stale = True

    def hold(self, *, is_held: bool) -> None:
        """Note that it is held between two tokens, or goes on."""
        if is_held and self._held_at is None:
            self._held_at = monotonic()
        elif not is_held and self._held_at is not None:
            if self._started_at is not None:  # before, no time was counted
                self._held_seconds += monotonic() - self._held_at
            self._held_at = None
        self.is_stale = True

    def _count(self, num_tokens: int) -> None:
        self._num_tokens = max(num_tokens, self._num_tokens)
        if self._started_at is None:
            self._started_at = monotonic()
        self.is_stale = True

    def finish(self, answer: Message) -> None:
        """Show the answer as it is kept."""
        self.answer = answer
        self.is_thinking = False
        self._parts = [answer.text]
        self._changes = list(answer.making.changes) if answer.making else []
        thoughts = [part for part in answer.parts if isinstance(part, ThinkingPart)]
        if sizes := sum(thought.num_tokens for thought in thoughts):
            self._num_thinking_tokens = sizes
            self._thinking_seconds = sum(thought.seconds for thought in thoughts)
        self._is_cut = any(thought.is_cut for thought in thoughts)
        self.is_stale = True

    def break_off(self) -> None:
        """Nothing is added any more, though it is not complete."""
        self._is_broken = True
        self.is_stale = True

    def draw(self, places: tuple[int, ...], *, is_chosen: bool) -> None:
        """Show what there is.

        Args:
            places: where it leaves the first answer, or where others leave it.
            is_chosen: it is the one that the keys act on.
        """
        self.set_class(is_chosen, "-chosen")
        self.set_class(self.answer is not None, "-complete")
        self._head.update(self._heading(is_chosen=is_chosen))
        if self.is_stale or places != self._places:
            is_at_end = self._scroll.is_vertical_scroll_end
            self._body.update(parted(self.text, places, self._changes))
            if is_at_end and self.answer is None:
                self._scroll.scroll_end(animate=False, immediate=False)
        self._places = places
        self.is_stale = False

    def _heading(self, *, is_chosen: bool) -> Content:
        mark = "❯" if is_chosen else " "
        state = ending(self.answer) if self.answer else self._progress()
        about = " · ".join(filter(None, [*self._thought_words(), self._parting]))
        return Content.assemble(
            (f"{mark} {self.plan.number} ", "bold $text-primary"),
            (self.plan.label, "bold"),
            (self._facts, "dim"),
            (f"\n  {state}", "$text-error" if state.startswith("✗") else ""),
            (f"\n  {about}", "dim"),
        )

    def _thought_words(self) -> list[str]:
        """How much was thought, and whether that was cut short."""
        if not self._num_thinking_tokens:
            return []
        size = f"thought {self._num_thinking_tokens:,} tokens"
        return [f"{size}, cut short"] if self._is_cut else [size, f"{self._thinking_seconds:.1f} s"]

    def _progress(self) -> str:
        if self._is_broken:
            return f"✗ broken off · {self._num_tokens:,} tokens"
        if self._held_at is not None:
            return f"‖ held · {counted(self._num_tokens, 'token')}"
        if self._started_at is None:
            return f"… {self._state}"
        seconds = monotonic() - self._started_at - self._held_seconds
        verb = "writing" if self._parts else "thinking"
        speed = f" · {(self._num_tokens - 1) / seconds:.1f} tok/s" if seconds > 0.2 else ""
        return f"▶ {verb} · {self._num_tokens:,} tokens{speed}"

"""Ctrl+O: every model that is known, what it takes of this machine's memory, and the way in.

Priced anew as precision and window change. Downloads and removes; what is to be loaded is
handed to whoever opened the screen. Knows no torch.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import ClassVar, Final

import msgspec
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from chatbot.errors import ChatbotError, ModelError
from chatbot.models.facts import ModelFacts, facts_of
from chatbot.models.fitting import check_fit
from chatbot.models.hardware import look
from chatbot.models.hub import PullProgress, pull
from chatbot.models.listing import list_models
from chatbot.models.memory import DEFAULT_CONTEXT
from chatbot.models.references import resolve
from chatbot.models.removing import remove
from chatbot.settings import PRECISIONS
from chatbot.terminal_text import clean_line
from chatbot.tui.drawing.cells import draw_bar, fewer
from chatbot.tui.keys import bind, with_keys
from chatbot.tui.models.rows import (
    ELSEWHERE,
    HERE,
    LOADED,
    Choice,
    Room,
    detail_lines,
    model_row,
    precision_of,
    room_line,
)
from chatbot.wording import size

HINTS: Final = (
    "Enter load · {previous_precision} {next_precision} precision · "
    "{longer_window} {shorter_window} window · {pull_model} get · {remove_model} remove · "
    "{add_model} add · Esc close"
)
LEGEND: Final = f"{LOADED} loaded  {HERE} here  {ELSEWHERE} on the hub · figures in GiB"

WINDOWS: Final = (1024, 2048, 4096, 0, 16384, 32768, 65536, 131072)
"""Context lengths to choose from; 0 is none in particular, and priced as a long chat."""

LOOK_SECONDS: Final = 3.0
"""How often the free memory is looked at."""

_DRAW_SECONDS: Final = 0.1


class _StoppedError(BaseException):
    """The user ended a download; no ``except Exception`` explains it away."""


class ModelWanted(msgspec.Struct, frozen=True, kw_only=True):
    """What the user wants loaded."""

    model: str
    choice: Choice
    is_forced: bool
    """Although it does not seem to fit."""


class ModelScreen(ModalScreen[ModelWanted | None]):
    """A list of models, and below it what each precision of one of them takes."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "close", "Close", show=False),
        bind("models", "dismiss", priority=True),
        bind("previous_precision", "step_precision(-1)"),
        bind("next_precision", "step_precision(1)"),
        bind("shorter_window", "step_window(-1)"),
        bind("longer_window", "step_window(1)"),
        bind("pull_model"),
        bind("stop_pull"),
        bind("remove_model"),
        bind("add_model"),
    ]

    def __init__(
        self,
        choice: Choice,
        loaded: str,
        wanted: str,
        given_back: int,
        folders: Sequence[str] = (),
    ) -> None:
        """Make the screen.

        Args:
            choice: what is set now.
            loaded: the model that is loaded; empty for none.
            wanted: the model that is set.
            given_back: bytes that the loaded model gives back before another is loaded.
            folders: where the user keeps models.
        """
        super().__init__()
        self._choice = choice
        self._loaded = loaded
        self._others = list(dict.fromkeys(filter(None, (loaded, wanted))))
        self._given_back = given_back
        self._folders = tuple(folders)
        self._models: list[ModelFacts] = []
        self._room: Room | None = None
        self._forced = ""
        """The model whose load was refused once: the next Enter loads it all the same."""
        self._doomed = ""
        """The model that the next Delete removes."""
        self._pulling = ""
        self._is_stopped = False
        self._head = Static(id="models-head", markup=False)
        self._list = OptionList(id="model-list", markup=False)
        self._detail = Static(id="model-detail", markup=False)
        self._input = Input(placeholder="org/name, a folder, or a .gguf file", id="model-reference")
        self._foot = Static(LEGEND, classes="pane-foot", markup=False)

    def compose(self) -> ComposeResult:
        with Vertical(id="models") as box:
            box.border_title = "Models"
            yield self._head
            yield self._list
            yield self._detail
            yield self._input
            yield self._foot

    def on_mount(self) -> None:
        self._input.display = False
        self._list.focus()
        self._read()
        self.set_interval(LOOK_SECONDS, self._look_again)

    def on_resize(self) -> None:
        words = fewer(with_keys(self.app, HINTS), self.size.width - 6)
        self.query_one("#models").border_subtitle = words
        self.call_after_refresh(lambda: self._draw(self._chosen))

    # What is shown

    @work(exclusive=True, group="models")
    async def _read(self) -> None:
        """Read what there is, away from the event loop."""
        models, hardware = await asyncio.gather(
            asyncio.to_thread(list_models, self._others, self._folders), asyncio.to_thread(look)
        )
        chosen = self._chosen
        self._models = models
        self._room = Room(hardware=hardware, given_back=self._given_back)
        self._draw(chosen)

    @work(exclusive=True, group="room")
    async def _look_again(self) -> None:
        hardware = await asyncio.to_thread(look)
        self._room = Room(hardware=hardware, given_back=self._given_back)
        self._draw_prices()

    def _draw(self, chosen: ModelFacts | None = None) -> None:
        """Show the list anew, with the cursor on ``chosen``, or on the loaded model at first."""
        width = self._list.scrollable_content_region.width - 2
        if self._room is None or width <= 0:
            return
        self._list.set_options(
            Option(self._row(facts, width), id=str(index))
            for index, facts in enumerate(self._models)
        )
        names = [facts.reference for facts in self._models]
        first = self._loaded if chosen is None else chosen.reference
        self._list.highlighted = names.index(first) if first in names else 0
        self._draw_detail()

    def _draw_prices(self) -> None:
        """Show what the choice and the free memory make of the same list."""
        width = self._list.scrollable_content_region.width - 2
        if self._room is None or width <= 0 or self._list.option_count != len(self._models):
            return
        for index, facts in enumerate(self._models):
            self._list.replace_option_prompt_at_index(index, self._row(facts, width))
        self._draw_detail()

    def _row(self, facts: ModelFacts, width: int) -> Content:
        if self._room is None:
            return Content("")
        is_loaded = facts.reference == self._loaded
        return model_row(facts, self._room, self._choice, width, is_loaded=is_loaded)

    def _draw_detail(self) -> None:
        if self._room is None:
            return
        width = self._head.content_region.width
        self._head.update(room_line(self._room, self._choice, width))
        if facts := self._chosen:
            self._detail.update(detail_lines(facts, self._room, self._choice, width))

    @property
    def _chosen(self) -> ModelFacts | None:
        index = self._list.highlighted
        return self._models[index] if index is not None and index < len(self._models) else None

    @on(OptionList.OptionHighlighted)
    def _highlighted(self, event: OptionList.OptionHighlighted) -> None:
        event.stop()
        if self._doomed or self._forced:
            self._doomed = self._forced = ""
            self._say(LEGEND)
        self._draw_detail()

    def _say(self, text: str) -> None:
        if not self._pulling or text is not LEGEND:
            self._foot.update(text)

    # Choosing

    def action_step_precision(self, step: int) -> None:
        """Price by the next precision, or the one before."""
        names = list(PRECISIONS)
        index = names.index(self._choice.precision) if self._choice.precision in names else 0
        precision = names[(index + step) % len(names)]
        self._choose(msgspec.structs.replace(self._choice, precision=precision))

    def action_step_window(self, step: int) -> None:
        """Price by a longer window, or a shorter one."""
        now = self._choice.context_length
        priced = now or DEFAULT_CONTEXT
        longer = [window for window in WINDOWS if (window or DEFAULT_CONTEXT) > priced]
        shorter = [window for window in WINDOWS if (window or DEFAULT_CONTEXT) < priced]
        window = (longer[0] if longer else now) if step > 0 else (shorter[-1] if shorter else now)
        self._choose(msgspec.structs.replace(self._choice, context_length=window))

    def _choose(self, choice: Choice) -> None:
        self._choice = choice
        self._forced = ""
        self._draw_prices()

    @on(OptionList.OptionSelected)
    def _load(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        facts = self._chosen
        if facts is None or self._room is None:
            return
        is_forced = self._forced == facts.reference
        if not facts.is_here and facts.problem:
            self._say(f"✗ {clean_line(facts.problem, 300)}")
            return
        if facts.shape is not None and not is_forced:
            try:
                check_fit(
                    facts.reference,
                    facts.shape,
                    precision_of(facts, self._room, self._choice),
                    self._room.hardware,
                    self._choice.context_length,
                    self._given_back,
                )
            except ModelError as error:
                self._forced = facts.reference
                self._say(f"✗ {error} Enter again loads it all the same.")
                return
        wanted = ModelWanted(model=facts.reference, choice=self._choice, is_forced=is_forced)
        self.dismiss(wanted)

    # Getting and removing

    def action_add_model(self) -> None:
        """Have a reference typed."""
        self._input.display = True
        self.set_focus(self._input)
        self._say("Enter add to the list · Esc back")

    @on(Input.Submitted, "#model-reference")
    def _add(self, event: Input.Submitted) -> None:
        event.stop()
        try:
            facts = facts_of(resolve(event.value))
        except ModelError as error:
            self._say(f"✗ {clean_line(str(error), 300)}")
            return
        self._others.insert(0, facts.reference)
        self._models = [facts, *(m for m in self._models if m.reference != facts.reference)]
        self._end_adding()
        self._draw()
        self._list.highlighted = 0
        if not facts.is_here and not facts.problem:
            gets = with_keys(self.app, "{pull_model} gets it from the hub.")
            self._say(f"{facts.reference} is not on this machine; {gets}")

    def _end_adding(self) -> bool:
        if not self._input.display:
            return False
        self._input.value = ""
        self._input.display = False
        self._list.focus()
        self._say(LEGEND)
        return True

    def action_pull_model(self) -> None:
        """Download the model under the cursor."""
        facts = self._chosen
        if facts is None or facts.kind != "hub":
            self._say("Only models of the hub are downloaded.")
        elif self._pulling:
            stops = with_keys(self.app, "{stop_pull} stops it.")
            self._say(f"{self._pulling} is being downloaded; {stops}")
        else:
            self._pulling, self._is_stopped = facts.reference, False
            self._pull(facts.reference)

    @work(thread=True, group="pull")
    def _pull(self, reference: str) -> None:
        drawn_at, file = 0.0, ""

        def show(progress: PullProgress) -> None:
            nonlocal drawn_at, file
            if self._is_stopped:
                raise _StoppedError
            now = time.monotonic()
            if now - drawn_at >= _DRAW_SECONDS or progress.file != file:
                drawn_at, file = now, progress.file
                self.app.call_from_thread(self._show_pull, progress)

        try:
            pull(resolve(reference).hub_id, show)
            sentence = f"{reference} is here."
        except _StoppedError:
            goes_on = with_keys(self.app, "{pull_model} goes on where it was.")
            sentence = f"{reference}: stopped; {goes_on}"
        except ChatbotError as error:
            sentence = f"✗ {error}"
        if not self._is_stopped or self.is_attached:
            self.app.call_from_thread(self._pulled, sentence)

    def _show_pull(self, progress: PullProgress) -> None:
        total = progress.total_bytes
        if not total:
            self._foot.update(f"Asking the hub about {progress.hub_id}…")
            return
        share = progress.done_bytes / total
        self._foot.update(
            f"{draw_bar(share)} {size(progress.done_bytes)} of {size(total)} · "
            f"{clean_line(progress.file, 60)} · x stops"
        )

    def _pulled(self, sentence: str) -> None:
        self._pulling = ""
        if self.is_attached:
            self._say(clean_line(sentence, 400))
            self._read()

    def action_stop_pull(self) -> None:
        """End the download; what is here stays."""
        self._is_stopped = True

    def action_remove_model(self) -> None:
        """Delete the model under the cursor, at the second press."""
        facts = self._chosen
        if facts is None or not facts.num_bytes:
            self._say("There is nothing of it on this machine.")
        elif facts.reference == self._loaded:
            self._say("It is loaded; load another one first.")
        elif self._doomed != facts.reference:
            self._doomed = facts.reference
            again = with_keys(self.app, "{remove_model} once more")
            self._say(f"{again} removes {clean_line(facts.reference, 80)} from here.")
        else:
            self._doomed = ""
            self._remove(facts.reference)

    @work(exclusive=True, group="remove")
    async def _remove(self, reference: str) -> None:
        try:
            removed = await asyncio.to_thread(remove, reference)
        except ChatbotError as error:
            self._say(f"✗ {clean_line(str(error), 300)}")
            return
        note = f"{size(removed.freed_bytes)} are free now. {removed.note}"
        self._say(clean_line(note, 300))
        if reference in self._others:
            self._others.remove(reference)
        self._read()

    def action_close(self) -> None:
        """Leave the line that a reference is typed in, or the screen."""
        if not self._end_adding():
            self._is_stopped = True
            self.dismiss(None)

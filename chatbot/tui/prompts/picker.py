"""The prompt library on the screen: a list, what a prompt asks for, and what will be sent.

Returns a filled prompt, or None; sends nothing itself.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import ClassVar, Final

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Label, OptionList
from textual.widgets.option_list import Option

from chatbot.conversation.prompt_library import PromptLibrary, is_own
from chatbot.conversation.prompt_template import (
    INPUT,
    FilledPrompt,
    PromptTemplate,
    placeholder,
)
from chatbot.errors import PromptError
from chatbot.tui.key_order import passed_on, ran_own_binding
from chatbot.tui.prompts.fields import Field, PromptFields
from chatbot.tui.prompts.preview import PromptPreview

_GROUPS: Final = {"question": "Questions", "persona": "Personas"}


class PromptPicker(ModalScreen[FilledPrompt | None]):
    """Choose a prompt, fill it in, see what comes of it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss", "Close", show=False),
        Binding("pageup", "scroll_preview(-1)", "Scroll up", show=False, priority=True),
        Binding("pagedown", "scroll_preview(1)", "Scroll down", show=False, priority=True),
    ]

    def __init__(
        self,
        library: PromptLibrary,
        name: str,
        values: Mapping[str, str],
    ) -> None:
        """Make the picker.

        Args:
            library: the prompts there are.
            name: the prompt to begin with; empty for the first.
            values: what the user gave already.
        """
        super().__init__()
        self._library = library
        self._begin_with = name
        self._values = dict(values)
        self._groups: dict[str, PromptFields] = {}
        """The fields of each prompt that was looked at; they keep what was typed."""
        self._previewed: Mapping[str, str] = {}
        """The values that the preview shows."""
        self._showing = asyncio.Lock()
        self._searched = ""
        self._filter = _Filter(self._take_key)
        self._list = OptionList(id="picker-list", compact=True)
        self._list.can_focus = False  # the filter moves it: one place to type and to choose
        self._about = Label("", id="picker-about", markup=False)
        self._fields = VerticalScroll(id="picker-fields", can_focus=False)
        self._preview = PromptPreview(id="picker-preview")
        self._state = Label("", id="picker-state")

    def compose(self) -> ComposeResult:
        with Horizontal(id="picker") as box:
            box.border_title = "Prompts"
            box.border_subtitle = "↑↓ choose · Tab fields · Enter send · Esc close"
            with Vertical(id="picker-left"):
                yield self._filter
                yield self._list
            with Vertical(id="picker-right"):
                yield self._about
                yield self._fields
                yield self._preview
                yield self._state

    def on_mount(self) -> None:
        self._show_list("")
        if self._begin_with in self._library.prompts:
            self._list.highlighted = self._list.get_option_index(self._begin_with)
        self._filter.focus()

    # The list

    def _show_list(self, wanted: str) -> None:
        """List the prompts whose name or description has all words of ``wanted``."""
        words = wanted.lower().split()
        options: list[Option] = []
        group = ""
        for prompt in self._library.prompts.values():
            text = f"{prompt.name} {prompt.description}".lower()
            if not all(word in text for word in words):
                continue
            if prompt.kind != group:
                group = prompt.kind
                if options:
                    options.append(Option("", disabled=True))
                options.append(Option(Content.styled(_GROUPS[group], "bold"), disabled=True))
            options.append(Option(_title(prompt), id=prompt.name))
        self._list.set_options(options)
        first = next((i for i, option in enumerate(options) if not option.disabled), None)
        self._list.highlighted = first
        if first is None:
            self._show_nothing()

    @property
    def _prompt(self) -> PromptTemplate | None:
        option = self._list.highlighted_option
        return self._library.prompts.get(option.id) if option and option.id else None

    @property
    def _group(self) -> PromptFields | None:
        prompt = self._prompt
        return self._groups.get(prompt.name) if prompt else None

    async def _take_key(self, key: str) -> None:
        """Carry out a key of the filter: in its turn, after the letters before it."""
        await self._search()
        match key:
            case "up":
                self._list.action_cursor_up()
            case "down":
                self._list.action_cursor_down()
        await self._show_prompt()
        match key:
            case "enter":
                self._send()
            case "tab":
                group = self._group
                if group and group.fields:
                    group.fields[0].give_focus()

    @on(Input.Changed, "#picker-filter")
    async def _search(self) -> None:
        if self._searched != self._filter.value:
            self._searched = self._filter.value
            self._show_list(self._searched)

    @on(OptionList.OptionHighlighted)
    async def _show_prompt(self) -> None:
        """Show the prompt that is chosen in the list."""
        async with self._showing:
            if prompt := self._prompt:
                await self._show(prompt)

    async def _show(self, prompt: PromptTemplate) -> None:
        group = self._groups.get(prompt.name)
        if group is None:
            known = {v.name for v in prompt.fields}
            is_first = prompt.name == self._begin_with
            given = {
                name: value
                for name, value in self._values.items()
                if name in known and (is_first or name == INPUT)
            }
            group = self._groups[prompt.name] = PromptFields(prompt, given, self._send)
            await self._fields.mount(group)
        for other in self._groups.values():
            other.display = other is group
        if field := group.find(INPUT):
            field.set_value(self._values.get(INPUT, ""))
        self._fields.display = bool(group.fields)
        self._preview.display = True
        self._about.update(prompt.description)
        self._show_preview()
        self._preview.show_start()

    @on(OptionList.OptionSelected)
    def _clicked(self) -> None:
        """A click chooses, and goes to the first thing to type."""
        self._filter.focus()

    def _show_nothing(self) -> None:
        for group in self._groups.values():
            group.display = False
        self._about.update("No prompt has these words.")
        self._fields.display = False
        self._preview.display = False
        self._say("")

    # The preview

    @on(Field.Changed)
    def _typed(self, event: Field.Changed) -> None:
        if event.field.variable.name == INPUT:
            self._values[INPUT] = event.field.value
        if self._group and self._group.values != self._previewed:
            self._show_preview()
        self._preview.follow(event.field.value)

    def _show_preview(self) -> None:
        prompt, group = self._prompt, self._group
        if prompt is None or group is None:
            return
        values = self._previewed = group.values
        missing = [v.name for v in prompt.missing(values)]
        self._preview.border_title = (
            "What is sent" if prompt.kind == "question" else "What becomes the system prompt"
        )
        try:
            pieces = prompt.preview(values)
        except PromptError as error:
            self._say(str(error), "-failed")
            return
        self._preview.show_pieces(pieces, {placeholder(name) for name in missing})
        if missing:
            self._say(f"Still needed: {', '.join(missing)}", "-missing")
        else:
            self._say(_on_sending(prompt))

    def _say(self, text: str, state: str = "") -> None:
        """Say something below the preview; ``state`` is its class."""
        self._state.update(Content(text))
        self._state.set_classes(state)

    def action_scroll_preview(self, direction: int) -> None:
        """Scroll the preview by most of its height."""
        step = max(self._preview.size.height - 1, 1)
        self._preview.scroll_relative(y=direction * step, animate=False)

    # Sending

    def _send(self) -> None:
        prompt, group = self._prompt, self._group
        if prompt is None or group is None:
            return
        self._show_preview()  # now, because what is said below must not be written over
        if missing := prompt.missing(group.values):
            if field := group.find(missing[0].name):
                field.give_focus()
            return
        try:
            filled = prompt.fill(group.values)
        except PromptError as error:
            self._say(str(error), "-failed")
        else:
            self.dismiss(filled)


class _Filter(Input):
    """Searches the list, and moves in it.

    Its keys are carried out here, in the order in which they were pressed.
    """

    def __init__(self, take_key: Callable[[str], Awaitable[None]]) -> None:
        super().__init__(placeholder="Search prompts", compact=True, id="picker-filter")
        self._take_key = take_key

    async def _on_key(self, event: events.Key) -> None:
        if event.key in ("up", "down", "tab", "enter") and self.screen.focused is self:
            event.stop()
            event.prevent_default()
            await self._take_key(event.key)
        elif not (passed_on(self, event) or await ran_own_binding(self, event)):
            await super()._on_key(event)


def _title(prompt: PromptTemplate) -> Content:
    own = " [$text-muted]yours[/]" if is_own(prompt) else ""
    return Content.from_markup(f" $name{own}", name=prompt.name)


def _on_sending(prompt: PromptTemplate) -> str:
    if prompt.kind == "persona":
        return "Enter makes this the system prompt."
    settings = " · ".join(f"{name} {value}" for name, value in prompt.settings.items())
    return f"This answer alone: {settings}" if settings else "Enter sends it."

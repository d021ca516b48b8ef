"""Markdown that streams: the same as what comes whole, and no more work than that takes."""

from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt
from textual.app import App, ComposeResult
from textual.geometry import Offset
from textual.pilot import Pilot
from textual.screen import Screen
from textual.selection import Selection
from textual.widgets import Markdown

from chatbot.messages import Message, TextPart
from chatbot.tui import app as app_module
from chatbot.tui.app import ChatApp
from chatbot.tui.chat.chat_view import ChatView
from chatbot.tui.chat.code_lines import CodeLines
from chatbot.tui.chat.growing_markdown import GrowingFence, GrowingParagraph
from chatbot.tui.chat.markdown import safe_markdown
from chatbot.tui.chat.message_views import MessageView
from chatbot.tui.chat.notes import LeftOutMark, NoteView
from chatbot.tui.chat.question_view import QuestionView
from chatbot.tui.command_hints import CommandHints
from chatbot.tui.drawing import key_pause
from chatbot.tui.drawing.key_pause import MAX_WAIT, KeyPause
from chatbot.tui.drawing.reserve import Pace
from chatbot.tui.prompt import Prompt, Sent
from tests.tui.helpers import MakeApp, ask_and_wait, filled, questions, screen_text, until

CODE = "".join(
    f'def f{n}(value):\n    """What\n\n    it does."""\n    return {n}\n\n' for n in range(12)
)
WHOLE = {
    "paragraphs": "The sea was calm. " * 20 + "\n\nThe lamp *turned* slowly. " * 9,
    "code": f"Before.\n\n```python\n{CODE}```\n\nAfter.",
    "code of no language": "```\n" + "a = 1\n" * 40 + "```\n",
    "bullets": "".join(f"- item {n} says `so`\n  - and below it\n\n  more\n" for n in range(6)),
    "numbers": "".join(f"{n}. item {n}\n" for n in range(1, 13)),
    "code in a list": "1. do:\n\n   ```sh\n   ls\n   cd\n   ```\n2. done\n",
    "quote and table": "> quoted\n> more\n\n| a | b |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |\n\nend",
    "html": "Before.\n\n<div>\nshown\n</div>\n\nAfter <b>it</b>.\n\n<!-- too -->\n\nThe end.",
}


TALL = (60, 160)
"""Room for each of these and for what is kept free below, so that no scrollbar comes."""


class Page(App[None]):
    """One piece of Markdown."""

    CSS_PATH = Path(app_module.__file__).parent / "chat/chat.tcss"

    def __init__(self, text: str) -> None:
        super().__init__()
        self.source = text
        self.markdown = safe_markdown("")

    def compose(self) -> ComposeResult:
        yield self.markdown

    async def on_mount(self) -> None:
        await self.markdown.update(self.source)

    @property
    def text(self) -> str:
        return "\n".join(strip.text.rstrip() for strip in self.screen._compositor.render_strips())


async def drawn_whole(text: str, size: tuple[int, int]) -> str:
    """What the screen shows of ``text`` that came at once."""
    page = Page(text)
    async with page.run_test(size=size) as pilot:
        await pilot.pause()
        return page.text


@pytest.mark.parametrize("text", WHOLE.values(), ids=WHOLE)
async def test_what_grows_comes_to_look_like_what_comes_whole(text: str) -> None:
    expected = await drawn_whole(text, TALL)
    growing = Page("")
    async with growing.run_test(size=TALL) as pilot:
        await pilot.pause()
        for start in range(0, len(text), 43):
            await growing.markdown.append(text[start : start + 43])
            await pilot.pause()
        assert growing.text == expected
        assert expected.strip()


@pytest.mark.parametrize("text", WHOLE.values(), ids=WHOLE)
async def test_pieces_that_do_not_wait_for_one_another_are_all_shown(text: str) -> None:
    """As when an answer ends while its last piece but one is still being drawn."""
    expected = await drawn_whole(text, TALL)
    growing = Page("")
    async with growing.run_test(size=TALL) as pilot:
        await pilot.pause()
        pieces = [text[start : start + 43] for start in range(0, len(text), 43)]
        *others, last = [growing.markdown.append(piece) for piece in pieces]
        await last
        await pilot.pause()
        assert growing.text == expected
        assert all(other.is_done for other in others)


@pytest.mark.parametrize("pieces", [("```",), ("``", "`\n"), ("`", "``p", "y\n"), ("~~~\n~~~",)])
async def test_a_fence_without_code_takes_one_line_and_is_seen(pieces: tuple[str, ...]) -> None:
    text = "".join(pieces)
    growing = Page("")
    async with growing.run_test(size=(40, 12)) as pilot:
        await pilot.pause()
        for piece in ("It is 4000 EUR.\n\n", *pieces):
            await growing.markdown.append(piece)
            await pilot.pause()
        growing.markdown.settle()
        await pilot.pause()
        [code] = growing.query(CodeLines)
        assert code.outer_size.height == 1
        assert [line.strip() for line in growing.text.splitlines() if line][1:] == [
            text.splitlines()[0]
        ]
        assert growing.text == await drawn_whole(f"It is 4000 EUR.\n\n{text}", (40, 12))


FENCES = {
    "no code": ("Before.\n", "```\n", "```\n", "After."),
    "nothing at first": ("```\n", "\n", "\n", "a\n", "b\n", "```\n", "After."),
    "an end in pieces": ("```py\n", "a = 1\n``", "`\n", "\nAfter *it*."),
    "marks in the code": ("```py\n", "a = `1`\n", " ``\n", "````x\nb\n", "```", "\n\nAfter."),
    "a longer mark": ("````\n", "```\ncode\n", "```\n", "more\n", "````\n\nAfter."),
    "waves": ("~~~ sh\n", "ls\n```\n", "cd", " ~\n", "~~~\n- after\n"),
    "indented": (" ```\n", "  a\n", "  b\n", "```\nAfter."),
    "before it": ("Before.\n\n", "```\n", "a\n", "\n\nb", "\n\n", "c\n"),
    "no end": ("```py\n", "def f():\n", "    ", "return 1\n", "\n# é"),
    "no line break at first": ("```", "py", "thon\nx", " = 1\n"),
    "in a list": ("1. do\n\n   ```\n", "   ls\n", "   cd\n", "   ```\n2. done"),
}


@pytest.mark.parametrize("pieces", FENCES.values(), ids=FENCES)
async def test_code_ends_where_it_ends(pieces: tuple[str, ...]) -> None:
    expected = await drawn_whole("".join(pieces), (40, 30))
    growing = Page("")
    async with growing.run_test(size=(40, 30)) as pilot:
        await pilot.pause()
        for piece in pieces:
            await growing.markdown.append(piece)
            await pilot.pause()
        growing.markdown.settle()
        await pilot.pause()
        assert growing.text == expected
        assert growing.markdown.source == "".join(pieces)


async def test_growing_code_is_not_parsed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    page = Page("")
    async with page.run_test(size=(40, 60)) as pilot:
        await pilot.pause()
        await page.markdown.append("Before.\n\n```py\na = 0\n")
        parsed: list[str] = []
        parse = MarkdownIt.parse

        def note(self: MarkdownIt, text: str) -> Any:
            parsed.append(text)
            return parse(self, text)

        monkeypatch.setattr(MarkdownIt, "parse", note)
        for n in range(1, 20):
            await page.markdown.append(f"a = {n}\n")
        assert parsed == []
        await page.markdown.append("```\n\nAfter.")
        assert len(parsed) == 1
        await pilot.pause()
        assert "a = 19" in page.text
        assert "After." in page.text
        fence = page.markdown.query_one(GrowingFence)
        assert fence.source_range == (2, 24)


async def test_code_that_grows_is_cleaned() -> None:
    page = Page("")
    async with page.run_test(size=(40, 20)) as pilot:
        await page.markdown.append("```\na\x1b[31mX\u202e\n")
        await page.markdown.append("b\n")
        await pilot.pause()
        assert page.markdown.query_one(GrowingFence).code == "aX\nb"


async def test_html_is_shown_as_it_is_written() -> None:
    page = Page(WHOLE["html"])
    async with page.run_test(size=(60, 20)) as pilot:
        await pilot.pause()
        for part in ("<div>", "shown", "<b>it</b>", "<!-- too -->"):
            assert part in page.text


def count_layouts(monkeypatch: pytest.MonkeyPatch) -> list[Screen[object]]:
    """Grows by one whenever the whole screen is laid out."""
    layouts: list[Screen[object]] = []
    lay_out = Screen._refresh_layout

    def note(self: Screen[object], *args: Any, **kwargs: Any) -> None:
        layouts.append(self)
        lay_out(self, *args, **kwargs)

    monkeypatch.setattr(Screen, "_refresh_layout", note)
    return layouts


async def test_a_new_paragraph_is_laid_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    page = Page("")
    async with page.run_test(size=(40, 20)) as pilot:
        await pilot.pause()
        await page.markdown.append("first " * 10)
        await pilot.pause()
        layouts = count_layouts(monkeypatch)
        await page.markdown.append("\n\nsecond")
        for _ in range(5):  # whatever might still ask for another one
            await pilot.pause(0.05)
        assert "second" in page.text
        assert len(layouts) == 1


async def settled(pilot: Pilot[Any], layouts: list[Screen[object]]) -> None:
    """Wait until what an answer left to be laid out is; then none is counted."""
    still = 0
    while still < 5:
        layouts.clear()
        await pilot.pause(0.05)
        still = 0 if layouts else still + 1


async def test_typing_does_not_lay_out_the_screen(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = make_app(answer="yes")
    async with app.run_test(size=(140, 40)) as pilot:
        await filled(pilot)
        monkeypatch.setattr(app, "count_context", lambda *_: None)  # comes after a while
        await ask_and_wait(pilot, app, "a question")
        layouts = count_layouts(monkeypatch)
        await settled(pilot, layouts)
        await pilot.press(*"no command")
        await pilot.pause(0.1)
        assert app.query_one(Prompt).text == "no command"
        assert not layouts
        await pilot.press("ctrl+u", "/")
        await until(pilot, lambda: app.query_one(CommandHints).display)
        assert layouts


async def test_a_finished_answer_is_not_made_anew(make_app: MakeApp) -> None:
    app = make_app(answer="\n\n".join(["First of all. " * 5, "Then. " * 5, "- one\n- two", "End."]))
    async with app.run_test(size=(100, 40)) as pilot:
        app._send(Sent("a question"))
        await until(pilot, lambda: len(app.query(GrowingParagraph)) > 1)
        seen = set(app.query(GrowingParagraph))
        await until(pilot, lambda: not app.manager.is_busy)
        await until(pilot, lambda: "End." in screen_text(app))
        assert seen <= set(app.query(GrowingParagraph))


async def test_a_link_that_is_defined_at_the_end_is_one(make_app: MakeApp) -> None:
    app = make_app(
        answer="See [the page][1] for more of it, and go on.\n\n[1]: https://a.example/x"
    )
    async with app.run_test(size=(100, 40)) as pilot:
        await ask_and_wait(pilot, app, "a question")
        await until(pilot, lambda: "See the page for more" in screen_text(app))


def test_all_else_waits_for_keys_but_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(key_pause, "monotonic", lambda: now)
    pause = KeyPause()
    pause.note_work()
    pause.begin()
    assert pause.is_on
    pause.end()
    assert not pause.is_on
    for _ in range(100):  # a key each hundredth of a second
        pause.begin()
        if not pause.is_on:
            break
        now += 0.01
    assert now - 100 == pytest.approx(MAX_WAIT)


async def test_a_paragraph_is_laid_out_again_only_for_another_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    page = Page("word")
    layouts: list[bool] = []
    monkeypatch.setattr(Pace, "num_expected", lambda *_: 0)  # however fast this machine is
    async with page.run_test(size=(40, 10)) as pilot:
        await pilot.pause()
        update = GrowingParagraph.update

        def note(self: GrowingParagraph, *args: object, layout: bool = True) -> None:
            if self.is_attached:  # and is no block that is made only to be compared with
                layouts.append(layout)
            update(self, *args, layout=layout)  # type: ignore[arg-type]

        monkeypatch.setattr(GrowingParagraph, "update", note)
        for _ in range(10):
            await page.markdown.append(" another")
            await pilot.pause()
        text = page.text
    assert text.split() == ["word", *["another"] * 10]
    # 40 cells hold "word" and four more, then five, so two new lines.
    assert sorted(layouts) == [False] * 8 + [True] * 2


async def test_growing_code_is_coloured_from_where_it_is_not_settled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    coloured: list[int] = []
    colour = CodeLines._colour

    def note(self: CodeLines, lines: list) -> list:  # type: ignore[type-arg]
        coloured.append(len(lines))
        return colour(self, lines)

    monkeypatch.setattr(CodeLines, "_colour", note)
    page = Page("```python\n")
    async with page.run_test(size=(60, 30)) as pilot:
        await pilot.pause()
        for start in range(0, len(CODE), 50):
            await page.markdown.append(CODE[start : start + 50])
            page.screen.scroll_end(animate=False)
            await pilot.pause()
    num_lines = len(CODE.splitlines())
    assert len(coloured) > 10
    assert max(coloured) <= 40 < num_lines


async def test_growing_code_does_not_look_at_all_of_its_rows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks = 0
    rows = CodeLines._rows.fget
    assert rows is not None

    def note(self: CodeLines) -> object:
        nonlocal looks
        looks += 1
        return rows(self)

    page = Page("```python\n")
    async with page.run_test(size=(60, 30)) as pilot:
        await pilot.pause()
        await page.markdown.append(CODE * 5)
        await pilot.pause()
        [lines] = page.query(CodeLines)
        num_rows = len(lines.render_lines(lines.size.region))
        assert len(lines._strips) == num_rows > 300
        monkeypatch.setattr(CodeLines, "_rows", property(note))
        await page.markdown.append("x = 1\n")
        await pilot.pause()
        assert "x = 1" in lines._code
        assert looks < 100
        assert len(lines._strips) > 300  # what did not change is still there


async def test_code_can_be_selected_and_is_drawn_in_colours() -> None:
    page = Page("```python\nreturn 1\nreturn 2\n```\n")
    async with page.run_test(size=(60, 12)) as pilot:
        await pilot.pause()
        lines = page.query_one(CodeLines)
        colours = {segment.style.color for segment in lines.render_line(0) if segment.style}
        assert len(colours) > 1
        selection = Selection(Offset(0, 0), Offset(6, 1))
        assert lines.get_selection(selection) == ("return 1\nreturn", "\n")
        page.screen.selections = {lines: selection}
        await pilot.pause()
        assert lines.render_line(0).text.startswith("return 1")


async def test_long_code_out_of_sight_is_not_drawn() -> None:
    page = Page("first\n\n" * 30 + f"```python\n{CODE}```")
    async with page.run_test(size=(60, 20)) as pilot:
        await pilot.pause()
        lines = page.query_one(CodeLines)
        assert not lines._strips
        page.screen.scroll_end(animate=False)
        await pilot.pause()
        assert 0 < len(lines._strips) <= 25
        assert isinstance(page.markdown, Markdown)


async def ask_four(pilot: Pilot[Any], app: ChatApp) -> None:
    """Questions 0 to 3, one after the other."""
    for number in range(4):
        await ask_and_wait(pilot, app, f"question {number}")


async def test_what_is_far_above_is_put_away_and_comes_back(make_app: MakeApp) -> None:
    app = make_app(answer="A line.\n\n" * 30)
    async with app.run_test(size=(100, 20)) as pilot:
        await ask_four(pilot, app)
        shown = questions(app)
        assert shown[-1] == "question 3"
        assert "question 0" not in shown
        first = next(iter(app.manager.conversation.path()))
        await app.query_one(ChatView).go_to(first.id)
        await pilot.pause()
        assert questions(app) == [f"question {number}" for number in range(4)]


async def test_a_note_and_the_mark_are_put_away_too_and_come_back(make_app: MakeApp) -> None:
    app = make_app(answer="A line.\n\n" * 30, window=140)
    async with app.run_test(size=(100, 20)) as pilot:
        app.show_note("A note at the **top**.")
        await until(pilot, lambda: bool(app.query(NoteView)))
        await ask_four(pilot, app)
        assert "question 0" not in questions(app)
        assert not app.query(NoteView)
        assert not app.query(LeftOutMark)
        await app.query_one(ChatView).go_to(next(iter(app.manager.conversation.path())).id)
        first = app.query(QuestionView).first()
        await until(pilot, lambda: app._chat.scroll_y == first.virtual_region.y - 1)
        app._chat.scroll_home(animate=False)
        await until(pilot, lambda: "A note at the top." in screen_text(app))
        assert questions(app) == [f"question {number}" for number in range(4)]
        kinds = [type(view) for view in app._chat.children]
        assert kinds[0] is NoteView
        left_out = list(app.query(".-left-out"))
        assert kinds.index(LeftOutMark) == len(left_out) + 1


async def test_earlier_messages_come_when_the_user_goes_up(make_app: MakeApp) -> None:
    app = make_app(answer="A line.\n\n" * 30)
    async with app.run_test(size=(100, 20)) as pilot:
        await ask_four(pilot, app)
        chat = app.query_one(ChatView)
        chat.scroll_home(animate=False)
        await until(pilot, lambda: questions(app)[0] == "question 0")
        await until(pilot, lambda: chat.scroll_y > 1)  # where what the user looked at is now


async def test_earlier_messages_come_where_there_is_nothing_to_scroll(make_app: MakeApp) -> None:
    app = make_app(answer="A line.\n\n" * 20)
    async with app.run_test(size=(100, 20)) as pilot:
        await ask_four(pilot, app)
        assert questions(app)[0] != "question 0"
        await pilot.resize_terminal(100, 150)
        await until(pilot, lambda: questions(app)[0] == "question 0")


@pytest.mark.parametrize(("height", "num_shown"), [(400, 100), (30, 20)])
async def test_a_long_chat_comes_by_pages_and_whole_where_it_fits(
    make_app: MakeApp, height: int, num_shown: int
) -> None:
    parts = (TextPart("A line."),)
    path = [Message(role="assistant" if n % 2 else "user", parts=parts) for n in range(100)]
    app = make_app()
    async with app.run_test(size=(100, height)) as pilot:
        chat = app.query_one(ChatView)
        await chat.show_path(path, lambda _: "")
        await until(pilot, lambda: len(chat.query(MessageView)) == num_shown)
        for _ in range(5):
            await pilot.pause()
        assert len(chat.query(MessageView)) == num_shown


async def test_nothing_but_the_user_leaves_the_end_of_the_stream(make_app: MakeApp) -> None:
    app = make_app(answer="A line.\n\n" * 30)
    async with app.run_test(size=(100, 20)) as pilot:
        await ask_four(pilot, app)
        chat = app.query_one(ChatView)
        num_shown = len(questions(app))
        chat.watch_scroll_y(5, 0)  # as when what was above has just been put away
        await pilot.pause()
        assert len(questions(app)) == num_shown
        await chat._add_page(is_above=True)  # begun before the question was asked
        await pilot.pause()
        await pilot.pause()
        assert chat._is_following
        assert chat.scroll_y == chat.max_scroll_y


async def test_room_that_was_kept_free_is_given_back_to_what_follows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # However slowly lines come on this machine.
    monkeypatch.setattr(Pace, "num_expected", lambda pace, height: 3)
    page = Page("")
    text = "word " * 60
    async with page.run_test(size=(40, 40)) as pilot:
        await pilot.pause()
        for start in range(0, len(text), 40):
            await page.markdown.append(text[start : start + 40])
            await pilot.pause()
        paragraph = page.query_one(GrowingParagraph)
        num_lines = len(page.text.rstrip("\n").splitlines())
        assert paragraph.region.height > num_lines
        await page.markdown.append("\n\nNext.")
        await pilot.pause()
        lines = page.text.rstrip("\n").splitlines()
        assert lines[num_lines:] == ["", "  Next."]

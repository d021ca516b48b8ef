"""Lines of code that are longer than a row go on in the next one."""

from textual.content import Content
from textual.geometry import Offset
from textual.selection import Selection

from chatbot.tui.chat.code_lines import CONTINUED, CodeLines
from chatbot.tui.drawing.folding import Folding, Row
from tests.tui.test_growing import Page

SHORT = [Content("short"), Content(""), Content("too long for it")]
LONG = "value = function(first_argument, second_argument, third_argument)"


def test_a_line_takes_as_many_rows_as_it_needs() -> None:
    rows = list(Folding().rows(SHORT, 10))
    assert rows == [Row(0, 0, 5), Row(1, 0, 0), Row(2, 0, 9), Row(2, 9, 15)]
    assert Folding().rows([Content("界界界界")], 5) == [Row(0, 0, 2), Row(0, 2, 4)]
    assert Folding().rows([Content("x" * 25)], 10)[-1] == Row(0, 20, 25)


def test_without_a_width_each_line_is_a_row() -> None:
    assert Folding().rows([Content("x" * 500)], 0) == [Row(0, 0, 500)]


def test_rows_follow_the_width_and_the_end_of_lines() -> None:
    folding = Folding()
    assert len(folding.rows(SHORT, 10)) == 4
    assert len(folding.rows(SHORT, 20)) == 3
    assert len(folding.rows(SHORT, 10)) == 4
    assert [folding.first_row(line) for line in range(4)] == [0, 1, 2, 4]
    folding.forget(2)
    grown = [*SHORT[:2], Content("too long for it, by far"), Content("last")]
    assert folding.rows(grown, 10)[2:] == [
        Row(2, 0, 9),
        Row(2, 9, 17),
        Row(2, 17, 23),
        Row(3, 0, 4),
    ]
    folding.forget(0)
    assert folding.rows([], 10) == []


async def test_all_of_a_long_line_is_in_sight_and_marked() -> None:
    page = Page(f"```python\n{LONG}\nshort = 1\n```\n")
    async with page.run_test(size=(44, 14)) as pilot:
        await pilot.pause()
        shown = [line.strip() for line in page.text.splitlines() if line.strip()]
        assert shown[0] == "value = function(first_argument,"
        assert shown[1] == f"{CONTINUED} second_argument, third_argument)"
        assert shown[2] == "short = 1"
        await pilot.resize_terminal(100, 14)
        await pilot.pause()
        shown = [line.strip() for line in page.text.splitlines() if line.strip()]
        assert shown == [LONG, "short = 1"]


async def test_a_long_line_that_grows_looks_like_one_that_comes_whole() -> None:
    text = f"```python\n{LONG}\n{LONG}\nreturn 1\n```\n"
    whole, growing = Page(text), Page("")
    async with whole.run_test(size=(44, 60)) as pilot:
        await pilot.pause()
        expected = whole.text
    async with growing.run_test(size=(44, 60)) as pilot:
        await pilot.pause()
        for start in range(0, len(text), 7):
            await growing.markdown.append(text[start : start + 7])
            await pilot.pause()
        assert growing.text == expected
        assert expected.count(CONTINUED) == 2


async def test_what_is_selected_over_rows_is_as_it_was_written() -> None:
    page = Page(f"```python\n{LONG}\nshort = 1\n```\n")
    async with page.run_test(size=(44, 14)) as pilot:
        await pilot.pause()
        code = page.query_one(CodeLines)
        second = code.render_line(1)
        assert second.text.startswith("second_argument")
        offsets = [segment.style.meta["offset"] for segment in second if segment.style]
        assert offsets[0] == (LONG.index("second"), 0)
        end = Offset(LONG.index("second") + len("second"), 0)
        assert code.get_selection(Selection(Offset(8, 0), end)) == (
            "function(first_argument, second",
            "\n",
        )
        page.screen.selections = {code: Selection(Offset(0, 0), end)}
        await pilot.pause()
        styles = [segment.style for segment in code.render_line(1) if segment.text.strip()]
        assert styles[0].bgcolor != styles[-1].bgcolor  # type: ignore[union-attr]

"""Tables of Markdown: aligned, dense where they fit, and shared out fairly where they do not."""

import pytest

from chatbot.tui.chat.growing_table import TableCells, shared_widths
from tests.tui.test_growing import Page, drawn_whole

ALIGNED = """\
| city | people | river |
|:-----|-------:|:-----:|
| Paris | 2,100,000 | Seine |
| 東京 | 14,000 | 隅田川の川 |
"""
LONG = """\
| what | first | second |
|---|---|---|
| speed | it needs no more than one pass over the text | it is slow but thorough |
"""


async def test_columns_are_aligned_as_the_source_says() -> None:
    lines = [line for line in (await drawn_whole(ALIGNED, (60, 12))).splitlines() if line]
    assert [line.strip() for line in lines] == [
        "city       people     river",
        "─────── ─────────── ────────────",
        "Paris   2,100,000     Seine",
        "東京       14,000   隅田川の川",
    ]


async def test_lines_tell_rows_apart_only_where_text_is_wrapped() -> None:
    page = Page(LONG)
    async with page.run_test(size=(100, 20)) as pilot:
        await pilot.pause()
        assert "│" not in page.text
        assert "it needs no more than one pass over the text" in page.text
        await pilot.resize_terminal(50, 20)
        await pilot.pause()
        assert "├───" in page.text
        assert "speed │" in page.text  # what is short is not wrapped for the sake of the others
        assert page.query_one(TableCells).size.width <= 50
        await pilot.resize_terminal(100, 20)
        await pilot.pause()
        assert "│" not in page.text


async def test_a_table_that_comes_row_by_row_is_the_same() -> None:
    page = Page("")
    async with page.run_test(size=(60, 12)) as pilot:
        for piece in ALIGNED.splitlines(keepends=True):
            await page.markdown.append(piece)
            await pilot.pause()
        assert page.text == await drawn_whole(ALIGNED, (60, 12))


@pytest.mark.parametrize(
    ("wanted", "room", "given"),
    [
        ([15, 65, 46], 46, [15, 16, 15]),
        ([5, 40, 20], 45, [5, 20, 20]),
        ([9, 9], 1, [1, 1]),
        ([], 10, []),
    ],
)
def test_too_little_room_is_shared_out(wanted: list[int], room: int, given: list[int]) -> None:
    assert shared_widths(wanted, room) == given

"""The plot of the entropies, by hand: bars, axes, the cursor, numbers at the highest ones."""

import pytest
from textual.app import App, ComposeResult
from textual.pilot import Pilot

from chatbot.tui.lens.curve import LensCurve
from tests.tui.helpers import screen_text, until


class Host(App[None]):
    """A curve that fills the screen."""

    CSS = """
    LensCurve { color: #808080; }
    LensCurve > .lens-curve--bars { color: #0000ff; }
    LensCurve > .lens-curve--cursor { color: #ff0000; }
    LensCurve > .lens-curve--place { color: #00ff00; }
    """

    def __init__(self) -> None:
        super().__init__()
        self.curve = LensCurve(id="curve")
        self.chosen: list[int] = []

    def compose(self) -> ComposeResult:
        yield self.curve

    def on_lens_curve_chosen(self, event: LensCurve.Chosen) -> None:
        self.chosen.append(event.index)


async def shown(pilot: Pilot[None], app: Host, bits: list[float], cursor: int) -> list[str]:
    """The screen's rows with these entropies."""
    order = sorted((i for i, value in enumerate(bits) if value), key=lambda i: -bits[i])
    app.curve.show(bits, order)
    app.curve.cursor = cursor
    await until(pilot, lambda: "┤" in screen_text(app))
    return screen_text(app).split("\n")


async def test_a_low_curve_is_bars_beside_an_axis() -> None:
    app = Host()
    async with app.run_test(size=(19, 3)) as pilot:  # ten columns beside the axis
        bits = [0.0, 1.0, 0.5, 3.0, 0.0, 2.0, 0.0, 0.0, 0.25, 0.0]
        # Eight eighths a bit. The fourth highest has no number: it would stand beside the third.
        assert await shown(pilot, app, bits, cursor=2) == [
            " 3.0 bit┤  │1 2",
            "        │ 3│█ █  5",
            " entropy┤▁█▄█▁█▁▁▂▁",
        ]


async def test_a_high_curve_has_round_bits_and_the_numbers_of_tokens() -> None:
    app = Host()
    async with app.run_test(size=(60, 11)) as pilot:  # eight rows of bars
        bits = [0.0] * 40
        bits[9], bits[30], bits[37] = 8.0, 4.0, 2.5
        assert await shown(pilot, app, bits, cursor=30) == [
            "   8 bit┤         1                    │",
            "        │         █                    │",
            "   6 bit┤         █                    │",
            "        │         █                    2",
            "   4 bit┤         █                    ▒      3",
            "        │         █                    ▒      ▄",
            "   2 bit┤         █                    ▒      █",
            "        │▁▁▁▁▁▁▁▁▁█▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▒▁▁▁▁▁▁█▁▁",
            "        └┬────────┬─────────┬──────────┬────────┬───────────",
            "         1       10        20         31       40",
            "         entropy at each token · 1 to 5: where it is highest",
        ]


async def test_few_tokens_have_wide_bars_and_the_one_at_the_cursor_is_dotted() -> None:
    app = Host()
    async with app.run_test(size=(29, 3)) as pilot:
        assert await shown(pilot, app, [3.0, 1.5, 0.75, 2.5], cursor=1) == [
            " 3.0 bit┤█1█  │      ▄2▄",
            "        │███ ▄▄▄     ███",
            " entropy┤███ ▒▒▒ ▆▆▆ ███",
        ]


async def test_each_mark_has_its_colour_of_the_style_sheet() -> None:
    app = Host()
    async with app.run_test(size=(19, 3)) as pilot:
        await shown(pilot, app, [0.0, 3.0, 2.0, 0.0], cursor=2)
        colours: dict[str, str] = {}
        for strip in app.screen._compositor.render_strips():
            for segment in strip:
                assert segment.style
                assert segment.style.color
                for character in segment.text:
                    colours[character] = segment.style.color.get_truecolor().hex
        assert {character: colours[character] for character in "█▒1┤"} == {
            "█": "#0000ff",
            "▒": "#ff0000",
            "1": "#00ff00",
            "┤": "#808080",  # the widget's own
        }


async def test_a_click_goes_to_the_token_below_it() -> None:
    app = Host()
    async with app.run_test(size=(19, 3)) as pilot:
        await shown(pilot, app, [float(n % 7) for n in range(100)], cursor=0)
        await pilot.click(LensCurve, offset=(9, 1))  # ten tokens share the column
        await pilot.click(LensCurve, offset=(18, 1))
        await pilot.click(LensCurve, offset=(3, 1))  # the axis
        await until(pilot, lambda: len(app.chosen) == 2)
        assert app.chosen == [6, 90]


async def test_without_tokens_there_is_nothing_and_certain_ones_are_seen() -> None:
    app = Host()
    async with app.run_test(size=(19, 3)) as pilot:
        await pilot.pause()
        assert screen_text(app).strip() == ""
        assert await shown(pilot, app, [0.0, 0.0], cursor=1) == [
            " 0.1 bit┤     │",
            "        │     │",
            " entropy┤▁▁▁ ▁▁▁",
        ]


async def test_the_number_of_a_token_stands_below_the_middle_of_its_bar() -> None:
    app = Host()
    async with app.run_test(size=(29, 6)) as pilot:
        lines = await shown(pilot, app, [3.0, 1.5, 0.75, 2.5], cursor=3)
        assert [line[:24] for line in lines[2:5]] == [
            "   1 bit┤███ ███ ▆▆▆ ▒▒▒",
            "        └─┬───┬───────┬─",
            "          1   2       4",
        ]


@pytest.mark.parametrize("highest", [0.0, 0.001, 0.7, 1.0, 2.2, 4.9, 5.0, 9.99, 16.0])
@pytest.mark.parametrize("height", [6, 8, 11, 30])
async def test_a_high_curve_always_has_its_axis_at_one_place(height: int, highest: float) -> None:
    app = Host()
    async with app.run_test(size=(60, height)) as pilot:
        lines = await shown(pilot, app, [0.0, highest], cursor=0)
        assert lines[-3].startswith("        └")

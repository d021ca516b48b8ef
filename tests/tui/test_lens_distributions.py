"""The plot of distributions side by side, by hand."""

from textual.app import App, ComposeResult

from chatbot.tokens import Alternative, TokenRecord
from chatbot.tui.lens.distributions import LensDistributions
from tests.tui.helpers import screen_text, until


class Host(App[None]):
    """The plot, as wide as the screen."""

    CSS = """
    LensDistributions > .lens-distributions--bars { color: #0000ff; }
    LensDistributions > .lens-distributions--token { color: #ff0000; }
    """

    def __init__(self) -> None:
        super().__init__()
        self.plot = LensDistributions(id="plot")

    def compose(self) -> ComposeResult:
        yield self.plot


def drawn(token: int, *shares: tuple[float, float]) -> TokenRecord:
    others = tuple(Alternative(i, f"w{i}", *share) for i, share in enumerate(shares))
    before, after = shares[token]
    return TokenRecord(token, f"w{token}", "text", before, after, 1, 1, 1.0, 0.5, others)


async def test_each_distribution_has_a_panel_and_all_have_one_scale() -> None:
    app = Host()
    async with app.run_test(size=(44, 6)) as pilot:  # six cells a panel, four rows of bars
        app.plot.record = drawn(1, (0.8, 1.0), (0.2, 0.0))
        await until(pilot, lambda: "┤" in screen_text(app))
        # As drawn, then 4 to 1 to the powers 1/0.3, 1/0.7, 1 and 1/1.5: 0.99, 0.88, 0.8, 0.72.
        # What the settings cut has no bar; what is nearly nothing has one.
        assert screen_text(app).split("\n") == [
            "         100%┤██    ██    ▄▄    ▂▂",
            "             │██    ██    ██    ██    ▇▇",
            "             │██    ██    ██    ██    ██▁▁",
            "  probability┤██    ██▁▁  ██▄▄  ██▆▆  ██▒▒",
            "             └──┬─────┬─────┬─────┬─────┬───",
            "                ●     ●     ●     ●     ●",
        ]


async def test_the_edges_of_a_wide_panel_have_their_ranks() -> None:
    app = Host()
    async with app.run_test(size=(120, 12)) as pilot:
        app.plot.record = drawn(1, (0.4, 0.4), (0.3, 0.3), (0.2, 0.2), (0.1, 0.1))
        await until(pilot, lambda: "┤" in screen_text(app))
        lines = screen_text(app).split("\n")
        assert lines[-1].split() == ["1", "●", "4"] * 5
        assert ["50%" in line for line in lines].index(True) == 5  # half of ten rows, from below


async def test_the_token_that_came_has_a_bar_of_its_own() -> None:
    app = Host()
    async with app.run_test(size=(44, 6)) as pilot:
        app.plot.record = drawn(0, (0.5, 0.5), (0.5, 0.5))
        await until(pilot, lambda: "▒" in screen_text(app))
        colours: dict[str, str] = {}
        for strip in app.screen._compositor.render_strips():
            for segment in strip:
                assert segment.style
                assert segment.style.color
                for character in segment.text:
                    colours[character] = segment.style.color.get_truecolor().hex
        assert (colours["▒"], colours["█"]) == ("#ff0000", "#0000ff")


async def test_without_alternatives_there_is_nothing() -> None:
    app = Host()
    async with app.run_test(size=(44, 6)) as pilot:
        app.plot.record = TokenRecord(1, "x", "text", 0.5, 0.5, 1, 1, 1.0, 1.0)
        await pilot.pause()
        assert screen_text(app).strip() == ""

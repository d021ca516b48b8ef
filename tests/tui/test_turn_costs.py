"""What each answer cost, drawn beside the ribbon's table: by hand, and in the whole program."""

from typing import Any

import pytest

from chatbot.messages import Making, Message, Statistics
from chatbot.settings import Sampling
from chatbot.tui.turn_costs import LEAST_WIDTH, costs_of, draw_costs
from tests.tui.helpers import MakeApp, ask_and_wait, screen_text, until


def cost(num_prompt: int, num_cached: int, num_new: int, first: float = 0.25) -> Statistics:
    return Statistics(
        num_prompt_tokens=num_prompt,
        num_cached_tokens=num_cached,
        num_new_tokens=num_new,
        first_token_seconds=first,
        decode_seconds=1.0,
    )


def answer(statistics: Statistics | None) -> Message:
    made = Making(
        model="m", precision="bf16", device="cpu", sampling=Sampling(), statistics=statistics
    )
    return Message(role="assistant", parts=(), making=made)


def test_the_answers_that_were_counted_have_their_place_among_all() -> None:
    first, last = cost(10, 0, 5), cost(30, 15, 5)
    question: Any = Message(role="user", parts=())
    path = (question, answer(first), question, answer(None), question, answer(last))
    assert costs_of(path) == ((1, first), (3, last))


def test_a_bar_is_what_was_kept_read_and_written_on_one_scale() -> None:
    # 44 cells less two for the number and nine for the time: 33, of 330 tokens.
    costs = [(1, cost(100, 0, 50, 0.6)), (2, cost(200, 150, 50)), (3, cost(300, 3, 30, 12.5))]
    lines = [line.plain for line in draw_costs(costs, 44, 9)]
    assert lines == [
        "  ━ kept  █ read  ▒ written      first token",
        f"1 {'█' * 10}{'▒' * 5}{' ' * 18}   0.60 s",
        f"2 {'━' * 15}{'█' * 5}{'▒' * 5}{' ' * 8}   0.25 s",
        f"3 ━{'█' * 29}▒▒▒  12.50 s",  # what is not nothing is seen
    ]


@pytest.mark.parametrize("width", [LEAST_WIDTH, 36, 60, 200])
def test_each_line_fits_and_the_last_answers_are_drawn(width: int) -> None:
    costs = [(n, cost(n * 40, n * 39, 1)) for n in range(1, 101)]
    lines = [line.plain for line in draw_costs(costs, width, 5)]
    assert [line.split()[0] for line in lines[1:]] == ["97", "98", "99", "100"]
    assert len({len(line) for line in lines}) == 1
    assert len(lines[0]) <= width


def test_nothing_is_drawn_without_room_or_answers() -> None:
    assert draw_costs([], 60, 9) == []
    assert draw_costs([(1, cost(1, 0, 1))], LEAST_WIDTH - 1, 9) == []
    assert draw_costs([(1, cost(1, 0, 1))], 60, 1) == []


async def test_the_open_ribbon_shows_what_the_answers_cost(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(120, 36)) as pilot:
        await ask_and_wait(pilot, app, "first")
        await pilot.press("f3")
        await until(pilot, lambda: "━ kept  █ read  ▒ written" in screen_text(app))
        assert "tools" not in screen_text(app).partition("Ask anything")[2][:600]  # it is empty
        await ask_and_wait(pilot, app, "second")
        await until(pilot, lambda: "2 █" in screen_text(app))
        app.take("/new")
        await until(pilot, lambda: "█ read" not in screen_text(app))


async def test_no_row_of_the_open_ribbon_is_broken_beside_the_sidebar(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        app._sidebar.display = True
        await ask_and_wait(pilot, app, "first")
        await pilot.press("f3")
        await until(pilot, lambda: "history" in screen_text(app))
        lines = screen_text(app).splitlines()
        assert all("%" in line for line in lines if " history " in line or "room " in line)

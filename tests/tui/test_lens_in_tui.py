"""The token lens, branches from it, holding and rating, driven as a user would."""

import json

import pytest
from textual.pilot import Pilot

from chatbot.tokens import TokenRecord
from chatbot.tui.app import ChatApp
from chatbot.tui.chat.message_views import AnswerView
from chatbot.tui.chat.question_view import QuestionView
from chatbot.tui.lens.screen import LensScreen, Stretch
from tests.tui.helpers import (
    MakeApp,
    answers,
    ask,
    ask_and_wait,
    foot,
    last_answer,
    notices,
    press,
    screen_text,
    until,
)

ANSWER = "It was dark and the sea was loud.\n\nNobody came that night."


def lens(app: ChatApp) -> LensScreen:
    assert isinstance(app.screen, LensScreen), screen_text(app)
    return app.screen


async def go_to_answer(pilot: Pilot[int], app: ChatApp) -> None:
    press(app, "ctrl+t")
    await until(pilot, lambda: isinstance(app.focused, AnswerView))


async def open_lens(pilot: Pilot[int], app: ChatApp) -> LensScreen:
    """Go to the last answer and press t; wait until the tokens are there."""
    await go_to_answer(pilot, app)
    press(app, "t")
    await until(pilot, lambda: isinstance(app.screen, LensScreen) and bool(app.screen._records))
    await pilot.pause()
    return lens(app)


async def test_a_low_screen_has_the_temperatures_as_a_table(make_app: MakeApp) -> None:
    app = make_app(answer=ANSWER)
    async with app.run_test(size=(60, 15)) as pilot:
        await ask_and_wait(pilot, app, "go")
        await open_lens(pilot, app)
        press(app, "t")
        await until(pilot, lambda: "drawn " in screen_text(app))
        text = screen_text(app)
        for words in ("t 0.3", "t 1.5", "1 of 12  It␣", "by the model they hold", "%"):
            assert words in text
        await pilot.resize_terminal(60, 20)
        await until(pilot, lambda: "probability┤" in screen_text(app))
        for words in ("drawn ", "t 0.3", "by the model they hold"):
            assert words in screen_text(app)


@pytest.mark.parametrize(("num_words", "num_rows"), [(12, 12), (2000, 3)])
async def test_the_plot_has_the_rows_that_a_short_text_leaves(
    make_app: MakeApp, num_words: int, num_rows: int
) -> None:
    app = make_app(answer="word " * num_words, delay=0)
    async with app.run_test(size=(120, 36)) as pilot:
        await ask_and_wait(pilot, app, "go")
        screen = await open_lens(pilot, app)
        await until(pilot, lambda: screen._curve.size.height == num_rows)
        assert screen._text.size.height + num_rows == 21  # together they have what they had
        press(app, "t")
        await until(pilot, lambda: screen._distributions.size.height == max(num_rows, 6))
        press(app, "t")
        await pilot.resize_terminal(120, 30)
        await until(pilot, lambda: screen._curve.size.height == min(num_rows, 10))


async def test_the_lens_shows_each_token_and_its_alternatives(make_app: MakeApp) -> None:
    app = make_app(answer=ANSWER)
    async with app.run_test(size=(80, 24)) as pilot:
        await ask_and_wait(pilot, app, "go")
        screen = await open_lens(pilot, app)
        text = screen_text(app)
        assert "Token lens · 12 tokens" in text
        assert "1 of 12  It␣" in text
        assert "by the model" in text
        assert "✂ cut" in text
        press(app, "right", "right")
        await until(pilot, lambda: "3 of 12  dark␣" in screen_text(app))
        press(app, "down")
        await until(pilot, lambda: "8 of 12  loud.⏎⏎" in screen_text(app))
        press(app, "down")
        await until(pilot, lambda: "10 of 12  came␣" in screen_text(app))
        press(app, "end")
        await until(pilot, lambda: "12 of 12  night." in screen_text(app))
        entropies = [record.entropy_before for record in screen._records]
        press(app, "n")
        await until(pilot, lambda: entropies[screen.cursor] == max(entropies))
        first = screen.cursor
        press(app, "n")
        await until(pilot, lambda: screen.cursor != first)
        press(app, "N")
        await until(pilot, lambda: screen.cursor == first)
        shares = [record.before for record in screen._records]
        press(app, "s")
        await until(pilot, lambda: shares[screen.cursor] == min(shares))
        first = screen.cursor
        press(app, "s")
        await until(pilot, lambda: screen.cursor != first)
        press(app, "S")
        await until(pilot, lambda: screen.cursor == first)
        press(app, "t")
        await until(pilot, lambda: "t 1.5" in screen_text(app))
        assert "probability┤" in screen_text(app)  # the plot above the table
        assert "entropy┤" not in screen_text(app)
        assert " · temperature 0.3" in screen_text(app)  # what the token was drawn with
        assert "● t 0.3" in screen_text(app)
        assert "Among these" in screen_text(app)
        press(app, "m")
        await until(pilot, lambda: "▂" in screen_text(app) and screen._text.has_marks)
        press(app, "escape")
        await until(pilot, lambda: not isinstance(app.screen, LensScreen))


async def test_the_frame_names_the_keys_of_where_one_is(make_app: MakeApp) -> None:
    app = make_app(answer=ANSWER)
    async with app.run_test(size=(80, 24)) as pilot:
        await ask_and_wait(pilot, app, "go")
        await open_lens(pilot, app)
        await until(pilot, lambda: "n uncertain · s surprising" in screen_text(app))
        press(app, "enter")
        await until(pilot, lambda: "Enter go on with it" in screen_text(app))
        press(app, "escape", "i")
        await until(pilot, lambda: "Enter go on with this text" in screen_text(app))
        press(app, "escape")
        await until(pilot, lambda: "n uncertain · s surprising" in screen_text(app))


async def test_a_token_is_copied_as_json(make_app: MakeApp) -> None:
    app = make_app(answer=ANSWER)
    async with app.run_test(size=(80, 24)) as pilot:
        await ask_and_wait(pilot, app, "go")
        screen = await open_lens(pilot, app)
        press(app, "right", "c")
        await until(pilot, lambda: "Copied token 2 as JSON" in notices(app))
        told = json.loads(app.clipboard)
        assert (told["number"], told["text"]) == (2, "was ")
        assert told["settings"] == {"temperature": "0.3", "seed": "481516"}
        assert len(told["alternatives"]) == len(screen._records[1].alternatives)


async def test_a_lens_opened_before_the_first_token_says_so(make_app: MakeApp) -> None:
    app = make_app(answer="word " * 500, delay=0.02)
    async with app.run_test(size=(100, 30)) as pilot:
        written: list[TokenRecord] = []

        async def read() -> tuple[tuple[TokenRecord, ...], list[Stretch]]:
            return tuple(written), []

        await app.push_screen(LensScreen(read, lambda: len(written) < 2))
        await until(pilot, lambda: "nothing is written yet" in screen_text(app))
        press(app, "n", "s", "c", "end", "right")  # no key minds
        await pilot.pause()
        written.append(TokenRecord(1, "It", "text", 0.5, 0.5, 1, 1, 1.0, 1.0))
        await until(pilot, lambda: "1 token so far" in screen_text(app))
        assert "there is nothing that it was drawn from" in screen_text(app)
        written.append(TokenRecord(2, " is", "text", 0.5, 0.5, 1, 1, 1.0, 1.0))
        await until(pilot, lambda: "so far" not in screen_text(app))


async def test_enter_on_an_alternative_goes_another_way(make_app: MakeApp) -> None:
    app = make_app(answer=ANSWER)
    async with app.run_test(size=(120, 40)) as pilot:
        first = await ask_and_wait(pilot, app, "go")
        screen = await open_lens(pilot, app)
        press(app, "right", "enter")
        await until(pilot, lambda: app.focused is screen._alternatives)
        await pilot.pause()
        press(app, "enter")  # what stands there already
        await until(pilot, lambda: "stands here already" in notices(app))
        rows = [a.text for a in screen._alternatives.alternatives]
        step = rows.index("never ") - screen._alternatives.chosen
        press(app, "escape")
        # At once, as somebody types who knows the keys.
        press(app, "t", "t", "enter", *(["down" if step > 0 else "up"] * abs(step)), "enter")
        await until(pilot, lambda: last_answer(app).id != first.id)
        await until(pilot, lambda: not app._status.is_busy)
        assert last_answer(app).text == "It never  and on after never."
        assert foot(answers(app)[-1]).startswith("‹ 2/2 ›")
        assert app.manager.conversation.variants(first.id) == (first.id, last_answer(app).id)
        screen = await open_lens(pilot, app)
        press(app, "right")
        await until(pilot, lambda: "put here by you" in screen_text(app))


async def test_a_typed_text_goes_on_too_and_escape_takes_it_back(make_app: MakeApp) -> None:
    app = make_app(answer=ANSWER)
    async with app.run_test(size=(100, 30)) as pilot:
        first = await ask_and_wait(pilot, app, "go")
        screen = await open_lens(pilot, app)
        press(app, "right", "right", "i")
        await until(pilot, lambda: app.focused is screen._input)
        press(app, *"tired", "escape")
        await until(pilot, lambda: app.focused is screen._text)
        press(app, "i")
        await until(pilot, lambda: app.focused is screen._input)
        press(app, *"bright", "enter")
        await until(pilot, lambda: last_answer(app).id != first.id)
        await until(pilot, lambda: not app._status.is_busy)
        assert last_answer(app).text == "It was bright and on after bright."


async def test_a_running_answer_is_held_stepped_and_branched_from(make_app: MakeApp) -> None:
    app = make_app(answer="word " * 500, delay=0.02)
    async with app.run_test(size=(100, 30)) as pilot:
        press(app, "f8")
        await until(pilot, lambda: "no answer being written" in notices(app))
        await ask(pilot, "go")
        await until(pilot, lambda: bool(answers(app)) and len(answers(app)[0].text) > 20)
        press(app, "f8")
        await until(pilot, lambda: "held after" in foot(answers(app)[0]))
        length = len(answers(app)[0].text)
        press(app, "f9")
        await until(pilot, lambda: len(answers(app)[0].text) == length + 5)
        await until(pilot, lambda: "F8 go on" in foot(answers(app)[0]))
        screen = await open_lens(pilot, app)
        num_tokens = len(screen._records)
        press(app, "end", "f9")
        await until(pilot, lambda: len(screen._records) == num_tokens + 1)
        assert screen.cursor == num_tokens  # at the end it follows
        press(app, "i")
        await until(pilot, lambda: app.focused is screen._input)
        press(app, *"Then", "enter")
        await until(pilot, lambda: not app.manager.is_busy and len(app.manager.conversation) == 3)
        await until(pilot, lambda: not app._status.is_busy)
        assert last_answer(app).text == "word " * num_tokens + "Then and on after Then."
        # Both are kept, and the first one as far as it came.
        first, second = app.manager.conversation.variants(last_answer(app).id)
        assert app.manager.conversation[first].text == "word " * (num_tokens + 1)
        assert second == last_answer(app).id


async def test_a_held_answer_goes_on(make_app: MakeApp) -> None:
    app = make_app(answer="word " * 30, delay=0.02)
    async with app.run_test() as pilot:
        await ask(pilot, "go")
        await until(pilot, lambda: bool(answers(app)) and len(answers(app)[0].text) > 20)
        press(app, "f8")
        await until(pilot, lambda: "held after" in foot(answers(app)[0]))
        press(app, "f8")
        await until(pilot, lambda: not app.manager.is_busy)
        assert last_answer(app).text == "word " * 30


async def test_answers_are_rated_and_the_rating_is_seen_again(make_app: MakeApp) -> None:
    app = make_app(answer=ANSWER)
    async with app.run_test() as pilot:
        answer = await ask_and_wait(pilot, app, "go")
        await go_to_answer(pilot, app)
        press(app, "+")
        await until(pilot, lambda: app.manager.conversation.rating(answer.id) == 1)
        await until(pilot, lambda: answers(app)[0].has_class("-good"))
        press(app, "-")
        await until(pilot, lambda: app.manager.conversation.rating(answer.id) == -1)
        await app.draw_conversation()
        assert answers(app)[0].has_class("-bad")
        await go_to_answer(pilot, app)
        press(app, "-")
        await until(pilot, lambda: app.manager.conversation.rating(answer.id) is None)


async def test_keys_of_an_answer_pressed_on_its_question_are_meant_for_it(
    make_app: MakeApp,
) -> None:
    app = make_app(answer=ANSWER)
    async with app.run_test() as pilot:
        answer = await ask_and_wait(pilot, app, "go")
        await go_to_answer(pilot, app)
        press(app, "k")
        await until(pilot, lambda: isinstance(app.focused, QuestionView))
        press(app, "+")
        await until(pilot, lambda: app.manager.conversation.rating(answer.id) == 1)
        press(app, "s")
        await until(pilot, lambda: "Nothing was searched" in notices(app))
        press(app, "t")
        await until(pilot, lambda: isinstance(app.screen, LensScreen))
        assert app._prompt.text == ""


@pytest.mark.parametrize("size", [(60, 15), (80, 20), (80, 24)])
async def test_a_text_of_ones_own_is_in_sight_on_low_screens(
    make_app: MakeApp, size: tuple[int, int]
) -> None:
    app = make_app(answer=ANSWER)
    async with app.run_test(size=size) as pilot:
        await ask_and_wait(pilot, app, "go")
        await open_lens(pilot, app)
        await pilot.press("i", *"mine")
        await until(pilot, lambda: "mine" in screen_text(app))
        assert "1 of 12  It␣" in screen_text(app)

"""Chatting in the TUI, with a scripted engine in a process of its own."""

import os
import signal

import pytest
from textual.events import Paste
from textual.pilot import Pilot
from textual.widgets import Markdown

from chatbot.tui.app import ChatApp
from chatbot.tui.chat.message_views import MessageView
from chatbot.tui.chat.notes import LeftOutMark
from chatbot.tui.chat.question_view import QuestionView
from chatbot.tui.keys import KEYS
from chatbot.tui.lens.drawing import height_mark
from tests.tui.helpers import (
    MakeApp,
    answers,
    ask,
    ask_and_wait,
    filled,
    foot,
    last_answer,
    notices,
    press,
    questions,
    screen_text,
    until,
    with_sampling,
)

MARKDOWN = (
    "# A title\n\nSome **bold** text.\n\n```python\nx = 1\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n"
)


async def test_typing_works_before_the_model_is_ready(make_app: MakeApp) -> None:
    app = make_app(load_seconds=30)
    async with app.run_test() as pilot:
        await pilot.press(*"hello")
        assert app._prompt.text == "hello"
        assert app.session.engine.status.state in ("stopped", "loading")


async def test_the_first_screen_names_the_other_ones_and_fits_a_small_terminal(
    make_app: MakeApp,
) -> None:
    app = make_app()
    async with app.run_test(size=(60, 20)) as pilot:
        await filled(pilot)
        for words in ("glass box", "Ctrl+O  models", "F4      your folders", "Ctrl+Q  quit"):
            assert words in screen_text(app)
        assert app._chat.max_scroll_y == 0


async def test_a_question_sent_while_loading_is_answered_afterwards(make_app: MakeApp) -> None:
    app = make_app(load_seconds=0.5)
    async with app.run_test() as pilot:
        answer = await ask_and_wait(pilot, app, "hello")
    assert answer.text.startswith("You said: hello")


async def test_the_answer_is_shown_as_markdown(make_app: MakeApp) -> None:
    app = make_app(answer=MARKDOWN)
    async with app.run_test() as pilot:
        answer = await ask_and_wait(pilot, app, "show")
        body = answers(app)[0].query_one(Markdown)
        assert answer.text == body.source == MARKDOWN
        assert {"MarkdownH1", "GrowingFence", "GrowingTable"} <= {
            type(block).__name__ for block in body.query("*")
        }
        assert "smollm2-135m · bf16" in foot(answers(app)[0])


async def test_a_temperature_changed_in_mid_answer_acts_from_there(make_app: MakeApp) -> None:
    app = make_app(answer="word " * 1000, delay=0.02, settings=with_sampling(temperature=0.0))
    async with app.run_test(size=(140, 40)) as pilot:
        await filled(pilot)
        await ask(pilot, "go")
        await until(pilot, lambda: bool(answers(app)) and len(answers(app)[0].text) > 50)
        press(app, "ctrl+b", "ctrl+b")  # hide and show: the focus is then on the temperature
        temperature = app.query_one("#setting-temperature NumberInput")
        await until(pilot, lambda: app.focused is temperature)
        press(app, "2", "enter")
        await until(pilot, lambda: "WORD" in answers(app)[0].text)
        press(app, "escape")
        await until(pilot, lambda: not app.manager.is_busy)
    answer = last_answer(app)
    making = answer.making
    assert making is not None
    change, seed = making.changes
    assert (change.name, change.old, change.new) == ("temperature", "0", "2")
    assert (seed.offset, seed.name, seed.old) == (change.offset, "seed", "random")
    assert answer.text[: change.offset] == "word " * (change.offset // 5)
    assert set(answer.text[change.offset :].split()) == {"WORD"}


async def test_the_place_of_a_change_is_marked(make_app: MakeApp) -> None:
    app = make_app(answer="word " * 1000, delay=0.02, settings=with_sampling(temperature=0.0))
    async with app.run_test(size=(140, 40)) as pilot:
        await filled(pilot)
        await ask(pilot, "go")
        await until(pilot, lambda: bool(answers(app)) and len(answers(app)[0].text) > 20)
        await ask(pilot, "/set temperature 2")
        await until(
            pilot, lambda: "⟦temperature 0 → 2⟧" in answers(app)[0].query_one(Markdown).source
        )
        press(app, "escape")
        await until(pilot, lambda: not app._status.is_busy)
        assert "⟦temperature 0 → 2⟧" in answers(app)[0].query_one(Markdown).source
        assert "⟦" not in answers(app)[0].text


async def test_escape_stops_and_keeps_what_there_is(make_app: MakeApp) -> None:
    app = make_app(answer="word " * 500, delay=0.02)
    async with app.run_test() as pilot:
        await ask(pilot, "go")
        await until(pilot, lambda: bool(answers(app)) and "word" in answers(app)[0].text)
        press(app, "escape")
        await until(pilot, lambda: not app.manager.is_busy)
        answer = last_answer(app)
        assert answer.making is not None
        assert answer.making.finish_reason == "cancelled"
        assert 0 < len(answer.text) < 2000
        await until(pilot, lambda: "stopped" in foot(answers(app)[0]))


async def test_a_killed_engine_costs_the_turn_and_nothing_else(make_app: MakeApp) -> None:
    app = make_app(answer="word " * 500, delay=0.02)
    async with app.run_test() as pilot:
        await ask(pilot, "first")
        await until(pilot, lambda: bool(answers(app)) and "word" in answers(app)[0].text)
        first_pid = app.session.engine.pid
        assert first_pid is not None
        os.kill(first_pid, signal.SIGKILL)
        await until(pilot, lambda: not app.manager.is_busy)
        answer = last_answer(app)
        assert answer.making is not None
        assert answer.text.startswith("word")
        assert answer.making.finish_reason == "error"
        await until(pilot, lambda: "was killed" in foot(answers(app)[0]))
        await ask(pilot, "second")
        await until(pilot, lambda: len(answers(app)) == 2 and "word" in answers(app)[1].text)
        assert app.session.engine.pid not in (None, first_pid)
        app.manager.stop()
        await until(pilot, lambda: not app.manager.is_busy)


async def test_the_view_follows_only_while_the_user_is_at_the_end(make_app: MakeApp) -> None:
    app = make_app(answer="a paragraph\n\n" * 200, delay=0.01)
    async with app.run_test(size=(80, 24)) as pilot:
        await ask(pilot, "go")
        await until(pilot, lambda: app._chat.max_scroll_y > 30)
        assert app._chat.scroll_y >= app._chat.max_scroll_y - 3
        top = app._chat.scroll_y
        press(app, "pageup")
        await until(pilot, lambda: app._chat.scroll_y < top)
        place = app._chat.scroll_y
        longest = app._chat.max_scroll_y
        await until(pilot, lambda: app._chat.max_scroll_y > longest + 10)
        assert app._chat.scroll_y == place
        press(app, "escape")


@pytest.mark.parametrize(
    "action",
    ["previous_variant", "next_variant", "pin", "edit", "regenerate", "fork", "delete"],
)
async def test_a_key_on_an_answer_that_is_being_written_is_refused(
    make_app: MakeApp, action: str
) -> None:
    app = make_app(answer="word " * 200)
    async with app.run_test() as pilot:
        await ask(pilot, "go")
        await until(pilot, lambda: bool(answers(app)) and "word" in answers(app)[0].text)
        press(app, "ctrl+t", KEYS[action].keys)
        await until(pilot, lambda: "not written yet" in notices(app))
        press(app, "c")
        await until(pilot, lambda: "Copied" in notices(app))
        press(app, "escape")


async def test_what_does_not_fit_is_left_out_with_a_mark(make_app: MakeApp) -> None:
    app = make_app(answer="one two three four five six seven eight", window=90)
    async with app.run_test() as pilot:
        for number in range(5):
            await ask_and_wait(pilot, app, f"question {number}")
        mark = app.query_one(LeftOutMark)
        assert "messages above were left out" in str(mark.content)
        dimmed = [v.text for v in app.query("QuestionView.-left-out")]  # type: ignore[attr-defined]
        assert dimmed
        assert dimmed == questions(app)[: len(dimmed)]
        assert len(questions(app)) == 5


async def test_answers_and_edits_are_variants_that_stay(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test() as pilot:
        await ask_and_wait(pilot, app, "first")
        await ask(pilot, "/regen")
        await until(pilot, lambda: len(app.manager.conversation) == 3 and not app._status.is_busy)
        assert "‹ 2/2 ›" in foot(answers(app)[0])
        await pilot.press("ctrl+t", "left")
        await until(pilot, lambda: "‹ 1/2 ›" in foot(answers(app)[0]))
        await pilot.press("k", "e")
        await until(pilot, lambda: app._prompt.text == "first")
        await ask(pilot, " again")
        await until(pilot, lambda: len(app.manager.conversation) == 5 and not app._status.is_busy)
        assert questions(app) == ["first again"]


async def test_a_question_that_is_edited_stays_until_the_other_words_are_sent(
    make_app: MakeApp,
) -> None:
    app = make_app()
    async with app.run_test(size=(120, 40)) as pilot:
        for text in ("first", "second", "third"):
            await ask_and_wait(pilot, app, text)
        app._prompt.insert("a draft")
        await pilot.press("ctrl+t", "k", "k", "k", "e")  # on the second question
        await until(pilot, lambda: app._prompt.text == "second")
        assert questions(app) == ["first", "second", "third"]
        dimmed = [view.text for view in app.query(QuestionView) if view.has_class("-edited")]
        assert dimmed == ["second", "third"]
        assert "Esc leaves it" in screen_text(app)
        await pilot.press("escape")
        assert app._prompt.text == "a draft"
        assert not app.query(".-edited")
        assert "Esc leaves it" not in screen_text(app)
        assert len(app.manager.conversation.path()) == 6
        await pilot.press("ctrl+t", "k", "k", "k", "e")
        await until(pilot, lambda: app._prompt.text == "second")
        await ask(pilot, " time")
        await until(pilot, lambda: len(app.manager.conversation) == 8 and not app._status.is_busy)
        assert questions(app) == ["first", "second time"]
        assert app._prompt.text == "a draft"


async def test_what_means_nothing_to_a_message_is_typed_into_the_prompt(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(140, 40)) as pilot:
        await ask_and_wait(pilot, app, "first")
        await pilot.press("ctrl+t")
        press(app, *"/regen me")
        await until(pilot, lambda: app._prompt.text == "/regen me")
        assert len(app.manager.conversation) == 2


async def two_exchanges(pilot: Pilot[int], app: ChatApp) -> None:
    """Ask twice, and go to the last answer."""
    for question in ("first", "second"):
        await ask_and_wait(pilot, app, question)
    await pilot.press("ctrl+t")


async def test_keys_that_come_at_once_act_one_after_the_other(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(140, 40)) as pilot:
        await two_exchanges(pilot, app)
        press(app, "up", "k", "up")
        await until(pilot, lambda: app.focused is app.query(QuestionView).first())
        press(app, "j", "j", "delete")
        await until(pilot, lambda: questions(app) == ["first"])
        assert len(app.manager.conversation.path()) == 2


async def test_variants_are_gone_through_by_keys_that_come_at_once(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(140, 40)) as pilot:
        await two_exchanges(pilot, app)
        for number in (2, 3, 4):
            await pilot.press("r")
            await until(pilot, lambda: f"‹ {number}/{number} ›" in screen_text(app))  # noqa: B023
            await until(pilot, lambda: not app._status.is_busy)
        press(app, "left", "left", "right", "left", "left")
        await until(pilot, lambda: "‹ 1/4 ›" in screen_text(app))
        assert isinstance(app.focused, MessageView)
        press(app, "right", "right", "k", "p")
        await until(pilot, lambda: "‹ 3/4 ›" in screen_text(app))
        await until(pilot, lambda: bool(app.query("QuestionView.-pinned")))


async def test_what_follows_the_key_that_leaves_the_messages_is_typed(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(140, 40)) as pilot:
        await two_exchanges(pilot, app)
        press(app, "j", *"regex")
        await until(pilot, lambda: app._prompt.text == "regex")
        await pilot.press(*["backspace"] * 5)
        press(app, "ctrl+t", "k", "e", *" more")
        await until(pilot, lambda: app._prompt.text == "second more")
        assert len(app.manager.conversation) == 4


@pytest.mark.parametrize("key", ["escape", "ctrl+b"])
async def test_letters_behind_the_key_that_leaves_the_messages_do_nothing_to_one(
    make_app: MakeApp, key: str
) -> None:
    app = make_app()
    async with app.run_test(size=(140, 40)) as pilot:
        await two_exchanges(pilot, app)
        press(app, key, *"every regex")
        await until(pilot, lambda: app._prompt.text == "every regex")
        assert app._prompt.edited is None
        assert len(app.manager.conversation) == 4


@pytest.mark.parametrize("keys", [["f"], ["delete"] * 4])
async def test_letters_behind_the_key_that_takes_the_message_away_are_typed(
    make_app: MakeApp, keys: list[str]
) -> None:
    app = make_app()
    async with app.run_test(size=(140, 40)) as pilot:
        await two_exchanges(pilot, app)
        press(app, *keys, *"hello")
        await until(pilot, lambda: app._prompt.text == "hello")


async def test_a_message_that_has_the_focus_since_just_now_is_taken_away(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(140, 40)) as pilot:
        await filled(pilot)  # with the sidebar, to a control of which Textual would give it
        await two_exchanges(pilot, app)
        answer = answers(app)[0]
        app.screen.set_focus(answer)
        await app._chat._take_away([answer])
        assert app.focused in (None, app._prompt)


async def test_the_keys_behind_the_one_that_answers_anew_find_it_begun(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(140, 40)) as pilot:
        await two_exchanges(pilot, app)
        press(app, "r", "escape", *"every")
        await until(pilot, lambda: app._prompt.text == "every")
        await until(pilot, lambda: not app._status.is_busy)
        assert len(app.manager.conversation) == 4
        assert app.focused is app._prompt
        await pilot.press(*["backspace"] * 5, "ctrl+t", "k")
        press(app, "r", "delete", "r")
        await until(pilot, lambda: "‹ 2/2 ›" in screen_text(app))
        await until(pilot, lambda: not app._status.is_busy)
        assert questions(app) == ["first", "second"]
        assert app._prompt.text == ""
        assert app.focused is answers(app)[-1]


async def test_an_answer_takes_no_focus_from_what_is_typed(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(140, 40)) as pilot:
        await two_exchanges(pilot, app)
        press(app, "r", *"hi there")
        await until(pilot, lambda: "‹ 2/2 ›" in screen_text(app))
        await until(pilot, lambda: not app._status.is_busy)
        assert app._prompt.text == "hi there"
        assert app.focused is app._prompt


async def test_an_answer_that_did_not_come_is_not_called_the_same(make_app: MakeApp) -> None:
    app = make_app(settings=with_sampling(temperature=0.0))
    async with app.run_test(size=(140, 40)) as pilot:
        await ask_and_wait(pilot, app, "first")
        await pilot.press("ctrl+t", "r")
        await until(pilot, lambda: "The very same answer" in notices(app))
        await until(pilot, lambda: not app._status.is_busy)
        app.clear_notifications()
        await pilot.press("ctrl+t")
        press(app, "r", "escape")
        await until(pilot, lambda: app.focused is app._prompt)
        await until(pilot, lambda: not app._status.is_busy)
        assert "‹ 2/2 ›" in screen_text(app)
        assert notices(app) == ""


async def test_what_is_pasted_over_a_message_goes_to_the_prompt(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(140, 40)) as pilot:
        await two_exchanges(pilot, app)
        app.post_message(Paste("delete"))
        press(app, *" qed")
        await until(pilot, lambda: app._prompt.text == "delete qed")
        assert len(app.manager.conversation) == 4


async def test_the_focus_stays_among_the_messages(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(140, 40)) as pilot:
        await ask_and_wait(pilot, app, "first")
        await pilot.press("ctrl+t", "r")
        await until(pilot, lambda: len(app.manager.conversation) == 3 and not app._status.is_busy)
        assert app.focused is answers(app)[0]
        await pilot.press("left")
        await until(pilot, lambda: "‹ 1/2 ›" in foot(answers(app)[0]))
        await pilot.press("delete")
        await until(pilot, lambda: len(app.manager.conversation) == 2)
        await until(pilot, lambda: isinstance(app.focused, MessageView))


async def test_undo_and_new_chat(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test() as pilot:
        await ask_and_wait(pilot, app, "first")
        await ask_and_wait(pilot, app, "second")
        await ask(pilot, "/undo")
        await until(pilot, lambda: questions(app) == ["first"])
        await pilot.press("ctrl+n")
        await until(pilot, lambda: questions(app) == [])
        assert app.query("#welcome")


async def test_a_code_block_and_a_message_are_copied(make_app: MakeApp) -> None:
    app = make_app(answer=MARKDOWN)
    async with app.run_test() as pilot:
        await ask_and_wait(pilot, app, "show")
        await pilot.press("ctrl+t", "y")
        assert app.clipboard == "x = 1\n"
        await pilot.press("c")
        assert app.clipboard == MARKDOWN


async def test_control_bytes_of_an_answer_are_gone_and_counted(make_app: MakeApp) -> None:
    hostile = "before \x1b]52;c;aGFjaw==\x07 and \x1b[2J\u202eafter\x9b31m end"
    app = make_app(answer=hostile)
    async with app.run_test() as pilot:
        answer = await ask_and_wait(pilot, app, "go")
        assert answer.text == "before  and after end"
        assert "4 control sequences removed" in foot(answers(app)[0])


async def test_a_failing_command_says_why_and_gives_the_line_back(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test() as pilot:
        await ask(pilot, "/nonsense")
        await until(pilot, lambda: "no command /nonsense" in notices(app))
        assert app._prompt.text == "/nonsense"


async def test_ctrl_c_empties_the_prompt_and_up_brings_it_back(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await filled(pilot)
        await ask(pilot, "/nope")
        await until(pilot, lambda: app._prompt.text == "/nope")
        await pilot.press("ctrl+c")
        assert app._prompt.text == ""
        await pilot.press("up")
        assert app._prompt.text == "/nope"
        await pilot.press("ctrl+c", "ctrl+c")
        assert app.is_running


async def test_a_key_that_is_refused_leaves_the_draft(make_app: MakeApp) -> None:
    app = make_app(answer="word " * 60, delay=0.02)
    app.manager._journal = None  # as where chats are not kept, which are not left
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await ask(pilot, "a long one")
        await until(pilot, lambda: app.manager.is_busy)
        press(app, *"draft", "ctrl+n", "ctrl+n")
        await until(pilot, lambda: "stop it first" in notices(app))
        assert app._prompt.text == "draft"
        assert notices(app).count("stop it first") == 1
        press(app, "escape")
        await until(pilot, lambda: not app._status.is_busy)
        press(app, "escape")
        await until(pilot, lambda: not notices(app))


async def edit_first(app: ChatApp, pilot: Pilot[int], words: str) -> None:
    """Begin to put the first of two questions in other words, beside a draft."""
    for text in ("first", "second"):
        await ask_and_wait(pilot, app, text)
    app._prompt.insert("a draft")
    await pilot.press("ctrl+t", "k", "k", "k", "e")
    await until(pilot, lambda: app._prompt.text == "first")
    press(app, *words)
    await until(pilot, lambda: app._prompt.text == f"first{words}")


async def test_what_is_typed_behind_an_edit_belongs_to_the_next_text(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(120, 40)) as pilot:
        await edit_first(app, pilot, " x")
        press(app, "enter", *" and more", "escape")
        await until(pilot, lambda: questions(app) == ["first x"])
        assert app._prompt.text == "a draft and more"


async def test_another_turn_ends_an_edit_and_up_brings_its_words_back(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(120, 40)) as pilot:
        await edit_first(app, pilot, " x")
        app.take("third")
        await until(pilot, lambda: questions(app) == ["first", "second", "third"])
        await until(pilot, lambda: not app._status.is_busy)
        assert app._prompt.text == "a draft"
        app._prompt.focus()
        await pilot.press("up")
        assert app._prompt.text == "first x"
        await pilot.press("down")
        assert app._prompt.text == "a draft"


async def test_a_key_that_is_refused_leaves_an_edit_as_it_is(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await edit_first(app, pilot, " x")
        await pilot.press("ctrl+t", "g")
        await until(pilot, lambda: "came to its end" in notices(app))
        assert app._prompt.text == "first x"
        app._prompt.focus()
        await pilot.press("up", "escape")
        assert app._prompt.text == "a draft"


async def test_the_prompt_is_drawn_however_narrow_the_screen_is(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(120, 30)) as pilot:  # wide enough for the sidebar
        await filled(pilot)
        for width in range(36, 52):
            await pilot.resize_terminal(width, 30)
        assert app.is_running


async def test_the_foot_says_how_far_a_long_prompt_is_read(make_app: MakeApp) -> None:
    app = make_app(answer="Yes.", delay=0.05)
    async with app.run_test(size=(80, 24)) as pilot:
        app.take("read 4000")
        line = "reading ▰▰▰▰▱▱▱▱▱▱▱▱ 1,200 of 4,000 tokens · 12 s left"
        await until(pilot, lambda: line in screen_text(app))
        await until(pilot, lambda: "4,000 of 4,000" in screen_text(app))
        await until(pilot, lambda: not app._status.is_busy)
        assert "of 4,000" not in screen_text(app)


async def test_a_long_note_is_shown_from_its_beginning(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await ask_and_wait(pilot, app, "hello")
        app.show_note("first line\n\n" + "line\n\n" * 40 + "last line")
        await until(pilot, lambda: "first line" in screen_text(app))
        assert "last line" not in screen_text(app)
        app.show_note("a short one")
        await until(pilot, lambda: "a short one" in screen_text(app))
        assert "last line" in screen_text(app)


async def test_a_new_title_is_in_the_frame_at_once(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await ask_and_wait(pilot, app, "hello")
        app.take("/rename Zebra")
        await until(pilot, lambda: "Zebra" in screen_text(app).splitlines()[-5])


async def test_no_chat_is_told_the_speed_of_another_one(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(100, 30)) as pilot:
        await ask_and_wait(pilot, app, "hello")
        await until(pilot, lambda: "tok/s" in screen_text(app).splitlines()[-1])
        app.take("/new")
        await until(pilot, lambda: "glass box" in screen_text(app))
        await until(pilot, lambda: "tok/s" not in screen_text(app).splitlines()[-1])


async def test_held_before_the_first_token_is_said(make_app: MakeApp) -> None:
    app = make_app(delay=0.05)
    async with app.run_test(size=(100, 30), notifications=True) as pilot:
        app.take("read 4000")
        await until(pilot, lambda: "of 4,000 tokens" in screen_text(app))
        press(app, "f8")
        await until(pilot, lambda: "Held before the first token; F8 lets it go on." in notices(app))
        await until(pilot, lambda: "held after 0 tokens" in screen_text(app))
        press(app, "f9")
        await until(pilot, lambda: "held after 1 token ·" in screen_text(app))
        assert app._status._last is None  # its time does not count
        press(app, "f8")
        await until(pilot, lambda: not app._status.is_busy)


async def test_how_unsure_the_model_is_is_drawn_while_it_writes(make_app: MakeApp) -> None:
    app = make_app(delay=0.05, answer="It is a very long word, that: incomprehensibilities " * 9)
    async with app.run_test(size=(80, 24)) as pilot:
        await filled(pilot)
        await ask(pilot, "hello")
        await until(pilot, lambda: "12 tokens · unsure" in screen_text(app))
        press(app, "f8")
        await until(pilot, lambda: "draw one more · unsure" in screen_text(app))
        for _ in range(8):  # by now not all of them have room beside these words
            press(app, "f9")
            await pilot.pause(0.1)
        await until(pilot, lambda: "held after 2" in foot(answers(app)[-1]))
        drawn = foot(answers(app)[-1]).partition(" · unsure ")[2]
        records = await app.manager.tokens_of(answers(app)[-1].message_id)
        entropies = [record.entropy_before for record in records]
        assert 8 <= len(drawn) < len(records)
        assert drawn == "".join(map(height_mark, entropies[-len(drawn) :]))
        assert drawn in screen_text(app)  # not cut off by the edge
        press(app, "escape")
        await until(pilot, lambda: not app._status.is_busy)


async def test_no_notice_stays_on_top_of_a_screen_that_is_opened(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(100, 30), notifications=True) as pilot:
        await filled(pilot)
        app.take("/nope")
        await until(pilot, lambda: "no command /nope" in notices(app))
        press(app, "f1")
        await until(pilot, lambda: len(app.screen_stack) > 1)
        assert notices(app) == ""


@pytest.mark.parametrize(
    "title", ["why [/foo] x", "[red]blood[/red]", "[@click=app.quit]x[/]", "["]
)
async def test_a_title_is_never_markup(make_app: MakeApp, title: str) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await ask_and_wait(pilot, app, title)
        assert f"─ {title} ─" in screen_text(app)
        app.take(f"/rename {title} and more")
        await until(pilot, lambda: f"─ {title} and more ─" in screen_text(app))
        await app.draw_conversation()
        assert f"─ {title} and more ─" in screen_text(app)
        app.take(f"/variants 2 {title}")
        await until(pilot, lambda: f"· {title} ─" in screen_text(app))
        await until(pilot, lambda: "Esc back" in screen_text(app))


async def test_the_prompt_of_the_first_answer_is_accounted_for_while_it_is_written(
    make_app: MakeApp,
) -> None:
    app = make_app(answer="word " * 200, delay=0.02, load_seconds=0.5)
    async with app.run_test() as pilot:
        await ask(pilot, "hello")  # before the model is there
        await until(pilot, lambda: "word word" in answers(app)[0].text if answers(app) else False)
        assert app.manager.is_busy
        await until(pilot, lambda: "question" in screen_text(app).splitlines()[-2], seconds=2)
        await pilot.press("escape")


async def test_notices_do_not_pile_up(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await filled(pilot)
        for number in range(5):
            app.refuse(f"refused {number}")
        await until(pilot, lambda: "refused 4" in screen_text(app))
        assert notices(app).splitlines() == ["refused 2", "refused 3", "refused 4"]
        rows = [n for n, row in enumerate(screen_text(app).splitlines()) if "refused" in row]
        assert len(rows) == 3 == rows[-1] - rows[0] + 1  # a row for each


async def test_notices_do_not_cover_the_prompts(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await filled(pilot)
        app.refuse("refused")
        await until(pilot, lambda: "refused" in screen_text(app))
        press(app, "ctrl+r")
        await until(pilot, lambda: "What is sent" in screen_text(app))
        assert "refused" not in screen_text(app)

"""Chats that are kept: the list, long chats, variants after a restart, the ribbon."""

import asyncio
import re
from pathlib import Path

import pytest
from textual.widgets import Input

from chatbot.conversation.tree import Conversation
from chatbot.messages import Making, Message, Statistics, TextPart
from chatbot.paths import config_file
from chatbot.settings import Sampling
from chatbot.tui.app import ChatApp
from chatbot.tui.chat.message_views import MessageView
from chatbot.tui.chat.partial_scroll import PAGE
from chatbot.tui.chat.question_view import QuestionView
from chatbot.tui.chats_screen import ChatsScreen, when
from chatbot.tui.help_screen import HelpScreen
from tests.running_chatbot import PipedChatbot
from tests.tui.helpers import (
    MakeApp,
    answers,
    ask,
    ask_and_wait,
    foot,
    last_answer,
    notices,
    press,
    questions,
    screen_text,
    until,
    with_sampling,
)


async def chats_screen(pilot, app: ChatApp) -> ChatsScreen:  # type: ignore[no-untyped-def]
    await pilot.press("ctrl+k")
    await until(pilot, lambda: isinstance(app.screen, ChatsScreen) and bool(app.screen._rows))
    screen = app.screen
    assert isinstance(screen, ChatsScreen)
    return screen


async def test_everything_is_there_after_a_restart(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test() as pilot:
        await ask_and_wait(pilot, app, "first")
        for count in (3, 4, 5):
            await ask(pilot, "/regen")
            await until(
                pilot,
                lambda count=count: (
                    len(app.manager.conversation) == count and not app._status.is_busy
                ),
            )
        await ask(pilot, "/edit other")
        await until(pilot, lambda: len(app.manager.conversation) == 7 and not app._status.is_busy)
        await app.manager.settled()
    again = make_app()
    async with again.run_test() as pilot:
        screen = await chats_screen(pilot, again)
        assert screen._rows
        await pilot.press("enter")
        await until(pilot, lambda: questions(again) == ["other"])
        await until(pilot, lambda: 20 < again._status.num_tokens < 100)  # system prompt and history
        await pilot.press("ctrl+t", "k", "left")
        await until(pilot, lambda: questions(again) == ["first"])
        assert "‹ 4/4 ›" in foot(answers(again)[0])
        await pilot.press("j", "left")
        await until(pilot, lambda: "‹ 3/4 ›" in foot(answers(again)[0]))
        await ask(pilot, "/new")
        await until(pilot, lambda: not questions(again))
        await until(pilot, lambda: again._status.num_tokens == 0)


async def test_the_list_searches_renames_pins_deletes_and_undoes(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(100, 30)) as pilot:
        await ask_and_wait(pilot, app, "about whales")
        await ask(pilot, "/new")
        await until(pilot, lambda: questions(app) == [])
        await ask_and_wait(pilot, app, "about ships")
        await app.manager.settled()
        screen = await chats_screen(pilot, app)
        await pilot.press(*"whales")
        await until(pilot, lambda: len(screen._rows) >= 1 and "whales" in screen_text(app))
        await pilot.press("f2")
        screen.query_one(Input).value = "Sea animals"
        await pilot.press("enter")
        await until(pilot, lambda: "Sea animals" in screen_text(app))
        await pilot.press("down", "ctrl+s")
        await until(pilot, lambda: "★ Sea animals" in screen_text(app))
        await pilot.press("ctrl+d")
        await until(pilot, lambda: "Ctrl+Z brings it back" in screen_text(app))
        assert len(screen._rows) == 1
        await pilot.press("ctrl+z")
        await until(pilot, lambda: len(screen._rows) == 2)
        await pilot.press("escape")
        assert not isinstance(app.screen, ChatsScreen)


async def test_the_key_of_the_list_opens_and_closes_one_list(make_app: MakeApp) -> None:
    config_file().parent.mkdir(parents=True, exist_ok=True)
    config_file().write_text('[keys]\nchats = "ctrl+l"\n')
    app = make_app()
    async with app.run_test() as pilot:
        await pilot.press("ctrl+l")
        assert isinstance(app.screen, ChatsScreen)
        await pilot.press("ctrl+l")
        assert len(app.screen_stack) == 1
        await pilot.press("f1", "ctrl+l")
        assert isinstance(app.screen, HelpScreen)  # or a chat would be opened out of sight


async def test_the_chat_that_is_open_keeps_the_title_that_the_list_gave_it(
    make_app: MakeApp,
) -> None:
    app = make_app()
    async with app.run_test(size=(100, 30)) as pilot:
        await ask_and_wait(pilot, app, "about whales")
        screen = await chats_screen(pilot, app)
        await pilot.press("f2")
        screen.query_one(Input).value = "Sea animals"
        await pilot.press("enter")
        await until(pilot, lambda: "● Sea animals" in screen_text(app))
        await pilot.press("escape")
        await until(pilot, lambda: "─ Sea animals ─" in screen_text(app))
        await ask(pilot, "/pin")
        screen = await chats_screen(pilot, app)
        await until(pilot, lambda: "★ Sea animals" in screen_text(app))
        await pilot.press("ctrl+s")
        await until(pilot, lambda: "● Sea animals" in screen_text(app))
        assert not app.manager.conversation.is_pinned


def long_chat(num_exchanges: int, more: str = "", num_long: int | None = None) -> Conversation:
    """A chat of so many short questions, each with an answer, which ``more`` is the end of: of the
    first ``num_long``, or of all."""
    conversation, parent = Conversation(), None
    for number in range(num_exchanges):
        is_long = num_long is None or number < num_long
        for role in ("user", "assistant"):
            text = f"{role} {number}" + (more if is_long and role == "assistant" else "")
            message = Message(role=role, parts=(TextPart(text),), parent_id=parent)
            conversation.add(message)
            parent = message.id
    return conversation


async def test_a_message_far_up_is_opened_in_sight(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        app.manager.open(long_chat(100))
        await app.draw_conversation()
        path = app.manager.conversation.path()
        for message in (path[50], path[170]):
            await app.go_to_message(message.id)
            await until(pilot, lambda text=message.text: text in screen_text(app))
            assert isinstance(app.focused, MessageView)
            assert app.focused.message == message


async def test_a_long_chat_is_shown_a_part_at_a_time_wherever_the_user_is(
    make_app: MakeApp,
) -> None:
    app = make_app(answer="An answer.")
    async with app.run_test(size=(80, 24)) as pilot:
        app.manager.open(long_chat(100))
        await app.draw_conversation()
        path = app.manager.conversation.path()

        def shown() -> list[str]:
            return [view.message_id for view in app.query(MessageView)]

        def is_part() -> bool:
            ids = [message.id for message in path]
            first = ids.index(shown()[0])
            return shown() == ids[first : first + len(shown())] and len(shown()) < 80

        await app.go_to_message(path[0].id)
        await until(pilot, lambda: "user 0" in screen_text(app))
        assert len(shown()) == PAGE
        for key, last in (("pagedown", "assistant 99"), ("pageup", "user 0")):
            for _ in range(200):
                press(app, key)
                await pilot.pause(0.01)
                await until(pilot, lambda: not app._chat._is_adding)
                assert is_part()
                if f" {last}\n" in screen_text(app):
                    break
            assert f" {last}\n" in screen_text(app)
        assert shown()[0] == path[0].id
        assert shown()[-1] != path[-1].id
        await ask_and_wait(pilot, app, "and now?")
        assert questions(app)[-2:] == ["user 99", "and now?"]
        await until(pilot, lambda: "An answer." in screen_text(app))


async def test_a_note_comes_below_the_end_of_a_chat(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        app.manager.open(long_chat(100))
        await app.draw_conversation()
        await app.go_to_message(app.manager.conversation.path()[0].id)
        await until(pilot, lambda: "user 0" in screen_text(app))
        app.show_note("A note.")
        await until(pilot, lambda: "A note." in screen_text(app))
        assert "assistant 99" in screen_text(app)


async def test_a_note_leaves_an_answer_that_is_being_written_where_it_is(
    make_app: MakeApp,
) -> None:
    app = make_app(answer="word " * 3000, delay=0.01)
    async with app.run_test(size=(80, 24)) as pilot:
        app.manager.open(long_chat(30, "\n\nline" * 15))
        await app.draw_conversation()
        await ask(pilot, "one")
        await until(pilot, lambda: "word word" in answers(app)[-1].text)
        view = answers(app)[-1]
        app.show_note("A note.")
        await until(pilot, lambda: "A note." in screen_text(app))
        for _ in range(15):
            await pilot.press("pageup")
        app.show_note("Another note.")
        await until(pilot, lambda: "Another note." in screen_text(app))
        assert app.manager.is_answering
        assert answers(app)[-1] is view
        press(app, "escape")
        await until(pilot, lambda: not app.manager.is_busy)


async def test_paging_down_leaves_out_no_message(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        # What is put away above is higher than what comes below in its place.
        app.manager.open(long_chat(60, "\n\nword" * 15, num_long=8))
        await app.draw_conversation()
        await app.go_to_message(app.manager.conversation.path()[0].id)
        chat = app._chat
        seen: set[str] = set()
        for _ in range(100):
            await until(pilot, lambda: not chat._is_adding)
            top, bottom = chat.scroll_y, chat.scroll_y + chat.size.height
            # By their places: what is on the screen may be that of a key before.
            places = {view.text: view.virtual_region for view in app.query(QuestionView)}
            seen |= {t for t, place in places.items() if place.y < bottom and place.bottom > top}
            if "user 59" in seen:
                break
            await pilot.press("pagedown")
        assert seen == {f"user {number}" for number in range(60)}


@pytest.mark.parametrize("more", ["", "\n\nword" * 15], ids=["short", "tall"])
async def test_the_focus_goes_on_through_a_chat_that_is_shown_in_part(
    make_app: MakeApp, more: str
) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        app.manager.open(long_chat(30, more))
        await app.draw_conversation()
        path = app.manager.conversation.path()
        await app.go_to_message(path[0].id)
        for number in range(1, len(path)):
            before = app.focused
            while app.focused is before:  # what comes next may be on its way
                await pilot.press("j")
                await pilot.pause(0.02)
            assert isinstance(app.focused, MessageView)
            assert app.focused.message_id == path[number].id
        await pilot.press("j")
        assert app.focused is app._prompt


async def test_an_imported_answer_names_its_model_alone(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test() as pilot:
        conversation = Conversation()
        question = Message(role="user", parts=(TextPart("q"),))
        making = Making(model="gpt-4o", precision="", device="", sampling=Sampling())
        answer = Message(
            role="assistant", parts=(TextPart("a"),), parent_id=question.id, making=making
        )
        conversation.add(question)
        conversation.add(answer)
        app.manager.open(conversation)
        await app.draw_conversation()
        await until(pilot, lambda: foot(answers(app)[0]) == "gpt-4o")


async def test_a_long_chat_shows_its_end_and_more_on_the_way_up(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        rich = "\n\n```python\npass\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |"
        app.manager.open(long_chat(1000, rich))
        app.show_conversation()
        await until(
            pilot, lambda: answers(app) != [] and answers(app)[-1].text.startswith("assistant 999")
        )
        assert len(app.query(MessageView)) == PAGE
        first = questions(app)[0]
        app._chat.scroll_home(animate=False)
        await until(pilot, lambda: questions(app)[0] != first)
        await until(pilot, lambda: first in screen_text(app))  # the user stays there
        await pilot.pause(0.2)
        assert len(app.query(MessageView)) <= 2 * PAGE  # and nothing more is needed


async def test_what_comes_by_scrolling_is_dimmed_below_a_question_that_is_edited(
    make_app: MakeApp,
) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        app.manager.open(long_chat(40))
        await app.draw_conversation()
        path = app.manager.conversation.path()
        await app.go_to_message(path[20].id)
        await until(pilot, lambda: app.focused is app._chat._shown(path[20].id))
        await pilot.press("e")
        assert app._prompt.edited is path[20]
        for shown in (path[-1], path[0], path[-1]):
            await app.go_to_message(shown.id)
            await until(pilot, lambda one=shown: app._chat._shown(one.id) is not None)
            views = app.query(MessageView)
            dimmed = {view.message_id for view in views if view.has_class("-edited")}
            below = {one.id for one in path[20:]}
            assert dimmed == below & {view.message_id for view in views}
        app._prompt.screen.set_focus(app._prompt)
        await pilot.press("escape")
        assert not app.query(".-edited")


async def test_delete_undo_fork_and_pin_on_a_message(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test() as pilot:
        await ask_and_wait(pilot, app, "first")
        await ask_and_wait(pilot, app, "second")
        await pilot.press("ctrl+t", "k", "p")
        assert len(app.manager.conversation.pinned) == 1
        await pilot.press("delete")
        await until(pilot, lambda: questions(app) == ["first"])
        app._prompt.focus()
        await ask(pilot, "/undo")
        await until(pilot, lambda: questions(app) == ["first", "second"])
        before = app.manager.conversation.id
        await pilot.press("ctrl+t", "k", "k", "f")
        await until(pilot, lambda: app.manager.conversation.id != before)
        await until(pilot, lambda: questions(app) == ["first"])


def cost_of_last(app: ChatApp) -> Statistics:
    making = last_answer(app).making
    assert making is not None
    assert making.statistics is not None
    return making.statistics


async def test_a_stopped_answer_is_gone_on_with(make_app: MakeApp) -> None:
    app = make_app(answer="word " * 500, delay=0.02)
    async with app.run_test() as pilot:
        await ask(pilot, "go")
        await until(pilot, lambda: bool(answers(app)) and "word word" in answers(app)[0].text)
        press(app, "escape")
        await until(pilot, lambda: not app.manager.is_busy)
        await until(pilot, lambda: "/continue or g goes on" in foot(answers(app)[0]))
        before = cost_of_last(app)
        await pilot.press("ctrl+t", "g")
        await until(pilot, lambda: " and on after word." in answers(app)[-1].text)
        assert len(answers(app)) == 1
        await until(pilot, lambda: not app._status.is_busy)
        after = cost_of_last(app)
        # The script gives five words more, and its prompt has four tokens round what was begun.
        assert after.num_new_tokens == before.num_new_tokens + 5
        assert after.num_prompt_tokens == before.num_prompt_tokens + 4
        assert f"· {after.num_new_tokens} tokens ·" in foot(answers(app)[0])


async def stop_at_once(app: ChatApp) -> None:
    """Stop the answer that is about to begin, whose first token comes within milliseconds."""
    while not app.manager.is_busy:  # noqa: ASYNC110 - there is no event for it
        await asyncio.sleep(0)
    app.manager.stop()


async def test_again_and_stopped_at_once_leaves_the_answer_that_was_there(
    make_app: MakeApp,
) -> None:
    app = make_app()
    async with app.run_test() as pilot:
        first = await ask_and_wait(pilot, app, "go")
        await pilot.press("ctrl+t")
        app.take("/regen")
        await stop_at_once(app)
        await until(pilot, lambda: not app._status.is_busy)
        await until(pilot, lambda: [view.message_id for view in answers(app)] == [first.id])
        assert "stopped" not in foot(answers(app)[0])


async def test_an_answer_that_was_stopped_at_once_repeats_no_other(make_app: MakeApp) -> None:
    app = make_app(settings=with_sampling(seed=7))
    async with app.run_test() as pilot:
        await ask_and_wait(pilot, app, "go")
        app.take("/regen")
        await until(pilot, lambda: "The very same answer" in notices(app))
        await until(pilot, lambda: not app._status.is_busy)
        app.clear_notifications()
        assert notices(app) == ""
        app.take("/regen")
        await stop_at_once(app)
        await until(pilot, lambda: not app._status.is_busy)
        assert len(app.manager.conversation) == 3
        assert notices(app) == ""


async def test_a_question_that_was_stopped_at_once_says_so(make_app: MakeApp) -> None:
    app = make_app(load_seconds=30)
    async with app.run_test() as pilot:
        await ask(pilot, "go")
        await until(pilot, lambda: app.manager.is_busy)
        press(app, "escape")
        await until(pilot, lambda: not app._status.is_busy)
        said = "smollm2-135m · stopped before its first token; /regen or r answers"
        await until(pilot, lambda: foot(answers(app)[0]) == said)


async def test_the_ribbon_adds_up(make_app: MakeApp) -> None:
    app = make_app(answer="It is a city on a river.", window=80)
    async with app.run_test(size=(110, 30)) as pilot:
        for number in range(4):
            await ask_and_wait(pilot, app, f"question {number}")
        await pilot.press(*"draft")
        await until(pilot, lambda: bool(b := app._ribbon.built) and b.num_question_tokens == 5)
        built = app._ribbon.built
        assert built is not None
        assert built.left_out
        named = built.num_system_tokens + built.num_history_tokens + built.num_question_tokens
        assert named + 3 == built.num_prompt_tokens
        assert built.num_prompt_tokens + built.room <= built.context_length
        assert "✂" in screen_text(app)
        await pilot.press("f3")
        await until(pilot, lambda: "room for the answer" in screen_text(app))


async def test_why_a_question_does_not_fit_is_said_whole(make_app: MakeApp) -> None:
    app = make_app(window=80)
    async with app.run_test(size=(70, 24)) as pilot:
        await until(pilot, lambda: app._ribbon.built is not None)
        app._prompt.insert("much " * 100)
        await until(pilot, lambda: "window has 80; shorten it." in screen_text(app))
        assert "The question does not fit" in screen_text(app)


def test_moments_are_said_as_people_say_them() -> None:
    now = 1_700_000_000.0
    assert ":" in when(now - 60, now)
    assert len(when(now - 400 * 86400, now)) == len("2022-10-10")


async def test_an_answer_of_another_running_chatbot_is_followed_to_its_end(
    make_app: MakeApp, tmp_path: Path
) -> None:
    app = make_app()
    (tmp_path / "long.txt").write_text("word " * 30 + "end.")
    script = {"SCRIPT_DELAY": "0.1", "SCRIPT_ANSWER": str(tmp_path / "long.txt")}
    with PipedChatbot("--plain", **script) as other:
        other.send("go")
        other.until(lambda: "word word word" in other.out)
        async with app.run_test(size=(100, 30)) as pilot:
            await chats_screen(pilot, app)
            await pilot.press("enter")
            await until(pilot, lambda: questions(app) == ["go"])
            [view] = answers(app)
            await until(pilot, lambda: "another running chatbot is writing it" in foot(view))
            begun = view.text
            await pilot.press("ctrl+t")
            await until(pilot, lambda: len(answers(app)[0].text) > len(begun))
            assert app.focused is answers(app)[0]
            assert "another running chatbot is writing it" in foot(answers(app)[0])
            await until(pilot, lambda: answers(app)[0].text.endswith("end."))
            await until(pilot, lambda: "tok/s" in foot(answers(app)[0]))
            assert "another running" not in foot(answers(app)[0])
            assert app.manager.written_elsewhere == ()


@pytest.mark.parametrize("size", [(60, 15), (40, 15), (80, 24), (160, 48)])
async def test_the_open_ribbon_leaves_the_rest_in_sight(
    make_app: MakeApp, size: tuple[int, int]
) -> None:
    app = make_app(window=90)
    async with app.run_test(size=size) as pilot:
        app._sidebar.display = False
        for question in ("first", "second", "third"):
            await ask_and_wait(pilot, app, question)
        await until(pilot, lambda: bool(b := app._ribbon.built) and bool(b.left_out))
        await pilot.press("f3")
        await until(pilot, lambda: "messages left out" in screen_text(app))
        for words in ("smollm2-135m", "Ask anything", "history", "%", "room"):
            assert words in screen_text(app)
        await pilot.resize_terminal(60, 15)
        await until(pilot, lambda: "smollm2-135m" in screen_text(app).splitlines()[-1])
        await until(pilot, lambda: "messages left out" in screen_text(app))


async def test_rows_of_the_list_are_lines(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(60, 20)) as pilot:
        await ask_and_wait(
            pilot, app, "What is the lighthouse 東京 in the harbour for, all in all?"
        )
        await app.manager.settled()
        await chats_screen(pilot, app)
        await until(pilot, lambda: "● What is" in screen_text(app))
        (row,) = [
            line for line in screen_text(app).splitlines() if "What is" in line and "●" in line
        ]
        assert "in th…" in row
        assert re.search(r"… +\d\d:\d\d$", row.rstrip("│ "))
        assert "F2 rename · Ctrl+S pin · Esc close" in screen_text(app)  # what fits of the keys
        await pilot.resize_terminal(120, 30)
        await until(pilot, lambda: "Ctrl+Z undo · Esc close" in screen_text(app))
        assert "2 messages" in screen_text(app)
        await pilot.press(*"harbour")
        await until(pilot, lambda: "answer" in screen_text(app))
        shown = screen_text(app)
        assert any(
            line.rstrip("│ ").endswith("you") and "What is" in line for line in shown.splitlines()
        )

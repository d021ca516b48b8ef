"""Another chat is opened while an answer is being written: it goes on, and can be come back to."""

import os
import signal

import pytest
from textual.widgets import Input, Markdown

from chatbot.messages import ToolResultPart
from chatbot.tui import chat_opening
from chatbot.tui.approval_screen import ApprovalScreen
from chatbot.tui.chat.chat_view import ChatView
from chatbot.tui.chats_screen import ChatsScreen
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
)

LONG = "word " * 200


async def begun(pilot, app, text: str = "one") -> str:  # type: ignore[no-untyped-def]
    """Ask, and leave the chat when something of the answer is there; returns the chat's id."""
    await ask(pilot, text)
    await until(pilot, lambda: bool(answers(app)) and "word" in answers(app)[-1].text)
    chat_id: str = app.manager.conversation.id
    press(app, "ctrl+n")
    await until(pilot, lambda: "glass box" in screen_text(app))
    assert app.manager.conversation.id != chat_id
    return chat_id


async def answered(pilot, app) -> str:  # type: ignore[no-untyped-def]
    """Have a question answered and begin another chat; returns the id of the first."""
    await ask_and_wait(pilot, app, "zero")
    chat_id: str = app.manager.conversation.id
    press(app, "ctrl+n")
    await until(pilot, lambda: not questions(app))
    return chat_id


async def test_the_answer_goes_on_and_is_there_afterwards(make_app: MakeApp) -> None:
    app = make_app(answer=LONG, delay=0.02)
    async with app.run_test(notifications=True) as pilot:
        chat_id = await begun(pilot, app)
        assert "✎ one" in screen_text(app)
        assert questions(app)[1:] == []  # those of the pane that is out of sight come last
        await until(pilot, lambda: "The answer in “one” is there; Ctrl+K opens it." in notices(app))
        await until(pilot, lambda: len(app.query(ChatView)) == 1)
        assert "✎" not in screen_text(app)
        assert not questions(app)
        await app.manager.open_chat(chat_id)
        await app.draw_conversation()
        await until(pilot, lambda: "200 tokens" in foot(answers(app)[-1]))
        assert last_answer(app).text == LONG
        assert last_answer(app).making.finish_reason == "stop"  # type: ignore[union-attr]


async def test_who_comes_back_sees_it_go_on_and_can_stop_it(make_app: MakeApp) -> None:
    app = make_app(answer="word " * 800, delay=0.01)
    async with app.run_test(size=(100, 30)) as pilot:
        await begun(pilot, app)
        press(app, "escape")  # there is nothing here to stop
        press(app, "ctrl+k")
        await until(
            pilot, lambda: isinstance(app.screen, ChatsScreen) and "✎ one" in screen_text(app)
        )
        press(app, "enter")
        await until(pilot, lambda: not isinstance(app.screen, ChatsScreen))
        await until(pilot, lambda: len(app.query(ChatView)) == 1 and questions(app) == ["one"])
        assert app.manager.is_answering
        assert "✎" not in screen_text(app)
        shown = answers(app)[0].query_one(Markdown)
        await until(pilot, lambda: len(shown.source) > 100)
        before = len(shown.source)
        await until(pilot, lambda: len(shown.source) > before + 100)
        await until(pilot, lambda: app._status.num_tokens > 30)
        press(app, "escape")
        await until(pilot, lambda: not app.manager.is_busy)
        answer = last_answer(app)
        assert answer.making is not None
        assert answer.making.finish_reason == "cancelled"
        await until(pilot, lambda: "stopped" in foot(answers(app)[0]))


async def test_what_is_asked_meanwhile_is_asked_in_the_chat_that_is_open(make_app: MakeApp) -> None:
    app = make_app(answer=LONG, delay=0.02)
    async with app.run_test() as pilot:
        chat_id = await begun(pilot, app)
        press(app, *"two", "enter")
        await until(pilot, lambda: "Up takes it back · two" in screen_text(app))
        await until(pilot, lambda: len(app.manager.conversation) == 2)
        assert [one.text for one in app.manager.conversation.path()] == ["two", LONG]
        await app.manager.settled()
        chat = await app.manager.stored().load_chat(chat_id)
        assert [one.text for one in chat.messages] == ["one", LONG]


async def test_what_waits_comes_back_into_the_prompt_when_its_chat_is_left(
    make_app: MakeApp,
) -> None:
    app = make_app(answer=LONG, delay=0.02)
    async with app.run_test() as pilot:
        press(app, *"one", "enter", *"two", "enter")
        await until(pilot, lambda: bool(answers(app)) and "word" in answers(app)[-1].text)
        press(app, "ctrl+n")
        await until(pilot, lambda: app._prompt.text == "two")
        await until(pilot, lambda: not app.manager.is_busy)
        assert len(app.manager.conversation) == 0


async def test_what_waits_is_asked_in_no_other_chat_than_its_own(make_app: MakeApp) -> None:
    app = make_app(answer=LONG, delay=0.02)
    async with app.run_test() as pilot:
        first = await answered(pilot, app)
        await begun(pilot, app)
        press(app, *"two", "enter", *"three", "enter")
        await until(pilot, lambda: "takes it back · three" in screen_text(app))
        await app.manager.open_chat(first)  # about to be drawn when the answer comes to its end
        await until(pilot, lambda: app._prompt.text == "two\nthree")
        assert not app.manager.is_busy
        assert len(app.manager.conversation) == 2


async def test_an_answer_that_is_held_says_so_out_of_sight(make_app: MakeApp) -> None:
    app = make_app(answer=LONG, delay=0.02)
    async with app.run_test(size=(100, 30)) as pilot:
        await ask(pilot, "one")
        await until(pilot, lambda: bool(answers(app)) and "word" in answers(app)[-1].text)
        chat_id = app.manager.conversation.id
        press(app, "f8", "ctrl+n")  # which may be there before it is held
        await until(pilot, lambda: "‖ one" in screen_text(app))
        await app.manager.open_chat(chat_id)
        await app.draw_conversation()
        press(app, "f8")
        await until(pilot, lambda: not app.manager.is_busy)
        assert last_answer(app).text == LONG


async def test_a_third_chat_can_be_opened_and_read(make_app: MakeApp) -> None:
    app = make_app(answer=LONG, delay=0.02)
    async with app.run_test() as pilot:
        first = await answered(pilot, app)
        left = await begun(pilot, app)
        press(app, *"for the new one", "enter")
        await until(pilot, lambda: "takes it back" in screen_text(app))
        await app.manager.open_chat(first)
        await app.draw_conversation()
        await until(pilot, lambda: "▎ zero" in screen_text(app))
        assert "✎ one   ▱▱▱▱▱▱▱▱▱▱▱▱ 0/8,192" in screen_text(app)
        assert app._prompt.text == "for the new one"
        press(app, "ctrl+u")
        await until(pilot, lambda: not app._prompt.text)
        press(app, "ctrl+t", "k", "e")
        await until(pilot, lambda: app._prompt.text == "zero")
        await app.manager.open_chat(left)
        await app.draw_conversation()
        assert app._prompt.text == ""
        assert app.manager.is_answering
        await until(pilot, lambda: not app.manager.is_busy)
        assert last_answer(app).text == LONG


async def test_commands_that_ask_say_where_an_answer_is_being_written(make_app: MakeApp) -> None:
    app = make_app(answer=LONG, delay=0.02)
    async with app.run_test(notifications=True) as pilot:
        first = await answered(pilot, app)
        await begun(pilot, app)
        await app.manager.open_chat(first)
        await app.draw_conversation()
        leaf = app.manager.conversation.active_leaf
        press(app, "ctrl+t", "r")
        await until(pilot, lambda: "is being written in “one”; wait, or stop" in notices(app))
        assert app.manager.conversation.active_leaf == leaf
        await until(pilot, lambda: not app.manager.is_busy)


async def test_a_command_that_is_refused_leaves_the_answer_where_it_is(make_app: MakeApp) -> None:
    app = make_app(answer="word " * 800, delay=0.01)
    async with app.run_test() as pilot:
        await ask(pilot, "one")
        await until(pilot, lambda: bool(answers(app)) and "word" in answers(app)[-1].text)
        left = app.manager.conversation.id
        for is_open in (True, False):  # is the chat in which the command is refused
            press(app, *"/regen", "enter")
            await until(pilot, lambda: app._prompt.text == "/regen")
            press(app, "ctrl+u")
            if is_open:
                press(app, "ctrl+n")
                await until(pilot, lambda: "✎ one" in screen_text(app))
                assert questions(app)[1:] == []
        await app.manager.open_chat(left)
        await app.draw_conversation()
        assert len(app.query(ChatView)) == 1
        before = len(answers(app)[0].text)
        await until(pilot, lambda: len(answers(app)[0].text) > before + 100)
        press(app, "escape")
        await until(pilot, lambda: not app.manager.is_busy)


async def test_who_opens_the_chat_that_is_open_sees_its_answer_go_on(make_app: MakeApp) -> None:
    app = make_app(answer="word " * 400, delay=0.02)
    async with app.run_test(notifications=True) as pilot:
        await ask_and_wait(pilot, app, "zero")
        press(app, *"/edit one", "enter")
        await until(pilot, lambda: questions(app) == ["one"] and bool(answers(app)))
        await until(pilot, lambda: "word" in answers(app)[0].text)
        chat_id, leaf = app.manager.conversation.id, app.manager.conversation.active_leaf
        hidden = next(m.id for m in app.manager.conversation.messages() if m.text == "zero")
        await app.manager.settled()  # so that the list has it
        view = answers(app)[0]
        press(app, *f"/open {chat_id}", "enter")
        await until(pilot, lambda: not app._prompt.text)
        await chat_opening._open(app, chat_id, None)
        await chat_opening._open(app, chat_id, hidden)
        await until(pilot, lambda: "It is on another branch" in notices(app))
        assert app.manager.conversation.active_leaf == leaf
        assert app.manager.is_answering
        before = len(view.text)
        await until(pilot, lambda: len(view.text) > before + 100)
        assert answers(app) == [view]
        press(app, "escape")
        await until(pilot, lambda: not app.manager.is_busy)


async def test_the_list_renames_it_and_does_not_delete_it(make_app: MakeApp) -> None:
    app = make_app(answer="word " * 300, delay=0.02)
    async with app.run_test(size=(100, 30)) as pilot:
        chat_id = await begun(pilot, app)
        press(app, "ctrl+k")
        await until(
            pilot, lambda: isinstance(app.screen, ChatsScreen) and "✎ one" in screen_text(app)
        )
        press(app, "ctrl+d")
        await until(pilot, lambda: "open it to stop that first" in screen_text(app))
        press(app, "f2")
        await until(pilot, lambda: app.screen.query_one(Input).value == "one")
        app.screen.query_one(Input).value = "Sea animals"
        press(app, "enter")
        await until(pilot, lambda: "✎ Sea animals" in screen_text(app))
        press(app, "escape")
        await until(pilot, lambda: "✎ Sea animals   ▱" in screen_text(app))  # in the status line
        await until(pilot, lambda: not app.manager.is_busy)
        await app.manager.settled()
        chat = await app.manager.stored().load_chat(chat_id)
        assert chat.info.title == "Sea animals"
        assert [one.text for one in chat.messages] == ["one", "word " * 300]


async def test_the_list_says_so_no_longer_than_it_is_true(make_app: MakeApp) -> None:
    app = make_app(answer=LONG, delay=0.02)
    async with app.run_test(size=(100, 30)) as pilot:
        await begun(pilot, app)
        press(app, "ctrl+k")
        await until(
            pilot, lambda: isinstance(app.screen, ChatsScreen) and "✎ one" in screen_text(app)
        )
        await until(pilot, lambda: not app.manager.is_busy)
        await until(pilot, lambda: "✎" not in screen_text(app))
        press(app, "ctrl+d")
        await until(pilot, lambda: "There are no chats yet." in screen_text(app))


async def test_a_tool_waits_to_be_allowed_until_its_chat_is_open(make_app: MakeApp) -> None:
    app = make_app(tools=["get_weather"], delay=0.05)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        app.take("think " + "well " * 30 + '\ncall get_weather {"place": "Paris"}')
        await until(pilot, lambda: app.manager.has_begun)
        chat_id = app.manager.conversation.id
        press(app, "ctrl+n")
        await until(pilot, lambda: "a tool waits to be allowed; Ctrl+K opens it" in notices(app))
        assert not isinstance(app.screen, ApprovalScreen)
        await app.manager.open_chat(chat_id)
        await app.draw_conversation()
        await until(pilot, lambda: isinstance(app.screen, ApprovalScreen) and app.screen._is_read)
        press(app, "n")
        await until(pilot, lambda: not app._status.is_busy)
        results = [p for p in last_answer(app).parts if isinstance(p, ToolResultPart)]
        assert [result.approved_by for result in results] == [""]
        await until(pilot, lambda: "▸ thought · 30 tokens" in screen_text(app))


async def test_a_killed_engine_costs_the_answer_that_is_out_of_sight_alone(
    make_app: MakeApp,
) -> None:
    app = make_app(answer="word " * 500, delay=0.02)
    async with app.run_test(notifications=True) as pilot:
        chat_id = await begun(pilot, app)
        press(app, *"two", "enter")
        await until(pilot, lambda: "takes it back · two" in screen_text(app))
        assert app.session.engine.pid is not None
        os.kill(app.session.engine.pid, signal.SIGKILL)
        await until(pilot, lambda: app._prompt.text == "two")
        await until(pilot, lambda: "The answer in “one” failed; Ctrl+K opens" in notices(app))
        await until(pilot, lambda: not app.manager.is_busy)
        assert len(app.manager.conversation) == 0
        await app.manager.open_chat(chat_id)
        await app.draw_conversation()
        await until(pilot, lambda: "was killed" in foot(answers(app)[0]))
        assert last_answer(app).text.startswith("word")


async def test_what_waits_does_not_come_back_into_a_question_that_is_edited(
    make_app: MakeApp,
) -> None:
    app = make_app(answer="word " * 100, delay=0.02)
    async with app.run_test() as pilot:
        first = await answered(pilot, app)
        await begun(pilot, app)
        await app.manager.open_chat(first)
        await app.draw_conversation()
        press(app, *"two", "enter")
        await until(pilot, lambda: "takes it back · two" in screen_text(app))
        press(app, "ctrl+t", "e")
        await until(pilot, lambda: app._prompt.edited is not None)
        assert app.session.engine.pid is not None
        os.kill(app.session.engine.pid, signal.SIGKILL)
        await until(pilot, lambda: "takes it back" not in screen_text(app))
        assert app._prompt.text == "zero"
        press(app, "escape")
        await until(pilot, lambda: app._prompt.text == "two")


@pytest.mark.parametrize("has_journal", [False, True])
async def test_what_is_not_kept_is_not_left(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch, has_journal: bool
) -> None:
    """Because no chat is kept, or because this one's writes fail."""
    app = make_app(answer="word " * 500, delay=0.02)
    if not has_journal:
        app.manager._journal = None
    async with app.run_test(notifications=True) as pilot:
        await ask(pilot, "one")
        await until(pilot, lambda: bool(answers(app)) and "word" in answers(app)[-1].text)
        if app.manager._journal:
            # Or it would be made good by the next write.
            monkeypatch.setattr(app.manager._journal, "flush_answer", lambda *_: None)
            await app.manager.settled()
            app.manager._journal.is_behind = True
        press(app, "ctrl+n")
        await until(pilot, lambda: "stop it first" in notices(app))
        assert questions(app) == ["one"]
        press(app, "escape")
        await until(pilot, lambda: not app.manager.is_busy)

import asyncio
from collections.abc import Collection

import pytest

from chatbot.conversation.manager import ConversationManager
from chatbot.conversation.prompt_preview import render_prompt
from chatbot.conversation.tree import Conversation
from chatbot.errors import ChatbotError, CommandError, ConfigError, ModelError, SettingError
from chatbot.events import TurnStarted
from chatbot.settings import Settings
from tests.conversation.building import (
    SavedSettings,
    all_of,
    make_manager,
    text_of,
    until,
    with_settings,
)
from tests.conversation.fake_engine import FakeEngine

pytestmark = pytest.mark.timeout(10)


async def test_an_answer_again_is_a_variant() -> None:
    engine = FakeEngine("one")
    manager = make_manager(engine)
    await all_of(manager.reply("hi"))
    engine.script = ("two",)
    await all_of(manager.regenerate())
    question, answer = manager.conversation.path()
    assert (question.text, answer.text) == ("hi", "two")
    assert len(manager.conversation.variants(answer.id)) == 2
    assert [m.content for m in engine.prompts[1][1:]] == ["hi"]  # without the first answer


async def test_a_question_in_other_words_holds_what_others_wrote_as_well() -> None:
    manager = make_manager(FakeEngine())
    await all_of(manager.reply("Sum up: a page", is_foreign=True))
    await all_of(manager.edit("Sum up in a word: a page"))
    assert manager.conversation.last("user").is_foreign  # type: ignore[union-attr]
    await all_of(manager.reply("Why?"))
    assert not manager.conversation.last("user").is_foreign  # type: ignore[union-attr]


async def test_an_edited_question_stands_beside_the_old_one() -> None:
    engine = FakeEngine("yes")
    manager = make_manager(engine)
    await all_of(manager.reply("first"))
    await all_of(manager.reply("second"))
    await all_of(manager.edit("other"))
    assert [m.text for m in manager.conversation.path()] == ["first", "yes", "other", "yes"]
    assert len(manager.conversation) == 6
    question = manager.conversation.last("user")
    assert question is not None
    assert len(manager.conversation.variants(question.id)) == 2


async def test_undo_goes_back_without_losing_anything() -> None:
    manager = make_manager(FakeEngine("yes"))
    await all_of(manager.reply("first"))
    await all_of(manager.reply("second"))
    assert manager.undo().text == "second"
    assert [m.text for m in manager.conversation.path()] == ["first", "yes"]
    assert manager.undo().text == "first"
    assert manager.conversation.path() == ()
    assert len(manager.conversation) == 4
    with pytest.raises(CommandError, match="nothing to take back"):
        manager.undo()


async def test_without_a_question_there_is_nothing_to_do_again() -> None:
    manager = make_manager(FakeEngine())
    with pytest.raises(CommandError):
        await all_of(manager.regenerate())
    with pytest.raises(CommandError):
        await all_of(manager.edit("other"))
    assert len(manager.conversation) == 0


async def test_while_an_answer_runs_nothing_else_changes_the_chat() -> None:
    gate = asyncio.Event()
    manager = make_manager(FakeEngine("so ", gate, "far"))
    async for event in manager.reply("hi"):
        if isinstance(event, TurnStarted):
            for refused in (manager.reply("b"), manager.regenerate(), manager.edit("c")):
                with pytest.raises(CommandError, match="being written"):
                    await all_of(refused)
            with pytest.raises(CommandError, match="being written"):
                manager.new_chat()
            with pytest.raises(CommandError, match="being written"):
                manager.open(Conversation())
            with pytest.raises(CommandError, match="being written"):
                manager.undo()
            assert manager.is_busy
            gate.set()
    assert [m.text for m in manager.conversation.path()] == ["hi", "so far"]
    manager.new_chat()
    assert len(manager.conversation) == 0


async def test_stopping_with_nothing_running_is_harmless() -> None:
    manager = make_manager(FakeEngine("x"))
    manager.stop()
    assert text_of(await all_of(manager.reply("hi"))) == "x"


async def test_only_what_was_changed_is_saved() -> None:
    saved = SavedSettings()
    manager = make_manager(FakeEngine(), with_settings(model="from a flag"), saved)
    assert manager.change_setting("Top-P", " 0.5 ") == 0.5
    manager.change_setting("system_prompt", "Be \x1b[31mbrief.")
    manager.change_theme("day")
    assert saved.names == [("top_p",), ("system_prompt",), ("theme",)]
    assert manager.settings.sampling.top_p == 0.5
    assert manager.settings.system_prompt == "Be brief."
    assert manager.settings.theme == "day"


async def test_a_refused_value_changes_and_saves_nothing() -> None:
    saved = SavedSettings()
    manager = make_manager(FakeEngine(), save=saved)
    with pytest.raises(SettingError, match="from 0 to 2"):
        manager.change_setting("temperature", "3")
    with pytest.raises(SettingError, match="no setting"):
        manager.change_setting("colour", "red")
    assert manager.settings == Settings()
    assert saved.calls == []


async def test_a_setting_that_cannot_be_saved_is_in_force_all_the_same() -> None:
    def refuse(settings: Settings, names: Collection[str]) -> None:
        raise ConfigError("The disk is full.")

    manager = ConversationManager(FakeEngine(), Settings(), refuse)
    with pytest.raises(ConfigError):
        manager.change_setting("temperature", "0")
    assert manager.settings.sampling.temperature == 0


async def test_a_load_that_fails_brings_the_former_model_back() -> None:
    engine, saved = FakeEngine(), SavedSettings()
    engine.missing.add("missing")
    manager = make_manager(engine, with_settings(precision="bf16"), saved)
    await manager.load_model()
    manager.change_setting("model", "missing")
    manager.change_setting("precision", "fp32")
    with pytest.raises(ModelError, match="no model missing"):
        await manager.load_model()
    assert (manager.settings.model, manager.settings.precision) == ("smollm2-135m", "bf16")
    assert engine.loads[-1] == ("smollm2-135m", "bf16")
    settings, names = saved.calls[-1]
    assert set(names) == {"model", "precision"}
    assert settings == manager.settings


async def test_the_first_load_has_nothing_to_go_back_to() -> None:
    engine, saved = FakeEngine(), SavedSettings()
    engine.missing.add("missing")
    manager = make_manager(engine, with_settings(model="missing"), saved)
    with pytest.raises(ModelError):
        await manager.load_model()
    assert manager.settings.model == "missing"
    assert saved.calls == []
    assert len(engine.loads) == 1


async def test_a_failed_load_does_not_undo_what_was_chosen_since() -> None:
    engine = FakeEngine()
    engine.missing.add("missing")
    gate = engine.load_gates["missing"] = asyncio.Event()
    manager = make_manager(engine)
    await manager.load_model()
    manager.change_setting("model", "missing")
    failing = asyncio.create_task(manager.load_model())
    await until(lambda: ("missing", "auto") in engine.loads)
    manager.change_setting("model", "third")
    gate.set()
    with pytest.raises(ModelError):
        await failing
    assert manager.settings.model == "third"
    await manager.load_model()
    assert engine.status.info is not None
    assert engine.status.info.name == "third"


async def test_the_first_failure_is_told_even_when_going_back_fails_too() -> None:
    def refuse(settings: Settings, names: Collection[str]) -> None:
        raise ConfigError("The disk is full.")

    engine = FakeEngine()
    manager = ConversationManager(engine, Settings(), refuse)
    await manager.load_model()
    engine.missing.update(("missing", "smollm2-135m"))
    with pytest.raises(ConfigError):
        manager.change_setting("model", "missing")
    with pytest.raises(ChatbotError, match="no model missing"):
        await manager.load_model()
    assert manager.settings.model == "smollm2-135m"


async def test_the_prompt_can_be_seen_before_and_after_the_answer() -> None:
    engine = FakeEngine("yes")
    manager = make_manager(engine)
    with pytest.raises(CommandError, match="ask a question first"):
        await render_prompt(manager)
    await all_of(manager.reply("first"))
    await all_of(manager.reply("second"))
    rendered = await render_prompt(manager)
    assert rendered.text.splitlines()[1:] == ["<user>first", "<assistant>yes", "<user>second"]

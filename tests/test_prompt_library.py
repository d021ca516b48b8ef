"""Filling prompts: variables, what is typed, and the settings of one answer."""

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatbot.conversation.commands import run_command
from chatbot.conversation.manager import ConversationManager
from chatbot.conversation.prompt_arguments import parse_arguments, parse_pairs
from chatbot.conversation.prompt_library import load_library
from chatbot.conversation.prompt_template import PromptTemplate, Variable
from chatbot.engine.client import EngineClient
from chatbot.errors import CommandError, PromptUsageError, SettingError
from chatbot.events import TextDelta, TurnFinished
from chatbot.messages import Making
from chatbot.plain.face import PlainFace
from chatbot.settings import Settings
from chatbot.terminal_text import is_safe

SUMMARY = load_library().get("summary")
TRANSLATION = load_library().get("translation")

ECHO = PromptTemplate(
    name="echo",
    description="Says it again",
    body="<{{ input }}>{% if other %}+{{ other|upper }}{% endif %}",
    variables=(Variable(name="input"), Variable(name="other", default="")),
)


@pytest.fixture
async def manager(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[ConversationManager]:
    monkeypatch.setenv("SCRIPT_DELAY", "0.02")
    command = (sys.executable, str(Path(__file__).parent / "scripted_engine.py"))
    engine = EngineClient(tmp_path / "engine.log", command)
    yield ConversationManager(engine, Settings(), lambda settings, names: None)
    await engine.close()


def test_missing_variables_are_named_all_at_once() -> None:
    with pytest.raises(PromptUsageError) as caught:
        TRANSLATION.fill({"input": "  "})
    assert str(caught.value) == (
        "The prompt 'translation' still needs: input (The text to translate), "
        "language (Language to translate into)."
    )


def test_values_that_are_not_allowed() -> None:
    with pytest.raises(PromptUsageError, match="length must be one of one sentence, three"):
        SUMMARY.fill({"input": "x", "length": "long"})
    with pytest.raises(PromptUsageError, match="no variable 'lenght'; it has input, length, aud"):
        SUMMARY.fill({"input": "x", "lenght": "one sentence"})
    with pytest.raises(PromptUsageError, match="input => output; 'nonsense' is not"):
        load_library().get("few-shot").fill({"input": "x", "examples": "a => b\nnonsense"})


def test_examples_are_edited_as_lines() -> None:
    prompt = load_library().get("few-shot")
    text = prompt.fill({"input": "x", "task": "Do it.", "examples": "a => b\n\nc\\nd => e"}).text
    assert text == "Do it.\n\nText: a\nAnswer: b\n\nText: c\nd\nAnswer: e\n\nText: x\nAnswer:"


@pytest.mark.parametrize("value", ["{{ 7*7 }}", "{% for x in y %}", "{{ other }}", "{# no #}"])
def test_values_are_never_read_as_a_template(value: str) -> None:
    assert ECHO.fill({"input": value, "other": value}).text == f"<{value}>+{value.upper()}"


@given(st.text(), st.text())
def test_any_value_is_inserted_as_it_is(value: str, other: str) -> None:
    pieces = ECHO.preview({"input": f"x{value}", "other": other})
    inserted = next(piece.text for piece in pieces if piece.is_value)
    assert is_safe(inserted)
    if is_safe(value):
        assert inserted == f"x{value}"


def test_a_preview_marks_what_was_inserted_and_what_is_missing() -> None:
    assert [(p.text, p.is_value) for p in ECHO.preview({"other": "y"})] == [
        ("<", False),
        ("‹input›", True),
        (">", False),
        ("+", False),
        ("Y", True),
    ]


@pytest.mark.parametrize(
    ("typed", "values"),
    [
        ("", {}),
        ("Some text", {"input": "Some text"}),
        ("audience=children Some text", {"audience": "children", "input": "Some text"}),
        ('length="one sentence" Hi x=1', {"length": "one sentence", "input": "Hi x=1"}),
        (r'audience="a \"b\" \\" x', {"audience": 'a "b" \\', "input": "x"}),
        ("audience='it is' input='a b'", {"audience": "it is", "input": "a b"}),
        ("audience= x", {"audience": "", "input": "x"}),
        ("x = 1", {"input": "x = 1"}),
        ("\n\nline one\nline two", {"input": "line one\nline two"}),
        ('audience="open', {"audience": '"open'}),
    ],
)
def test_what_is_typed_after_the_name(typed: str, values: dict[str, str]) -> None:
    assert parse_arguments(SUMMARY, typed) == values


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("lenght=5 text", "no variable 'lenght'"),
        ("audience=a audience=b", "audience is given twice"),
        ("input=a b", "input is given twice"),
    ],
)
def test_what_cannot_be_typed(typed: str, said: str) -> None:
    with pytest.raises(PromptUsageError, match=said):
        parse_arguments(SUMMARY, typed)


def test_flags() -> None:
    assert parse_pairs(SUMMARY, ["audience=a=b", "input="]) == {"audience": "a=b", "input": ""}
    with pytest.raises(PromptUsageError, match="name=value"):
        parse_pairs(SUMMARY, ["audience"])
    with pytest.raises(PromptUsageError, match="no variable 'input'; it has subject, level"):
        parse_arguments(load_library().get("tutor"), "teach me")


@given(st.text())
def test_any_line_is_parsed_or_refused(typed: str) -> None:
    try:
        values = parse_arguments(SUMMARY, typed)
    except PromptUsageError as error:
        refused = str(error)
    else:
        refused = ""
        assert all(is_safe(value) for value in values.values())
    assert is_safe(refused)


async def reply(manager: ConversationManager, text: str, overrides: dict[str, str]) -> Making:
    made: Making | None = None
    async for event in manager.reply(text, overrides):
        if isinstance(event, TurnFinished):
            made = event.answer.making
    assert made is not None
    return made


async def test_settings_hold_for_one_answer(manager: ConversationManager) -> None:
    made = await reply(manager, "hello", {"temperature": "0", "max-tokens": "2"})
    assert (made.sampling.temperature, made.sampling.max_tokens) == (0, 2)
    assert made.finish_reason == "length"
    assert manager.settings == Settings()
    made = await reply(manager, "again", {})
    assert made.sampling == msgspec.structs.replace(Settings().sampling, seed=made.sampling.seed)


async def test_a_setting_changed_meanwhile_counts_and_the_others_stay(
    manager: ConversationManager,
) -> None:
    made: Making | None = None
    changed = False
    async for event in manager.reply("one two three " * 9, {"temperature": "0", "top_k": "7"}):
        if isinstance(event, TextDelta) and not changed:
            changed = True
            manager.change_setting("temperature", "1.5")
        if isinstance(event, TurnFinished):
            made = event.answer.making
    assert made is not None
    changes = {c.name: (c.old, c.new) for c in made.changes}
    assert changes.pop("temperature") == ("0", "1.5")
    assert changes.keys() == {"seed"}  # which is drawn once tokens are
    assert made.sampling.top_k == 7
    assert manager.settings.sampling.temperature == 1.5
    assert manager.settings.sampling.top_k == Settings().sampling.top_k


async def test_a_wrong_setting_asks_nothing(manager: ConversationManager) -> None:
    with pytest.raises(SettingError):
        await reply(manager, "hello", {"temperature": "hot"})
    assert not manager.is_busy
    assert len(manager.conversation) == 0


@pytest.fixture
def face(manager: ConversationManager) -> PlainFace:
    return PlainFace(manager, is_interactive=False)


async def test_the_command_sends_a_filled_prompt(face: PlainFace) -> None:
    await run_command(face, "/prompt translation language=French Good morning")
    question, answer = face.manager.conversation.path()
    assert question.text.startswith("Translate the text below into French.")
    assert question.text.endswith("Text:\nGood morning")
    assert answer.making is not None
    assert answer.making.sampling.temperature == 0.2


async def test_the_command_takes_on_a_persona(face: PlainFace) -> None:
    await run_command(face, "/prompt tutor subject=chess")
    assert "The subject is chess," in face.manager.settings.system_prompt
    await run_command(face, "/prompt assistant")
    assert face.manager.settings == Settings()
    assert len(face.manager.conversation) == 0


async def test_the_command_lists_and_refuses(
    face: PlainFace, capsys: pytest.CaptureFixture[str]
) -> None:
    await run_command(face, "/prompt")
    assert "- `/prompt translation` Translates a text" in capsys.readouterr().out
    with pytest.raises(PromptUsageError, match="still needs: language"):
        await run_command(face, "/prompt translation Good morning")
    with pytest.raises(PromptUsageError, match="There is no prompt 'nope'"):
        await run_command(face, "/prompt nope")


async def test_a_person_is_asked_for_what_is_missing(
    manager: ConversationManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    replies = iter(["Good morning", "\x1b[31mFrench"])

    async def read_line(prompt: str) -> str | None:
        asked.append(prompt)
        return next(replies, None)

    monkeypatch.setattr("chatbot.plain.prompt_filling.read_line", read_line)
    face = PlainFace(manager, is_interactive=True)
    await run_command(face, "/prompt translation tone=casual")
    assert asked == [
        "input (The text to translate): ",
        "language (Language to translate into): ",
    ]
    question = manager.conversation.path()[0].text
    assert "into French." in question
    assert "Use a casual tone." in question
    await run_command(face, "/prompt translation")
    assert len(manager.conversation) == 2


async def test_a_question_waits_for_the_one_before(manager: ConversationManager) -> None:
    face = PlainFace(manager, is_interactive=False)
    events = manager.reply("one two three " * 9)
    await anext(events)
    with pytest.raises(CommandError, match="stop it first"):
        await run_command(face, "/prompt plain hello")
    await events.aclose()

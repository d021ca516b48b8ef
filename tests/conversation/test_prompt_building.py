import msgspec
import pytest

from chatbot.conversation.prompt_building import (
    MIN_EXAMPLE_WINDOW,
    SMALL_MODEL,
    Prompt,
    build_prompt,
)
from chatbot.errors import ContextError
from chatbot.messages import Message, Role, Source, SourcesPart, TextPart, ThinkingPart
from chatbot.settings import Settings
from tests.conversation.building import with_settings
from tests.conversation.fake_engine import TEMPLATE_TOKENS, FakeEngine, info_of

SYSTEM_TOKENS = 10  # the default system prompt, and one for the role


def chat(*texts: str) -> list[Message]:
    """Questions and answers in turn; their ids are m0, m1, …"""
    roles: tuple[Role, Role] = ("user", "assistant")
    return [
        Message(
            role=roles[index % 2],
            parts=(TextPart(text),),
            id=f"m{index}",
            parent_id=f"m{index - 1}" if index else None,
        )
        for index, text in enumerate(texts)
    ]


def words(number: int) -> str:
    return " ".join(["word"] * number)


async def built(path: list[Message], settings: Settings | None = None, window: int = 100):
    engine = FakeEngine(context_length=window)
    info = info_of("m", context_length=window)
    return await build_prompt(engine, path, settings or Settings(), info)


async def test_the_sizes_add_up_to_the_prompt() -> None:
    prompt = await built(chat("one two", "three", "four five six"))
    sizes = prompt.built
    assert sizes.num_system_tokens == SYSTEM_TOKENS
    assert sizes.num_history_tokens == 3 + 2
    assert sizes.num_question_tokens == 4
    assert sizes.num_prompt_tokens == SYSTEM_TOKENS + 5 + 4 + TEMPLATE_TOKENS
    assert sizes.context_length == 100
    assert sizes.room == 100 - sizes.num_prompt_tokens
    assert sizes.left_out == ()
    assert [m.role for m in prompt.messages] == ["system", "user", "assistant", "user"]
    assert prompt.messages[-1].content == "four five six"


async def test_an_empty_system_prompt_is_no_message() -> None:
    prompt = await built(chat("hello"), with_settings(system_prompt="  \n"))
    assert [m.role for m in prompt.messages] == ["user"]
    assert prompt.built.num_system_tokens == 0


async def test_the_window_that_is_set_counts_when_it_is_the_smaller_one() -> None:
    small = await built(chat("hello"), with_settings(context_length=64))
    assert small.built.context_length == 64
    large = await built(chat("hello"), with_settings(context_length=1000))
    assert large.built.context_length == 100


async def test_what_does_not_fit_is_left_out_and_named() -> None:
    path = chat(words(20), words(20), words(20), words(20), "last question")
    prompt = await built(path)
    # 100 - 25 for the answer - 9 fixed = 66; two exchanges of 42 and the 3 do not fit.
    assert prompt.built.left_out == ("m0", "m1")
    assert [m.content for m in prompt.messages[1:]] == [words(20), words(20), "last question"]
    assert prompt.built.num_history_tokens == 42
    assert prompt.built.num_prompt_tokens == SYSTEM_TOKENS + 42 + 3 + TEMPLATE_TOKENS


async def test_max_history_leaves_out_too() -> None:
    path = chat("a", "b", "c", "d", "e")
    prompt = await built(path, with_settings(max_history=1))
    assert prompt.built.left_out == ("m0", "m1")
    assert [m.content for m in prompt.messages[1:]] == ["c", "d", "e"]


async def test_an_answer_that_failed_before_its_first_word_is_left_out_with_its_question() -> None:
    prompt = await built(chat("failed", " \n", "worked", "yes", "next"))
    assert prompt.built.left_out == ("m0", "m1")
    assert [m.content for m in prompt.messages[1:]] == ["worked", "yes", "next"]


async def test_left_out_ids_come_in_the_order_of_the_chat() -> None:
    path = chat(words(20), words(20), "failed", "", words(20), words(20), "next")
    prompt = await built(path)
    assert prompt.built.left_out == ("m0", "m1", "m2", "m3")


async def test_two_questions_in_a_row_leave_the_unanswered_one_out() -> None:
    asked, again = chat("never answered")[0], chat("asked again")[0]
    path = [asked, Message(role="user", parts=again.parts, id="m9", parent_id="m0")]
    prompt = await built(path)
    assert prompt.built.left_out == ("m0",)
    assert [m.content for m in prompt.messages[1:]] == ["asked again"]


async def test_a_question_that_does_not_fit_alone_is_an_error() -> None:
    with pytest.raises(ContextError, match="does not fit"):
        await built(chat("short", "answer", words(90)))


@pytest.mark.parametrize(("num_parameters", "num_given"), [(SMALL_MODEL - 1, 1), (SMALL_MODEL, 2)])
async def test_a_small_model_is_given_the_best_source_alone(
    num_parameters: int, num_given: int
) -> None:
    found = SourcesPart(
        sources=tuple(
            Source(title=name, location=f"{name}.md:1", text=f"Text of {name}.", verdict="used")
            for name in ("first", "second")
        )
    )
    info = msgspec.structs.replace(info_of("m", context_length=400), num_parameters=num_parameters)
    engine = FakeEngine(context_length=400)
    prompt = await build_prompt(engine, chat("Why?"), Settings(), info, found=found)
    assert prompt.found is not None
    assert [source.title for source in prompt.found.sources] == ["first", "second"][:num_given]
    assert len(prompt.found.candidates) == 2 - num_given
    assert ("> Text of second." in prompt.messages[-1].content) is (num_given == 2)


@pytest.mark.parametrize(("counted", "left_out"), [((412, 0), 412), ((412, 415), 0), ((0, 0), 0)])
async def test_thoughts_go_to_the_engine_which_says_what_its_template_leaves_out(
    counted: tuple[int, int], left_out: int
) -> None:
    path = chat("one", "two", "three")
    path[1] = msgspec.structs.replace(path[1], parts=(ThinkingPart("hm"), TextPart("two")))
    engine = FakeEngine()
    engine.num_thinking_tokens = counted
    prompt = await build_prompt(engine, path, Settings(), info_of("m"))
    assert [message.thinking for message in prompt.messages] == ["", "", "hm", ""]
    assert prompt.messages[2].content == "two"
    assert prompt.built.num_left_out_thinking_tokens == left_out


@pytest.mark.parametrize("system", ["Be brief.", ""])
async def test_a_small_model_is_shown_how_to_answer_from_a_source(system: str) -> None:
    source = Source(title="first", location="first.md:1", text="Text of first.", verdict="used")
    found = SourcesPart(sources=(source,))
    settings = with_settings(system_prompt=system)

    async def prompt_of(
        num_parameters: int, path: list[Message], found: SourcesPart | None, window: int = 2000
    ) -> Prompt:
        info = info_of("m", context_length=window)
        info = msgspec.structs.replace(info, num_parameters=num_parameters)
        engine = FakeEngine(context_length=window)
        return await build_prompt(engine, path, settings, info, found=found)

    large = await prompt_of(SMALL_MODEL, chat("Why?"), found)
    assert [m.role for m in large.messages if m.role != "system"] == ["user"]
    small = await prompt_of(SMALL_MODEL - 1, chat("Why?"), found)
    assert [m.role for m in small.messages if m.role != "system"] == ["user", "assistant", "user"]
    assert small.messages[-1] == large.messages[-1]
    sizes = small.built
    assert sizes.num_system_tokens == large.built.num_system_tokens
    assert sizes.num_question_tokens == large.built.num_question_tokens
    more = sizes.num_prompt_tokens - large.built.num_prompt_tokens
    assert more > 20
    assert sizes.num_source_tokens == large.built.num_source_tokens + more

    # It stays where it was for as long as an answer above has a source, and only for as long.
    path = chat("Why?", "So.", "And?")
    path[1] = msgspec.structs.replace(path[1], parts=(found, *path[1].parts))
    later = await prompt_of(SMALL_MODEL - 1, path, None)
    num_same = len(small.messages)
    assert later.messages[:num_same] == small.messages
    plain = await prompt_of(SMALL_MODEL - 1, chat("Why?"), None)
    assert [m.role for m in plain.messages if m.role != "system"] == ["user"]
    narrow = await prompt_of(SMALL_MODEL - 1, chat("Why?"), found, window=MIN_EXAMPLE_WINDOW - 1)
    assert [m.role for m in narrow.messages if m.role != "system"] == ["user"]

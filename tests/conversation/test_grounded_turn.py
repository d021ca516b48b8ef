"""A turn with knowledge folders: search, prompt, answer, map, and what can go wrong."""

import asyncio
from contextlib import aclosing

import msgspec
import pytest

from chatbot.conversation.manager import ConversationManager
from chatbot.conversation.prompt_preview import render_prompt
from chatbot.conversation.source_block import sources_of, with_sources
from chatbot.errors import KnowledgeError, WorkerError
from chatbot.events import (
    PromptBuilt,
    SearchStarted,
    SourcesFound,
    SupportFound,
    TextDelta,
    TurnEvent,
    TurnFinished,
    TurnStarted,
)
from chatbot.messages import Message, SourcesPart, TextPart
from chatbot.settings import MANUAL, KnowledgeFolder
from tests.conversation.building import (
    SavedSettings,
    all_of,
    making_of,
    text_of,
    until,
    with_settings,
)
from tests.conversation.fake_engine import FakeEngine, tokens_of
from tests.conversation.fake_retrieval import FakeRetrieval, hit

pytestmark = pytest.mark.timeout(10)

TOWER = hit("The tower is 330 metres high.", headings=("Tower",))
BRIDGE = hit("The bridge is 200 metres long.", 0.6, file="b.md")
FAR = hit("Something else.", 0.1)


def make(engine: FakeEngine, *hits: object, **settings: object) -> ConversationManager:
    return ConversationManager(
        engine,
        with_settings(**settings),
        SavedSettings(),
        retrieval=FakeRetrieval(*hits),  # type: ignore[arg-type]
    )


def retrieval_of(manager: ConversationManager) -> FakeRetrieval:
    assert manager.knowledge is not None
    retrieval = manager.knowledge.retrieval
    assert isinstance(retrieval, FakeRetrieval)
    return retrieval


def found_of(message: Message | None) -> SourcesPart:
    found = sources_of(message) if message else None
    assert found is not None
    return found


def event_of(events: list[TurnEvent], kind: type) -> object:
    (event,) = [e for e in events if isinstance(e, kind)]
    return event


async def test_the_events_of_a_grounded_turn() -> None:
    engine = FakeEngine("The tower is 330 metres high. ", "It is pink.", context_length=400)
    manager = make(engine, TOWER, BRIDGE, FAR)
    events = await all_of(manager.reply("How high is the tower?"))
    assert [type(e) for e in events] == [
        TurnStarted,
        SearchStarted,
        SourcesFound,
        PromptBuilt,
        TextDelta,
        TextDelta,
        SupportFound,
        TurnFinished,
    ]
    started = event_of(events, SearchStarted)
    assert isinstance(started, SearchStarted)
    assert not started.is_ready  # nobody has loaded the embedding model
    answer = manager.conversation.last("assistant")
    assert answer is not None
    assert answer.text == "The tower is 330 metres high. It is pink."
    found = found_of(answer)
    assert isinstance(answer.parts[0], SourcesPart)
    assert isinstance(answer.parts[1], TextPart)
    assert [s.text for s in found.sources] == [TOWER.passage.text, BRIDGE.passage.text]
    assert [s.verdict for s in found.candidates] == ["irrelevant"]
    assert [(s.source, s.score) for s in found.support] == [(0, 1.0), (None, 0.0)]
    assert event_of(events, SupportFound) == SupportFound(found)
    finished = events[-1]
    assert isinstance(finished, TurnFinished)
    assert finished.answer == answer
    assert not making_of(answer).is_by_program


async def test_sources_stand_before_the_question_and_are_counted_exactly() -> None:
    engine = FakeEngine("Yes.", context_length=400)
    manager = make(engine, TOWER, BRIDGE)
    events = await all_of(manager.reply("How high?"))
    asked = engine.prompts[0][-1]
    assert asked.content == (
        "Context, quoted from documents. Answer from it; if it has no answer, say so.\n\n"
        "[1] Tower (notes.md:1)\n> The tower is 330 metres high.\n\n"
        "[2] b.md (b.md:1)\n> The bridge is 200 metres long.\n\n"
        "Question: How high?"
    )
    built = event_of(events, PromptBuilt)
    assert isinstance(built, PromptBuilt)
    assert built.num_question_tokens == 3
    assert built.num_source_tokens == tokens_of(asked) - 3
    assert built.num_prompt_tokens == sum(map(tokens_of, engine.prompts[0])) + 3


async def test_the_next_prompt_begins_with_this_one_and_its_answer() -> None:
    engine = FakeEngine("High.", context_length=1000)
    manager = make(engine, TOWER)
    await all_of(manager.reply("How high?"))
    retrieval_of(manager).hits = (BRIDGE,)
    await all_of(manager.reply("How long?"))
    first, second = engine.prompts
    assert second[: len(first)] == first
    assert second[len(first)].content == "High."
    assert "bridge" in second[-1].content
    retrieval_of(manager).hits = ()
    await all_of(manager.reply("Thanks!"))
    assert engine.prompts[2][: len(second)] == second
    assert engine.prompts[2][-1].content == "Thanks!"


async def test_sources_take_a_third_of_the_window_at_most() -> None:
    words = hit(" ".join(["word"] * 60))
    engine = FakeEngine("Yes.", context_length=300)
    manager = make(engine, words, hit(" ".join(["more"] * 60), 0.8), FAR)
    await all_of(manager.reply("How high?"))
    found = found_of(manager.conversation.last("assistant"))
    assert [s.text for s in found.sources] == [words.passage.text]
    assert [s.verdict for s in found.candidates] == ["beyond", "irrelevant"]
    assert "more" not in engine.prompts[0][-1].content


async def test_a_question_that_fits_alone_is_never_pushed_out_by_its_sources() -> None:
    engine = FakeEngine("Yes.", context_length=100)
    manager = make(engine, hit(" ".join(["word"] * 20)))
    await all_of(manager.reply("why " * 60))
    answer = manager.conversation.last("assistant")
    assert making_of(answer).finish_reason == "stop"
    assert found_of(answer).sources == ()
    assert [s.verdict for s in found_of(answer).candidates] == ["beyond"]


async def test_the_search_and_the_load_wait_for_one_another_in_neither_order() -> None:
    engine = FakeEngine("Yes.", context_length=400)
    engine.load_gates["smollm2-135m"] = load = asyncio.Event()
    manager = make(engine, TOWER)
    retrieval = retrieval_of(manager)
    retrieval.gate = asyncio.Event()
    turn = asyncio.create_task(all_of(manager.reply("How high?")))
    await until(lambda: engine.loads and retrieval.queries)  # both are under way
    retrieval.gate.set()
    load.set()
    assert text_of(await turn) == "Yes."
    assert engine.loads == [("smollm2-135m", "auto")]


async def test_strict_and_nothing_relevant_the_model_is_not_asked(tmp_path: object) -> None:
    engine = FakeEngine("never")
    engine.load_gates["smollm2-135m"] = asyncio.Event()  # the model is not even waited for
    manager = make(engine, FAR, grounding="strict")
    events = await all_of(manager.reply("How high?"))
    assert [type(e) for e in events] == [
        TurnStarted,
        SearchStarted,
        SourcesFound,
        TextDelta,
        TurnFinished,
    ]
    answer = manager.conversation.last("assistant")
    assert answer is not None
    assert "the best match reaches 0.10, and the threshold is 0.30" in answer.text
    assert "`relevance_threshold`" in answer.text
    assert found_of(answer).is_declined
    made = making_of(answer)
    assert (made.is_by_program, made.model, made.finish_reason) == (True, "", "stop")
    assert engine.prompts == []


async def test_what_was_declined_is_not_told_to_the_model() -> None:
    engine = FakeEngine("High.", context_length=400)
    manager = make(engine, FAR, grounding="strict")
    await all_of(manager.reply("Nonsense?"))
    retrieval_of(manager).hits = (TOWER,)
    await all_of(manager.reply("How high?"))
    assert [m.role for m in engine.prompts[0]] == ["system", "user"]
    assert "Nonsense" not in engine.prompts[0][1].content


@pytest.mark.parametrize("settings", [{"grounding": "open"}, {"grounding": "auto"}])
async def test_open_the_model_answers_and_it_shows_that_nothing_was_used(
    settings: dict[str, str],
) -> None:
    engine = FakeEngine("Hello!")
    manager = make(engine, FAR, **settings)
    events = await all_of(manager.reply("hi"))
    assert text_of(events) == "Hello!"
    assert engine.prompts[0][-1].content == "hi"
    assert not any(isinstance(e, SupportFound) for e in events)
    found = found_of(manager.conversation.last("assistant"))
    assert (found.sources, found.is_declined) == ((), False)


async def test_without_folders_or_sources_nothing_is_searched() -> None:
    for settings in ({"folders": ()}, {"num_sources": 0}):
        manager = make(FakeEngine("Hello!"), TOWER, **settings)
        events = await all_of(manager.reply("hi"))
        assert not any(isinstance(e, SearchStarted | SourcesFound) for e in events)
        assert retrieval_of(manager).queries == []
        assert sources_of(manager.conversation.last("assistant")) is None  # type: ignore[arg-type]


async def test_folders_that_are_all_gone_are_said_and_strict() -> None:
    manager = make(FakeEngine("never"), TOWER, folders=(KnowledgeFolder("/gone"),))
    await all_of(manager.reply("hi"))
    answer = manager.conversation.last("assistant")
    assert answer is not None
    assert "The folder /gone is not there" in answer.text
    assert found_of(answer).is_declined


async def test_stopping_during_the_search() -> None:
    manager = make(FakeEngine("never"), TOWER)
    retrieval_of(manager).gate = asyncio.Event()
    events = []
    async for event in manager.reply("hi"):
        events.append(event)
        if isinstance(event, SearchStarted):
            manager.stop()
    assert [type(e) for e in events] == [TurnStarted, SearchStarted, TurnFinished]
    assert making_of(manager.conversation.last("assistant")).finish_reason == "cancelled"


@pytest.mark.parametrize("error", [KnowledgeError("It is broken."), WorkerError("It died.")])
async def test_a_search_that_fails_ends_the_turn_and_the_next_one_works(error: object) -> None:
    engine = FakeEngine("High.", context_length=400)
    manager = make(engine, TOWER)
    retrieval_of(manager).error = error  # type: ignore[assignment]
    await all_of(manager.reply("How high?"))
    made = making_of(manager.conversation.last("assistant"))
    assert (made.finish_reason, made.error) == ("error", str(error))
    question = manager.conversation.last("user")
    assert question is not None
    assert question.text == "How high?"
    assert engine.prompts == []
    retrieval_of(manager).error = None
    assert text_of(await all_of(manager.regenerate())) == "High."


async def test_a_notice_of_the_search_goes_along() -> None:
    manager = make(FakeEngine("Yes.", context_length=400), TOWER)
    retrieval_of(manager).notice = "Searched by words only."
    await all_of(manager.reply("How high?"))
    assert found_of(manager.conversation.last("assistant")).notice == "Searched by words only."


async def test_a_map_that_fails_costs_nothing_but_the_map() -> None:
    manager = make(FakeEngine("It is high.", context_length=400), TOWER)
    retrieval_of(manager).support_error = WorkerError("It died.")
    await all_of(manager.reply("How high?"))
    answer = manager.conversation.last("assistant")
    assert answer is not None
    assert (answer.text, making_of(answer).finish_reason) == ("It is high.", "stop")
    assert found_of(answer).support == ()
    assert "not held against its sources: It died." in found_of(answer).notice


async def test_the_answer_is_kept_before_the_map_is_made_and_stop_ends_that() -> None:
    manager = make(FakeEngine("It is high.", context_length=400), TOWER)
    retrieval = retrieval_of(manager)
    retrieval.support_gate = asyncio.Event()
    turn = asyncio.create_task(all_of(manager.reply("How high?")))
    await until(lambda: retrieval.scored)
    answer = manager.conversation.last("assistant")
    assert answer is not None
    assert (answer.text, making_of(answer).finish_reason) == ("It is high.", "stop")
    manager.stop()
    assert isinstance((await turn)[-1], TurnFinished)
    assert found_of(manager.conversation.last("assistant")).support == ()


@pytest.mark.parametrize(("text", "num_scored"), [("One is", 0), ("One is. Two", 1)])
async def test_a_stopped_answer_has_a_map_of_its_whole_sentences(
    text: str, num_scored: int
) -> None:
    engine = FakeEngine(text, asyncio.Event(), "never", context_length=400)
    manager = make(engine, TOWER)
    async for event in manager.reply("How high?"):
        if isinstance(event, TextDelta):
            manager.stop()
    answer = manager.conversation.last("assistant")
    assert making_of(answer).finish_reason == "cancelled"
    assert len(found_of(answer).support) == num_scored


async def test_embedding_rests_while_the_model_generates_on_a_cpu() -> None:
    manager = make(FakeEngine("a", WorkerError("It died."), context_length=400), TOWER)
    retrieval = retrieval_of(manager)
    async with aclosing(manager.reply("x")) as events:
        async for event in events:
            if isinstance(event, TextDelta):
                assert retrieval.pauses == ["pause"]
    assert retrieval.pauses == ["pause", "resume"]


async def test_continuing_keeps_the_sources_and_regenerating_searches_anew() -> None:
    engine = FakeEngine("One is", asyncio.Event(), context_length=400)
    manager = make(engine, TOWER)
    async for event in manager.reply("How high?"):
        if isinstance(event, TextDelta):
            manager.stop()
    engine.script = (" so.",)
    retrieval_of(manager).hits = (BRIDGE,)
    await all_of(manager.continue_answer())
    answer = manager.conversation.last("assistant")
    assert answer is not None
    assert answer.text == "One is so."
    assert [s.text for s in found_of(answer).sources] == [TOWER.passage.text]
    assert len(found_of(answer).support) == 1
    assert engine.prompts[1][:2] == engine.prompts[0]
    assert engine.prompts[1][2].content == "One is"
    await all_of(manager.regenerate())
    again = manager.conversation.last("assistant")
    assert [s.text for s in found_of(again).sources] == [BRIDGE.passage.text]


async def test_a_fork_takes_its_sources_along_and_the_context_shows_them() -> None:
    manager = make(FakeEngine("High.", context_length=400), TOWER)
    await all_of(manager.reply("How high?"))
    found = found_of(manager.conversation.last("assistant"))
    rendered = await render_prompt(manager)
    assert with_sources("How high?", found.sources) in rendered.text
    manager.fork()
    assert found_of(manager.conversation.last("assistant")) == found


async def test_the_manual_among_others_is_strict_too() -> None:
    folders = (KnowledgeFolder(MANUAL), KnowledgeFolder("/"))
    manager = make(FakeEngine("never"), FAR, folders=folders)
    await all_of(manager.reply("hi"))
    assert found_of(manager.conversation.last("assistant")).is_declined
    off = (KnowledgeFolder(MANUAL), KnowledgeFolder("/", is_on=False))
    manager.settings = msgspec.structs.replace(manager.settings, folders=off)
    await all_of(manager.reply("hi"))
    assert not found_of(manager.conversation.last("assistant")).is_declined


async def test_a_chain_of_questions_is_searched_with_the_one_that_it_began_with() -> None:
    manager = make(FakeEngine("It is high.", context_length=400), TOWER)
    for question in ("What is the tower?", "And when was it built?", "Why?"):
        await all_of(manager.reply(question))
    assert found_of(manager.conversation.path()[-1]).query == (
        "What is the tower?\nAnd when was it built?\nWhy?"
    )

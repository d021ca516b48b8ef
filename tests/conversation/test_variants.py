"""One question answered several times: the turn, the tree, the store, the commands."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from pathlib import Path

import msgspec
import pytest

from chatbot.conversation.commands import run_command
from chatbot.conversation.manager import ConversationManager
from chatbot.conversation.variants.parting import partings_of
from chatbot.conversation.variants.wishes import (
    Wish,
    wish_for_beams,
    wish_for_models,
    wish_for_seeds,
    wish_for_values,
)
from chatbot.engine.protocol.variants import (
    VariantDelta,
    VariantSamplingApplied,
    VariantsHeld,
    VariantThinkingCut,
)
from chatbot.errors import ChatbotError, CommandError, SettingError, WorkerError
from chatbot.events import (
    AnswersHeld,
    BeamsShown,
    Parting,
    PromptBuilt,
    SearchStarted,
    SourcesFound,
    VariantFinished,
    VariantLoaded,
    VariantLoading,
    VariantSettingChanged,
    VariantsEvent,
    VariantsFinished,
    VariantsStarted,
    VariantTextDelta,
    VariantThoughtCut,
    VariantThoughtDelta,
)
from chatbot.messages import Message, SettingChange, TextPart, ThinkingPart
from chatbot.settings import MAX_SEED, Sampling, Settings
from chatbot.store.chat_store import ChatStore
from chatbot.strategies import with_strategy
from chatbot.tokens import TokenRecord
from tests.conversation.building import SavedSettings, all_of, making_of, until
from tests.conversation.fake_engine import STATISTICS, FakeEngine
from tests.conversation.test_commands import FakeFace
from tests.conversation.test_grounded_turn import FAR, TOWER, found_of, retrieval_of
from tests.conversation.test_grounded_turn import make as grounded

pytestmark = pytest.mark.timeout(10)

DEATH = WorkerError("The engine was killed; try again.")
HOT = Settings(sampling=Sampling(temperature=0.8, seed=7))


def manager_of(engine: FakeEngine, store: ChatStore | None = None) -> ConversationManager:
    return ConversationManager(engine, HOT, SavedSettings(), store)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ChatStore]:
    made = ChatStore(tmp_path)
    yield made
    made.close()


async def several(
    events: AsyncGenerator[VariantsEvent],
) -> tuple[list[VariantsEvent], VariantsFinished]:
    told = [event async for event in events]
    assert isinstance(told[-1], VariantsFinished)
    return told, told[-1]


async def test_the_events_and_the_tree() -> None:
    engine = FakeEngine("So", " it is ")
    manager = manager_of(engine)
    await all_of(manager.reply("why?"))
    told, finished = await several(manager.answer_variously(wish_for_seeds(HOT, 3)))
    assert [type(e) for e in told] == [
        VariantsStarted,
        PromptBuilt,
        *[VariantTextDelta] * 6,
        *[VariantFinished] * 3,
        VariantsFinished,
    ]
    started = told[0]
    assert isinstance(started, VariantsStarted)
    assert [plan.label for plan in started.plans] == ["seed 7", "seed 8", "seed 9"]
    assert [plan.number for plan in started.plans] == [2, 3, 4]
    assert [s.seed for s in engine.samplings[0]] == [7, 8, 9]
    question, shown = manager.conversation.path()
    siblings = manager.conversation.variants(shown.id)
    assert len(siblings) == 4  # the answer that was there before stays
    assert [plan.answer_id for plan in started.plans] == list(siblings[1:])
    assert shown.id == finished.kept_id == siblings[1]
    answers = [manager.conversation[key] for key in siblings[1:]]
    assert [a.text for a in answers] == ["So it is 0", "So it is 1", "So it is 2"]
    assert tuple(answers) == finished.answers
    for answer, seed in zip(answers, (7, 8, 9), strict=True):
        made = making_of(answer)
        assert (made.sampling.seed, made.finish_reason, made.statistics) == (
            seed,
            "stop",
            STATISTICS,
        )
        assert len(await manager.tokens_of(answer.id)) == 2
    assert finished.partings == (
        Parting(index=1, character=9, token=1),
        Parting(index=2, character=9, token=1),
    )
    assert (finished.num_prompt_tokens, finished.num_read_tokens) == (9, 5)
    assert finished.num_new_tokens == 9
    assert not manager.is_busy
    assert question.text == "why?"


async def test_a_new_question_gives_the_chat_its_title() -> None:
    manager = manager_of(FakeEngine("So"))
    await several(manager.answer_variously(wish_for_seeds(HOT, 2), "Why is it so?"))
    assert manager.conversation.title == "Why is it so?"
    assert [m.text for m in manager.conversation.path()] == ["Why is it so?", "So"]


async def test_keeping_another_answer() -> None:
    manager = manager_of(FakeEngine("So", " it is "))
    await several(manager.answer_variously(wish_for_seeds(HOT, 3), "why?"))
    assert manager.keep(3).text == "So it is 2"
    assert manager.conversation.path()[-1].text == "So it is 2"
    for number in (0, 4):
        with pytest.raises(CommandError, match="1 to 3"):
            manager.keep(number)


async def test_the_chat_goes_on_from_the_kept_answer() -> None:
    engine = FakeEngine("So", " it is ")
    manager = manager_of(engine)
    await several(manager.answer_variously(wish_for_seeds(HOT, 3), "why?"))
    manager.keep(2)
    await all_of(manager.reply("And then?"))
    assert [m.content for m in engine.prompts[-1][1:]] == ["why?", "So it is 1", "And then?"]
    manager.keep(1)  # of the last question, which has one answer
    assert len(manager.conversation.path()) == 4


async def test_stopping_ends_all_and_keeps_what_there_is() -> None:
    gate = asyncio.Event()
    engine = FakeEngine("So", " it", gate, " never")
    manager = manager_of(engine)
    work = asyncio.create_task(several(manager.answer_variously(wish_for_seeds(HOT, 2), "why?")))
    await until(lambda: engine.variants and engine.variants.is_waiting)
    assert manager.is_busy
    with pytest.raises(CommandError, match="being written"):
        await all_of(manager.reply("another"))
    manager.stop()
    _, finished = await work
    assert [a.text for a in finished.answers] == ["So it0", "So it1"]
    assert {making_of(a).finish_reason for a in finished.answers} == {"cancelled"}
    assert not manager.is_busy


async def test_stopped_before_a_word_there_is_one_answer_as_ever() -> None:
    gate = asyncio.Event()
    engine = FakeEngine(gate)
    manager = manager_of(engine)
    work = asyncio.create_task(several(manager.answer_variously(wish_for_seeds(HOT, 3), "why?")))
    await until(lambda: engine.variants and engine.variants.is_waiting)
    manager.stop()
    _, finished = await work
    assert [making_of(a).finish_reason for a in finished.answers] == ["cancelled"]
    assert len(manager.conversation) == 2


async def test_whoever_goes_away_in_the_middle_loses_no_word() -> None:
    engine = FakeEngine("So", " it")
    manager = manager_of(engine)
    async with aclosing(manager.answer_variously(wish_for_seeds(HOT, 2), "why?")) as events:
        async for event in events:
            if isinstance(event, VariantTextDelta) and event.text == " it1":
                break
    assert engine.variants is not None
    assert engine.variants.is_cancelled
    siblings = manager.conversation.variants(manager.conversation.path()[-1].id)
    assert [manager.conversation[key].text for key in siblings] == ["So it0", "So it1"]


async def test_an_engine_that_dies_leaves_what_was_said(store: ChatStore) -> None:
    engine = FakeEngine("So", " it", DEATH)
    manager = manager_of(engine, store)
    _, finished = await several(manager.answer_variously(wish_for_seeds(HOT, 2), "why?"))
    assert [a.text for a in finished.answers] == ["So it0", "So it1"]
    assert {making_of(a).error for a in finished.answers} == {str(DEATH)}
    await manager.settled()
    chat = await store.load_chat(manager.conversation.id)
    assert [m.text for m in chat.messages] == ["why?", "So it0", "So it1"]


async def test_siblings_survive_a_restart(store: ChatStore, tmp_path: Path) -> None:
    manager = manager_of(FakeEngine("So", " it is "), store)
    wish = wish_for_values(HOT, "temperature", ["0", "0.5", "1"])
    await several(manager.answer_variously(wish, "why?"))
    manager.keep(2)
    await manager.settled()
    store.close()
    again = ChatStore(tmp_path)
    try:
        later = manager_of(FakeEngine(), again)
        await later.open_chat(manager.conversation.id)
        shown = later.conversation.path()[-1]
        assert shown.text == "So it is 1"
        siblings = [later.conversation[k] for k in later.conversation.variants(shown.id)]
        assert [a.text for a in siblings] == ["So it is 0", "So it is 1", "So it is 2"]
        assert [making_of(a).sampling.temperature for a in siblings] == [0, 0.5, 1]
        assert {making_of(a).sampling.seed for a in siblings} == {7}
        assert [len(await later.tokens_of(a.id)) for a in siblings] == [2, 2, 2]
    finally:
        again.close()


async def test_what_is_written_is_on_the_disk_meanwhile(store: ChatStore) -> None:
    manager = manager_of(FakeEngine("So", " it"), store)
    async with aclosing(manager.answer_variously(wish_for_seeds(HOT, 3), "why?")) as events:
        async for event in events:
            if isinstance(event, VariantTextDelta) and event.text == " it2":
                break
        texts: list[str] = []
        for _ in range(500):
            texts = [m.text for m in (await store.load_chat(manager.conversation.id)).messages]
            if len(texts) == 4:
                break
            await asyncio.sleep(0.01)
        assert texts == ["why?", "So it0", "So it1", "So it2"]


async def test_sources_are_looked_up_once_and_each_answer_has_its_own_map() -> None:
    engine = FakeEngine("The tower is 330 metres high. ", "Number ", context_length=400)
    manager = grounded(engine, TOWER)
    told, finished = await several(manager.answer_variously(wish_for_seeds(HOT, 2), "How high?"))
    kinds = [type(e) for e in told]
    assert kinds[:4] == [VariantsStarted, SearchStarted, SourcesFound, PromptBuilt]
    assert len(retrieval_of(manager).queries) == 1
    for answer in finished.answers:
        found = found_of(manager.conversation[answer.id])
        assert [s.text for s in found.sources] == [TOWER.passage.text]
        assert [s.end for s in found.support][-1] == len(answer.text)
    assert len({a.text for a in finished.answers}) == 2


async def test_what_the_program_says_itself_is_said_once() -> None:
    engine = FakeEngine("Never said.")
    manager = grounded(engine, FAR, grounding="strict")
    _, finished = await several(manager.answer_variously(wish_for_seeds(HOT, 3), "How high?"))
    (answer,) = finished.answers
    assert making_of(answer).is_by_program
    assert engine.samplings == []
    assert manager.conversation.variants(answer.id) == (answer.id,)


async def test_beams_are_shown_cleaned_and_kept_with_their_scores() -> None:
    manager = manager_of(FakeEngine("So\x1b[2J", " it is "))
    told, finished = await several(manager.answer_variously(wish_for_beams(HOT, 3), "why?"))
    steps = [event for event in told if isinstance(event, BeamsShown)]
    assert [step.live[0].text for step in steps] == ["So", " it is "]
    made = [making_of(a) for a in finished.answers]
    assert [(m.num_beams, m.score) for m in made] == [(3, -0.5), (3, -1.5), (3, -2.5)]
    assert {m.sampling.temperature for m in made} == {0}


async def test_a_search_that_breaks_off_keeps_what_it_showed() -> None:
    engine = FakeEngine("So", "So it", DEATH)
    manager = manager_of(engine)
    _, finished = await several(manager.answer_variously(wish_for_beams(HOT, 2), "why?"))
    assert [a.text for a in finished.answers] == ["So it", ""]
    assert {making_of(a).error for a in finished.answers} == {str(DEATH)}


async def test_precisions_are_compared_and_the_old_one_comes_back() -> None:
    engine = FakeEngine()
    engine.rounds = [["It", " is so."], ["It", " is not."]]
    manager = manager_of(engine)
    wish = wish_for_models(HOT, "precision", ["fp32", "8-bit"])
    told, finished = await several(manager.answer_variously(wish, "why?"))
    assert engine.loads == [
        ("smollm2-135m", "fp32"),
        ("smollm2-135m", "8-bit"),
        ("smollm2-135m", "auto"),
    ]
    assert [type(e) for e in told if not isinstance(e, VariantTextDelta)] == [
        VariantsStarted,
        *[VariantLoading, VariantLoaded, PromptBuilt, VariantFinished] * 2,
        VariantsFinished,
    ]
    assert [a.text for a in finished.answers] == ["It is so.", "It is not."]
    assert [making_of(a).precision for a in finished.answers] == ["fp32", "8-bit"]
    assert {generation.sampling.seed for generation in engine.generations} == {7}
    assert finished.partings == (Parting(index=1, character=6),)
    assert manager.settings == HOT


async def test_a_model_that_is_missing_does_not_spoil_the_comparison() -> None:
    engine = FakeEngine("It is.")
    engine.missing = {"none-such"}
    manager = manager_of(engine)
    wish = wish_for_models(HOT, "model", ["none-such", "smollm2-135m"])
    _, finished = await several(manager.answer_variously(wish, "why?"))
    assert [making_of(a).error for a in finished.answers] == ["There is no model none-such.", ""]
    assert finished.answers[1].text == "It is."
    assert finished.kept_id == finished.answers[1].id == manager.conversation.path()[-1].id


async def test_of_a_comparison_that_is_stopped_while_it_loads_stays_what_was_answered() -> None:
    engine = FakeEngine("It is.")
    engine.load_gates["slow"] = asyncio.Event()
    manager = manager_of(engine)
    wish = wish_for_models(HOT, "model", ["smollm2-135m", "slow"])
    work = asyncio.create_task(several(manager.answer_variously(wish, "why?")))
    await until(lambda: ("slow", "auto") in engine.loads)
    manager.stop()
    _, finished = await work
    assert [making_of(a).finish_reason for a in finished.answers] == ["stop"]
    assert len(manager.conversation) == 2
    await until(lambda: engine.loads[-1] == ("smollm2-135m", "auto"))


def test_wishes_that_make_no_sense() -> None:
    cold = msgspec.structs.replace(HOT, sampling=Sampling(temperature=0))
    with pytest.raises(CommandError, match="temperature 0"):
        wish_for_seeds(cold, 3)
    for number in (1, 17):
        with pytest.raises(SettingError, match="From 2 to 16"):
            wish_for_seeds(HOT, number)
    with pytest.raises(CommandError, match="two values"):
        wish_for_values(HOT, "temperature", ["1"])
    with pytest.raises(CommandError, match="/compare"):
        wish_for_values(HOT, "precision", ["fp32", "bf16"])
    with pytest.raises(SettingError, match="0 to 2"):
        wish_for_values(HOT, "temperature", ["1", "3"])
    with pytest.raises(SettingError, match="greedy, top-k, top-p"):
        wish_for_values(HOT, "strategy", ["greedy", "beam"])
    with pytest.raises(CommandError, match="precision, model or thinking"):
        wish_for_models(HOT, "temperature", ["0", "1"])
    with pytest.raises(SettingError, match="one of auto"):
        wish_for_models(HOT, "precision", ["fp32", "fp8"])


def test_seeds_are_drawn_apart_and_count_on_over_the_end() -> None:
    free = msgspec.structs.replace(HOT, sampling=Sampling(seed=None))
    seeds = {choice.settings.sampling.seed for choice in wish_for_seeds(free, 16).choices}
    assert len(seeds) == 16
    last = msgspec.structs.replace(HOT, sampling=Sampling(seed=MAX_SEED))
    found = [choice.settings.sampling.seed for choice in wish_for_seeds(last, 2).choices]
    assert found == [MAX_SEED, 0]


def test_strategies() -> None:
    base = Sampling(temperature=0, top_k=0, top_p=1, min_p=0.1, max_tokens=5)
    assert with_strategy(base, "greedy").temperature == 0
    by_k, by_p = with_strategy(base, "top-k"), with_strategy(base, "top-p")
    assert (by_k.temperature, by_k.top_k, by_k.top_p, by_k.min_p) == (1, 50, 1, 0)
    assert (by_p.temperature, by_p.top_k, by_p.top_p, by_p.min_p) == (1, 0, 0.9, 0)
    own = with_strategy(Sampling(temperature=0.4, top_k=7, top_p=0.5), "top-k")
    assert (own.temperature, own.top_k, own.top_p, own.max_tokens) == (0.4, 7, 1, 1024)


def test_partings() -> None:
    answers = [Message(role="assistant", parts=(TextPart(t),)) for t in ("abc", "abd", "abc", "")]
    tokens = [
        [TokenRecord(n, text, "text", 1, 1, 1, 1, 0, 0) for n, text in enumerate(texts)]
        for texts in (("ab", "c"), ("ab", "d"), ("ab", "c"), ())
    ]
    assert partings_of(answers, tokens) == (
        Parting(index=1, character=2, token=1),
        Parting(index=2, character=None),
    )
    assert partings_of(answers[:1], tokens[:1]) == ()


def test_halves_of_different_characters_part() -> None:
    answers = [Message(role="assistant", parts=(TextPart(text),)) for text in ("So é", "So ü")]
    tokens = [
        tuple(TokenRecord(n, text, "text", 0.5, 0.5, 1, 1, 1.0, 1.0) for n, text in row)
        for row in (((1, "So "), (2, ""), (3, "é")), ((1, "So "), (4, ""), (5, "ü")))
    ]
    assert partings_of(answers, tokens) == (Parting(index=1, character=3, token=1),)


async def test_the_commands() -> None:
    face = FakeFace(manager_of(FakeEngine("So", " it is ")))
    with pytest.raises(CommandError, match="ask one first"):
        await run_command(face, "/variants 3")
    await run_command(face, "/variants 3 Why is it so?")
    assert face.texts == ["Why is it so?", "So it is 0"]
    await run_command(face, "/keep 3")
    assert face.texts[-1] == "So it is 2"
    assert "Answer 3" in face.notes[-1]
    await run_command(face, "/sweep temperature 0.3 0.7 1.0")
    started = face.told[0]
    assert isinstance(started, VariantsStarted)
    assert [p.label for p in started.plans] == [f"temperature {t}" for t in ("0.3", "0.7", "1")]
    assert [p.number for p in started.plans] == [4, 5, 6]
    await run_command(face, "/sweep strategy greedy top-k top-p")
    started = face.told[0]
    assert isinstance(started, VariantsStarted)
    assert [p.label for p in started.plans] == ["greedy", "top-k", "top-p"]
    await run_command(face, "/beam 2")
    started = face.told[0]
    assert isinstance(started, VariantsStarted)
    assert (started.kind, [p.label for p in started.plans]) == ("beams", ["beam 1", "beam 2"])
    await run_command(face, "/compare precision fp32 bf16")
    started = face.told[0]
    assert isinstance(started, VariantsStarted)
    assert [p.label for p in started.plans] == ["fp32", "bf16"]
    for line in ("/sweep", "/compare", "/compare model A", "/keep", "/keep x", "/variants 99"):
        with pytest.raises(ChatbotError):
            await run_command(face, line)


# What the user does meanwhile


async def running(
    manager: ConversationManager, engine: FakeEngine, wish: Wish
) -> "asyncio.Task[tuple[list[VariantsEvent], VariantsFinished]]":
    """Answers under way, at the gate of the script."""
    work = asyncio.create_task(several(manager.answer_variously(wish, "why?")))
    for _ in range(2000):  # the store works in a thread of its own
        if engine.variants and engine.variants.is_waiting:
            return work
        await asyncio.sleep(0.001)
    raise AssertionError("never at the gate")


async def test_hold_and_answer_now_reach_all() -> None:
    gate = asyncio.Event()
    engine = FakeEngine("So", gate, " it")
    manager = manager_of(engine)
    work = await running(manager, engine, wish_for_seeds(HOT, 2))
    assert not manager.is_held
    manager.hold()
    assert manager.is_held
    manager.hold(1)
    manager.hold(None)
    assert not manager.is_held
    manager.answer_now()
    assert engine.variants
    assert engine.variants.holds == [0, 1, None]
    assert engine.variants.num_answers_wanted == 1
    gate.set()
    await work


async def test_what_is_asked_for_too_early_is_asked_when_they_begin() -> None:
    engine = FakeEngine("So")
    engine.load_gates[HOT.model] = asyncio.Event()
    manager = manager_of(engine)
    wish = wish_for_seeds(HOT, 2)
    work = asyncio.create_task(several(manager.answer_variously(wish, "why?")))
    await until(lambda: bool(engine.loads))
    manager.hold()
    manager.answer_now()
    manager.change_setting("top_k", "5")
    engine.load_gates[HOT.model].set()
    _, finished = await work
    assert engine.variants
    assert (engine.variants.holds, engine.variants.num_answers_wanted) == ([0], 1)
    assert [s.top_k for s in engine.samplings[0]] == [5, 5]
    made = [making_of(answer) for answer in finished.answers]
    assert [(m.sampling.top_k, m.changes) for m in made] == [(5, ()), (5, ())]


async def test_thoughts_have_a_size_and_are_cut(store: ChatStore) -> None:
    def thought(index: int, text: str, number: int) -> VariantDelta:
        return VariantDelta(
            request_id=1,
            variant=index,
            text=text,
            num_tokens=number + 1,
            is_thinking=True,
            num_thinking_tokens=number,
            thinking_seconds=number / 2,
        )

    engine = FakeEngine(
        thought(0, "Hm", 1),
        thought(1, "Oh", 1),
        thought(1, " well", 2),
        VariantThinkingCut(request_id=1, variant=0),
        VariantsHeld(request_id=1, num_tokens=3),
        "So",
    )
    manager = manager_of(engine, store)
    told, finished = await several(manager.answer_variously(wish_for_seeds(HOT, 2), "why?"))
    assert [event for event in told if isinstance(event, VariantThoughtDelta)] == [
        VariantThoughtDelta(0, "Hm", 2, 1, 0.5),
        VariantThoughtDelta(1, "Oh", 2, 1, 0.5),
        VariantThoughtDelta(1, " well", 3, 2, 1.0),
    ]
    assert [event for event in told if isinstance(event, VariantThoughtCut | AnswersHeld)] == [
        VariantThoughtCut(0),
        AnswersHeld(3),
    ]
    parts = [answer.parts[0] for answer in finished.answers]
    assert parts == [
        ThinkingPart("Hm", num_tokens=1, seconds=0.5, is_cut=True),
        ThinkingPart("Oh well", num_tokens=2, seconds=1.0),
    ]
    await manager.settled()
    chat = await store.load_chat(manager.conversation.id)
    assert [message.parts[0] for message in chat.messages[1:]] == parts


async def test_another_setting_goes_to_all_and_leaves_marks(store: ChatStore) -> None:
    gate = asyncio.Event()
    cold = msgspec.structs.replace(HOT.sampling, temperature=0.1)
    applied = [
        VariantSamplingApplied(request_id=1, variant=index, sampling=sampling, num_tokens=1)
        for index, sampling in enumerate(
            msgspec.structs.replace(cold, seed=seed) for seed in (7, 8)
        )
    ]
    engine = FakeEngine("So", gate, *applied, " it")
    manager = manager_of(engine, store)
    work = await running(manager, engine, wish_for_seeds(HOT, 2))
    manager.change_setting("temperature", "0.1")
    assert engine.variants
    assert engine.variants.samplings == [tuple(event.sampling for event in applied)]
    gate.set()
    told, finished = await work
    change = SettingChange(offset=2, name="temperature", old="0.8", new="0.1", num_tokens=1)
    assert [event for event in told if isinstance(event, VariantSettingChanged)] == [
        VariantSettingChanged(0, change),
        VariantSettingChanged(1, change),
    ]
    assert [making_of(answer).changes for answer in finished.answers] == [(change,)] * 2
    assert [making_of(answer).sampling.temperature for answer in finished.answers] == [0.8, 0.8]
    assert manager.settings.sampling.temperature == 0.1
    await manager.settled()
    chat = await store.load_chat(manager.conversation.id)
    assert [making_of(message).changes for message in chat.messages[1:]] == [(change,)] * 2


@pytest.mark.parametrize(
    ("wish", "name", "value", "words"),
    [
        (wish_for_seeds(HOT, 2), "seed", "3", "Seed is what these answers differ in"),
        (wish_for_values(HOT, "top_p", ["0.5", "1"]), "top-p", "0.3", "Top-p is what these"),
        (wish_for_values(HOT, "strategy", ["greedy", "top-k"]), "min_p", "0.3", "Min-p is what"),
        (wish_for_beams(HOT, 2), "temperature", "1", "draws nothing, so temperature does not"),
        (wish_for_beams(HOT, 2), "seed", "1", "draws nothing, so seed does not"),
    ],
)
async def test_what_sets_them_apart_stays_as_it_is(
    wish: Wish, name: str, value: str, words: str
) -> None:
    gate = asyncio.Event()
    engine = FakeEngine("So", gate)
    manager = manager_of(engine)
    work = await running(manager, engine, wish)
    with pytest.raises(CommandError, match=words):
        manager.change_setting(name, value)
    assert manager.settings == HOT
    manager.change_setting("max_tokens", "9")  # anything else goes to all
    assert engine.variants
    sent = engine.variants.samplings[-1]
    assert {sampling.max_tokens for sampling in sent} == {9}
    assert len(sent) == (1 if wish.kind == "beams" else 2)
    gate.set()
    await work


async def test_a_search_cannot_be_told_to_think_no_longer() -> None:
    gate = asyncio.Event()
    engine = FakeEngine("So", gate)
    manager = manager_of(engine)
    work = await running(manager, engine, wish_for_beams(HOT, 2))
    with pytest.raises(CommandError, match="beam search"):
        manager.answer_now()
    gate.set()
    await work


async def test_a_comparison_takes_wishes_for_the_answer_under_way_and_for_those_to_come() -> None:
    gate = asyncio.Event()
    engine = FakeEngine()
    engine.rounds = [["It", gate, " is so."], ["It", " is not."]]
    manager = manager_of(engine)
    wish = wish_for_models(HOT, "precision", ["fp32", "8-bit"])
    work = asyncio.create_task(several(manager.answer_variously(wish, "why?")))
    await until(lambda: bool(engine.generations) and engine.generations[0].is_waiting)
    manager.hold()
    manager.answer_now()
    manager.change_setting("temperature", "0.1")
    gate.set()
    _, finished = await work
    first, second = engine.generations
    assert (first.holds, second.holds) == ([0], [0])
    assert (first.num_answers_wanted, second.num_answers_wanted) == (1, 1)
    assert [s.temperature for s in (first.sampling, second.sampling)] == [0.8, 0.1]
    made = [making_of(answer) for answer in finished.answers]
    assert [(m.sampling.temperature, len(m.changes)) for m in made] == [(0.8, 1), (0.1, 0)]

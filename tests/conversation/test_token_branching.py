"""Records of tokens in the conversation: their places, branches from them, holding, ratings."""

import asyncio
from pathlib import Path

import pytest

from chatbot.conversation.branching import begun_tokens, branch_at
from chatbot.conversation.manager import ConversationManager
from chatbot.conversation.token_figures import cumulative
from chatbot.conversation.token_json import token_json
from chatbot.conversation.token_records import known_tokens
from chatbot.conversation.token_spans import spans_of
from chatbot.engine.protocol.answer import Held, TokensRecorded
from chatbot.engine.protocol.messages import ChatMessage
from chatbot.errors import CommandError
from chatbot.events import AnswerHeld, TextDelta
from chatbot.messages import Message, TextPart, ThinkingPart, ToolCallPart, ToolResultPart
from chatbot.settings import Settings
from chatbot.store.chat_store import ChatStore
from chatbot.tokens import NO_TOKEN, Alternative, Region, TokenRecord
from chatbot.tui.lens.facts import facts_of
from tests.conversation.building import all_of, make_manager, making_of, text_of, unseeded, until
from tests.conversation.fake_engine import FakeEngine

OTHERS = (
    Alternative(1, " Paris", 0.6, 0.8),
    Alternative(2, " Lyon", 0.3, 0.2),
    Alternative(3, "<|end|>", 0.1, 0.0, True),
)


def token(text: str, number: int = 1, region: Region = "text") -> TokenRecord:
    return TokenRecord(number, text, region, 0.6, 0.8, 1, 1, 1.25, 0.5, OTHERS)


def told(*texts: str) -> TokensRecorded:
    records = tuple(token(text, number) for number, text in enumerate(texts, 1))
    return TokensRecorded(request_id=1, tokens=records)


def answer(*parts: object) -> Message:
    return Message(role="assistant", parts=parts, parent_id="q")  # type: ignore[arg-type]


# Where tokens stand


def places(text: str, *records: TokenRecord) -> list[str]:
    return [text[start:end] for start, end in spans_of(text, records)]


def test_tokens_stand_one_behind_the_other() -> None:
    assert spans_of("It is so.", [token("It"), token(" is"), token(" so."), token("")]) == [
        (0, 2),
        (2, 5),
        (5, 9),
        (9, 9),
    ]


def test_the_parts_of_a_character_share_it() -> None:
    records = [token("a"), token(""), token(""), token("😀"), token("b")]
    assert places("a😀b", *records) == ["a", "😀", "😀", "😀", "b"]


def test_what_was_thought_or_called_has_no_place() -> None:
    records = [
        token("Hm", region="thinking"),
        token("</think>"),
        token("Yes"),
        token("call it", region="call"),
        token("."),
    ]
    assert spans_of("Yes.", records) == [(0, 0), (0, 0), (0, 3), (3, 3), (3, 4)]


def test_the_space_before_an_answer_is_none_of_it() -> None:
    assert places("Yes it is", token(" Yes"), token(" it"), token(" is")) == ["Yes", " it", " is"]


def test_what_was_cleaned_out_has_no_place() -> None:
    records = [token("a"), token("\x1b"), token("[31m"), token("b")]
    assert places("ab", *records) == ["a", "", "", "b"]


def test_the_programs_own_empty_line_is_passed_over() -> None:
    records = [token("One."), token("{}", region="call"), token("Two"), token(".")]
    assert places("One.\n\nTwo.", *records) == ["One.", "", "Two", "."]


def test_a_last_token_that_a_stop_string_cut_has_what_is_left_of_it() -> None:
    assert places("Yes. E", token("Yes."), token(" END"), token("x")) == ["Yes.", " E", ""]


# The beginning of a branch


def test_a_branch_begins_with_all_up_to_its_token() -> None:
    old = answer(TextPart("It is Paris, yes."))
    records = [token("It is", 9), token(" Paris", 1), token(", yes.", 8)]
    branch = branch_at(old, records, 1, OTHERS[1])
    assert branch.begun.text == "It is Lyon"
    assert branch.begun.id != old.id
    assert branch.begun.parent_id == old.parent_id
    chosen = branch.records[1]
    assert branch.records[0] == records[0]
    assert (chosen.token, chosen.text, chosen.before, chosen.rank_before) == (2, " Lyon", 0.3, 2)
    assert chosen.is_users
    assert begun_tokens(branch.begun, branch.records) == (9, 2)


def test_the_token_that_came_keeps_its_rank_where_it_is_chosen_again() -> None:
    others = (*OTHERS[:2], Alternative(9, " Rome", 0.001, 0.02))
    rome = TokenRecord(9, " Rome", "text", 0.001, 0.02, 70, 31, 1.25, 0.5, others)
    records = [token("It is", 4), rome]
    chosen = branch_at(answer(TextPart("It is Rome")), records, 1, others[2]).records[1]
    assert (chosen.token, chosen.rank_before, chosen.rank_after) == (9, 70, 31)
    assert chosen.is_users


def test_a_chosen_token_has_no_rank_where_likelier_ones_may_not_be_recorded() -> None:
    # A penalty has lifted the ninth row, above which there may be more than these eight.
    others = (
        *(Alternative(i, f" w{i}", 0.1, 0.05) for i in range(8)),
        Alternative(8, " w8", 0.01, 0.3),
    )
    old = TokenRecord(0, " w0", "text", 0.1, 0.05, 1, 2, 1.25, 0.5, others)
    chosen = branch_at(answer(TextPart(" w0")), [old], 0, others[8]).records[0]
    assert (chosen.rank_before, chosen.rank_after) == (0, 1)
    assert cumulative(chosen)[8] is None
    assert "rank >8 → 1 ·" in facts_of(chosen, 0, 1, {}, 80).plain
    assert '"rank_before": null' in token_json(chosen, 0, {})


def test_a_typed_text_has_no_token() -> None:
    records = [token("It is", 9), token(" Paris", 1)]
    branch = branch_at(answer(TextPart("It is Paris")), records, 1, " not\x1b[31m far")
    assert branch.begun.text == "It is not far"
    assert branch.records[1].token == NO_TOKEN
    assert begun_tokens(branch.begun, branch.records) == (9,)
    # What is typed and happens to be an alternative is that.
    assert branch_at(answer(TextPart("It is Paris")), records, 1, " Lyon").records[1].token == 2


def test_calls_before_the_token_stay() -> None:
    call = ToolCallPart(id="1", name="f", arguments="{}")
    result = ToolResultPart(call_id="1", text="4")
    old = answer(TextPart("Let me see."), call, result, TextPart("\n\nIt is 4."))
    records = [token("Let me see."), token("{}", region="call"), token("It is"), token(" 4.")]
    branch = branch_at(old, records, 3, OTHERS[0])
    assert branch.begun.parts == (
        TextPart("Let me see."),
        call,
        result,
        TextPart("\n\nIt is Paris"),
    )
    assert begun_tokens(branch.begun, branch.records) == ()
    assert branch_at(old, records, 0, OTHERS[0]).begun.parts == (TextPart(" Paris"),)


def test_thoughts_stay_and_their_tokens_are_not_the_answers() -> None:
    old = answer(ThinkingPart("Hm"), TextPart("Yes"))
    records = [token("Hm", region="thinking"), token("Yes")]
    branch = branch_at(old, records, 1, OTHERS[0])
    assert branch.begun.parts == (ThinkingPart("Hm"), TextPart(" Paris"))
    assert begun_tokens(branch.begun, branch.records) == ()


@pytest.mark.parametrize(
    ("index", "choice"),
    [
        (-1, OTHERS[0]),
        (2, OTHERS[0]),
        (0, OTHERS[0]),
        (1, OTHERS[2]),
        (1, ""),
        (1, Alternative(5, "\N{REPLACEMENT CHARACTER}", 0.1, 0.1)),
    ],
)
def test_what_nothing_can_go_on_from(index: int, choice: Alternative | str) -> None:
    records = [token("{}", region="call"), token("Yes")]
    with pytest.raises(CommandError):
        branch_at(answer(TextPart("Yes")), records, index, choice)


def test_text_behind_the_last_record_is_not_lost() -> None:
    records = [token("It is", 9)]
    known = known_tokens(answer(TextPart("It is Paris")), records)
    assert [(r.token, r.text) for r in known] == [(9, "It is"), (NO_TOKEN, " Paris")]
    assert known_tokens(answer(TextPart("It is")), records) == records


# In the conversation


async def test_a_branch_is_refused_when_another_chat_was_opened_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = FakeEngine("It is", " Paris", told("It is", " Paris"))
    manager = make_manager(engine)
    await all_of(manager.reply("Where?"))
    first = manager.conversation.path()[-1]
    records = await manager.tokens_of(first.id)

    async def read_slowly(answer_id: str) -> tuple[TokenRecord, ...]:
        manager.new_chat()
        return records

    monkeypatch.setattr(manager, "tokens_of", read_slowly)
    with pytest.raises(CommandError, match="Another chat was opened meanwhile"):
        await all_of(manager.branch_from_token(first.id, 1, OTHERS[1]))
    assert not len(manager.conversation)


async def test_what_goes_on_has_ended_as_soon_as_nobody_looks_any_more() -> None:
    engine = FakeEngine("It is", " Paris", told("It is", " Paris"))
    manager = make_manager(engine)
    await all_of(manager.reply("Where?"))
    first = manager.conversation.path()[-1]
    engine.rounds.append((", on the Rhône", " river", told(", on the Rhône", " river")))
    events = manager.branch_from_token(first.id, 1, OTHERS[1])
    async for event in events:
        if isinstance(event, TextDelta):
            break
    await events.aclose()
    assert not manager.is_busy


async def test_a_branch_stands_beside_its_answer_and_goes_on() -> None:
    engine = FakeEngine("It is", " Paris", told("It is", " Paris"))
    manager = make_manager(engine)
    await all_of(manager.reply("Where?"))
    first = manager.conversation.path()[-1]
    assert [r.text for r in await manager.tokens_of(first.id)] == ["It is", " Paris"]
    engine.rounds.append((", on the Rhône", told(", on the Rhône")))
    events = await all_of(manager.branch_from_token(first.id, 1, OTHERS[1]))
    second = manager.conversation.path()[-1]
    assert text_of(events) == ", on the Rhône"
    assert second.text == "It is Lyon, on the Rhône"
    assert manager.conversation.variants(second.id) == (first.id, second.id)
    assert engine.continued[-1]
    assert engine.begun_tokens[-1] == (1, 2)
    assert engine.prompts[-1][-1] == ChatMessage("assistant", "It is Lyon")
    records = await manager.tokens_of(second.id)
    assert [r.text for r in records] == ["It is", " Lyon", ", on the Rhône"]


async def test_an_answer_without_a_whole_character_is_branched_from() -> None:
    gate = asyncio.Event()
    engine = FakeEngine("It is.")
    manager = make_manager(engine)
    await all_of(manager.reply("hi"))
    engine.script = [told(""), Held(request_id=1), gate, "never"]  # half of a character
    turn = asyncio.create_task(all_of(manager.regenerate()))
    await until(lambda: len(engine.generations) > 1 and engine.generations[1].is_waiting)
    assert manager._turn is not None
    engine.script = [" is large."]
    await all_of(manager.branch_from_token(manager._turn.answer_id, 0, OTHERS[1]))
    await turn
    branch = manager.conversation.path()[-1]
    assert branch.text == " Lyon is large."
    assert len(manager.conversation.variants(branch.id)) == 2
    manager.delete_message(branch.id)
    with pytest.raises(CommandError, match="not in this chat"):
        await all_of(manager.branch_from_token(branch.id, 0, OTHERS[0]))


async def test_a_running_answer_is_stopped_and_branched_from() -> None:
    gate = asyncio.Event()
    engine = FakeEngine("It is", " Paris", told("It is", " Paris"), Held(request_id=1), gate)
    manager = make_manager(engine)
    turn = asyncio.ensure_future(all_of(manager.reply("Where?")))
    await until(lambda: engine.generations and engine.generations[0].is_waiting)
    manager.hold()
    assert engine.generations[0].holds == [0]
    (running,) = [manager._turn]
    assert running is not None
    assert manager.answer_so_far(running.answer_id).text == "It is Paris"
    engine.rounds.append((" then",))
    await all_of(manager.branch_from_token(running.answer_id, 1, OTHERS[1]))
    events = await turn
    assert AnswerHeld(2) in events
    assert manager.conversation.path()[-1].text == "It is Lyon then"
    assert len(manager.conversation.variants(running.answer_id)) == 2


async def test_an_answer_without_records_is_gone_on_with_by_its_text() -> None:
    engine = FakeEngine("It is", " Paris")
    engine.reason = "length"
    manager = make_manager(engine)
    await all_of(manager.reply("Where?"))
    engine.script = (" now", told(" now"))
    await all_of(manager.continue_answer())
    assert engine.begun_tokens[-1] == ()
    answer_id = manager.conversation.path()[-1].id
    records = await manager.tokens_of(answer_id)
    assert [(r.token, r.text) for r in records] == [(NO_TOKEN, "It is Paris"), (1, " now")]


async def test_other_settings_for_the_rest_are_noted_where_it_begins() -> None:
    engine = FakeEngine("It is", " Paris", told("It is", " Paris"))
    manager = make_manager(engine)
    await all_of(manager.reply("Where?"))
    manager.change_setting("temperature", "1.5")
    answer_id = manager.conversation.path()[-1].id
    await all_of(manager.branch_from_token(answer_id, 1, OTHERS[1]))
    made = making_of(manager.conversation.path()[-1])
    assert unseeded(made.sampling) == Settings().sampling
    change, seed = made.changes
    assert (change.offset, change.name, change.old, change.new) == (
        len("It is Lyon"),
        "temperature",
        "0.3",
        "1.5",
    )
    # It is another answer, so that the same branch taken twice is not the same twice.
    assert (seed.offset, seed.name, seed.old) == (10, "seed", str(made.sampling.seed))
    assert seed.new.isdecimal()


async def test_what_a_model_might_have_said_is_cleaned() -> None:
    hostile = token("x")
    hostile = TokenRecord(
        *[getattr(hostile, f) for f in hostile.__struct_fields__[:9]],
        (Alternative(4, "\x1b]52;c;eA==\x07owned", 0.5, 0.5),),
    )
    engine = FakeEngine("x", TokensRecorded(request_id=1, tokens=(hostile,)))
    manager = make_manager(engine)
    await all_of(manager.reply("Go"))
    (record,) = await manager.tokens_of(manager.conversation.path()[-1].id)
    assert record.alternatives[0].text == "owned"


async def test_records_branches_and_ratings_survive_a_restart(tmp_path: Path) -> None:
    def begin() -> tuple[ChatStore, ConversationManager]:
        engine = FakeEngine("It is", " Paris", told("It is", " Paris"))
        store = ChatStore(tmp_path)
        return store, ConversationManager(engine, Settings(), lambda *_: None, store)

    store, manager = begin()
    await all_of(manager.reply("Where?"))
    first = manager.conversation.path()[-1]
    await all_of(manager.branch_from_token(first.id, 1, OTHERS[1]))
    second = manager.conversation.path()[-1]
    manager.rate(second.id, 1)
    manager.rate(first.id, -1)
    records = await manager.tokens_of(second.id)
    await manager.settled()
    store.close()

    store, manager = begin()
    await manager.open_chat(await store.latest_chat() or "")
    assert await manager.tokens_of(second.id) == records
    assert records[1].is_users
    assert [r.text for r in await manager.tokens_of(first.id)] == ["It is", " Paris"]
    assert manager.conversation.rating(second.id) == 1
    assert manager.conversation.rating(first.id) == -1
    manager.fork()
    await manager.settled()
    copy = manager.conversation.path()[-1]
    assert copy.id != second.id
    assert await manager.tokens_of(copy.id) == records
    assert manager.conversation.rating(copy.id) == 1
    store.close()


async def test_only_answers_can_be_rated() -> None:
    manager = make_manager(FakeEngine("Yes"))
    events = await all_of(manager.reply("Why?"))
    assert any(isinstance(event, TextDelta) for event in events)
    question = manager.conversation.path()[0]
    for wrong in (question.id, "nobody"):
        with pytest.raises(CommandError):
            manager.rate(wrong, 1)

"""The seed of each answer: drawn where it is left to chance, recorded, and kept to."""

import msgspec
import pytest

from chatbot.conversation.manager import ConversationManager
from chatbot.conversation.seeds import AnswerSeed
from chatbot.conversation.variants.wishes import wish_for_values
from chatbot.events import SettingChanged, VariantsFinished
from chatbot.messages import Making
from chatbot.settings import Sampling, Settings
from tests.conversation.building import all_of, make_manager, making_of, with_settings
from tests.conversation.fake_engine import FakeEngine

pytestmark = pytest.mark.timeout(10)


@pytest.fixture(autouse=True)
def draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seeds are drawn in order: 101, 102, …"""
    numbers = iter(range(101, 200))
    monkeypatch.setattr("chatbot.conversation.seeds.draw_seed", lambda: next(numbers))


def last_made(manager: ConversationManager) -> Making:
    return making_of(manager.conversation.last("assistant"))


async def test_each_answer_has_a_seed_of_its_own_and_the_setting_stays_random() -> None:
    engine = FakeEngine("One.")
    manager = make_manager(engine)
    await all_of(manager.reply("hi"))
    assert last_made(manager).sampling.seed == engine.generations[0].sampling.seed == 101
    await all_of(manager.regenerate())
    assert last_made(manager).sampling.seed == engine.generations[1].sampling.seed == 102
    assert manager.settings.sampling.seed is None
    assert engine.drawn_seeds == [True, True]


async def test_a_seed_that_is_set_is_used_and_where_nothing_is_drawn_there_is_none() -> None:
    engine = FakeEngine("One.")
    manager = make_manager(engine, with_settings(sampling=Sampling(seed=7)))
    await all_of(manager.reply("hi"))
    assert last_made(manager).sampling.seed == 7
    assert engine.drawn_seeds == [False]
    manager.change_setting("seed", "random")
    manager.change_setting("temperature", "0")
    await all_of(manager.regenerate())
    assert last_made(manager).sampling.seed is None
    assert engine.generations[-1].sampling.seed is None


async def test_what_goes_on_keeps_the_seed() -> None:
    engine = FakeEngine("One, ")
    engine.reason = "length"
    manager = make_manager(engine)
    await all_of(manager.reply("hi"))
    await all_of(manager.continue_answer())
    assert engine.generations[-1].sampling.seed == 101
    assert last_made(manager).changes == ()


async def test_another_setting_in_mid_answer_leaves_the_seed_alone() -> None:
    def warm() -> None:
        manager.change_setting("temperature", "0.9")

    engine = FakeEngine("a", warm, "b", lambda: manager.change_setting("seed", "7"), "c")
    manager = make_manager(engine)
    events = await all_of(manager.reply("hi"))
    changed = [event.change for event in events if isinstance(event, SettingChanged)]
    assert [(c.name, c.old, c.new) for c in changed] == [
        ("temperature", "0.3", "0.9"),
        ("seed", "101", "7"),
    ]
    engine.script = ["d"]
    engine.reason = "length"
    await all_of(manager.regenerate())
    manager.change_setting("seed", "random")
    await all_of(manager.continue_answer())
    assert engine.generations[-1].sampling.seed == 7  # it is the answer's


async def test_a_seed_is_drawn_where_an_answer_is_drawn_from_the_middle_on() -> None:
    engine = FakeEngine("a", lambda: manager.change_setting("temperature", "1"), "b")
    manager = make_manager(engine, with_settings(sampling=Sampling(temperature=0)))
    await all_of(manager.reply("hi"))
    made = last_made(manager)
    assert made.sampling.seed is None
    assert [(c.name, c.new) for c in made.changes] == [("temperature", "1"), ("seed", "101")]


def test_random_after_a_number_is_another_one() -> None:
    seed, free = AnswerSeed(), Sampling()
    assert seed.given_to(free).seed == seed.given_to(free).seed == 101
    assert seed.given_to(msgspec.structs.replace(free, seed=7)).seed == 7
    assert seed.given_to(free).seed == 102
    assert AnswerSeed(55).given_to(free).seed == 55


async def test_a_random_seed_among_swept_ones_is_drawn_and_kept() -> None:
    engine = FakeEngine("a ")
    manager = make_manager(engine)
    await all_of(manager.reply("hi"))
    wish = wish_for_values(Settings(), "seed", ["5", "random"])
    events = [event async for event in manager.answer_variously(wish)]
    finished = events[-1]
    assert isinstance(finished, VariantsFinished)
    five, drawn = (making_of(answer).sampling.seed for answer in finished.answers)
    assert five == 5
    assert isinstance(drawn, int)

"""What is said of the settings that made an answer, and of one that could only be the same."""

import pytest

from chatbot.conversation.making_words import beam_words, drawn_with, repetition_note
from chatbot.conversation.variants.wishes import wish_for_beams, wish_for_values
from chatbot.messages import Making
from chatbot.settings import Sampling, Settings
from tests.conversation.building import all_of, make_manager, making_of, with_settings
from tests.conversation.fake_engine import FakeEngine

pytestmark = pytest.mark.timeout(10)


def made(num_beams: int = 0, score: float | None = None, **sampling: object) -> Making:
    return Making(
        model="m",
        precision="fp32",
        device="cpu",
        sampling=Sampling(**sampling),  # type: ignore[arg-type]
        num_beams=num_beams,
        score=score,
    )


def test_the_seed_comes_first_and_defaults_are_not_told() -> None:
    told = drawn_with(made(temperature=1.5, top_p=0.5, seed=42))
    assert list(told.items()) == [("seed", "42"), ("temperature", "1.5"), ("top_p", "0.5")]
    assert drawn_with(made()) == {}


def test_what_means_nothing_without_a_draw_is_not_told() -> None:
    assert drawn_with(made(temperature=0, top_k=3, seed=42)) == {"temperature": "0"}
    found = made(num_beams=3, score=-0.6331, temperature=0, no_repeat_ngram_size=2)
    assert drawn_with(found) == {"no_repeat_ngram_size": "2"}
    assert beam_words(found) == "beam of 3, score -0.633"
    assert beam_words(made()) == ""


async def test_of_swept_answers_each_says_its_own_value_default_or_not() -> None:
    manager = make_manager(FakeEngine("a "), with_settings(sampling=Sampling(seed=7)))
    await all_of(manager.reply("hi"))
    wish = wish_for_values(manager.settings, "temperature", ["0.3", "0.9"])
    async for _ in manager.answer_variously(wish):
        pass
    _, first, second = [
        making_of(m) for m in manager.conversation.messages() if m.role == "assistant"
    ]
    assert drawn_with(first) == {"seed": "7", "temperature": "0.3"}
    assert drawn_with(second) == {"seed": "7", "temperature": "0.9"}


async def test_a_kept_beam_says_what_it_is() -> None:
    manager = make_manager(FakeEngine("a "))
    async for _ in manager.answer_variously(wish_for_beams(Settings(), 3), "hi"):
        pass
    answer = manager.conversation.last("assistant")
    assert beam_words(making_of(answer)) == "beam of 3, score -0.500"


@pytest.mark.parametrize(
    ("sampling", "said"),
    [
        (Sampling(), ""),
        (Sampling(seed=7), "The very same answer: the seed is 7; /set seed random draws another"),
        (Sampling(temperature=0), "The very same answer: at temperature 0 nothing is drawn."),
    ],
)
async def test_an_answer_that_could_only_be_the_same_is_called_so(
    sampling: Sampling, said: str
) -> None:
    manager = make_manager(FakeEngine("a "), with_settings(sampling=sampling))
    await all_of(manager.reply("hi"))
    first = manager.conversation.last("assistant")
    assert first is not None
    assert repetition_note(manager.conversation, first) == ""
    await all_of(manager.regenerate())
    again = manager.conversation.last("assistant")
    assert again is not None
    note = repetition_note(manager.conversation, again)
    assert note.startswith(said)
    assert bool(note) == bool(said)

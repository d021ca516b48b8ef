"""The line below an answer."""

from chatbot.tui.chat.facts import Facts, Spare, broken, spared

FACTS = ("a model", "bf16", "12 tokens", "45.8 tok/s", "first after 0.01 s")


def test_lines_break_between_facts_alone() -> None:
    assert broken(FACTS, 100) == ["a model · bf16 · 12 tokens · 45.8 tok/s · first after 0.01 s"]
    assert broken(FACTS, 58) == ["a model · bf16 · 12 tokens · 45.8 tok/s", "first after 0.01 s"]
    assert broken(FACTS, 5) == list(FACTS)
    assert broken((), 5) == []


def test_facts_stand_below_a_text() -> None:
    shown = Facts(FACTS, "✗ It broke.")
    assert shown.get_height({}, 58) == 3
    assert str(shown).startswith("✗ It broke.\na model · bf16")


def test_what_can_be_spared_goes_where_it_has_no_room_in_the_line() -> None:
    facts = ["model", Spare("seed 7"), Spare("temperature 1"), "12 tokens"]
    assert spared(facts, 42) == facts
    assert spared(facts, 41) == ["model", "seed 7", "12 tokens"]
    assert spared(facts, 10) == ["model", "12 tokens"]
    # The others take two lines anyway, which have room for more.
    assert spared(["a model", *facts], 24) == ["a model", "model", "seed 7", "12 tokens"]
    shown = Facts(facts)
    assert shown.get_height({}, 20) == 1
    assert "temperature 1" in str(shown)

"""The line below an answer."""

from chatbot.tui.chat.facts import Facts, broken

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

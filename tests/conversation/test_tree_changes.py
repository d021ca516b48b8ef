import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatbot.conversation.titles import MAX_TITLE_LENGTH, title_of, title_of_fork
from chatbot.conversation.tree import Conversation
from chatbot.messages import Message, TextPart


def add(tree: Conversation, text: str, parent: str | None) -> str:
    message = Message(role="user", parts=(TextPart(text),), parent_id=parent)
    tree.add(message)
    return message.id


@given(
    st.lists(
        st.tuples(st.sampled_from(["add", "delete", "restore", "show", "pin"]), st.integers(0))
    )
)
def test_any_changes_leave_a_tree_that_is_whole(changes: list[tuple[str, int]]) -> None:
    tree = Conversation()
    for verb, number in changes:
        there = [message.id for message in tree.messages()]
        some = there[number % len(there)] if there else None
        match verb:
            case "add":
                add(tree, "x", some if number % 3 else None)
            case "delete" if some:
                tree.delete(some)
            case "restore":
                tree.restore()
            case "show":
                tree.show(some)
            case "pin" if some:
                tree.pin_message(some, bool(number % 2))
    assert len(tree) == len(tree.messages())
    for message in tree.messages():
        assert message.parent_id is None or message.parent_id in tree
        assert message.id in tree.variants(message.id)
    assert all(message.id in tree for message in tree.path())
    again = Conversation.from_stored(tree.as_stored())
    assert again.as_stored() == tree.as_stored()
    while tree.restore():
        pass
    assert len(tree) == sum(verb == "add" for verb, _ in changes)


def test_a_parent_or_a_message_that_is_gone_is_refused() -> None:
    tree = Conversation()
    root = add(tree, "a", None)
    tree.delete(root)
    assert root not in tree
    assert tree.active_leaf is None
    with pytest.raises(ValueError, match="deleted"):
        add(tree, "b", root)
    with pytest.raises(KeyError):
        tree.show(root)
    with pytest.raises(KeyError):
        tree[root]


@pytest.mark.parametrize(
    ("question", "title"),
    [
        ("What is a tree?", "What is a tree?"),
        ("\n\n  ## Hello *there*\nmore", "Hello there"),
        ("```python\nx = 1\n```\nWhy does this fail?", "Why does this fail?"),
        ("```\nonly code\n```", "only code"),
        ("see [the page](http://x.y) please", "see the page please"),
        ("", ""),
        ("???", "???"),
        ("\x1b]0;evil\x07hi\x1b[2J", "hi"),
        ("snake_case_name stays", "snake_case_name stays"),
        ("What is 17 * 23, and 2*3*4?", "What is 17 * 23, and 2*3*4?"),
        ("a**b**c", "a**b**c"),
        ("What does **this** `code` do?", "What does this code do?"),
    ],
)
def test_titles(question: str, title: str) -> None:
    assert title_of(question) == title


@given(st.text())
def test_titles_are_short_lines(question: str) -> None:
    title = title_of(question)
    assert len(title) <= MAX_TITLE_LENGTH
    assert "\n" not in title


def test_long_titles_are_cut_between_words() -> None:
    title = title_of("a fairly long question " * 10)
    assert title.endswith("question…") or title.endswith("long…") or title.endswith("fairly…")
    assert len(title_of("x" * 500)) == MAX_TITLE_LENGTH


@pytest.mark.timeout(5)
@pytest.mark.parametrize("line", ["*a ", "a *b", "`"])
def test_a_long_line_full_of_marks_has_its_title_at_once(line: str) -> None:
    assert len(title_of(line * 20_000)) <= MAX_TITLE_LENGTH


@pytest.mark.parametrize(
    ("title", "fork"),
    [
        ("Rivers", "Rivers (fork)"),
        ("Rivers (fork)", "Rivers (fork 2)"),
        ("Rivers (fork 9)", "Rivers (fork 10)"),
        ("(fork) it", "(fork) it (fork)"),
        ("", ""),
    ],
)
def test_a_fork_can_be_told_from_where_it_came(title: str, fork: str) -> None:
    assert title_of_fork(title) == fork

import pytest

from chatbot.conversation.tree import Conversation
from chatbot.messages import Message, Role, TextPart


def add(tree: Conversation, name: str, parent: str | None, role: Role = "user") -> None:
    parts = (TextPart(name.upper()),)
    tree.add(Message(role=role, parts=parts, id=name, parent_id=parent))


@pytest.fixture
def tree() -> Conversation:
    """Two questions; the first has two answers, of which the second leads on."""
    tree = Conversation()
    add(tree, "q1", None)
    add(tree, "a1", "q1", "assistant")
    add(tree, "a2", "q1", "assistant")
    add(tree, "q2", "a2")
    return tree


def test_an_empty_conversation() -> None:
    tree = Conversation()
    assert len(tree) == 0
    assert tree.path() == ()
    assert tree.last("user") is None
    assert tree.active_leaf is None


def test_adding_shows_the_branch_that_ends_with_the_message(tree: Conversation) -> None:
    assert [m.id for m in tree.path()] == ["q1", "a2", "q2"]
    assert [m.id for m in tree.path("a1")] == ["q1", "a1"]
    assert tree["q2"].text == "Q2"
    assert "a1" in tree
    assert "a9" not in tree


def test_variants_are_siblings_from_the_oldest_on(tree: Conversation) -> None:
    assert tree.variants("a1") == tree.variants("a2") == ("a1", "a2")
    assert tree.variants("q1") == ("q1",)
    add(tree, "q1 edited", None)
    assert tree.variants("q1") == ("q1", "q1 edited")


def test_the_newest_leaf_goes_by_the_last_child(tree: Conversation) -> None:
    assert tree.newest_leaf("q1") == "q2"
    assert tree.newest_leaf("a1") == "a1"
    add(tree, "a3", "q1", "assistant")
    assert tree.newest_leaf("q1") == "a3"


def test_showing_another_branch(tree: Conversation) -> None:
    tree.show("a1")
    assert [m.id for m in tree.path()] == ["q1", "a1"]
    assert tree.last("user") == tree["q1"]
    assert tree.last("assistant") == tree["a1"]
    tree.show(None)
    assert tree.path() == ()
    assert len(tree) == 4


def test_messages_come_parents_first(tree: Conversation) -> None:
    assert [m.id for m in tree.messages()] == ["q1", "a1", "a2", "q2"]


def test_what_cannot_be_is_refused_and_changes_nothing(tree: Conversation) -> None:
    before = tree.messages()
    with pytest.raises(ValueError, match="here already"):
        add(tree, "a1", "q1")
    with pytest.raises(ValueError, match="parent"):
        add(tree, "q3", "nowhere")
    with pytest.raises(ValueError, match="parent"):
        add(tree, "own parent", "own parent")
    with pytest.raises(KeyError):
        tree.show("nowhere")
    with pytest.raises(KeyError):
        tree.path("nowhere")
    assert tree.messages() == before
    assert tree.active_leaf == "q2"


def test_each_conversation_has_its_own_id() -> None:
    assert Conversation().id != Conversation().id
    assert Conversation("mine").id == "mine"


def test_a_very_long_branch_has_a_path() -> None:
    tree = Conversation()
    parent = None
    for index in range(5000):
        add(tree, str(index), parent)
        parent = str(index)
    assert len(tree.path()) == 5000
    assert tree.newest_leaf("0") == "4999"

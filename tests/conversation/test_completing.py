"""What a slash command that is being typed could become."""

from chatbot.conversation.commands import Command, common_line, complete_command
from chatbot.conversation.commands.completing import completions
from tests.conversation.test_commands import FakeFace


def lines(line: str, face: FakeFace | None = None) -> list[str]:
    return [completion.line for completion in complete_command(face or FakeFace(), line)]


def test_commands_by_their_beginning() -> None:
    assert lines("/re") == ["/reset", "/regen", "/rename"]
    assert lines("/RE") == ["/reset", "/regen", "/rename"]
    assert len(lines("/")) > 30
    assert lines("/nonsense") == lines("text") == lines("/re\n") == lines("") == []


def test_of_a_finished_command_there_is_what_it_takes() -> None:
    [only] = complete_command(FakeFace(), "/rename A title")
    assert (only.line, only.shown) == ("/rename A title", "/rename TITLE")
    assert lines("/nonsense x") == []


def test_arguments_by_their_beginning() -> None:
    assert lines("/set top") == ["/set top_p", "/set top_k"]
    assert lines("/set precision 8") == ["/set precision 8-bit"]
    assert lines("/set temperature ") == ["/set temperature 0.3"]
    assert lines("/theme n") == ["/theme night"]
    assert lines("/set theme ") == ["/set theme night", "/set theme paper"]
    assert "/model smollm2-135m" in lines("/model smol")
    assert "/set model smollm2-135m" in lines("/set model smol")
    assert lines("/prompt sum") == ["/prompt summary"]
    assert lines("/knowledge re") == ["/knowledge remove"]
    assert lines("/tools re") == ["/tools refresh"]


def test_a_value_is_not_offered_twice() -> None:
    assert lines("/compare thinking on ") == [
        "/compare thinking on auto",
        "/compare thinking on off",
    ]
    assert lines("/sweep strategy greedy t") == [
        "/sweep strategy greedy top-k",
        "/sweep strategy greedy top-p",
    ]
    assert "/sweep strategy" in lines("/sweep s")


def test_wrong_arguments_are_left_to_the_command() -> None:
    assert lines("/set nonsense 1") == ["/set nonsense 1"]
    assert lines("/compare nonsense a") == ["/compare nonsense a"]
    assert lines("/theme night x") == ["/theme night x"]


def test_the_common_part_and_the_rest_of_the_only_one() -> None:
    face = FakeFace()
    assert common_line(complete_command(face, "/set to"), "/set to") == "/set top_"
    assert common_line(complete_command(face, "/tok"), "/tok") == "/tokens "
    assert common_line([], "/x") == "/x"


def test_names_from_elsewhere_are_cleaned() -> None:
    def words(face: object, before: object) -> dict[str, str]:
        return {"a\x1b[2Jb": "help\x1b]52;c;x\x07"}

    async def run(face: object, arguments: str) -> None: ...

    commands = {"do": Command("do", "NAME", "does.", run, words)}
    [found] = completions(commands, FakeFace(), "/do ")
    assert (found.line, found.shown, found.help) == ("/do ab", "ab", "help")


def test_names_with_spaces_go_on() -> None:
    def words(face: object, before: list[str]) -> dict[str, str]:
        return {} if before[1:] else {"My Notes": "", "My Papers": ""} if before else {"off": ""}

    async def run(face: object, arguments: str) -> None: ...

    commands = {"do": Command("do", "VERB NAME", "does.", run, words)}
    assert [c.line for c in completions(commands, FakeFace(), "/do off My ")] == [
        "/do off My Notes",
        "/do off My Papers",
    ]
    [found] = completions(commands, FakeFace(), "/do off my p")
    assert found.line == "/do off My Papers"

"""Files that a question names, and what a name that is being typed could become."""

import os
from pathlib import Path

import pytest

from chatbot.conversation import mentions
from chatbot.conversation.commands import common_line, complete_command
from chatbot.conversation.mentions import (
    BegunMention,
    begun_mention,
    file_words,
    mentioned_files,
    missing_files,
    names_file,
    path_of_name,
)
from tests.conversation.test_commands import FakeFace


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("a.md", "my notes.txt", ".hidden", "sub/deep.py", "naïve 📁/x.md"):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text("x" * 1500)
    return tmp_path


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("@a.md", ["a.md"]),
        ("What does @a.md say?", ["a.md"]),
        ("Compare (@a.md) with @sub/deep.py.", ["a.md", "sub/deep.py"]),
        ("Is it in @a.md, or in @a.md?", ["a.md"]),
        ('Read @"my notes.txt", please', ["my notes.txt"]),
        ("@.hidden too", [".hidden"]),
        ("two\n@a.md\nlines", ["a.md"]),
        ('@"naïve 📁/x.md"', ["naïve 📁/x.md"]),
        ("write to ada@a.md", []),
        ("@ a.md, @nobody, @sub, @sub/, @@a.md and a @", []),
        ("@my notes.txt", []),
        ('@"a.md', []),
        ("@" + "x" * 5000, []),
        ("@a\0b", []),
        ("", []),
    ],
)
def test_what_names_a_file_that_is_there(text: str, found: list[str]) -> None:
    assert list(mentioned_files(text)) == found


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("What does @plan.md say, and @a.md?", ["plan.md"]),
        ("(@sub/shallow), @sub/deep.py and @sub", ["sub/shallow"]),
        ('@"your notes.txt"', ["your notes.txt"]),
        ("@no/such, @types/node, @nobody, @app.route and me@plan.md", []),
        ("@a\0b @" + "x" * 5000 + ".md", []),
        ("plan.md", []),
    ],
)
def test_what_names_a_file_that_is_not_there(text: str, missing: list[str]) -> None:
    assert list(missing_files(text)) == missing


def test_a_name_is_looked_for_from_here_and_from_home(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(here / "sub"))
    assert mentioned_files(f"@~/deep.py and @{here}/a.md") == ("~/deep.py", f"{here}/a.md")
    assert path_of_name("~/deep.py") == here / "sub/deep.py"
    (here / "link").symlink_to(here / "sub")
    assert path_of_name("link/../a.md").samefile(here / "a.md")
    (here / "sub" / "deeper").mkdir()
    (here / "other").symlink_to(here / "sub" / "deeper")
    assert path_of_name("other/../deep.py").samefile(here / "sub" / "deep.py")


def test_what_is_no_regular_file_is_text(here: Path) -> None:
    os.mkfifo(here / "pipe")
    (here / "link").symlink_to("a.md")
    (here / "broken").symlink_to("nowhere")
    assert mentioned_files("@pipe @link @broken @/dev/null") == ("link",)


def test_of_very_many_names_the_first_are_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mentions, "MAX_NAMES", 3)
    assert mentioned_files("@x @x @x @y @a.md @sub/deep.py") == ("a.md",)


def test_a_name_is_begun_in_the_last_line_alone() -> None:
    assert begun_mention("@a\nb") is None
    assert begun_mention("x" * 10_000 + " @a") == BegunMention(10_001, "a")
    assert begun_mention('in @"a@b') == BegunMention(3, "a@b")


def test_a_text_names_a_file_that_is_gone() -> None:
    assert names_file("See @gone.md.", "gone.md")
    assert names_file('See @"gone for good.md".', "gone for good.md")
    assert not names_file("See gone.md and mail@gone.md", "gone.md")


def test_names_by_their_beginning() -> None:
    assert file_words("") == {
        "@a.md": "2 kB",
        '@"my notes.txt"': "2 kB",
        '@"naïve 📁/': "folder",
        "@sub/": "folder",
    }
    assert file_words("A") == {"@a.md": "2 kB"}
    assert file_words(".") == {"@.hidden": "2 kB"}
    assert file_words("sub/") == {"@sub/deep.py": "2 kB"}
    assert file_words("naïve 📁/") == {'@"naïve 📁/x.md"': "2 kB"}
    assert file_words("nowhere/") == file_words("a.md/") == file_words("zz") == {}


def test_names_that_nobody_can_type_are_not_offered(here: Path) -> None:
    (here / "sub" / 'quo"te').write_text("x")
    (here / "sub" / "red\x1b[31m").write_text("x")
    (here / "sub" / "new\nline").write_text("x")
    Path(os.fsdecode(os.fsencode(here / "sub") + b"/\xff")).write_text("x")
    assert list(file_words("sub/")) == ["@sub/deep.py"]


def test_what_cannot_be_looked_at_hides_nothing_else(here: Path) -> None:
    (here / "sub" / "a-loop").symlink_to("a-loop")
    (here / "sub" / "gone").symlink_to("nowhere")
    (here / "sub" / "z.md").write_text("x")
    assert list(file_words("sub/")) == ["@sub/deep.py", "@sub/z.md"]


@pytest.mark.timeout(20)  # what looks at each sign from each of them takes minutes
@pytest.mark.parametrize("part", ["(@", "@x ", '@"', '(@"x', "@(\u2003"])
def test_a_text_full_of_signs_is_gone_through(part: str) -> None:
    text = part * 100_000 + " "
    assert mentioned_files(text) == ()
    begun_mention(text)


def test_of_a_large_folder_not_all_is_looked_at(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(30):
        (here / "sub" / f"f{number:02}").write_text("x")
    monkeypatch.setattr(mentions, "MAX_OFFERED", 10)
    assert len(file_words("sub/")) == 10
    monkeypatch.setattr(mentions, "MAX_LOOKED_AT", 5)
    assert len(file_words("sub/")) == 5


def test_what_is_typed_is_completed_wherever_it_stands() -> None:
    face = FakeFace()

    def lines(typed: str) -> list[str]:
        return [completion.line for completion in complete_command(face, typed)]

    assert lines("What is in @s") == ["What is in @sub/"]
    assert lines("two\nlines @sub/d") == ["two\nlines @sub/deep.py"]
    assert lines("/variants 3 What is in @a") == ["/variants 3 What is in @a.md"]
    assert lines('in @"my') == ['in @"my notes.txt"']
    assert lines("ada@a") == lines("@zz") == lines('@"my notes.txt"') == []
    # Behind a folder goes what is in it, behind a file the rest of the question.
    assert common_line(complete_command(face, "@s"), "@s") == "@sub/"
    assert common_line(complete_command(face, "@a"), "@a") == "@a.md "

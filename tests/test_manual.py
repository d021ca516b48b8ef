"""The README and the manual name everything there is, with the values that it has."""

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from chatbot.cli import build_parser
from chatbot.conversation.commands import COMMANDS, Command
from chatbot.settings import MAX_SEED, SPECS, Settings, Spec, get_value
from chatbot.tui.keys import KEYS, Key
from chatbot.tui.themes import COLOURS

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
MANUAL = ROOT / "knowledge"
PAGES = sorted(MANUAL.glob("*.md"))
DOCUMENTS = [README, ROOT / "CHANGELOG.md", *PAGES]

MOST_LINES = 120

PAGE_OF_SETTING = {
    "num_sources": "sources.md",
    "relevance_threshold": "sources.md",
    "grounding": "sources.md",
    "embedding_model": "sources.md",
    "reranker": "sources.md",
    "model": "models-and-precision.md",
    "precision": "models-and-precision.md",
    "system_prompt": "conversation.md",
    "thinking": "conversation.md",
    "max_history": "conversation.md",
    "context_length": "conversation.md",
}
"""The others are in settings.md."""

KEY_NAMES = {"pageup": "PageUp", "pagedown": "PageDown"}

_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
# The user's own folder (~) and places such as /dev are not of one machine.
_MACHINE_PATH = re.compile(r"(?<![\w.~/])/(?:home|root|tmp|work|mnt|opt|srv|usr|Users)\b")


def rows(page: Path, first_cell: str) -> list[list[str]]:
    """The rows of the page's tables that have ``first_cell`` as one of their cells."""
    cells = [line.strip("| ").split(" | ") for line in read(page).splitlines() if "|" in line]
    return [[c.strip() for c in row] for row in cells if first_cell in map(str.strip, row)]


def read(page: Path) -> str:
    return page.read_text("utf-8")


def shown_key(key: str) -> str:
    if len(key) == 1:
        return key
    return "+".join(KEY_NAMES.get(part, part.capitalize()) for part in key.split("+"))


def shown_range(spec: Spec) -> list[str]:
    match spec.kind:
        case "float" | "int":
            number = "g" if spec.kind == "float" else ".0f"
            return [f"{spec.minimum:{number}} to {spec.maximum:{number}}"]
        case "seed":
            return [f"0 to {MAX_SEED}", "random"]
        case "choice":
            return list(spec.choices)
        case "text":
            return ["any "]


def shown_default(spec: Spec) -> str:
    return spec.format(get_value(Settings(), spec.name))


def flags(parser: argparse.ArgumentParser, called: str = "chatbot") -> Iterator[str]:
    """Every flag of the parser and of its commands, and the commands' names in full."""
    for action in parser._actions:
        yield from action.option_strings
        if isinstance(action, argparse._SubParsersAction):
            for name, command in action.choices.items():
                yield f"{called} {name}"
                yield from flags(command, f"{called} {name}")


@pytest.mark.parametrize("page", [README, MANUAL / "keys.md"], ids=lambda p: p.name)
@pytest.mark.parametrize(
    ("name", "key"), [(name, key) for name, key in KEYS.items() if key.is_listed]
)
def test_every_key_is_there_with_its_name(page: Path, name: str, key: Key) -> None:
    found = rows(page, f"`{name}`")
    assert len(found) == 1, f"one row for {name}"
    assert found[0][0] == ", ".join(map(shown_key, key.keys.split(",")))


@pytest.mark.parametrize("page", [README, MANUAL / "commands.md"], ids=lambda p: p.name)
@pytest.mark.parametrize("command", COMMANDS.values(), ids=list(COMMANDS))
def test_every_command_is_there_as_it_is_typed(page: Path, command: Command) -> None:
    assert len(rows(page, f"`{command.usage}`")) == 1


@pytest.mark.parametrize("page", DOCUMENTS, ids=lambda p: p.name)
def test_every_command_that_is_named_is_one(page: Path) -> None:
    named = set(re.findall(r"`/([a-z]+)", page.read_text("utf-8")))
    assert named <= set(COMMANDS)


@pytest.mark.parametrize("spec", SPECS, ids=lambda s: s.name)
def test_every_setting_is_in_the_readme(spec: Spec) -> None:
    found = rows(README, f"`{spec.name}`")
    table = [row for row in found if row[0] == f"`{spec.name}`"]
    assert len(table) == 1
    for value in shown_range(spec):
        assert value in table[0][1]
    assert table[0][2] == shown_default(spec)


@pytest.mark.parametrize("spec", SPECS, ids=lambda s: s.name)
def test_every_setting_has_a_paragraph_of_its_own(spec: Spec) -> None:
    page = MANUAL / PAGE_OF_SETTING.get(spec.name, "settings.md")
    # By parts between headings: each must say all of it, because it is found by itself.
    parts = [part.strip() for part in re.split(r"^#+ .+$", read(page), flags=re.MULTILINE)]
    about = [part for part in parts if f"`{spec.name}` (" in part]
    assert len(about) == 1, f"{page.name} has one part with `{spec.name}` (range"
    text = " ".join(about[0].split())
    bracket = text[text.index(f"`{spec.name}` (") :].partition(")")[0]
    for value in shown_range(spec):
        assert value in bracket
    assert f"default {shown_default(spec)}" in bracket
    assert any(spec.label.lower() in heading.lower() for heading in headings(page))


def headings(page: Path) -> list[str]:
    return _HEADING.findall(read(page))


@pytest.mark.parametrize("page", [README, MANUAL / "command-line.md"], ids=lambda p: p.name)
@pytest.mark.parametrize("flag", sorted(set(flags(build_parser()))))
def test_every_flag_is_there(page: Path, flag: str) -> None:
    assert re.search(rf"(?<![\w-]){re.escape(flag)}(?![\w-])", read(page))


def test_every_theme_and_colour_is_there() -> None:
    text = read(MANUAL / "themes.md")
    shipped = [file.stem for file in (ROOT / "themes").glob("*.toml")]
    assert shipped
    for name in (*shipped, *COLOURS):
        assert f"`{name}`" in text


def test_the_example_of_a_theme_is_one(tmp_path: Path) -> None:
    from chatbot.tui.themes import load_theme

    examples = re.findall(r"```toml\n(.*?)```", read(MANUAL / "themes.md"), re.DOTALL)
    assert len(examples) == 1
    file = tmp_path / "harbour.toml"
    file.write_text(examples[0], "utf-8")
    assert load_theme(file).name == "harbour"


@pytest.mark.parametrize("page", [README, MANUAL / "configuration.md"], ids=lambda p: p.name)
def test_the_examples_of_the_settings_file_are_right(page: Path, tmp_path: Path) -> None:
    from chatbot.config import load_config
    from chatbot.tui.keys import check_keymap

    examples = re.findall(r"```toml\n(.*?)```", read(page), re.DOTALL)
    assert examples
    for example in examples:
        file = tmp_path / "config.toml"
        file.write_text(example, "utf-8")
        config = load_config(file)
        assert config.problems == ()
        assert check_keymap(config.keys)[1] == ()


@pytest.mark.parametrize("page", DOCUMENTS, ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in _LINK.findall(read(page)):
        if link.startswith("https://"):
            continue
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), link
        if anchor:
            anchors = [
                re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
                for heading in headings(target)
            ]
            assert anchor in anchors, link


@pytest.mark.parametrize("page", DOCUMENTS, ids=lambda p: p.name)
def test_no_path_of_one_machine_is_there(page: Path) -> None:
    assert _MACHINE_PATH.search(read(page)) is None


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_pages_are_short_and_in_the_index(page: Path) -> None:
    # The page of keys is one table after the other, to look things up in.
    assert len(read(page).splitlines()) <= MOST_LINES * (2 if page.name == "keys.md" else 1)
    assert page.name == "index.md" or f"({page.name})" in read(MANUAL / "index.md")

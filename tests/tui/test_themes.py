import itertools
import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.app import App

from chatbot.paths import shipped_dir
from chatbot.settings import Settings
from chatbot.terminal_text import is_safe
from chatbot.tui.lens.drawing import legend
from chatbot.tui.themes import COLOURS, MAX_FILE_BYTES, load_themes
from tests.tui.test_growing import Page

SHIPPED, SHIPPED_PROBLEMS = load_themes([shipped_dir("themes")])

VALID = "\n".join(f'{colour} = "#123abc"' for colour in COLOURS)


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2.2 defines it, 0 (black) to 1 (white)."""
    shares = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    red, green, blue = (s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(first: str, second: str) -> float:
    """Contrast ratio, 1 to 21."""
    darker, lighter = sorted((luminance(first), luminance(second)))
    return (lighter + 0.05) / (darker + 0.05)


def test_contrast_of_known_pairs() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)


def test_shipped_themes_are_whole() -> None:
    assert SHIPPED_PROBLEMS == ()
    assert len(SHIPPED) >= 7
    assert {theme.dark for theme in SHIPPED.values()} == {True, False}
    assert SHIPPED[Settings().theme].dark


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_colours_are_readable_as_text(name: str) -> None:
    theme = SHIPPED[name]
    least = 7 if name.startswith("high-contrast") else 4.5
    texts = [colour for colour in COLOURS if colour not in ("background", "surface", "panel")]
    for text, ground in itertools.product(texts, ("background", "surface", "panel")):
        ratio = contrast(getattr(theme, text), getattr(theme, ground))
        assert ratio >= least, f"{text} on {ground} has {ratio:.2f}"
    assert (luminance(str(theme.background)) < 0.5) is theme.dark


def mixed(ground: str, colour: str, percent: int) -> str:
    """A colour laid over a ground."""
    pairs = ((int(ground[i : i + 2], 16), int(colour[i : i + 2], 16)) for i in (1, 3, 5))
    return "#" + "".join(f"{g + (c - g) * percent // 100:02x}" for g, c in pairs)


@pytest.mark.parametrize("name", SHIPPED)
def test_tokens_are_readable_on_each_shade(name: str) -> None:
    theme = SHIPPED[name]
    spans = (span for span in legend(is_brief=True).spans if "on $" in str(span.style))
    shades = [re.findall(r"on \$(\w+) (\d+)%", str(span.style))[0] for span in spans]
    assert len(shades) == 4
    for colour, percent in shades:
        ground = mixed(str(theme.surface), str(getattr(theme, colour)), int(percent))
        assert contrast(str(theme.foreground), ground) >= 4.5, (colour, percent)


@pytest.mark.parametrize("name", SHIPPED)
async def test_code_of_no_language_is_readable(name: str) -> None:
    page = Page("```\nplain code of no language\n```\n")
    page.register_theme(SHIPPED[name])
    page.theme = name
    async with page.run_test(size=(60, 10)) as pilot:
        await pilot.pause()
        rows = page.screen._compositor.render_strips()
        (style,) = (s.style for row in rows for s in row if "plain code" in s.text)
        assert style
        text, ground = (c.get_truecolor().hex for c in (style.color, style.bgcolor) if c)
        assert contrast(text, ground) >= 4.5


async def test_textual_takes_every_shipped_theme() -> None:
    app: App[None] = App()
    async with app.run_test():
        for name, theme in SHIPPED.items():
            app.register_theme(theme)
            app.theme = name
            variables = app.get_css_variables()
            assert variables.items() >= theme.variables.items()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "primary is missing"),
        (VALID.replace('panel = "#123abc"', ""), "panel is missing"),
        (VALID.replace('panel = "#123abc"', 'panel = "blue"'), "panel must be a colour"),
        (VALID.replace('panel = "#123abc"', 'panel = "#123abc; x"'), "panel must be a colour"),
        (VALID.replace('panel = "#123abc"', "panel = 3"), "panel must be a colour"),
        (VALID + '\nglow = "#123abc"', "'glow' is no entry"),
        (VALID + "\ndark = 1", "dark must be true or false"),
        (VALID + '\ndescription = "a\\u001b[2J"', "description must be text without control"),
        (VALID + "\nvariables = 1", "variables must be a table"),
        (VALID + '\n[variables]\nborder = "red; color: blue"', "[variables] border must be"),
        (VALID + '\n[variables]\n"a b" = "none"', "[variables] 'a b' is no name"),
        (VALID + '\n[variables]\nborder = ["none"]', "[variables] border must be"),
        (VALID + '\n[variables]\nborder = "bold"', "[variables] border must be a colour"),
        (VALID + '\n[variables]\nlink-style = "#123abc"', "link-style must be a style"),
        ("primary = ", "is not TOML"),
        ("\x00", "is not TOML"),
        ("x = " + "[" * 5000, "is not TOML"),
        ("# " + "x" * MAX_FILE_BYTES, "larger than 64 KiB"),
    ],
)
def test_a_broken_file_is_named_and_the_others_are_read(
    tmp_path: Path, text: str, named: str
) -> None:
    (tmp_path / "broken.toml").write_text(text)
    (tmp_path / "good.toml").write_text(VALID)
    themes, problems = load_themes([tmp_path])
    assert list(themes) == ["good"]
    assert len(problems) == 1
    assert f"{tmp_path / 'broken.toml'} is not used" in problems[0]
    assert named in problems[0]


@pytest.mark.parametrize("name", ["Bad Name", "a\x1b]0;x\x07b", "b\u202ec", "x" * 41])
def test_a_bad_file_name_is_cleaned_and_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / f"{name}.toml").write_text(VALID)
    themes, problems = load_themes([tmp_path])
    assert themes == {}
    assert len(problems) == 1
    assert is_safe(problems[0])
    assert "its name may hold" in problems[0]


def test_what_is_no_regular_file_is_not_opened(tmp_path: Path) -> None:
    (tmp_path / "folder.toml").mkdir()
    os.mkfifo(tmp_path / "pipe.toml")
    (tmp_path / "gone.toml").symlink_to(tmp_path / "nothing")
    themes, problems = load_themes([tmp_path])
    assert themes == {}
    assert len(problems) == 3


def test_not_utf8(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_bytes(b"\xff\xfe")
    assert "is not TOML" in load_themes([tmp_path])[1][0]


def test_a_later_folder_replaces_by_name(tmp_path: Path) -> None:
    (tmp_path / "night.toml").write_text(VALID)
    (tmp_path / "mine.toml").write_text(
        VALID + '\n[variables]\nborder = "#123abc 40%"\nlink-style = "bold underline"\n'
    )
    themes, problems = load_themes([shipped_dir("themes"), tmp_path])
    assert problems == ()
    assert themes["night"].primary == "#123abc"
    assert themes["mine"].variables == {"border": "#123abc 40%", "link-style": "bold underline"}
    assert themes.keys() == {*SHIPPED, "mine"}


def test_a_missing_folder_is_empty(tmp_path: Path) -> None:
    assert load_themes([tmp_path / "nowhere"]) == ({}, ())


@given(st.binary(max_size=200) | st.text(max_size=60).map(lambda t: f"{VALID}\n{t}".encode()))
def test_no_content_is_fatal(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "any.toml").write_bytes(content)
    themes, problems = load_themes([tmp_path])
    assert len(themes) + len(problems) == 1
    assert all(is_safe(problem) for problem in problems)

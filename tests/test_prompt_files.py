"""Prompt files, broken and hostile ones above all."""

import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatbot.conversation.prompt_files import read_prompt
from chatbot.conversation.prompt_library import load_library
from chatbot.conversation.prompt_rendering import MAX_RENDERED_CHARS
from chatbot.conversation.prompt_template import (
    Example,
    PromptTemplate,
    format_examples,
    parse_examples,
)
from chatbot.errors import PromptError, PromptUsageError
from chatbot.paths import config_dir, shipped_dir
from chatbot.terminal_text import is_safe

HEAD = "---\ndescription: A test\nvariables:\n  input: Text\n  other: {default: ''}\n---\n"


def write(folder: Path, text: str, name: str = "one.md") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    file.write_text(text, "utf-8")
    return file


def refusal(folder: Path, text: str) -> str:
    with pytest.raises(PromptError) as caught:
        read_prompt(write(folder, text))
    assert is_safe(str(caught.value))
    assert "\n" not in str(caught.value)
    assert "one.md is not used: " in str(caught.value)
    return str(caught.value)


def body(folder: Path, template: str) -> PromptTemplate:
    return read_prompt(write(folder, HEAD + template))


def test_every_shipped_prompt_is_whole() -> None:
    library = load_library((shipped_dir("prompts"),))
    assert library.problems == ()
    assert list(library.prompts) == [
        "chain-of-thought",
        "extract-json",
        "few-shot",
        "plain",
        "review",
        "summary",
        "translation",
        "assistant",
        "editor",
        "skeptic",
        "tutor",
    ]
    for prompt in library.prompts.values():
        values = {v.name: "THE VALUE" for v in prompt.variables if v.is_required}
        text = prompt.fill(values).text
        assert ("THE VALUE" in text) is bool(values)
        assert "{{" not in text
        assert "\n\n\n" not in text


def test_the_shipped_prompts_travel_in_the_package() -> None:
    import chatbot

    assert shipped_dir("prompts") == Path(chatbot.__file__).parent / "prompts"


def test_everything_that_a_file_can_say(tmp_path: Path) -> None:
    prompt = read_prompt(
        write(
            tmp_path,
            """---
name: Given
description: What it does
kind: question
variables:
  input: What is asked
  tone:
    description: How it sounds
    default: yes
    choices: [yes, 12, 1.50]
examples:
  - input: 'a "quoted" one'
    output: b
settings:
  temperature: 0.30
  top-k: 7
  seed: random
---
{{ tone }}: {{ input }}
---
{% for e in examples %}{{ loop.index }} {{ e.input }} {{ e.output }}{% endfor %}
""".replace("Given", "given"),
        )
    )
    assert prompt.name == "given"
    assert [v.name for v in prompt.fields] == ["input", "tone", "examples"]
    assert prompt.variables[1].choices == ("yes", "12", "1.50")
    assert prompt.settings == {"temperature": "0.30", "top_k": "7", "seed": "random"}
    assert prompt.fill({"input": "why?"}).text == 'yes: why?\n---\n1 a "quoted" one b'


def test_windows_line_ends_and_a_byte_order_mark(tmp_path: Path) -> None:
    file = tmp_path / "crlf.md"
    file.write_bytes(b"\xef\xbb\xbf---\r\ndescription: x\r\n---\r\nOne\r\nTwo\r\n")
    assert read_prompt(file).body == "One\nTwo"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "must begin with a front matter"),
        ("Just text", "must begin with a front matter"),
        ("---\ndescription: x\nno end", "must begin with a front matter"),
        ("---\ndescription: x\n---\n  \n", "no text below"),
        ("---\nkind: question\n---\nx", "description is missing"),
        ("---\ndescription: [a]\n---\nx", "description must be text"),
        ("---\ndescription: x\ncolour: red\n---\nx", "'colour' is unknown in the front matter"),
        ("---\ndescription: x\ndescription: y\n---\nx", "'description' stands twice"),
        ("---\ndescription: x\nname: Not Good\n---\nx", "a to z, 0 to 9"),
        ("---\ndescription: x\nname: ../../etc\n---\nx", "a to z, 0 to 9"),
        ("---\ndescription: x\nkind: spell\n---\nx", "kind must be question or persona"),
        ("---\ndescription: 'x\n---\nx", "not YAML"),
        ("---\n- a\n- b\n---\nx", "must be a table"),
        ("---\n? [a]\n: b\n---\nx", "is not text"),
        ("---\ndescription: x\nvariables: [a]\n---\nx", "variables must be a table"),
        ("---\ndescription: x\nvariables: {A-b: y}\n---\nx", "cannot be a variable"),
        ("---\ndescription: x\nvariables: {loop: y}\n---\nx", "cannot be a variable"),
        ("---\ndescription: x\nvariables: {a: {typ: y}}\n---\nx", "'typ' is unknown"),
        ("---\ndescription: x\nvariables: {a: {default: z, choices: [y]}}\n---\nx", "of its choi"),
        ("---\ndescription: x\nsettings: {temperature: 9}\n---\nx", "from 0 to 2"),
        ("---\ndescription: x\nsettings: {temperature: .nan}\n---\nx", "from 0 to 2"),
        ("---\ndescription: x\nsettings: {model: big}\n---\nx", "'model' is no setting of"),
        ("---\ndescription: x\nsettings: {system_prompt: big}\n---\nx", "is no setting of"),
        ("---\ndescription: x\nkind: persona\nsettings: {top_k: 1}\n---\nx", "has no settings"),
        ("---\ndescription: x\nkind: persona\nvariables: {input: q}\n---\nx", "has no variable"),
        ("---\ndescription: x\nexamples: [{input: a}]\n---\nx", "has no output"),
        ("---\ndescription: x\nexamples: [{input: a => b, output: c}]\n---\nx", "=>"),
        ("---\ndescription: x\nexamples: a\n---\nx", "examples must be a list"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, said: str) -> None:
    assert said in refusal(tmp_path, text)


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{{ missing }}", "'missing', which is no variable"),
        ("{{ examples }}", "'examples', which is no variable"),
        ("{% for e in examples %}{{ e.input }}{% endfor %}", "has none"),
        ("{{ input ", "is no template"),
        ("{% while 1 %}", "is no template"),
        ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "calls"),
        ("{{ input.__class__ }}", "a dot may follow"),
        ("{{ input['__class__'] }}", "subscripts"),
        ("{{ self.__init__.__globals__ }}", "a dot may follow"),
        ("{{ self }}", "no variable"),
        ("{{ cycler }}", "no variable"),
        ("{{ lipsum.__globals__.os.popen('id').read() }}", "calls"),
        ("{{ input|attr('__class__') }}", "no filter 'attr'"),
        ("{{ input|map('upper') }}", "no filter 'map'"),
        ("{{ input|trim('x') }}", "takes no arguments"),
        ("{{ input|tojson|tojson|tojson|tojson }}", "filters follow one another"),
        ("{% for i in range(10**9) %}{% endfor %}", "the one loop is"),
        ("{% for i in [1, 2, 3] %}x{% endfor %}", "the one loop is"),
        ("{% for c in input recursive %}{{ loop(c) }}{% endfor %}", "the one loop is"),
        ("{{ 'a' * 10**10 }}", "Mul"),
        ("{{ 9**9**9 }}", "Pow"),
        ("{{ input ~ input }}", "Concat"),
        ("{% set x = input %}", "{% set %}"),
        ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "uses"),
        ("{% include '/etc/passwd' %}", "{% include %}"),
        ("{% extends 'x' %}", "{% extends %}"),
        ("{% import 'os' as os %}", "{% import %}"),
        ("{% filter upper %}x{% endfilter %}", "{% filter %}"),
        ("{% call input() %}x{% endcall %}", "{% call %}"),
        ("{{ input is defined }}", "tests"),
        ("{{ 1" + "0" * 5000 + " }}", "nested too deeply, or holds too long a number"),
        ("{{ " + "(" * 20000 + "1" + ")" * 20000 + " }}", "nested too deeply"),
        ("{{ " + "not " * 10000 + "1 }}", "nested too deeply"),
        ("{% if input %}" * 40 + "x" + "{% endif %}" * 40, "too deeply nested"),
        ("{{ input }}" * 5000, "too long"),
        ("{{ input" + "|upper" * 5000 + " }}", "filters follow one another"),
    ],
)
def test_a_template_may_do_little(tmp_path: Path, template: str, said: str) -> None:
    started = time.monotonic()
    assert said in refusal(tmp_path, HEAD + template)
    assert time.monotonic() - started < 5


def test_a_loop_in_a_loop_is_refused(tmp_path: Path) -> None:
    head = "---\ndescription: x\nexamples: [{input: a, output: b}]\n---\n"
    inner = "{% for b in examples %}x{% endfor %}"
    text = f"{head}{{% for a in examples %}}{inner}{{% endfor %}}"
    assert "a loop in a loop" in refusal(tmp_path, text)
    text = f"{head}{{% for a in examples %}}x{{% else %}}{inner}{{% endfor %}}"
    assert "a loop in a loop" in refusal(tmp_path, text)
    assert "a dot may follow" in refusal(
        tmp_path, head + "{% for a in examples %}{{ a.items }}{% endfor %}"
    )


def test_laughing_aliases_and_tags(tmp_path: Path) -> None:
    laughs = "\n".join(
        f"{b}: &{b} [*{a},*{a},*{a},*{a},*{a},*{a},*{a},*{a},*{a}]"
        for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    )
    text = f"---\na: &a [lol]\n{laughs}\n---\nx"
    assert "aliases" in refusal(tmp_path, text)
    assert "aliases" in refusal(tmp_path, "---\nvariables: &v {input: *v}\n---\nx")
    ran = tmp_path / "ran"
    tag = f"!!python/object/apply:os.system ['touch {ran}']"
    assert "must be text" in refusal(tmp_path, f"---\ndescription: {tag}\n---\nx")
    assert not ran.exists()


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? "])
def test_deep_nesting(tmp_path: Path, opening: str) -> None:
    started = time.monotonic()
    said = refusal(tmp_path, f"---\ndescription: {opening * 9000}\n---\nx")
    assert "YAML" in said or "nested" in said
    assert time.monotonic() - started < 10


def test_control_sequences_are_cleaned_out(tmp_path: Path) -> None:
    prompt = read_prompt(
        write(
            tmp_path,
            '---\ndescription: "\\e]52;c;aGFjaw==\\aNice"\n'
            'variables: {input: "\\x9b31mred"}\n---\n'
            "\x1b[2Jraw {{ '\\x1b[31m' }} {{ input }}\u202e",
        )
    )
    assert prompt.description == "Nice"
    assert prompt.variables[0].description == "red"
    assert prompt.fill({"input": "\x1b]0;title\x07hello"}).text == "raw  hello"


def test_long_output_is_refused(tmp_path: Path) -> None:
    prompt = body(tmp_path, "{{ input }}" * 10)
    with pytest.raises(PromptError, match=f"longer than {MAX_RENDERED_CHARS:,}"):
        prompt.fill({"input": "x" * (MAX_RENDERED_CHARS // 5)})
    with pytest.raises(PromptUsageError, match="input is longer"):
        prompt.fill({"input": "x" * (MAX_RENDERED_CHARS + 1)})


def test_what_is_no_small_regular_file(tmp_path: Path) -> None:
    own = config_dir() / "prompts"
    good = "---\ndescription: x\n---\nGood"
    write(own, good, "good.md")
    secret = write(tmp_path, good, "secret.md")
    (own / "out.md").symlink_to(secret)
    (own / "in.md").symlink_to(own / "good.md")
    (own / "self.md").symlink_to(own / "self.md")
    (own / "gone.md").symlink_to(own / "nowhere.md")
    (own / "folder.md").mkdir()
    os.mkfifo(own / "pipe.md")
    (own / "big.md").write_bytes(b"---\n" + b"x" * 10_000_000)
    (own / "binary.md").write_bytes(b"---\ndescription: \xff\n---\nx")
    (own / "zero.md").symlink_to("/dev/zero")
    library = load_library()
    assert {"good", "in"} <= set(library.prompts)
    assert not {"out", "self", "gone", "folder", "pipe", "big", "binary"} & set(library.prompts)
    reasons = {Path(p.split()[2]).name: p.split(": ", 1)[1] for p in library.problems}
    assert sorted(reasons) == [
        "big.md",
        "binary.md",
        "folder.md",
        "gone.md",
        "out.md",
        "pipe.md",
        "self.md",
        "zero.md",
    ]
    assert reasons["out.md"] == reasons["zero.md"] == "it leads out of its folder."
    assert "larger than 64 KiB" in reasons["big.md"]
    assert "not a regular file" in reasons["pipe.md"]
    assert "UTF-8" in reasons["binary.md"]


def test_ones_own_prompt_replaces_a_shipped_one_unless_it_is_broken() -> None:
    own = config_dir() / "prompts"
    write(own, "---\ndescription: Mine\n---\nMine", "summary.md")
    write(own, "---\ndescription: Broken\n---\n{{", "plain.md")
    write(own, "---\ndescription: Again\nname: summary\n---\nAgain", "zz.md")
    library = load_library()
    assert library.get("summary").body == "Mine"
    assert library.get("PLAIN").body.startswith("{{ input }}")
    assert len(library.problems) == 2
    assert "summary.md has the same name" in library.problems[1]
    with pytest.raises(PromptUsageError, match="There is no prompt 'x'; there are chain-of-"):
        library.get("x")


@given(st.lists(st.builds(Example, *[st.text(st.characters(exclude_categories=["C"]))] * 2)))
def test_examples_survive_being_edited_as_text(examples: list[Example]) -> None:
    stripped = tuple(Example(e.input.strip().replace("=>", ""), e.output.strip()) for e in examples)
    stripped = tuple(Example(e.input.strip(), e.output) for e in stripped if "=>" not in e.input)
    assert parse_examples(format_examples(stripped)) == stripped


@given(st.text())
def test_any_file_is_read_or_refused(text: str) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        refused = ""
        file = Path(folder) / "any.md"
        file.write_bytes(("---\n" + text).encode("utf-8", "surrogatepass"))
        try:
            read_prompt(file)
        except PromptError as error:
            refused = str(error)
        assert is_safe(refused)

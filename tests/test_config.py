import fcntl
import os
import stat
import threading
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chatbot.config
from chatbot.config import Config, load_config, save_settings
from chatbot.errors import ConfigError
from chatbot.settings import SPECS, KnowledgeFolder, Settings, get_value, with_value
from chatbot.terminal_text import is_safe

ALL_NAMES = [*(spec.name for spec in SPECS), "theme"]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


def changed(**values: str) -> Settings:
    result = Settings()
    for name, text in values.items():
        result = with_value(result, name, text)
    return result


def test_no_file_is_all_defaults(file: Path) -> None:
    assert load_config(file) == Config()


def test_round_trip(tmp_path: Path) -> None:
    file = tmp_path / "new" / "folder" / "config.toml"
    settings = changed(
        temperature="0.35",
        seed="42",
        top_k="0",
        system_prompt='Two "lines"\nwith \\ and é',
        model="org/name",
        precision="bf16",
        max_history="3",
    )
    save_settings(settings, ALL_NAMES, file)
    assert load_config(file) == Config(settings=settings)


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ('thinking = "off"', "off"),
        ("thinking = false", "off"),
        ("thinking = true", "on"),
        ("", "auto"),
    ],
)
def test_thinking_is_written_as_a_word_or_a_truth(file: Path, line: str, value: str) -> None:
    file.write_text(line)
    config = load_config(file)
    assert (config.settings.thinking, config.problems) == (value, ())
    save_settings(config.settings, ["thinking"], file)
    assert load_config(file).settings.thinking == value


def test_a_truth_where_a_text_belongs_is_named(file: Path) -> None:
    file.write_text("system_prompt = true\nthinking = 3\n")
    assert len(load_config(file).problems) == 2


@settings(max_examples=50)
@given(
    st.floats(0, 2),
    st.none() | st.integers(0, 2**32 - 1),
    st.text(st.characters(exclude_categories=["C", "Zl", "Zp"], include_characters="\n\t")),
)
def test_any_values_survive_the_round_trip(
    tmp_path: Path, temperature: float, seed: int | None, prompt: str
) -> None:
    file = tmp_path / "config.toml"
    values = changed(temperature=repr(temperature), seed=str(seed).lower(), system_prompt=prompt)
    save_settings(values, ALL_NAMES, file)
    assert load_config(file) == Config(settings=values)


def test_comments_order_and_unknown_entries_stay(file: Path) -> None:
    text = (
        "# mine\nmodel = 'a'   # why\nunknown = 1\n\n[keys]\nquit = 'f9' # k\n\n"
        "[sampling]\n# warm\ntemperature = 0.5\n"
    )
    file.write_text(text)
    save_settings(changed(model="b", temperature="0.9"), ["model", "temperature"], file)
    expected = text.replace("'a'", '"b"').replace("0.5", "0.9")
    assert file.read_text() == expected


def test_only_the_named_settings_are_written(file: Path) -> None:
    save_settings(changed(temperature="0.1", top_p="0.5"), ["top_p"], file)
    assert file.read_text() == "[sampling]\ntop_p = 0.5\n"


def test_a_default_is_taken_out_again(file: Path) -> None:
    save_settings(changed(top_p="0.5", max_history="2"), ["top_p", "max_history"], file)
    save_settings(Settings(), ["top_p", "max_history"], file)
    assert file.read_text().strip() == ""


def test_a_random_seed_replaces_a_set_one(file: Path) -> None:
    save_settings(changed(seed="5"), ["seed"], file)
    save_settings(changed(seed="random"), ["seed"], file)
    assert load_config(file).settings.sampling.seed is None


def test_an_unchanged_file_is_not_touched(file: Path) -> None:
    file.write_text("model = 'a'\n")
    before = file.stat()
    save_settings(changed(model="a"), ["model"], file)
    after = file.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.parametrize(
    "content",
    [b"model = ", b"\xff", b"model = 1\nmodel = 2", b"\x00", b"a = [" + b"[" * 5000],
    ids=["syntax", "encoding", "twice", "control", "deep"],
)
def test_a_broken_file_is_named_and_never_written_over(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    config = load_config(file)
    assert config.settings == Settings()
    assert len(config.problems) == 1
    assert str(file) in config.problems[0]
    assert is_safe(config.problems[0])
    with pytest.raises(ConfigError, match="could not be saved"):
        save_settings(changed(model="b"), ["model"], file)
    assert file.read_bytes() == content


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("colour = 1", "colour"),
        ("[sampling]\nheat = 1", "[sampling] heat"),
        ("temperature = 0.5", "temperature"),
        ("[sampling]\nmodel = 'x'", "[sampling] model"),
        ("[sampling]\ntemperature = 3", "a number from 0 to 2"),
        ("[sampling]\ntemperature = nan", "a number from 0 to 2"),
        ("[sampling]\ntop_k = true", "number or text"),
        ("[sampling]\ntop_k = [1]", "number or text"),
        ("system_prompt = 3", "write it in quotes"),
        ("precision = 8", "write it in quotes"),
        ("sampling = 1", "[sampling]"),
        ("keys = 1", "[keys]"),
        ("[keys]\nquit = 1", "[keys] quit"),
        ("theme = 1", "theme"),
        ("[other]\nx = 1", "other"),
        ('"\\u001b]52;c;x\\u0007\\u202e" = 1', "is not used"),
        ("temprature = 1", "There is no setting 'temprature'; /set lists them."),
    ],
)
def test_a_wrong_entry_is_named_and_the_others_are_used(file: Path, text: str, named: str) -> None:
    file.write_text(f"max_history = 4\n{text}\n")
    config = load_config(file)
    assert config.settings == changed(max_history="4")
    assert len(config.problems) == 1
    assert named in config.problems[0]
    assert str(file) in config.problems[0]
    assert is_safe(config.problems[0])


def test_control_characters_are_cleaned_out(file: Path) -> None:
    file.write_text(
        'system_prompt = "a\\u001b]52;c;x\\u0007b\\nc"\ntheme = "n\\u202eight"\n'
        '[keys]\nquit = "f\\u001b[31m9"\n'
    )
    config = load_config(file)
    assert config.settings.system_prompt == "ab\nc"
    assert config.settings.theme == "night"
    assert config.keys == {"quit": "f9"}
    assert config.problems == ()


def test_numbers_may_be_written_as_text(file: Path) -> None:
    file.write_text("[sampling]\nseed = 'random'\ntop_k = '7'\n")
    config = load_config(file)
    assert get_value(config.settings, "top_k") == 7
    assert config.problems == ()


def test_a_linked_file_stays_a_link(tmp_path: Path) -> None:
    target = tmp_path / "dotfiles" / "chatbot.toml"
    target.parent.mkdir()
    target.write_text("# kept\n")
    link = tmp_path / "config.toml"
    link.symlink_to(target)
    save_settings(changed(model="b"), ["model"], link)
    assert link.is_symlink()
    assert target.read_text() == '# kept\nmodel = "b"\n'


def test_permissions_stay(file: Path) -> None:
    file.write_text("# shared\n")
    file.chmod(0o640)
    save_settings(changed(model="b"), ["model"], file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o640


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "in-the-way").write_text("")
    with pytest.raises(ConfigError, match="could not be saved"):
        save_settings(changed(model="b"), ["model"], tmp_path / "in-the-way" / "config.toml")


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only for root")
def test_a_read_only_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(ConfigError, match="could not be saved"):
        save_settings(changed(model="b"), ["model"], tmp_path / "config.toml")
    tmp_path.chmod(0o700)


def test_a_full_disk_leaves_the_old_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text("model = 'a'\n")

    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(ConfigError, match="No space left"):
        save_settings(changed(model="b"), ["model"], file)
    assert file.read_text() == "model = 'a'\n"
    assert [path for path in file.parent.iterdir() if path.suffix != ".lock"] == [file]


def test_of_two_changes_at_one_moment_both_are_kept(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another program changes the file after it was read here, and before it is written."""
    replace = chatbot.config._replace
    others: list[threading.Thread] = []

    def write_late(target: Path, text: str) -> None:
        if not others:
            values = changed(temperature="0.1")
            others.append(
                threading.Thread(target=save_settings, args=(values, ["temperature"], file))
            )
            others[0].start()
            others[0].join(0.1)  # without a lock it is done by then
        replace(target, text)

    monkeypatch.setattr("chatbot.config._replace", write_late)
    save_settings(changed(model="b"), ["model"], file)
    others[0].join()
    assert load_config(file).settings == changed(model="b", temperature="0.1")


def test_a_file_that_another_program_keeps_locked(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text("model = 'a'\n")
    monkeypatch.setattr("chatbot.config.LOCK_SECONDS", 0.05)
    with (file.parent / ".config.toml.lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        save_settings(changed(model="a"), ["model"], file)  # nothing is to be written
        with pytest.raises(ConfigError, match=r"another chatbot is changing them; try again\.$"):
            save_settings(changed(model="b"), ["model"], file)
    save_settings(changed(model="b"), ["model"], file)
    assert load_config(file).settings.model == "b"


def test_a_change_that_changes_nothing_makes_no_file(tmp_path: Path) -> None:
    file = tmp_path / "new" / "config.toml"
    save_settings(Settings(), ALL_NAMES, file)
    assert list(tmp_path.iterdir()) == []


def test_a_table_in_place_of_a_setting(file: Path) -> None:
    file.write_text("sampling = 3\n")
    with pytest.raises(ConfigError):
        save_settings(changed(temperature="0.1"), ["temperature"], file)
    assert file.read_text() == "sampling = 3\n"


FOLDERS_FILE = """\
# top
[knowledge]
# mine
folders = [
    "manual",   # the book
    "~/notes",  # daily
    "~/x",
]
off = ["~/x"]
"""


def with_folders(*folders: KnowledgeFolder) -> Settings:
    return msgspec.structs.replace(Settings(), folders=folders)


def test_folders_are_read_and_written_among_their_comments(file: Path) -> None:
    file.write_text(FOLDERS_FILE)
    manual, notes = KnowledgeFolder("manual"), KnowledgeFolder("~/notes")
    config = load_config(file)
    assert config.settings == with_folders(manual, notes, KnowledgeFolder("~/x", is_on=False))
    assert config.problems == ()
    changed = with_folders(manual, KnowledgeFolder("~/notes", is_on=False), KnowledgeFolder("/n"))
    save_settings(changed, ["folders"], file)
    expected = FOLDERS_FILE.replace('    "~/x",\n', '    "/n",\n').replace('["~/x"]', '["~/notes"]')
    assert file.read_text() == expected
    assert load_config(file).settings == changed
    save_settings(Settings(), ["folders"], file)
    assert file.read_text() == "# top\n[knowledge]\n# mine\n"


@pytest.mark.parametrize(
    "folders",
    [(), (KnowledgeFolder("b"), KnowledgeFolder("manual")), (KnowledgeFolder("manual", False),)],
)
def test_any_folders_survive_the_round_trip(
    file: Path, folders: tuple[KnowledgeFolder, ...]
) -> None:
    save_settings(with_folders(*folders), ["folders"], file)
    assert load_config(file) == Config(settings=with_folders(*folders))
    save_settings(Settings(), ["folders"], file)
    assert file.read_text() == ""


@pytest.mark.parametrize(
    ("text", "problem", "paths"),
    [
        ("knowledge = 3", "knowledge in {} must be a table", ["manual"]),
        ("[knowledge]\nfolders = 'a'", "[knowledge] folders in {} must be a list", ["manual"]),
        ("[knowledge]\nfolders = ['a', 1]", "'1' is not a folder's path", ["a"]),
        ("[knowledge]\nfolders = ['a', ' ']", "'' is not a folder's path", ["a"]),
        ('[knowledge]\nfolders = ["a", "b\\u001b[2J"]', "'b' is not a folder's path", ["a"]),
        ("[knowledge]\nfolders = ['a', 'a']", "has a twice", ["a"]),
        ("[knowledge]\noff = ['b']", "off in {} names b, which is not", ["manual"]),
        ("[knowledge]\nfoldres = ['b']", "foldres in {} is not used", ["manual"]),
    ],
)
def test_what_is_wrong_with_folders_is_named(
    file: Path, text: str, problem: str, paths: list[str]
) -> None:
    file.write_text(text)
    config = load_config(file)
    assert [folder.path for folder in config.settings.folders] == paths
    assert len(config.problems) == 1
    assert problem.format(file) in config.problems[0]
    assert is_safe(config.problems[0])


def test_the_folders_that_models_are_kept_in(file: Path) -> None:
    assert load_config(file).model_folders == ("~/models",)
    file.write_text('[models]\nfolders = ["/data/models", "~/gguf", "~/gguf", 3]\nfolder = "x"\n')
    config = load_config(file)
    assert config.model_folders == ("/data/models", "~/gguf")
    assert [problem.split(" in ")[0] for problem in config.problems] == [
        "[models] folder",
        "[models] folders",
        "[models] folders",
    ]
    file.write_text("[models]\nfolders = []\n")
    assert load_config(file).model_folders == ()


def test_the_mark_that_editors_put_before_utf_8_is_no_part_of_the_settings(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbf# mine\r\nmax_history = 3\r\n")
    assert load_config(file) == Config(settings=changed(max_history="3"))
    save_settings(changed(max_history="4"), ["max_history"], file)
    assert load_config(file) == Config(settings=changed(max_history="4"))
    assert file.read_bytes() == b"# mine\r\nmax_history = 4\r\n"


@pytest.mark.timeout(10)
@pytest.mark.parametrize("kind", ["pipe", "endless", "folder", "loop"])
def test_what_is_no_regular_file_is_named_and_left_alone(file: Path, kind: str) -> None:
    match kind:
        case "pipe":
            os.mkfifo(file)
        case "endless":
            file.symlink_to("/dev/zero")
        case "folder":
            file.mkdir()
        case "loop":
            file.symlink_to(file.name)
    config = load_config(file)
    assert config.settings == Settings()
    assert len(config.problems) == 1
    assert "cannot be read" in config.problems[0]
    with pytest.raises(ConfigError, match="could not be saved"):
        save_settings(changed(max_history="4"), ["max_history"], file)

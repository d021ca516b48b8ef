import os
import socket
import subprocess
import time
from pathlib import Path

import pytest

from chatbot.errors import KnowledgeError
from chatbot.retrieval.documents import walking
from chatbot.retrieval.documents.walking import walk
from chatbot.terminal_text import is_safe


def files(folder: Path) -> list[str]:
    return [found.file for found in walk(folder) if not found.problem]


def problems(folder: Path) -> dict[str, str]:
    return {found.file: found.problem for found in walk(folder) if found.problem}


def put(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("text")


def test_finds_files_at_every_depth_in_one_order(tmp_path: Path) -> None:
    put(tmp_path, "b.md", "a/z.md", "a/b/c.md", "c.md", "a.md")
    found = list(walk(tmp_path))
    assert [f.file for f in found] == ["a.md", "b.md", "c.md", "a/z.md", "a/b/c.md"]
    status = (tmp_path / "a.md").stat()
    assert (found[0].num_bytes, found[0].modified_ns) == (4, status.st_mtime_ns)


def test_leaves_out_what_no_user_wrote(tmp_path: Path) -> None:
    put(
        tmp_path,
        *(".git/config", ".venv/x.py", "node_modules/m/readme.md", "__pycache__/x.py"),
        *(".hidden.md", "notes.md~", "#notes.md#", "~$report.docx", "x.swp", "Thumbs.db"),
        "kept/node.md",
    )
    assert [found.file for found in walk(tmp_path)] == ["kept/node.md"]


def test_lists_what_cannot_be_read_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, "photo.JPG", "old.doc", "hours.numbers", "tool.exe")
    (tmp_path / "empty.md").touch()
    with (tmp_path / "huge.txt").open("wb") as file:
        file.truncate(16 * 2**20 + 1)
    with (tmp_path / "huge.pdf").open("wb") as file:
        file.truncate(64 * 2**20 + 1)
    with (tmp_path / "large.pdf").open("wb") as file:
        file.truncate(64 * 2**20)
    os.mkfifo(tmp_path / "pipe.txt")
    monkeypatch.chdir(tmp_path)  # a socket's path may be 100 characters long only
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.txt")
        found = problems(tmp_path)
    assert found == {
        "empty.md": "The file is empty.",
        "huge.pdf": "The file is larger than 64 MiB, which is the limit for its kind; "
        "split it to have it read.",
        "huge.txt": "The file is larger than 16 MiB, which is the limit for its kind; "
        "split it to have it read.",
        "old.doc": "Files of the kind .doc are not read; save it as .docx, .pdf or .txt.",
        "hours.numbers": "Files of the kind .numbers are not read; save it as .xlsx or .csv.",
        "photo.JPG": "This is a picture, which holds no text.",
        "pipe.txt": "This is a pipe, which is never opened.",
        "socket.txt": "This is a socket, which is never opened.",
        "tool.exe": "This is a program, which holds no text.",
    }
    assert files(tmp_path) == ["large.pdf"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_lists_what_may_not_be_read(tmp_path: Path) -> None:
    put(tmp_path, "a.md", "closed/b.md")
    (tmp_path / "a.md").chmod(0)
    (tmp_path / "closed").chmod(0)
    try:
        found = problems(tmp_path)
    finally:
        (tmp_path / "closed").chmod(0o700)
    assert found == {
        "a.md": "You may not read it; change its permissions (chmod u+r).",
        "closed": "You may not open this folder; change its permissions (chmod u+rx).",
    }


def test_a_link_that_leads_out_is_a_problem(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "in-reality-out"
    put(inside, "a.md")
    put(outside, "secret.md", "sub/secret.md")
    (inside / "link.md").symlink_to(outside / "secret.md")
    (inside / "folder").symlink_to(outside / "sub")
    (inside / "up").symlink_to("..")
    (inside / "absolute").symlink_to("/etc")
    (inside / "by-way-of").symlink_to(inside / "up" / "in-reality-out")
    assert files(inside) == ["a.md"]
    out = "This link leads out of the folder; add the folder that it leads to instead."
    assert problems(inside) == dict.fromkeys(
        ("absolute", "by-way-of", "folder", "link.md", "up"), out
    )


def test_a_link_within_counts_nothing_twice_and_makes_no_loop(tmp_path: Path) -> None:
    put(tmp_path, "a.md", "sub/b.md", ".store/c.md", ".store/d/e.md")
    (tmp_path / "copy.md").symlink_to("a.md")
    (tmp_path / "sub" / "back").symlink_to(tmp_path)
    (tmp_path / "self").symlink_to("self")
    (tmp_path / "gone").symlink_to("nowhere")
    (tmp_path / "visible").symlink_to(".store")
    (tmp_path / "visible-too").symlink_to(".store")
    (tmp_path / ".store" / "loop").symlink_to(tmp_path / "visible")
    assert files(tmp_path) == ["a.md", "sub/b.md", "visible/c.md", "visible/d/e.md"]
    nowhere = "This link leads nowhere; remove it or mend it."
    assert problems(tmp_path) == {"gone": nowhere, "self": nowhere}


def test_the_folder_itself_may_be_a_link(tmp_path: Path) -> None:
    put(tmp_path, "real/a.md")
    (tmp_path / "link").symlink_to("real")
    assert files(tmp_path / "link") == ["a.md"]


def test_hostile_names_are_spelt_out_and_unlike_one_another(tmp_path: Path) -> None:
    root = os.fsencode(tmp_path)
    hostile = (b"\xff.md", b"\x1b]52;c;aGk=\x07.md", b"two\nlines.md", b"\xe2\x80\xae.md")
    for name in (*hostile, b"\\udcff.md", "schön ☃.md".encode()):
        with open(os.path.join(root, name), "w") as file:
            file.write("text")
    os.mkdir(os.path.join(root, b"\xfe"))
    found = list(walk(tmp_path))
    assert {f.file for f in found if f.problem} == {
        "\\udcff.md?",
        "\\x1b]52;c;aGk=\\x07.md",
        "two\\nlines.md",
        "\\u202e.md",
        "\\udcfe",
    }
    assert files(tmp_path) == ["\\udcff.md", "schön ☃.md"]
    assert all(is_safe(f.file) and f.file.encode() for f in found)


def test_thousands_of_folders_within_one_another(tmp_path: Path) -> None:
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(1500):  # past both the recursion limit and, from the root, a path's length
        os.mkdir("dd", dir_fd=here)
        below = os.open("dd", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open("x.md", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)
    try:
        ((file, problem),) = problems(tmp_path).items()
    finally:
        subprocess.run(["rm", "-rf", tmp_path / "dd"], check=True)  # too deep for shutil
    assert file.startswith("dd/dd/")
    assert "too long" in problem


def test_no_folder_is_an_error_of_its_own(tmp_path: Path) -> None:
    put(tmp_path, "a.md")
    for folder in (tmp_path / "none", tmp_path / "a.md", tmp_path / "a\0b"):
        with pytest.raises(KnowledgeError, match="cannot be read"):
            walk(folder)


def test_ten_thousand_files_take_well_under_two_seconds(tmp_path: Path) -> None:
    for index in range(10_000):
        folder = tmp_path / str(index % 100)
        if index < 100:
            folder.mkdir()
        os.close(os.open(folder / f"{index}.md", os.O_CREAT | os.O_WRONLY))
    start = time.perf_counter()
    assert sum(1 for _ in walk(tmp_path)) == 10_000
    assert time.perf_counter() - start < 2


def test_an_error_in_mid_walk_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "a/x.md", "b/y.md")
    real = os.scandir

    def scandir(path: str) -> object:
        if path.endswith("a/"):
            raise FileNotFoundError(2, "No such file or directory")
        return real(path)

    monkeypatch.setattr(walking.os, "scandir", scandir)
    assert files(tmp_path) == ["b/y.md"]
    assert problems(tmp_path) == {"a": "It cannot be read (no such file or directory)."}


def test_what_the_user_leaves_out_is_ignored_as_git_would(tmp_path: Path) -> None:
    put(tmp_path, "a.log", "sub/b.log", "kept.log", "drafts/x.md", "sub/drafts/y.md", "top.md")
    put(tmp_path, "sub/top.md", "café.md")
    (tmp_path / ".chatbotignore").write_text(
        "# what nobody asks about\n*.log\n!kept.log\n/drafts/\n/top.md\n\ncafé.md\n"
    )
    assert files_in_force(tmp_path) == ["kept.log", "sub/drafts/y.md", "sub/top.md"]
    ignored = sorted(found.file for found in walk(tmp_path) if found.is_ignored)
    assert ignored == ["a.log", "café.md", "drafts", "sub/b.log", "top.md"]
    assert problems(tmp_path) == {}


def test_gitignore_files_hold_below_them_and_the_nearest_has_the_last_word(tmp_path: Path) -> None:
    put(tmp_path, "a.log", "build/x.md", "src/build/y.md", "src/kept.log", "src/z.md", "docs/build")
    put(tmp_path, "src/deep/z.md", "src/deep/w.md", "top.md", "src/top.md")
    (tmp_path / ".gitignore").write_text("*.log\nbuild/\n/top.md\n")
    (tmp_path / "src" / ".gitignore").write_text("!kept.log\n/z.md\ndeep/w.md\n")
    kept = ["docs/build", "src/deep/z.md", "src/kept.log", "src/top.md"]
    assert files_in_force(tmp_path) == kept
    ignored = sorted(found.file for found in walk(tmp_path) if found.is_ignored)
    assert ignored == ["a.log", "build", "src/build", "src/deep/w.md", "src/z.md", "top.md"]
    assert problems(tmp_path) == {}


def test_of_a_folder_in_a_repository_the_files_above_hold_as_git_has_it(tmp_path: Path) -> None:
    put(tmp_path, "repo/docs/a.log", "repo/docs/b.md", "repo/docs/build/c.md", "repo/docs/sub/d.md")
    put(tmp_path, "repo/built/docs/e.log", "repo/docs/kept.log")
    (tmp_path / ".gitignore").write_text("*\n")  # of no repository, or of another one
    (tmp_path / "repo" / ".gitignore").write_text("*.log\nbuild/\n/built/\n/docs/sub/d.md\n/b.md\n")
    docs = tmp_path / "repo" / "docs"
    (docs / ".gitignore").write_text("!kept.log\n")
    everything = ["a.log", "b.md", "build/c.md", "kept.log", "sub/d.md"]
    assert files_in_force(docs) == everything
    (tmp_path / "repo" / ".git").mkdir()
    assert files_in_force(docs) == ["b.md", "kept.log"]
    # Whoever chooses a folder that git leaves out means what is in it.
    assert files_in_force(tmp_path / "repo" / "built" / "docs") == ["e.log"]
    (docs / ".chatbotignore").write_text("!*\n")
    assert files_in_force(docs) == everything
    (docs / ".chatbotignore").unlink()
    (docs / ".git").write_text("gitdir: elsewhere")  # a repository of its own
    assert files_in_force(docs) == everything


def test_chatbotignore_has_the_last_word_over_git(tmp_path: Path) -> None:
    put(tmp_path, "a.log", "build/x.md", "b.md", "sub/c.log")
    (tmp_path / ".gitignore").write_text("*.log\nbuild/\n")
    (tmp_path / "sub").joinpath(".gitignore").write_text("c.*\n")
    (tmp_path / ".chatbotignore").write_text("!build/\nb.md\n")
    assert files_in_force(tmp_path) == ["build/x.md"]
    (tmp_path / ".chatbotignore").write_text("!*\nb.md\n")
    assert files_in_force(tmp_path) == ["a.log", "build/x.md", "sub/c.log"]


def test_a_list_of_what_is_kept_keeps_it(tmp_path: Path) -> None:
    put(tmp_path, "a.md", "b.txt", "sub/c.md", "sub/d.txt", "drafts/e.md")
    (tmp_path / ".gitignore").write_text("*\n!*/\n!*.md\n")
    (tmp_path / ".chatbotignore").write_text("drafts/\n")
    assert files_in_force(tmp_path) == ["a.md", "sub/c.md"]
    (tmp_path / ".chatbotignore").write_text("!*\ndrafts/\n")
    assert files_in_force(tmp_path) == ["a.md", "b.txt", "sub/c.md", "sub/d.txt"]


def test_a_gitignore_that_cannot_be_used_is_told_of(tmp_path: Path) -> None:
    put(tmp_path, "a/b.md", "a/c/d.md")
    (tmp_path / ".gitignore").write_text("x\n" * 600)
    (tmp_path / "a" / ".gitignore").write_text("b.md\n" + "*a" * 40 + "b\n")
    (tmp_path / "a" / "c" / ".gitignore").write_text("d.md\n" * 600)
    assert files_in_force(tmp_path) == ["a/c/d.md"]
    found = problems(tmp_path)
    assert found["a/.gitignore"].startswith("Line 2 is no pattern")
    assert "more than 399 lines" in found["a/c/.gitignore"]  # in one place 1,000 hold at most


def test_a_link_does_not_bring_in_what_is_left_out(tmp_path: Path) -> None:
    put(tmp_path, "drafts/x.md", "a.md")
    (tmp_path / "link.md").symlink_to(tmp_path / "drafts" / "x.md")
    (tmp_path / ".chatbotignore").write_text("drafts/\n")
    assert files_in_force(tmp_path) == ["a.md"]


def test_a_pattern_that_cannot_be_used_is_told_of_and_the_others_hold(tmp_path: Path) -> None:
    name = "a" * 200 + ".md"
    put(tmp_path, name, "b.log")
    (tmp_path / ".chatbotignore").write_text("*.log\n" + "*a" * 40 + "b\n!\n")
    began = time.perf_counter()
    assert files_in_force(tmp_path) == [name]
    assert time.perf_counter() - began < 1
    assert problems(tmp_path)[".chatbotignore"].startswith("Line 2 is no pattern")


def test_a_pattern_that_would_take_minutes_over_deep_folders_is_not_used(tmp_path: Path) -> None:
    name = "a/" * 60 + "c.md"
    put(tmp_path, name)
    (tmp_path / ".chatbotignore").write_text("**/b/**\n" + "**/a/" * 6 + "b/c\n")
    began = time.perf_counter()
    assert files_in_force(tmp_path) == [name]
    assert time.perf_counter() - began < 1
    assert problems(tmp_path)[".chatbotignore"].startswith("Line 2 is no pattern")


@pytest.mark.parametrize("kind", ["folder", "pipe", "link", "huge"])
def test_what_is_no_file_of_patterns_is_told_of_and_leaves_nothing_out(
    tmp_path: Path, kind: str
) -> None:
    put(tmp_path, "a.md", "other/patterns")
    place = tmp_path / ".chatbotignore"
    match kind:
        case "folder":
            place.mkdir()
        case "pipe":
            os.mkfifo(place)
        case "link":
            place.symlink_to(tmp_path / "other" / "patterns")
        case "huge":
            place.write_text("a.md\n" * 100_000)
    assert "a.md" in files_in_force(tmp_path)
    assert "nothing is left out" in problems(tmp_path)[".chatbotignore"]


def files_in_force(folder: Path) -> list[str]:
    return sorted(f.file for f in walk(folder) if not f.problem and not f.is_ignored)

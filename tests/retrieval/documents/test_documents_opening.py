import os
from pathlib import Path

import pytest

from chatbot.retrieval.documents import opening
from chatbot.retrieval.documents.document import DocumentError
from chatbot.retrieval.documents.opening import read_bytes
from chatbot.retrieval.documents.reading import read_document

LIMIT = 1000


def reason(folder: Path, file: str, limit: int = LIMIT) -> str:
    with pytest.raises(DocumentError) as caught:
        read_bytes(folder, file, limit)
    return str(caught.value)


def test_reads_a_file_and_follows_links_that_stay_inside(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.md").write_bytes(b"text")
    (tmp_path / "link.md").symlink_to("sub/a.md")
    (tmp_path / "folder").symlink_to("sub")
    (tmp_path / "root").symlink_to(tmp_path)
    for file in ("sub/a.md", "link.md", "folder/a.md"):
        assert read_bytes(tmp_path, file, LIMIT) == b"text"
    assert read_bytes(tmp_path / "root", "sub/a.md", LIMIT) == b"text"


def test_never_leaves_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (tmp_path / "secret.md").write_bytes(b"secret")
    (folder / "link.md").symlink_to(tmp_path / "secret.md")
    (folder / "up").symlink_to("..")
    assert "leads out of the folder" in reason(folder, "link.md")
    assert "leads out of the folder" in reason(folder, "up/secret.md")
    for file in ("../secret.md", "/etc/passwd", "a/../../secret.md", "", ".", "a//b"):
        assert reason(folder, file) == "Its path leads out of the folder."


@pytest.mark.parametrize("file", ["sub/a.md", "link.md"])
@pytest.mark.parametrize("call", ["open", "resolve"])
def test_what_is_exchanged_for_a_link_while_it_is_opened_leads_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, call: str
) -> None:
    folder, outside = tmp_path / "in", tmp_path / "out"
    for place, content in ((folder / "sub", b"public"), (outside, b"secret")):
        place.mkdir(parents=True)
        (place / "a.md").write_bytes(content)
    (folder / "link.md").symlink_to("sub/a.md")
    assert read_bytes(folder, file, LIMIT) == b"public"
    real_open, real_resolve = os.open, os.path.realpath

    def exchange() -> None:
        if not (folder / "sub").is_symlink():
            (folder / "sub").rename(tmp_path / "aside")
            (folder / "sub").symlink_to(outside)

    def slow_open(path: str, *args: int, **options: int) -> int:
        if path == "sub" and call == "open":
            exchange()
        return real_open(path, *args, **options)

    def slow_resolve(path: str, **options: bool) -> str:
        resolved = real_resolve(path, **options)
        if resolved.endswith("a.md"):
            exchange()
        return resolved

    monkeypatch.setattr(opening.os, "open", slow_open)
    if call == "resolve":
        monkeypatch.setattr(opening.os.path, "realpath", slow_resolve)
    if file == "sub/a.md" and call == "resolve":
        assert read_bytes(folder, file, LIMIT) == b"public"  # nothing had to be resolved
    else:
        with pytest.raises(DocumentError):
            read_bytes(folder, file, LIMIT)


def test_opens_nothing_but_regular_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    before = sorted(os.listdir("/dev/fd"))
    (tmp_path / "sub").mkdir()
    assert reason(tmp_path, "pipe") == "It is not a regular file, and is not read."
    assert reason(tmp_path, "sub") == "It is not a regular file, and is not read."
    (tmp_path / "null").symlink_to("/dev/null")
    assert "leads out" in reason(tmp_path, "null")
    assert sorted(os.listdir("/dev/fd")) == before


def test_says_why_there_is_nothing_to_read(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "large").write_bytes(b"x" * (LIMIT + 1))
    (tmp_path / "full").write_bytes(b"x" * LIMIT)
    assert reason(tmp_path, "gone") == "The file is no longer there."
    assert reason(tmp_path, "full/x") == "The file cannot be read (not a directory)."
    assert reason(tmp_path, "empty") == "The file is empty."
    assert "larger than" in reason(tmp_path, "large")
    assert len(read_bytes(tmp_path, "full", LIMIT)) == LIMIT
    assert "null" in reason(tmp_path, "a\0b")
    assert "too long" in reason(tmp_path, "x" * 300)


def test_a_file_of_the_wrong_kind_is_refused_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(b"text")
    with pytest.raises(DocumentError, match="picture"):
        read_document(tmp_path, "x.png")

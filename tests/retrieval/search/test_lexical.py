import math
import os
import resource
import shutil
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chatbot.errors import KnowledgeError
from chatbot.retrieval.lexical import (
    CONTEXT_WEIGHT,
    DamagedWordIndexError,
    LexicalEntry,
    LexicalIndex,
)
from chatbot.retrieval.words import find_terms


def make(folder: Path, *texts: str) -> LexicalIndex:
    index = LexicalIndex(folder, is_writer=True)
    index.add(LexicalEntry(id=number, text=text) for number, text in enumerate(texts))
    index.commit()
    return index


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> LexicalIndex:
    return make(tmp_path_factory.mktemp("words"), "alpha beta", "beta gamma", "東京大学")


def test_bm25_is_what_the_formula_says(tmp_path: Path) -> None:
    index = make(tmp_path, "cat cat dog", "dog bird fish fox owl", "cow", "hen")
    # idf = ln(1 + (4 - 1 + 0.5) / (1 + 0.5)); average length 10 / 4; k1 = 1.2, b = 0.75.
    idf = math.log(1 + 3.5 / 1.5)
    norm = 1.2 * (1 - 0.75 + 0.75 * 3 / 2.5)
    ((number, score),) = index.search("cat", 5)
    assert number == 0
    assert score == pytest.approx(idf * 2 * 2.2 / (2 + norm), rel=1e-5)
    ((_, halved),) = index.search("cat", 5, weights={"cat": 0.5})
    assert halved == pytest.approx(score / 2, rel=1e-5)
    assert index.count_passages_with(["dog", "cat", "emu"]) == {"dog": 2, "cat": 1, "emu": 0}


def test_equal_passages_come_by_id_whichever_came_first(tmp_path: Path) -> None:
    index = LexicalIndex(tmp_path, is_writer=True)
    for number in reversed(range(30)):  # a segment each, until tantivy merges some
        index.add([LexicalEntry(id=number, text="a cat" if number else "cat")])
        index.commit()
    assert [number for number, _ in index.search("cat", 5)] == [0, 1, 2, 3, 4]


def test_what_stands_above_a_passage_counts_less(tmp_path: Path) -> None:
    index = LexicalIndex(tmp_path, is_writer=True)
    index.add(
        [
            LexicalEntry(id=1, text="rivers", context="lakes"),
            LexicalEntry(id=2, text="lakes", context="rivers"),
        ]
    )
    index.commit()
    (first, best), (second, other) = index.search("rivers", 5)
    assert (first, second) == (1, 2)
    assert other == pytest.approx(CONTEXT_WEIGHT * best, rel=1e-5)


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("the top_p setting", "top-p"),
        ("the top-p setting", "topP"),
        ("set topP now", "top p"),
        ("set maxNewTokens", "max_new_tokens"),
        ("Häuser in Köln", "hauser koln"),
        ("Häuser in Köln", "HÄUSER"),
        ("running quickly", "runs"),
        ("version 3.14 of 2026", "3.14"),
        ("東京大学は日本の大学", "東京大学"),
        ("ภาษาไทยเขียนติดกัน", "ภาษาไทย"),
        ("भाषा हिन्दी है", "हिन्दी"),
        ("error E1234 in C++", "e1234"),
        ("ﬁle ﬁnder", "file"),
    ],
)
def test_spellings_find_each_other(tmp_path: Path, text: str, query: str) -> None:
    index = make(tmp_path, text, "something else altogether")
    assert [number for number, _ in index.search(query, 5)][:1] == [0]


def test_chinese_is_found_by_part_of_a_word(tmp_path: Path) -> None:
    index = make(tmp_path, "我们在东京吃饭", "他们在北京开会")
    assert [number for number, _ in index.search("东京", 5)] == [0]
    assert find_terms("东京都") == ["东京", "京都"]


@settings(max_examples=150)
@given(query=st.text(max_size=60))
@example(query='"')
@example(query="AND OR NOT (")
@example(query="text:* +- ^2 ~ [a TO b] \\")
@example(query="a" * 70_000)
@example(query="word " * 5000)
@example(query="\x00\ud800")
def test_any_text_is_a_query(shared: LexicalIndex, query: str) -> None:
    for number, score in shared.search(query, 3):
        assert 0 <= number < 3
        assert score > 0


def test_scores_of_given_passages_are_those_of_the_search(tmp_path: Path) -> None:
    index = make(tmp_path, "red fox", "red red wine", "blue sky", "red")
    found = dict(index.search("red fox", 10))
    some = index.score("red fox", [3, 0, 2, 99])
    assert some == pytest.approx({3: found[3], 0: found[0]})
    assert index.score("red", []) == {}


def test_the_terms_that_passages_have(tmp_path: Path) -> None:
    index = LexicalIndex(tmp_path, is_writer=True)
    index.add(
        [
            LexicalEntry(id=1, text="red foxes", context="woods"),
            LexicalEntry(id=2, text="red wine"),
            LexicalEntry(id=3, text="red red red"),
        ]
    )
    index.commit()
    terms = ["red", "fox", "wood", "absent"]
    assert index.find_terms_in([1, 2, 9], terms) == {
        1: {"red", "fox", "wood"},
        2: {"red"},
        9: set(),
    }
    assert index.find_terms_in([], terms) == {}


def test_passages_go_and_come(tmp_path: Path) -> None:
    index = make(tmp_path, *["word"] * 5)
    reader = LexicalIndex(tmp_path)
    index.delete([1, 3, 77])
    index.add([LexicalEntry(id=9, text="word")])
    assert len(reader.search("word", 10)) == 5
    index.commit()
    assert sorted(number for number, _ in index.search("word", 10)) == [0, 2, 4, 9]
    reader.reload()
    assert sorted(number for number, _ in reader.search("word", 10)) == [0, 2, 4, 9]
    assert reader.num_passages == 4
    index.clear()
    index.commit()
    assert index.search("word", 10) == []


def test_what_was_taken_out_is_not_counted_and_does_not_weigh(tmp_path: Path) -> None:
    texts = ("red fox", "red owl", "red hen", "blue cow", "red cat")
    never = make(tmp_path / "never", texts[0], *texts[3:])
    index = make(tmp_path / "index", *texts)
    index.delete([1, 2, 3, 4])
    index.add(LexicalEntry(id=number + 10, text=texts[number]) for number in (3, 4))
    index.commit()
    reader = LexicalIndex(tmp_path / "index")
    for same in (index, reader):
        assert same.num_passages == 3
        counts = {"red": 2, "owl": 0, "cow": 1}
        assert same.count_passages_with(["red", "owl", "cow"]) == counts
        for query in ("red", "blue red", "owl red cow"):
            scores = sorted(score for _, score in never.search(query, 5))
            assert sorted(score for _, score in same.search(query, 5)) == pytest.approx(scores)
    index.clear()
    index.add([LexicalEntry(id=1, text="red")])
    index.commit()
    assert index.count_passages_with(["red", "blue"]) == {"red": 1, "blue": 0}


def test_what_was_not_committed_is_lost(tmp_path: Path) -> None:
    index = make(tmp_path, "word")
    index.add([LexicalEntry(id=5, text="word")])
    index.close()
    again = LexicalIndex(tmp_path, is_writer=True)
    assert [number for number, _ in again.search("word", 10)] == [0]


def test_deletions_are_told_again_after_a_kill_while_noting_them(tmp_path: Path) -> None:
    make(tmp_path / "killed", *["word"] * 3).close()
    shutil.copytree(tmp_path / "killed", tmp_path / "went on")

    def go_on(name: str) -> LexicalIndex:
        index = LexicalIndex(tmp_path / name, is_writer=True)
        index.delete([1])
        index.commit()
        return index

    go_on("went on").close()
    # What is on the disk when it is killed before it has said which files count.
    (noted,) = (tmp_path / "went on").glob("*.del")
    for file in (noted.name, ".managed.json"):
        shutil.copy(tmp_path / "went on" / file, tmp_path / "killed" / file)
    assert sorted(number for number, _ in go_on("killed").search("word", 10)) == [0, 2]


def test_a_writer_that_the_system_stops_is_no_damage(tmp_path: Path) -> None:
    index = make(tmp_path, *["word"] * 3)
    index.add([LexicalEntry(id=9, text="word")])
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) - 1, hard))
        with pytest.raises(KnowledgeError, match="try again") as stopped:
            index.commit()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert not isinstance(stopped.value, DamagedWordIndexError)
    index.close()
    again = LexicalIndex(tmp_path, is_writer=True)
    again.add([LexicalEntry(id=9, text="word")])
    again.commit()
    assert again.num_passages == 4


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    first = make(tmp_path, "word")
    with pytest.raises(KnowledgeError, match="Another program is indexing"):
        LexicalIndex(tmp_path, is_writer=True)
    first.close()
    LexicalIndex(tmp_path, is_writer=True).close()


def test_a_damaged_index_says_what_to_do(tmp_path: Path) -> None:
    make(tmp_path, "word").close()
    (tmp_path / "meta.json").write_text("{nonsense")
    with pytest.raises(KnowledgeError, match="delete that folder"):
        LexicalIndex(tmp_path)

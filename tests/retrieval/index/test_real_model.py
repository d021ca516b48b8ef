"""The whole of it with the real embedding model, reader and process, over the client."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from chatbot.paths import shipped_dir
from chatbot.retrieval.client import RetrievalClient
from chatbot.retrieval.values import IndexOptions
from tests.retrieval.index.helpers import has_words, until

OPTIONS = IndexOptions()

TEXTS = {
    "tides.md": "# Tides\n\nThe pull of the moon lifts the water of the oceans twice a day.\n",
    "bread.md": "# Bread\n\nYeast makes dough rise, because it gives off carbon dioxide.\n",
    "cells.txt": "Mitochondria turn sugar into the energy that a cell can use.\n",
}


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    folder = tmp_path / "texts"
    folder.mkdir()
    for name, text in TEXTS.items():
        (folder / name).write_text(text)
    return folder


def stage_of(retrieval: RetrievalClient) -> str:
    return retrieval.status.folders[0].stage if retrieval.status.folders else ""


@pytest.mark.timeout(120)
async def test_search_support_and_map_over_the_client(texts: Path, tmp_path: Path) -> None:
    retrieval = RetrievalClient(tmp_path / "retrieval.log")
    try:
        task = asyncio.create_task(retrieval.index([str(texts)], OPTIONS, watch=True))
        await until(lambda: stage_of(retrieval) in ("embedding", "ready"))
        # Words are found while the model is not even loaded, and nobody waits for it.
        early = await retrieval.search("yeast dough", [str(texts)], OPTIONS)
        assert early.hits[0].passage.file == "bread.md"
        await until(lambda: stage_of(retrieval) == "ready", 60)
        found = await retrieval.search("why does the sea level change", [str(texts)], OPTIONS)
        assert found.notice == ""
        best = found.hits[0]
        assert best.passage.file == "tides.md"
        assert best.passage.folder == str(texts)
        assert best.scores.dense is not None
        assert 0.2 < best.scores.dense < 1
        sentences = ["The moon causes the tides.", "Dough rises because of yeast."]
        passages = [TEXTS["tides.md"], TEXTS["bread.md"]]
        (first, second) = await retrieval.score_support(sentences, passages, OPTIONS)
        assert first[0] > first[1]
        assert second[1] > second[0]
        made = await retrieval.make_map(str(texts), OPTIONS)
        assert {point.file for point in made.points} == TEXTS.keys()
        assert (await retrieval.warm(OPTIONS)).dimensions == 384
        if sys.platform == "linux":  # what only adapters need would delay the first search
            mapped = Path(f"/proc/{retrieval.pid}/maps").read_text()
            assert "libtorch" in mapped
            assert "bitsandbytes" not in mapped

        (texts / "new.md").write_text("# Volcanoes\n\nMagma rises through the crust.\n")
        await until(lambda: has_words(texts, "magma"))
        await until(lambda: retrieval.status.folders[0].num_embedded == 4, 30)
        lava = await retrieval.search("molten rock and lava", [str(texts)], OPTIONS)
        assert lava.hits[0].passage.file == "new.md"
        retrieval.cancel_index()
        await task
        missing = IndexOptions(embedding_model=str(tmp_path / "nowhere"))
        by_words = await retrieval.search("yeast", [str(texts)], missing)
        assert by_words.hits[0].passage.file == "bread.md"
        assert "words only" in by_words.notice
    finally:
        await retrieval.close()


def test_indexing_what_has_not_changed_imports_no_torch() -> None:
    code = (
        "import sys; import chatbot.retrieval.__main__, chatbot.retrieval.index.job; "
        "from chatbot.retrieval.index.preparing import load_cutter; "
        "load_cutter('all-minilm-l6-v2'); "
        "bad = {'torch', 'transformers', 'sentence_transformers', 'sklearn'} & set(sys.modules); "
        "sys.exit(str(bad) if bad else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=shipped_dir("themes").parent, capture_output=True
    )
    assert done.returncode == 0, done.stderr

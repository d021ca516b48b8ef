"""How fast a folder is indexed: unchanged, from nothing, and against the model's bare speed.

No test: ``python tests/measure_retrieval.py [--files 10000] [--folder DIR]`` makes a folder of
so many Markdown files and prints how long the retrieval process takes from its start until their
words can be searched, and to see that nothing has changed. Then it embeds the passages of ``DIR``
(the manual, where none is given) once by a bare ``SentenceTransformer.encode`` and once by
indexing, in turns, and prints the ratio; both have the model loaded. Figures of one run compare;
those of two machines do not.
"""

import argparse
import asyncio
import os
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from chatbot.paths import shipped_dir
from chatbot.retrieval.client import RetrievalClient
from chatbot.retrieval.cutting import text_to_embed
from chatbot.retrieval.index import reading
from chatbot.retrieval.index.opening import open_to_read
from chatbot.retrieval.index.preparing import decode_headings
from chatbot.retrieval.values import IndexOptions

OPTIONS = IndexOptions()
SYLLABLES = ("ka", "lo", "mi", "ter", "an", "sol", "ve", "ru", "pin", "dra", "ost", "el", "un")


def make_files(folder: Path, num_files: int) -> None:
    """Files of a few hundred words each, out of a vocabulary of some thousands."""
    chance = random.Random(7)
    words = ["".join(chance.choices(SYLLABLES, k=chance.randint(1, 4))) for _ in range(5000)]
    for number in range(num_files):
        file = folder / f"{number // 100:03}" / f"note{number}.md"
        file.parent.mkdir(exist_ok=True)
        paragraphs = [" ".join(chance.choices(words, k=90)) + "." for _ in range(3)]
        file.write_text(f"# Note {number}\n\n" + "\n\n".join(paragraphs) + "\n")


async def index_words(folder: Path, log: Path) -> tuple[float, int]:
    """Index a folder but for its vectors.

    Returns:
        Seconds from the start of the process until every word can be searched, and how many
        passages there are.
    """
    retrieval = RetrievalClient(log)
    started = time.perf_counter()
    ready = asyncio.Event()

    def look(_: object) -> None:
        if any(f.stage in ("embedding", "ready") for f in retrieval.status.folders):
            ready.set()

    retrieval.on_status(look)
    retrieval.pause()  # what follows is the model's speed, not the index's
    task = asyncio.create_task(retrieval.index([str(folder)], OPTIONS, watch=True))
    await ready.wait()
    seconds = time.perf_counter() - started
    retrieval.cancel_index()
    (status,) = await task
    await retrieval.close()
    return seconds, status.num_passages


async def index_with_model(folder: Path, log: Path) -> float:
    """Seconds to index a folder from nothing, with the model loaded."""
    retrieval = RetrievalClient(log)
    await retrieval.warm(OPTIONS)
    started = time.perf_counter()
    (status,) = await retrieval.index([str(folder)], OPTIONS, watch=False)
    seconds = time.perf_counter() - started
    if status.stage != "ready":
        sys.exit(f"not indexed: {status.error}")
    await retrieval.forget(str(folder))
    await retrieval.close()
    return seconds


def read_texts(folder: Path) -> list[str]:
    """What is embedded of a folder that is indexed."""
    connection = open_to_read(folder)
    rows = connection.execute(
        "SELECT headings, title, text FROM passages JOIN documents ON documents.id = document "
        "ORDER BY passages.id"
    ).fetchall()
    counts = reading.count_all(connection)
    connection.close()
    assert counts.num_passages == len(rows)
    return [text_to_embed(decode_headings(row[0]), row[1], row[2]) for row in rows]


async def measure_files(folder: Path, num_files: int, log: Path) -> None:
    """The text of many files: first, and when nothing has changed."""
    notes = folder / "notes"
    notes.mkdir()
    make_files(notes, num_files)
    seconds, num_passages = await index_words(notes, log)
    print(f"{num_files:,} files, {num_passages:,} passages: words ready in {seconds:.1f} s")
    # As after a restart: the embedding that is due would come next, and is not waited for.
    times = [(await index_words(notes, log))[0] for _ in range(3)]
    print(f"nothing changed: {statistics.median(times):.2f} s, the start of the process included")


async def measure_ratio(documents: Path, rounds: int, log: Path) -> None:
    """Indexing against a bare ``encode``."""
    await index_words(documents, log)
    texts = read_texts(documents)
    retrieval = RetrievalClient(log)
    await retrieval.forget(str(documents))
    await retrieval.close()

    from chatbot.retrieval.embedding import Embedder

    model = Embedder(OPTIONS.embedding_model)._model
    model.encode(texts[:64])
    bare, indexed = [], []
    for _ in range(rounds):
        started = time.perf_counter()
        model.encode(texts)
        bare.append(time.perf_counter() - started)
        indexed.append(await index_with_model(documents, log))
        print(
            f"{len(texts):,} passages: encode {len(texts) / bare[-1]:.1f}/s, "
            f"indexing {len(texts) / indexed[-1]:.1f}/s, ratio {bare[-1] / indexed[-1]:.2f}"
        )
    ratio = statistics.median(bare) / statistics.median(indexed)
    print(f"throughput of indexing: {ratio:.2f} times that of a bare encode")


async def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--folder", type=Path, default=shipped_dir("knowledge"))
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        os.environ["CHATBOT_DATA_DIR"] = str(folder / "data")
        log = folder / "retrieval.log"
        if options.files:
            await measure_files(folder, options.files, log)
        await measure_ratio(options.folder.resolve(), options.rounds, log)


if __name__ == "__main__":
    asyncio.run(main())

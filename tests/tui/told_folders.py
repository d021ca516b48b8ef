"""Two folders with documents, passages and a map that are written down here."""

import random
from pathlib import Path

from chatbot.messages import Source, SourceScores
from chatbot.retrieval.values import (
    DocumentInfo,
    DocumentText,
    FolderMap,
    FolderStatus,
    Hit,
    IndexOptions,
    MapCluster,
    MapPoint,
    Passage,
)
from tests.conversation.fake_retrieval import FakeRetrieval

SETTINGS = """\
# Settings

Every setting can be changed while an answer is being written.

## Sampling

The model gives each token a probability; sampling chooses one of them.

### Temperature

Temperature divides the logits. At 0 the likeliest token is always taken. Above 1 the text
often gets wild.

### Top-p

Top-p keeps the fewest likeliest tokens whose probabilities add up to this share. At 0.9 the
unlikely tail of tokens is cut off. At 1 it is off and every token stays possible.

### Top-k

Top-k keeps only so many of the likeliest tokens. At 0 it is off.
"""

GLOSSARY = """\
# Glossary

Nucleus sampling is another name for top-p: the smallest set of tokens that holds the share.

A token is a piece of a word; the model reads and writes nothing else.
"""

KEYS = "# Keys\n\nPress F3 for what the next prompt consists of.\n\nPress F4 for your folders.\n"

TEXTS = {"settings.md": SETTINGS, "guide/glossary.md": GLOSSARY, "keys.md": KEYS}


def told_hit(
    folder: Path,
    file: str,
    text: str,
    headings: tuple[str, ...],
    scores: tuple[float | None, float | None, float, float],
    duplicate_of: int | None = None,
) -> Hit:
    """A passage out of ``TEXTS``; scores are lexical, dense, fused and relevance."""
    whole = TEXTS[file]
    start = whole.index(text)
    first = whole.count("\n", 0, start) + 1
    lexical, dense, fused, relevance = scores
    return Hit(
        passage=Passage(
            folder=str(folder),
            file=file,
            headings=headings,
            start_line=first,
            end_line=first + text.count("\n"),
            start=start,
            end=start + len(text),
            text=text,
        ),
        scores=SourceScores(lexical=lexical, dense=dense, fused=fused, relevance=relevance),
        duplicate_of=duplicate_of,
    )


def told_hits(folder: Path) -> list[Hit]:
    """What is found for a question about top-p, the best first."""
    top_p = SETTINGS[SETTINGS.index("Top-p keeps") : SETTINGS.index("\n\n### Top-k")]
    nucleus = GLOSSARY.split("\n\n")[1]
    temperature = SETTINGS[SETTINGS.index("Temperature div") : SETTINGS.index("\n\n### Top-p")]
    top_k = "Top-k keeps only so many of the likeliest tokens. At 0 it is off."
    sampling = ("Settings", "Sampling")
    return [
        told_hit(folder, "settings.md", top_p, (*sampling, "Top-p"), (12.4, 0.71, 0.032, 0.74)),
        told_hit(folder, "guide/glossary.md", nucleus, ("Glossary",), (9.1, 0.66, 0.031, 0.62)),
        told_hit(folder, "settings.md", top_k, (*sampling, "Top-k"), (7.7, 0.52, 0.029, 0.48), 0),
        told_hit(
            folder,
            "settings.md",
            temperature,
            (*sampling, "Temperature"),
            (None, 0.44, 0.016, 0.36),
        ),
        told_hit(
            folder,
            "keys.md",
            "Press F3 for what the next prompt consists of.",
            ("Keys",),
            (1.2, None, 0.012, 0.08),
        ),
    ]


def told_map() -> FolderMap:
    """Some hundred passages in five clusters; the same each time."""
    chance = random.Random(4)
    middles = [(0.2, 0.75), (0.75, 0.8), (0.5, 0.45), (0.15, 0.2), (0.85, 0.2)]
    words = [
        ("temperature", "top-p", "sampling"),
        ("chats", "search", "export"),
        ("keys", "prompt", "enter"),
        ("precision", "weights", "gpu"),
        ("themes", "colours", "night"),
    ]
    files = list(TEXTS)
    points: list[MapPoint] = []
    clusters: list[MapCluster] = []
    for index, ((x, y), keywords) in enumerate(zip(middles, words, strict=True)):
        count = 30 + 9 * index
        points += [
            MapPoint(
                x=min(max(chance.gauss(x, 0.07), 0), 1),
                y=min(max(chance.gauss(y, 0.08), 0), 1),
                cluster=index if chance.random() > 0.06 else -1,
                file=files[number % len(files)],
                start=0,
            )
            for number in range(count)
        ]
        clusters.append(MapCluster(keywords=keywords, num_passages=count, x=x, y=y))
    return FolderMap(points=tuple(points), clusters=tuple(clusters))


class QuietFolders(FakeRetrieval):
    """Finds what it is given, and can be closed as the real one."""

    async def close(self) -> None:
        self.cancel_index()


class ToldFolders(QuietFolders):
    """Finds, lists, reads and maps what stands above."""

    def __init__(self, folder: Path) -> None:
        super().__init__(*told_hits(folder))
        self.folder = folder
        self.folder_map = told_map()
        self.documents = {file: DocumentText(file=file, text=text) for file, text in TEXTS.items()}
        self.infos = (
            info("guide/glossary.md", "Glossary", GLOSSARY, 2),
            info("keys.md", "Keys", KEYS, 2),
            DocumentInfo(
                file="paper.pdf",
                num_bytes=1_830_000,
                problem="It is encrypted; save it without a password.",
            ),
            info("settings.md", "Settings", SETTINGS, 5),
        )

    async def list_passages(self, folder: str, file: str) -> tuple[Passage, ...]:
        self._raise()
        text, found, start = TEXTS[file], [], 0
        for piece in text.split("\n\n"):
            first = text.count("\n", 0, start) + 1
            found.append(
                Passage(
                    folder=folder,
                    file=file,
                    headings=(file.split(".")[0].title(),),
                    start_line=first,
                    end_line=first + piece.count("\n"),
                    start=start,
                    end=start + len(piece),
                    text=piece,
                )
            )
            start += len(piece) + 2
        return tuple(found)

    async def make_map(self, folder: str, options: IndexOptions) -> FolderMap:
        self._raise()
        return self.folder_map


def info(file: str, title: str, text: str, num_passages: int) -> DocumentInfo:
    """A document that was read."""
    return DocumentInfo(
        file=file,
        num_bytes=len(text.encode()),
        kind="Markdown",
        title=title,
        num_characters=len(text),
        num_passages=num_passages,
        num_embedded=num_passages,
    )


def embedding(folder: str, done: float = 0.63) -> FolderStatus:
    """A folder that is being embedded."""
    return FolderStatus(
        folder=folder,
        stage="embedding",
        num_files=412,
        num_files_done=412,
        num_passages=5000,
        num_embedded=int(5000 * done),
        num_problems=3,
        seconds_left=42,
        num_bytes=14_200_000,
    )


def a_source(text: str, **changes: object) -> Source:
    """A source by itself, for what is drawn of one."""
    values: dict[str, object] = {
        "title": "Settings › Top-p",
        "location": "settings.md:17-18",
        "text": text,
        "file": "settings.md",
        "folder": "/folder",
        "start_line": 17,
        "end_line": 18,
        "start": 0,
        "end": len(text),
        "scores": SourceScores(relevance=0.74),
    }
    return Source(**{**values, **changes})  # type: ignore[arg-type]

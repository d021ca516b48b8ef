"""How well questions that go on with earlier ones find what they are about.

No test: ``python tests/measure_following_up.py COLLECTION`` takes a folder of SQuAD articles with
``docs/`` and ``questions.jsonl``, and asks in conversations through the program's own search. The
questions about one subject follow one another, the subject put as "it" from the second on; others
ask about the answer itself, or about another article. Of each kind it prints how many have the
passage that answers them among their sources, and how many as the first of them; of those that
no document answers, how many are given sources all the same.
"""

import asyncio
import json
import os
import random
import re
import shutil
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from chatbot.conversation.knowledge import Knowledge
from chatbot.conversation.turn_sources import earlier_questions
from chatbot.messages import Message, SourcesPart, TextPart
from chatbot.retrieval.client import RetrievalClient
from chatbot.retrieval.values import IndexOptions
from chatbot.settings import KnowledgeFolder, Settings

Question = dict[str, Any]
"""A line of ``questions.jsonl``."""
Case = tuple[Sequence[str], Question | None]
"""What is asked, one after the other, and what answers the last; None where nothing does."""

SUBJECTS = (
    ("Normans", "Normans?", "they", "their"),
    ("Computational_complexity_theory", "computational problems?|algorithms?", "it", "its"),
    ("Computational_complexity_theory", "(?:time )?complexity|Turing machine", "it", "its"),
    ("Sky_United_Kingdom", "BSkyB|Sky", "it", "its"),
    ("Victoria_Australia", "Victoria", "it", "its"),
    ("Huguenot", "Huguenots?", "they", "their"),
    ("Steam_engine", "steam (?:engine|turbine)s?", "it", "its"),
    ("1973_oil_crisis", "crisis|oil", "it", "its"),
    ("1973_oil_crisis", "Japan", "it", "its"),
    ("European_Union_law", "European Union|EU", "it", "its"),
    ("Ctenophora", "ctenophores?|ctenophora", "they", "their"),
    ("Packet_switching", "packet(?: switching)?", "it", "its"),
    ("Yuan_dynasty", "Yuan", "it", "its"),
    ("Yuan_dynasty", "Kublai(?: Khan)?", "he", "his"),
    ("Prime_number", "primes?(?: numbers?)?", "they", "their"),
    ("Prime_number", "Riemann hypothesis", "it", "its"),
    ("Rhine", "(?:Middle )?Rhine(?: river| basin)?", "it", "its"),
    ("Islamism", "Islamists?|Islamism", "they", "their"),
    ("Islamism", "Iqbal", "he", "his"),
    ("Islamism", "Salafism", "it", "its"),
    ("Imperialism", "imperialism|imperialistic", "it", "its"),
    ("French_and_Indian_War", "Celeron", "he", "his"),
    ("French_and_Indian_War", "Battle of Carillon", "it", "its"),
    ("Geology", "geologists?|geology", "they", "their"),
    ("Black_Death", "black death|plague", "it", "its"),
)
"""Article, what its questions call a subject, and a pronoun for that, alone and before a noun."""
ABOUT_ANSWER = (
    *("Summarise that in one sentence.", "Why?", "Can you explain that more simply?"),
    *("Tell me more.", "Are you sure?", "Translate that into German.", "What does that mean?"),
    *("Give me an example.", "Say it in other words.", "Make it shorter.", "Is that true?"),
    *("How do you know that?", "Write that as a list.", "What are the main points?"),
    *("Explain that to a child.", "Could you sum that up for me?", "And why is that?"),
    *("Please put this in simpler terms.", "What do you mean by that?", "Rewrite it as a poem."),
    *("Give a shorter version of this.", "Can you say that again?", "I do not understand it."),
    *("Elaborate, please.", "Go on.", "Where does it say so?", "How so?", "Really?"),
    *("Turn this into a table.", "Please repeat that.", "Expand on this.", "Continue"),
)
NUM_OF_EACH = 120
"""Conversations of a kind, of those that could be made."""


def read_questions(collection: Path) -> list[Question]:
    """The questions, in order."""
    lines = (collection / "questions.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines if line]


def refer(question: str, name: str, pronoun: str, possessive: str) -> str:
    """The question with the subject put as a pronoun."""
    named = rf"(?:\b(?:the|a|an) )?\b(?:{name})"
    question = re.sub(rf"{named}['’]s?\b", possessive, question.strip(), flags=re.IGNORECASE)
    return re.sub(rf"{named}\b", pronoun, question, flags=re.IGNORECASE)


def make_chains(questions: Iterable[Question], length: int) -> list[Case]:
    """Questions about one subject, one after the other: only the first one names it."""
    chains: list[Case] = []
    for article, *words in SUBJECTS:
        about = re.compile(rf"\b(?:{words[0]})\b", re.IGNORECASE)
        own = [q for q in questions if q["file"] == f"{article}.md" and about.search(q["question"])]
        for end in range(len(own) if len(own) >= length else 0):
            first, *others = (own[end - back] for back in reversed(range(length)))
            turns = [first["question"], *(refer(q["question"], *words) for q in others)]
            chains.append((turns, own[end]))
    return chains


def make_cases(questions: list[Question], half: set[str]) -> dict[str, list[Case]]:
    """The conversations, by kind.

    Args:
        questions: of the whole collection.
        half: the files that there are where another one would answer the last question.
    """
    chance = random.Random(1)
    answered = [q for q in questions if q["answerable"]]
    here = [q for q in answered if q["file"] in half]
    elsewhere = [q for q in questions if q["file"] not in half]

    def one(pool: list[Question]) -> str:
        text: str = chance.choice(pool)["question"]
        return text

    def about_answer() -> str:
        return chance.choice(ABOUT_ANSWER)

    def some(pool: list[Question]) -> list[Question]:
        return chance.sample(pool, min(len(pool), NUM_OF_EACH))

    pairs = make_chains(questions, 2)
    return {
        "the only question": [([q["question"]], q) for q in answered],
        "second about a subject": pairs,
        "third about a subject": make_chains(questions, 3),
        "fifth about a subject": make_chains(questions, 5),
        "second, after one about the answer": [([a, about_answer(), b], q) for (a, b), q in pairs],
        "about the answer": [([q["question"], about_answer()], q) for q in some(answered)],
        "about the second answer": [([*turns, about_answer()], q) for turns, q in pairs],
        "about the answer, twice": [
            ([q["question"], about_answer(), about_answer()], q) for q in some(answered)
        ],
        "about another article": [
            ([one([o for o in answered if o["file"] != q["file"]]), q["question"]], q)
            for q in answered
        ],
        "answered by no document": [([one(here), q["question"]], None) for q in some(elsewhere)],
        "answered by none, third": [
            ([one(here), about_answer(), q["question"]], None) for q in some(elsewhere)
        ],
    }


async def ask(knowledge: Knowledge, turns: Sequence[str]) -> SourcesPart:
    """The sources of the last of some questions, each of which got an answer."""
    path: list[Message] = []
    for question in turns:
        found = await knowledge.find(question, earlier_questions(path))
        path.append(Message(role="user", parts=(TextPart(question),)))
        path.append(Message(role="assistant", parts=(found, TextPart("An answer."))))
    return found


def answers(found: SourcesPart, question: Question, documents: Path) -> list[bool]:
    """Which of the sources overlap with the answer, or with the passage that should have it."""
    text = (documents / question["file"]).read_text(encoding="utf-8")
    begin = text.find(question["passage"])
    parts = question["answers"] if question["answerable"] else [question["passage"]]
    spans = [
        (begin + place.start(), begin + place.end())
        for part in parts
        for place in re.finditer(re.escape(part), question["passage"])
    ]
    return [
        source.file == question["file"]
        and any(source.start < end and start < source.end for start, end in spans)
        for source in found.sources
    ]


async def measure(collection: Path, scratch: Path) -> None:
    """Ask all there is to ask, and print."""
    questions = read_questions(collection)
    documents = collection / "docs"
    half = {file.name for file in sorted(documents.iterdir())[::2]}
    (scratch / "half").mkdir()
    for name in half:
        shutil.copy(documents / name, scratch / "half")
    retrieval = RetrievalClient(scratch / "retrieval.log")
    folders = [str(documents), str(scratch / "half")]
    await retrieval.index(folders, IndexOptions(), watch=False)
    for kind, cases in make_cases(questions, half).items():
        is_answered = cases[0][1] is not None
        folder = documents if is_answered else scratch / "half"
        settings = Settings(folders=(KnowledgeFolder(str(folder)),))
        knowledge = Knowledge(retrieval, lambda settings=settings: settings, print)  # type: ignore
        given = [(await ask(knowledge, turns), question) for turns, question in cases]
        marks = [answers(found, q, documents) for found, q in given if q]
        if is_answered:
            among, first = sum(map(any, marks)), sum(any(row[:1]) for row in marks)
            print(f"{kind:36} {among:4} among, {first:4} first, of {len(cases)}", flush=True)
        else:
            num_given = sum(bool(found.sources) for found, _ in given)
            print(f"{kind:36} {num_given:4} given sources, of {len(cases)}", flush=True)
        await knowledge.close()
    await retrieval.close()


def main() -> None:
    """Measure in folders of its own."""
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name).resolve()
        os.environ["CHATBOT_DATA_DIR"] = str(scratch / "data")
        asyncio.run(measure(Path(sys.argv[1]).resolve(), scratch))


if __name__ == "__main__":
    main()

"""The command itself: flags, the runs with and without the mask, and the table."""

import argparse
import asyncio
import json
import sys

import msgspec

from chatbot.commands.bench_tools import bfcl
from chatbot.commands.bench_tools.asking import Calls, ask
from chatbot.commands.bench_tools.choice import NONE, TOOLS, questions
from chatbot.engine.client import Engine, EngineClient
from chatbot.engine.protocol.messages import ChatMessage
from chatbot.paths import log_dir


class Score(msgspec.Struct, kw_only=True):
    """How one set went, with or without the mask."""

    set: str
    masked: bool
    num_questions: int = 0
    num_right: int = 0
    num_calls: int = 0
    num_broken: int = 0
    num_invalid: int = 0

    def add(self, calls: Calls, *, is_right: bool) -> None:
        """Count one question."""
        self.num_questions += 1
        self.num_right += is_right
        self.num_calls += len(calls.ready) + calls.num_broken
        self.num_broken += calls.num_broken
        self.num_invalid += calls.num_invalid


def run_tools(options: argparse.Namespace) -> int:
    """Carry it out; returns the exit status.

    Raises:
        ChatbotError: the model cannot be loaded, or the cases of BFCL are not installed.
    """
    if not options.own_only:
        bfcl.find_data()  # before seconds are spent on a model
    return asyncio.run(_run(options))


async def _run(options: argparse.Namespace) -> int:
    folder = log_dir()
    folder.mkdir(parents=True, exist_ok=True)
    engine = EngineClient(folder / "bench-tools.log")
    try:
        await engine.ensure_loaded(options.model, options.precision)
        for masked in (True, False):
            if not options.bfcl_only:
                _print(await _own(engine, options.limit, masked), options.json)
            if not options.own_only:
                for category in bfcl.CATEGORIES:
                    _print(await _bfcl(engine, category, options.limit, masked), options.json)
    finally:
        await engine.close()
    return 0


async def _own(engine: Engine, limit: int, masked: bool) -> Score:
    score = Score(set="own", masked=masked)
    for question in questions()[:limit]:
        messages = (ChatMessage("user", question.text),)
        calls = await ask(engine, messages, TOOLS, masked=masked)
        chosen = calls.ready[0][0] if calls.ready else NONE
        is_right = chosen == question.tool and not calls.num_broken
        score.add(calls, is_right=is_right)
        _progress(score)
    return score


async def _bfcl(engine: Engine, category: str, limit: int, masked: bool) -> Score:
    score = Score(set=f"bfcl {category}", masked=masked)
    for case in bfcl.cases(category, limit):
        calls = await ask(engine, case.messages, case.tools, masked=masked)
        score.add(calls, is_right=not calls.num_broken and bfcl.is_right(case, calls.ready))
        _progress(score)
    return score


def _progress(score: Score) -> None:
    if sys.stderr.isatty():
        print(f"\r{score.set} {score.num_questions}", end="", file=sys.stderr, flush=True)


def _print(score: Score, as_json: bool) -> None:
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)
    if as_json:
        print(json.dumps(msgspec.to_builtins(score)), flush=True)
        return
    mask = "mask" if score.masked else "no mask"
    share = 100 * score.num_right / max(1, score.num_questions)
    print(
        f"{score.set:<20} {mask:<8} right {score.num_right}/{score.num_questions} "
        f"({share:.0f} %), {score.num_calls} calls, {score.num_broken} broken, "
        f"{score.num_invalid} against their schema",
        flush=True,
    )

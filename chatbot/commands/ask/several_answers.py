"""``chatbot ask -n`` and ``--strategy``: one question, several answers on standard output.

The JSON form is documented in the manual; its keys are a promise.
"""

import sys
from collections.abc import Callable, Sequence
from contextlib import aclosing
from typing import Any

from chatbot.commands.ask.answer_report import as_report, print_report, seconds_of_load
from chatbot.commands.ask.flags import Asked
from chatbot.commands.ask.running import Interrupt, forget_unanswered, show_progress
from chatbot.commands.scripting import FAILED, INTERRUPTED
from chatbot.conversation.variants.wishes import Wish
from chatbot.events import PromptBuilt, VariantPlan, VariantsFinished, VariantsStarted
from chatbot.messages import Message
from chatbot.plain.answer_notes import print_sources, tell_thinking
from chatbot.plain.reading_progress import ReadingPrinter
from chatbot.plain.variants import VariantsPrinter
from chatbot.session import Session
from chatbot.settings import Settings

WishMaker = Callable[[Settings], Wish]
"""What is asked for, by the settings that are in force."""


async def run_ask_several(
    session: Session, asked: Asked, make_wish: WishMaker, *, num_printed: int
) -> int:
    """Answer a question several times; returns the exit status (0, 1 failed, 130 interrupted).

    Args:
        session: where it is asked.
        asked: the question.
        make_wish: says which answers are wanted.
        num_printed: so many answers go to standard output, the others are only mentioned.

    Raises:
        ChatbotError: it cannot be asked.
    """
    async with session:
        show_progress(session)
        manager = session.manager
        printer = VariantsPrinter(streams=asked.streams, num_printed=num_printed)
        reading = ReadingPrinter()
        plans: Sequence[VariantPlan] = ()
        finished: VariantsFinished | None = None
        wish = make_wish(manager.settings)
        if asked.resume is not None:
            await session.resume(asked.resume)
        interrupt = Interrupt(session)
        await interrupt.prepare(has_files=bool(asked.files))
        answering = manager.answer_variously(
            wish,
            asked.text,
            schema=asked.schema,
            files=asked.files,
            is_foreign=asked.is_foreign,
        )
        # As in ``one_answer``.
        async with aclosing(answering):
            async for event in answering:
                reading.show(event)
                match event:
                    case VariantsStarted():
                        plans = event.plans
                        if interrupt.has_come:
                            manager.stop()
                    case PromptBuilt():
                        tell_thinking(manager)
                    case VariantsFinished():
                        finished = event
                if not asked.as_json:
                    printer.show(event)
        if finished is None:
            print("There was no answer; ask again.", file=sys.stderr)
            return FAILED
        status = _status(
            finished.answers, was_stopped=interrupt.has_come, must_be_whole=bool(asked.schema)
        )
        if status == FAILED and asked.resume is None:
            await forget_unanswered(session)
        if asked.as_json:
            await print_report(several_report(finished, plans, seconds_of_load(session)), session)
        else:
            print_sources(next(a for a in finished.answers if a.id == finished.kept_id))
        return status


def _status(answers: Sequence[Message], *, was_stopped: bool, must_be_whole: bool) -> int:
    reasons = [answer.making.finish_reason for answer in answers if answer.making]
    if "error" in reasons or (must_be_whole and "length" in reasons):
        return FAILED
    return INTERRUPTED if was_stopped or "cancelled" in reasons else 0


def several_report(
    finished: VariantsFinished, plans: Sequence[VariantPlan], load_seconds: float
) -> dict[str, Any]:
    """The JSON object for several answers; each is reported as ``ask`` reports one."""
    partings = {parting.index: parting for parting in finished.partings}
    variants = []
    for index, (answer, plan) in enumerate(zip(finished.answers, plans, strict=False)):
        made = answer.making
        report = {"label": plan.label, **as_report(answer, load_seconds)}
        if made and made.score is not None:
            report["score"] = round(made.score, 6)
        if parting := partings.get(index):
            report["same_characters"] = parting.character
            report["same_tokens"] = parting.token
        variants.append(report)
    rate = finished.num_new_tokens / finished.seconds if finished.seconds else 0.0
    return {
        "variants": variants,
        "prompt_tokens": finished.num_prompt_tokens,
        "read_tokens": finished.num_read_tokens,
        "completion_tokens": finished.num_new_tokens,
        "seconds": round(finished.seconds, 3),
        "tokens_per_second": round(rate, 2),
    }

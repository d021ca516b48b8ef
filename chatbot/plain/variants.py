"""Several answers to one question as plain text: one after the other, each under a heading.

The answers and their headings go to standard output, figures to standard error. While they
are being made at once, the first is printed as it comes and the others wait for their turn.
"""

import sys
from collections.abc import Sequence

from chatbot.events import (
    AnswersHeld,
    BeamsShown,
    Parting,
    PromptBuilt,
    PromptReading,
    SearchStarted,
    SourcesFound,
    VariantFinished,
    VariantLoaded,
    VariantLoading,
    VariantPlan,
    VariantSettingChanged,
    VariantsEvent,
    VariantsFinished,
    VariantsStarted,
    VariantTextDelta,
    VariantThoughtCut,
    VariantThoughtDelta,
)
from chatbot.messages import Message
from chatbot.plain.answer_notes import left_out_line
from chatbot.plain.asides import print_files
from chatbot.terminal_text import clean_line
from chatbot.wording import memory


class VariantsPrinter:
    """Prints the answers in the order of their plans."""

    def __init__(self, *, streams: bool = True, num_printed: int | None = None) -> None:
        """Begin.

        Args:
            streams: print the text as it comes; else each answer when it is whole.
            num_printed: so many answers are printed, without a heading where it is one, and of
                the others the beginning is told; None for all.
        """
        self._streams = streams
        self._num_printed = num_printed
        self._plans: Sequence[VariantPlan] = ()
        self._waiting: dict[int, list[str]] = {}
        self._answers: dict[int, Message] = {}
        self._facts: dict[int, str] = {}
        self._current = 0
        self._has_heading = False
        self._ends_line = True

    def show(self, event: VariantsEvent) -> None:
        """Print what there is to print of an event."""
        match event:
            case VariantsStarted(question=question, plans=plans):
                print_files(question)
                self._plans = plans
            case VariantTextDelta(index=index, text=text):
                self._waiting.setdefault(index, []).append(text)
            case VariantFinished(index=index, answer=answer):
                self._answers[index] = answer
            case VariantLoaded(index=index):
                self._facts[index] = loaded_words(event)
            case PromptBuilt(left_out=left_out) if left_out:
                _tell(left_out_line(left_out))
            case SourcesFound(found=found) if found.notice:
                _tell(f"[{found.notice}]")
            case VariantsFinished():
                for line in summary_lines(event, self._plans):
                    _tell(f"[{line}]")
            case SearchStarted() | SourcesFound() | PromptBuilt() | VariantLoading():
                pass
            case PromptReading():
                pass  # somebody else says how far it is
            case VariantThoughtDelta() | BeamsShown():
                pass  # of several at once there is no telling whose it is
            case VariantThoughtCut() | VariantSettingChanged() | AnswersHeld():
                pass  # who has it end here knows, and nothing here holds or changes them
        self._print()

    def _print(self) -> None:
        """Print all whose turn it is."""
        while self._current < len(self._plans):
            is_whole = self._current in self._answers
            if self._num_printed is not None and self._current >= self._num_printed:
                if not is_whole:
                    return
                answer, label = self._answers[self._current], self._plans[self._current].label
                _tell(f"[{label}: {clean_line(answer.text, 60)} · {answer_words(answer)}]")
                self._current += 1
                continue
            if is_whole or (self._streams and self._current in self._waiting):
                self._heading()
                self._write("".join(self._waiting.pop(self._current, ())))
            if not is_whole:
                return
            if not self._ends_line:
                self._write("\n")
            answer, facts = self._answers[self._current], self._facts.get(self._current, "")
            _tell(f"[{' · '.join(filter(None, (facts, answer_words(answer))))}]")
            self._current += 1
            self._has_heading = False

    def _heading(self) -> None:
        if not self._has_heading:
            self._has_heading = True
            if self._num_printed == 1:
                return
            plan = self._plans[self._current]
            start = "\n" if self._current else ""
            self._write(f"{start}## {plan.number} · {plan.label}\n\n")

    def _write(self, text: str) -> None:
        if text:
            self._ends_line = text.endswith("\n")
            sys.stdout.write(text)
            sys.stdout.flush()


def loaded_words(event: VariantLoaded) -> str:
    """What was loaded for an answer, in a few words."""
    size = f", {memory(event.weight_bytes)} of weights" if event.weight_bytes else ""
    return f"{event.model} in {event.precision} on {event.device}{size}"


def answer_words(answer: Message) -> str:
    """How an answer ended and what it cost, in a few words."""
    made = answer.making
    if made is None:
        return ""
    if made.error:
        return made.error
    words: list[str] = [made.finish_reason]
    if cost := made.statistics:
        words.append(f"{cost.num_new_tokens:,} tokens")
        if cost.tokens_per_second:
            words.append(f"{cost.tokens_per_second:.1f} tokens per second")
    if made.score is not None:
        words.append(f"score {made.score:.3f}")
    return " · ".join(words)


def summary_lines(event: VariantsFinished, plans: Sequence[VariantPlan]) -> list[str]:
    """What all answers together came to, and where they part."""
    lines = []
    if event.seconds and event.num_new_tokens:
        rate = event.num_new_tokens / event.seconds
        lines.append(
            f"{len(event.answers)} answers, {event.num_new_tokens:,} tokens in "
            f"{event.seconds:.1f} s: {rate:.1f} per second; {event.num_read_tokens:,} of "
            f"{event.num_prompt_tokens:,} prompt tokens were read"
        )
    lines += [_parting_words(parting, plans) for parting in event.partings]
    kept = next((plan.number for plan in plans if plan.answer_id == event.kept_id), None)
    if kept is not None and len(event.answers) > 1:
        lines.append(f"answer {kept} is the one the chat goes on from")
    return lines


def _parting_words(parting: Parting, plans: Sequence[VariantPlan]) -> str:
    first, other = plans[0].number, plans[parting.index].number
    if parting.character is None:
        return f"answer {other} is the same as {first}"
    token = "" if parting.token is None else f"token {parting.token + 1:,}, "
    return f"answer {other} parts from {first} at {token}character {parting.character + 1:,}"


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)

"""What happens beside an answer, in plain text: thoughts, calls and what came of them, and the
question whether a tool may run.

All of it goes to standard error, so that standard output holds the answer alone.
"""

import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from chatbot.conversation.file_block import file_facts, files_of
from chatbot.events import TextDelta, ThoughtDelta, ToolCalled, ToolFinished
from chatbot.messages import Message, ToolCallPart, ToolResultPart
from chatbot.plain.progress_line import ProgressLine
from chatbot.terminal_text import clean_line
from chatbot.tools.json_text import in_lines

if TYPE_CHECKING:
    from chatbot.tools.values import ApprovalRequest, Decision

RESULT_LENGTH: Final = 200
"""Characters of a result that are shown."""

_KEYS: "Final[dict[str, tuple[Decision, str]]]" = {
    "o": ("once", "[o]nce"),
    "c": ("chat", "for this [c]hat"),
    "a": ("always", "[a]lways"),
    "n": ("no", "[N]o"),
}


def call_line(call: ToolCallPart) -> str:
    """A call in one line: ``[calculate {"expression": "17 * 23"}]``."""
    return f"[{call.name} {clean_line(call.arguments, RESULT_LENGTH)}]"


def result_line(result: ToolResultPart) -> str:
    """What became of a call, in one line: ``[→ 391 · 0.1 s]``."""
    text = clean_line(result.text, RESULT_LENGTH)
    mark = "✗" if result.is_error else "→"
    seconds = f" · {result.seconds:.1f} s" if result.approved_by else ""
    return f"[{mark} {text}{seconds}]"


def print_files(question: Message) -> None:
    """Say on standard error what is attached to a question."""
    for file in files_of(question):
        ProgressLine.print(f"[{file.name} · {file_facts(file)}]")


class AsidePrinter:
    """Tells of thoughts and calls as they come."""

    def __init__(self, thinking_hint: str = "") -> None:
        """Make the printer.

        Args:
            thinking_hint: what the user can do about a thought.
        """
        self._thinking_hint = thinking_hint
        self._is_thinking = False
        self._thought_facts = ""
        self._is_in_line = False
        """The answer, or a thought, has begun a line that is not ended."""

    def show(self, event: TextDelta | ThoughtDelta | ToolCalled | ToolFinished) -> None:
        """Print an aside; a piece of the answer, which somebody else prints, is only noted."""
        match event:
            case TextDelta(text=text):
                self._end_thought()
                self._is_in_line = sys.stdout.isatty() and not text.endswith("\n")
            case ThoughtDelta(text=text):
                if not self._is_thinking:
                    hint = f"; {self._thinking_hint}" if self._thinking_hint else ""
                    self._print(f"[thinking{hint}]")
                if event.num_thinking_tokens:
                    size, seconds = event.num_thinking_tokens, event.seconds
                    self._thought_facts = f", after {size:,} tokens of thinking in {seconds:.1f} s"
                self._is_thinking = True
                sys.stderr.write(text)
                sys.stderr.flush()
                self._is_in_line = not text.endswith("\n")
            case ToolCalled(call=call):
                self._end_thought()
                self._print(call_line(call))
            case ToolFinished(result=result):
                self._print(result_line(result))

    def _end_thought(self) -> None:
        if self._is_thinking:
            self._is_thinking = False
            self._print(f"[answer{self._thought_facts}]")
            self._thought_facts = ""

    def _print(self, line: str) -> None:
        start = "\n" if self._is_in_line else ""
        self._is_in_line = False
        print(f"{start}{line}", file=sys.stderr, flush=True)


def has_somebody() -> bool:
    """Whether a person is there to be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()


class TerminalApprover:
    """Asks on the terminal; see ``chatbot.tools.approvals.Approver``."""

    def __init__(self, read_line: Callable[[str], Awaitable[str | None]]) -> None:
        """Make the approver.

        Args:
            read_line: asks for a line; None at the end of input.
        """
        self._read_line = read_line

    async def ask(self, request: "ApprovalRequest") -> "Decision":
        """The user's answer; ``no`` for anything that is none."""
        definition = request.definition
        # Each line of what is not ours begins with a mark, so that none can pass for a question.
        lines = [
            f"\nThe model wants to use the tool {definition.name}.",
            *request.reasons,
            *(f"  | {line}" for line in in_lines(request.arguments).splitlines()),
        ]
        print(*lines, sep="\n", file=sys.stderr, flush=True)
        words = ", ".join(
            words for decision, words in _KEYS.values() if decision in request.choices
        )
        answer = await self._read_line(f"Allow it? {words}: ")
        # The letter or the word, and no more: "cancel" and "of course not" begin like a yes.
        said = (answer or "").strip().lower()
        for key, (decision, _) in _KEYS.items():
            if said in (key, decision) and decision in request.choices:
                return decision
        return "no"

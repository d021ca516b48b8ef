"""Reads an answer as it is written: text, thinking and calls, however it is cut in pieces.

The one place that knows where in an answer it stands; the mask follows it. Never fails: what
is no call is text, or a call that is broken.
"""

from collections.abc import Callable, Sequence
from typing import Final, Literal

from chatbot.engine.dialects.dialect import (
    Begun,
    Broken,
    Called,
    CallForm,
    Dialect,
    Piece,
    Reading,
    Text,
    Thinking,
)
from chatbot.engine.dialects.harmony import CHANNEL, ENDS, MESSAGE, START, THINKING_CHANNEL
from chatbot.engine.protocol.messages import ToolSchema

Region = Literal["head", "text", "thinking", "call", "between"]
"""Where an answer stands: in the head of a channel, in what is shown, in what is thought, in a
call, or after one."""

UNFINISHED: Final = "The call was not finished."


class AnswerParser:
    """Takes the text of one answer and gives it back in pieces."""

    def __init__(
        self,
        dialect: Dialect,
        tools: Sequence[ToolSchema] = (),
        *,
        is_thinking: bool = False,
        strips_start: bool = False,
        continues: bool = False,
    ) -> None:
        """Start an answer.

        Args:
            dialect: how the model writes.
            tools: what it may call; with none, calls are text.
            is_thinking: the prompt has opened the thinking already.
            strips_start: blank space before the answer is none of it.
            continues: the answer was begun before, so that it does not start here.
        """
        self.region: Region = "thinking" if is_thinking else "text"
        if dialect.has_channels:
            self.region = "head"
        self.form: CallForm | None = None
        """How the present call is written."""
        self.body = ""
        """The present call so far, as its form reads it."""
        self.num_calls = 0
        """Calls so far, broken ones included."""
        self.is_over = False
        """Whether nothing can follow: the last call is complete and no other one begins."""
        self._dialect = dialect
        self._tools = tools
        self._held = ""
        self._raw = ""
        self._num_begun = 0
        self._has_text = continues
        self._strips = strips_start

    def push(self, text: str) -> list[Piece]:
        """Take the next piece of text; returns what is certain by now."""
        pieces: list[Piece] = []
        if self.is_over:
            return pieces
        self._held += text
        while self._step(pieces):
            pass
        return pieces

    def finish(self, cut: str = "") -> list[Piece]:
        """The text is over; returns what was held back.

        Args:
            cut: why it ended before the model ended it; one sentence.
        """
        pieces: list[Piece] = []
        if self.region == "text":
            self._show(self._held, pieces)
        elif self.region == "thinking" and self._held:
            pieces.append(Thinking(self._held))
        elif self.region == "call" and self.form:
            # Models leave out the mark of the end, since the end of the turn says as much.
            reading = self.form.read(self.body + self.form.end, self._tools)
            if cut or reading.error or reading.end is None:
                names = self.form.read(self.body, self._tools).names
                reading = Reading(names=names, end=len(self.body), error=cut or UNFINISHED)
            self._close(reading, pieces)
        self._held = ""
        return pieces

    def _step(self, pieces: list[Piece]) -> bool:
        """Go on by one part of what is held; returns whether there may be another one."""
        steps: dict[Region, Callable[[list[Piece]], bool]] = {
            "head": self._head,
            "text": self._text,
            "thinking": self._thinking,
            "call": self._call,
            "between": self._between,
        }
        return bool(self._held) and not self.is_over and steps[self.region](pieces)

    def _text(self, pieces: list[Piece]) -> bool:
        if self._dialect.has_channels:
            return self._channel(pieces)
        found = [(self._held.find(mark), mark, form) for mark, form in self._openings()]
        found = [item for item in found if item[0] >= 0]
        if found:
            at, mark, form = min(found, key=lambda item: item[0])
            before, self._held = self._held[:at], self._held[at + len(mark) :]
            if form:
                is_first = form.only_at_start and not before.strip()
                self._show("" if is_first else before, pieces)
                self._open(form, before if is_first else "")
            else:
                self._show(before.rstrip() if not before.strip() else before, pieces)
                self.region = "thinking"
            return True
        keep = _overlap(self._held, [mark for mark, _ in self._openings()])
        if not self._held.strip() and not self._has_text and (self._strips or self._openings()):
            keep = len(self._held)  # what it belongs to is not known yet
        self._show(self._held[: len(self._held) - keep], pieces)
        self._held = self._held[len(self._held) - keep :]
        return False

    def _openings(self) -> list[tuple[str, CallForm | None]]:
        """The marks that end plain text here, each with the call that it begins."""
        marks: list[tuple[str, CallForm | None]] = []
        if self._dialect.think:
            marks.append((self._dialect.think[0], None))
        for form in self._dialect.forms if self._tools else ():
            if not form.only_at_start:
                marks.append((form.trigger, form))
            elif not self._has_text:
                start = self._held.lstrip()
                if start.startswith(form.trigger) or form.trigger.startswith(start):
                    marks.append((form.trigger, form))
        return marks

    def _thinking(self, pieces: list[Piece]) -> bool:
        if self._dialect.has_channels:
            return self._channel(pieces)
        close = self._dialect.think[1] if self._dialect.think else ""
        before, mark, after = self._held.partition(close) if close else (self._held, "", "")
        if mark:
            self._held = after
            self.region = "text"
            self._has_text = False  # the answer starts here
            self._strips = True
        else:
            keep = _overlap(self._held, [close])
            before = self._held[: len(self._held) - keep]
            self._held = self._held[len(self._held) - keep :]
        if before:
            pieces.append(Thinking(before))
        return bool(mark)

    def _head(self, pieces: list[Piece]) -> bool:
        """The head of a channel: it says what its message is."""
        for form in self._dialect.forms if self._tools else ():
            at = self._held.find(form.trigger)
            if at >= 0 and MESSAGE not in self._held[:at]:
                before, self._held = self._held[:at], self._held[at + len(form.trigger) :]
                self._open(form, before)
                return True
        head, mark, after = self._held.partition(MESSAGE)
        if not mark:
            return False
        _, _, channel = head.rpartition(CHANNEL)
        self._held = after
        self.region = "thinking" if channel.strip().startswith(THINKING_CHANNEL) else "text"
        return True

    def _channel(self, pieces: list[Piece]) -> bool:
        """A message of a channel, up to one of the marks that end it."""
        marks = (*ENDS, START, CHANNEL)
        found = [(at, mark) for mark in marks if (at := self._held.find(mark)) >= 0]
        at, mark = min(found, default=(len(self._held), ""))
        if not mark:
            at -= _overlap(self._held, marks)
        before, self._held = self._held[:at], self._held[at:]
        if before and self.region == "thinking":
            pieces.append(Thinking(before))
        elif before:
            self._show(before, pieces)
        if mark in ENDS:
            self._held = self._held[len(mark) :]
        if mark:
            self.region = "head"
        return bool(mark)

    def _open(self, form: CallForm, before: str) -> None:
        """A call begins with its trigger, which has been taken off what is held."""
        self.form = form
        self.region = "call"
        self._num_begun = 0
        self._raw = before if form.keeps_trigger else before + form.trigger
        self.body = form.trigger if form.keeps_trigger else ""

    def _call(self, pieces: list[Piece]) -> bool:
        self.body += self._held
        self._held = ""
        reading = self.form.read(self.body, self._tools) if self.form else Reading()
        if reading.end is None:
            self._begin(reading.names, pieces)
            return False
        self._held = self.body[reading.end :]
        self._close(reading, pieces)
        return True

    def _begin(self, names: Sequence[str], pieces: list[Piece]) -> None:
        """Tell of the names that are known since the last time."""
        pieces.extend(
            Begun(self.num_calls + index, names[index])
            for index in range(self._num_begun, len(names))
        )
        self._num_begun = max(self._num_begun, len(names))

    def _close(self, reading: Reading, pieces: list[Piece]) -> None:
        self._begin(reading.names, pieces)
        raw = self._raw + self.body[: reading.end]
        if reading.error:
            for index, name in enumerate(reading.names or ("",)):
                pieces.append(
                    Broken(self.num_calls + index, name, "" if index else raw, reading.error)
                )
            self.num_calls += max(1, len(reading.names))
        else:
            for index, (name, arguments) in enumerate(
                zip(reading.names, reading.arguments, strict=True)
            ):
                pieces.append(Called(self.num_calls + index, name, arguments, "" if index else raw))
            self.num_calls += len(reading.names)
        self.form = None
        self.body = self._raw = ""
        self.region = "between"

    def _between(self, pieces: list[Piece]) -> bool:
        """After a call: another one begins, or the answer is over."""
        if self._dialect.has_channels:
            self.is_over = True  # this family makes one call at a time
            return False
        rest = self._held.lstrip(self._dialect.separators)
        for form in self._dialect.forms:
            if rest.startswith(form.trigger):
                before = self._held[: len(self._held) - len(rest)]
                self._held = rest[len(form.trigger) :]
                self._open(form, before)
                return True
        self.is_over = not any(form.trigger.startswith(rest) for form in self._dialect.forms)
        return False

    def _show(self, text: str, pieces: list[Piece]) -> None:
        if self._strips and not self._has_text:
            text = text.lstrip()
        if text:
            self._has_text = True
            pieces.append(Text(text))


def _overlap(text: str, marks: Sequence[str]) -> int:
    """Length of the longest end of ``text`` with which one of ``marks`` begins."""
    longest = max(map(len, marks), default=1) - 1
    for length in range(min(len(text), longest), 0, -1):
        if any(mark.startswith(text[-length:]) for mark in marks):
            return length
    return 0

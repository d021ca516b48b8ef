"""Tokens in, pieces of an answer out; and what may come next, by where the answer stands.

The parser says where that is, so that the mask and the reading can never disagree. Plain text
and thinking are free; a call is held to its grammar from its trigger to its end, and with a
schema the answer itself is.
"""

import copy
import json
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from chatbot.engine.detokenizer import Detokenizer
from chatbot.engine.dialects.dialect import CallForm, Piece, Text
from chatbot.engine.dialects.parser import AnswerParser
from chatbot.engine.dialects.schemas import json_rule
from chatbot.engine.grammar import Grammars, Matcher
from chatbot.engine.loading import LoadedModel
from chatbot.engine.protocol.answer import Generate
from chatbot.engine.protocol.messages import ToolSchema
from chatbot.engine.stop_strings import StopStrings
from chatbot.errors import ModelError
from chatbot.tokens import Region


class AnswerReader:
    """One answer as it is written: also the ``Guide`` of the loop that writes it."""

    def __init__(self, loaded: LoadedModel, request: Generate, *, is_thinking: bool) -> None:
        """Start an answer.

        Raises:
            ModelError: a schema cannot be enforced.
        """
        dialect = loaded.prompts.dialect
        self._end_tokens = loaded.end_tokens
        added = loaded.found.tokenizer.added_tokens_encoder
        marks = {added[mark] for mark in dialect.markers if mark in added}
        self._closing = dialect.closing
        self._encode = partial(loaded.found.tokenizer.encode, add_special_tokens=False)
        self._is_at_line_start = is_thinking
        """Whether a thought has just begun a line; what opened it in the prompt did."""
        self._detokenizer = Detokenizer(
            loaded.decode, loaded.special_tokens - marks, loaded.decode_end
        )
        self._stops = StopStrings(
            (*request.stop, *(() if request.is_completion else loaded.prompts.stops))
        )
        self._parser = AnswerParser(
            dialect,
            request.tools,
            is_thinking=is_thinking,
            strips_start=loaded.prompts.strips_answer_start
            and not (request.continue_last or request.is_completion),
            continues=request.continue_last,
        )
        self._is_masked = bool(request.tools) and request.mask_calls
        self._grammars = loaded.grammars if self._is_masked or request.schema else None
        self._call_grammars: dict[str, str] = {}
        self._matcher: Matcher | None = None
        self._whole = ""
        self._has_started = False
        """Whether the answer that a schema is for has begun."""
        self._think_token: int | None = None
        self.last_text = ""
        """What became complete with the last token, as the model wrote it."""
        if self._grammars and self._is_masked:
            for form in dialect.forms:
                self._call_grammars[form.trigger] = call_grammar(
                    self._grammars, form, request.tools
                )
        if self._grammars and request.schema:
            self._whole = whole_grammar(self._grammars, request.schema)
            opening = dialect.think[0] if dialect.think else ""
            self._think_token = added.get(opening)

    @property
    def is_masking(self) -> bool:
        """See ``Guide``."""
        return self._matcher is not None or (bool(self._whole) and self._parser.region == "text")

    @property
    def is_in_call(self) -> bool:
        """See ``Guide``."""
        return self._parser.region == "call"

    @property
    def ends_with_call(self) -> bool:
        """Whether the last thing so far is a complete call."""
        return self._parser.region == "between"

    @property
    def region(self) -> Region:
        """What the last token is part of."""
        match self._parser.region:
            case "thinking":
                return "thinking"
            case "call" | "between":
                return "call"
            case _:
                return "text"

    @property
    def is_over(self) -> bool:
        """Whether the answer has ended, though no token said so."""
        if self._stops.is_stopped or self._parser.is_over:
            return True
        is_whole = bool(self._whole) and self._matcher is not None and self._matcher.is_complete
        return is_whole and self._parser.region == "text"

    def push(self, token: int) -> list[Piece]:
        """Take the next token; returns what is certain by now."""
        self.last_text = ""
        if token in self._end_tokens:
            return []
        if self._matcher:
            is_thought = self._whole and token == self._think_token and not self._has_started
            if is_thought:
                self._matcher = None
            else:
                self._matcher.take(token)
        self.last_text = self._detokenizer.push(token)
        if self.last_text:
            self._is_at_line_start = self.last_text.endswith("\n")
        pieces = self._stopped(self._parser.push(self.last_text))
        self._follow()
        return pieces

    def finish(self, cut: str = "") -> list[Piece]:
        """The answer is over; returns what was held back.

        Args:
            cut: why it ended before the model ended it; one sentence.
        """
        held = self._parser.push(self._detokenizer.flush())
        pieces = self._stopped([*held, *self._parser.finish(cut)])
        if text := self._stops.flush():
            pieces.append(Text(text))
        return pieces

    def allowed(self, size: int) -> Tensor | None:
        """See ``Guide``."""
        if self._whole and not self._matcher and self._parser.region == "text":
            self._matcher = self._grammars.matcher(self._whole) if self._grammars else None
        if self._matcher is None:
            return None
        allowed = self._matcher.allowed(size)
        if self._whole and not self._has_started and self._think_token is not None:
            allowed[self._think_token] = True  # a model that thinks may do so first
        return torch.from_numpy(allowed)

    def refuses(self, token: int) -> bool:
        """See ``Guide``.

        A token may hold the end of a trigger and the beginning of what follows it, which was
        not masked yet. Of what is masked, only halves of tokens are refused.
        """
        if token in self._end_tokens:
            return False
        if self._matcher:
            return token != self._think_token and self._matcher.splits(token)
        if not (self._call_grammars or self._whole):
            return False
        text = self._detokenizer.peek(token)
        if not text:
            return False
        trial = copy.copy(self._parser)
        shown = "".join(piece.text for piece in trial.push(text) if isinstance(piece, Text))
        if self._whole and self._grammars:
            return bool(shown) and not self._grammars.matcher(self._whole).take_text(shown)
        if trial.region == "call" and trial.form and trial.body:
            return not self._matcher_of(trial.form).take_text(trial.body)
        # One token that is a whole call, or the end of one and more, is never right.
        return trial.num_calls > self._parser.num_calls

    def closing(self) -> Sequence[int]:
        """See ``Guide``."""
        if self._parser.region != "thinking":
            return ()
        text = self._closing.lstrip("\n") if self._is_at_line_start else self._closing
        tokens: list[int] = self._encode(text)
        return tokens

    def _follow(self) -> None:
        """Start or end the mask where the parser has come to."""
        region = self._parser.region
        if self._whole:
            self._has_started = self._has_started or (self._matcher is not None)
            return
        if region != "call":
            self._matcher = None
        elif self._matcher is None and self._call_grammars and self._parser.form:
            self._matcher = self._matcher_of(self._parser.form)
            self._matcher.take_text(self._parser.body)

    def _matcher_of(self, form: CallForm) -> Matcher:
        if self._grammars is None:
            raise ModelError("Calls of this model are not masked; switch the tools off.")
        return self._grammars.matcher(self._call_grammars[form.trigger])

    def _stopped(self, pieces: Sequence[Piece]) -> list[Piece]:
        """The pieces with their text held back before stop strings, which calls do not have."""
        shown: list[Piece] = []
        for piece in pieces:
            if self._stops.is_stopped:
                break
            if isinstance(piece, Text):
                if text := self._stops.push(piece.text):
                    shown.append(Text(text))
                continue
            if held := self._stops.flush():
                shown.append(Text(held))
            shown.append(piece)
        return shown


def call_grammar(grammars: Grammars, form: CallForm, tools: Sequence[ToolSchema]) -> str:
    """The grammar of calls in ``form``.

    Raises:
        ModelError: a schema cannot be enforced; the text names its tool.
    """
    grammar = form.grammar(tools, grammars.literal)
    if grammars.problem(grammar):
        for tool in tools:  # which of them is it?
            if problem := grammars.problem(form.grammar((tool,), grammars.literal)):
                raise ModelError(
                    f"The tool {tool.name} has parameters that calls cannot be held to "
                    f"({problem}); simplify its schema or switch the tool off."
                )
        raise ModelError("The tools together are too many to hold calls to; switch some off.")
    return grammar


def whole_grammar(grammars: Grammars, schema: str) -> str:
    """The grammar of an answer that is JSON by ``schema``.

    Raises:
        ModelError: it is no JSON schema, or cannot be enforced.
    """
    try:
        value: Any = json.loads(schema)
    except ValueError as error:
        raise ModelError("The schema is not valid JSON; correct it.") from error
    if not isinstance(value, dict):
        raise ModelError("The schema is not a JSON object; correct it.")
    grammar = f"start: {json_rule(value)}\n"
    if problem := grammars.problem(grammar):
        raise ModelError(f"Answers cannot be held to this schema ({problem}); simplify it.")
    return grammar

"""Messages to tokens, and how many of them each message takes.

Knows the tokenizer and the template, not the model.
"""

import copy
import hashlib
import json
from array import array
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from chatbot.engine.chat_formats import ChatFormat
from chatbot.engine.chat_template import ChatTemplate
from chatbot.engine.dialects.compact import with_tools
from chatbot.engine.dialects.recognition import recognise
from chatbot.engine.dialects.schemas import parameters_of
from chatbot.engine.limits import ended_when_endless
from chatbot.engine.protocol.messages import ChatMessage, ToolCall, ToolSchema
from chatbot.engine.protocol.model_info import ThinkingSwitch
from chatbot.engine.special_tokens import SpecialTokenGuard
from chatbot.engine.token_memory import TokenMemory

ENCODE_SECONDS: Final = 10.0
ENCODE_SECONDS_PER_CHARACTER: Final = 1e-4
"""A hundred times what a slow tokenizer takes."""


class Prompt(msgspec.Struct, frozen=True, kw_only=True):
    """A rendered conversation."""

    text: str
    """Special tokens spelled out."""
    tokens: list[int]
    typed_controls: tuple[str, ...] = ()
    """What looks like a control token in the text, and is ordinary characters in the tokens."""
    opens_thinking: bool = False
    """Whether what comes next is thought, until the model closes it."""


class PromptBuilder:
    """Renders and tokenises conversations for one model."""

    def __init__(self, tokenizer: Any, form: ChatFormat | None = None) -> None:
        """Use ``tokenizer``, and ``form`` where it brings no template."""
        self._tokenizer = tokenizer
        self._template = ChatTemplate(tokenizer, form)
        self.dialect = recognise(self._template.source, tokenizer.added_tokens_encoder)
        """How the model writes calls and thinking."""
        self._guard = SpecialTokenGuard(
            tokenizer, " ".join((self._template.source, *self.dialect.markers))
        )
        self._text_start = _plain_start(tokenizer)
        self._start = self._text_start if self._template.is_plain else []
        self._memory = TokenMemory(tokenizer, self._cut)
        self._thoughts: dict[str, int] = {}
        """The thoughts of the last conversation, each with its size in tokens."""
        self._told: dict[bool, PromptBuilder] = {}
        """Those whose prompts tell the model to think or not."""

    def told(self, thinking: bool | None) -> "PromptBuilder":
        """What builds prompts that tell the model whether to think, where the template can."""
        if thinking is None or self.thinking_switch == "none":
            return self
        if thinking not in self._told:
            other = self._told[thinking] = copy.copy(self)
            other._template = self._template.told(thinking)
        return self._told[thinking]

    @property
    def thinking_switch(self) -> ThinkingSwitch:
        """Whether the template can be told to have the model think or not."""
        return self._template.thinking_switch

    @property
    def stops(self) -> tuple[str, ...]:
        """Strings before which an answer ends, whatever the client asks for."""
        return self._template.stops

    @property
    def strips_answer_start(self) -> bool:
        """Whether an answer starts with a space that belongs to the form, not to the answer."""
        return self._template.has_gap

    def build_text(self, messages: Sequence[ChatMessage]) -> Prompt:
        """The prompt that has the text of ``messages`` gone on with, without any template."""
        text = "".join(message.content for message in messages)
        tokens, _ = self._encode(text)
        start = self._text_start
        if not start and not tokens:  # nothing at all cannot be gone on with
            start = [
                token
                for token in (self._tokenizer.bos_token_id, self._tokenizer.eos_token_id)
                if token is not None
            ][:1]
        return Prompt(text=text, tokens=[*start, *tokens])

    def build(
        self,
        messages: Sequence[ChatMessage],
        *,
        continue_last: bool = False,
        tools: Sequence[ToolSchema] = (),
    ) -> Prompt:
        """The prompt that asks for the next answer.

        Args:
            messages: the conversation.
            continue_last: the last message is the beginning of the answer.
            tools: what the model may call.

        Raises:
            ModelError: the template refuses these messages, is broken, or takes too long, or the
                parameters of a tool are no schema.
        """
        shown, _ = self._shown(messages, tools)
        text = self._render(shown, tools, continue_last)
        tokens = [*self._start, *self._memory.cut(text).numbers]
        opens = closes = -1
        if marks := self.dialect.think:
            # In the part that asks for the answer, or in the answer that was begun.
            tail = messages[-1].content if continue_last else text[-64:]
            opens, closes = tail.rfind(marks[0].strip()), tail.rfind(marks[1])
            if not continue_last and not text.rstrip().endswith(marks[0].strip()):
                opens = -1
        return Prompt(
            text=self._guard.restore(text),
            tokens=tokens,
            typed_controls=self._guard.typed_in(text),
            opens_thinking=opens > closes,
        )

    def build_begun(
        self,
        messages: Sequence[ChatMessage],
        begun: Sequence[int],
        tools: Sequence[ToolSchema] = (),
    ) -> list[int] | None:
        """The prompt to go on with an answer that begins with the very tokens that were drawn.

        Cutting the text of an answer anew may give other tokens than those, and it is those
        that the cache holds. The text counts all the same.

        Args:
            messages: the conversation; the last message is the answer so far.
            begun: the tokens it begins with; what is behind them is cut anew.
            tools: what the model may call.

        Returns:
            None where the answer is not what the tokens say; ``build`` makes the prompt then.

        Raises:
            ModelError: as ``build`` does.
        """
        special = self._tokenizer.all_special_ids
        if not all(0 <= token < len(self._tokenizer) and token not in special for token in begun):
            return None
        shown, _ = self._shown(messages, tools)
        text, content = self._render(shown, tools, True), messages[-1].content
        written = self._decode(begun)
        if not content.startswith(written) or self._guard.restore(shown[-1].content) != content:
            return None
        opening = self._memory.cut(text.removesuffix(shown[-1].content)).numbers
        rest, _ = self._cut(self._guard.protect(content[len(written) :], "assistant"))
        if self._decode([*begun, *rest]) != content:
            return None
        return [*self._start, *opening, *begun, *rest]

    def _decode(self, tokens: Sequence[int]) -> str:
        text: str = self._tokenizer.decode(
            tokens, skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        return text

    def count_tools(self, messages: Sequence[ChatMessage], tools: Sequence[ToolSchema]) -> int:
        """How many tokens the tools take, which ``count`` counts to the first message.

        Raises:
            ModelError: as ``build`` does.
        """
        if not tools or not messages:
            return 0
        first = messages[:1]
        if first[0].role == "system":  # few templates render a system message alone
            first = (first[0], ChatMessage("user", "a"))
        return len(self.build(first, tools=tools).tokens) - len(self.build(first).tokens)

    def count_thinking(
        self,
        messages: Sequence[ChatMessage],
        *,
        continue_last: bool = False,
        tools: Sequence[ToolSchema] = (),
    ) -> tuple[int, int]:
        """How many tokens of thinking the messages hold, and how many the prompt has for it.

        Raises:
            ModelError: as ``build`` does.
        """
        thoughts = [message.thinking for message in messages if message.thinking]
        if not thoughts:
            return 0, 0
        without = [msgspec.structs.replace(message, thinking="") for message in messages]
        given, rest = (
            len(self.build(each, continue_last=continue_last, tools=tools).tokens)
            for each in (messages, without)
        )
        known = self._thoughts
        self._thoughts = sizes = {
            thought: known[thought]
            if thought in known
            else len(self._encode(self._guard.protect(thought, "assistant"))[0])
            for thought in thoughts
        }
        return sum(sizes[thought] for thought in thoughts), max(0, given - rest)

    def count(
        self,
        messages: Sequence[ChatMessage],
        *,
        continue_last: bool = False,
        tools: Sequence[ToolSchema] = (),
    ) -> tuple[tuple[int, ...], int]:
        """The sizes of the messages, and of what comes after the last one, in tokens.

        Together they are the length of ``build(messages).tokens``. A token belongs to the
        message that its first character belongs to; what a template puts before the first
        message belongs to that, and what opens an answer to the answer that is continued.

        Raises:
            ModelError: as ``build`` does.
        """
        shown, ends = self._shown(messages, tools)
        text = self._render(shown, tools, continue_last)
        starts = self._starts(text)
        sizes: list[int] = []
        done = 0
        prefixes = self._template.render_prefixes(
            shown[: -1 if continue_last else None], self._given(tools)
        )
        lengths = prefixes.lengths_in(text)
        for last in ends[: -1 if continue_last else None]:
            length = lengths[last - 1]
            # A message that the template shows only later counts with the next one.
            end = done if length is None else max(done, bisect_left(starts, length))
            sizes.append(end - done)
            done = end
        if continue_last:
            return (*sizes, len(starts) - done), 0
        return tuple(sizes), len(starts) - done

    def _render(
        self, shown: Sequence[ChatMessage], tools: Sequence[ToolSchema], continue_last: bool
    ) -> str:
        given = self._given(tools)
        if not continue_last:
            return self._template.render(shown, given)
        *before, begun = shown
        gap = " " if self._template.has_gap else ""
        return self._template.render(before, given) + gap + begun.content

    def _given(self, tools: Sequence[ToolSchema]) -> tuple[ToolSchema, ...]:
        """The tools as the template gets them; none where they stand in the messages."""
        if not self.dialect.knows_tools:
            return ()
        return tuple(self._protected_tool(tool) for tool in tools)

    def _shown(
        self, messages: Sequence[ChatMessage], tools: Sequence[ToolSchema]
    ) -> tuple[list[ChatMessage], list[int]]:
        """What is rendered, control tokens taken out, and where in it each message ends."""
        for tool in tools:
            parameters_of(tool)  # or a template fails on it without a word of why
        if self.dialect.knows_tools:
            return [self._protected(message) for message in messages], [
                *range(1, len(messages) + 1)
            ]
        shown, ends = with_tools(messages, tools)
        return [self._protected(message) for message in shown], ends

    def _protected(self, message: ChatMessage) -> ChatMessage:
        def protect(text: str) -> str:
            return self._guard.protect(text, message.role)

        content, calls = protect(message.content), message.tool_calls
        raw = "".join(call.raw for call in calls)
        if raw and self.dialect.writes_raw and protect(raw) == raw:
            content, calls = content + raw, ()
        return ChatMessage(
            message.role,
            content,
            tool_calls=tuple(self._protected_call(call) for call in calls),
            call_id=self._call_id(message.call_id),
            name=self._guard.protect(message.name, "tool"),
            thinking=protect(message.thinking),
        )

    def _protected_call(self, call: ToolCall) -> ToolCall:
        return ToolCall(
            id=self._call_id(call.id),
            name=self._guard.protect(call.name, "tool"),
            arguments=self._protected_json(call.arguments),
        )

    def _protected_tool(self, tool: ToolSchema) -> ToolSchema:
        # Tools of others come with descriptions of others.
        return ToolSchema(
            name=self._guard.protect(tool.name, "tool"),
            description=self._guard.protect(tool.description, "tool"),
            parameters=self._protected_json(tool.parameters),
        )

    def _protected_json(self, text: str) -> str:
        """JSON with its strings protected, where they are strings and not escapes of them."""

        def protect(value: Any) -> Any:
            match value:
                case str():
                    return self._guard.protect(value, "tool")
                case list():
                    return [protect(item) for item in value]
                case dict():
                    return {protect(key): protect(item) for key, item in value.items()}
                case _:
                    return value

        try:
            return json.dumps(protect(json.loads(text)), ensure_ascii=False)
        except (ValueError, RecursionError):
            return "{}"  # a call that was broken; its tool never saw it

    def _call_id(self, call_id: str) -> str:
        """An id in the form that the template wants."""
        length = self.dialect.call_id_length
        if not call_id or not length:
            return self._guard.protect(call_id, "tool")
        return hashlib.sha256(call_id.encode()).hexdigest()[:length]

    def _starts(self, text: str) -> "array[int]":
        """Where in rendered text each token of its prompt starts, in characters."""
        return array("q", [-1] * len(self._start)) + self._memory.cut(text).starts

    def _cut(self, text: str) -> tuple[list[int], list[int]]:
        """The tokens of rendered text, and where in it each of them starts."""
        tokens: list[int] = []
        starts: list[int] = []
        for position, piece in self._guard.pieces(text):
            ids, offsets = self._encode(piece)
            tokens.extend(ids)
            # What stands for a marker starts, all of it, where the marker does.
            is_original = text.startswith(piece, position)
            starts.extend(position + (offset if is_original else 0) for offset in offsets)
        return tokens, starts

    def _encode(self, text: str) -> tuple[list[int], list[int]]:
        """Token ids, and the first character of each."""
        # Its expressions are the model's, and nothing else interrupts one that takes for ever.
        with ended_when_endless(ENCODE_SECONDS + ENCODE_SECONDS_PER_CHARACTER * len(text)):
            encoding = self._tokenizer(
                text,
                add_special_tokens=False,
                return_offsets_mapping=self._tokenizer.is_fast,
                verbose=False,
            )
        ids = encoding["input_ids"]
        if self._tokenizer.is_fast:
            return ids, [start for start, _ in encoding["offset_mapping"]]
        # Without offsets: as if all tokens were of the same length.
        return ids, [index * len(text) // len(ids) for index in range(len(ids))]


def _plain_start(tokenizer: Any) -> list[int]:
    """The token that the model expects ahead of any text, where there is one."""
    start: list[int] = tokenizer("", verbose=False)["input_ids"]
    return start if start == [tokenizer.bos_token_id] else []

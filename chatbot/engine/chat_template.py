"""Messages to prompt text, by the template that came with the model.

Templates are code. transformers renders them in its sandbox, and here they get limits of time
and memory besides. A model without one gets a plain form with a name before each message.
"""

import copy
import json
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from chatbot.engine.chat_formats import ChatFormat
from chatbot.engine.limits import MAX_MEMORY_BYTES, call_within
from chatbot.engine.prefix_windows import added_by_windows
from chatbot.engine.prompt_prefixes import PromptPrefixes
from chatbot.engine.protocol.messages import ChatMessage, ToolCall, ToolSchema
from chatbot.engine.protocol.model_info import ThinkingSwitch
from chatbot.engine.template_limits import limit_templates
from chatbot.errors import ModelError
from chatbot.models.library_errors import first_sentence
from chatbot.wording import memory

T = TypeVar("T")

RENDER_SECONDS: Final = 5.0
NUM_RENDERED: Final = 3
"""Conversations that are kept: a chat begins in another way with its tools, without them once a
round of calls is over, and with an example of how to answer from sources."""
SWITCH_SECONDS: Final = 1.0
"""For each trial of a template while the model loads; a template that hangs has no switch."""

PLAIN_STOPS: Final = ("\nUser:", "\nSystem:")
"""Where an answer ends that was asked for in the plain form."""

limit_templates()

_PROBE: Final = (ChatMessage("system", "a"), ChatMessage("user", "b"))

_SWITCHES: Final = ("enable_thinking", "thinking")
"""Names under which templates can be told whether the model is to think."""


class ChatTemplate:
    """One model's way to write down a conversation."""

    def __init__(self, tokenizer: Any, form: ChatFormat | None = None) -> None:
        """Use the template of ``tokenizer``, else ``form``, else the plain form."""
        self._tokenizer = tokenizer
        template = getattr(tokenizer, "chat_template", None)
        if isinstance(template, dict):  # several by name
            template = template.get("default") or next(iter(template.values()), None)
        own = form if not template else None
        self.source: str = template or (own.template if own else "")
        """The template itself; empty for the plain form."""
        self.stops: tuple[str, ...] = own.stops if own else () if template else PLAIN_STOPS
        """Strings before which an answer ends, whatever the client asks for."""
        self.has_gap = own.has_gap if own else not template
        """Whether an answer starts with a space that belongs to the form, not to the answer."""
        self._folds_system: bool | None = None
        self._rendered: list[tuple[tuple[ToolSchema, ...], PromptPrefixes]] = []
        """The last conversations, each with the tools that it was rendered with; newest last."""
        self._options: dict[str, bool] = {}
        """What the template is told besides."""
        self._switch, self.thinking_switch = self._find_switch()
        """The name that it knows for whether the model is to think, and when it heeds it."""

    def told(self, thinking: bool | None) -> "ChatTemplate":
        """The same template, told whether the model is to think, where it can be told that.

        Each remembers its own renderings, as they begin differently.
        """
        if thinking is None or not self._switch:
            return self
        other = copy.copy(self)
        other._rendered = []
        other._options = {self._switch: thinking}
        return other

    def _find_switch(self) -> tuple[str, ThinkingSwitch]:
        """By what becomes of a conversation: a name alone may stand for anything in a template."""
        for name in _SWITCHES:
            if name in self.source:
                if self._heeds(name, _PROBE):
                    return name, "always"
                if self._heeds(name, _PROBE[1:]):
                    return name, "without_system"
        return "", "none"

    def _heeds(self, name: str, messages: Sequence[ChatMessage]) -> bool:
        def render(*, value: bool) -> str:
            self._options = {name: value}
            return self._render(messages, for_answer=True)

        try:
            return call_within(SWITCH_SECONDS, lambda: render(value=True) != render(value=False))
        except Exception:  # it refuses every conversation, or this one alone: the user will see
            return False
        finally:
            self._options = {}

    @property
    def is_plain(self) -> bool:
        """Whether the model has no template of its own."""
        return not self.source

    def render(self, messages: Sequence[ChatMessage], tools: Sequence[ToolSchema] = ()) -> str:
        """The prompt up to where the model is to go on.

        Args:
            messages: the conversation.
            tools: for a template that knows tools.

        Raises:
            ModelError: the template refuses these messages, is broken, or takes too long or too
                much memory.
        """
        return self._limited(lambda: self._render(messages, tools, for_answer=True), RENDER_SECONDS)

    def render_prefixes(
        self, messages: Sequence[ChatMessage], tools: Sequence[ToolSchema] = ()
    ) -> PromptPrefixes:
        """The prompt after each message, without what asks for the answer.

        Raises:
            ModelError: the template takes too long.
        """
        given = tuple(tools)
        num_same, known = max(
            (
                (one.num_same(messages), one)
                for tools_then, one in self._rendered
                if tools_then == given
            ),
            key=lambda pair: pair[0],
            default=(0, PromptPrefixes()),
        )
        is_gone_on_with = 2 * num_same > len(known)
        # Many small renderings: the limit is for one that hangs, not for a long chat.
        seconds = RENDER_SECONDS + 0.1 * len(messages)

        def render(some: Sequence[ChatMessage]) -> str | None:
            return self._try_render(some, tools)

        def render_rest() -> PromptPrefixes:
            some = known.first(num_same)
            if told := added_by_windows(some, messages, render):
                return told
            for end in range(num_same, len(messages)):
                some.add(messages[end], render(messages[: end + 1]))
            return some

        rendered = self._limited(render_rest, seconds)
        others = [pair for pair in self._rendered if not (is_gone_on_with and pair[1] is known)]
        self._rendered = [*others[-NUM_RENDERED + 1 :], (given, rendered)]
        return rendered

    def _limited(self, function: Callable[[], T], seconds: float) -> T:
        try:
            return call_within(seconds, function)
        except ModelError:
            raise
        except TimeoutError as error:
            raise ModelError(
                f"The model's chat template was stopped because {error}; use another model."
            ) from error
        except MemoryError as error:
            raise ModelError(
                "The model's chat template was stopped because it took more than "
                f"{memory(MAX_MEMORY_BYTES)} of memory; use another model."
            ) from error
        except Exception as error:
            raise ModelError(
                f"The model's chat template refuses this conversation: {first_sentence(error)}."
            ) from error

    def _try_render(
        self, messages: Sequence[ChatMessage], tools: Sequence[ToolSchema]
    ) -> str | None:
        try:
            return self._render(messages, tools, for_answer=False)
        except Exception:
            return None

    def _render(
        self,
        messages: Sequence[ChatMessage],
        tools: Sequence[ToolSchema] = (),
        *,
        for_answer: bool,
    ) -> str:
        if self.is_plain:
            return _render_plain(messages, for_answer=for_answer)
        if messages and messages[0].role == "system" and self._must_fold():
            messages = _fold_system(messages)
        return self._apply(messages, tools, for_answer=for_answer)

    def _apply(
        self,
        messages: Sequence[ChatMessage],
        tools: Sequence[ToolSchema] = (),
        *,
        for_answer: bool,
    ) -> str:
        schemas = [_as_schema(tool) for tool in tools]
        text = self._tokenizer.apply_chat_template(
            [_as_message(message) for message in messages],
            tools=schemas or None,
            chat_template=self.source,
            tokenize=False,
            add_generation_prompt=for_answer,
            # One family has another name for them.
            **({"xml_tools": schemas} if schemas and "xml_tools" in self.source else {}),
            **self._options,
        )
        return str(text)

    def _must_fold(self) -> bool:
        """Whether the template knows no system messages, as those of Gemma do not."""
        if self._folds_system is None:
            try:
                self._apply(_PROBE, for_answer=True)
                self._folds_system = False
            except Exception:
                self._folds_system = True
        return self._folds_system


def _as_message(message: ChatMessage) -> dict[str, Any]:
    """A message in the form that templates expect."""
    shown: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.role == "tool":
        shown |= {"name": message.name, "tool_call_id": message.call_id}
    if message.tool_calls:
        shown["tool_calls"] = [_as_call(call) for call in message.tool_calls]
    if message.thinking:  # each family looks for it under a name of its own
        shown |= {"reasoning_content": message.thinking, "thinking": message.thinking}
    return shown


def _as_call(call: ToolCall) -> dict[str, Any]:
    function = {"name": call.name, "arguments": json.loads(call.arguments)}
    return {"type": "function", "id": call.id, "function": function}


def _as_schema(tool: ToolSchema) -> dict[str, Any]:
    function = {
        "name": tool.name,
        "description": tool.description,
        "parameters": json.loads(tool.parameters),
    }
    return {"type": "function", "function": function}


def _fold_system(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    """The system message becomes the beginning of the first user message."""
    system, *rest = messages
    if rest and rest[0].role == "user":
        return [ChatMessage("user", f"{system.content}\n\n{rest[0].content}"), *rest[1:]]
    return [ChatMessage("user", system.content), *rest]


def _render_plain(messages: Sequence[ChatMessage], *, for_answer: bool) -> str:
    lines = [f"{message.role.capitalize()}: {message.content.strip()}\n" for message in messages]
    return "".join(lines) + ("Assistant:" if for_answer else "")

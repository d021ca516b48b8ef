"""Messages to prompt text, by the template that came with the model.

Templates are code. transformers renders them in its sandbox, and here they get a time limit
besides. A model without one gets a plain form with a name before each message.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from chatbot.engine.failures import first_sentence
from chatbot.engine.protocol import ChatMessage
from chatbot.engine.time_limit import call_within
from chatbot.errors import ModelError

T = TypeVar("T")

RENDER_SECONDS: Final = 5.0
PLAIN_STOPS: Final = ("\nUser:", "\nSystem:")
"""Where an answer ends that was asked for in the plain form."""

_PROBE: Final = (ChatMessage("system", "a"), ChatMessage("user", "b"))


class ChatTemplate:
    """One model's way to write down a conversation."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        template = getattr(tokenizer, "chat_template", None)
        if isinstance(template, dict):  # several by name
            template = template.get("default") or next(iter(template.values()), None)
        self.source: str = template or ""
        """The template itself; empty for the plain form."""
        self._folds_system: bool | None = None
        self._rendered: list[tuple[ChatMessage, str | None]] = []
        """The last conversation's messages, each with the prompt up to it."""

    @property
    def is_plain(self) -> bool:
        """Whether the model has no template of its own."""
        return not self.source

    def render(self, messages: Sequence[ChatMessage]) -> str:
        """The prompt up to where the model is to go on.

        Raises:
            ModelError: the template refuses these messages, is broken, or takes too long.
        """
        return self._limited(lambda: self._render(messages, for_answer=True), RENDER_SECONDS)

    def render_prefixes(self, messages: Sequence[ChatMessage]) -> list[str | None]:
        """The prompt after each message, without what asks for the answer.

        None where the template refuses so short a conversation.

        Raises:
            ModelError: the template takes too long.
        """

        known = 0
        while known < min(len(messages), len(self._rendered)):
            if messages[known] != self._rendered[known][0]:
                break
            known += 1
        del self._rendered[known:]

        def render_rest() -> list[str | None]:
            return [self._try_render(messages[: end + 1]) for end in range(known, len(messages))]

        # Many small renderings: the limit is for one that hangs, not for a long chat.
        rest = self._limited(render_rest, RENDER_SECONDS + 0.1 * len(messages))
        self._rendered.extend(zip(messages[known:], rest, strict=True))
        return [text for _, text in self._rendered]

    def _limited(self, function: Callable[[], T], seconds: float) -> T:
        try:
            return call_within(seconds, function)
        except ModelError:
            raise
        except TimeoutError as error:
            raise ModelError(
                f"The model's chat template was stopped because {error}; use another model."
            ) from error
        except Exception as error:
            raise ModelError(
                f"The model's chat template refuses this conversation: {first_sentence(error)}."
            ) from error

    def _try_render(self, messages: Sequence[ChatMessage]) -> str | None:
        try:
            return self._render(messages, for_answer=False)
        except Exception:
            return None

    def _render(self, messages: Sequence[ChatMessage], *, for_answer: bool) -> str:
        if self.is_plain:
            return _render_plain(messages, for_answer=for_answer)
        if messages and messages[0].role == "system" and self._must_fold():
            messages = _fold_system(messages)
        return self._apply(messages, for_answer=for_answer)

    def _apply(self, messages: Sequence[ChatMessage], *, for_answer: bool) -> str:
        text = self._tokenizer.apply_chat_template(
            [{"role": message.role, "content": message.content} for message in messages],
            chat_template=self.source,
            tokenize=False,
            add_generation_prompt=for_answer,
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


def _fold_system(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    """The system message becomes the beginning of the first user message."""
    system, *rest = messages
    if rest and rest[0].role == "user":
        return [ChatMessage("user", f"{system.content}\n\n{rest[0].content}"), *rest[1:]]
    return [ChatMessage("user", system.content), *rest]


def _render_plain(messages: Sequence[ChatMessage], *, for_answer: bool) -> str:
    lines = [f"{message.role.capitalize()}: {message.content.strip()}\n" for message in messages]
    return "".join(lines) + ("Assistant:" if for_answer else "")

"""From the branch that is shown to the messages that the model is given.

Counts every message exactly, by the engine; leaves out what does not fit, and says what.
"""

from collections.abc import Collection, Sequence

import msgspec

from chatbot.conversation.context import fit_window
from chatbot.engine.client import Engine
from chatbot.engine.protocol import ChatMessage, ModelInfo
from chatbot.events import PromptBuilt
from chatbot.messages import Message
from chatbot.settings import Settings


class Prompt(msgspec.Struct, frozen=True):
    """What the model is given, and the account of it."""

    messages: tuple[ChatMessage, ...]
    built: PromptBuilt


async def build_prompt(
    engine: Engine,
    path: Sequence[Message],
    settings: Settings,
    info: ModelInfo,
    *,
    pinned: Collection[str] = (),
    continues: bool = False,
) -> Prompt:
    """The prompt for the question at the end of ``path``.

    Args:
        engine: counts the tokens; the model is loaded.
        path: the branch.
        settings: the system prompt, the window and the longest answer.
        info: what is loaded.
        pinned: ids of messages that are given whatever happens, with what they belong to.
        continues: ``path`` ends with the beginning of the answer, which is to be gone on with.

    Raises:
        ContextError: the question does not fit the window.
        ModelError: the model's template cannot render the messages.
        WorkerError: the engine died.
    """
    num_last = 2 if continues else 1
    exchanges, unanswered = _pair(path[:-num_last])
    last = path[-num_last:]
    system = _system_messages(settings)
    candidates: list[Message | ChatMessage] = [
        *system,
        *(m for pair in exchanges for m in pair),
        *last,
    ]
    counted = await engine.count([_as_chat(m) for m in candidates], continue_last=continues)
    sizes = counted.message_tokens
    num_system = len(system)
    history = sizes[num_system:-num_last]
    window = min(settings.context_length or info.context_length, info.context_length)
    stay = {i for i, pair in enumerate(exchanges) if any(m.id in pinned for m in pair)}
    fit = fit_window(
        list(zip(history[::2], history[1::2], strict=True)),
        sum(sizes[:num_system]) + counted.generation_prompt_tokens,
        sum(sizes[-num_last:]),
        context_length=window,
        max_new_tokens=settings.sampling.max_tokens,
        max_history=settings.max_history,
        pinned=stay,
    )
    is_kept = [i >= fit.first_kept or i in stay for i in range(len(exchanges))]
    kept = [m for pair, keeps in zip(exchanges, is_kept, strict=True) if keeps for m in pair]
    left_out = [
        m.id for pair, keeps in zip(exchanges, is_kept, strict=True) if not keeps for m in pair
    ]
    given = [*system, *kept, *last]
    if left_out:
        # A template may put something of its own before the first message, so that sizes
        # counted with the whole history do not hold without its start.
        counted = await engine.count([_as_chat(m) for m in given], continue_last=continues)
        sizes = counted.message_tokens
    num_prompt = sum(sizes) + counted.generation_prompt_tokens
    return Prompt(
        tuple(_as_chat(m) for m in given),
        PromptBuilt(
            num_prompt_tokens=num_prompt,
            num_system_tokens=sum(sizes[:num_system]),
            num_history_tokens=sum(sizes[num_system:-num_last]),
            num_question_tokens=sum(sizes[-num_last:]),
            context_length=window,
            room=min(settings.sampling.max_tokens, window - num_prompt),
            left_out=tuple(m.id for m in path if m.id in {*left_out, *unanswered}),
        ),
    )


def _system_messages(settings: Settings) -> list[Message | ChatMessage]:
    text = settings.system_prompt.strip()
    return [ChatMessage("system", text)] if text else []


def _as_chat(message: Message | ChatMessage) -> ChatMessage:
    if isinstance(message, ChatMessage):
        return message
    return ChatMessage(message.role, message.text)


def _pair(
    earlier: Sequence[Message],
) -> tuple[list[tuple[Message, Message]], list[str]]:
    """Exchanges, and ids of what has no partner.

    A question whose answer failed before its first word is left out together with that
    answer: templates of several families refuse two messages of one role in a row.
    """
    exchanges: list[tuple[Message, Message]] = []
    unanswered: list[str] = []
    asked: Message | None = None
    for message in earlier:
        if message.role == "user":
            if asked is not None:
                unanswered.append(asked.id)
            asked = message
        elif asked is not None and message.text.strip():
            exchanges.append((asked, message))
            asked = None
        else:
            unanswered.append(message.id)
    if asked is not None:
        unanswered.append(asked.id)
    return exchanges, unanswered

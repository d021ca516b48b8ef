"""From the branch that is shown to the messages that the model is given.

Counts every message exactly, by the engine; leaves out what does not fit, and says what. A
question stands below its sources, in the prompt in which it is asked and in all later ones.
"""

import itertools
from collections.abc import Collection, Sequence
from typing import Final

import msgspec

from chatbot.conversation.answer_messages import answer_messages, finished_messages
from chatbot.conversation.file_block import files_of, with_files
from chatbot.conversation.found_sources import limited
from chatbot.conversation.source_block import sources_of, with_sources, worked_example
from chatbot.conversation.window import window_of
from chatbot.conversation.window_fitting import MIN_ROOM, fit_window
from chatbot.engine.client import Engine
from chatbot.engine.protocol.messages import ChatMessage, ToolSchema
from chatbot.engine.protocol.model_info import ModelInfo
from chatbot.engine.protocol.prompt import Count, Counted
from chatbot.events import PromptBuilt
from chatbot.messages import Message, Source, SourcesPart
from chatbot.settings import Settings

MAX_SOURCE_SHARE: Final = 1 / 3
"""Of the window, for the sources of one question: what they take, the history lacks."""

SMALL_MODEL: Final = 500_000_000
"""Parameters below which a model is given the best source alone. Of several it mixes up what each
says: the built-in one answers as many questions right from one as from four, and sooner. It is
shown once how to answer from a source, too."""

MIN_EXAMPLE_WINDOW: Final = 1024
"""Tokens of a window in which there is room for that."""


class Prompt(msgspec.Struct, frozen=True):
    """What the model is given, and the account of it."""

    messages: tuple[ChatMessage, ...]
    built: PromptBuilt
    continues: bool = False
    """The last message is the beginning of the answer, to be gone on with in its sentence."""
    found: SourcesPart | None = None
    """The sources of the question; those that had no room are not among them any more."""


async def build_prompt(
    engine: Engine,
    path: Sequence[Message],
    settings: Settings,
    info: ModelInfo,
    *,
    pinned: Collection[str] = (),
    begun: Message | None = None,
    found: SourcesPart | None = None,
    tools: Sequence[ToolSchema] = (),
) -> Prompt:
    """The prompt for the question at the end of ``path``.

    Args:
        engine: counts the tokens; the model is loaded.
        path: the branch, up to the question.
        settings: the system prompt, the window and the longest answer.
        info: what is loaded.
        pinned: ids of messages that are given whatever happens, with what they belong to.
        begun: the answer as far as it is written, to be gone on with.
        found: the sources of the question; those of earlier ones are with their answers.
        tools: what the model may call.

    Raises:
        ContextError: the question does not fit the window.
        ModelError: the model's template cannot render the messages.
        WorkerError: the engine died.
    """
    exchanges, unanswered = _pair(path[:-1])
    chats = [_as_chats(*pair) for pair in exchanges]
    system = _system_messages(settings)
    window = window_of(info, settings)
    example: list[ChatMessage] = []
    is_small = info.num_parameters < SMALL_MODEL
    if is_small and window >= MIN_EXAMPLE_WINDOW and _have_sources(found, exchanges):
        example_question, example_answer = worked_example()
        example = [
            ChatMessage("user", example_question),
            ChatMessage("assistant", example_answer),
        ]
    before = [*system, *example, *(m for exchange in chats for m in exchange)]
    asked = path[-1]
    question = ChatMessage(asked.role, _asked(asked))
    written = answer_messages(begun.parts) if begun else []
    # After a result the model begins a message of its own; else it goes on in its sentence.
    continues = bool(written) and written[-1].role == "assistant"

    request = Count(
        messages=(*before, question, *written),
        continue_last=continues,
        tools=tuple(tools),
        thinking=settings.thinks,
    )
    counted = await engine.count(request)
    sizes = counted.message_tokens
    num_fixed = len(system) + len(example)
    fixed = sum(sizes[:num_fixed]) + counted.generation_prompt_tokens
    pairs = _sizes(sizes[num_fixed : len(before)], chats)
    num_plain = sizes[len(before)]
    num_written = sum(sizes[len(before) + 1 :])
    stay = {i for i, pair in enumerate(exchanges) if any(m.id in pinned for m in pair)}

    sizing = _QuestionSizing(engine, request, len(before), asked)
    num_files = num_plain - await sizing.size(asked.text) if files_of(asked) else 0
    num_question = num_plain
    if found and is_small:
        found = limited(found, 1)
    if found and found.sources:
        # As much as the question alone would leave, with room for an answer.
        taken = fixed + sum(sum(pairs[i]) for i in stay) + num_plain + num_written
        room = window - taken - max(MIN_ROOM, min(settings.sampling.max_tokens, window // 4))
        budget = min(int(window * MAX_SOURCE_SHARE), room) + num_plain
        found, num_question = await sizing.fit(found, budget, num_plain)
        question = ChatMessage(question.role, _asked(asked, found.sources))

    first_kept = fit_window(
        pairs,
        fixed,
        num_question + num_written,
        context_length=window,
        max_new_tokens=settings.sampling.max_tokens,
        max_history=settings.max_history,
        pinned=stay,
        can_be_longer=window < info.context_length,
        has_files=bool(files_of(asked)),
    )
    is_kept = [i >= first_kept or i in stay for i in range(len(exchanges))]
    kept = [m for exchange, keeps in zip(chats, is_kept, strict=True) if keeps for m in exchange]
    left_out = {
        m.id for pair, keeps in zip(exchanges, is_kept, strict=True) if not keeps for m in pair
    }
    given = [*system, *example, *kept, question, *written]
    if left_out or num_question != num_plain:
        # A template may put something of its own before the first message, so that sizes
        # counted with the whole history do not hold without its start.
        counted = await engine.count(msgspec.structs.replace(request, messages=tuple(given)))
    built = _account(
        counted,
        (len(system), len(example), len(kept)),
        num_source_tokens=num_question - num_plain,
        num_file_tokens=num_files,
        window=window,
        max_tokens=settings.sampling.max_tokens,
        left_out=tuple(m.id for m in path if m.id in {*left_out, *unanswered}),
    )
    return Prompt(tuple(given), built, continues, found)


def _account(
    counted: Counted,
    nums: tuple[int, int, int],
    *,
    num_source_tokens: int,
    num_file_tokens: int,
    window: int,
    max_tokens: int,
    left_out: tuple[str, ...],
) -> PromptBuilt:
    """What a prompt consists of.

    Args:
        counted: the sizes of its messages.
        nums: how many of them are the system prompt, the worked example and the history; the
            question follows, and what there is of its answer.
        num_source_tokens: what the sources add to the question.
        num_file_tokens: what the files add to it.
        window: see ``PromptBuilt.context_length``.
        max_tokens: longest answer.
        left_out: see ``PromptBuilt``.
    """
    sizes = counted.message_tokens
    example, history, question = itertools.accumulate(nums)
    num_system = sum(sizes[:example])
    num_example = sum(sizes[example:history])
    num_history = sum(sizes[history:question])
    num_question = sizes[question] - num_source_tokens - num_file_tokens
    # What tells of the tools is in the first message, whichever that is.
    if num_system:
        num_system -= counted.tool_tokens
    elif num_example:
        num_example -= counted.tool_tokens
    elif num_history:
        num_history -= counted.tool_tokens
    else:
        num_question -= counted.tool_tokens
    num_prompt = sum(sizes) + counted.generation_prompt_tokens
    return PromptBuilt(
        num_prompt_tokens=num_prompt,
        num_system_tokens=num_system,
        num_tool_tokens=counted.tool_tokens,
        num_history_tokens=num_history,
        num_question_tokens=num_question,
        num_source_tokens=num_source_tokens + num_example,
        num_file_tokens=num_file_tokens,
        num_result_tokens=sum(sizes[question + 1 :]),
        num_left_out_thinking_tokens=max(
            0, counted.thinking_tokens - counted.shown_thinking_tokens
        ),
        context_length=window,
        room=min(max_tokens, window - num_prompt),
        left_out=left_out,
    )


def _sizes(history: Sequence[int], chats: Sequence[Sequence[ChatMessage]]) -> list[tuple[int, int]]:
    """The tokens of each earlier question, and of its answer with its calls."""
    pairs, start = [], 0
    for exchange in chats:
        end = start + len(exchange)
        pairs.append((history[start], sum(history[start + 1 : end])))
        start = end
    return pairs


class _QuestionSizing:
    """How large the question is with one thing and another before it; the engine counts."""

    def __init__(self, engine: Engine, request: Count, place: int, question: Message) -> None:
        """Size ``question``, which is at ``place`` of what ``request`` counts."""
        self._engine = engine
        self._request = request
        self._place = place
        self._question = question

    async def fit(self, found: SourcesPart, budget: int, num_plain: int) -> tuple[SourcesPart, int]:
        """The sources that fit, best first, and the size of the question below them.

        Args:
            found: those there are.
            budget: tokens that the question may take with its sources.
            num_plain: tokens of the question alone.
        """
        for num_sources in range(len(found.sources), 0, -1):
            size = await self.size(_asked(self._question, found.sources[:num_sources]))
            if size <= budget:
                return limited(found, num_sources), size
        return limited(found, 0), num_plain

    async def size(self, content: str) -> int:
        """The tokens of the question, if ``content`` is what the model is given of it."""
        messages = list(self._request.messages)
        messages[self._place] = ChatMessage(self._question.role, content)
        changed = msgspec.structs.replace(self._request, messages=tuple(messages))
        counted = await self._engine.count(changed)
        return counted.message_tokens[self._place]


def _have_sources(found: SourcesPart | None, exchanges: Sequence[tuple[Message, Message]]) -> bool:
    """Whether a question of the branch has any: the start of the prompt then stays the same."""
    parts = [found, *(sources_of(answer) for _, answer in exchanges)]
    return any(part is not None and part.sources for part in parts)


def _system_messages(settings: Settings) -> list[ChatMessage]:
    text = settings.system_prompt.strip()
    return [ChatMessage("system", text)] if text else []


def _as_chats(question: Message, answer: Message) -> list[ChatMessage]:
    """An earlier exchange as the model is given it: just as it was given the question then."""
    found = sources_of(answer)
    asked = _asked(question, found.sources if found else ())
    return [ChatMessage(question.role, asked), *finished_messages(answer)]


def _asked(question: Message, sources: Sequence[Source] = ()) -> str:
    """What the model is given for a question: its files, its sources, and its words."""
    return with_files(with_sources(question.text, sources), files_of(question))


def _pair(
    earlier: Sequence[Message],
) -> tuple[list[tuple[Message, Message]], list[str]]:
    """Exchanges, and ids of what has no partner.

    A question whose answer failed before its first word is left out together with that
    answer: templates of several families refuse two messages of one role in a row. So is one
    that the program declined: the model would learn to say the same.
    """
    exchanges: list[tuple[Message, Message]] = []
    unanswered: list[str] = []
    asked: Message | None = None
    for message in earlier:
        if message.role == "user":
            if asked is not None:
                unanswered.append(asked.id)
            asked = message
        elif asked is not None and message.text.strip() and not _is_declined(message):
            exchanges.append((asked, message))
            asked = None
        else:
            unanswered.append(message.id)
    if asked is not None:
        unanswered.append(asked.id)
    return exchanges, unanswered


def _is_declined(answer: Message) -> bool:
    found = sources_of(answer)
    return found is not None and found.is_declined

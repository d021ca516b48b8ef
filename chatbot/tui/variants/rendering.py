"""Several answers at once: their screen, and one ``match`` over what happens on it."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING

from chatbot.conversation.tree import Conversation
from chatbot.errors import ChatbotError
from chatbot.events import (
    BeamsShown,
    PromptBuilt,
    SearchStarted,
    SourcesFound,
    VariantFinished,
    VariantLoaded,
    VariantLoading,
    VariantsEvent,
    VariantsFinished,
    VariantsStarted,
    VariantTextDelta,
    VariantThoughtDelta,
)
from chatbot.tui.models.rows import disk_size
from chatbot.tui.variants.column import VariantColumn
from chatbot.tui.variants.screen import VariantsScreen

if TYPE_CHECKING:
    from chatbot.tui.app import ChatApp


async def show_variants(app: "ChatApp", events: AsyncGenerator[VariantsEvent]) -> None:
    """Show the answers on a screen of their own as they come; the user may keep one there.

    Raises:
        ChatbotError: they could not be begun.
    """
    screen: VariantsScreen | None = None

    def keep(answer_id: str | None) -> None:
        if answer_id is not None:
            keep_answer(app.manager.conversation, answer_id)
            app.show_conversation()

    async def open_screen(started: VariantsStarted) -> VariantsScreen:
        nonlocal screen
        question = started.question.text
        screen = VariantsScreen(started.kind, started.plans, question, app.manager.stop)
        await app.push_screen(screen, keep)
        return screen

    try:
        async with aclosing(events):
            await render_variants(events, open_screen)
    except ChatbotError as error:
        if screen is None:
            raise
        screen.fail(str(error))
    finally:
        await app.draw_conversation()


def keep_answer(conversation: Conversation, answer_id: str) -> None:
    """Have the conversation go on from an answer, where it is one of its answers."""
    if answer_id in conversation:  # one that was stopped before its first word is not
        conversation.show(conversation.newest_leaf(answer_id))


async def render_variants(
    events: AsyncGenerator[VariantsEvent],
    open_screen: Callable[[VariantsStarted], Awaitable[VariantsScreen]],
) -> None:
    """Show the answers as they come.

    Args:
        events: what happens.
        open_screen: makes the screen once it is known which answers there will be.

    Raises:
        ChatbotError: they could not be begun, or gone on with.
    """
    screen: VariantsScreen | None = None
    async for event in events:
        match event:
            case VariantsStarted():
                screen = await open_screen(event)
            case SearchStarted() if screen:
                screen.say_all("searching your folders")
            case SourcesFound(found=found) if screen:
                from chatbot.tui.chat.source_lines import found_words

                screen.say(found_words(found))
            case PromptBuilt(num_prompt_tokens=num_tokens) if screen:
                screen.say_all(f"reading {num_tokens:,} tokens")
            case BeamsShown() if screen:
                screen.show_beams(event)
            case VariantFinished(index=index, answer=answer) if screen:
                screen.finish(index, answer)
            case VariantsFinished() if screen:
                screen.finish_all(event, facts_of(event, is_once=not screen.is_comparison))
            case (
                VariantLoading() | VariantLoaded() | VariantTextDelta() | VariantThoughtDelta()
            ) if screen:
                _render_one(event, screen.column(event.index))


def _render_one(
    event: VariantLoading | VariantLoaded | VariantTextDelta | VariantThoughtDelta,
    column: VariantColumn | None,
) -> None:
    if column is None:
        return  # a beam, which is shown in the list of them
    match event:
        case VariantLoading():
            column.say("loading the model")
        case VariantLoaded(precision=precision, device=device, weight_bytes=num_bytes):
            facts = [precision] if column.plan.label != precision else []
            size = [disk_size(num_bytes)] if num_bytes else []
            column.say_loaded(" · ".join([*facts, device, *size]))
        case VariantTextDelta(text=text, num_tokens=num_tokens):
            column.append(text, num_tokens)
        case VariantThoughtDelta(num_tokens=num_tokens):
            column.think(num_tokens)


def facts_of(finished: VariantsFinished, *, is_once: bool) -> str:
    """What the answers took together: ``prompt 312 tokens, read once (18 new) · …``.

    Args:
        finished: the end of them.
        is_once: they are of one prompt that was read for all of them.
    """
    facts = []
    if finished.num_prompt_tokens:
        read = f", read once ({finished.num_read_tokens:,} new)" if is_once else ""
        facts.append(f"prompt {finished.num_prompt_tokens:,} tokens{read}")
    together = f"all {finished.num_new_tokens:,} tokens"
    if finished.seconds:
        speed = finished.num_new_tokens / finished.seconds
        together += f", {finished.seconds:.1f} s, {speed:.1f} tok/s"
    return " · ".join([*facts, together])

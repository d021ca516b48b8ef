"""Several answers at once: their screen, and one ``match`` over what happens on it."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Final

from chatbot.conversation.tree import Conversation
from chatbot.errors import ChatbotError, CommandError
from chatbot.events import (
    AnswersHeld,
    BeamsShown,
    PromptBuilt,
    PromptReading,
    SearchStarted,
    SourcesFound,
    VariantFinished,
    VariantLoaded,
    VariantLoading,
    VariantSettingChanged,
    VariantsEvent,
    VariantsFinished,
    VariantsStarted,
    VariantTextDelta,
    VariantThoughtCut,
    VariantThoughtDelta,
)
from chatbot.messages import Message
from chatbot.tui.reading_progress import reading_words, search_words
from chatbot.tui.status_line import StatusLine
from chatbot.tui.variants.column import VariantColumn
from chatbot.tui.variants.screen import Hints, VariantsScreen
from chatbot.wording import memory

if TYPE_CHECKING:
    from chatbot.tui.app import ChatApp


async def show_variants(app: "ChatApp", events: AsyncGenerator[VariantsEvent]) -> None:
    """Show the answers on a screen of their own as they come; the user may keep one there.

    Raises:
        ChatbotError: they could not be begun.
    """
    screen: VariantsScreen | None = None
    conversation = app.manager.conversation
    before, question_id = conversation.active_leaf, ""

    def keep(answer_id: str | None) -> None:
        if answer_id is None:
            go_back(conversation, before, question_id)
        else:
            go_on_from(conversation, answer_id)
        app.show_conversation()
        app.asking.choose_answer(is_over=True)

    async def open_screen(started: VariantsStarted) -> VariantsScreen:
        nonlocal screen, question_id
        question_id = started.question.id
        hints = Hints(
            f"{app.key_of('hold')} go on · {app.key_of('step')} draw one more of each",
            f"thinking · {app.key_of('answer_now')} end it in all of them",
            f"{app.key_of('hold')} hold · {app.key_of('variants_set')} set",
        )
        screen = VariantsScreen(
            started.kind,
            started.plans,
            started.question.text,
            app.manager.stop,
            app.asking.take_back_all,
            partial(change_setting, app),
            hints,
        )
        app.clear_notifications()  # they were about what is covered now
        app.asking.choose_answer(is_over=False)
        await app.push_screen(screen, keep)
        status_line = app.screen_stack[0].query_one(StatusLine)
        screen.watch(status_line, "status", screen.show_load)
        return screen

    try:
        async with aclosing(events):
            await render_variants(events, open_screen)
    except ChatbotError as error:
        if screen is None:
            raise
        screen.fail(str(error))
    finally:
        if screen is not None:  # else nothing is otherwise, and an answer may be streaming there
            await app.draw_conversation()


def change_setting(app: "ChatApp", text: str) -> bool:
    """Have all answers go on with another setting, given as ``NAME VALUE``.

    Returns:
        Whether it is set; where it is not, the user has been told why.
    """
    name, _, value = text.removeprefix("/set").strip().partition(" ")
    try:
        if not value.strip():
            raise CommandError("Give a setting and its value: temperature 0.9")
        app.manager.change_setting(name, value.strip())
    except ChatbotError as error:
        app.refuse(str(error))
        return False
    app.show_settings()
    return True


def go_on_from(conversation: Conversation, answer_id: str) -> None:
    """Have the conversation go on from an answer, where it is one of its answers."""
    if answer_id in conversation:  # one that was stopped before its first word is not
        conversation.show(conversation.newest_leaf(answer_id))


def go_back(conversation: Conversation, leaf_id: str | None, question_id: str) -> None:
    """Have the conversation go on from where it was before, if the question had an answer there."""
    if leaf_id is None or leaf_id not in conversation or leaf_id == question_id:
        return
    if any(message.id == question_id for message in conversation.path(leaf_id)):
        conversation.show(leaf_id)


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
        if screen and isinstance(event, _GOES_ON):
            screen.hold(None)
        match event:
            case VariantsStarted():
                screen = await open_screen(event)
            case SearchStarted(is_ready=is_ready) if screen:
                screen.say_all(search_words(is_ready=is_ready))
            case SourcesFound(found=found) if screen:
                from chatbot.tui.chat.source_lines import found_words

                screen.say(found_words(found))
            case PromptBuilt(num_prompt_tokens=num_tokens) if screen:
                screen.say_current(f"reading {num_tokens:,} tokens")
            case PromptReading(progress=progress) if screen:
                screen.say_current(reading_words(progress, is_brief=True))
            case AnswersHeld(num_tokens=num_tokens) if screen:
                screen.hold(num_tokens)
            case BeamsShown() if screen:
                screen.show_beams(event)
            case VariantFinished(index=index, answer=answer) if screen:
                screen.finish(index, answer)
            case VariantsFinished() if screen:
                screen.finish_all(event, facts_of(event, is_once=not screen.is_comparison))
            case (
                VariantLoading()
                | VariantLoaded()
                | VariantTextDelta()
                | VariantThoughtDelta()
                | VariantThoughtCut()
                | VariantSettingChanged()
            ) if screen:
                _render_one(event, screen.column(event.index))


_GOES_ON: Final = (VariantTextDelta, VariantThoughtDelta, BeamsShown, VariantFinished)
"""What comes only while answers are not held."""


def _render_one(
    event: VariantLoading
    | VariantLoaded
    | VariantTextDelta
    | VariantThoughtDelta
    | VariantThoughtCut
    | VariantSettingChanged,
    column: VariantColumn | None,
) -> None:
    if column is None:
        return  # a beam, which is shown in the list of them
    match event:
        case VariantLoading():
            column.say("loading the model")
        case VariantLoaded(precision=precision, device=device, weight_bytes=num_bytes):
            facts = [precision] if column.plan.label != precision else []
            weights = [memory(num_bytes)] if num_bytes else []
            column.say_loaded(" · ".join([*facts, device, *weights]))
        case VariantTextDelta(text=text, num_tokens=num_tokens):
            column.append(text, num_tokens)
        case VariantThoughtDelta(num_tokens=num_tokens, num_thinking_tokens=size):
            column.think(num_tokens, size, event.seconds)
        case VariantThoughtCut():
            column.cut_thought()
        case VariantSettingChanged(change=change):
            column.mark(change)


def facts_of(finished: VariantsFinished, *, is_once: bool) -> str:
    """What the answers took together: ``prompt 312 tokens, read once (18 new) · …``.

    Args:
        finished: the end of them.
        is_once: they are of one prompt that was read for all of them.
    """
    facts = []
    if finished.num_prompt_tokens:
        read = f", read once ({finished.num_read_tokens:,} new)" if is_once else ""
        size = f"{finished.num_prompt_tokens:,}" if is_once else _sizes(finished.answers)
        facts.append(f"prompt {size} tokens{read}")
    together = f"all {finished.num_new_tokens:,} tokens"
    if finished.seconds:
        speed = finished.num_new_tokens / finished.seconds
        together += f", {finished.seconds:.1f} s, {speed:.1f} tok/s"
    return " · ".join([*facts, together])


def _sizes(answers: Sequence[Message]) -> str:
    """How long the prompt is for each of several models, said once where that is the same."""
    made = [answer.making.statistics for answer in answers if answer.making]
    sizes = sorted({cost.num_prompt_tokens for cost in made if cost})
    return "–".join(f"{size:,}" for size in dict.fromkeys((*sizes[:1], *sizes[-1:])))

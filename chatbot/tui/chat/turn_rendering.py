"""A turn, as the chat pane shows it: one ``match`` over its events.

Draws; decides nothing and handles no errors.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from functools import partial

from chatbot.conversation.tree import Conversation
from chatbot.events import (
    AnswerHeld,
    PromptBuilt,
    PromptReading,
    SearchStarted,
    SettingChanged,
    SourcesFound,
    SupportFound,
    TextDelta,
    ThoughtCut,
    ThoughtDelta,
    ToolCallBegun,
    ToolCalled,
    ToolFinished,
    ToolRunning,
    TurnEvent,
    TurnFinished,
    TurnStarted,
)
from chatbot.messages import Message
from chatbot.tokens import TokenRecord
from chatbot.tui.chat.chat_view import ChatView
from chatbot.tui.chat.message_views import AnswerView
from chatbot.tui.reading_progress import reading_words, search_words
from chatbot.wording import counted


async def render_turn(
    events: AsyncGenerator[TurnEvent],
    chat: ChatView,
    conversation: Conversation,
    *,
    device: Callable[[], str],
    tokens_of: Callable[[str], Awaitable[Sequence[TokenRecord]]],
    keys_when_held: str,
    keys_when_thinking: str,
) -> None:
    """Show a turn as it happens.

    Args:
        events: the turn.
        chat: where the messages are.
        conversation: the chat that the turn is in.
        device: gives where the model runs.
        tokens_of: gives what the tokens of a running answer were drawn from.
        keys_when_held: what can be done about an answer that is held.
        keys_when_thinking: what can be done about a thought.

    Raises:
        ChatbotError: the turn could not be begun.
    """
    view: AnswerView | None = None
    async for event in events:
        match event:
            case TurnStarted(question=question, answer_id=answer_id, text_so_far=text_so_far):
                await _show_up_to(chat, conversation, question)
                view = await chat.add_answer(answer_id)
                view.draw_tokens(partial(tokens_of, answer_id))
                view.say("waiting for the model")
                for change in event.changes_so_far:
                    view.mark(change)
                if text_so_far:
                    view.append(text_so_far, event.num_tokens_so_far)
            case SearchStarted(is_ready=is_ready) if view:
                view.say_searching(search_words(is_ready=is_ready))
            case SourcesFound(found=found) if view:
                from chatbot.tui.chat.source_lines import found_words

                view.say_found(found, found_words(found))
                view.say(f"{found_words(found)} · waiting for the model")
            case PromptBuilt() if view:
                view.run_beside(device())
                view.say_reading(f"reading {event.num_prompt_tokens:,} tokens")
                await chat.mark_left_out(event.left_out)
            case PromptReading(progress=progress) if view:
                view.say_reading(reading_words(progress))
            case TextDelta(text=text, num_tokens=num_tokens) if view:
                view.append(text, num_tokens)
            case ThoughtDelta() if view:
                view.think(event, keys_when_thinking)
            case ThoughtCut() if view:
                view.cut_thought()
            case ToolCallBegun(name=name) if view:
                view.say(f"calling {name or 'a tool'}")
            case ToolCalled(call=call) if view:
                await view.add_call(call)
            case ToolRunning(call_id=call_id) if view:
                view.start_call(call_id)
            case ToolFinished(result=result) if view:
                view.end_call(result)
            case SettingChanged(change=change) if view:
                view.mark(change)
            case AnswerHeld(num_tokens=num_tokens) if view:
                await view.say_held(f"held after {counted(num_tokens, 'token')} · {keys_when_held}")
            case SupportFound() if view:
                view.say("its sentences were held against the sources")
            case TurnFinished(answer=answer) if answer.id not in conversation:
                # Nothing came of it: what was there before is shown again.
                await show_path(chat, conversation, conversation.path())
            case TurnFinished(answer=answer) if view:
                await view.finish(answer, variant_of(conversation, answer.id))


async def show_path(chat: ChatView, conversation: Conversation, path: Sequence[Message]) -> None:
    """Show a branch, or the beginning of one, in place of what is there."""
    variant = partial(variant_of, conversation)
    await chat.show_path(path, variant, conversation.pinned, conversation.rating)


def variant_of(conversation: Conversation, message_id: str) -> str:
    """``2/3``, or nothing for a message that is the only one of its kind."""
    if message_id not in conversation:
        return ""
    variants = conversation.variants(message_id)
    if len(variants) < 2:
        return ""
    return f"{variants.index(message_id) + 1}/{len(variants)}"


async def _show_up_to(chat: ChatView, conversation: Conversation, question: Message) -> None:
    """Have the question at the end of what is shown."""
    chat.describe(partial(variant_of, conversation), conversation.pinned, conversation.rating)
    if chat.last_message_id == question.parent_id:
        await chat.add_question(question, variant_of(conversation, question.id))
    elif chat.last_message_id != question.id:
        await show_path(chat, conversation, conversation.path(question.id))

"""What the keys on a message do.

Works through the manager and the face; knows no other widget than the chat pane.
"""

import asyncio
from typing import Final, Protocol

from chatbot.conversation.manager import ConversationManager
from chatbot.errors import CommandError
from chatbot.messages import Message, SourcesPart
from chatbot.store.values import Rating
from chatbot.tui.chat.chat_view import ChatView
from chatbot.tui.chat.message_views import AnswerView, MessageView
from chatbot.tui.keys import NUM_SOURCE_KEYS, with_keys

_OF_WHAT_IS_SHOWN: Final = frozenset(
    (
        *("continue", "copy", "copy_code", "lens", "sources"),
        *(f"source_{number}" for number in range(1, NUM_SOURCE_KEYS + 1)),
    )
)
"""Actions for which a message does not have to be a part of the conversation yet."""


class Actor(Protocol):
    """What an action needs of the app."""

    manager: ConversationManager

    def take(self, text: str) -> object:
        """Carry out a command."""
        ...

    def begin_edit(self, question: Message) -> None:
        """Have the user put a question in other words."""
        ...

    def copy_text(self, text: str) -> None:
        """Put a text on the clipboard."""
        ...

    def tell(self, sentence: str) -> None:
        """Say something in passing."""
        ...

    def count_context(self) -> object:
        """Show anew what the next prompt consists of."""
        ...

    def show_sources(self, found: SourcesPart) -> None:
        """Show all that was found for an answer."""
        ...

    def open_source(self, found: SourcesPart, index: int) -> None:
        """Show a source of an answer in its document."""
        ...

    def open_lens(self, answer_id: str) -> object:
        """Show an answer token by token."""
        ...

    async def draw_conversation(self) -> None:
        """Draw the branch that is shown anew."""
        ...


async def act_on_message(app: Actor, chat: ChatView, view: MessageView, action: str) -> None:
    """Carry out the action of this name on a message.

    Raises:
        ChatbotError: it makes no sense now; the text says why.
    """
    if view.message_id not in app.manager.conversation and action not in _OF_WHAT_IS_SHOWN:
        # It is being written, or another chat is open by now, which is about to be drawn.
        raise CommandError("This answer is not written yet; Esc stops it.")
    match action:
        case "copy":
            app.copy_text(view.text)
        case "copy_code":
            code = view.last_code_block()
            if code is None:
                raise CommandError("There is no code block in this message.")
            app.copy_text(code)
        case "previous_variant":
            await _show_variant(app, chat, view, -1)
        case "next_variant":
            await _show_variant(app, chat, view, 1)
        case "edit":
            app.begin_edit(app.manager.question_to_edit(view.message_id))
        case "regenerate":
            _show_up_to_question(app, view)
            chat.focus_next_answer()
            app.take("/regen")
            await asyncio.sleep(0)  # it has begun when the next key is looked at, which may stop it
        case "continue":
            app.take("/continue")
            await asyncio.sleep(0)
        case "fork":
            app.manager.fork(view.message_id)
            await app.draw_conversation()
            app.tell("A new chat, with all up to here.")
        case "pin":
            conversation = app.manager.conversation
            is_pinned = view.message_id not in conversation.pinned
            conversation.pin_message(view.message_id, is_pinned)
            view.show_pinned(is_pinned)
            app.count_context()
        case "delete":
            app.manager.delete_message(view.message_id)
            await app.draw_conversation()
            chat.focus_message(None, 0)
            app.tell("Deleted. /undo brings it back.")
        case "lens":
            app.open_lens(_answer_to(chat, view).message_id)
        case "rate_good":
            _rate(app, _answer_to(chat, view), 1)
        case "rate_bad":
            _rate(app, _answer_to(chat, view), -1)
        case "sources":
            app.show_sources(_found(_answer_to(chat, view)))
        case _ if action.startswith("source_"):
            index = int(action.removeprefix("source_")) - 1
            open_source(app, _answer_to(chat, view), index)


def _answer_to(chat: ChatView, view: MessageView) -> AnswerView:
    """The answer itself, or the one that stands below a question."""
    answer = view if isinstance(view, AnswerView) else chat.view_below(view)
    if not isinstance(answer, AnswerView):
        raise CommandError("This question has no answer yet.")
    return answer


def open_source(app: Actor, view: AnswerView, index: int) -> None:
    """Show the source with this index in its document.

    Raises:
        CommandError: the answer has no such source.
    """
    found = _found(view)
    if not index < len(found.sources):
        shows = with_keys(view.app, "{sources} shows all that was found for it.")
        raise CommandError(f"This answer has no source {index + 1}; {shows}")
    app.open_source(found, index)


def _found(view: AnswerView) -> SourcesPart:
    found = view.found
    if found is None:
        words = "Nothing was searched for this answer; {knowledge} shows your folders."
        raise CommandError(with_keys(view.app, words))
    return found


def _rate(app: Actor, view: AnswerView, rating: Rating) -> None:
    """Rate an answer; the same rating once more takes it back."""
    before = app.manager.conversation.rating(view.message_id)
    now = None if rating == before else rating
    app.manager.rate(view.message_id, now)
    view.show_rating(now)


def _show_up_to_question(app: Actor, view: MessageView) -> None:
    """Make the message's question the last one of the branch that is shown."""
    app.manager.require_free()
    conversation = app.manager.conversation
    conversation.show(conversation.question_of(view.message_id).id)


async def _show_variant(app: Actor, chat: ChatView, view: MessageView, step: int) -> None:
    conversation = app.manager.conversation
    variants = conversation.variants(view.message_id)
    index = variants.index(view.message_id) + step
    if app.manager.is_answering or not 0 <= index < len(variants):
        return
    conversation.show(conversation.newest_leaf(variants[index]))
    await app.draw_conversation()
    chat.focus_id(variants[index])

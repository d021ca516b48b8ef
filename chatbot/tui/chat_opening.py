"""From the list of all chats to one of them, and to a message in it."""

from typing import TYPE_CHECKING

from chatbot.errors import ChatbotError
from chatbot.store.chat_store import ChatStore
from chatbot.tui.chats_screen import ChatsScreen
from chatbot.tui.status_line import StatusLine

if TYPE_CHECKING:
    from chatbot.tui.app import ChatApp


def open_chats(app: "ChatApp", store: ChatStore) -> None:
    """List the chats of ``store``, and search through them; what is chosen is opened."""

    def chosen(choice: tuple[str, str | None] | None) -> None:
        app.show_title()  # it may have been renamed there
        if choice is not None:
            app.run_worker(_open(app, *choice), group="turn")

    def tell_end(elsewhere: str) -> None:
        if not elsewhere:
            screen.forget_left()

    left = app.manager.left
    screen = ChatsScreen(store, app.manager.conversation, left.conversation if left else None)
    app.open_screen(screen, chosen)
    if left:
        screen.watch(app.screen_stack[0].query_one(StatusLine), "elsewhere", tell_end, init=False)


async def _open(app: "ChatApp", chat_id: str, message_id: str | None) -> None:
    """Open a chat, by the branch on which a message stands, if one is named."""
    try:
        if chat_id != app.manager.conversation.id:
            await app.manager.open_chat(chat_id)
    except ChatbotError as error:
        app.refuse(str(error))
        return
    conversation = app.manager.conversation
    shown = {message.id for message in conversation.path()}
    if message_id is not None and message_id in conversation and message_id not in shown:
        if app.manager.is_answering:
            app.refuse("It is on another branch; stop the answer here first (Esc).")
            message_id = None
        else:
            conversation.show(conversation.newest_leaf(message_id))
    await app.draw_conversation()
    if message_id is not None:
        await app.go_to_message(message_id)

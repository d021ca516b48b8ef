"""The token lens on an answer of the conversation, finished or being written."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from chatbot.conversation.making_words import drawn_with
from chatbot.conversation.manager import ConversationManager
from chatbot.conversation.token_spans import first_after, spans_of
from chatbot.errors import ChatbotError, CommandError
from chatbot.messages import Message
from chatbot.settings import find_spec
from chatbot.tokens import TokenRecord
from chatbot.tui.lens.screen import Choice, LensScreen, Stretch

if TYPE_CHECKING:
    from chatbot.tui.app import ChatApp


async def open_lens(app: "ChatApp", answer_id: str) -> None:
    """Show an answer token by token; what is chosen there, the answer goes on with."""
    try:
        screen = await make_lens(app.manager, answer_id)
    except ChatbotError as error:
        app.refuse(str(error))
        return

    def chosen(choice: Choice | None) -> None:
        if choice is not None:
            app.run_worker(_branch(app, answer_id, choice), group="turn")

    app.open_screen(screen, chosen)


async def _branch(app: "ChatApp", answer_id: str, choice: Choice) -> None:
    try:
        await app.run_turn(app.manager.branch_from_token(answer_id, *choice))
    except ChatbotError as error:
        app.refuse(str(error))


async def make_lens(manager: ConversationManager, answer_id: str) -> LensScreen:
    """The screen that shows an answer token by token.

    Raises:
        CommandError: nothing was recorded of it.
        StoreError: the records cannot be read.
    """
    if not await manager.tokens_of(answer_id) and not manager.is_writing(answer_id):
        raise CommandError(
            "Nothing was recorded of the tokens of this answer; r answers once more."
        )

    async def read() -> tuple[tuple[TokenRecord, ...], Sequence[Stretch]]:
        records = await manager.tokens_of(answer_id)
        return records, stretches_of(manager.answer_so_far(answer_id), records)

    # Who wants no colours sees the same in heights.
    has_marks = bool(os.environ.get("NO_COLOR"))
    return LensScreen(read, lambda: manager.is_writing(answer_id), has_marks=has_marks)


def stretches_of(answer: Message, records: tuple[TokenRecord, ...]) -> list[Stretch]:
    """Which tokens were drawn with which settings, in their order; the first begins at 0.

    Told are the temperature, or how many beams searched, whatever was changed on the way, and
    whatever else is not as it is by default, the most telling first.
    """
    making = answer.making
    if making is None or making.is_by_program:
        return []
    names = [*(change.name for change in making.changes), *drawn_with(making)]
    if not making.num_beams:
        names.insert(0, "temperature")
    values = {"beams": str(making.num_beams)} if making.num_beams else {}
    values |= {
        name: find_spec(name).format(getattr(making.sampling, name))
        for name in names
        if find_spec(name).is_sampling
    }
    stretches = [Stretch(0, dict(values))]
    spans = spans_of(answer.text, records) if making.changes else []
    for change in making.changes:
        index = first_after(change, spans)
        if index >= len(records) or change.name not in values:
            continue
        values[change.name] = change.new
        last = stretches[-1]
        words = f"{change.name} {change.old} → {change.new}"
        if last.start == index and last.mark:
            words = f"{stretches.pop().mark} · {words}"
        stretches.append(Stretch(index, dict(values), words))
    return stretches

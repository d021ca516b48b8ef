"""The token lens on an answer of the conversation, finished or being written."""

import os
from collections.abc import Mapping

from chatbot.conversation.manager import ConversationManager
from chatbot.conversation.token_spans import spans_of
from chatbot.errors import CommandError
from chatbot.messages import Message
from chatbot.tokens import TokenRecord
from chatbot.tui.lens_screen import LensScreen


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

    async def read() -> tuple[tuple[TokenRecord, ...], Mapping[int, str]]:
        records = await manager.tokens_of(answer_id)
        return records, marks_of(manager.answer_so_far(answer_id), records)

    # Who wants no colours sees the same in heights.
    has_marks = bool(os.environ.get("NO_COLOR"))
    return LensScreen(read, lambda: manager.is_writing(answer_id), has_marks=has_marks)


def marks_of(answer: Message, records: tuple[TokenRecord, ...]) -> dict[int, str]:
    """Which settings changed before which token: ``temperature 0.3 → 1.2``."""
    changes = answer.making.changes if answer.making else ()
    marks: dict[int, list[str]] = {}
    spans = spans_of(answer.text, records) if changes else []
    for change in changes:
        index = next((i for i, (_, end) in enumerate(spans) if end > change.offset), None)
        if index is not None:
            marks.setdefault(index, []).append(f"{change.name} {change.old} → {change.new}")
    return {index: " · ".join(words) for index, words in marks.items()}

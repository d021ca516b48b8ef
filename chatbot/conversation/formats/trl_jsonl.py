"""Ratings as data to train on, in the conversational forms that trl reads.

Preferences: ``{"prompt": [...], "chosen": [...], "rejected": [...]}``, one line for each good
answer and each bad one to the same question. Thumbs: ``{"prompt": [...], "completion": [...],
"label": true}``, one line for each answer that is rated. All of them lists of messages.
"""

from collections.abc import Iterator

import msgspec

from chatbot.conversation.file_block import as_one_text
from chatbot.conversation.tree import Conversation
from chatbot.messages import Message
from chatbot.store.values import Rating, StoredChat


class _Text(msgspec.Struct, frozen=True):
    role: str
    content: str


class _Preference(msgspec.Struct, frozen=True):
    prompt: list[_Text]
    chosen: list[_Text]
    rejected: list[_Text]


class _Thumb(msgspec.Struct, frozen=True):
    prompt: list[_Text]
    completion: list[_Text]
    label: bool


def preference_lines(chat: StoredChat) -> Iterator[bytes]:
    """A line for each pair of a good and a bad answer to one question, oldest first."""
    conversation = Conversation.from_stored(chat)
    rated = list(_rated(conversation))
    for answer, rating in rated:
        if rating != 1:
            continue
        for other, other_rating in rated:
            if other_rating == -1 and other.parent_id == answer.parent_id:
                prompt = _prompt(conversation, answer)
                yield _line(_Preference(prompt, [_text(answer)], [_text(other)]))


def thumb_lines(chat: StoredChat) -> Iterator[bytes]:
    """A line for each rated answer, oldest first."""
    conversation = Conversation.from_stored(chat)
    for answer, rating in _rated(conversation):
        yield _line(_Thumb(_prompt(conversation, answer), [_text(answer)], rating == 1))


def _rated(conversation: Conversation) -> Iterator[tuple[Message, Rating]]:
    for message in conversation.messages():
        rating = conversation.rating(message.id)
        if rating is not None and message.parent_id is not None and message.text.strip():
            yield message, rating


def _prompt(conversation: Conversation, answer: Message) -> list[_Text]:
    return [_text(message) for message in conversation.path(answer.parent_id)]


def _text(message: Message) -> _Text:
    return _Text(message.role, as_one_text(message).text)


def _line(value: _Preference | _Thumb) -> bytes:
    return msgspec.json.encode(value) + b"\n"

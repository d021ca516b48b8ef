"""Slash commands about the exchanges of the conversation: again, otherwise, on, back; and what
they consisted of.
"""

from collections.abc import Sequence

from chatbot.conversation.commands.face import Command, Face
from chatbot.conversation.mentions import mentioned_files
from chatbot.conversation.prompt_preview import render_prompt
from chatbot.errors import CommandError
from chatbot.fencing import fenced
from chatbot.messages import Statistics
from chatbot.terminal_text import clean, clean_line
from chatbot.wording import counted


async def _regen(face: Face, arguments: str) -> None:
    await face.run_turn(face.manager.regenerate())


async def _edit(face: Face, arguments: str) -> None:
    if arguments:
        editing = face.manager.edit(arguments, files=mentioned_files(arguments))
        await face.run_turn(editing)
        return
    face.begin_edit(face.manager.question_to_edit())


async def _undo(face: Face, arguments: str) -> None:
    if not await face.manager.undo_deletion():
        face.manager.undo()
    face.show_conversation()


async def _continue(face: Face, arguments: str) -> None:
    await face.run_turn(face.manager.continue_answer())


async def _answer(face: Face, arguments: str) -> None:
    face.manager.answer_now()


async def _tokens(face: Face, arguments: str) -> None:
    answer = face.manager.conversation.last("assistant")
    statistics = answer.making.statistics if answer and answer.making else None
    if statistics is None:
        raise CommandError("No answer has been counted yet; ask a question first.")
    face.show_note(
        f"Last answer: {statistics.num_prompt_tokens:,} prompt tokens "
        f"({statistics.num_cached_tokens:,} of them from the cache), "
        f"{statistics.num_new_tokens:,} new tokens"
        + (_speed_words(statistics) if statistics.num_new_tokens else "")
        + (f", by the {statistics.decoder} decoder." if statistics.decoder else ".")
    )


def _speed_words(statistics: Statistics) -> str:
    return (
        f", first after {statistics.first_token_seconds:.2f} s, then "
        f"{statistics.tokens_per_second:.1f} tokens per second"
    )


async def _context(face: Face, arguments: str) -> None:
    rendered = await render_prompt(face.manager)
    text = fenced(clean(rendered.text), "text")
    typed = _typed_words(rendered.typed_controls)
    face.show_note(f"The prompt, {rendered.num_tokens:,} tokens{typed}:\n\n{text}")


def _typed_words(typed: Sequence[str]) -> str:
    """Which control tokens are none, as nothing else tells them from the template's own."""
    if not typed:
        return ""
    names = ", ".join(f"`{clean_line(name)}`" for name in dict.fromkeys(typed))
    return (
        f", in which {counted(len(typed), 'control token')} stood in a message and "
        f"{'is' if len(typed) == 1 else 'are'} plain characters to the model ({names})"
    )


async def _copy(face: Face, arguments: str) -> None:
    answer = face.manager.conversation.last("assistant")
    if answer is None:
        raise CommandError("There is no answer to copy yet.")
    face.copy_text(answer.text)


COMMANDS = (
    Command("regen", "", "answers the last question once more.", _regen),
    Command("edit", "[TEXT]", "asks the last question in other words.", _edit),
    Command("continue", "", "goes on with an answer that was cut off.", _continue),
    Command("answer", "", "ends the thinking, so that the answer comes now.", _answer),
    Command("undo", "", "brings a deletion back, else takes the last exchange back.", _undo),
)

INSIGHT_COMMANDS = (
    Command("tokens", "", "says what the last answer cost.", _tokens),
    Command("context", "", "shows the very text that the model was given.", _context),
    Command("copy", "", "copies the last answer to the clipboard.", _copy),
)

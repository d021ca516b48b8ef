"""The question in plain text whether a tool may run: what counts as a yes."""

import pytest

from chatbot.plain.asides import TerminalApprover
from chatbot.tools.values import ApprovalRequest, Decision, ToolDefinition

DEFINITION = ToolDefinition(name="send", description="Sends.", parameters={})


async def answer(line: str | None, *choices: Decision) -> Decision:
    async def read_line(prompt: str) -> str | None:
        return line

    request = ApprovalRequest(definition=DEFINITION, arguments="{}", reasons=(), choices=choices)
    return await TerminalApprover(read_line).ask(request)


@pytest.mark.parametrize(
    ("line", "decision"),
    [("o", "once"), (" Once ", "once"), ("C", "chat"), ("chat", "chat"), ("always", "always")],
)
async def test_the_letter_and_the_word_are_answers(line: str, decision: Decision) -> None:
    assert await answer(line, "once", "chat", "always", "no") == decision


@pytest.mark.parametrize(
    "line",
    ["abort", "cancel", "of course not", "absolutely not", "and what is 2 + 2?", "yes", "", None],
)
async def test_what_only_begins_like_a_yes_is_a_no(line: str | None) -> None:
    assert await answer(line, "once", "chat", "always", "no") == "no"


async def test_what_is_not_offered_is_a_no() -> None:
    assert await answer("always", "once", "no") == "no"

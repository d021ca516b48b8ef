"""Who may let a tool run: the whole truth table, and what the answers leave behind."""

import itertools
from typing import Literal

import msgspec
import pytest

from chatbot.errors import ToolError
from chatbot.tools.approvals import Approvals
from chatbot.tools.values import ApprovalRequest, Decision, Origin, Policy, ToolDefinition


def make_tool(
    *,
    origin: Origin = "built-in",
    reaches_network: bool = False,
    writes: bool = False,
    description: str = "Do.",
) -> ToolDefinition:
    return ToolDefinition(
        name="tool",
        description=description,
        parameters={"type": "object", "properties": {}},
        reaches_network=reaches_network,
        writes=writes,
        origin=origin,
        server="files" if origin == "mcp" else "",
    )


class Answers:
    """Gives the answers it was made with, one by one, and keeps the questions."""

    def __init__(self, *answers: Decision) -> None:
        self.answers = list(answers)
        self.requests: list[ApprovalRequest] = []

    async def ask(self, request: ApprovalRequest) -> Decision:
        self.requests.append(request)
        return self.answers.pop(0)


ORIGINS: tuple[Origin, ...] = ("built-in", "user", "mcp")
POLICIES: tuple[Policy | None, ...] = (None, "ask", "allow", "deny")
EARLIER: tuple[Literal["nothing", "chat", "always", "always, then changed"], ...] = (
    "nothing",
    "chat",
    "always",
    "always, then changed",
)


def expected(
    origin: Origin,
    is_harmless: bool,
    policy: Policy | None,
    earlier: str,
    has_flag: bool,
    is_tainted: bool,
) -> str:
    """The rules, written down a second time and in another way."""
    if policy == "deny":
        return "refuse"
    if is_tainted and not is_harmless:
        return "ask"
    if earlier in ("chat", "always"):
        return f"run: {earlier}"
    if has_flag:
        return "run: flag"
    if origin == "built-in" and policy == "allow":
        return "run: settings"
    if origin == "built-in" and policy is None and is_harmless:
        return "run: default"
    return "ask"


@pytest.mark.parametrize(
    ("origin", "effects", "policy", "earlier", "has_flag", "is_tainted"),
    itertools.product(
        ORIGINS,
        ((False, False), (True, False), (False, True), (True, True)),
        POLICIES,
        EARLIER,
        (False, True),
        (False, True),
    ),
)
async def test_truth_table(
    origin: Origin,
    effects: tuple[bool, bool],
    policy: Policy | None,
    earlier: str,
    has_flag: bool,
    is_tainted: bool,
) -> None:
    reaches_network, writes = effects
    tool = make_tool(origin=origin, reaches_network=reaches_network, writes=writes)
    always = {
        "always": {"tool": tool.identity},
        "always, then changed": {"tool": "0" * 32},
    }.get(earlier, {})
    if earlier == "chat":
        # Answered before any policy stood in the way.
        approvals = Approvals({"tool": "ask"}, {}, [])
        await approvals.approve(tool, "{}", is_tainted=False, approver=Answers("chat"))
        approvals.policies = {"tool": policy} if policy else {}
        if has_flag:
            approvals._allowed_by_flag = frozenset({"tool"})
    else:
        approvals = Approvals(
            {"tool": policy} if policy else {}, always, {"tool"} & {has_flag and "tool"}
        )
    judged = approvals.judge(tool, is_tainted=is_tainted)
    shown = f"run: {judged.approved_by}" if judged.kind == "run" else judged.kind
    wanted = expected(origin, tool.is_harmless, policy, earlier, has_flag, is_tainted)
    assert shown == wanted
    if judged.kind == "ask":
        always_taint = is_tainted and not tool.is_harmless
        assert judged.choices == (
            ("once", "no") if always_taint else ("once", "chat", "always", "no")
        )
        assert any("may be what asks for it" in reason for reason in judged.reasons) == always_taint
        assert all(reason.endswith(".") for reason in judged.reasons)
    # Nobody to ask: no, unless the flag says yes.
    if wanted == "ask":
        if has_flag:
            assert await approvals.approve(tool, "", is_tainted=is_tainted, approver=None) == "flag"
        else:
            with pytest.raises(ToolError, match="nobody to ask"):
                await approvals.approve(tool, "", is_tainted=is_tainted, approver=None)
    elif wanted == "refuse":
        with pytest.raises(ToolError, match="does not allow"):
            await approvals.approve(tool, "", is_tainted=is_tainted, approver=Answers("always"))


async def test_an_answer_for_one_call_holds_for_one_call() -> None:
    approvals, answers = Approvals(), Answers("once", "once", "no")
    tool = make_tool(writes=True)
    for _ in range(2):
        given = await approvals.approve(tool, '{"a": 1}', is_tainted=False, approver=answers)
        assert given == "user"
    with pytest.raises(ToolError, match="refused this call of tool"):
        await approvals.approve(tool, '{"a": 1}', is_tainted=False, approver=answers)
    assert [request.arguments for request in answers.requests] == ['{"a": 1}'] * 3


async def test_an_answer_for_the_chat_ends_with_it() -> None:
    approvals, answers = Approvals(), Answers("chat", "no")
    tool = make_tool(reaches_network=True)
    assert await approvals.approve(tool, "", is_tainted=False, approver=answers) == "user"
    assert await approvals.approve(tool, "", is_tainted=False, approver=None) == "chat"
    approvals.forget_chat()
    with pytest.raises(ToolError):
        await approvals.approve(tool, "", is_tainted=False, approver=answers)


@pytest.mark.parametrize("answer", ["chat", "always"])
async def test_a_changed_definition_loses_what_it_was_allowed(answer: Decision) -> None:
    approvals, answers = Approvals(), Answers(answer, "no")
    tool = make_tool(origin="mcp", writes=True)
    await approvals.approve(tool, "", is_tainted=False, approver=answers)
    assert approvals.judge(tool, is_tainted=False).kind == "run"
    changed = make_tool(origin="mcp", writes=True, description="Do, and send it to me.")
    judged = approvals.judge(changed, is_tainted=False)
    assert judged.kind == "ask"
    words = "Its description changed since you allowed it."
    assert (words in judged.reasons) == (answer == "always")
    assert approvals.is_changed(changed)


def test_what_changed_is_named() -> None:
    before = make_tool(writes=True)
    after = make_tool(description="Other.")
    assert after.changes_since(before.identity) == "Its description and effects"
    assert msgspec.structs.replace(before, source_hash="x").changes_since(before.identity) == "It"
    assert before.changes_since("0" * 32) == "It"


async def test_the_flag_is_for_what_a_server_said_at_first() -> None:
    approvals = Approvals(allowed_by_flag={"tool"})
    tool = make_tool(origin="mcp", writes=True)
    assert not approvals.is_changed(tool)
    assert await approvals.approve(tool, "", is_tainted=False, approver=None) == "flag"
    changed = make_tool(origin="mcp", writes=True, description="Do, and send it to me.")
    assert approvals.is_changed(changed)
    with pytest.raises(ToolError, match="nobody to ask"):
        await approvals.approve(changed, "", is_tainted=False, approver=None)


async def test_under_taint_every_call_is_asked_about_whatever_was_allowed() -> None:
    tool = make_tool(reaches_network=True)
    answers = Answers("once", "once", "no")
    approvals = Approvals({"tool": "allow"}, {"tool": tool.identity}, {"tool"})
    for _ in range(2):
        assert await approvals.approve(tool, "", is_tainted=True, approver=answers) == "user"
    with pytest.raises(ToolError):
        await approvals.approve(tool, "", is_tainted=True, approver=answers)
    assert approvals.judge(tool, is_tainted=False).kind == "run"


@pytest.mark.parametrize("answer", ["chat", "always", "", "yes", None])
async def test_an_answer_that_was_not_offered_is_a_no(answer: Decision) -> None:
    approvals, tool = Approvals(), make_tool(writes=True)
    with pytest.raises(ToolError):
        await approvals.approve(tool, "", is_tainted=True, approver=Answers(answer))
    assert approvals.judge(tool, is_tainted=False).kind == "ask"


def test_a_policy_is_for_one_definition_of_what_is_not_ours() -> None:
    approvals = Approvals()
    tool = make_tool(origin="user", writes=True)
    approvals.set_policy(tool, "allow")
    assert approvals.judge(tool, is_tainted=False).kind == "run"
    changed = make_tool(origin="user", writes=True, description="Other.")
    assert approvals.judge(changed, is_tainted=False).kind == "ask"
    approvals.set_policy(tool, "ask")
    assert approvals.judge(tool, is_tainted=False).kind == "ask"
    assert approvals.always == {}
    approvals.set_policy(tool, "deny")
    assert approvals.judge(tool, is_tainted=False).kind == "refuse"

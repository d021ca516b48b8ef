"""The tools as the conversation and the faces see them: what there is, what is on, what is
allowed, and the way to run a turn's calls.
"""

import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import msgspec

from chatbot.errors import ConfigError, SettingError, ToolError
from chatbot.terminal_text import clean_line
from chatbot.tools.approvals import Approvals, Approver
from chatbot.tools.catalogue import Catalogue
from chatbot.tools.json_text import read_object
from chatbot.tools.knowledge import KnowledgeAccess
from chatbot.tools.settings import ToolChoice, ToolSettings
from chatbot.tools.turn import ToolTurn
from chatbot.tools.values import (
    TIME_LIMIT_SECONDS,
    ApprovedBy,
    Policy,
    ServerInfo,
    ToolDefinition,
    ToolInfo,
    ToolOutcome,
)


class ToolBox:
    """Every tool there is, which of them are on, and what the user allows them."""

    def __init__(
        self,
        settings: ToolSettings,
        *,
        user_file: Path,
        log_dir: Path,
        knowledge: KnowledgeAccess | None = None,
        allowed_by_flag: Collection[str] = (),
        save: Callable[[str, ToolChoice], None] = lambda name, choice: None,
        time_limit_seconds: float = TIME_LIMIT_SECONDS,
    ) -> None:
        """Prepare; nothing is started before ``refresh`` or the first call.

        Args:
            settings: what config.toml says.
            user_file: the user's own tools; need not be there.
            log_dir: takes what tools and servers print.
            knowledge: the knowledge folders; None where there are none.
            allowed_by_flag: the names given to ``--allow-tool``.
            save: keeps what was chosen for a tool; raises ConfigError when it cannot.
            time_limit_seconds: for one call.
        """
        self._settings = settings
        self._choices = dict(settings.choices)
        self.has_defaults = True
        """Harmless built-in tools are on where nothing else is chosen."""
        self._only: frozenset[str] | None = None
        self._allowed_by_flag = frozenset(allowed_by_flag)
        self._save = save
        self._save_problem = ""
        self._watchers: list[Callable[[], None]] = []
        self._catalogue = Catalogue(
            user_file=user_file,
            log_dir=log_dir,
            servers=settings.servers,
            knowledge=knowledge,
            time_limit_seconds=time_limit_seconds,
            on_change=self._changed,
        )
        self._approvals = Approvals(
            policies={n: c.policy for n, c in self._choices.items() if c.policy is not None},
            always={n: c.always for n, c in self._choices.items() if c.always},
            allowed_by_flag=allowed_by_flag,
        )

    async def refresh(self) -> None:
        """List the user's file, and start and list the MCP servers."""
        await self._catalogue.refresh()

    async def close(self) -> None:
        """End everything that runs."""
        await self._catalogue.close()

    def on_change(self, watcher: Callable[[], None]) -> None:
        """Call ``watcher`` whenever tools, servers or problems change, from the event loop."""
        self._watchers.append(watcher)

    @property
    def tools(self) -> tuple[ToolInfo, ...]:
        """Every tool that is known: built-in ones, the user's, then each server's."""
        return tuple(
            ToolInfo(
                definition=definition,
                is_on=self._is_on(definition),
                policy=self._approvals.policy(definition),
                is_always_allowed=self._approvals.is_always_allowed(definition),
            )
            for definition in self._catalogue.tools.values()
        )

    @property
    def has_chosen(self) -> bool:
        """Whether a tool is on because the user switched it on."""
        if self._only is not None:
            return bool(self._only)
        return any(info.is_on and self._is_chosen(info.definition.name) for info in self.tools)

    def _is_chosen(self, name: str) -> bool:
        return bool(self._choices.get(name, ToolChoice()).on)

    @property
    def servers(self) -> tuple[ServerInfo, ...]:
        """The MCP servers and how they are."""
        return self._catalogue.servers

    @property
    def problems(self) -> tuple[str, ...]:
        """One sentence for each thing that is wrong: settings, the user's file, servers."""
        own = (self._save_problem,) if self._save_problem else ()
        return (*self._settings.problems, *self._catalogue.problems, *own)

    @property
    def usable(self) -> list[ToolDefinition]:
        """The tools that the model is told of: those that are on and not denied."""
        return [info.definition for info in self.tools if info.is_on and info.policy != "deny"]

    def require(self, names: Collection[str]) -> None:
        """Make sure that there are tools of these names, and of those that were given to
        ``--allow-tool``. A name that a tool of the user's file or of a server may have passes until
        they are listed.

        Raises:
            SettingError: there is no tool of one of the names.
        """
        known = self._catalogue.tools
        for name in (*names, *sorted(self._allowed_by_flag)):
            if name not in known and not self._catalogue.may_have(name):
                raise SettingError(str(_unknown(name, known)))

    def use_only(self, names: Collection[str]) -> None:
        """For this run, have these tools on and no other; nothing is kept of it.

        To be called after ``refresh``, before which only built-in tools are known.

        Raises:
            ToolError: there is no tool of one of the names.
        """
        known = self._catalogue.tools
        for name in names:
            if name not in known:
                raise _unknown(name, known)
        self._only = frozenset(names)
        self._changed()

    def switch(self, name: str, *, is_on: bool) -> None:
        """Switch a tool on or off, and keep that.

        Raises:
            ToolError: there is no such tool.
            ConfigError: it holds, but only for this run.
        """
        self._known(name)
        if self._only is not None:
            self._only = self._only | {name} if is_on else self._only - {name}
        self._choose(name, on=is_on)

    def set_policy(self, name: str, policy: Policy) -> None:
        """Ask about a tool, allow or deny it, and keep that; earlier answers on it are void.

        Raises:
            ToolError: there is no such tool.
            ConfigError: it holds, but only for this run.
        """
        self._approvals.set_policy(self._known(name), policy)
        self._choose(name, policy=policy, always=self._approvals.always.get(name, ""))

    def forget_chat(self) -> None:
        """Another chat begins: what was allowed for the chat is allowed no more."""
        self._approvals.forget_chat()

    def begin_turn(self, *, is_tainted: bool, approver: Approver | None) -> ToolTurn:
        """The tools' side of one turn.

        Args:
            is_tainted: text from documents, the web or a tool is in the context already; see
                ``turn.taints``.
            approver: asks the user; None where there is nobody to ask.
        """
        # Of each, so that what there is at first is known.
        changed = [tool for tool in self.usable if self._approvals.is_changed(tool)]
        return ToolTurn(self, is_tainted=is_tainted or bool(changed), approver=approver)

    async def run_by_hand(self, name: str, text: str) -> ToolOutcome:
        """Run a tool because the user typed it, which is all the approval there need be.

        Args:
            name: the tool; it need not be on.
            text: its arguments as a JSON object, or the value of its first parameter.

        Raises:
            ToolError: there is no such tool, or the arguments do not fit.
        """
        definition = await self._catalogue.find(name)
        if definition is None:
            raise _unknown(name, self._catalogue.tools)
        properties = list(definition.parameters.get("properties", {}))
        if text.lstrip().startswith("{") or not properties or not text.strip():
            arguments = read_object(text.strip())
        else:
            arguments = {properties[0]: text.strip()}
        arguments = await self._catalogue.check(definition, arguments)
        result, message, start = "", "", time.monotonic()
        try:
            result = await self._catalogue.run(definition, arguments)
        except ToolError as error:
            message = str(error)
        return ToolOutcome(
            name=name,
            result=result,
            error=message,
            seconds=time.monotonic() - start,
            approved_by="hand",
        )

    # What a ToolTurn needs.

    async def find_usable(self, name: str) -> ToolDefinition:
        """The tool of this name, as it is now.

        Raises:
            ToolError: there is none that is on.
        """
        definition = await self._catalogue.find(name)
        if definition is None or not self._is_on(definition):
            raise _unknown(name, [tool.name for tool in self.usable])
        return definition

    async def check(self, definition: ToolDefinition, arguments: dict[str, Any]) -> dict[str, Any]:
        """The arguments as the tool is run with them.

        Raises:
            ToolError: they do not fit its schema, or it takes too long to say.
        """
        return await self._catalogue.check(definition, arguments)

    async def approve(
        self,
        definition: ToolDefinition,
        arguments: str,
        *,
        is_tainted: bool,
        approver: Approver | None,
    ) -> ApprovedBy:
        """Who allows a call; see ``Approvals.approve``. An answer for always is kept.

        Raises:
            ToolError: nobody does.
        """
        allowed_by = await self._approvals.approve(
            definition, arguments, is_tainted=is_tainted, approver=approver
        )
        kept = self._choices.get(definition.name, ToolChoice()).always
        always = self._approvals.always.get(definition.name, "")
        if always != kept:
            try:
                self._choose(definition.name, always=always)
                self._save_problem = ""
            except ConfigError as error:
                # The call is allowed all the same; the sidebar says that it is not kept.
                self._save_problem = str(error)
                self._changed()
        return allowed_by

    async def execute(
        self, definition: ToolDefinition, arguments: dict[str, Any], max_result_bytes: int
    ) -> str:
        """The result of an allowed call.

        Raises:
            ToolError: there is none.
        """
        return await self._catalogue.run(definition, arguments, max_result_bytes)

    def _is_on(self, definition: ToolDefinition) -> bool:
        """Whether a tool is on: as chosen, and else, by default, if built in and harmless."""
        if self._only is not None:
            return definition.name in self._only
        chosen = self._choices.get(definition.name, ToolChoice()).on
        default = self.has_defaults and definition.origin == "built-in" and definition.is_harmless
        return default if chosen is None else chosen

    def _known(self, name: str) -> ToolDefinition:
        tools = self._catalogue.tools
        if name not in tools:
            raise _unknown(name, tools)
        return tools[name]

    def _choose(self, name: str, **changes: Any) -> None:
        choice = msgspec.structs.replace(self._choices.get(name, ToolChoice()), **changes)
        self._choices[name] = choice
        self._changed()
        self._save(name, choice)

    def _changed(self) -> None:
        for watcher in self._watchers:
            watcher()


def _unknown(name: str, names: Collection[str]) -> ToolError:
    known = ", ".join(names) or "none"
    return ToolError(f"There is no tool called {clean_line(name, 64)}; there are: {known}.")

"""Every tool there is: built-in ones, those of the user's file, and those of MCP servers.

Finds them, lists them anew when they change, and runs them. Knows nothing of which are on or
allowed.
"""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from chatbot.errors import ChatbotError, ToolChangedError, ToolError
from chatbot.terminal_text import clean, clean_line
from chatbot.tools.built_in.registry import FUNCTIONS
from chatbot.tools.definitions import define
from chatbot.tools.knowledge import KnowledgeAccess, KnowledgeTools
from chatbot.tools.mcp.client import McpServer
from chatbot.tools.mcp.naming import tool_name
from chatbot.tools.results import cut
from chatbot.tools.runner import ToolRunner
from chatbot.tools.settings import ServerSpec
from chatbot.tools.validation import checked_arguments, is_short
from chatbot.tools.values import MAX_RESULT_BYTES, TIME_LIMIT_SECONDS, ServerInfo, ToolDefinition


class Catalogue:
    """The tools, and the processes they run in."""

    def __init__(
        self,
        *,
        user_file: Path,
        log_dir: Path,
        servers: Sequence[ServerSpec] = (),
        knowledge: KnowledgeAccess | None = None,
        time_limit_seconds: float = TIME_LIMIT_SECONDS,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        """Prepare; nothing is started."""
        self._user_file = user_file
        self._time_limit_seconds = time_limit_seconds
        self._on_change = on_change
        self._runner = ToolRunner(log_dir, user_file, time_limit_seconds=time_limit_seconds)
        self._servers = {
            spec.name: McpServer(
                spec, log_dir, time_limit_seconds=time_limit_seconds, on_change=on_change
            )
            for spec in servers
        }
        self._in_process: dict[str, Callable[..., Any]] = {}
        if knowledge is not None:
            tools = KnowledgeTools(knowledge)
            self._in_process = {
                "search_knowledge": tools.search_knowledge,
                "read_document": tools.read_document,
            }
        functions = [*FUNCTIONS.values(), *self._in_process.values()]
        self._built_in = {tool.name: tool for tool in map(define, functions)}
        self._user: dict[str, ToolDefinition] = {}
        self._user_problems: tuple[str, ...] = ()
        self._user_hash: str | None = None
        self._is_listed = False
        self._user_listing = asyncio.Lock()

    @property
    def tools(self) -> dict[str, ToolDefinition]:
        """Every tool by its name: built-in ones, the user's, then each server's."""
        found = {**self._built_in, **self._user}
        for server in self._servers.values():
            for definition in server.definitions:
                found.setdefault(definition.name, definition)
        return found

    def may_have(self, name: str) -> bool:
        """Whether what is not listed yet may hold a tool of this name."""
        if not self._is_listed and self._user_file.exists():
            return True
        starts = (tool_name(s.spec.name, "")[:-1] for s in self._unlisted())
        return any(name.startswith(start[:40]) for start in starts)  # the end may be a hash

    def _unlisted(self) -> list[McpServer]:
        return [server for server in self._servers.values() if server.info.state != "ready"]

    @property
    def servers(self) -> tuple[ServerInfo, ...]:
        """The MCP servers and how they are."""
        return tuple(server.info for server in self._servers.values())

    @property
    def problems(self) -> tuple[str, ...]:
        """One sentence for each thing that is wrong with the user's file or a server."""
        problems = list(self._user_problems)
        taken = {**self._built_in, **self._user}
        for server in self._servers.values():
            if server.info.error:
                problems.append(server.info.error)
            problems += server.problems
            problems += [
                f"{definition.name} of the server {definition.server} is not used: another tool "
                "has that name."
                for definition in server.definitions
                if taken.setdefault(definition.name, definition) is not definition
            ]
        return tuple(problems)

    async def refresh(self) -> None:
        """List the user's file and every server anew. What fails is among the problems."""
        await asyncio.gather(
            self._list_user_file(), *(server.connect() for server in self._servers.values())
        )
        self._is_listed = True

    async def find(self, name: str) -> ToolDefinition | None:
        """The tool of this name as it is now; the user's file is listed anew if it changed."""
        definition = self.tools.get(name)
        if definition is not None and definition.origin == "user":
            await self._list_user_file()
            definition = self.tools.get(name)
        return definition

    async def check(self, definition: ToolDefinition, arguments: dict[str, Any]) -> dict[str, Any]:
        """The arguments as the tool is run with them.

        Cancelling this ends the check at once.

        Raises:
            ToolError: they do not fit its schema, or it takes too long to say.
        """
        if is_short(definition, arguments):
            return checked_arguments(definition, arguments)
        return await self._runner.check(definition, arguments)

    async def run(
        self,
        definition: ToolDefinition,
        arguments: dict[str, Any],
        max_result_bytes: int = MAX_RESULT_BYTES,
    ) -> str:
        """What the tool returns, as text, cleaned and cut.

        Cancelling this ends the call at once.

        Raises:
            ToolError: it failed, in one sentence; it took too long; or it is not the tool that
                ``definition`` says any more.
        """
        current = self.tools.get(definition.name)
        if current is None or current.identity != definition.identity:
            raise ToolChangedError(f"{definition.name} was changed meanwhile; call it again.")
        if definition.origin == "mcp":
            server = self._servers[definition.server]
            return cut(await server.call(definition, arguments), max_result_bytes)
        if function := self._in_process.get(definition.name):
            return cut(await self._run_here(function, definition.name, arguments), max_result_bytes)
        return await self._runner.run(definition, arguments, max_result_bytes)

    async def _run_here(
        self, function: Callable[..., Any], name: str, arguments: dict[str, Any]
    ) -> str:
        limit = self._time_limit_seconds
        try:
            async with asyncio.timeout(limit):
                return str(await function(**arguments))
        except TimeoutError as error:
            raise ToolError(f"{name} was stopped after {limit:g} seconds.") from error
        except ToolError:
            raise
        except ChatbotError as error:
            raise ToolError(clean(str(error))) from error

    async def close(self) -> None:
        """End every server."""
        await asyncio.gather(*(server.close() for server in self._servers.values()))

    async def _list_user_file(self) -> None:
        """List the user's file, unless it is as it was."""
        async with self._user_listing:
            found_hash = self._hash_user_file()
            if found_hash == self._user_hash:
                return
            tools: dict[str, ToolDefinition] = {}
            problems: list[str] = []
            if found_hash:
                try:
                    listed = await self._runner.list_user_tools()
                    problems += [clean_line(problem, 400) for problem in listed.problems]
                    for tool in listed.tools:
                        if tool.name in self._built_in:
                            problems.append(
                                f"{tool.name} in {self._user_file.name} is no tool yet: a built-in "
                                "one has that name; rename yours."
                            )
                        else:
                            tools[tool.name] = tool
                except ToolError as error:
                    problems.append(str(error))
            self._user, self._user_problems = tools, tuple(problems)
            self._user_hash = found_hash
        self._on_change()

    def _hash_user_file(self) -> str:
        """SHA-256 of the user's file; empty where there is none."""
        try:
            return hashlib.sha256(self._user_file.read_bytes()).hexdigest()
        except OSError:
            return ""

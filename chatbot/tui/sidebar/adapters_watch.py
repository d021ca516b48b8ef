"""Keeps the sidebar in step with the adapters that are in use, and the engine with the sidebar.

An adapter that is switched off is in the list alone; the model goes without it. Knows the app
by the few verbs it needs.
"""

from collections.abc import Sequence
from typing import Protocol

from chatbot.engine.client import Engine, EngineStatus
from chatbot.engine.protocol.model_info import AdapterUse, parse_adapter
from chatbot.errors import ChatbotError
from chatbot.tui.sidebar.adapter_list import AdapterRow
from chatbot.tui.sidebar.sidebar import Sidebar


class AdaptersApp(Protocol):
    """What the watch needs of the app."""

    def refuse(self, sentence: str) -> None:
        """Say what went wrong."""
        ...


class AdaptersWatch:
    """Between the engine's adapters and the app."""

    def __init__(self, app: AdaptersApp, sidebar: Sidebar, engine: Engine) -> None:
        """Prepare.

        Args:
            app: says what went wrong.
            sidebar: shows the rows.
            engine: uses them.
        """
        self._app = app
        self._sidebar = sidebar
        self._engine = engine
        self._rows: tuple[AdapterRow, ...] = ()
        self._model = ""
        self._is_applying = False

    def follow(self, status: EngineStatus) -> None:
        """Take over what is in use; another model begins with a list of its own."""
        if status.info is None or self._is_applying:
            return
        if status.info.name != self._model:
            self._model, self._rows = status.info.name, ()
        self._take_over()

    def _take_over(self) -> None:
        """Have the rows say what is in use, and keep those that are off where they stand."""
        used = {use.path: use for use in self._engine.adapters}
        rows = []
        for row in self._rows:
            use = used.pop(row.path, None)
            weight = row.weight if use is None else use.weight
            rows.append(AdapterRow(path=row.path, weight=weight, is_on=use is not None))
        rows += [AdapterRow(path=use.path, weight=use.weight) for use in used.values()]
        self._show(tuple(rows))

    async def add(self, text: str) -> None:
        """Use one more adapter: its folder, perhaps with ``=`` and a weight."""
        try:
            use = parse_adapter(text)
        except ChatbotError as error:
            self._app.refuse(str(error))
            return
        others = tuple(row for row in self._rows if row.path != use.path)
        await self._apply((*others, AdapterRow(path=use.path, weight=use.weight)))

    async def change(self, wanted: AdapterRow) -> None:
        """Have an adapter on or off, or with another weight."""
        await self._apply(tuple(wanted if r.path == wanted.path else r for r in self._rows))

    async def remove(self, path: str) -> None:
        """Take an adapter out of the list."""
        await self._apply(tuple(row for row in self._rows if row.path != path))

    async def _apply(self, rows: tuple[AdapterRow, ...]) -> None:
        """Show ``rows`` at once, and bring the engine to them; what it refuses is taken back.

        While the engine is busy with a change, or with an answer, later wishes are only noted:
        the last one of them counts.
        """
        self._show(rows)
        if self._is_applying:
            return
        self._is_applying = True
        try:
            while (wanted := _uses(self._rows)) != self._engine.adapters:
                await self._engine.use_adapters(wanted)
        except ChatbotError as error:
            self._app.refuse(str(error))
            known = {use.path for use in self._engine.adapters}
            self._rows = tuple(row for row in self._rows if not row.is_on or row.path in known)
        finally:
            self._is_applying = False
            self._take_over()

    def _show(self, rows: tuple[AdapterRow, ...]) -> None:
        self._rows = rows
        self._sidebar.show_adapters(rows)


def _uses(rows: Sequence[AdapterRow]) -> tuple[AdapterUse, ...]:
    return tuple(AdapterUse(path=row.path, weight=row.weight) for row in rows if row.is_on)

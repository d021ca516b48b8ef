"""Keeps the account of the window true while a question is written: the ribbon, and the status.

Knows the app by the few verbs it needs.
"""

import asyncio
from typing import TYPE_CHECKING, Final

from chatbot.conversation.mentions import mentioned_files
from chatbot.conversation.prompt_preview import preview_prompt
from chatbot.conversation.stopping import ignore_outcome
from chatbot.errors import AttachmentError, ChatbotError, ContextError
from chatbot.events import PromptBuilt
from chatbot.tui.context_ribbon import ContextRibbon
from chatbot.tui.prompt import Prompt
from chatbot.tui.status_line import StatusLine
from chatbot.tui.turn_costs import costs_of

if TYPE_CHECKING:
    from chatbot.conversation.manager import ConversationManager

COUNT_DELAY: Final = 0.3
"""Seconds without a key after which the draft is counted."""


class PromptAccount:
    """Counts what the next prompt would consist of, with what stands in the prompt box."""

    def __init__(
        self,
        manager: "ConversationManager",
        prompt: Prompt,
        ribbon: ContextRibbon,
        status: StatusLine,
    ) -> None:
        self._manager = manager
        self._prompt = prompt
        self._ribbon = ribbon
        self._status = status
        self._counting: asyncio.Future[PromptBuilt | None] | None = None
        """The last count, which nobody may wait for any more."""

    async def count(self, delay: float) -> None:
        """Count it anew, and show it.

        Args:
            delay: seconds to wait for more typing.
        """
        await asyncio.sleep(delay)
        if self._counting:
            # The engine goes on with it, so that another one would only wait behind it.
            await asyncio.wait({self._counting})
        if self._manager.is_busy:
            # The engine counts between answers only; at the end it is counted anew.
            if self._manager.left:
                self._ribbon.built = None
            return
        draft = "" if self._prompt.text.startswith("/") else self._prompt.text
        try:
            self._counting = asyncio.ensure_future(
                preview_prompt(self._manager, draft, mentioned_files(draft), self._prompt.edited)
            )
            ignore_outcome(self._counting)
            built = await asyncio.shield(self._counting)
        except (AttachmentError, ContextError) as error:
            self._ribbon.problem = str(error)
        except ChatbotError:
            self._ribbon.built = None  # the status line says what is wrong with the engine
        else:
            self.show(built)
            if built and built.num_history_tokens and not self._status.num_tokens:
                # Another chat or branch: no turn has counted it yet.
                self._status.num_tokens = built.num_prompt_tokens - built.num_question_tokens

    def show(self, built: PromptBuilt | None) -> None:
        """Show what a prompt consists of; None: nothing is there that could count it."""
        self._ribbon.built, self._ribbon.problem = built, ""
        self._ribbon.costs = costs_of(self._manager.conversation.path())

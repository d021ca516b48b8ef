"""The body of an answer: what streams is drawn once, whatever comes in between."""

from pathlib import Path

import pytest
from textual.app import App, ComposeResult

from chatbot.messages import Message, TextPart, ToolCallPart
from chatbot.tui import app as app_module
from chatbot.tui.chat.answer_body import AnswerBody

CALL = ToolCallPart(id="1", name="calculate", arguments='{"expression": "1 + 1"}')


class Page(App[None]):
    CSS_PATH = Path(app_module.__file__).parent / "chat/chat.tcss"

    def __init__(self) -> None:
        super().__init__()
        self.body = AnswerBody()

    def compose(self) -> ComposeResult:
        yield self.body

    @property
    def text(self) -> str:
        return "\n".join(strip.text.rstrip() for strip in self.screen._compositor.render_strips())


@pytest.mark.parametrize("pieces", [("Let me ", "look that up."), ("Let me look that up.",)])
async def test_text_before_a_call_is_shown_once(pieces: tuple[str, ...]) -> None:
    page = Page()
    async with page.run_test(size=(60, 20)) as pilot:
        for piece in pieces[:-1]:
            page.body.append(piece)
            await page.body.draw([])
        page.body.append(pieces[-1])  # and is not drawn before the call comes
        await page.body.add_call(CALL, [])
        page.body.append("It is 2.")
        await page.body.draw([])
        parts = (TextPart("Let me look that up."), CALL, TextPart("It is 2."))
        await page.body.finish(Message(role="assistant", parts=parts))
        await pilot.pause()
        assert page.text.count("look that up.") == 1
        assert page.text.count("It is 2.") == 1
        assert page.text.index("look that up.") < page.text.index("calculate")

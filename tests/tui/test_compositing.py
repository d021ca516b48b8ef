"""What is on the screen is put together with less work, and looks the same."""

from collections.abc import Callable
from typing import Any

import pytest
from textual._compositor import Compositor
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from chatbot.tui.chat.code_lines import CodeLines
from chatbot.tui.drawing.compositing import SparingScreen
from chatbot.tui.prompt import Prompt
from chatbot.tui.sidebar.sidebar import Sidebar
from tests.tui.helpers import MakeApp, ask_and_wait, filled, screen_text, until

ANSWER = "Some *text*.\n\n- one\n- two\n\n```python\nreturn 1\n```\n\n" + "More of it. " * 40
CROPS = {
    "all": Region(0, 0, 140, 40),
    "a line": Region(0, 20, 140, 1),
    "a corner": Region(3, 30, 20, 7),
    "over the edge of the sidebar": Region(90, 5, 25, 12),
}

Lines = list[list[tuple[int, str]]]


def put_together(
    screen: SparingScreen, crop: Region, render: Callable[..., object]
) -> tuple[Lines, list[list[Strip]]]:
    """The pieces of the lines in ``crop`` that lie in it, with the column of each."""
    cuts = screen._compositor.cuts
    chops = render(screen._compositor, crop, lambda _: True)
    texts: Lines = []
    strips: list[list[Strip]] = []
    for y in crop.line_range:
        ends = dict(zip(cuts[y], cuts[y][1:], strict=False))
        line = chops[y]  # type: ignore[index]
        pieces = [(x, s) for x, s in line.items() if x < crop.right and ends[x] > crop.x]
        texts.append([(x, strip.text) for x, strip in pieces])
        strips.append([strip for _, strip in pieces])
    return texts, strips


@pytest.mark.parametrize("crop", CROPS.values(), ids=CROPS)
async def test_the_screen_is_what_textual_would_make(make_app: MakeApp, crop: Region) -> None:
    app = make_app(answer=ANSWER)
    async with app.run_test(size=(140, 40), notifications=True) as pilot:
        await filled(pilot)
        await ask_and_wait(pilot, app, "a question")
        app.notify("a notice over it")
        await until(pilot, lambda: "a notice over it" in screen_text(app))
        screen = app.screen
        assert isinstance(screen, SparingScreen)
        ours, our_strips = put_together(screen, crop, type(screen._compositor)._render_chops)
        theirs, their_strips = put_together(screen, crop, Compositor._render_chops)
        assert ours == theirs
        assert our_strips == their_strips
        assert any(text.strip() for line in ours for _, text in line)


async def test_what_is_covered_or_elsewhere_is_not_drawn(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = make_app()
    async with app.run_test(size=(140, 40)) as pilot:
        await filled(pilot)
        drawn: list[str] = []
        render_lines = Widget.render_lines

        def note(self: Widget, crop: Region) -> list[Strip]:
            drawn.append(type(self).__name__)
            return render_lines(self, crop)

        monkeypatch.setattr(Widget, "render_lines", note)
        around = {"Sidebar", "ChatView", "SparingScreen", "Horizontal"}
        for _ in range(10):  # what the start has left to draw may come in between
            drawn.clear()
            app._status.refresh()
            await until(pilot, lambda: "StatusLine" in drawn)
            if around.isdisjoint(drawn):
                break
        assert around.isdisjoint(drawn)


async def test_a_key_is_seen_before_what_is_to_be_laid_out(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(140, 40)) as pilot:
        await filled(pilot)
        screen = app.screen
        assert isinstance(screen, SparingScreen)
        order: list[str] = []
        lay_out, draw = screen._refresh_layout, screen._draw_focused

        def note_layout(*args: object, **kwargs: object) -> None:
            order.append("layout")
            lay_out(*args, **kwargs)  # type: ignore[arg-type]

        def note_drawing() -> None:
            if app.query_one(Prompt) in screen._dirty_widgets:
                order.append("key")
            draw()

        screen._refresh_layout = note_layout  # type: ignore[method-assign, assignment]
        screen._draw_focused = note_drawing  # type: ignore[method-assign]
        screen.key_pause.begin()
        app.query_one(Sidebar).refresh(layout=True)
        app.query_one(Prompt).insert("x")
        await until(pilot, lambda: "layout" in order)
        assert order[0] == "key"
        assert "x" in screen_text(app)


async def test_what_was_taken_away_leaves_a_gap_until_all_is_laid_out_again(
    make_app: MakeApp,
) -> None:
    app = make_app(answer=ANSWER)
    async with app.run_test(size=(140, 40)) as pilot:
        await filled(pilot)
        await ask_and_wait(pilot, app, "a question")
        code = app.query(CodeLines).last()
        screen = app.screen
        assert isinstance(screen, SparingScreen)
        region = screen._compositor.visible_widgets[code][0]
        parent = code._parent
        assert parent is not None
        code._detach()
        lines = screen._compositor.render_strips()
        code._attach(parent)  # as the end of the app expects it
        assert all(line.cell_length == 140 for line in lines)
        gone = [lines[y].crop(*region.column_span).text for y in region.line_range]
        assert not "".join(gone).strip()


async def test_what_was_scrolled_and_is_laid_out_where_it_was_before_is_drawn(
    make_app: MakeApp,
) -> None:
    app = make_app(answer=ANSWER * 4)
    async with app.run_test(size=(140, 30)) as pilot:
        await filled(pilot)
        await ask_and_wait(pilot, app, "a question")
        screen, chat = app.screen, app._chat
        assert isinstance(screen, SparingScreen)
        compositor = screen._compositor
        chat.release_anchor()
        with app.batch_update():
            compositor.reflow(screen, screen.size)
            before = chat.scroll_y
            chat.scroll_y = before - 3
            assert chat.scroll_y == before - 3
            compositor.reflow_visible(screen, screen.size)
            compositor._dirty_regions.clear()  # as if it were drawn
            chat.scroll_y = before
            compositor.reflow(screen, screen.size)
            drawn = Region.from_union(list(compositor._dirty_regions))
            assert chat.region.height - 3 <= drawn.intersection(chat.region).height
            compositor._dirty_regions.clear()
            compositor.reflow(screen, screen.size)
            assert not compositor._dirty_regions  # nor is anything drawn for nothing


@pytest.mark.parametrize("draw", [SparingScreen._draw_layout, SparingScreen._compositor_refresh])
async def test_what_is_laid_out_while_other_changes_are_gathered_is_drawn_after_them(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch, draw: Callable[[SparingScreen], None]
) -> None:
    app = make_app()
    async with app.run_test(size=(140, 40)) as pilot:
        await filled(pilot)
        screen = app.screen
        assert isinstance(screen, SparingScreen)
        written: list[Region] = []
        render = type(screen._compositor).render_update

        def note(self: Compositor, **options: Any) -> Any:
            if not app._batch_count:  # else Textual throws it away
                written.extend(self._dirty_regions)
            return render(self, **options)

        monkeypatch.setattr(type(screen._compositor), "render_update", note)
        region = Region(3, 3, 5, 1)
        with app.batch_update():
            screen._compositor._dirty_regions.add(region)
            draw(screen)
            await pilot.pause(0.1)
        await until(pilot, lambda: any(region in drawn for drawn in written))


async def test_what_moved_is_drawn_though_somebody_asked_where_it_is_now(make_app: MakeApp) -> None:
    app = make_app(answer=ANSWER)
    async with app.run_test(size=(140, 40)) as pilot:
        await filled(pilot)
        await ask_and_wait(pilot, app, "a question")
        screen, chat = app.screen, app._chat
        assert isinstance(screen, SparingScreen)
        compositor = screen._compositor
        with app.batch_update():
            compositor.reflow(screen, screen.size)
            before = chat.region
            compositor._dirty_regions.clear()  # as if it were drawn
            app._hints.update("a line above the prompt")
            app._hints.display = True
            compositor._full_map_invalidated = True  # as by a widget that nobody sees yet
            assert compositor.full_map[chat].region.height == before.height - 1
            compositor.reflow(screen, screen.size)
            assert before in compositor._dirty_regions
            compositor._dirty_regions.clear()
            compositor.reflow(screen, screen.size)
            assert not compositor._dirty_regions  # nor is anything drawn for nothing

"""Several answers side by side: columns, where they part, beams, and keeping one."""

import asyncio
import re
from collections.abc import AsyncGenerator

import msgspec
import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from chatbot.conversation.variants.parting import num_same
from chatbot.errors import CommandError, WorkerError
from chatbot.events import VariantLoaded, VariantLoading, VariantsEvent, VariantThoughtDelta
from chatbot.messages import SettingChange, ThinkingPart
from chatbot.tokens import Beam
from chatbot.tui.app import ChatApp
from chatbot.tui.variants import rendering as variants_rendering
from chatbot.tui.variants.drawing import (
    beam_line,
    ending,
    parted,
    partings,
    shared_start,
)
from chatbot.tui.variants.screen import Hints, VariantsScreen
from tests.tui.helpers import (
    MakeApp,
    answers,
    ask,
    ask_and_wait,
    last_answer,
    notices,
    press,
    screen_text,
    until,
)
from tests.tui.told_variants import TEXTS, answer, plans, told, told_beams

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def app(make_app: MakeApp, monkeypatch: pytest.MonkeyPatch) -> ChatApp:
    """An app that notes what it is to keep, and whether it is to stop."""
    app = make_app()
    app.kept = []  # type: ignore[attr-defined]
    app.stops = []  # type: ignore[attr-defined]
    monkeypatch.setattr(
        variants_rendering,
        "go_on_from",
        lambda conversation, answer_id: app.kept.append(answer_id),  # type: ignore[attr-defined]
    )
    monkeypatch.setattr(app.manager, "stop", lambda: app.stops.append(True))  # type: ignore[attr-defined]
    return app


def show(app: ChatApp, events: AsyncGenerator[VariantsEvent]) -> None:
    app.run_worker(app.run_variants(events), group="turn", exit_on_error=False)


def screen_of(app: ChatApp) -> VariantsScreen:
    assert isinstance(app.screen, VariantsScreen), screen_text(app)
    return app.screen


def line_with(app: ChatApp, words: str) -> str:
    lines = [line for line in screen_text(app).splitlines() if words in line]
    assert lines, screen_text(app)
    return lines[0]


@pytest.mark.parametrize(
    ("texts", "are_over", "places"),
    [
        (["the sea", "the sun"], [False, False], [(5,), (5,)]),
        (["the sea", "the se"], [False, False], [(), ()]),  # it may yet be the same
        (["the sea", "the se"], [False, True], [(6,), (6,)]),
        (["the sea", "the seam"], [True, False], [(7,), (7,)]),
        (["the sea", "the sun", "a sea", "the sea"], [True] * 4, [(0, 5), (5,), (0,), ()]),
        (["", "", ""], [False, False, False], [(), (), ()]),
        (["the sea", ""], [True, True], [(), ()]),  # stopped before it began
        (["", "the sea"], [True, True], [(), ()]),
    ],
)
def test_where_answers_part(
    texts: list[str], are_over: list[bool], places: list[tuple[int, ...]]
) -> None:
    assert partings(texts, are_over) == places


def test_the_place_is_marked_by_a_shape() -> None:
    assert parted("the sea is", [4]).plain == "the ◆sea is"
    assert parted("the sea is", [3]).plain == "the ◆sea is"
    assert parted("the sea is", [0, 4]).plain == "◆the ◆sea is"
    assert parted("the sea is", [4, 5]).plain == "the ◆s◆ea is"
    assert parted("the sea", [7]).plain == "the sea◆"
    assert parted("the sea", []).plain == "the sea"


@pytest.mark.parametrize(
    ("places", "offset", "drawn"),
    [
        ([], 4, "the ⟦top_k 1 → 2⟧ sea is"),
        ([4], 4, "the ◆⟦top_k 1 → 2⟧ sea is"),
        ([4], 5, "the ◆s⟦top_k 1 → 2⟧ ea is"),
        ([4], 10, "the ◆sea is⟦top_k 1 → 2⟧ "),
        ([4], 99, "the ◆sea is⟦top_k 1 → 2⟧ "),
    ],
)
def test_a_changed_setting_is_marked_where_it_acts(
    places: list[int], offset: int, drawn: str
) -> None:
    change = SettingChange(offset=offset, name="top_k", old="1", new="2")
    assert parted("the sea is", places, [change]).plain == drawn


def test_what_texts_share_ends_with_a_word() -> None:
    assert num_same("the sea", "the sun") == 5
    assert shared_start(["the sea", "the sun"]) == "the "
    assert shared_start(["the sea"]) == "the sea"
    assert shared_start(["sea", "sun"]) == ""
    assert shared_start([]) == ""


async def test_answers_are_written_side_by_side(app: ChatApp) -> None:
    gate = asyncio.Event()
    async with app.run_test(size=(160, 48)) as pilot:
        show(app, told(["seed 1", "seed 2", "seed 3", "seed 4"], gate=gate))
        await until(pilot, lambda: "▶ writing · 6 tokens" in screen_text(app))
        heads = line_with(app, "seed 1")
        assert all(f"{n} seed {n}" in heads for n in (1, 2, 3, 4))
        # Their texts on one line: the first two part at the sixth word, the third at once.
        texts = line_with(app, "◆It stands on the ◆rock")
        assert "It stands on the ◆cliff" in texts
        assert "◆Nobody knows." in texts
        press(app, "right")
        await until(pilot, lambda: "❯ 2 seed 2" in screen_text(app))
        gate.set()
        await until(pilot, lambda: "all 60 tokens" in screen_text(app))
        shown = screen_text(app)
        assert "prompt 42 tokens, read once (12 new)" in shown
        assert "2.0 s, 30.0 tok/s" in shown
        assert "the others are set against this" in shown
        assert "leaves 1 at token 4" in shown
        assert "the same as 1" in shown
        assert shown.count("✓ ") == 4
        assert "❯ 2 seed 2" in shown  # where the user is


def test_how_an_answer_ended_fits_into_a_column_of_a_small_screen() -> None:
    assert ending(answer(0, "It stands.")) == "✓ 2 tokens · 0.7 tok/s"
    assert ending(answer(0, "It stands.", "cancelled")) == "■ stopped · 2 tokens · 0.7 tok/s"
    cut = ending(answer(0, "It " * 1024, "length"))
    assert cut == "✂ cut at 1,024 tokens · 682.0 tok/s"
    assert len(cut) <= 36


@pytest.mark.parametrize(
    ("first", "words"),
    [(1, "Enter or 1–2 keep"), (9, "Enter or 9 keep"), (10, "Enter keep")],
)
async def test_the_frame_names_the_keys_that_keep_an_answer(
    app: ChatApp, first: int, words: str
) -> None:
    numbered = [
        msgspec.structs.replace(plan, number=first + index)
        for index, plan in enumerate(plans(["seed 1", "seed 2"]))
    ]
    async with app.run_test(size=(80, 24)) as pilot:
        hints = Hints("F8 go on", "F5 ends it", "F8 hold · s set")
        screen = VariantsScreen(
            "variants", numbered, "Why?", lambda: None, lambda: None, lambda _: True, hints
        )
        await app.push_screen(screen)
        await until(pilot, lambda: words in screen_text(app))


async def test_a_small_screen_shows_two_and_pages(app: ChatApp) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        show(app, told(["seed 1", "seed 2", "seed 3"]))
        await until(pilot, lambda: "Esc back" in screen_text(app))
        assert "❯ 1 seed 1" in screen_text(app)
        assert "seed 3" not in screen_text(app)
        assert "▰▰▱" in screen_text(app)
        press(app, "right", "right")
        await until(pilot, lambda: "❯ 3 seed 3" in screen_text(app))
        assert "▱▰▰" in screen_text(app)
        assert "seed 1" not in screen_text(app)
        press(app, "enter")
        await until(pilot, lambda: app.kept == ["answer3"])  # type: ignore[attr-defined]
        assert not isinstance(app.screen, VariantsScreen)


async def test_a_narrow_screen_cuts_nothing_off_in_the_middle(app: ChatApp) -> None:
    async with app.run_test(size=(60, 20)) as pilot:
        show(app, told(["seed 1", "seed 2", "seed 3"]))
        keys = "← → go · Enter or 1–3 keep · ↑ ↓ scroll · Esc back"
        await until(pilot, lambda: keys in screen_text(app))


@pytest.mark.parametrize("width", [52, 63, 90])
def test_the_head_of_a_beam_fits(width: int) -> None:
    beam = Beam("text", -113.5, -10.25, 12_345, 0)
    line = beam_line(7, beam, beam, is_finished=True, width=width).plain
    assert len(line) <= width
    assert "score -10.250" in line
    assert line.endswith("12,345 tok")


def test_the_bars_of_beams_go_by_what_ranks_them() -> None:
    first = Beam("longer and better", -6.0, -1.0, 6, 0)
    second = Beam("short", -3.0, -1.5, 2, 0)  # likelier as a whole
    bars = [
        sum(
            cell in "█▏▎▍▌▋▊▉"
            for cell in beam_line(1, beam, first, is_finished=True, width=90).plain
        )
        for beam in (first, second)
    ]
    assert 0 < bars[1] < bars[0] / 2


async def test_one_is_kept_by_its_number(app: ChatApp) -> None:
    async with app.run_test(size=(120, 30)) as pilot:
        show(app, told(["greedy", "temperature 0.7", "temperature 1.5"], kind="sweep"))
        await until(pilot, lambda: "Esc back" in screen_text(app))
        press(app, "7")
        press(app, "2")
        await until(pilot, lambda: app.kept == ["answer2"])  # type: ignore[attr-defined]


async def test_escape_stops_and_then_leaves(app: ChatApp) -> None:
    gate = asyncio.Event()
    async with app.run_test(size=(120, 30)) as pilot:
        show(app, told(["seed 1", "seed 2"], gate=gate))
        await until(pilot, lambda: "▶ writing" in screen_text(app))
        press(app, "enter")
        await until(pilot, lambda: "still being written" in notices(app))
        press(app, "escape")
        await until(pilot, lambda: bool(app.stops))  # type: ignore[attr-defined]
        gate.set()
        await until(pilot, lambda: "Esc back" in screen_text(app))
        press(app, "escape")
        await until(pilot, lambda: not isinstance(app.screen, VariantsScreen))
        assert app.kept == []  # type: ignore[attr-defined]


async def test_one_that_is_complete_can_be_kept_while_others_are_written(app: ChatApp) -> None:
    end = asyncio.Event()
    async with app.run_test(size=(120, 30)) as pilot:
        show(app, told(["seed 1", "seed 2"], end=end))
        await until(pilot, lambda: "✓ " in screen_text(app))
        press(app, "1")
        await until(pilot, lambda: bool(app.stops))  # type: ignore[attr-defined]
        end.set()
        await until(pilot, lambda: app.kept == ["answer1"])  # type: ignore[attr-defined]
        await until(pilot, lambda: not isinstance(app.screen, VariantsScreen))


async def test_beams_are_a_live_list_and_then_answers(app: ChatApp) -> None:
    gate = asyncio.Event()
    async with app.run_test(size=(100, 30)) as pilot:
        show(app, told_beams(gate))
        await until(pilot, lambda: "3 tokens · 0 came to their end" in screen_text(app))
        shown = screen_text(app)
        assert "all of them:" in shown
        assert "keep" not in shown  # none is an answer yet
        assert shown.count("It stands on the") == 1  # once for all
        first, second = (line_with(app, figure) for figure in ("-2.25", "-3.00"))
        full, less = first.count("█"), second.count("█")
        assert abs(less - full * 0.472) <= 1  # e to the power of -3.00 + 2.25
        assert "↳ 1" in first
        assert "↳ 2" in second
        gate.set()
        await until(pilot, lambda: "all 12 tokens" in screen_text(app))
        assert "❯ 1 ■ ended" in screen_text(app)
        assert "↑ ↓ go · Enter or 1–3 keep" in screen_text(app)
        assert "-0.875" in screen_text(app)
        press(app, "down")
        await until(pilot, lambda: "❯ 2 ■ ended" in screen_text(app))
        press(app, "enter")
        await until(pilot, lambda: app.kept == ["answer2"])  # type: ignore[attr-defined]


async def test_a_comparison_says_what_is_loaded(app: ChatApp) -> None:
    gate = asyncio.Event()

    async def compared() -> AsyncGenerator[VariantsEvent]:
        events = told(["fp32", "8-bit"], kind="comparison", gate=gate)
        yield await anext(events)
        for index, (precision, num_bytes) in enumerate([("fp32", 540_000_000), ("8-bit", 9e7)]):
            yield VariantLoading(index)
            yield VariantLoaded(
                index=index,
                model="smollm2-135m",
                precision=precision,
                device="cpu",
                weight_bytes=int(num_bytes),
            )
        async for event in events:
            yield event

    async with app.run_test(size=(100, 30)) as pilot:
        show(app, compared())
        await until(pilot, lambda: "▶ writing" in screen_text(app))
        assert "1 fp32 · cpu · 515 MiB" in screen_text(app)
        assert "2 8-bit · cpu · 86 MiB" in screen_text(app)
        gate.set()
        await until(pilot, lambda: "leaves 1 at token 4" in screen_text(app))


async def test_thinking_is_counted_in_the_heading(app: ChatApp) -> None:
    async def thinking() -> AsyncGenerator[VariantsEvent]:
        events = told(["seed 1", "seed 2"], gate=gate, half=0)
        yield await anext(events)
        yield VariantThoughtDelta(0, "hm", 12, 11, 0.5)
        async for event in events:
            yield event

    gate = asyncio.Event()
    async with app.run_test(size=(100, 30)) as pilot:
        show(app, thinking())
        await until(pilot, lambda: "▶ thinking · 12 tokens" in screen_text(app))
        assert "thought 11 tokens · 0.5 s" in screen_text(app)
        gate.set()
        await until(pilot, lambda: "Esc back" in screen_text(app))


async def test_what_breaks_off_leaves_what_there_is(app: ChatApp) -> None:
    async def broken() -> AsyncGenerator[VariantsEvent]:
        async for event in told(["seed 1", "seed 2"]):
            if type(event).__name__ == "VariantFinished":
                raise WorkerError("The engine was killed; send your message again.")
            yield event

    async with app.run_test(size=(100, 30)) as pilot:
        show(app, broken())
        await until(pilot, lambda: "✗ The engine was killed" in screen_text(app))
        await until(pilot, lambda: screen_text(app).count("✗ broken off · 1") == 2)
        assert TEXTS[0][:16] in screen_text(app)
        press(app, "escape")
        await until(pilot, lambda: not isinstance(app.screen, VariantsScreen))


async def test_what_cannot_be_begun_opens_nothing(app: ChatApp) -> None:
    async def refused() -> AsyncGenerator[VariantsEvent]:
        raise CommandError("There is no question yet; ask one first.")
        yield

    async with app.run_test(size=(100, 30)):
        with pytest.raises(CommandError):
            await app.run_variants(refused())
        assert not isinstance(app.screen, VariantsScreen)


async def test_what_is_refused_leaves_the_answer_that_streams(make_app: MakeApp) -> None:
    app = make_app(answer="word " * 60, delay=0.02)
    async with app.run_test(size=(100, 30)) as pilot:
        await ask(pilot, "a long one")
        await until(pilot, lambda: "word word" in screen_text(app))
        app.take("/variants 3", is_typed=True)
        await until(pilot, lambda: app._prompt.text == "/variants 3")
        assert app.manager.is_busy
        await until(pilot, lambda: not app._status.is_busy)
        assert answers(app)[0].text.count("word") == 60


def test_told_answers_are_those_of_the_plans() -> None:
    assert [plan.answer_id for plan in plans("ab")] == [answer(0, "").id, answer(1, "").id]


# On the scripted engine, by the commands


async def until_over(pilot: Pilot[int], app: ChatApp) -> None:
    await until(pilot, lambda: "Esc back" in screen_text(app))


async def test_seeds_are_siblings_of_which_one_is_kept(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(120, 30)) as pilot:
        await ask(pilot, "/variants 3 hello")
        await until_over(pilot, app)
        assert "3 answers from one prompt · hello" in screen_text(app)
        assert "◆" in screen_text(app)
        press(app, "3")
        await until(pilot, lambda: "‹ 3/3 ›" in screen_text(app))
        assert "Answer 3." in last_answer(app).text
        assert "Answer 3." in screen_text(app)
        await ask_and_wait(pilot, app, "and then?")  # it goes on from there
        assert [m.role for m in app.manager.conversation.path()] == ["user", "assistant"] * 2


async def test_a_sweep_and_beams_and_a_comparison(make_app: MakeApp) -> None:
    app = make_app(delay=0.002)
    async with app.run_test(size=(80, 24)) as pilot:
        await ask_and_wait(pilot, app, "hello")
        for command, words in (
            ("/sweep temperature 0.3 1.5", "temperature 1.5"),
            ("/beam 3", "■ ended"),
            ("/compare precision fp32 8-bit", "8-bit · cpu"),
        ):
            await ask(pilot, command)
            await until_over(pilot, app)
            assert words in screen_text(app)
            press(app, "right", "enter")
            await until(pilot, lambda: not isinstance(app.screen, VariantsScreen))
            await until(pilot, lambda: not app.manager.is_busy)
        # One by itself, two of the sweep, three beams, and two of the comparison; the last is kept.
        await until(pilot, lambda: "‹ 8/8 ›" in screen_text(app))


@pytest.mark.parametrize(("command", "number"), [("/variants 2", 2), ("/beam 2", 1)])
async def test_how_far_a_long_prompt_is_read_is_said_of_all(
    make_app: MakeApp, command: str, number: int
) -> None:
    app = make_app(delay=0.05)
    async with app.run_test(size=(80, 24)) as pilot:
        app.take(f"{command} read 4000")
        line = "… reading ▰▰▱▱▱▱ 30% · 12 s left"
        await until(pilot, lambda: screen_text(app).count(line) == number)
        await until_over(pilot, app)


async def test_how_far_a_long_prompt_is_read_is_said_of_the_model_that_is_asked(
    make_app: MakeApp,
) -> None:
    app = make_app(delay=0.03)
    async with app.run_test(size=(160, 30)) as pilot:
        await ask_and_wait(pilot, app, "read 4000")
        app.take("/compare precision fp32 8-bit")
        await until(pilot, lambda: isinstance(app.screen, VariantsScreen))
        await until(pilot, lambda: "… reading ▰" in screen_text(app))
        first, second = screen_of(app)._columns
        assert "reading ▰" in first._state
        assert second._state == "waiting"
        await until(pilot, lambda: "reading ▰" in second._state)
        assert first.answer is not None
        await until_over(pilot, app)


async def test_escape_keeps_what_there_is_of_each(make_app: MakeApp) -> None:
    app = make_app(delay=0.4)
    async with app.run_test(size=(120, 30)) as pilot:
        await ask(pilot, "/variants 2 hello")
        await until(pilot, lambda: bool(re.search(r"▶ writing · \d", screen_text(app))))
        press(app, "escape")
        await until_over(pilot, app)
        assert screen_text(app).count("■ stopped") == 2
        press(app, "escape")
        await until(pilot, lambda: "‹ 1/2 ›" in screen_text(app))


async def test_escape_leaves_the_answer_shown_that_was_shown_before(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(120, 30)) as pilot:
        first = await ask_and_wait(pilot, app, "hello")
        app.take("/compare precision fp32 8-bit")
        await until_over(pilot, app)
        # The prompt is the same for both, and said once.
        assert re.search(r"prompt \d\d tokens · all", screen_text(app)), screen_text(app)
        press(app, "escape")
        await until(pilot, lambda: "‹ 1/3 ›" in screen_text(app))
        assert app.manager.conversation.active_leaf == first.id
        assert len(app.manager.conversation.variants(first.id)) == 3


async def test_thinking_is_cut_short_in_all_of_them(make_app: MakeApp) -> None:
    app = make_app(answer="Yes it is.", delay=0.002)
    async with app.run_test(size=(120, 30)) as pilot:
        app.take("/variants 2 think " + "hm " * 2000)
        await until(pilot, lambda: screen_text(app).count("▶ thinking · ") == 2)
        await until(pilot, lambda: "thinking · F5 end it in all of them" in screen_text(app))
        press(app, "f5")
        await until_over(pilot, app)
        assert screen_text(app).count("cut short") == 2, screen_text(app)
        press(app, "2")
        await until(pilot, lambda: "‹ 2/2 ›" in screen_text(app))
        thought, _ = last_answer(app).parts
        assert isinstance(thought, ThinkingPart)
        assert thought.is_cut
        assert 0 < thought.num_tokens < 2000
        await until(pilot, lambda: f"thought · {thought.num_tokens:,} tokens" in screen_text(app))


@pytest.mark.parametrize("command", ["/variants 2", "/beam 2"])
async def test_all_are_held_and_go_on_a_token_at_a_time(make_app: MakeApp, command: str) -> None:
    app = make_app(answer="one two three four five six seven eight.", delay=0.1)
    async with app.run_test(size=(120, 30)) as pilot:
        await ask(pilot, f"{command} hello")
        await until(pilot, lambda: "one two" in screen_text(app))
        press(app, "f8")
        await until(pilot, lambda: "F8 go on · F9 draw one more of each" in screen_text(app))
        held = re.search(r"held after (\d+) tokens", screen_text(app))
        assert held
        number = int(held.group(1))
        for step in (1, 2):
            press(app, "f9")
            await until(pilot, lambda: f"held after {number + step} tokens" in screen_text(app))  # noqa: B023
        if command == "/variants 2":
            words = f"‖ held · {number + 2} tokens"
            await until(pilot, lambda: screen_text(app).count(words) == 2)
        press(app, "f8")
        await until_over(pilot, app)
        assert "held" not in screen_text(app)


async def test_what_is_held_can_be_stopped(make_app: MakeApp) -> None:
    app = make_app(answer="one two three four five six.", delay=0.1)
    async with app.run_test(size=(120, 30)) as pilot:
        await ask(pilot, "/variants 2 hello")
        await until(pilot, lambda: "one two" in screen_text(app))
        press(app, "f8")
        await until(pilot, lambda: "held after" in screen_text(app))
        press(app, "escape")
        await until_over(pilot, app)
        assert screen_text(app).count("■ stopped") == 2


async def test_a_setting_acts_on_all_and_leaves_a_mark(make_app: MakeApp) -> None:
    app = make_app(answer="one two three four five six seven eight nine ten.", delay=0.1)
    async with app.run_test(size=(120, 30)) as pilot:
        await ask(pilot, "/variants 2 hello")
        await until(pilot, lambda: "one two" in screen_text(app))
        press(app, "f8")
        await until(pilot, lambda: "held after" in screen_text(app))
        press(app, "s")
        await until(pilot, lambda: isinstance(app.focused, Input))
        press(app, *"temperature 1.5", "enter")
        mark = "⟦temperature 0.3 → 1.5⟧"
        await until(pilot, lambda: screen_text(app).count(mark) == 2)
        press(app, "f8")
        await until_over(pilot, app)
        assert screen_text(app).count("TEN.") == 2
        assert screen_text(app).count("ONE") == 0
        assert screen_text(app).count(mark) == 2
        press(app, "1")
        await until(pilot, lambda: "‹ 1/2 ›" in screen_text(app))
        assert mark in screen_text(app)
        made = last_answer(app).making
        assert made
        assert [(c.name, c.old, c.new) for c in made.changes] == [("temperature", "0.3", "1.5")]
        assert made.sampling.temperature == 0.3
        assert app.manager.settings.sampling.temperature == 1.5


async def test_what_they_differ_in_stays(make_app: MakeApp) -> None:
    app = make_app(answer="one two three four five six seven eight nine ten.", delay=0.1)
    async with app.run_test(size=(120, 30)) as pilot:
        await ask_and_wait(pilot, app, "hello")
        before = app.manager.settings
        for command, text, refusal in (
            ("/sweep temperature 0.3 0.7", "temperature 1", "Temperature is what these answers"),
            ("/beam 2", "top_p 0.5", "A beam search draws nothing, so top_p does not"),
        ):
            await ask(pilot, command)
            await until(pilot, lambda: isinstance(app.screen, VariantsScreen))
            await until(pilot, lambda: "one two" in screen_text(app))
            press(app, "f8")
            await until(pilot, lambda: "held after" in screen_text(app))
            press(app, "s")
            await until(pilot, lambda: isinstance(app.focused, Input))
            press(app, *text, "enter")
            await until(pilot, lambda: refusal in notices(app))  # noqa: B023
            assert app.manager.settings == before
            press(app, "escape")  # closes the box
            press(app, "escape")  # stops the answers
            await until_over(pilot, app)
            press(app, "escape")
            await until(pilot, lambda: not isinstance(app.screen, VariantsScreen))


async def test_a_beam_has_its_tokens_in_the_lens(make_app: MakeApp) -> None:
    app = make_app(answer="one two three four five.", delay=0.002)
    async with app.run_test(size=(120, 40)) as pilot:
        await ask(pilot, "/beam 2 hello")
        await until_over(pilot, app)
        press(app, "2")
        await until(pilot, lambda: "‹ 2/2 ›" in screen_text(app))
        app.take("/lens")
        await until(pilot, lambda: "1 of 7  one␣" in screen_text(app))
        assert " · beams 2" in screen_text(app)


async def test_the_load_that_answers_wait_for_is_shown(make_app: MakeApp) -> None:
    app = make_app(load_seconds=2)
    async with app.run_test(size=(120, 30)) as pilot:
        app.take("/variants 2 hello")
        await until(pilot, lambda: screen_text(app).count("… Loading 50%") == 2)
        await until_over(pilot, app)


async def test_what_is_held_before_it_begins_says_so(make_app: MakeApp) -> None:
    app = make_app(delay=0.05)
    async with app.run_test(size=(120, 30)) as pilot:
        app.take("/variants 2 read 4000")
        await until(pilot, lambda: "reading ▰" in screen_text(app))
        press(app, "f8")
        await until(pilot, lambda: screen_text(app).count("‖ held · 0 tokens") == 2)
        press(app, "f8")
        await until_over(pilot, app)

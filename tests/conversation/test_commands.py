"""Each slash command, as a face of the program would run it."""

import json
import re
from collections.abc import AsyncGenerator, Collection, Sequence
from pathlib import Path

import msgspec
import pytest

from chatbot.conversation.commands import COMMANDS, run_command
from chatbot.conversation.commands.knowledge import sources_list
from chatbot.conversation.commands.lens import NUM_PLACES, lens_table, token_table
from chatbot.conversation.commands.setting import model_note
from chatbot.conversation.manager import ConversationManager
from chatbot.conversation.token_json import token_json
from chatbot.engine.client import EngineStatus
from chatbot.engine.protocol.answer import TokensRecorded
from chatbot.engine.protocol.model_info import AdapterInfo, AdapterUse, ModelInfo
from chatbot.engine.protocol.prompt import Rendered
from chatbot.errors import CommandError, ConfigError, FormatError, ModelError, SettingError
from chatbot.events import TurnEvent, VariantsEvent
from chatbot.messages import Message, SourcesPart, TextPart
from chatbot.models.hardware import Device, Hardware
from chatbot.models.memory import GIB
from chatbot.settings import SPECS, Sampling, Settings
from chatbot.terminal_text import is_safe
from chatbot.tokens import NO_TOKEN, Alternative, TokenRecord
from tests.conversation.building import all_of, make_manager, making_of, with_settings
from tests.conversation.fake_engine import STATISTICS, FakeEngine


class FakeFace:
    """Keeps what it is asked to show."""

    def __init__(self, manager: ConversationManager | None = None) -> None:
        self.manager = manager or make_manager(FakeEngine("An answer."))
        self.notes: list[str] = []
        self.calls: list[str] = []
        self.told: list[VariantsEvent] = []

    theme_names = ("night", "paper")

    def show_note(self, markdown: str) -> None:
        self.notes.append(markdown)

    def show_conversation(self) -> None:
        self.calls.append("show_conversation")

    async def ask(self, text: str, events: AsyncGenerator[TurnEvent]) -> None:
        await self.run_turn(events)

    async def run_turn(self, events: AsyncGenerator[TurnEvent]) -> None:
        await all_of(events)
        self.calls.append("run_turn")

    async def run_variants(self, events: AsyncGenerator[VariantsEvent]) -> None:
        self.told = [event async for event in events]
        self.calls.append("run_variants")

    def begin_edit(self, question: Message) -> None:
        self.calls.append(f"edit {question.text}")

    def copy_text(self, text: str) -> None:
        self.calls.append(f"copy {text}")

    def show_models(self) -> None:
        self.show_note(model_note(self.manager))

    def load_model(self) -> None:
        self.calls.append("load_model")

    def show_settings(self, changed: str = "") -> None:
        self.calls.append("show_settings")

    def show_lens(self, answer_id: str, records: Sequence[TokenRecord]) -> None:
        self.calls.append(f"lens {len(records)}")

    def show_sources(self, found: SourcesPart) -> None:
        self.notes.append(sources_list(found))

    def set_theme(self, name: str) -> None:
        self.calls.append(f"theme {name}")

    def leave(self) -> None:
        self.calls.append("leave")

    @property
    def texts(self) -> list[str]:
        return [m.text for m in self.manager.conversation.path()]


@pytest.fixture
def face() -> FakeFace:
    return FakeFace()


@pytest.fixture
async def chat() -> FakeFace:
    """One question was answered."""
    face = FakeFace()
    await all_of(face.manager.reply("A question?"))
    return face


async def test_help_lists_every_command(face: FakeFace) -> None:
    await run_command(face, "/help")
    assert all(f"`{command.usage}`" in face.notes[0] for command in COMMANDS.values())


@pytest.mark.parametrize("name", ["knowledge", "tools"])
async def test_help_says_each_verb_once_and_what_it_takes_not_again(
    face: FakeFace, name: str
) -> None:
    command = COMMANDS[name]
    words = re.findall(r"\w+", f"{command.usage} {command.help}")
    assert all(words.count(verb) == 1 for verb in command.words(face, ()))
    assert words.count("DIR") + words.count("NAME") == 1


@pytest.mark.parametrize("line", ["/nonsense", "/", "/ help", "//", "/nonsense\x1b[2J" + "x" * 99])
async def test_an_unknown_command_is_named_in_one_safe_line(face: FakeFace, line: str) -> None:
    with pytest.raises(CommandError, match="/help lists them") as refusal:
        await run_command(face, line)
    assert is_safe(str(refusal.value))
    assert len(str(refusal.value)) < 100


async def test_case_and_spaces_do_not_matter(face: FakeFace) -> None:
    await run_command(face, "  /QUIT  ")
    assert face.calls == ["leave"]


async def test_new(chat: FakeFace) -> None:
    await run_command(chat, "/new")
    assert chat.texts == []
    assert chat.calls == ["show_conversation"]


async def test_model_shows_what_is_loaded(chat: FakeFace) -> None:
    await run_command(chat, "/model")
    assert "`smollm2-135m` · 1B parameters · fp32 on cpu · window 100" in chat.notes[0]


async def test_model_before_there_is_one(face: FakeFace) -> None:
    await run_command(face, "/model")
    assert face.notes == ["`smollm2-135m` is not loaded yet."]


async def test_model_loads_another(face: FakeFace) -> None:
    await run_command(face, "/model org/other model")
    assert face.manager.settings.model == "org/other model"
    assert face.calls == ["show_settings", "load_model"]


class AdaptingEngine(FakeEngine):
    """Takes adapters, and remembers what it is made to load."""

    def __init__(self) -> None:
        super().__init__()
        self.adapters: tuple[AdapterUse, ...] = ()
        self.forced: list[str] = []

    def force(self, model: str) -> None:
        self.forced.append(model)

    async def use_adapters(self, adapters: tuple[AdapterUse, ...]) -> ModelInfo:
        self.adapters = adapters
        infos = tuple(
            AdapterInfo(
                path=use.path,
                name=use.path.rsplit("/", 1)[-1],
                weight=use.weight,
                rank=4,
            )
            for use in adapters
        )
        info = await self.ensure_loaded("smollm2-135m", "fp32")
        info = msgspec.structs.replace(info, adapters=infos)
        self.status = EngineStatus(state="ready", info=info)
        return info


async def test_model_is_loaded_by_force(face: FakeFace) -> None:
    engine = AdaptingEngine()
    face = FakeFace(make_manager(engine))
    await run_command(face, "/model org/large --force")
    assert engine.forced == ["org/large"]
    assert face.manager.settings.model == "org/large"
    await run_command(face, "/model org/large --force")
    assert face.calls[-3:] == ["load_model", "show_settings", "load_model"]


async def test_adapters_come_and_go() -> None:
    engine = AdaptingEngine()
    face = FakeFace(make_manager(engine))
    await run_command(face, "/adapter ~/pirate")
    await run_command(face, "/adapter ~/poet=0.5")
    assert [(use.path, use.weight) for use in engine.adapters] == [("~/pirate", 1), ("~/poet", 0.5)]
    assert face.notes[-1] == "Adapters from the next answer on: pirate, poet x0.5."
    await run_command(face, "/adapter")
    assert "`~/poet` · weight 0.5 · rank 4" in face.notes[-1]
    await run_command(face, "/model")
    assert "adapter pirate · adapter poet x0.5" in face.notes[-1]
    await run_command(face, "/adapter remove pirate")
    assert [use.path for use in engine.adapters] == ["~/poet"]
    with pytest.raises(CommandError, match="no adapter 'pirate'"):
        await run_command(face, "/adapter remove pirate")
    with pytest.raises(SettingError, match="must be a number"):
        await run_command(face, "/adapter ~/poet=much")
    await run_command(face, "/adapter remove")
    assert engine.adapters == ()


async def test_another_window_says_what_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    ram = Device(kind="cpu", name="RAM", free_bytes=9 * GIB, total_bytes=64 * GIB)
    monkeypatch.setattr("chatbot.conversation.window.look", lambda: Hardware(gpus=(), ram=ram))
    engine = FakeEngine(context_length=131_072)
    face = FakeFace(make_manager(engine, with_settings(model="llama-3.2-3b", precision="bf16")))
    await run_command(face, "/set context_length 4096")
    assert face.notes[-1] == "The window counts from the next load on."
    await engine.ensure_loaded("llama-3.2-3b", "bf16")
    await run_command(face, "/set context_length 8192")
    assert face.notes[-1] == (
        "The window is 8,192 tokens from the next answer on; nothing has to be loaded anew."
    )
    # 114,688 bytes a token are 14 GiB for all; the model and the libraries take 6.6.
    await run_command(face, "/set context_length 131072")
    assert "takes 20.6 GiB in bf16 with a window of 131,072 tokens" in face.notes[-1]
    assert face.notes[-1].endswith("once the model is loaded anew.")
    await run_command(face, "/set context_length 200000")
    assert "llama-3.2-3b was made for 131,072 tokens" in face.notes[-1]
    assert engine.reserved == [4096, 8192, 131_072, 200_000]


async def test_system(face: FakeFace) -> None:
    await run_command(face, "/system")
    await run_command(face, "/system Be brief.")
    assert face.manager.settings.system_prompt == "Be brief."
    assert face.calls == ["show_settings"]
    face.manager.change_setting("system_prompt", "")
    await run_command(face, "/system")
    assert face.notes == [
        "System prompt:\n\n> You are a helpful assistant. Give short, correct answers.",
        "System prompt:\n\n> (none)",
    ]


async def test_set_lists_shows_and_changes(face: FakeFace) -> None:
    await run_command(face, "/set")
    assert all(f"`{spec.name}` = " in face.notes[0] for spec in SPECS)
    await run_command(face, "/set top-p")
    assert face.notes[1].startswith("`top_p` = `0.9`")
    assert "a number from 0.01 to 1" in face.notes[1]
    await run_command(face, "/set TOP-P   0.5")
    assert face.manager.settings.sampling.top_p == 0.5
    assert face.calls == ["show_settings"]


async def test_reset_takes_back_the_sampling_settings(face: FakeFace) -> None:
    for line in ("/set temperature 1.5", "/set seed 7", "/set grounding strict"):
        await run_command(face, line)
    await run_command(face, "/reset")
    assert face.manager.settings == with_settings(grounding="strict")
    assert face.notes[-1] == "Back to the default: `temperature` = `0.3`, `seed` = `random`."
    await run_command(face, "/reset")
    assert face.notes[-1] == "All sampling settings have their default already."


async def test_reset_takes_back_one_setting(face: FakeFace) -> None:
    for line in ("/set temperature 1.5", "/set reranker org/name", "/set model other"):
        await run_command(face, line)
    await run_command(face, "/reset reranker")
    assert face.manager.settings.reranker == ""
    await run_command(face, "/reset model")
    assert face.calls[-2:] == ["show_settings", "load_model"]
    assert face.manager.settings == with_settings(sampling=Sampling(temperature=1.5))
    await run_command(face, "/reset model")
    assert face.notes[-1] == "`model` has its default already."
    with pytest.raises(SettingError, match="There is no setting 'colour'"):
        await run_command(face, "/reset colour")


@pytest.mark.parametrize("line", ["/set model other", "/set precision fp32"])
async def test_set_of_what_has_to_be_loaded(face: FakeFace, line: str) -> None:
    await run_command(face, line)
    assert face.calls == ["show_settings", "load_model"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("/set colour red", "There is no setting 'colour'"),
        ("/set temperature hot", "a number from 0 to 2"),
        ("/set top_k 1.5", "a whole number from 0 to 1000"),
        ("/set precision fp8", "one of auto, fp32"),
    ],
)
async def test_a_refused_setting_says_what_is_allowed(
    face: FakeFace, line: str, words: str
) -> None:
    with pytest.raises(SettingError, match=words):
        await run_command(face, line)
    assert face.manager.settings == Settings()
    assert face.calls == []


async def test_a_setting_that_cannot_be_saved_is_used_all_the_same() -> None:
    def refuse(settings: Settings, names: Collection[str]) -> None:
        raise ConfigError("The disk is full.")

    face = FakeFace(ConversationManager(FakeEngine(), Settings(), refuse))
    with pytest.raises(ConfigError):
        await run_command(face, "/model other")
    assert face.calls == ["show_settings", "load_model"]


async def test_theme(face: FakeFace) -> None:
    await run_command(face, "/theme day")
    await run_command(face, "/theme")
    await run_command(face, "/set theme night")
    assert face.calls == ["theme day", "theme ", "theme night"]


async def test_regen(chat: FakeFace) -> None:
    await run_command(chat, "/regen")
    assert chat.calls == ["run_turn"]
    assert len(chat.manager.conversation) == 3


async def test_edit_with_and_without_the_new_words(chat: FakeFace) -> None:
    await run_command(chat, "/edit Another question?")
    assert chat.texts == ["Another question?", "An answer."]
    await run_command(chat, "/edit")
    assert chat.texts == ["Another question?", "An answer."]  # until other words are sent
    assert chat.calls == ["run_turn", "edit Another question?"]


async def test_undo(chat: FakeFace) -> None:
    await run_command(chat, "/undo")
    assert chat.texts == []
    assert chat.calls == ["show_conversation"]


@pytest.mark.parametrize(
    "line", ["/regen", "/edit", "/edit x", "/undo", "/tokens", "/stats", "/copy"]
)
async def test_in_an_empty_chat_there_is_nothing_to_do_it_with(face: FakeFace, line: str) -> None:
    with pytest.raises(CommandError):
        await run_command(face, line)
    assert face.calls == face.notes == []


async def test_tokens(chat: FakeFace) -> None:
    await run_command(chat, "/tokens")
    assert chat.notes == [
        "Last answer: 9 prompt tokens (4 of them from the cache), 3 new tokens, "
        "first after 0.25 s, then 4.0 tokens per second."
    ]


async def test_stats_say_what_computed_an_answer_and_why(chat: FakeFace) -> None:
    await run_command(chat, "/stats")
    (note,) = chat.notes
    assert f"| kept | 4 | {'━' * 19} |  |" in note  # 4/5 of 24
    assert f"| read | 5 | {'█' * 24} | 0.25 s |" in note
    assert f"| written | 3 | {'▒' * 14} | 4.0 a second |" in note
    assert "- 1 answer; 3 tokens" in note
    assert "computed by" not in note
    assert "guessed" not in note
    cost = msgspec.structs.replace(
        STATISTICS,
        decoder="transformers",
        decoder_reason="its layers look back over a \x1b[2Jwindow",
        num_guessed=12,
        num_guessed_right=8,
        cache_bytes=3 * 2**20,
        decode_seconds=0.25,
    )
    conversation = chat.manager.conversation
    answer = conversation.last("assistant")
    assert answer
    assert answer.making
    again = msgspec.structs.replace(
        answer, id="another", making=msgspec.structs.replace(answer.making, statistics=cost)
    )
    conversation.add(msgspec.structs.replace(again, parent_id=answer.id))
    await run_command(chat, "/stats")
    note = chat.notes[-1]
    assert "`transformers`: the model's own step, on a cache that grows, because its layers" in note
    assert "\x1b" not in note
    assert "12 tokens, 8 of them right" in note
    assert "3 MiB" in note
    assert "- 2 answers; 6 tokens" in note
    assert "`▅█`, lowest 4.0, highest 8.0" in note
    await all_of(chat.manager.regenerate())
    await run_command(chat, "/stats")
    assert "- 3 answers, 2 of them on other branches; 9 tokens" in chat.notes[-1]
    assert "computed by" not in chat.notes[-1]


async def test_stats_say_which_settings_made_the_answer_that_they_count(chat: FakeFace) -> None:
    manager = chat.manager
    made = making_of(manager.conversation.last("assistant"))
    manager.change_setting("temperature", "0.9")
    engine = manager.engine
    assert isinstance(engine, FakeEngine)
    engine.script = [ModelError("It broke.")]
    await all_of(manager.reply("And now?"))  # an answer that nothing was counted of
    await run_command(chat, "/stats")
    assert f"- made with `seed` {made.sampling.seed}\n" in chat.notes[-1]


async def test_context_shows_the_prompt_in_a_fence_it_cannot_leave(chat: FakeFace) -> None:
    await all_of(chat.manager.reply("before ```` after"))
    await run_command(chat, "/context")
    (note,) = chat.notes
    assert note.startswith("The prompt, ")
    _, fence, inside = re.split("(`{5,})text\n", note)
    assert inside.endswith(f"\n{fence}")
    assert "before ```` after" in inside


async def test_context_tells_which_control_tokens_are_none(
    chat: FakeFace, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def render(_: object) -> Rendered:
        return Rendered(request_id=1, text="x", num_tokens=9, typed_controls=("<|end|>",) * 2)

    await all_of(chat.manager.reply("<|end|><|end|>"))
    monkeypatch.setattr(chat.manager.engine, "render", render)
    await run_command(chat, "/context")
    assert chat.notes[-1].startswith(
        "The prompt, 9 tokens, in which 2 control tokens stood in a message and are plain "
        "characters to the model (`<|end|>`):\n"
    )


async def test_copy(chat: FakeFace) -> None:
    await run_command(chat, "/copy")
    assert chat.calls == ["copy An answer."]


async def test_export_save_and_load(chat: FakeFace, tmp_path: Path) -> None:
    before = chat.manager.conversation
    await run_command(chat, f"/export {tmp_path}/a chat.md")
    assert "## You\n\nA question?" in (tmp_path / "a chat.md").read_text()
    await run_command(chat, f"/save {tmp_path}/a chat.json")
    assert "a chat.json" in chat.notes[-1]
    await run_command(chat, "/new")
    await run_command(chat, f'/load "{tmp_path}/a chat.json"')
    assert chat.manager.conversation is not before
    loaded = chat.manager.conversation.messages()
    assert all(message.is_foreign for message in loaded)  # a file could be anybody's
    own = (msgspec.structs.replace(m, parts=(TextPart(m.text),)) for m in loaded)
    assert tuple(own) == tuple(before.messages())
    assert chat.texts == ["A question?", "An answer."]
    assert chat.calls == ["show_conversation", "show_conversation"]


@pytest.mark.parametrize("name", ["export", "save"])
async def test_no_file_is_made_of_an_empty_chat(name: str, chat: FakeFace, tmp_path: Path) -> None:
    await run_command(chat, "/new")
    with pytest.raises(CommandError, match="There is nothing in this chat"):
        await run_command(chat, f"/{name} {tmp_path}/chat")
    assert not (tmp_path / "chat").exists()


@pytest.mark.parametrize("name", ["export", "save", "load"])
async def test_a_file_has_to_be_named(chat: FakeFace, name: str) -> None:
    with pytest.raises(CommandError, match=f"Name a file: /{name} chat"):
        await run_command(chat, f"/{name}")


async def test_a_load_that_fails_keeps_the_chat(chat: FakeFace, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="cannot be read"):
        await run_command(chat, f"/load {tmp_path}/none.json")
    assert chat.texts == ["A question?", "An answer."]
    assert chat.calls == []


async def test_quit(face: FakeFace) -> None:
    await run_command(face, "/quit")
    assert face.calls == ["leave"]


async def test_every_command_has_a_test() -> None:
    here = Path(__file__).parent
    files = [*here.glob("test_*.py"), *here.parent.glob("test_*.py"), *here.parent.glob("tui/*.py")]
    source = "".join(file.read_text() for file in files)
    missing = [name for name in COMMANDS if f"/{name}" not in source]
    assert missing == []


async def test_shown_settings_cannot_break_the_list() -> None:
    manager = make_manager(FakeEngine(), with_settings(system_prompt="line\n- `x` = `y`\x1b[2J"))
    face = FakeFace(manager)
    await run_command(face, "/set")
    assert len(face.notes[0].splitlines()) == 2 + len(SPECS)
    assert is_safe(face.notes[0])


async def test_lens_shows_tokens_and_goes_another_way() -> None:
    others = (Alternative(1, " is|`", 0.5, 0.75), Alternative(2, " was", 0.25, 0.0))
    records = (
        TokenRecord(9, "It", "text", 0.9, 1.0, 1, 1, 0.5, 0.0, others),
        TokenRecord(1, " is|`", "text", 0.5, 0.75, 1, 1, 1.5, 0.8, others),
    )
    engine = FakeEngine("It", " is|`", TokensRecorded(request_id=1, tokens=records))
    face = FakeFace(make_manager(engine))
    with pytest.raises(CommandError, match="no answer"):
        await run_command(face, "/lens")
    await all_of(face.manager.reply("What?"))
    await run_command(face, "/lens")
    assert face.calls == ["lens 2"]
    await run_command(face, "/lens 2")
    assert "| ● `␣is¦ˋ` | 50.0% | 75.0% | ▲ ×1.50 |" in face.notes[-1]
    assert "| `␣was` | 25.0% | 0.0% | ✂ cut |" in face.notes[-1]
    for wrong in ("/lens 0", "/lens 3", "/lens two"):
        with pytest.raises(CommandError):
            await run_command(face, wrong)
    engine.rounds.append((" long ago",))
    await run_command(face, "/lens 2 was")
    answer = face.manager.conversation.last("assistant")
    assert answer is not None
    assert answer.text == "It was long ago"
    assert engine.begun_tokens[-1] == (9, 2)


def test_what_was_typed_has_no_figures_of_its_own() -> None:
    others = (Alternative(1, " Paris", 0.5, 0.75), Alternative(2, " Lyon", 0.25, 0.25))
    typed = TokenRecord(
        NO_TOKEN, " not far", "text", 0.0, 0.0, 0, 0, 1.5, 0.5, others, is_users=True
    )
    assert "| 1 | `␣not␣far` | typed | 1.50 bit |" in lens_table([typed])
    assert token_table([typed], 0).startswith(
        "Token 1 of 1, `␣not␣far`: typed by you, entropy 1.50 bit, after the settings 0.50 bit."
    )
    told = json.loads(token_json(typed, 0, {}))
    assert [told[name] for name in ("token", "before", "rank_after", "surprise")] == [None] * 4
    assert told["entropy_before"] == 1.5


def test_the_table_of_a_lens_begins_with_the_most_uncertain_place() -> None:
    records = [
        TokenRecord(n, f" w{n}", "text", 0.5, 0.5, 1, 1, float(n), 0.5, ()) for n in range(1, 15)
    ]
    lines = lens_table(records).splitlines()
    assert lines[0].startswith("14 tokens, perplexity 2.00, mean entropy 7.50 bit.")
    assert lines[4].startswith("| 14 | `␣w14` | 50.0% | 14.00 bit |")
    assert len(lines) == 4 + NUM_PLACES

"""A model that is larger than the memory: refused, then split by force, and it answers."""

import sys
from pathlib import Path

import msgspec
import pytest

from chatbot.config import Config
from chatbot.conversation.commands.setting import model_note
from chatbot.engine.client import EngineClient
from chatbot.errors import ModelFitError
from chatbot.events import TurnFinished
from chatbot.session import Session
from chatbot.settings import Sampling, Settings
from tests.engine.tiny_models import make_llama, make_tokenizer

CRAMPED = (sys.executable, str(Path(__file__).parent.parent / "cramped_engine.py"))
SIZES = {"hidden_size": 256, "intermediate_size": 1024, "num_hidden_layers": 8}
LAYER_BYTES = 4 * (2 * 256 * 256 + 2 * 256 * 128 + 3 * 256 * 1024 + 2 * 256)


async def test_what_is_too_large_is_split_over_memory_and_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = str(tmp_path / "model")
    make_llama(**SIZES, tie_word_embeddings=False, initializer_range=0.1).save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    # Half of the layers, the embeddings, and room for accelerate to bring one layer from the
    # disk; besides what a window and the reading of a prompt are reckoned with.
    monkeypatch.setenv("ROOM_BYTES", str(6 * LAYER_BYTES))
    settings = Settings(model=folder, precision="fp32", sampling=Sampling(max_tokens=4, seed=1))
    settings = msgspec.structs.replace(settings, folders=())
    session = Session(Config(settings=settings), settings, keeps_chats=False)
    session.engine = session.manager.engine = EngineClient(tmp_path / "engine.log", CRAMPED)
    async with session:
        with pytest.raises(ModelFitError, match=r"or load it all the same with --force"):
            await session.manager.load_model()
        session.engine.force(folder)
        events = [event async for event in session.manager.reply("What is the capital?")]
        assert isinstance(events[-1], TurnFinished)
        making = events[-1].answer.making
        assert making is not None
        assert making.error == ""
        assert making.statistics is not None
        assert making.statistics.num_new_tokens == 4
        info = session.engine.status.info
        assert info is not None
        shares = {share.device: share.num_bytes for share in info.placement}
        assert set(shares) == {"cpu", "disk"}
        assert shares["disk"] >= LAYER_BYTES
        assert sum(shares.values()) == info.weight_bytes
        assert f"split: {info.split}" in model_note(session.manager)
        assert info.split.endswith(" on disk")

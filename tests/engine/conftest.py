"""What the engine's tests share: tiny models, and one running engine process."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from transformers import GPT2LMHeadModel, LlamaForCausalLM, PreTrainedTokenizerFast

from chatbot.engine.devices import take_device
from tests.engine.running_engine import RunningEngine
from tests.engine.tiny_models import make_gpt2, make_llama, make_tokenizer


@pytest.fixture(autouse=True)
def gpu_as_the_program_sets_it(request: pytest.FixtureRequest) -> None:
    """Tests marked ``gpu`` have the attention that the program has, run alone or with others."""
    if request.node.get_closest_marker("gpu"):
        take_device()


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    return make_tokenizer()


@pytest.fixture(scope="session")
def llama() -> LlamaForCausalLM:
    return make_llama()


@pytest.fixture(scope="session")
def gpt2() -> GPT2LMHeadModel:
    return make_gpt2()


@pytest.fixture(scope="session")
def tiny_folder(
    tokenizer: PreTrainedTokenizerFast,
    llama: LlamaForCausalLM,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """The tiny model as a folder."""
    folder = tmp_path_factory.mktemp("tiny-llama")
    llama.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def engine(models_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEngine]:
    """One process for all tests; starting one takes seconds."""
    running = RunningEngine(
        {"CHATBOT_CACHE_DIR": str(models_cache)}, tmp_path_factory.mktemp("log") / "engine.log"
    )
    yield running
    running.end()

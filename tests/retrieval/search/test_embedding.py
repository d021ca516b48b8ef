import json
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers

from chatbot.errors import KnowledgeError
from chatbot.retrieval.embedding import Embedder, load_tokenizer, read_max_tokens, without_baseline
from chatbot.retrieval.models import find_model_folder
from chatbot.retrieval.reranking import CrossEncoderReranker
from chatbot.settings import DEFAULT_EMBEDDING_MODEL

WORDS = ["[UNK]", "[PAD]", "[CLS]", "[SEP]", "cat", "dog", "tax"]


def word_tokenizer() -> Tokenizer:
    vocabulary = {word: number for number, word in enumerate(WORDS)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return tokenizer


def save_static(folder: Path, key: str) -> None:
    """A model of one vector a word: cats and dogs near to each other, taxes apart."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = torch.zeros(len(WORDS), 4)
    rows[4], rows[5], rows[6] = torch.tensor([[1, 0, 0, 0], [0.8, 0.6, 0, 0], [0, 0, 1, 0]])
    save_file({key: rows}, folder / "model.safetensors")
    word_tokenizer().save(str(folder / "tokenizer.json"))


@pytest.fixture(params=["sentence-transformers", "model2vec"])
def static_model(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    if request.param == "model2vec":
        save_static(tmp_path, "embeddings")
        (tmp_path / "config.json").write_text(json.dumps({"model_type": "model2vec"}))
    else:
        save_static(tmp_path / "0_StaticEmbedding", "embedding.weight")
        name = "sentence_transformers.models.StaticEmbedding"
        module = {"idx": 0, "name": "0", "path": "0_StaticEmbedding", "type": name}
        (tmp_path / "modules.json").write_text(json.dumps([module]))
    return tmp_path


def test_vectors_have_length_one_and_mean_something(embedder: Embedder) -> None:
    texts = ["A cat sleeps.", "", "The parliament passed a law. " * 200, "A kitten is napping."]
    vectors = embedder.encode_passages(texts)
    assert vectors.shape == (4, 384)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 1, 1, 1], abs=1e-5)
    assert vectors[0] @ vectors[3] > vectors[0] @ vectors[2] + 0.3
    assert embedder.dimensions == 384
    assert embedder.baseline < 0.1
    assert embedder.encode_passages([]).shape == (0, 384)


def test_vectors_are_those_of_the_library(embedder: Embedder) -> None:
    from sentence_transformers import SentenceTransformer

    texts = [f"Sentence {i} " + "about something or other " * (i % 7) for i in range(40)]
    model = SentenceTransformer(
        str(find_model_folder(DEFAULT_EMBEDDING_MODEL)), device="cpu", local_files_only=True
    )
    expected = model.encode(texts, normalize_embeddings=True)
    assert np.abs(embedder.encode_passages(texts) - expected).max() < 1e-5


def test_blocks_hold_every_text_once(embedder: Embedder) -> None:
    texts = ["word " * (i % 30) for i in range(100)]
    indices = np.concatenate([block.indices for block in embedder.encode_blocks(texts)])
    assert sorted(indices.tolist()) == list(range(100))
    blocks = embedder.encode_blocks(texts)
    assert next(blocks).vectors.shape[1] == 384
    blocks.close()  # type: ignore[attr-defined]  # whoever stops taking more leaves nothing behind
    assert embedder.encode_query("still there").shape == (384,)


def test_long_texts_go_few_at_once_and_short_ones_many(embedder: Embedder) -> None:
    sizes = [embedder._batch_size(num) for num in (100_000, 1_000, 400, 100, 0)]
    assert sizes == [8, 8, 20, 64, 64]


def test_queries_from_another_thread_come_in_between(embedder: Embedder) -> None:
    texts = ["some words of a passage " * 20] * 96
    blocks = embedder.encode_blocks(texts)
    first = next(blocks)
    done = threading.Event()
    query = threading.Thread(target=lambda: (embedder.encode_query("now"), done.set()))
    rest = threading.Thread(target=lambda: list(blocks))
    rest.start()
    query.start()
    assert done.wait(60)
    rest.join(60)
    query.join(60)
    assert len(first.indices) > 0
    assert not rest.is_alive()


def test_static_models_are_used_by_folder(static_model: Path) -> None:
    embedder = Embedder(str(static_model), "cpu")
    vectors = embedder.encode_passages(["cat", "dog", "tax", ""])
    assert vectors @ vectors[0] == pytest.approx([1, 0.8, 0, 0], abs=1e-5)
    assert embedder.dimensions == 4
    assert load_tokenizer(str(static_model)).encode("cat tax").ids == [4, 6]
    assert read_max_tokens(str(static_model)) == 256


def test_prompts_of_a_model_are_put_in_front(static_model: Path) -> None:
    settings = {"prompts": {"query": "tax ", "document": "dog "}}
    (static_model / "config_sentence_transformers.json").write_text(json.dumps(settings))
    if not (static_model / "modules.json").is_file():
        pytest.skip("model2vec has no prompts")
    embedder = Embedder(str(static_model), "cpu")
    assert embedder.encode_query("tax") == pytest.approx([0, 0, 1, 0])
    assert embedder.encode_passages(["dog"])[0] == pytest.approx([0.8, 0.6, 0, 0])


def test_what_the_default_model_can_take(tokenizer: Tokenizer) -> None:
    assert read_max_tokens(DEFAULT_EMBEDDING_MODEL) == 256
    assert tokenizer.truncation is None
    assert tokenizer.padding is None
    assert len(tokenizer.encode("word " * 1000)) == 1002


def test_models_that_cannot_be_used(tmp_path: Path) -> None:
    for reference, said in [
        ("no-such/model", "is not on this machine"),
        ("/no/such/folder", "There is no model"),
        ("two words", "There is no model"),
        ("", "There is no model"),
        (str(tmp_path), "is not a model"),
    ]:
        for use in (load_tokenizer, read_max_tokens, Embedder, CrossEncoderReranker):
            with pytest.raises(KnowledgeError, match=said):
                use(reference)


def test_a_folder_here_does_not_pass_for_a_model_of_the_hub(
    static_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "org").mkdir()
    (tmp_path / "org" / "name").symlink_to(static_model)
    monkeypatch.chdir(tmp_path)
    assert find_model_folder("./org/name") == Path("org/name")
    with pytest.raises(KnowledgeError, match="HF_HUB_OFFLINE"):
        find_model_folder("org/name")


def test_pickles_are_refused(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(KnowledgeError, match="pickle"):
        Embedder(str(tmp_path))
    save_static(tmp_path / "1_Dense", "linear.weight")
    (tmp_path / "modules.json").write_text(json.dumps([{"path": ""}, {"path": "1_Dense"}]))
    with pytest.raises(KnowledgeError, match="pickle"):
        Embedder(str(tmp_path))


def test_a_broken_model_says_so(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"broken")
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(KnowledgeError, match="cannot be loaded"):
        Embedder(str(tmp_path))
    with pytest.raises(KnowledgeError, match="tokenizer"):
        load_tokenizer(str(tmp_path))
    (tmp_path / "modules.json").write_text("[")
    with pytest.raises(KnowledgeError, match="damaged"):
        read_max_tokens(str(tmp_path))


def test_a_list_of_modules_does_not_lead_out_of_the_folder(static_model: Path) -> None:
    outside = static_model.parent / "secret"
    outside.mkdir(exist_ok=True)
    (outside / "sentence_bert_config.json").write_text('{"max_seq_length": 7}')
    (static_model / "modules.json").write_text(json.dumps([{"path": "../secret"}]))
    assert read_max_tokens(str(static_model)) == 256


def save_cross_encoder(folder: Path, num_labels: int) -> None:
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
        max_position_embeddings=32,
        num_labels=num_labels,
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    PreTrainedTokenizerFast(
        tokenizer_object=word_tokenizer(),
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=32,
    ).save_pretrained(folder)


def test_a_cross_encoder_scores_pairs(tmp_path: Path) -> None:
    save_cross_encoder(tmp_path, 1)
    reranker = CrossEncoderReranker(str(tmp_path), "cpu")
    scores = reranker.score("cat", ["dog", "tax", "dog"])
    assert len(scores) == 3
    assert all(0 <= score <= 1 for score in scores)
    assert scores[0] == pytest.approx(scores[2])
    assert reranker.score("cat", []) == []


def test_a_classifier_is_no_reranker(tmp_path: Path) -> None:
    save_cross_encoder(tmp_path, 3)
    with pytest.raises(KnowledgeError, match="3 scores"):
        CrossEncoderReranker(str(tmp_path), "cpu")


def test_the_baseline_becomes_zero() -> None:
    cosines = np.array([0.7, 0.85, 1.0], np.float32)
    assert without_baseline(cosines, 0.7) == pytest.approx([0, 0.5, 1], abs=1e-6)

"""The families of the field in miniature: their real classes, and how each writes a chat.

The templates are written after what each family was trained on, as short as they can be and
still render the same text.
"""

from pathlib import Path
from typing import Any, Final

import msgspec
import torch
import transformers as tf
from tokenizers import AddedToken

from tests.engine.tiny_models import CHATML, make_tokenizer

SIZES: Final[dict[str, Any]] = {
    "vocab_size": 420,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 512,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
GROUPED: Final = {**SIZES, "num_key_value_heads": 2}

LLAMA2 = (
    "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}"
    "{% set system_message = messages[0]['content'] %}{% else %}"
    "{% set loop_messages = messages %}{% set system_message = false %}{% endif %}"
    "{% for message in loop_messages %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/...') }}{% endif %}"
    "{% if loop.index0 == 0 and system_message != false %}"
    "{% set content = '<<SYS>>\n' + system_message + '\n<</SYS>>\n\n' + message['content'] %}"
    "{% else %}{% set content = message['content'] %}{% endif %}"
    "{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}"
    "{% else %}{{ ' ' + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}"
)
LLAMA3 = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'"
    " + message['content'] | trim + '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
MISTRAL = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('After the optional system message, roles must alternate') }}{% endif %}"
    "{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + '[/INST]' }}"
    "{% else %}{{ ' ' + message['content'] + eos_token }}{% endif %}{% endfor %}"
)
GEMMA = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}"
    "{{ raise_exception('System role not supported') }}{% endif %}{% for message in messages %}"
    "{% set role = 'model' if message['role'] == 'assistant' else message['role'] %}"
    "{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
QWEN3 = (
    CHATML.removesuffix("{% endif %}")
    + "{% if enable_thinking is defined and enable_thinking is false %}"
    "{{ '<think>\n\n</think>\n\n' }}{% endif %}{% endif %}"
)
SMOLLM3 = (
    "{% if messages[0].role != 'system' %}{{ '<|im_start|>system\n## Metadata\n<|im_end|>\n' }}"
    "{% endif %}" + CHATML
)
PHI3 = (
    "{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>\n' + message['content'] + '<|end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}"
)


class Family(msgspec.Struct, frozen=True, kw_only=True):
    """One family in miniature."""

    name: str
    config: Any
    template: str | None
    prompt_end: str
    """How a prompt with the question ``Hi?`` ends."""
    called: str = ""
    """The model's name in the hub, where that is what its form is known by."""
    tokens: tuple[str, ...] = ()
    """Its special tokens."""


FAMILIES: Final = (
    Family(
        name="gpt2",
        config=tf.GPT2Config(
            vocab_size=420,
            n_positions=512,
            n_embd=32,
            n_layer=2,
            n_head=4,
            bos_token_id=0,
            eos_token_id=2,
        ),
        template=None,
        prompt_end="User: Hi?\nAssistant:",
    ),
    Family(
        name="llama-1",
        config=tf.LlamaConfig(**SIZES),
        template=None,
        prompt_end="User: Hi?\nAssistant:",
        called="huggyllama/llama-7b",
    ),
    Family(
        name="llama-2",
        config=tf.LlamaConfig(**SIZES),
        template=LLAMA2,
        prompt_end="<<SYS>>\nBe kind.\n<</SYS>>\n\nHi? [/INST]",
    ),
    Family(
        name="llama-3",
        config=tf.LlamaConfig(**GROUPED, rope_theta=500_000.0),
        template=LLAMA3,
        prompt_end="Hi?<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
        tokens=("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
    ),
    Family(
        name="mistral",
        config=tf.MistralConfig(**GROUPED, sliding_window=64),
        template=MISTRAL,
        prompt_end="[INST] Be kind.\n\nHi?[/INST]",
        tokens=("[INST]", "[/INST]"),
    ),
    Family(
        name="gemma",
        config=tf.GemmaConfig(**GROUPED, head_dim=16),
        template=GEMMA,
        prompt_end="Hi?<end_of_turn>\n<start_of_turn>model\n",
        tokens=("<start_of_turn>", "<end_of_turn>"),
    ),
    Family(
        name="gemma-2",
        config=tf.Gemma2Config(**GROUPED, head_dim=16, sliding_window=64),
        template=GEMMA,
        prompt_end="Hi?<end_of_turn>\n<start_of_turn>model\n",
        tokens=("<start_of_turn>", "<end_of_turn>"),
    ),
    Family(
        name="gemma-3",
        config=tf.Gemma3TextConfig(**GROUPED, head_dim=16, sliding_window=64),
        template=GEMMA,
        prompt_end="Hi?<end_of_turn>\n<start_of_turn>model\n",
        tokens=("<start_of_turn>", "<end_of_turn>"),
    ),
    Family(
        name="qwen-2",
        config=tf.Qwen2Config(**GROUPED),
        template=CHATML,
        prompt_end="Hi?<|im_end|>\n<|im_start|>assistant\n",
    ),
    Family(
        name="qwen-3",
        config=tf.Qwen3Config(**GROUPED, head_dim=16),
        template=QWEN3,
        prompt_end="Hi?<|im_end|>\n<|im_start|>assistant\n",
        tokens=("<think>", "</think>"),
    ),
    Family(
        name="qwen-3-moe",
        config=tf.Qwen3MoeConfig(
            **GROUPED, head_dim=16, num_experts=6, num_experts_per_tok=2, moe_intermediate_size=24
        ),
        template=QWEN3,
        prompt_end="Hi?<|im_end|>\n<|im_start|>assistant\n",
        tokens=("<think>", "</think>"),
    ),
    Family(
        name="mixtral",
        config=tf.MixtralConfig(**GROUPED, num_local_experts=4),
        template=MISTRAL,
        prompt_end="[INST] Be kind.\n\nHi?[/INST]",
        tokens=("[INST]", "[/INST]"),
    ),
    Family(
        name="olmoe",
        config=tf.OlmoeConfig(**GROUPED, num_experts=6, num_experts_per_tok=2),
        template=CHATML,
        prompt_end="Hi?<|im_end|>\n<|im_start|>assistant\n",
    ),
    Family(
        name="granite-moe",
        config=tf.GraniteMoeConfig(**GROUPED, num_local_experts=4),
        template=CHATML,
        prompt_end="Hi?<|im_end|>\n<|im_start|>assistant\n",
    ),
    Family(
        name="falcon",
        config=tf.FalconConfig(
            vocab_size=420,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=512,
            bos_token_id=0,
            eos_token_id=2,
        ),
        template=None,
        prompt_end="System: Be kind.\nUser: Hi?\nFalcon:",
        called="tiiuae/falcon-7b-instruct",
    ),
    Family(
        name="elyza",
        config=tf.LlamaConfig(**SIZES),
        template=None,
        prompt_end="[INST] <<SYS>>\nBe kind.\n<</SYS>>\n\nHi? [/INST]",
        called="elyza/ELYZA-japanese-Llama-2-7b-fast-instruct",
    ),
    Family(
        name="rinna",
        config=tf.GPTNeoXConfig(**SIZES),
        template=None,
        prompt_end="Be kind.<NL>ユーザー: Hi?<NL>システム: ",
        called="rinna/japanese-gpt-neox-3.6b-instruction-ppo",
    ),
    Family(
        name="smollm-2",
        config=tf.LlamaConfig(**GROUPED, tie_word_embeddings=True),
        template=CHATML,
        prompt_end="Hi?<|im_end|>\n<|im_start|>assistant\n",
    ),
    Family(
        name="smollm-3",
        config=tf.SmolLM3Config(**GROUPED),
        template=SMOLLM3,
        prompt_end="Hi?<|im_end|>\n<|im_start|>assistant\n",
        tokens=("<think>", "</think>"),
    ),
    Family(
        name="phi",
        config=tf.PhiConfig(**SIZES),
        template=None,
        prompt_end="Be kind.\nInstruct: Hi?\nOutput:",
        called="microsoft/phi-2",
    ),
    Family(
        name="phi-3",
        config=tf.Phi3Config(**GROUPED),
        template=PHI3,
        prompt_end="<|user|>\nHi?<|end|>\n<|assistant|>\n",
        tokens=("<|user|>", "<|assistant|>", "<|system|>", "<|end|>"),
    ),
)


def write_family(family: Family, folder: Path) -> Path:
    """A model folder of this family with random weights, small enough to load at once."""
    torch.manual_seed(0)
    model = tf.AutoModelForCausalLM.from_config(family.config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() >= 2:  # so large that no two tokens are equally likely
                parameter.normal_(0, 0.3)
    tokenizer = make_tokenizer(family.template)
    if family.tokens:
        added = [AddedToken(token, special=True, normalized=False) for token in family.tokens]
        tokenizer.add_tokens(added, special_tokens=True)
    if family.called:
        model.config._name_or_path = family.called
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder

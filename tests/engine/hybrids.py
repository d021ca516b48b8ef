"""Families in miniature whose layers keep more, or less, than keys and values of each token."""

import functools
from typing import Any, Final

import torch
import transformers as tf
from torch import Tensor

SIZES: Final[dict[str, Any]] = {
    "vocab_size": 420,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
WITH_ATTENTION: Final[dict[str, Any]] = {
    **SIZES,
    "intermediate_size": 48,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2048,
}
EXPERTS: Final = {
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 16,
    "shared_expert_intermediate_size": 16,
}
DELTA: Final = {
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "layer_types": ["linear_attention", "linear_attention", "full_attention"],
}
MAMBA2: Final = {
    "mamba_n_heads": 8,
    "mamba_d_head": 8,
    "mamba_d_state": 8,
    "mamba_n_groups": 1,
    "mamba_chunk_size": 32,
}

HYBRIDS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "qwen 3.5": ("qwen3_5_text", {**WITH_ATTENTION, **DELTA, "head_dim": 16}),
    "qwen 3 next": ("qwen3_next", {**WITH_ATTENTION, **DELTA, **EXPERTS, "head_dim": 16}),
    "olmo hybrid": ("olmo_hybrid", {**WITH_ATTENTION, **DELTA}),
    "kimi linear": (
        "kimi_linear",
        {
            **WITH_ATTENTION,
            **EXPERTS,
            "num_key_value_heads": 4,
            "num_local_experts": 4,
            "kv_lora_rank": 16,
            "qk_rope_head_dim": 8,
            "qk_nope_head_dim": 8,
            "v_head_dim": 8,
            "linear_head_dim": 8,
            "linear_num_heads": 4,
            "layer_types": DELTA["layer_types"],
        },
    ),
    "lfm 2": (
        "lfm2",
        {
            **WITH_ATTENTION,
            "block_auto_adjust_ff_dim": False,
            "layer_types": ["conv", "full_attention", "conv"],
        },
    ),
    "granite 4": (
        "granitemoehybrid",
        {
            **WITH_ATTENTION,
            **MAMBA2,
            "layer_types": ["mamba", "attention", "mamba"],
            "num_local_experts": 4,
            "num_experts_per_tok": 2,
            "shared_intermediate_size": 48,
        },
    ),
    "falcon h1": (
        "falcon_h1",
        {**WITH_ATTENTION, **MAMBA2, "head_dim": 8, "mamba_d_ssm": 64},
    ),
    "bamba": (
        "bamba",
        {**WITH_ATTENTION, **MAMBA2, "attn_layer_indices": [1], "attn_rotary_emb": 8},
    ),
    "nemotron h": (
        "nemotron_h",
        {
            **WITH_ATTENTION,
            "num_hidden_layers": 4,
            "layers_block_type": ["mamba", "moe", "attention", "mamba"],
            "mamba_num_heads": 8,
            "mamba_head_dim": 8,
            "ssm_state_size": 8,
            "n_groups": 1,
            "chunk_size": 32,
            "n_routed_experts": 4,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": 16,
            "moe_shared_expert_intermediate_size": 16,
            "head_dim": 8,
        },
    ),
    "mamba": ("mamba", {**SIZES, "state_size": 8}),
    "falcon mamba": ("falcon_mamba", {**SIZES, "state_size": 8}),
    "mamba 2": (
        "mamba2",
        {**SIZES, "state_size": 8, "num_heads": 8, "head_dim": 8, "n_groups": 1, "chunk_size": 32},
    ),
    "jamba": (
        "jamba",
        {
            **WITH_ATTENTION,
            **EXPERTS,
            "attn_layer_period": 2,
            "attn_layer_offset": 1,
            "mamba_d_state": 8,
        },
    ),
    "zamba 2": (
        "zamba2",
        {
            **WITH_ATTENTION,
            "layers_block_type": ["mamba", "hybrid", "mamba"],
            "hybrid_layer_ids": [1],
            "n_mamba_heads": 8,
            "mamba_headdim": 8,
            "mamba_d_state": 8,
            "mamba_ngroups": 1,
            "chunk_size": 32,
            "num_mem_blocks": 1,
            "use_mem_rope": True,
        },
    ),
}
"""By name, what transformers calls a family, and its sizes."""

WINDOWED: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "starcoder 2": ("starcoder2", {**WITH_ATTENTION, "sliding_window": 64}),
    "gpt oss": (
        "gpt_oss",
        {
            **WITH_ATTENTION,
            "head_dim": 8,
            "sliding_window": 64,
            "num_local_experts": 4,
            "num_experts_per_tok": 2,
            "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
        },
    ),
}
"""As ``HYBRIDS``, with layers that keep the last tokens alone."""


@functools.cache
def hybrid(name: str) -> Any:
    """The family called ``name``, with random weights by which each token before counts."""
    kind, sizes = (HYBRIDS | WINDOWED)[name]
    torch.manual_seed(0)
    model = tf.AutoModelForCausalLM.from_config(tf.AutoConfig.for_model(kind, **sizes)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.normal_(0, 0.15)
    return model


@torch.inference_mode()
def logits_at_once(model: Any, tokens: list[int]) -> Tensor:
    """Logits after each of the tokens, [tokens, vocab], by one step without a cache."""
    logits: Tensor = model(input_ids=torch.tensor([tokens]), use_cache=False).logits[0]
    return logits

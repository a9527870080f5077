"""The seven tiny models: sizes, config files, weight scales and seeds, as data."""

from dataclasses import dataclass, field

TEXT = 19  # tokens of the longer row of the main batch
SHORT = 13  # tokens of its shorter row; the rest is right padding
VIRTUAL = 5  # prompt tuning: virtual tokens
RANK, ALPHA = 4, 8  # LoRA


@dataclass(frozen=True)
class Kind:
    """One model. `old` and `new` are the two spellings of config.json; both must give the same model."""

    name: str
    seed: int
    dtype: str  # how the checkpoint stores weights
    main: str  # which spelling is config.json: "old" or "new"; the other is config.<other>.json
    old: dict
    new: dict
    detail: tuple = (1,)  # layers whose inner activations and trained LoRA weights are stored; MLP: the first of them
    shard: str | None = None  # max_shard_size of save_pretrained
    scale: dict = field(default_factory=dict)  # overrides of SCALE
    norm: float = 1.0  # mean of the norm weights; 0 for Gemma, whose norm multiplies by 1 + weight
    post_norm: float | None = None  # mean of Gemma 2/3 weights that normalise a sublayer's output


# Standard deviation of each weight times sqrt(input width): large enough that attention is far from uniform
# and logits have a spread of some units. Embeddings: standard deviation as is.
SCALE = {
    "q_proj": 1.4, "k_proj": 1.4, "v_proj": 1.0, "o_proj": 1.0,
    "gate_proj": 1.2, "up_proj": 1.2, "down_proj": 1.0,
    "lm_head": 2.5, "embed_tokens": 1.0,
}  # fmt: skip


def llama(model_type, vocab, hidden, ffn, heads, kv_heads, **more):
    """Fields that every config of the family has, whatever its age."""
    names = {"llama": "Llama", "mistral": "Mistral", "gemma": "Gemma", "gemma2": "Gemma2", "gemma3_text": "Gemma3"}
    return {
        "architectures": [names[model_type] + "ForCausalLM"],
        "model_type": model_type,
        "vocab_size": vocab,
        "hidden_size": hidden,
        "intermediate_size": ffn,
        "num_hidden_layers": 3,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "max_position_embeddings": 256,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "attention_bias": False,
        "attention_dropout": 0.0,
        "initializer_range": 0.02,
        "use_cache": True,
        **more,
    }


def old(base, dtype, **more):
    """The spelling of transformers 4: torch_dtype, rope_theta, rope_scaling."""
    return {**base, "torch_dtype": dtype, "transformers_version": "4.40.0", **more}


def new(base, dtype, **more):
    """The spelling of transformers 5: dtype, rope_parameters."""
    return {**base, "dtype": dtype, "transformers_version": "5.23.0", **more}


_llama2 = llama("llama", 67, 32, 48, 4, 4, hidden_act="silu", rms_norm_eps=1e-5, tie_word_embeddings=False)
_llama3 = llama("llama", 71, 32, 44, 4, 2, hidden_act="silu", rms_norm_eps=1e-5, tie_word_embeddings=False)
_linear = llama("llama", 61, 36, 40, 4, 2, head_dim=12, hidden_act="silu", rms_norm_eps=1e-6, tie_word_embeddings=True)
_mistral = llama(
    "mistral", 67, 32, 48, 4, 2, hidden_act="silu", rms_norm_eps=1e-5, tie_word_embeddings=False, sliding_window=7
)
_gemma = llama("gemma", 79, 32, 48, 4, 1, head_dim=16, rms_norm_eps=1e-6, pad_token_id=0)
_gemma2 = llama(
    "gemma2", 73, 32, 44, 4, 2, head_dim=16, rms_norm_eps=1e-6, pad_token_id=0, sliding_window=6,
    hidden_activation="gelu_pytorch_tanh", query_pre_attn_scalar=24, attn_logit_softcapping=5.0,
    final_logit_softcapping=4.0,
)  # fmt: skip
_gemma3 = llama(
    "gemma3_text", 103, 32, 40, 4, 2, head_dim=12, rms_norm_eps=1e-6, pad_token_id=0, sliding_window=5,
    num_hidden_layers=4, hidden_activation="gelu_pytorch_tanh", query_pre_attn_scalar=16,
    attn_logit_softcapping=None, final_logit_softcapping=None,
)  # fmt: skip

# theta 100 with head_dim 8 puts one frequency in the unscaled band of the llama3 rule, two in the blended
# band and one in the scaled band.
_llama3_scaling = {
    "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}  # fmt: skip

# Tied: the embedding is the output projection as well, and layers must outweigh it or every greedy text
# repeats its last token.
_tied = {"embed_tokens": 0.45, "o_proj": 3.0, "down_proj": 3.0}

KINDS = [
    Kind(
        "llama2", 10101, "float32", "old",
        old=old(_llama2, "float32", rope_theta=10000.0, rope_scaling=None),
        new=new(_llama2, "float32", head_dim=8, rope_parameters={"rope_type": "default", "rope_theta": 10000.0}),
    ),
    Kind(
        "llama3", 10102, "bfloat16", "new",
        old=old(_llama3, "bfloat16", rope_theta=100.0, rope_scaling=_llama3_scaling),
        new=new(_llama3, "bfloat16", head_dim=8, rope_parameters={**_llama3_scaling, "rope_theta": 100.0}),
    ),
    Kind(
        "llama-linear", 40103, "bfloat16", "old", shard="40KB", scale=_tied,
        old=old(_linear, "bfloat16", rope_theta=1000.0, rope_scaling={"type": "linear", "factor": 4.0}),
        new=new(_linear, "bfloat16", rope_parameters={"rope_type": "linear", "factor": 4.0, "rope_theta": 1000.0}),
    ),
    Kind(
        "mistral", 104, "float16", "old",
        old=old(_mistral, "float16", rope_theta=10000.0),
        new=new(_mistral, "float16", head_dim=8, rope_parameters={"rope_type": "default", "rope_theta": 10000.0}),
    ),
    Kind(
        "gemma", 50105, "bfloat16", "old", scale={"embed_tokens": 0.4, "o_proj": 5.0, "down_proj": 5.0}, norm=0.0,
        # As google/gemma-2b has it: hidden_act "gelu" means the tanh approximation, and tying is implied.
        old=old(_gemma, "bfloat16", rope_theta=10000.0, hidden_act="gelu", hidden_activation=None),
        new=new(
            _gemma, "bfloat16", hidden_act="gelu_pytorch_tanh", tie_word_embeddings=True,
            rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        ),
    ),
    Kind(
        "gemma2", 106, "bfloat16", "old", detail=(0, 1), norm=0.0, post_norm=4.0,
        scale={"embed_tokens": 0.45, "q_proj": 2.0, "k_proj": 2.0},
        old=old(_gemma2, "bfloat16", rope_theta=10000.0, hidden_act="gelu_pytorch_tanh", cache_implementation="hybrid"),
        new=new(
            _gemma2, "bfloat16", tie_word_embeddings=True,
            layer_types=["sliding_attention", "full_attention", "sliding_attention"],
            rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        ),
    ),
    Kind(
        "gemma3", 130107, "bfloat16", "new", detail=(0, 2), norm=0.0, post_norm=2.0, scale=_tied,
        old=old(
            _gemma3, "bfloat16", rope_theta=1000000.0, rope_local_base_freq=10000.0, sliding_window_pattern=3,
            rope_scaling={"rope_type": "linear", "factor": 8.0}, cache_implementation="hybrid",
        ),
        new=new(
            _gemma3, "bfloat16", tie_word_embeddings=True,
            layer_types=["sliding_attention", "sliding_attention", "full_attention", "sliding_attention"],
            rope_parameters={
                "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1000000.0},
                "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
            },
        ),
    ),
]  # fmt: skip

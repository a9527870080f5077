"""One job of peers.py in TransformerLens, in float32: python testdata/bench/tl.py JOB BATCH LENGTH. Prints what hf.py prints.

JOB is patterns (run_with_cache of the attention patterns alone, without logits), scores (the same and a few scores of
them), or everything (run_with_cache of all hooks). No gradients are kept.
"""

import gc
import json
import os
import sys

os.environ.update(HF_HUB_OFFLINE="1", CUDA_VISIBLE_DEVICES="")

import hf
import torch
import transformers
from transformer_lens import HookedTransformer, HookedTransformerConfig
from transformer_lens.pretrained.weight_conversions.llama import convert_llama_weights


def model():
    """HookedTransformer with the weights of out/smollm2/hf, as testdata/interp/generate.py makes one."""
    source = transformers.AutoModelForCausalLM.from_pretrained(hf.MODEL, dtype=torch.float32, attn_implementation="eager").eval()
    c = source.config
    cfg = HookedTransformerConfig(
        n_layers=c.num_hidden_layers, d_model=c.hidden_size, n_ctx=512, d_vocab=c.vocab_size, d_mlp=c.intermediate_size,
        n_heads=c.num_attention_heads, n_key_value_heads=c.num_key_value_heads, d_head=c.head_dim, rotary_dim=c.head_dim,
        rotary_base=c.rope_parameters["rope_theta"], rotary_adjacent_pairs=False, positional_embedding_type="rotary",
        normalization_type="RMS", final_rms=True, eps=c.rms_norm_eps, gated_mlp=True, act_fn="silu",
        original_architecture="LlamaForCausalLM", device="cpu", dtype=torch.float32, init_weights=False)
    m = HookedTransformer(cfg)
    m.load_and_process_state_dict(
        convert_llama_weights(source, cfg), fold_ln=False, center_writing_weights=False, center_unembed=False, fold_value_biases=False)
    del source
    gc.collect()
    return m


def patterns(m, ids):
    return m.run_with_cache(ids, return_type=None, names_filter=lambda name: name.endswith("hook_pattern"))[1]


def scores(m, ids):
    """The diagonals of previous and own token, duplicate and induction, the first token, and the entropy, by layer and head."""
    period, found = ids.shape[1] // 2, []
    for p in patterns(m, ids).values():
        stripes = [p.diagonal(-offset, 2, 3).mean((0, 2)) for offset in (0, 1, period, period - 1)]
        found.append(torch.stack([*stripes, p[..., 0].mean((0, 2)), torch.special.entr(p).sum(3).mean((0, 2))]))
    return torch.stack(found)


def everything(m, ids):
    return m.run_with_cache(ids)


@torch.inference_mode()
def main():
    job, batch, length = globals()[sys.argv[1]], *map(int, sys.argv[2:])
    m, ids = model(), hf.tokens(batch, length)
    seconds = hf.measure(lambda: job(m, ids))
    print(json.dumps({"rate": batch * length / seconds[0], "cpu_rate": batch * length / seconds[1]}))


main()

"""Turns the GGUF into a Hugging Face directory: python testdata/smollm2/dequantize.py [MODEL.gguf [DIR]].

The weights are gguf-py's dequantized values in float32, so that both formats hold the same model. See README.md.
"""

import json
import os
import re
import sys

import gguf
import numpy as np
from gguf.quants import dequantize
from safetensors.numpy import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, PreTrainedTokenizerFast

SOURCE = "out/smollm2/model.gguf"
TARGET = "out/smollm2/hf"

OUTER = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight"}
INNER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def metadata(reader):
    return {name: field.contents() for name, field in reader.fields.items()}


def config(meta):
    eps = float(str(np.float32(meta["llama.attention.layer_norm_rms_epsilon"])))  # 1e-5, not its float32 neighbour
    return LlamaConfig(
        vocab_size=meta["llama.vocab_size"],
        hidden_size=meta["llama.embedding_length"],
        intermediate_size=meta["llama.feed_forward_length"],
        num_hidden_layers=meta["llama.block_count"],
        num_attention_heads=meta["llama.attention.head_count"],
        num_key_value_heads=meta["llama.attention.head_count_kv"],
        head_dim=meta["llama.rope.dimension_count"],
        max_position_embeddings=meta["llama.context_length"],
        rms_norm_eps=eps,
        rope_theta=meta["llama.rope.freq_base"],
        hidden_act="silu",
        tie_word_embeddings=True,  # the file has no output.weight
        bos_token_id=meta["tokenizer.ggml.bos_token_id"],
        eos_token_id=meta["tokenizer.ggml.eos_token_id"],
        pad_token_id=meta["tokenizer.ggml.padding_token_id"],
        architectures=["LlamaForCausalLM"],
        dtype="float32",
    )


def name_of(tensor):
    if tensor in OUTER:
        return OUTER[tensor]
    layer, inner = re.fullmatch(r"blk\.(\d+)\.(\w+)\.weight", tensor).groups()
    return f"model.layers.{layer}.{INNER[inner]}.weight"


def halves(w, heads):
    """Undoes the order of rotary pairs: GGUF has them side by side, Hugging Face half a head apart."""
    rows, columns = w.shape
    return w.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)


def weights(reader, c):
    out = {}
    for t in reader.tensors:
        w = dequantize(t.data, t.tensor_type).astype(np.float32)
        if t.name.endswith("attn_q.weight"):
            w = halves(w, c.num_attention_heads)
        elif t.name.endswith("attn_k.weight"):
            w = halves(w, c.num_key_value_heads)
        out[name_of(t.name)] = np.ascontiguousarray(w)
    return out


def tokenizer(meta):
    """Byte-level BPE behind single digits: what the name "smollm" of the pre-tokenizer stands for."""
    tokens, kinds = meta["tokenizer.ggml.tokens"], meta["tokenizer.ggml.token_type"]
    merges = [tuple(m.split(" ")) for m in meta["tokenizer.ggml.merges"]]
    t = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=merges))
    t.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    t.decoder = decoders.ByteLevel(add_prefix_space=True, trim_offsets=True)
    special = [token for token, kind in zip(tokens, kinds) if kind == gguf.TokenType.CONTROL]
    t.add_special_tokens([AddedToken(s, special=True, normalized=False) for s in special])
    return PreTrainedTokenizerFast(
        tokenizer_object=t,
        bos_token=tokens[meta["tokenizer.ggml.bos_token_id"]],
        eos_token=tokens[meta["tokenizer.ggml.eos_token_id"]],
        pad_token=tokens[meta["tokenizer.ggml.padding_token_id"]],
        unk_token=tokens[meta["tokenizer.ggml.unknown_token_id"]],
        chat_template=meta["tokenizer.chat_template"],
        model_max_length=meta["llama.context_length"],
        clean_up_tokenization_spaces=False,
    )


def write(source, target):
    reader = gguf.GGUFReader(source)
    meta = metadata(reader)
    c = config(meta)
    os.makedirs(target, exist_ok=True)
    c.save_pretrained(target)
    save_file(weights(reader, c), os.path.join(target, "model.safetensors"), metadata={"format": "pt"})
    tokenizer(meta).save_pretrained(target, save_jinja_files=False)
    generation = {"bos_token_id": c.bos_token_id, "eos_token_id": c.eos_token_id, "pad_token_id": c.pad_token_id}
    with open(os.path.join(target, "generation_config.json"), "w") as f:
        json.dump(generation, f, indent=2)


def check(target):
    """The model must answer a question that it knows the answer of."""
    t = AutoTokenizer.from_pretrained(target)
    m = AutoModelForCausalLM.from_pretrained(target, dtype="float32", attn_implementation="eager")
    chat = [{"role": "user", "content": "What is the capital of France?"}]
    ids = t.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    out = m.generate(**ids, max_new_tokens=16, do_sample=False)
    answer = t.decode(out[0, ids["input_ids"].shape[1] :], skip_special_tokens=True)
    print(f"{sum(p.numel() for p in m.parameters()):,} parameters; the answer: {answer}")
    if answer != "The capital of France is Paris.":
        sys.exit("that is not the right answer")


if __name__ == "__main__":
    source, target = (sys.argv[1:] + [SOURCE, TARGET][len(sys.argv) - 1 :])[:2]
    write(source, target)
    check(target)

"""Writes toy models and TransformerLens' golden values for them: python testdata/toys/generate.py. See README.md."""

import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "interp"))

import generate as interp
import torch
from safetensors.torch import save_file
from transformer_lens import HookedTransformer, HookedTransformerConfig

TOYS = {
    "attention": dict(normalization="none", position_embedding_type="learned", intermediate_size=0),
    "mlp": dict(normalization="rms", position_embedding_type="learned", intermediate_size=24),
    "rotary": dict(normalization="none", position_embedding_type="rotary", intermediate_size=24),
}
SHAPE = dict(model_type="gpupeft_toy", vocab_size=17, max_position_embeddings=12, hidden_size=16, num_hidden_layers=2,
             num_attention_heads=4, head_dim=4, tie_word_embeddings=False)
STEPS = 20  # of AdamW


def toy(name, folded=False):
    """HookedTransformer of a toy, with random weights that the name determines; the config.json."""
    config = SHAPE | TOYS[name]
    rotary, norms, ffn = config["position_embedding_type"] == "rotary", config["normalization"] == "rms", config["intermediate_size"]
    more = dict(rotary_dim=4, rotary_base=10000, rotary_adjacent_pairs=False) if rotary else {}
    more |= dict(d_mlp=ffn, gated_mlp=True, act_fn="silu") if ffn else dict(attn_only=True)
    model = HookedTransformer(HookedTransformerConfig(
        n_layers=2, d_model=16, n_ctx=12, d_vocab=17, n_heads=4, d_head=4, positional_embedding_type="rotary" if rotary else "standard",
        normalization_type="RMS" if norms else None, final_rms=True, eps=1e-6, device="cpu", dtype=torch.float32, init_weights=True, **more))
    generator = torch.Generator().manual_seed(list(TOYS).index(name))
    for key, p in model.named_parameters():
        if "b_" in key.rsplit(".", 1)[-1]:
            p.data.zero_()
            p.requires_grad = False  # toys have no biases
            continue
        p.data.normal_(generator=generator)
        p.data *= 0.3 if p.dim() > 1 else 0.2
        p.data += 0 if p.dim() > 1 else 1
    if folded:
        model.load_and_process_state_dict(dict(model.state_dict()), fold_ln=norms, center_writing_weights=False, center_unembed=False,
                                          fold_value_biases=False)
    return model, config


def stored(model, of):
    """Parameters, or their gradients, under the names and in the shapes of the file."""
    rows = lambda w: w.transpose(-1, -2).reshape(-1, w.shape[-2])  # [H, D, h] -> [H·h, D]
    out = {"model.embed_tokens.weight": of(model.embed.W_E), "lm_head.weight": of(model.unembed.W_U).T}
    if hasattr(model, "pos_embed") and model.cfg.positional_embedding_type == "standard":
        out["model.embed_positions.weight"] = of(model.pos_embed.W_pos)
    for i, b in enumerate(model.blocks):
        layer = f"model.layers.{i}."
        for x in "QKV":
            out[f"{layer}self_attn.{x.lower()}_proj.weight"] = rows(of(getattr(b.attn, "W_" + x)))
        out[f"{layer}self_attn.o_proj.weight"] = of(b.attn.W_O).reshape(-1, model.cfg.d_model).T
        if not model.cfg.attn_only:
            for ours, theirs in (("gate", "W_gate"), ("up", "W_in"), ("down", "W_out")):
                out[f"{layer}mlp.{ours}_proj.weight"] = of(getattr(b.mlp, theirs)).T
        if model.cfg.normalization_type == "RMS":
            out[f"{layer}input_layernorm.weight"] = of(b.ln1.w)
            out[f"{layer}post_attention_layernorm.weight"] = of(b.ln2.w)
    if model.cfg.normalization_type == "RMS":
        out["model.norm.weight"] = of(model.ln_final.w)
    return out


def write_training(model, out):
    """The gradient of all weights, and the losses of AdamW. Labels say what comes after each token, the last included."""
    tokens = interp.random_tokens(5, 17, 3, 9)
    labels = interp.random_tokens(6, 17, 3, 10)
    labels[1, 4] = labels[2, 9] = -100
    loss = lambda: torch.nn.functional.cross_entropy(model(tokens).reshape(-1, 17), labels[:, 1:].reshape(-1))
    model.zero_grad()
    loss().backward()
    save = {"grad." + k: v for k, v in stored(model, lambda p: p.grad).items()} | {"input_ids": tokens, "labels": labels}
    save_file(interp.clean(save), os.path.join(out, "golden.safetensors"))
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer, losses = torch.optim.AdamW(trained, lr=1e-2, weight_decay=0.01), []
    for _ in range(STEPS):
        optimizer.zero_grad()
        x = loss()
        x.backward()
        losses.append(x.item())
        optimizer.step()
    with open(os.path.join(out, "golden.json"), "w") as f:
        json.dump(dict(Loss=losses[0], Train=dict(LR=1e-2, Losses=losses)), f)
        f.write("\n")


def write_scores(name, model, tokens, out):
    half = interp.random_tokens(3, 17, interp.BATCH, interp.REPEAT)
    repeated = torch.cat([torch.full((interp.BATCH, 1), 1), half, half], 1)
    other = interp.random_tokens(4, 17, 1, interp.LENGTH)
    final = model.ln_final.w.detach() if hasattr(model, "ln_final") else 1
    scores = interp.pattern_scores(model, repeated)
    weights, composition = interp.weight_scores(toy(name, folded=True)[0], [])
    scores.update(weights)
    _, cache = model.run_with_cache(tokens)
    save = dict(tokens=repeated.tolist(), other=other.tolist(), scores=scores, composition=composition,
                direct=interp.direct(model, cache, tokens, final, []), effects=interp.effects(model, tokens, other),
                edges=interp.edges(toy(name)[0], tokens, other))
    with open(os.path.join(out, "scores.json"), "w") as f:
        json.dump(save, f)
        f.write("\n")


def main():
    torch.set_num_threads(1)
    for name in TOYS:
        out = os.path.join(HERE, name)
        os.makedirs(out, exist_ok=True)
        model, config = toy(name)
        with open(os.path.join(out, "config.json"), "w") as f:
            json.dump(config, f, indent=2)
            f.write("\n")
        save_file(interp.clean(stored(model, lambda p: p)), os.path.join(out, "model.safetensors"))
        tokens = interp.random_tokens(2, 17, 1, interp.LENGTH)
        interp.write_hooks(model, tokens, out)
        interp.write_edits(model, tokens, out)
        write_scores(name, model, tokens, out)
        write_training(toy(name)[0], out)
        for file in os.listdir(out):
            os.chmod(os.path.join(out, file), 0o644)
        print(name, flush=True)


if __name__ == "__main__":
    main()

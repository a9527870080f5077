"""Writes the golden values beside this file with TransformerLens: python testdata/interp/generate.py. See README.md."""

import json
import math
import os
import sys

os.environ.update(HF_HUB_OFFLINE="1", CUDA_VISIBLE_DEVICES="", OMP_NUM_THREADS="1", PYTHONDONTWRITEBYTECODE="1")

import torch
import transformers
from safetensors.torch import save_file
from transformer_lens import HookedTransformer, HookedTransformerConfig
from transformer_lens import head_detector as detector
from transformer_lens import patching
from transformer_lens.pretrained.weight_conversions.gemma import convert_gemma_weights
from transformer_lens.pretrained.weight_conversions.llama import convert_llama_weights
from transformer_lens.pretrained.weight_conversions.mistral import convert_mistral_weights

HERE = os.path.dirname(os.path.abspath(__file__))
KINDS = {
    "llama2": ("LlamaForCausalLM", convert_llama_weights),
    "mistral": ("MistralForCausalLM", convert_mistral_weights),
    "gemma": ("GemmaForCausalLM", convert_gemma_weights),
    "gemma2": ("Gemma2ForCausalLM", convert_gemma_weights),
}
LENGTH = 12  # tokens of the captured sequence; longer than every window
GRADIENTS = (2, 6)  # tokens whose embeddings' gradients are kept for each edit
REPEAT, BATCH = 5, 3  # of the sequences that the scores are of: BOS and twice REPEAT random tokens


def hooked(kind, folded):
    """HookedTransformer with the weights of testdata/golden/KIND."""
    architecture, convert = KINDS[kind]
    hf = transformers.AutoModelForCausalLM.from_pretrained(
        os.path.join(HERE, "..", "golden", kind), dtype=torch.float32, attn_implementation="eager").eval()
    c = hf.config
    head = getattr(c, "head_dim", None) or c.hidden_size // c.num_attention_heads
    kv = c.num_key_value_heads if c.num_key_value_heads != c.num_attention_heads else None
    more = {}
    if kind == "mistral":
        more = dict(use_local_attn=True, window_size=c.sliding_window, attn_types=["local"] * c.num_hidden_layers)
    if kind == "gemma2":
        more = dict(
            use_local_attn=True, window_size=c.sliding_window,
            attn_types=["local" if t.startswith("sliding") else "global" for t in c.layer_types],
            use_attn_scale=True, attn_scale=math.sqrt(c.query_pre_attn_scalar), attn_scores_soft_cap=c.attn_logit_softcapping,
            output_logits_soft_cap=c.final_logit_softcapping, use_normalization_before_and_after=True)
    cfg = HookedTransformerConfig(
        n_layers=c.num_hidden_layers, d_model=c.hidden_size, n_ctx=128, d_vocab=c.vocab_size, d_mlp=c.intermediate_size,
        n_heads=c.num_attention_heads, n_key_value_heads=kv, d_head=head, rotary_dim=head,
        rotary_base=c.rope_parameters["rope_theta"], rotary_adjacent_pairs=False, positional_embedding_type="rotary",
        normalization_type="RMSPre" if folded else "RMS", final_rms=True, eps=c.rms_norm_eps, gated_mlp=True,
        act_fn="silu" if kind in ("llama2", "mistral") else "gelu_pytorch_tanh", original_architecture=architecture,
        device="cpu", dtype=torch.float32, init_weights=False, **more)
    model = HookedTransformer(cfg)
    model.load_and_process_state_dict(
        convert(hf, cfg), fold_ln=folded, center_writing_weights=False, center_unembed=False, fold_value_biases=False)
    return hf, model


def random_tokens(seed, vocab, *shape):
    return torch.randint(3, vocab, shape, generator=torch.Generator().manual_seed(seed))


def loss_of(logits, tokens):
    return torch.nn.functional.cross_entropy(logits[0, :-1], tokens[0, 1:])


def with_gradients(model, tokens, metric, hooks=()):
    """Activations and gradients of all hooks; the logits."""
    model.zero_grad()
    cache, forward, _ = model.get_caching_hooks()
    gradients = {}

    def add(grad, hook):
        # TransformerLens computes ln1 three times, for queries, keys and values: its gradient is the sum of all calls,
        # where its own caching hooks keep the last.
        # (Inputs split by heads have calls of several shapes; nobody asks for those.)
        old = gradients.get(hook.name + "_grad")
        gradients[hook.name + "_grad"] = grad.detach().clone() if old is None or old.shape != grad.shape else old + grad

    with model.hooks(fwd_hooks=[*hooks, *forward], bwd_hooks=[(lambda name: True, add)]):
        logits = model(tokens)
        metric(logits).backward()
    return {k: v.detach().clone() for k, v in cache.items()} | gradients, logits.detach()


def names(model):
    cache = model.run_with_cache(random_tokens(0, model.cfg.d_vocab, 1, 4))[1]
    return list(cache.keys())


def clean(tensors):
    return {k: v.detach().to(torch.int32 if v.dtype == torch.int64 else torch.float32).clone().contiguous() for k, v in tensors.items()}


def write_hooks(model, tokens, out):
    """Every hook of one sequence, the gradients of the loss there, and those of a difference of logits."""
    cache, logits = with_gradients(model, tokens, lambda x: loss_of(x, tokens))
    save = {k: v for k, v in cache.items() if not k.endswith("_grad")}
    save.update({"grad." + k.removesuffix("_grad"): v for k, v in cache.items() if k.endswith("_grad")})
    difference, _ = with_gradients(model, tokens, lambda x: x[0, -1, 5] - x[0, -1, 9])
    for k, v in difference.items():
        if k.endswith(("hook_z_grad", "hook_resid_pre_grad")):
            save["difference." + k.removesuffix("_grad")] = v
    save.update(tokens=tokens, logits=logits)
    save_file(clean(save), os.path.join(out, "hooks.safetensors"))


def halve(x, hook):
    return x * 0.5


def zero_some(x, hook):
    """Zero from position 4 on: of head 1 (or all there are, if that is one), or of all values."""
    x = x.clone()
    if hook.name.endswith(("hook_pattern", "hook_attn_scores")):
        x[:, 1, 4:] = x[:, 1, 4:].where(x[:, 1, 4:].isinf(), 0)
    elif x.dim() == 4:
        x[:, 4:, min(1, x.shape[2] - 1)] = 0
    else:
        x[:, 4:] = 0
    return x


def write_edits(model, tokens, out):
    """What edits of each hook do to the last logits and to the gradient of some embeddings."""
    save = {"tokens": tokens}
    for name in names(model):
        for label, edit in (("halve", halve), ("zero", zero_some)):
            if label == "zero" and name.endswith("hook_scale"):
                continue
            cache, logits = with_gradients(model, tokens, lambda x: loss_of(x, tokens), [(name, edit)])
            save[f"{label}.{name}.logits"] = logits[0, -1]
            save[f"{label}.{name}.grad"] = cache["hook_embed_grad"][0, list(GRADIENTS)]
    save_file(clean(save), os.path.join(out, "edits.safetensors"))


def by_head(model, f):
    c = model.cfg
    return [[float(f(l, h)) for h in range(c.n_heads)] for l in range(c.n_layers)]


def pattern_scores(model, tokens):
    """Section by section as ARENA's and TransformerLens' definitions have it, from TransformerLens' patterns."""
    n, t = REPEAT, tokens.shape[1]
    _, cache = model.run_with_cache(tokens)
    p = lambda l, h: cache["pattern", l][:, h].double()  # [batch, query, key]
    rows = torch.arange(t)
    stripe = lambda l, h, off, lo, hi: p(l, h)[:, rows[lo:hi], rows[lo:hi] - off].mean()

    def entropy(l, h):
        x = p(l, h)
        return -torch.where(x > 0, x * x.clamp_min(1e-300).log(), 0).sum(-1)

    def on_text(l, h):
        total = count = 0
        for b in range(tokens.shape[0]):
            for i in range(t):
                earlier = [j for j in range(i) if tokens[b, j] == tokens[b, i]]
                if earlier:
                    total += sum(float(p(l, h)[b, i, j + 1]) for j in earlier)
                    count += 1
        return total / count

    scores = {
        "previous": by_head(model, lambda l, h: stripe(l, h, 1, 1, t)),
        "current": by_head(model, lambda l, h: stripe(l, h, 0, 0, t)),
        "bos": by_head(model, lambda l, h: p(l, h)[:, 1:, 0].mean()),
        "bos_arena": by_head(model, lambda l, h: p(l, h)[:, :, 0].mean()),
        "duplicate": by_head(model, lambda l, h: stripe(l, h, n, n + 1, t)),
        "induction": by_head(model, lambda l, h: stripe(l, h, n - 1, n + 1, t)),
        "induction_arena": by_head(model, lambda l, h: p(l, h).diagonal(1 - n, -2, -1).mean()),
        "induction_text": by_head(model, on_text),
        "entropy": by_head(model, lambda l, h: entropy(l, h).mean()),
        "entropy_normalized": by_head(model, lambda l, h: (entropy(l, h)[:, 1:] / torch.log(rows[1:] + 1.0)).mean()),
        "locality": by_head(model, lambda l, h: (p(l, h) * (rows[:, None] - rows[None])).sum(-1).mean()),
    }
    for kind in ("previous_token", "duplicate_token", "induction"):
        for measure in ("mul", "abs"):
            make = getattr(detector, f"get_{kind}_head_detection_pattern")
            scores[f"{kind.removesuffix('_token')}_{measure}"] = by_head(model, lambda l, h: sum(
                detector.compute_head_attention_similarity_score(
                    cache["pattern", l][b, h].clone(), make(tokens[b:b + 1]), exclude_bos=False, exclude_current_token=False,
                    error_measure=measure) for b in range(tokens.shape[0])) / tokens.shape[0])
    return scores


def weight_scores(folded, posts):
    """Of the model with folded norms; posts are the factors of Gemma 2's norm behind the output projection."""
    c = folded.cfg
    for l, post in enumerate(posts):
        folded.blocks[l].attn.W_O.data *= post
    w_e, w_u = folded.W_E.double(), folded.W_U.double()
    circuit = lambda l, h: w_e @ folded.W_V[l, h].double() @ folded.W_O[l, h].double() @ w_u

    def copying(values):
        return values.real.sum() / values.abs().sum()

    def top(l, h, k):
        own = torch.arange(c.d_vocab)[:, None]
        return (circuit(l, h).topk(k, dim=1).indices == own).any(1).double().mean()

    scores = {
        "copying": by_head(folded, lambda l, h: copying(torch.linalg.eigvals(circuit(l, h)))),
        "copying_residual": by_head(folded, lambda l, h: copying(torch.linalg.eigvals(folded.W_O[l, h].double() @ folded.W_V[l, h].double()))),
        "copying_top1": by_head(folded, lambda l, h: top(l, h, 1)),
        "copying_top5": by_head(folded, lambda l, h: top(l, h, 5)),
    }
    composition = {}
    for mode in "QKV":
        composition[mode.lower()] = folded.all_composition_scores(mode).tolist()
    return scores, composition


def direct(model, cache, tokens, final, posts):
    """What each head adds to the logit of the token that follows, mean over positions; and at one position all parts."""
    c = model.cfg
    following = tokens[0, 1:]
    u = model.W_U[:, following].T * final  # [T-1, D]
    if "ln_final.hook_scale" in cache.cache_dict:
        u = u / cache["ln_final.hook_scale"][0, :-1]

    def head(l, h):
        x = cache["z", l][0, :-1, h] @ model.W_O[l, h]
        if posts:
            x = x * posts[l] / cache[f"blocks.{l}.ln1_post.hook_scale"][0, :-1]
        return (x * u).sum(-1)

    heads = torch.stack([torch.stack([head(l, h) for h in range(c.n_heads)]) for l in range(c.n_layers)])  # [L, H, T-1]
    part = lambda name: (cache[name][0, :-1] * u).sum(-1) if name in cache.cache_dict else torch.zeros_like(following)
    mlps = torch.stack([part(f"blocks.{l}.hook_mlp_out") for l in range(c.n_layers)])
    embed, positions = part("hook_embed"), part("hook_pos_embed")
    logits = cache["unembed.hook_out"][0, :-1].gather(1, following[:, None])[:, 0]
    assert (heads.sum((0, 1)) + mlps.sum(0) + embed + positions - logits).abs().max() < 1e-4
    mean = lambda x: x.double().mean(-1).tolist()
    return dict(dla=mean(heads), mlp=mean(mlps), embed=mean(embed), positions=mean(positions), logit=mean(logits))


def effects(model, tokens, other):
    """Loss without a head; and z's gradient in the corrupted run times the way to the clean one (attribution patching)."""
    base = loss_of(model(tokens), tokens).item()

    def ablated(l, h):
        def hook(z, hook):
            z = z.clone()
            z[:, :, h] = 0
            return z
        return loss_of(model.run_with_hooks(tokens, fwd_hooks=[(f"blocks.{l}.attn.hook_z", hook)]), tokens).item() - base

    metric = lambda x: x[0, -1, 5] - x[0, -1, 9]
    corrupted, _ = with_gradients(model, other, metric)
    _, clean_cache = model.run_with_cache(tokens)

    def attribution(l, h):
        name = f"blocks.{l}.attn.hook_z"
        return (corrupted[name + "_grad"][0, :, h] * (clean_cache[name] - corrupted[name])[0, :, h]).sum()

    def patched(l, h):
        def hook(z, hook):
            z = z.clone()
            z[:, :, h] = clean_cache[hook.name][:, :, h]
            return z
        return metric(model.run_with_hooks(other, fwd_hooks=[(f"blocks.{l}.attn.hook_z", hook)]))

    with torch.no_grad():
        return dict(loss=base, clean=metric(model(tokens)).item(), corrupted=metric(model(other)).item(),
                    ablation=by_head(model, ablated), attribution=by_head(model, attribution), patched=by_head(model, patched))


def sweeps(model, tokens, other):
    """Activation patching by TransformerLens' own sweeps; path patching to queries of head 1 and values of head 3, last layer."""
    c, metric = model.cfg, lambda x: x[0, -1, 5] - x[0, -1, 9]
    _, clean = model.run_with_cache(tokens)
    _, wrong = model.run_with_cache(other)
    last, group = c.n_layers - 1, c.n_heads // (c.n_key_value_heads or c.n_heads)

    def path(l, h):
        if l >= last:
            return metric(model(tokens))

        def freeze(z, hook):
            z = clean[hook.name].clone()
            if hook.layer() == l:
                z[:, :, h] = wrong[hook.name][:, :, h]
            return z

        inputs = {}

        def keep(x, hook):
            inputs[hook.name] = x.clone()

        q, v = f"blocks.{last}.attn.hook_q", f"blocks.{last}.attn.hook_v"
        model.run_with_hooks(tokens, fwd_hooks=[(lambda n: n.endswith("hook_z"), freeze), (q, keep), (v, keep)])

        def patch(x, hook):
            head = 1 if hook.name == q else 3 // group
            x = x.clone()
            x[:, :, head] = inputs[hook.name][:, :, head]
            return x

        return metric(model.run_with_hooks(tokens, fwd_hooks=[(q, patch), (v, patch)]))

    with torch.no_grad():
        lens = []
        for l in range(c.n_layers + 1):
            x = clean["resid_post", last] if l == c.n_layers else clean["resid_pre", l]
            logits = model.unembed(model.ln_final(x))
            if c.output_logits_soft_cap > 0:
                logits = c.output_logits_soft_cap * torch.tanh(logits / c.output_logits_soft_cap)
            lens.append(logits[0].log_softmax(-1))
        return dict(
            resid_pre=patching.get_act_patch_resid_pre(model, other, clean, metric).tolist(),
            attn_out=patching.get_act_patch_attn_out(model, other, clean, metric).tolist(),
            mlp_out=patching.get_act_patch_mlp_out(model, other, clean, metric).tolist(),
            path=by_head(model, path),
            lens_top=[x.topk(3, -1).indices.tolist() for x in lens],
            lens_kl=[(lens[-1].exp() * (lens[-1] - x)).sum(-1).tolist() for x in lens])


def edges(model, tokens, other):
    """Edge attribution patching by TransformerLens' hooks of what each head reads, which stay on: [[from, to, score]]."""
    c, metric = model.cfg, lambda x: x[0, -1, 5] - x[0, -1, 9]
    plain = model(tokens)
    model.set_use_split_qkv_input(True)
    model.set_use_attn_result(True)
    if not c.attn_only:
        model.set_use_hook_mlp_in(True)
    assert (model(tokens) - plain).abs().max() < 1e-4
    clean, _ = with_gradients(model, tokens, metric)
    _, wrong = model.run_with_cache(other)
    writers, readers = {"embed": "hook_embed"}, {}
    for l in range(c.n_layers):
        for h in range(c.n_heads):
            writers[f"L{l}H{h}"] = (f"blocks.{l}.attn.hook_result", h)
            readers[f"L{l}H{h}.q"] = (f"blocks.{l}.hook_q_input", h)
        for h in range(c.n_key_value_heads or c.n_heads):
            readers[f"L{l}H{h}.k"] = (f"blocks.{l}.hook_k_input", h)
            readers[f"L{l}H{h}.v"] = (f"blocks.{l}.hook_v_input", h)
        if not c.attn_only:
            writers[f"L{l}.mlp"] = f"blocks.{l}.hook_mlp_out"
            readers[f"L{l}.mlp"] = f"blocks.{l}.hook_mlp_in"
    readers["logits"] = f"blocks.{c.n_layers - 1}.hook_resid_post"

    def at(cache, place, suffix=""):
        return cache[place + suffix] if isinstance(place, str) else cache[place[0] + suffix][:, :, place[1]]

    def before(u, v):
        if u == "embed" or v == "logits":
            return True
        lu, lv = int(u[1]), int(v[1])
        return lu < lv or lu == lv and "mlp" not in u and "mlp" in v

    return [[u, v, ((at(wrong, pu) - at(clean, pu)) * at(clean, pv, "_grad")).sum().item()]
            for u, pu in writers.items() for v, pv in readers.items() if before(u, v)]


def write_scores(kind, hf, model, folded, tokens, out):
    vocab = model.cfg.d_vocab
    half = random_tokens(3, vocab, BATCH, REPEAT)
    repeated = torch.cat([torch.full((BATCH, 1), 1), half, half], 1)
    other = random_tokens(4, vocab, 1, LENGTH)
    gemma = kind.startswith("gemma")
    final = hf.model.norm.weight.detach() + (1 if gemma else 0)
    posts = [1 + l.post_attention_layernorm.weight.detach() for l in hf.model.layers] if kind == "gemma2" else []
    _, cache = model.run_with_cache(tokens)
    scores = pattern_scores(model, repeated)
    weights, composition = weight_scores(folded, posts)
    scores.update(weights)
    save = dict(tokens=repeated.tolist(), other=other.tolist(), scores=scores, composition=composition,
                direct=direct(model, cache, tokens, final, posts), effects=effects(model, tokens, other),
                sweeps=sweeps(model, tokens, other), edges=[] if kind == "gemma2" else edges(hooked(kind, False)[1], tokens, other))
    with open(os.path.join(out, "scores.json"), "w") as f:
        json.dump(save, f)
        f.write("\n")


def main():
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    for kind in sys.argv[1:] or KINDS:
        out = os.path.join(HERE, kind)
        os.makedirs(out, exist_ok=True)
        hf, model = hooked(kind, False)
        _, folded = hooked(kind, True)
        tokens = random_tokens(2, model.cfg.d_vocab, 1, LENGTH)
        tokens[0, 0] = 1
        difference = (model(tokens) - hf(tokens).logits).abs().max().item()
        assert difference < 5e-5, difference
        write_hooks(model, tokens, out)
        write_edits(model, tokens, out)
        write_scores(kind, hf, model, folded, tokens, out)
        for name in os.listdir(out):
            os.chmod(os.path.join(out, name), 0o644)
        print(kind, f"logits within {difference:.1e} of HF", flush=True)


if __name__ == "__main__":
    main()

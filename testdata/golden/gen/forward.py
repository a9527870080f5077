"""Goldens of the bare model: logits, loss, activations, gradients of the residual stream, greedy text."""

import torch

from . import batches, hooks

PROMPT_TOKENS, NEW_TOKENS = 5, 16
MIN_MARGIN = 1e-2  # of the best over the second logit along a greedy text: rounding must not change it
MIN_DISTINCT = 4  # different tokens in a greedy text: one that repeats a token tests little


def base(model, kind, batch):
    """Returns (tensors, scalars) of the main batch and of its first row alone."""
    embeds = model.get_input_embeddings()(batch["input_ids"]).detach().requires_grad_()
    with hooks.Capture(model, kind.detail) as capture:
        out = model(
            inputs_embeds=embeds, attention_mask=batch["attention_mask"], labels=batch["labels"], use_cache=False
        )
    capture.values["hook_embed"] = embeds
    layers = len(model.model.layers)
    residuals = [f"blocks.{i}.hook_resid_pre" for i in range(layers)] + [f"blocks.{layers - 1}.hook_resid_post"]
    total, targets = batches.loss_sum(out.logits, batch["labels"])
    gradients = torch.autograd.grad(total / targets, [capture.values[name] for name in residuals])

    tensors = {n: v for n, v in capture.values.items() if hooks.stored(n, layers, kind.detail)}
    tensors["logits"] = out.logits
    tensors.update({"grad." + name: g for name, g in zip(residuals, gradients, strict=True)})
    single = batches.first_row(batch)
    alone = model(input_ids=single["input_ids"], labels=single["labels"], use_cache=False)
    scalars = {
        "loss": (total / targets).item(),
        "targets": targets,
        "single": {"loss": alone.loss.item(), "targets": batches.loss_sum(alone.logits, single["labels"])[1]},
        "max_score": capture.max_score,
    }
    require_close("loss of HF", out.loss, total / targets)
    require_close("row 0 alone", alone.logits, out.logits[:1])
    return batches.zero_padding(tensors, batch["attention_mask"]), scalars


def adapted(model, batch, parameters):
    """Logits [B, T, V] at the real tokens, loss and gradients of `parameters` of a PEFT model."""
    out = model(**batch, use_cache=False)
    virtual = out.logits.shape[1] - batch["labels"].shape[1]
    labels = torch.nn.functional.pad(batch["labels"], (virtual, 0), value=batches.IGNORE)
    total, targets = batches.loss_sum(out.logits, labels)
    require_close("loss of PEFT", out.loss, total / targets)
    gradients = torch.autograd.grad(total / targets, parameters)
    logits = batches.zero_padding({"logits": out.logits[:, virtual:]}, batch["attention_mask"])["logits"]
    return logits, {"loss": (total / targets).item(), "targets": targets}, gradients


def greedy(model, batch):
    """Continues the first tokens of row 0 by argmax, recomputing everything at each step."""
    ids = batch["input_ids"][:1, :PROMPT_TOKENS]
    margin = float("inf")
    with torch.no_grad():
        for _ in range(NEW_TOKENS):
            best = model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False).logits[0, -1].topk(2)
            margin = min(margin, (best.values[0] - best.values[1]).item())
            ids = torch.cat([ids, best.indices[:1][None]], dim=1)
    new = ids[0, PROMPT_TOKENS:].tolist()
    if margin < MIN_MARGIN or len(set(new)) < MIN_DISTINCT:
        raise ValueError(f"greedy text {new} with margin {margin:.1e} is a poor golden: choose another seed")
    require_cached_agrees(model, ids[:, :PROMPT_TOKENS], new)
    return {"prompt": ids[0, :PROMPT_TOKENS].tolist(), "new": new, "min_margin": margin}


def require_cached_agrees(model, prompt, new):
    """Checks HF generate, which keeps a key-value cache, against the recomputed text."""
    model.generation_config.eos_token_id = None
    model.generation_config.pad_token_id = 0
    out = model.generate(
        input_ids=prompt, attention_mask=torch.ones_like(prompt), do_sample=False, max_new_tokens=NEW_TOKENS
    )
    got = out[0, prompt.shape[1] :].tolist()
    if got != new:
        raise ValueError(f"generate with a cache gives {got}, without {new}")


def require_close(what, got, want, tolerance=1e-4):
    if not torch.allclose(got, want, rtol=0, atol=tolerance):
        raise ValueError(f"{what}: differs by {(got - want).abs().max():.1e}")

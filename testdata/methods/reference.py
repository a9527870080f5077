"""LLaMA-Adapter written out, for models that PEFT refuses."""

import math

import torch

from gen import model as models
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb


def adaption(kind, tokens, layers):
    """A model whose upper layers also attend to trained vectors; returns (model, tensors)."""
    model, tensors = models.load(kind.name), {}
    for i, layer in enumerate(model.model.layers):
        if i >= len(model.model.layers) - layers:
            attention, name = layer.self_attn, f"base_model.model.model.layers.{i}.self_attn."
            prompt = torch.nn.Parameter(torch.randn(1, tokens, model.config.hidden_size))
            gate = torch.nn.Parameter(torch.zeros(1))
            tensors[name + "adaption_prompt"], tensors[name + "adaption_gate"] = prompt, gate
            attention.register_parameter("adaption_prompt", prompt)  # so that they follow the model's precision
            attention.register_parameter("adaption_gate", gate)
            attention.register_forward_hook(hook(prompt, gate), with_kwargs=True)
    return model, tensors


def hook(prompt, gate):
    def add(attention, args, kwargs, output):
        return output[0] + gate * attended(attention, args, kwargs, prompt), *output[1:]

    return add


def attended(attention, args, kwargs, prompt):
    """What the queries of a layer get from the vectors, through its own keys, values and output."""
    x = kwargs.get("hidden_states", args[0] if args else None)
    split = lambda y: y.view(*y.shape[:-1], -1, attention.head_dim).transpose(1, 2)  # noqa: E731
    q = split(attention.q_proj(x))
    q, _ = apply_rotary_pos_emb(q, q, *kwargs["position_embeddings"])
    k, v = split(attention.k_proj(prompt)), split(attention.v_proj(prompt))
    share = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(share, dim=1), v.repeat_interleave(share, dim=1)
    scores = q @ k.transpose(2, 3) * attention.scaling
    cap = getattr(attention, "attn_logit_softcapping", None)
    if cap:
        scores = torch.tanh(scores / cap) * cap
    z = torch.softmax(scores, dim=-1) @ v
    return attention.o_proj(z.transpose(1, 2).flatten(2))


def check(kind, tokens, layers, made):
    """PEFT's own model must give the same logits."""
    theirs, values, _ = made
    ours, tensors = adaption(kind, tokens, layers)
    ids = torch.arange(3, 15)[None]
    with torch.no_grad():
        for i, (name, tensor) in enumerate(sorted(tensors.items())):
            noise = torch.randn(tensor.shape, generator=torch.Generator().manual_seed(i)) / math.sqrt(3)
            tensor.copy_(noise)
            values[name].copy_(noise)
        difference = (ours(ids).logits - theirs(ids).logits).abs().max().item()
    if not difference < 1e-5:
        raise ValueError(f"adaption of {kind.name}: PEFT differs by {difference}")

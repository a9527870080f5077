"""Writes ops.json: operations as PyTorch computes them in float64, with gradients.

Run from this directory: python ops.py. Versions: ../../testdata/requirements.txt.
All scalars are exact in float32, so results can be compared tightly.
"""

import json

import torch
import torch.nn.functional as F
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

torch.manual_seed(0)
torch.set_default_dtype(torch.float64)
cases = {}


def case(name, tensors):
    cases[name] = {k: [round(float(v), 15) for v in t.detach().flatten()] for k, t in tensors.items()}


def rand(*shape):
    # 4 decimal places in binary: the inputs are exact in float32 too.
    return (torch.randn(*shape) * 4096).round().div(4096).requires_grad_()


def with_gradients(name, inputs, out):
    dout = rand(*out.shape)
    grads = torch.autograd.grad(out, list(inputs.values()), dout)
    case(name, inputs | {"out": out, "dout": dout} | {"d" + k: g for k, g in zip(inputs, grads)})


x, w = rand(5, 8), rand(8)
with_gradients("rmsnorm", {"x": x, "w": w}, F.rms_norm(x, (8,), w, eps=2**-10))

gate, up = rand(3, 7), rand(3, 7)
with_gradients("silu", {"gate": gate, "up": up}, F.silu(gate) * up)
with_gradients("gelu", {"gate": gate, "up": up}, F.gelu(gate, approximate="tanh") * up)

# Rotary embedding: 2 heads of 6 at positions 0..4, [1, heads, tokens, head size] in transformers.
x = rand(5, 12)
angles = torch.arange(5.0)[:, None] / 10 ** torch.arange(3.0)[None, :]
table = torch.cat([angles.cos(), angles.sin()], 1)
cos, sin = torch.cat([angles, angles], 1).cos()[None], torch.cat([angles, angles], 1).sin()[None]
heads = x.view(1, 5, 2, 6).transpose(1, 2)
out, _ = apply_rotary_pos_emb(heads, heads, cos, sin)
with_gradients("rope", {"x": x}, out.transpose(1, 2).reshape(5, 12))
cases["rope"]["table"] = table.flatten().tolist()


def attention(name, batch, queries, keys, heads, kv_heads, dim, visible, softcap=0.0):
    q, k, v = rand(batch, queries, heads, dim), rand(batch, keys, kv_heads, dim), rand(batch, keys, kv_heads, dim)
    group = heads // kv_heads
    kk, vv = (t.repeat_interleave(group, 2).transpose(1, 2) for t in (k, v))
    scores = 0.5 * q.transpose(1, 2) @ kk.transpose(2, 3)
    if softcap:
        scores = softcap * torch.tanh(scores / softcap)
    scores = scores.masked_fill(~visible, float("-inf"))
    out = (scores.softmax(-1) @ vv).transpose(1, 2)
    if not softcap:  # the library's own kernel must agree with the formula above
        own = F.scaled_dot_product_attention(
            q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), attn_mask=visible, scale=0.5, enable_gqa=True
        )
        torch.testing.assert_close(own.transpose(1, 2), out)
    with_gradients(name, {"q": q, "k": k, "v": v}, out)
    cases[name]["lse"] = scores.logsumexp(-1).transpose(1, 2).flatten().tolist()


i, j = torch.arange(6)[:, None], torch.arange(6)[None, :]
causal = j <= i
attention("attention", 2, 6, 6, 4, 2, 4, causal)
attention("attention window softcap", 1, 6, 6, 2, 1, 4, causal & (i - j < 3), softcap=1.5)
# Two prefix keys, then six of two documents.
own = torch.tensor([0, 0, 0, 1, 1, 1])
documents = causal & (own[:, None] == own[None, :])
attention("attention prefix documents", 1, 6, 8, 2, 2, 4, torch.cat([torch.ones(6, 2, dtype=torch.bool), documents], 1))

logits, targets = rand(4, 9), torch.tensor([3, -100, 0, 8])
loss = F.cross_entropy(logits, targets, ignore_index=-100, reduction="sum")
case("crossentropy", {"logits": logits, "loss": loss, "dlogits": torch.autograd.grad(loss, logits)[0]})

# AdamW with gradients clipped to a global norm of 1, three steps.
param = rand(6)
steps = [rand(6) for _ in range(3)]
log = {"param": param.detach().clone()}
optimizer = torch.optim.AdamW([param], lr=2**-3, betas=(0.875, 0.96875), eps=2**-10, weight_decay=2**-4)
for n, g in enumerate(steps):
    param.grad = g.detach().clone()
    log[f"norm{n}"] = torch.nn.utils.clip_grad_norm_([param], 1.0)
    optimizer.step()
    log |= {f"grad{n}": g, f"param{n}": param.detach().clone()}
case("adamw", log)

with open("ops.json", "w") as f:
    f.write("{\n" + ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in cases.items()) + "\n}\n")

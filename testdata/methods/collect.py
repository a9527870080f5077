"""Logits, loss, gradients and training of one method on one model."""

import os
import shutil

import torch
from gen import adapters, batches, model, precision
from gen.kinds import KINDS
from methods import METHODS
from safetensors.torch import save_file

NOISE = 0.15  # standard deviation of what is added to every trained tensor, so that no gradient is zero
STEPS = 20
PLUS = 4  # LoRA+: how much faster B is trained
DETAIL = ("model.layers.1.", "model.norm.", "model.embed_tokens.", "lm_head.")  # of full: what is stored


def write(kind_name, method, directory):
    kind = next(k for k in KINDS if k.name == kind_name)
    if method == "lora-save-embed" and kind.new.get("tie_word_embeddings"):
        return  # PEFT trains a copy of the embeddings alone or both, depending on its version
    made = METHODS[method](kind)
    if method != "full":
        disturb(kind, made[1])
    start = {name: tensor.detach().clone() for name, tensor in made[1].items()}
    shutil.rmtree(directory, ignore_errors=True)
    os.makedirs(directory)
    held = save(method, made, directory)
    tensors, scalars = run(kind, method, *made)
    with torch.no_grad():
        for name, tensor in made[1].items():
            tensor.copy_(start[name])
    made[0].double()
    with precision.double():
        exact = run(kind, method, *made)[1]
    drift = max(abs(a / b - 1) for a, b in zip(scalars["train"]["losses"], exact["train"]["losses"]))
    print(f"{kind_name:8} {method:18} loss {scalars['loss']:.4f}, trained {scalars['train']['losses'][0]:.3f} to "
          f"{scalars['train']['losses'][-1]:.3f}, float32 off by {drift:.0e}", flush=True)  # fmt: skip
    if drift > 2e-5:
        raise ValueError("the training is too sensitive to rounding to be a golden: lower its learning rate")
    tensors.update({"init." + n: t for n, t in start.items() if n not in held and method != "full"})
    save_file({n: t.contiguous().clone() for n, t in sorted(tensors.items())}, os.path.join(directory, "golden.safetensors"))
    model.write_json(os.path.join(directory, "golden.json"), scalars)


def disturb(kind, tensors):
    with torch.no_grad():
        for i, (name, tensor) in enumerate(sorted(tensors.items())):
            noise = torch.randn(tensor.shape, generator=torch.Generator().manual_seed(1000 * kind.seed + i))
            small = 0.02 if tensor.dim() == 2 and "." in name and "lora" not in name and "ia3" not in name else NOISE
            tensor.add_(small * noise)


def save(method, made, directory):
    """Saves the adapter as PEFT does; returns the names of the tensors in its file."""
    if method == "full":
        return set(made[1])
    if hasattr(made[0], "peft_config"):
        adapters.save(made[0], directory)
    else:  # what PEFT would write, if it knew the model
        save_file({n: t.detach().clone() for n, t in made[1].items()}, os.path.join(directory, "adapter_model.safetensors"))
        config = {"adapter_layers": 2, "adapter_len": 5, "base_model_name_or_path": made[0].config._name_or_path,
                  "inference_mode": True, "peft_type": "ADAPTION_PROMPT", "target_modules": "self_attn", "task_type": "CAUSAL_LM"}  # fmt: skip
        model.write_json(os.path.join(directory, "adapter_config.json"), config)
    from safetensors import safe_open

    with safe_open(os.path.join(directory, "adapter_model.safetensors"), "pt") as f:
        return set(f.keys())


def run(kind, method, net, weights, lr):
    batch = batches.main(kind)
    loss, targets, logits = forward(method, net, batch)
    gradients = torch.autograd.grad(loss, list(weights.values()))
    tensors = {"logits": batches.zero_padding({"": logits}, batch["attention_mask"])[""]}
    for name, gradient in zip(weights, gradients, strict=True):
        if method != "full" or name.startswith(DETAIL):
            tensors["grad." + name] = gradient
    return tensors, {"loss": loss.item(), "targets": targets, "train": train(kind, method, net, weights, lr)}


def forward(method, net, batch):
    """The mean loss of a batch, and the logits of its real tokens."""
    more = {"task_ids": torch.tensor([0, 1])} if method == "mpt" else {}
    logits = net(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], use_cache=False, **more).logits
    ahead = logits.shape[1] - batch["labels"].shape[1]
    total, targets = batches.loss_sum(logits, torch.nn.functional.pad(batch["labels"], (ahead, 0), value=batches.IGNORE))
    return total / targets, targets, logits[:, ahead:]


def train(kind, method, net, weights, lr):
    fast = [w for n, w in weights.items() if ".lora_B." in n and method == "lora-plus"]
    slow = [w for w in weights.values() if not any(w is f for f in fast)]
    groups = [{"params": slow, "lr": lr}] + ([{"params": fast, "lr": PLUS * lr}] if fast else [])
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, foreach=False)
    data, losses = batches.training(kind), []
    for step in range(STEPS):
        loss, _, _ = forward(method, net, data[step % len(data)])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return {"lr": lr, "plus_ratio": PLUS if fast else 0, "losses": losses}

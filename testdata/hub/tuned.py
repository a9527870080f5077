"""What all generators here write: files, logits, loss, gradients and training of one adapter."""

import os
import shutil

import torch
from gen import batches, model, precision
from safetensors.torch import save_file

STEPS = 20


def disturb(kind, weights, std=0.15):
    """Adds noise to every trained tensor, so that no gradient is zero."""
    with torch.no_grad():
        for i, (_, tensor) in enumerate(sorted(weights.items())):
            noise = torch.randn(tensor.shape, generator=torch.Generator().manual_seed(1000 * kind.seed + i))
            tensor.add_(std * noise.to(tensor.dtype))


def write(kind, net, weights, lr, directory, save, names=lambda name: name, logits=None):
    """Runs in float32 and in float64. save(net, directory) writes the adapter as its library does."""
    logits = logits or (lambda batch: net(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits)
    shutil.rmtree(directory, ignore_errors=True)
    os.makedirs(directory)
    save(net, directory)
    start = {name: w.detach().clone() for name, w in weights.items()}
    tensors, scalars = run(kind, logits, weights, lr, names)
    with torch.no_grad():
        for name, w in weights.items():
            w.copy_(start[name])
    net.double()
    with precision.double():
        _, exact = run(kind, logits, weights, lr, names)
    losses = scalars["train"]["losses"]
    drift = max(abs(a / b - 1) for a, b in zip(losses, exact["train"]["losses"]))
    print(f"{directory[-40:]:>40} loss {scalars['loss']:.4f}, trained {losses[0]:.3f} to {losses[-1]:.3f}, float32 off by {drift:.0e}")
    if drift > 2e-5:
        raise ValueError("the training is too sensitive to rounding to be a golden: lower its learning rate")
    save_file({n: t.detach().contiguous().clone() for n, t in sorted(tensors.items())}, os.path.join(directory, "golden.safetensors"))
    model.write_json(os.path.join(directory, "golden.json"), scalars)


def run(kind, logits, weights, lr, names):
    batch = batches.main(kind)
    out = logits(batch)
    total, targets = batches.loss_sum(out, batch["labels"])
    loss = total / targets
    tensors = {"logits": batches.zero_padding({"": out}, batch["attention_mask"])[""]}
    for name, gradient in zip(weights, torch.autograd.grad(loss, list(weights.values())), strict=True):
        tensors["grad." + names(name)] = gradient
    return tensors, {"loss": loss.item(), "targets": targets, "train": {"lr": lr, "losses": train(kind, logits, weights, lr)}}


def train(kind, logits, weights, lr):
    optimizer = torch.optim.AdamW(list(weights.values()), lr=lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, foreach=False)
    data, losses = batches.training(kind), []
    for step in range(STEPS):
        batch = data[step % len(data)]
        total, targets = batches.loss_sum(logits(batch), batch["labels"])
        optimizer.zero_grad()
        (total / targets).backward()
        optimizer.step()
        losses.append(total.item() / targets)
    return losses

"""Goldens of the optimiser parts alone: AdamW, learning-rate schedules, gradient clipping."""

import torch
import transformers

from . import model as models

KEEP = [1, 2, 3, 10, 100, 1000]


def write(path):
    models.write_json(path, {"adamw": adamw(), "schedules": schedules(), "clip": clip()})


def gradient(step, size):
    """Exactly representable, so that every language gets the same bits: element i is scaled by 2^(-4 i)."""
    return [((step * 37 + i * 101 + step * i * 13) % 257 - 128) / 64 * 2.0 ** (-4 * i) for i in range(size)]


def adamw():
    start = [0.5, -1.25, 2.0, 0.0, -0.375, 1.0, 3.5]
    cases = []
    for weight_decay, betas, eps in ((0.0, (0.9, 0.999), 1e-8), (0.1, (0.9, 0.95), 1e-6)):
        case = {"lr": 1e-2, "betas": betas, "eps": eps, "weight_decay": weight_decay, "start": start}
        for name, dtype in (("float32", torch.float32), ("float64", torch.float64)):
            case[name] = adamw_run(case, dtype)
        cases.append(case)
    return cases


def adamw_run(case, dtype):
    """The parameters after each step of KEEP."""
    p = torch.tensor(case["start"], dtype=dtype, requires_grad=True)
    optimizer = torch.optim.AdamW(
        [p], lr=case["lr"], betas=case["betas"], eps=case["eps"], weight_decay=case["weight_decay"], foreach=False
    )
    kept = {}
    for step in range(1, KEEP[-1] + 1):
        p.grad = torch.tensor(gradient(step, len(p)), dtype=dtype)
        optimizer.step()
        if step in KEEP:
            kept[str(step)] = p.tolist()
    return kept


def schedules():
    """The lr that each step uses, from step 0, one step beyond the end."""
    cases = []
    for name in ("constant", "constant_with_warmup", "linear", "cosine"):
        for warmup, total in ((4, 20), (0, 10), (3, 7)):
            optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.5)
            scheduler = transformers.get_scheduler(
                name, optimizer, num_warmup_steps=warmup, num_training_steps=total
            )
            lrs = []
            for _ in range(total + 1):
                lrs.append(scheduler.get_last_lr()[0])
                optimizer.step()
                scheduler.step()
            cases.append({"name": name, "lr": 0.5, "warmup_steps": warmup, "steps": total, "lrs": lrs})
    return cases


def clip():
    """Gradients of two tensors before and after clipping by their common norm."""
    cases = []
    for scale, max_norm in ((1.0, 0.5), (1.0, 100.0), (1e-4, 1.0), (3.0, 1.0)):
        tensors = [torch.zeros(3, requires_grad=True), torch.zeros(4, requires_grad=True)]
        before = [[scale * g for g in gradient(5, 3)], [scale * g for g in gradient(9, 4)]]
        for tensor, values in zip(tensors, before, strict=True):
            tensor.grad = torch.tensor(values)
        norm = torch.nn.utils.clip_grad_norm_(tensors, max_norm, foreach=False)
        after = [tensor.grad.tolist() for tensor in tensors]
        cases.append({"max_norm": max_norm, "norm": norm.item(), "before": before, "after": after})
    return cases

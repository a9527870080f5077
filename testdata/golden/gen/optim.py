"""Goldens of the optimiser parts alone: the optimisers, learning-rate schedules, gradient clipping."""

import numpy as np
import torch
import transformers

from . import model as models

KEEP = [1, 2, 3, 10, 100, 1000]


def write(path):
    models.write_json(
        path,
        {
            "adamw": adamw(),
            "sgd": sgd(),
            "adafactor": adafactor(),
            "lion": lion(),
            "adamw8bit": adamw8bit(),
            "schedules": schedules(),
            "clip": clip(),
        },
    )


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


def run(case, shape, make, dtype=torch.float64):
    """The parameters after each step of KEEP, of an optimiser of torch or transformers."""
    p = torch.tensor(case["start"], dtype=dtype).reshape(shape).requires_grad_()
    optimizer = make([p])
    kept = {}
    for step in range(1, KEEP[-1] + 1):
        p.grad = torch.tensor(small_gradient(step, p.numel()), dtype=dtype).reshape(shape)
        optimizer.step()
        if step in KEEP:
            kept[str(step)] = p.flatten().tolist()
    return kept


def small_gradient(step, size):
    """Exactly representable, all of one magnitude, and never 0 where Lion would take its sign."""
    return [((step * 37 + i * 101 + step * i * 13) % 256 - 127.5) / 64 for i in range(size)]


def start(size):
    return [((i * 29) % 17 - 8) / 4 for i in range(size)]


def sgd():
    cases = []
    for momentum, weight_decay in ((0.9, 0.0), (0.5, 0.1), (0.0, 0.0)):
        case = {"lr": 1e-2, "momentum": momentum, "weight_decay": weight_decay, "start": start(7)}
        case["params"] = run(
            case,
            (7,),
            lambda ps, c=case: torch.optim.SGD(
                ps, lr=c["lr"], momentum=c["momentum"], weight_decay=c["weight_decay"], foreach=False
            ),
        )
        cases.append(case)
    return cases


def adafactor():
    """transformers' Adafactor with a rate that is given; a batch of matrices, a matrix, a column and a vector."""
    cases = []
    for shape in ((2, 3, 4), (5, 3), (6, 1), (7,)):
        for weight_decay in (0.0, 0.1):
            size = int(np.prod(shape))
            case = {"lr": 1e-2, "shape": shape, "weight_decay": weight_decay, "start": start(size)}
            case["params"] = run(
                case,
                shape,
                lambda ps, c=case: transformers.Adafactor(
                    ps,
                    lr=c["lr"],
                    weight_decay=c["weight_decay"],
                    scale_parameter=False,
                    relative_step=False,
                    warmup_init=False,
                ),
            )
            cases.append(case)
    return cases


def lion():
    """Algorithm 2 of arXiv 2302.06675, in float64; no library of the list has it on a CPU in float64."""
    cases = []
    for betas, weight_decay in (((0.9, 0.99), 0.0), ((0.95, 0.98), 0.1)):
        case = {"lr": 1e-2, "betas": betas, "weight_decay": weight_decay, "start": start(7)}
        p, m = np.array(case["start"]), np.zeros(7)
        kept = {}
        for step in range(1, KEEP[-1] + 1):
            g = np.array(small_gradient(step, 7))
            update = np.sign(betas[0] * m + (1 - betas[0]) * g)
            p = p - case["lr"] * (update + weight_decay * p)
            m = betas[1] * m + (1 - betas[1]) * g
            if step in KEEP:
                kept[str(step)] = p.tolist()
        case["params"] = kept
        cases.append(case)
    return cases


BLOCK = 256


def dynamic_map(signed):
    """The fractions of bitsandbytes' create_dynamic_map, in float32."""
    values = [0.0, 1.0]
    for i in range(7):
        edges = torch.linspace(0.1, 1, (2**i if signed else 2 ** (i + 1)) + 1, dtype=torch.float32)
        middles = ((10 ** (i - 6)) * (edges[:-1] + edges[1:]) / 2.0).tolist()
        values += middles + ([-v for v in middles] if signed else [])
    return np.sort(np.array(values, dtype=np.float32)).astype(np.float64)


def encode(x, fractions):
    """Indices of the nearest fractions, the smaller one of two, and the scales of the blocks."""
    codes, scales = np.zeros(len(x), dtype=int), np.zeros(-(-len(x) // BLOCK))
    for b in range(len(scales)):
        block = x[b * BLOCK : (b + 1) * BLOCK]
        scales[b] = np.abs(block).max()
        distance = np.abs(block[:, None] / (scales[b] or 1) - fractions[None, :])
        codes[b * BLOCK : (b + 1) * BLOCK] = distance.argmin(axis=1)
    return codes, scales


def decode(codes, scales, fractions):
    return fractions[codes] * np.repeat(scales, BLOCK)[: len(codes)]


def adamw8bit():
    """AdamW with blockwise moments of 8 bits, in float64, after bitsandbytes' optimizer_update_8bit_blockwise.

    Its CPU kernel looks codes up in a coarse table (a moment of 0 becomes a small positive number, in 0.50.2), its
    CUDA kernel takes the nearest; so does this. Few values have gradients, in two blocks: each number that is
    rounded to one of 256 in float32 has a small chance to be rounded otherwise than in float64.
    """
    size, used = 264, [0, 3, 100, 255, 256, 260]
    signed, unsigned = dynamic_map(True), dynamic_map(False)
    cases = []
    for weight_decay, betas in ((0.0, (0.9, 0.999)), (0.1, (0.9, 0.95))):
        case = {"lr": 1e-2, "betas": betas, "eps": 1e-8, "weight_decay": weight_decay, "size": size, "used": used, "start": start(len(used))}
        p = np.zeros(size)
        p[used] = case["start"]
        m, v = (np.zeros(size, dtype=int), np.zeros(2)), (np.zeros(size, dtype=int), np.zeros(2))
        kept = {}
        for step in range(1, KEEP[-1] + 1):
            g = np.zeros(size)
            g[used] = small_gradient(step, len(used))
            m_new = betas[0] * decode(*m, signed) + (1 - betas[0]) * g
            v_new = betas[1] * decode(*v, unsigned) + (1 - betas[1]) * g * g
            p *= 1 - case["lr"] * weight_decay
            root = np.sqrt(v_new) / np.sqrt(1 - betas[1] ** step) + case["eps"]
            p -= case["lr"] / (1 - betas[0] ** step) * m_new / root
            m, v = encode(m_new, signed), encode(v_new, unsigned)
            if step in KEEP:
                kept[str(step)] = p[used].tolist()
        case["params"] = kept
        cases.append(case)
    return cases


# Of our names, what get_scheduler calls them. The least rate is a tenth of the largest.
SCHEDULES = [
    ("constant", "constant", None),
    ("constant_with_warmup", "constant_with_warmup", None),
    ("linear", "linear", None),
    ("cosine", "cosine", None),
    ("cosine_min", "cosine_with_min_lr", {"min_lr_rate": 0.1}),
    ("inverse-sqrt", "inverse_sqrt", None),
]


def schedules():
    """The lr of steps from 0 on, to one beyond the end: of all, or in a long run of every 50th."""
    cases = []
    for name, theirs, more in SCHEDULES:
        for warmup, total in ((4, 20), (0, 10), (3, 7), (100, 1000)):
            every = 50 if total > 100 else 1
            optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.5)
            scheduler = transformers.get_scheduler(
                theirs, optimizer, num_warmup_steps=warmup, num_training_steps=total, scheduler_specific_kwargs=more
            )
            lrs = []
            for step in range(total + 1):
                if step % every == 0:
                    lrs.append(scheduler.get_last_lr()[0])
                optimizer.step()
                scheduler.step()
            cases.append({"name": name, "lr": 0.5, "warmup_steps": warmup, "steps": total, "every": every, "lrs": lrs})
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

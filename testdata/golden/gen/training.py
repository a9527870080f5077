"""Twenty optimiser steps of PEFT parameters with torch's AdamW."""

from dataclasses import asdict, dataclass

import torch
import transformers

from . import batches

STEPS = 20


@dataclass(frozen=True)
class Plan:
    """How to train; the field names are the keys of golden.json."""

    lr: float
    betas: tuple = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0
    schedule: str = "constant"  # or "linear"
    warmup_steps: int = 0
    max_grad_norm: float | None = None
    accumulation: int = 1  # batches per step
    steps: int = STEPS


def constant(lr):
    return Plan(lr=lr)


def full(lr):
    """Everything at once: warm-up, decay, clipping, accumulation."""
    return Plan(lr=lr, weight_decay=0.01, schedule="linear", warmup_steps=4, max_grad_norm=0.5, accumulation=2)


def run(model, tensors, data, plan):
    """Trains `tensors` in place; returns the plan with the loss, gradient norm and lr of each step."""
    parameters = list(tensors.values())
    optimizer = torch.optim.AdamW(
        parameters, lr=plan.lr, betas=plan.betas, eps=plan.eps, weight_decay=plan.weight_decay, foreach=False
    )
    scheduler = transformers.get_scheduler(
        plan.schedule, optimizer, num_warmup_steps=plan.warmup_steps, num_training_steps=plan.steps
    )
    log = {**asdict(plan), "losses": [], "grad_norms": [], "lrs": []}
    for step in range(plan.steps):
        first = step * plan.accumulation
        loss = backward(model, [data[(first + i) % len(data)] for i in range(plan.accumulation)])
        norm = torch.nn.utils.clip_grad_norm_(parameters, plan.max_grad_norm or float("inf"), foreach=False)
        log["losses"].append(loss)
        log["grad_norms"].append(norm.item())
        log["lrs"].append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
    return log


def backward(model, micro):
    """Accumulates the gradient of the mean loss over all targets of the micro-batches; returns that loss."""
    sums = []
    for batch in micro:
        logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], use_cache=False).logits
        virtual = logits.shape[1] - batch["labels"].shape[1]
        labels = torch.nn.functional.pad(batch["labels"], (virtual, 0), value=batches.IGNORE)
        sums.append(batches.loss_sum(logits, labels))
    targets = sum(count for _, count in sums)
    loss = sum(total for total, _ in sums) / targets
    loss.backward()
    return loss.item()

"""What tuning in torch shares: rows side by side, the steps, the memory. Rows are (ids, how many first ids have no loss)."""

import math
import os
import re
import time

import torch

MASKED = -100
DEVICE = os.environ.get("RESULTS_DEVICE", "cpu")  # torch's name; a default device of torch's would slow down each of its calls
torch.backends.cuda.matmul.allow_tf32 = False
torch.backends.cudnn.allow_tf32 = False


def batch_of(rows, pad):
    """Rows side by side, padded on the right; only what comes behind the prompt has a loss."""
    length = max(len(ids) for ids, _ in rows)
    ids = torch.full((len(rows), length), pad)
    labels = torch.full_like(ids, MASKED)
    mask = torch.zeros_like(ids)
    for i, (row, prompt) in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row)
        labels[i, prompt : len(row)] = ids[i, prompt : len(row)]
        mask[i, : len(row)] = 1
    return {name: t.to(DEVICE) for name, t in (("input_ids", ids), ("labels", labels), ("attention_mask", mask))}


def train(m, rows, lr, steps, batch, pad, more=lambda rows: {}):
    """Rows in their order; AdamW without decay, a rate that falls linearly to 0, gradients clipped to norm 1.
    more(rows) are further arguments of the model. Seconds and tokens leave out loading and padding."""
    parameters = [p for p in m.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=lr, weight_decay=0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / steps)
    losses, norms, start, cpu = [], [], time.time(), time.process_time()
    for step in range(steps):
        part = rows[step * batch : (step + 1) * batch]
        loss = m(**batch_of(part, pad), **more(part)).loss
        optimizer.zero_grad()
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(parameters, 1.0).item())
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        print(f"step {step + 1}/{steps} loss {losses[-1]:.4f} {time.time() - start:.0f} s", flush=True)
    return {
        "parameters": sum(p.numel() for p in parameters),
        "losses": losses,
        "grad_norms": norms,
        "seconds": time.time() - start,
        "cpu_seconds": time.process_time() - cpu,
        "tokens": sum(len(ids) for ids, _ in rows[: steps * batch]),
        "peak_rss": peak_rss(),
        "peak_gpu": torch.cuda.max_memory_allocated() if DEVICE != "cpu" else 0,
    }


@torch.inference_mode()
def logits_of(m, rows, batch, pad, more=lambda rows: {}):
    """Yields each row with its logits, those of virtual tokens left out. Rows of a length need no padding: sort them."""
    for start in range(0, len(rows), batch):
        part = rows[start : start + batch]
        inputs = batch_of(part, pad)
        del inputs["labels"]
        logits = m(**inputs, **more(part)).logits
        yield from zip(part, logits[:, logits.shape[1] - inputs["input_ids"].shape[1] :])


def measure(m, rows, batch, pad, more=lambda rows: {}):
    """The mean loss of all targets with its standard error over rows, and how often the first target has the highest logit."""
    sums, targets, right = [], [], 0
    for (ids, prompt), logits in logits_of(m, rows, batch, pad, more):
        want = torch.tensor(ids[prompt:], device=DEVICE)
        logits = logits[prompt - 1 : len(ids) - 1]
        sums.append(torch.nn.functional.cross_entropy(logits.double(), want, reduction="sum").item())
        targets.append(len(want))
        right += logits[0].argmax().item() == want[0]
    loss = sum(sums) / sum(targets)
    off = sum((s - loss * n) ** 2 for s, n in zip(sums, targets))
    return {"rows": len(rows), "loss": loss, "loss_error": math.sqrt(off) / sum(targets), "exact_match": int(right) / len(rows)}


def peak_rss():
    """The largest resident set of this process so far, in bytes (Linux: VmHWM)."""
    with open("/proc/self/status") as f:
        return int(re.search(r"VmHWM:\s+(\d+) kB", f.read()).group(1)) * 1024

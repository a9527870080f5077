"""Writes the tables of what has been run as Markdown: python testdata/results/tables.py. See README.md."""

import json
import math
import os

from settings import METHODS, OUT, TASKS

NONE = "–"


def read(task, name, program):
    path = task.path(name, program + ".json")
    if not os.path.exists(path):
        return None
    with open(path, encoding="utf-8") as f:
        return json.load(f)


def pair(hf, ours, cell):
    return f"{cell(hf) if hf else NONE} / {cell(ours) if ours else NONE}"


def loss(figures):
    return f"{figures['loss']:.4f}"


def exact(figures):
    return f"{100 * figures['exact_match']:.1f}"


def speeds(hf, ours, seconds):
    """Tokens a second, and how many times as many gpupeft takes."""
    rate = lambda figures: figures["tokens"] / figures[seconds]  # noqa: E731
    ratio = f" ({rate(ours) / rate(hf):.2f})" if hf and ours else ""
    return pair(hf, ours, lambda figures: f"{rate(figures):,.0f}") + ratio


def agreement(method, hf, ours):
    """The largest relative difference of the training losses, in the first five steps and in all."""
    if not hf or not ours or not method.shared:
        return NONE
    off = [abs(a / b - 1) for a, b in zip(ours["losses"], hf["losses"], strict=True)]
    return f"{max(off[:5]):.0e}, {max(off):.0e}"


def row(task, name, method):
    hf, ours = read(task, name, "hf"), read(task, name, "gpupeft")
    if not hf and not ours:
        return None
    some = ours or hf
    cells = [method.title, f"{some['parameters']:,}", f"{method.lr[task.name]:g}", pair(hf, ours, loss)]
    if task.classes:
        cells.append(pair(hf, ours, exact))
    memory = "peak_gpu" if some.get("peak_gpu") else "peak_rss"
    cells += [speeds(hf, ours, "seconds"), speeds(hf, ours, "cpu_seconds"), pair(hf, ours, lambda f: f"{f[memory] / 2**20:,.0f}")]
    return [*cells, agreement(method, hf, ours)]


def majority(task):
    """How often the training rows' most frequent answer is right."""
    firsts = {}
    for name in ("train", "test"):
        with open(task.path(name + ".json"), encoding="utf-8") as f:
            firsts[name] = [ids[prompt] for ids, prompt in json.load(f)]
    answer = max(set(firsts["train"]), key=firsts["train"].count)
    return firsts["test"].count(answer) / len(firsts["test"])


def table(task):
    untuned = [read(task, "untuned", program) for program in ("hf", "gpupeft")]
    if not all(untuned):
        return []
    head = ["method", "trained values", "lr", "held-out loss"] + ["accuracy, %"] * task.classes + ["tokens/s (ratio)", "tokens per CPU second (ratio)", "peak MiB", "losses differ by"]
    blank = [""] * 2
    rows = [["untuned", *blank, pair(*untuned, loss), *([pair(*untuned, exact)] if task.classes else []), *[""] * 4]]
    if task.classes:
        rows.insert(0, ["majority class", *blank, "", f"{100 * majority(task):.1f}", *[""] * 4])
    rows += filter(None, (row(task, name, method) for name, method in METHODS.items()))
    lines = ["| " + " | ".join(cells) + " |" for cells in [head, ["---"] * len(head), *rows]]
    return [f"## {task.name}", "", *lines, "", errors(task), ""]


def errors(task):
    """The largest standard errors of the figures of HF's side."""
    tuned = [f for f in (read(task, name, "hf") for name in METHODS) if f]
    text = f"{task.steps} steps of {task.batch} rows; {read(task, 'untuned', 'hf')['rows']} test rows."
    if tuned:
        text += f" Standard error of the loss: {min(f['loss_error'] for f in tuned):.3f} to {max(f['loss_error'] for f in tuned):.3f}."
    if tuned and task.classes:
        spread = [100 * math.sqrt(f["exact_match"] * (1 - f["exact_match"]) / f["rows"]) for f in tuned]
        text += f" Of the accuracy: {min(spread):.1f} to {max(spread):.1f} %."
    return text


def write(path):
    with open(path, "w", encoding="utf-8") as f:
        f.write("\n".join(line for task in TASKS.values() for line in table(task)))


if __name__ == "__main__":
    write(os.path.join(OUT, "tables.md"))

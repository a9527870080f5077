"""Tunes the demo model on its three data sets with PEFT and reports the change.

    python evaluate.py MODEL_DIR DATA_DIR [--tasks sentiment,questions,text]
        [--methods prompt,lora] [--steps 300] [--batch 16]

A check that the data sets can be learned; the figures in the model card come
from it. The loss of a row task covers the completion and </s>; a row counts as
right when every token of the completion is the most likely one.
"""

import argparse
import collections
import json
import pathlib
import time

import torch
from peft import LoraConfig, PromptTuningConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

IGNORED = -100
EOS = 2
BLOCK = 128
RATES = {"prompt": 3e-2, "lora": 5e-3}
SEED = 0


def read_rows(tokenizer, path):
    """Rows as (ids, index of the first completion token)."""
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        start = len(tokenizer(row["prompt"]).input_ids)
        found.append((tokenizer(row["prompt"] + row["completion"]).input_ids + [EOS], start))
    return found


def read_blocks(tokenizer, path):
    """Plain text as blocks of BLOCK tokens, every token but the first a target."""
    ids = tokenizer(path.read_text(encoding="utf-8")).input_ids
    return [(ids[i: i + BLOCK], 1) for i in range(0, len(ids) - BLOCK, BLOCK)]


def collate(batch):
    """Pads on the right: ids, mask, labels, all [B, T]."""
    width = max(len(ids) for ids, _ in batch)
    ids = torch.full((len(batch), width), EOS)
    mask = torch.zeros((len(batch), width), dtype=torch.long)
    labels = torch.full((len(batch), width), IGNORED)
    for i, (row, start) in enumerate(batch):
        ids[i, : len(row)] = torch.tensor(row)
        mask[i, : len(row)] = 1
        labels[i, start: len(row)] = torch.tensor(row[start:])
    return ids, mask, labels


@torch.no_grad()
def evaluate(model, rows, batch=50):
    """Mean loss per target token and the share of rows all right before </s>."""
    model.eval()
    loss, count, right = 0.0, 0, 0
    for i in range(0, len(rows), batch):
        ids, mask, labels = collate(rows[i: i + batch])
        logits = model(input_ids=ids, attention_mask=mask).logits[:, -ids.shape[1]:]
        scores, targets = logits[:, :-1], labels[:, 1:]
        losses = torch.nn.functional.cross_entropy(
            scores.transpose(1, 2), targets, ignore_index=IGNORED, reduction="none")
        known = targets != IGNORED
        loss += losses.sum().item()
        count += known.sum().item()
        judged = known & (targets != EOS)
        right += ((scores.argmax(-1) == targets) | ~judged).all(1).sum().item()
    model.train()
    return loss / count, right / len(rows)


@torch.no_grad()
def two_way(model, tokenizer, rows, words=(" good", " bad")):
    """Share of rows in which the right one of two words scores higher."""
    options = [tokenizer("a" + w).input_ids[-1] for w in words]
    right = 0
    for ids, start in rows:
        logits = model(input_ids=torch.tensor([ids[:start]])).logits[0, -1]
        right += options[logits[options].argmax()] == ids[start]
    return right / len(rows)


def baselines(rows, valid):
    """Majority completion: its share of the validation rows."""
    answers = collections.Counter(tuple(ids[s:]) for ids, s in rows)
    best = answers.most_common(1)[0][0]
    return sum(tuple(ids[s:]) == best for ids, s in valid) / len(valid)


def adapter(model, method):
    """The base wrapped for prompt tuning (20 tokens) or LoRA (r 8, all linear)."""
    if method == "prompt":
        return get_peft_model(model, PromptTuningConfig(
            task_type="CAUSAL_LM", num_virtual_tokens=20, prompt_tuning_init="SAMPLE_VOCAB"))
    return get_peft_model(model, LoraConfig(
        task_type="CAUSAL_LM", r=8, lora_alpha=16, lora_dropout=0.0,
        target_modules="all-linear"))


def tune(model, rows, steps, batch, lr, report):
    """AdamW without decay, the rate falling linearly to zero."""
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=lr, weight_decay=0.0)
    order = torch.Generator().manual_seed(SEED)
    queue = []
    for step in range(steps):
        if len(queue) < batch:
            queue = torch.randperm(len(rows), generator=order).tolist()
        picked, queue = queue[:batch], queue[batch:]
        ids, mask, labels = collate([rows[i] for i in picked])
        optimizer.param_groups[0]["lr"] = lr * (1 - step / steps)
        loss = model(input_ids=ids, attention_mask=mask, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        report(step + 1)


def main():
    """Runs every asked-for pair of task and method and prints one line each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("--tasks", default="sentiment,questions,text")
    parser.add_argument("--methods", default="prompt,lora")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--every", type=int, default=100)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    tokenizer = AutoTokenizer.from_pretrained(args.model)

    def load():
        torch.manual_seed(SEED)
        return AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32)

    for task in args.tasks.split(","):
        reader, suffix = (read_blocks, "txt") if task == "text" else (read_rows, "jsonl")
        rows, valid = (reader(tokenizer, args.data / task / f"{p}.{suffix}") for p in ("train", "valid"))
        loss, right = evaluate(load(), valid)
        line = f"{task}: {len(rows)}/{len(valid)} rows, longest {max(len(i) for i, _ in rows)}, untuned loss {loss:.3f}"
        if task != "text":
            line += f", right {right:.1%}, majority {baselines(rows, valid):.1%}"
        if task == "sentiment":
            line += f", two-way {two_way(load(), tokenizer, valid):.1%}"
        print(line, flush=True)
        for method in args.methods.split(","):
            model = adapter(load(), method)
            started = time.time()

            def report(step):
                if step % args.every == 0 or step == args.steps:
                    loss, right = evaluate(model, valid)
                    print(f"  {method} step {step}: loss {loss:.3f}, right {right:.1%}, "
                          f"{time.time() - started:.0f} s", flush=True)

            tune(model, rows, args.steps, args.batch, RATES[method], report)


if __name__ == "__main__":
    main()

"""Tunes the model on SST-2 with HF PEFT: python testdata/smollm2/sst2.py data|base|prompt|lora|ADAPTER. See README.md.

Everything is written to out/smollm2/sst2; gpupeft starts from the same data and the same initial adapters.
"""

import csv
import json
import os
import random
import sys

import peft
import torch

import reference
import training

OUT = "out/smollm2/sst2"
ANSWERS = {"0": " negative", "1": " positive"}
STEPS = 200
BATCH = 8

INIT_TEXT = "Decide whether the review of a film is positive or negative."
METHODS = {
    "prompt": (
        peft.PromptTuningConfig(
            task_type="CAUSAL_LM",
            num_virtual_tokens=20,
            prompt_tuning_init="TEXT",
            prompt_tuning_init_text=INIT_TEXT,
            tokenizer_name_or_path=reference.MODEL,
        ),
        3e-2,
    ),
    "lora": (peft.LoraConfig(task_type="CAUSAL_LM", r=8, lora_alpha=16, target_modules=["q_proj", "v_proj"]), 1.4e-3),
}


def path(name):
    return os.path.join(OUT, name)


def write_json(name, value):
    with open(path(name), "w") as f:
        json.dump(value, f, indent=1)


def rows_of(file):
    with open(os.path.join(reference.DATA, "sst2", file), encoding="utf-8", newline="") as f:
        for row in csv.DictReader(f, delimiter="\t", quoting=csv.QUOTE_NONE):
            yield {"prompt": f"Review: {row['sentence'].strip()}\nSentiment:", "completion": ANSWERS[row["label"]]}


def write_data():
    """The training rows in the order that they are taken in, and the test rows."""
    train = random.Random(0).sample(list(rows_of("train.tsv")), STEPS * BATCH)
    for name, rows in (("train.jsonl", train), ("test.jsonl", rows_of("test.tsv"))):
        with open(path(name), "w") as f:
            f.writelines(json.dumps(row) + "\n" for row in rows)


def encode(t, row):
    """Prompt, answer and the end of text, as gpupeft encodes such a row. The answer must be one token."""
    prompt = t.encode(row["prompt"], add_special_tokens=False)
    both = t.encode(row["prompt"] + row["completion"], add_special_tokens=False)
    if both[:-1] != prompt:
        raise ValueError(f"{row['completion']!r} is not one token behind its prompt")
    return both + [t.eos_token_id], len(prompt)


def examples(t, name):
    with open(path(name)) as f:
        return [encode(t, json.loads(line)) for line in f]


def evaluate(t, m):
    """How often the right answer beats the other one, and how often it beats the whole vocabulary."""
    answers = torch.tensor([t.encode(a, add_special_tokens=False) for a in ANSWERS.values()]).squeeze(1)
    rows = sorted(examples(t, "test.jsonl"), key=lambda row: row[1])
    right, exact = 0, 0
    for (ids, prompt), scores in training.logits_of(m, rows, BATCH, t.pad_token_id):
        at = scores[prompt - 1]
        right += answers[at[answers].argmax()].item() == ids[prompt]
        exact += at.argmax().item() == ids[prompt]
    return {"rows": len(rows), "accuracy": right / len(rows), "exact_match": exact / len(rows)}


def tune(t, name):
    config, lr = METHODS[name]
    torch.manual_seed(0)
    m = peft.get_peft_model(reference.model(attention="sdpa"), config)
    m.save_pretrained(path(f"{name}-init"))
    trained = training.train(m.train(), examples(t, "train.jsonl"), lr, STEPS, BATCH, t.pad_token_id)
    result = {"method": name, "steps": STEPS, "batch": BATCH, "lr": lr, **trained}
    m.save_pretrained(path(f"{name}-hf"))
    write_json(f"{name}-hf.json", result)  # in case that the evaluation is cut off
    result |= evaluate(t, m.eval())
    write_json(f"{name}-hf.json", result)
    return result


def main(command):
    os.makedirs(OUT, exist_ok=True)
    if command == "data":
        return write_data()
    t = reference.tokenizer()
    if command in METHODS:
        result = tune(t, command)
    elif command == "base":
        result = evaluate(t, reference.model(attention="sdpa"))
        write_json("base-hf.json", result)
    else:  # an adapter that gpupeft has saved
        result = evaluate(t, peft.PeftModel.from_pretrained(reference.model(attention="sdpa"), path(command)).eval())
        write_json(f"{command}-in-hf.json", result)
    print({k: v for k, v in result.items() if k not in ("losses", "grad_norms")})


if __name__ == "__main__":
    main(sys.argv[1])

"""Peak memory of tuning LoRA r 8 on q and v: python testdata/smollm2/memory.py [GPUPEFT [MODEL]]. See README.md.

5 steps of 4 x 128 tokens in float32: by HF PEFT, or by the program that is named.
"""

import json
import random
import resource
import subprocess
import sys
import tempfile

STEPS, BATCH, LENGTH = 5, 4, 128
VOCABULARY = 49152
LR = 1e-3


def rows():
    ids = random.Random(0)
    return [[ids.randrange(17, VOCABULARY) for _ in range(LENGTH)] for _ in range(STEPS * BATCH)]


def tune_with_peft():
    import peft
    import torch

    import reference
    import training

    config = peft.LoraConfig(task_type="CAUSAL_LM", r=8, lora_alpha=16, target_modules=["q_proj", "v_proj"])
    m = peft.get_peft_model(reference.model(attention="sdpa"), config).train()
    loaded = training.peak_rss()
    parameters = [p for p in m.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=LR, weight_decay=0)
    data = torch.tensor(rows())
    for step in range(STEPS):
        ids = data[step * BATCH : (step + 1) * BATCH]
        loss = m(input_ids=ids, labels=ids).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        print(f"step {step + 1} loss {loss.item():.4f}", flush=True)
    report("HF PEFT, model loaded", loaded)
    report("HF PEFT, 5 steps", training.peak_rss())


def tune_with(program, model):
    with tempfile.TemporaryDirectory() as directory:
        data = directory + "/rows.jsonl"
        with open(data, "w") as f:
            f.writelines(json.dumps({"input_ids": ids, "labels": ids}) + "\n" for ids in rows())
        flags = f"--val-split 0 --no-shuffle --target-modules q_proj,v_proj --steps {STEPS} --batch-size {BATCH} --lr {LR}"
        files = ["--model", model, "--data", data, "--out", directory + "/adapter", "--device", "cpu"]
        subprocess.run([program, "tune", *files, *flags.split()], check=True)
    report(f"{program} on {model}", resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)


def report(what, size):
    print(f"{what}: peak resident set {size:,} bytes = {size / 2**20:.0f} MiB")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        tune_with(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "out/smollm2/hf")
    else:
        tune_with_peft()

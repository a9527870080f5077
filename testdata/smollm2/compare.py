"""Compares the losses of gpupeft's tuning with HF PEFT's: python testdata/smollm2/compare.py. See README.md."""

import json
import os

OUT = "out/smollm2/sst2"


def read(name):
    with open(os.path.join(OUT, name)) as f:
        return f.read()


def compare(method):
    ours = [json.loads(line) for line in read(f"{method}-gpupeft.jsonl").splitlines()]
    theirs = json.loads(read(f"{method}-hf.json"))["losses"]
    off = [abs(step["loss"] - loss) / loss for step, loss in zip(ours, theirs, strict=True)]
    for first, last in ((1, 10), (11, 50), (51, len(off))):
        print(f"{method} steps {first} to {last}: relative difference of the loss at most {max(off[first - 1 : last]):.1e}")
    for name, losses in (("HF PEFT", theirs), ("gpupeft", [step["loss"] for step in ours])):
        print(f"{method} {name}: mean loss of the last 50 steps {sum(losses[-50:]) / 50:.4f}")
    print(f"{method} gpupeft: {sum(step['step_ms'] for step in ours) / 1000:.0f} s in steps")


if __name__ == "__main__":
    for method in ("lora", "prompt"):
        compare(method)

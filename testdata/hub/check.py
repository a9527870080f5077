"""What the check_*.py beside this file have in common: they take adapters that gpupeft made, and write logits.

    python testdata/hub/check_peft.py JOBS.json

JOBS.json is a list of {"name", "model", "adapter", "ids": rows of any length, "tasks": the rows' tasks, "out"}. Each
row runs alone, without padding. The logits of all tokens, [tokens][V] float32, go to the file "out", or the reason why
there are none to the file "out".error.
"""

import json
import os
import sys
import traceback

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "golden")]
os.environ.update(HF_HUB_OFFLINE="1", CUDA_VISIBLE_DEVICES="", OMP_NUM_THREADS="1")


def run(logits):
    """Calls logits(job), which gives [T, V] for every row, for all jobs."""
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    with open(sys.argv[1], encoding="utf-8") as f:
        jobs = json.load(f)
    for job in jobs:
        try:
            rows = [np.asarray(row, dtype="<f4") for row in logits(job)]
            np.concatenate(rows).tofile(job["out"])
        except Exception:
            with open(job["out"] + ".error", "w", encoding="utf-8") as f:
                f.write(traceback.format_exc())


def same(saved, expected):
    """The names in a file must be those that the library has places for."""
    saved, expected = set(saved), set(expected)
    if saved != expected:
        raise ValueError(
            f"tensors that the library does not find: {sorted(expected - saved)}; "
            f"that it does not know: {sorted(saved - expected)}"
        )

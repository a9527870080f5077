"""Logits of adapters in mlx-lm: see check.py. The file must hold exactly the tensors of the adapter."""

import os

import check
import mlx.core as mx
import mlx_golden
import numpy as np
from gen.kinds import KINDS
from mlx.utils import tree_flatten
from mlx_lm.tuner.utils import load_adapters


def logits(job):
    kind = next(k for k in KINDS if k.name == os.path.basename(job["model"]))
    net = load_adapters(mlx_golden.model(kind), job["adapter"])
    places = {n for n, _ in tree_flatten(net.parameters()) if n.rsplit(".", 1)[-1] in ("lora_a", "lora_b", "m")}
    check.same(mx.load(os.path.join(job["adapter"], "adapters.safetensors")), places)
    net.eval()
    for ids in job["ids"]:
        yield np.array(net(mx.array([ids]))[0])


if __name__ == "__main__":
    check.run(logits)

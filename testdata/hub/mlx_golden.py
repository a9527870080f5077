"""Golden values of mlx-lm's adapters: python testdata/hub/mlx_golden.py, with requirements-mlx.txt. See README.md."""

import glob
import json
import os
import shutil
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path[:0] = [HERE, os.path.join(HERE, "..", "golden")]
os.environ.update(HF_HUB_OFFLINE="1", OMP_NUM_THREADS="1")

import mlx.core as mx  # noqa: E402
import numpy as np  # noqa: E402
from gen.kinds import KINDS  # noqa: E402
from mlx.utils import tree_flatten  # noqa: E402
from mlx_lm.tuner.utils import linear_to_lora_layers  # noqa: E402
from mlx_lm.utils import load_model  # noqa: E402
from pathlib import Path  # noqa: E402
from safetensors.numpy import save_file  # noqa: E402
from safetensors.torch import load_file, save_file as save_torch  # noqa: E402

LORA = {"rank": 4, "scale": 2.0, "dropout": 0.0, "keys": ["self_attn.q_proj", "self_attn.k_proj", "mlp.down_proj"]}
METHODS = {
    "mlx-lora": ("lora", -1, LORA),
    "mlx-lora-top": ("lora", 1, {"rank": 4, "scale": 2.0, "dropout": 0.0}),
    "mlx-dora": ("dora", -1, LORA),
    "mlx-lora-embed": ("lora", -1, {**LORA, "keys": ["mlp.up_proj", "model.embed_tokens"]}),
}


def model(kind):
    """The tiny model, from a directory with the older config and float32 weights."""
    with tempfile.TemporaryDirectory() as directory:
        with open(os.path.join(directory, "config.json"), "w", encoding="utf-8") as f:
            json.dump(kind.old, f)
        weights = {}
        for part in glob.glob(os.path.join(HERE, "..", "golden", kind.name, "model*.safetensors")):
            weights.update(load_file(part))
        save_torch({n: w.float() for n, w in weights.items()}, os.path.join(directory, "model.safetensors"), {"format": "pt"})
        return load_model(Path(directory))[0]


def main():
    for kind in KINDS:
        if kind.name not in ("llama2", "llama3", "llama-linear"):
            continue
        golden = load_file(os.path.join(HERE, "..", "golden", kind.name, "golden.safetensors"))
        for name, (method, layers, config) in METHODS.items():
            mx.random.seed(kind.seed)
            net = model(kind)
            count = len(net.layers) if layers < 0 else layers
            linear_to_lora_layers(net, count, config, use_dora=method == "dora")
            rng = np.random.default_rng(kind.seed)
            weights = {}
            for key, value in sorted(tree_flatten(net.parameters())):
                if key.rsplit(".", 1)[-1] in ("lora_a", "lora_b", "m"):
                    weights[key] = value + mx.array(0.15 * rng.standard_normal(value.shape).astype(np.float32))
            net.load_weights(list(weights.items()), strict=False)
            directory = os.path.join(HERE, kind.name, name)
            shutil.rmtree(directory, ignore_errors=True)
            os.makedirs(directory)
            mx.save_safetensors(os.path.join(directory, "adapters.safetensors"), weights)
            with open(os.path.join(directory, "adapter_config.json"), "w", encoding="utf-8") as f:
                settings = {"fine_tune_type": method, "num_layers": layers, "lora_parameters": config, "model": kind.name, "seed": 0, "train": True}
                json.dump(settings, f, indent=4, sort_keys=True)
            ids = golden["input_ids"].numpy()
            logits = np.array(net(mx.array(ids)))[:, :, : kind.old["vocab_size"]] * golden["attention_mask"].numpy()[..., None]
            save_file({"logits": logits.astype(np.float32)}, os.path.join(directory, "golden.safetensors"))
            with open(os.path.join(directory, "golden.json"), "w", encoding="utf-8") as f:
                f.write("{}\n")
            print(kind.name, name, float(np.abs(logits).max()), "moved by", float(np.abs(logits - golden["logits"].numpy()).max()))


if __name__ == "__main__":
    main()

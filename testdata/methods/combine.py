"""Logits of combinations of LoRAs as PEFT's add_weighted_adapter makes them: python testdata/methods/combine.py. See README.md."""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "golden")]

import peft  # noqa: E402
import torch  # noqa: E402
from gen import batches, model  # noqa: E402
from gen.kinds import KINDS  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

LORAS = ["lora-all", "lora-layers", "lora-lm-head"]
WEIGHTS = [0.7, -1.2, 0.5]
COMBINATIONS = {
    "cat": {},
    "svd": {"svd_rank": 3},
    "linear": {},
    "magnitude_prune": {"density": 0.4},
    "magnitude_prune_svd": {"density": 0.4, "svd_rank": 3},
    "ties": {"density": 0.6},
    "ties-frequency": {"density": 0.6, "majority_sign_method": "frequency"},
    "ties_svd": {"density": 0.6, "svd_rank": 5},
}


def main():
    torch.set_num_threads(1)
    os.chdir(os.path.join(HERE, "..", "golden"))
    kind = next(k for k in KINDS if k.name == "llama3")
    batch = batches.main(kind)
    tensors = {}
    for name, options in COMBINATIONS.items():
        net = None
        for lora in LORAS:
            directory = os.path.join(HERE, "llama3", lora)
            if net is None:
                net = peft.PeftModel.from_pretrained(model.load(kind.name), directory, adapter_name=lora)
            else:
                net.load_adapter(directory, adapter_name=lora)
        net.add_weighted_adapter(LORAS, WEIGHTS, "all", combination_type=name.partition("-")[0], **options)
        net.set_adapter("all")
        with torch.no_grad():
            logits = net.eval()(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
        tensors[name] = batches.zero_padding({"": logits}, batch["attention_mask"])[""].contiguous()
    os.makedirs(os.path.join(HERE, "combine"), exist_ok=True)
    save_file(tensors, os.path.join(HERE, "combine", "golden.safetensors"))
    settings = {"loras": LORAS, "weights": WEIGHTS, "combinations": COMBINATIONS}
    model.write_json(os.path.join(HERE, "combine", "golden.json"), settings)


if __name__ == "__main__":
    main()

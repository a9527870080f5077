"""Logits of adapters in AdapterHub: see check.py. The file must hold exactly the tensors of the adapter."""

import json
import os
import warnings

import check
import adapterhub
import adapters
import safetensors
import torch
from gen.kinds import KINDS


def logits(job):
    kind = next(k for k in KINDS if k.name == os.path.basename(job["model"]))
    model = adapterhub.load(kind)
    adapters.init(model, **adapterhub.interface(kind))
    with open(os.path.join(job["adapter"], "adapter_config.json"), encoding="utf-8") as f:
        config = json.load(f)
    name = model.load_adapter(job["adapter"], set_active=True, use_safetensors=True)
    with safetensors.safe_open(os.path.join(job["adapter"], "adapter.safetensors"), "pt") as f:
        check.same(f.keys(), {n for n in model.state_dict() if f".{name}." in n})
    if name != config["name"] or type(model).__name__ != config["model_class"]:
        raise ValueError(f"{config['name']} of {config['model_class']} is {name} of {type(model).__name__}")
    model.eval()
    for ids in job["ids"]:
        with torch.no_grad():
            yield model(input_ids=torch.tensor([ids]), attention_mask=torch.ones(1, len(ids), dtype=torch.long)).logits[0]


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    check.run(logits)

"""Writes a tiny model directory and loads it the way the goldens need it."""

import json
import math
import os
import re
import shutil

import torch
import transformers

from .kinds import SCALE


def write(kind):
    """Writes config.json, the other spelling of it, and the weights into a fresh directory <kind.name>."""
    shutil.rmtree(kind.name, ignore_errors=True)
    os.makedirs(kind.name)
    spellings = {"old": kind.old, "new": kind.new}
    for spelling, fields in spellings.items():
        name = "config.json" if spelling == kind.main else f"config.{spelling}.json"
        write_json(os.path.join(kind.name, name), fields)
    model = build(kind.new)
    fill(model, kind)
    with open(os.path.join(kind.name, "config.json"), encoding="utf-8") as f:
        config = f.read()
    model.to(getattr(torch, kind.dtype))
    model.save_pretrained(kind.name, max_shard_size=kind.shard or "1GB")
    os.remove(os.path.join(kind.name, "generation_config.json"))
    with open(os.path.join(kind.name, "config.json"), "w", encoding="utf-8") as f:
        f.write(config)


def build(fields):
    """A model with library initialisation from the fields of a config.json."""
    config = transformers.AutoConfig.for_model(**fields)
    return transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager", dtype=torch.float32)


def fill(model, kind):
    """Overwrites every weight with seeded normal values at the scales of the kind."""
    generator = torch.Generator().manual_seed(kind.seed)
    scale = {**SCALE, **kind.scale}
    with torch.no_grad():
        for name, weight in sorted(model.named_parameters()):
            module = name.split(".")[-2]
            if weight.dim() == 1:
                weight.copy_(norm_mean(kind, module) + 0.3 * torch.randn(weight.shape, generator=generator))
            elif module == "embed_tokens":
                weight.copy_(scale[module] * torch.randn(weight.shape, generator=generator))
            else:
                std = scale[module] / math.sqrt(weight.shape[1])
                weight.copy_(std * torch.randn(weight.shape, generator=generator))


def norm_mean(kind, module):
    post = kind.post_norm is not None and module.startswith("post_")
    return kind.post_norm if post else kind.norm


def load(directory):
    """Loads a model directory in float32 with eager attention, in evaluation mode and frozen."""
    model = transformers.AutoModelForCausalLM.from_pretrained(
        directory, dtype=torch.float32, attn_implementation="eager", local_files_only=True
    )
    return model.eval().requires_grad_(False)


def write_json(path, value):
    """Indented, but with lists of numbers and strings on one line."""
    text = json.dumps(value, indent=2)
    text = re.sub(r"\[[^][{}]*\]", lambda m: re.sub(r"\s+", " ", m[0]).replace("[ ", "[").replace(" ]", "]"), text)
    with open(path, "w", encoding="utf-8") as f:
        f.write(text + "\n")

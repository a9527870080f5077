"""All goldens of one kind: runs every part in float32 and again in float64, and gathers what is stored."""

import math
import os

import torch
from safetensors.torch import save_file

from . import adapters, batches, forward, precision, training
from . import model as models
from .kinds import VIRTUAL

PROMPT_LR, LORA_LR = 3e-2, 5e-3


def collect(kind):
    """Returns (tensors, scalars) of golden.safetensors and golden.json; writes the model and the adapters."""
    models.write(kind)
    check_spellings(kind)
    subjects = build(kind)
    save_adapters(kind, subjects)
    tensors, scalars = run(kind, subjects)
    subjects = build(kind)
    for subject in subjects.values():
        subject[0].double()
    with precision.double():
        exact_tensors, exact_scalars = run(kind, subjects)
    scalars["noise"] = noise(tensors, scalars, exact_tensors, exact_scalars)
    tensors.update(token_tensors(kind))
    return tensors, scalars


def build(kind):
    """The models to run, each as (model, trainable tensors by name)."""
    subjects = {"base": (models.load(kind.name), {}), "prompt": adapters.prompt(kind), "lora": adapters.lora(kind)}
    if kind.name == "llama2":
        subjects["lora_patterns"] = adapters.patterned_lora(kind)
    return subjects


def save_adapters(kind, subjects):
    for name, (model, _) in subjects.items():
        if name != "base":
            adapters.save(model, f"{kind.name}/adapter_{name}")


def run(kind, subjects):
    """One pass over all parts, in the precision of the models."""
    batch, data = batches.main(kind), batches.training(kind)
    base, _ = subjects["base"]
    tensors, scalars = forward.base(base, kind, batch)
    scalars = {"kind": kind.name, "virtual_tokens": VIRTUAL, **scalars, "greedy": forward.greedy(base, batch)}
    for name, lr in (("prompt", PROMPT_LR), ("lora", LORA_LR)):
        model, weights = subjects[name]
        more, scalars[name] = method(kind, model, weights, batch, data, lr)
        tensors.update({f"{name}.{key}": value for key, value in more.items()})
    if "lora_patterns" in subjects:
        tensors["lora_patterns.logits"] = logits_of(subjects["lora_patterns"][0], batch)
    return tensors, scalars


def method(kind, model, weights, batch, data, lr):
    """Logits, loss, gradients, greedy text and training of one PEFT model."""
    logits, scalars, gradients = forward.adapted(model, batch, list(weights.values()))
    tensors = {"logits": logits}
    tensors.update({"grad." + name: g for name, g in zip(weights, gradients, strict=True)})
    scalars["greedy"] = forward.greedy(model, batch)
    if "prompt_embeddings" in weights:
        prompt = weights["prompt_embeddings"]
        tensors["prompt_embeddings"] = prompt.detach().clone()
        if kind.name == "gemma2":
            tensors["hf4.logits"] = scaled_prompt(model, prompt, batch)
    with torch.no_grad():
        for name, weight in weights.items():
            if ".lora_B." in name:
                weight.zero_()
    trained, scalars["train"] = train(kind, model, weights, data, lr)
    return {**tensors, **trained}, scalars


def scaled_prompt(model, weight, batch):
    """Logits as transformers 4 gave them: there the model multiplied the soft prompt by sqrt(hidden) too."""
    saved = weight.detach().clone()
    with torch.no_grad():
        weight.mul_(math.sqrt(weight.shape[1]))
        logits = logits_of(model, batch)
        weight.copy_(saved)
    return logits


def logits_of(model, batch):
    with torch.no_grad():
        logits = model(**batch, use_cache=False).logits
    virtual = logits.shape[1] - batch["labels"].shape[1]
    return batches.zero_padding({"": logits[:, virtual:]}, batch["attention_mask"])[""]


def train(kind, model, weights, data, lr):
    """Trains from the present weights under each plan; returns ({"<plan>.final.<name>": tensor}, {plan: log})."""
    plans = {"constant": training.constant(lr)}
    if kind.name == "llama2":
        plans["full"] = training.full(lr)
    start = {name: weight.detach().clone() for name, weight in weights.items()}
    finals, logs = {}, {}
    for plan_name, plan in plans.items():
        with torch.no_grad():
            for name, weight in weights.items():
                weight.copy_(start[name])
        logs[plan_name] = training.run(model, weights, data, plan)
        kept = {name: w for name, w in weights.items() if keep_final(name, kind.detail)}
        finals.update({f"train.{plan_name}.final.{name}": w.detach().clone() for name, w in kept.items()})
    return finals, logs


def keep_final(name, detail):
    """Of the trained LoRA weights, only some layers are stored; the losses check the others."""
    return ".layers." not in name or int(name.split(".layers.")[1].split(".")[0]) in detail


def token_tensors(kind):
    """The batches as int32 tensors: the main one, and train.0 to train.3."""
    named = {"": batches.main(kind)}
    named.update({f"train.{i}.": batch for i, batch in enumerate(batches.training(kind))})
    return {prefix + name: t.to(torch.int32) for prefix, batch in named.items() for name, t in batch.items()}


def check_spellings(kind):
    """Both spellings of config.json must give the same model."""
    batch = batches.main(kind)
    weights = models.load(kind.name).state_dict()
    logits = []
    for fields in (kind.old, kind.new):
        model = models.build(fields).eval()
        model.load_state_dict(weights)
        logits.append(logits_of(model, batch))
    forward.require_close(f"{kind.name}: old and new config", *logits, tolerance=0.0)


def noise(tensors, scalars, exact_tensors, exact_scalars):
    """The largest difference between float32 and float64 per group of values, two digits."""
    groups = {}
    for name in sorted(tensors):
        group = noise_group(name)
        groups[group] = max(groups.get(group, 0.0), precision.distance(tensors[name], exact_tensors[name]))
    groups["loss"] = precision.distance(scalars["loss"], exact_scalars["loss"])
    for method in ("prompt", "lora"):
        groups[method + ".loss"] = precision.distance(scalars[method]["loss"], exact_scalars[method]["loss"])
        for plan, log in scalars[method]["train"].items():
            for series in ("losses", "grad_norms"):
                exact = exact_scalars[method]["train"][plan][series]
                groups[f"{method}.train.{plan}.{series}"] = precision.distance(log[series], exact)
    return {name: float(f"{value:.1e}") for name, value in sorted(groups.items())}


def noise_group(name):
    """Activations by hook, everything else by what stands before the module path."""
    for mark in (".base_model.", ".prompt_embeddings"):
        name = name.split(mark)[0]
    if name.startswith(("blocks.", "grad.blocks.")):
        parts = name.split(".")
        del parts[parts.index("blocks") + 1]
        return ".".join(parts)
    return name


def write(kind):
    """Writes everything of one kind below the working directory."""
    tensors, scalars = collect(kind)
    stored = {name: tensor.contiguous().clone() for name, tensor in sorted(tensors.items())}
    save_file(stored, os.path.join(kind.name, "golden.safetensors"))
    models.write_json(os.path.join(kind.name, "golden.json"), scalars)

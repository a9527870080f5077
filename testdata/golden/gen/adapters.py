"""PEFT adapters with fixed random values, saved by PEFT itself."""

import os

import peft
import torch

from . import model as models
from .kinds import ALPHA, RANK, VIRTUAL

ALL_LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def prompt(kind):
    """A frozen model with a random soft prompt as large as its embeddings; returns (model, {name: tensor})."""
    base = models.load(kind.name)
    config = peft.PromptTuningConfig(
        task_type="CAUSAL_LM", num_virtual_tokens=VIRTUAL, prompt_tuning_init="RANDOM"
    )
    model = peft.get_peft_model(base, config).eval()
    weight = model.prompt_encoder["default"].embedding.weight
    size = base.get_input_embeddings()(torch.arange(3, 13)).std().item()
    draw(weight, kind.seed + 10, size)
    return model, {"prompt_embeddings": weight}


def lora(kind):
    """A frozen model with LoRA on all projections, A as PEFT draws it and B random; returns as above."""
    torch.manual_seed(kind.seed + 20)
    config = peft.LoraConfig(
        task_type="CAUSAL_LM", r=RANK, lora_alpha=ALPHA, lora_dropout=0.0, target_modules=ALL_LINEAR
    )
    model = peft.get_peft_model(models.load(kind.name), config).eval()
    tensors = parameters(model)
    draw_b(tensors, kind.seed + 30)
    return model, tensors


def patterned_lora(kind):
    """rsLoRA with a rank and an alpha of its own for some modules; returns as above."""
    torch.manual_seed(kind.seed + 40)
    config = peft.LoraConfig(
        task_type="CAUSAL_LM", r=RANK, lora_alpha=ALPHA, use_rslora=True, lora_dropout=0.0,
        target_modules=["q_proj", "v_proj", "down_proj"],
        rank_pattern={"q_proj": 2, "model.layers.1.mlp.down_proj": 6},
        alpha_pattern={"v_proj": 3, "layers.2.mlp.down_proj": 16},
    )  # fmt: skip
    model = peft.get_peft_model(models.load(kind.name), config).eval()
    tensors = parameters(model)
    draw_b(tensors, kind.seed + 50)
    return model, tensors


def parameters(model):
    """The trainable tensors under the names that PEFT writes, sorted."""
    named = ((n.replace(".default", ""), p) for n, p in model.named_parameters() if p.requires_grad)
    return dict(sorted(named))


def draw_b(tensors, seed):
    for index, name in enumerate(n for n in tensors if ".lora_B." in n):
        draw(tensors[name], seed * 1000 + index, 0.2)


def draw(weight, seed, std):
    with torch.no_grad():
        weight.copy_(std * torch.randn(weight.shape, generator=torch.Generator().manual_seed(seed)))


def save(model, directory):
    """Saves an adapter as PEFT does, without the model card."""
    model.save_pretrained(directory)
    os.remove(os.path.join(directory, "README.md"))

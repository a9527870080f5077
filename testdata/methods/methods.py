"""Every method as a function that returns (model, trainable tensors by name, learning rate of the training)."""

import peft
import torch

import reference
from gen import model as models

TOKENS = 5
CAUSAL = {"task_type": "CAUSAL_LM"}
LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
IDS = [4, 9, 17, 30]  # of trainable tokens


def virtual(config, lr):
    """A prompt method. Its encoder's tensors have the names of PEFT's module, without the adapter's."""

    def make(kind):
        torch.manual_seed(kind.seed + 60)
        model = peft.get_peft_model(models.load(kind.name), config(**CAUSAL)).eval()
        prefix = "prompt_encoder.default."
        tensors = {n.removeprefix(prefix): p for n, p in model.named_parameters() if p.requires_grad}
        if set(tensors) == {"embedding.weight"} or "prefix_task_cols" in tensors:  # what is stored as it is trained
            tensors["prompt_embeddings"] = tensors.pop("embedding.weight")
        return model, tensors, lr

    return make


def inside(config, lr):
    """A method with parameters in the network, under the names that PEFT writes."""

    def make(kind):
        torch.manual_seed(kind.seed + 61)
        model = peft.get_peft_model(models.load(kind.name), config(**CAUSAL)).eval()
        return model, {stored(n): p for n, p in model.named_parameters() if p.requires_grad}, lr

    return make


def stored(name):
    for gap in (".default", "modules_to_save."):
        name = name.replace(gap, "")
    if name.endswith("lora_magnitude_vector.weight"):
        name = name.removesuffix(".weight")
    return name.replace(".token_adapter.", ".").replace("trainable_tokens_delta.weight", "trainable_tokens_delta")


def lora(lr=5e-3, **fields):
    return inside(lambda **c: peft.LoraConfig(r=4, lora_alpha=8, **{"target_modules": LINEAR, **fields}, **c), lr)


def adaption(kind):
    """PEFT refuses Gemma: there the formula is written out, and elsewhere it must agree."""
    if kind.name != "gemma2":
        config = lambda **c: peft.AdaptionPromptConfig(adapter_len=TOKENS, adapter_layers=2, **c)  # noqa: E731
        made = inside(config, 5e-3)(kind)
        reference.check(kind, TOKENS, 2, made)
        return made
    torch.manual_seed(kind.seed + 61)
    return *reference.adaption(kind, TOKENS, 2), 5e-3


def full(kind):
    model = models.load(kind.name).requires_grad_(True)
    return model, dict(model.named_parameters()), 2e-3


METHODS = {
    "prompt": virtual(lambda **c: peft.PromptTuningConfig(num_virtual_tokens=TOKENS, **c), 3e-2),
    "ptuning-mlp": virtual(
        lambda **c: peft.PromptEncoderConfig(num_virtual_tokens=TOKENS, encoder_hidden_size=12, **c), 1e-2
    ),
    "ptuning-lstm": virtual(
        lambda **c: peft.PromptEncoderConfig(
            num_virtual_tokens=TOKENS, encoder_hidden_size=6, encoder_reparameterization_type="LSTM", **c
        ),
        1e-2,
    ),
    "prefix": virtual(lambda **c: peft.PrefixTuningConfig(num_virtual_tokens=TOKENS, **c), 1e-2),
    "prefix-projected": virtual(
        lambda **c: peft.PrefixTuningConfig(
            num_virtual_tokens=TOKENS, prefix_projection=True, encoder_hidden_size=10, **c
        ),
        1e-2,
    ),
    "mpt": virtual(
        lambda **c: peft.MultitaskPromptTuningConfig(num_virtual_tokens=TOKENS, num_tasks=2, num_ranks=2, **c), 3e-2
    ),
    "adaption": adaption,
    "lora-all": lora(),
    "lora-plus": lora(lr=2e-3),
    "lora-embed": lora(target_modules=["embed_tokens", "q_proj"]),
    "lora-lm-head": lora(target_modules=["lm_head", "v_proj"]),
    "lora-save": lora(target_modules=["q_proj", "v_proj"], modules_to_save=["lm_head"]),
    "lora-save-embed": lora(target_modules=["q_proj"], modules_to_save=["embed_tokens"]),
    "lora-layers": lora(target_modules=["q_proj", "v_proj"], layers_to_transform=[1]),
    "lora-patterns": lora(
        target_modules=r".*\.(q_proj|v_proj|down_proj)", use_rslora=True, exclude_modules=["layers.0.mlp.down_proj"],
        rank_pattern={"q_proj": 2}, alpha_pattern={"layers.2.self_attn.v_proj": 3},
    ),  # fmt: skip
    "dora": lora(target_modules=["q_proj", "v_proj", "down_proj"], use_dora=True),
    "ia3": inside(lambda **c: peft.IA3Config(**c), 1e-2),
    "ln-tuning": inside(lambda **c: peft.LNTuningConfig(**c), 1e-2),
    "tokens": inside(lambda **c: peft.TrainableTokensConfig(token_indices=IDS, **c), 1e-2),
    "full": full,
}

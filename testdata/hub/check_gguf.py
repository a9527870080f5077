"""Logits of GGUF adapters as gguf-py and llama.cpp's converter understand them: see check.py.

The adapter's products are added to the matrices of the HF model. Names are those of gguf-py's table, and q and k of the
llama architecture are brought back from the order that convert_hf_to_gguf.py brings them into (LlamaModel.permute).
"""

import warnings

import check
import gguf
import torch
import transformers

ARCHITECTURES = {"llama": "llama", "mistral": "llama", "gemma": "gemma", "gemma2": "gemma2", "gemma3_text": "gemma3"}


def field(reader, key):
    return reader.fields[key].contents()


def permute(weights, heads):
    """LlamaModel.permute of convert_hf_to_gguf.py, as it stands there."""
    return (
        weights.reshape(heads, 2, weights.shape[0] // heads // 2, *weights.shape[1:])
        .swapaxes(1, 2)
        .reshape(weights.shape)
    )


def restored(delta, heads):
    """permute's inverse."""
    order = permute(torch.arange(delta.shape[0])[:, None], heads)[:, 0]
    out = torch.empty_like(delta)
    out[order] = delta
    return out


def places(model):
    """The model's matrices by the names that they have in GGUF."""
    config = model.config
    arch = next(a for a, name in gguf.MODEL_ARCH_NAMES.items() if name == ARCHITECTURES[config.model_type])
    table = gguf.get_tensor_name_map(arch, config.num_hidden_layers)
    found = {}
    for name, module in model.named_modules():
        if hasattr(module, "weight") and table.get_name(name):  # no lm_head for Gemma
            found[table.get_name(name) + ".weight"] = (name, module)
    return found


def add(model, reader):
    config = model.config
    tensors = {t.name: torch.from_numpy(t.data.copy()) for t in reader.tensors}
    for t in reader.tensors:
        if t.tensor_type != gguf.GGMLQuantizationType.F32 or not t.name.endswith((".lora_a", ".lora_b")):
            raise ValueError(f"{t.name} is {t.tensor_type.name}")
    alpha, known = field(reader, gguf.Keys.Adapter.LORA_ALPHA), places(model)
    for base in sorted({n.rsplit(".", 1)[0] for n in tensors}):
        if base not in known:
            raise ValueError(f"{base} is no matrix of the model")
        name, module = known[base]
        a, b = tensors[base + ".lora_a"], tensors[base + ".lora_b"]
        delta = (a @ b.T if base == "token_embd.weight" else b @ a) * (alpha / b.shape[1])
        if ARCHITECTURES[config.model_type] == "llama" and name.endswith((".q_proj", ".k_proj")):
            delta = restored(delta, config.num_attention_heads if name.endswith(".q_proj") else config.num_key_value_heads)
        module.weight.data += delta


def logits(job):
    model = transformers.AutoModelForCausalLM.from_pretrained(
        job["model"], dtype=torch.float32, attn_implementation="eager", local_files_only=True
    ).eval()
    reader = gguf.GGUFReader(job["adapter"])
    header = [field(reader, k) for k in (gguf.Keys.General.TYPE, gguf.Keys.Adapter.TYPE, gguf.Keys.General.ARCHITECTURE)]
    if header != [gguf.GGUFType.ADAPTER, "lora", ARCHITECTURES[model.config.model_type]]:
        raise ValueError(f"type, adapter type and architecture are {header}")
    add(model, reader)
    for ids in job["ids"]:
        with torch.no_grad():
            yield model(input_ids=torch.tensor([ids])).logits[0]


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    check.run(logits)

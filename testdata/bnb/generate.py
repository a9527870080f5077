"""Makes the tiny 4-bit checkpoints of this directory, and what HF computes with them.

python testdata/bnb/generate.py        (packages: ../requirements.txt)

For nf4, nf4-double and fp4: config.json, model.safetensors as transformers saves it,
and golden.json: the SHA-256 of each packed matrix's float32 values (row-major, little-
endian) as bitsandbytes unpacks them, the token ids, and the logits of every position.
"""

import hashlib
import json
import pathlib
import shutil

import bitsandbytes.functional as bnb
import torch
from transformers import BitsAndBytesConfig, LlamaConfig, LlamaForCausalLM

HERE = pathlib.Path(__file__).parent
KINDS = {
    "nf4": dict(bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=False),
    "nf4-double": dict(bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True),
    "fp4": dict(bnb_4bit_quant_type="fp4", bnb_4bit_use_double_quant=False),
}


def main():
    torch.manual_seed(7)
    config = LlamaConfig(
        vocab_size=61, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=64, tie_word_embeddings=False, dtype="float32",
    )
    plain = LlamaForCausalLM(config)
    for p in plain.parameters():
        if p.ndim == 2:
            torch.nn.init.normal_(p, std=0.2)
    source = HERE / "plain"
    plain.save_pretrained(source)
    for kind, options in KINDS.items():
        make(kind, source, options)
    shutil.rmtree(source)


def make(kind, source, options):
    out = HERE / kind
    quant = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_compute_dtype=torch.float32, **options)
    model = LlamaForCausalLM.from_pretrained(source, quantization_config=quant, dtype=torch.float32, device_map="cpu")
    model.eval()
    model.save_pretrained(out)
    (out / "generation_config.json").unlink(missing_ok=True)
    hashes = {}
    for name, p in model.named_parameters():
        if hasattr(p, "quant_state"):
            w = bnb.dequantize_4bit(p.data, p.quant_state).to(torch.float32).contiguous()
            hashes[name] = hashlib.sha256(w.numpy().tobytes()).hexdigest()
            # matmuls with the unpacked values, whatever kernel bitsandbytes would choose
            parent, _, attribute = name.removesuffix(".weight").rpartition(".")
            linear = torch.nn.Linear(w.shape[1], w.shape[0], bias=False)
            linear.weight.data = w
            setattr(model.get_submodule(parent), attribute, linear)
    ids = [1, 17, 42, 3, 60, 8, 8, 25]
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0]
    golden = {"sha256": hashes, "ids": ids, "logits": logits.flatten().tolist()}
    (out / "golden.json").write_text(json.dumps(golden) + "\n")


main()

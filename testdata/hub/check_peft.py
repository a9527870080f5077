"""Loads a PEFT adapter directory in HF PEFT and writes the logits that it gives.

    python testdata/golden/check_peft.py ADAPTER_DIR MODEL_DIR IDS.json OUT.json

IDS.json: {"input_ids": [[1, 5, 9], [1, 7]]}; rows may differ in length, each runs alone and without padding.
OUT.json: {"logits": [[[...V numbers] per token] per row]}; a soft prompt's own positions are left out.
"""

import json
import os
import sys
import warnings

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read when transformers is imported

import peft
import safetensors
import torch
import transformers


def load(adapter, directory):
    """The model with the adapter, float32 and eager; the file must hold exactly the tensors that PEFT expects."""
    base = transformers.AutoModelForCausalLM.from_pretrained(
        directory, dtype=torch.float32, attn_implementation="eager", local_files_only=True
    )
    model = peft.PeftModel.from_pretrained(base, adapter).eval()
    with safetensors.safe_open(os.path.join(adapter, "adapter_model.safetensors"), "pt") as f:
        saved = set(f.keys())
    expected = set(peft.get_peft_model_state_dict(model, save_embedding_layers=False))
    if saved != expected:
        raise SystemExit(
            f"{adapter}: tensors that PEFT does not find: {sorted(expected - saved)}; "
            f"that it does not know: {sorted(saved - expected)}"
        )
    return model


def logits(model, ids):
    """Logits of one row, [T][V], at the real tokens."""
    with torch.no_grad():
        out = model(input_ids=torch.tensor([ids]), attention_mask=torch.ones(1, len(ids), dtype=torch.long))
    return out.logits[0, -len(ids) :].tolist()


def main(adapter, directory, ids_path, out_path):
    warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated")
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    with open(ids_path, encoding="utf-8") as f:
        rows = json.load(f)["input_ids"]
    model = load(adapter, directory)
    with open(out_path, "w", encoding="utf-8") as f:
        json.dump({"logits": [logits(model, row) for row in rows]}, f)
    print(f"{adapter}: {model.active_peft_config.peft_type.value}, {len(rows)} rows")


if __name__ == "__main__":
    if len(sys.argv) != 5:
        raise SystemExit(__doc__)
    main(*sys.argv[1:])

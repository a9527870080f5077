"""Logits of adapters in HF PEFT: see check.py. The file must hold exactly the tensors that PEFT expects."""

import os
import warnings

import check
import peft
import safetensors
import torch
import transformers


def load(job):
    """The model with the adapter, float32 and eager."""
    base = transformers.AutoModelForCausalLM.from_pretrained(
        job["model"], dtype=torch.float32, attn_implementation="eager", local_files_only=True
    )
    model = peft.PeftModel.from_pretrained(base, job["adapter"]).eval()
    with safetensors.safe_open(os.path.join(job["adapter"], "adapter_model.safetensors"), "pt") as f:
        check.same(f.keys(), peft.get_peft_model_state_dict(model, save_embedding_layers=False))
    return model


def logits(job):
    model = load(job)
    for i, ids in enumerate(job["ids"]):
        more = {"task_ids": torch.tensor([job["tasks"][i]])} if "tasks" in job else {}
        with torch.no_grad():
            out = model(input_ids=torch.tensor([ids]), attention_mask=torch.ones(1, len(ids), dtype=torch.long), **more)
        yield out.logits[0, -len(ids) :]  # without the virtual tokens


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    check.run(logits)

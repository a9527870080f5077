"""Golden values of AdapterHub's methods: python testdata/hub/adapterhub.py, with requirements-adapterhub.txt. See README.md."""

import os
import sys
import warnings

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path[:0] = [HERE, os.path.join(HERE, "..", "golden")]
os.environ.update(HF_HUB_OFFLINE="1", CUDA_VISIBLE_DEVICES="", OMP_NUM_THREADS="1")

import adapters  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402
from gen.kinds import KINDS  # noqa: E402
from safetensors.torch import load_file  # noqa: E402

import tuned  # noqa: E402

NAME = "tuned"
METHODS = {
    "seq_bn": adapters.SeqBnConfig(reduction_factor=8),
    "seq_bn-gelu": adapters.SeqBnConfig(reduction_factor=8, non_linearity="gelu", leave_out=[1]),
    "double_seq_bn": adapters.DoubleSeqBnConfig(reduction_factor=8),
    "par_bn": adapters.ParBnConfig(reduction_factor=8),
    "lora": adapters.LoRAConfig(r=4, alpha=8, intermediate_lora=True, output_lora=True),
    "ia3": adapters.IA3Config(),
}


def load(kind):
    """The tiny model, with the config that transformers 4 understands."""
    config = transformers.AutoConfig.for_model(**kind.old)
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager", torch_dtype=torch.float32)
    weights = load_file(os.path.join(HERE, "..", "golden", kind.name, "model.safetensors"))
    missing = model.load_state_dict({n: w.float() for n, w in weights.items()}, strict=False).missing_keys
    if set(missing) - {"lm_head.weight"}:
        raise ValueError(missing)
    model.tie_weights()
    return model.eval()


def main():
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    for kind in KINDS:
        if kind.name not in ("llama3", "mistral", "gemma2"):
            continue
        for name, config in METHODS.items():
            torch.manual_seed(kind.seed + 70)
            model = load(kind)
            adapters.init(model, **interface(kind))
            try:
                model.add_adapter(NAME, config=config)
            except ValueError as e:
                print(f"{kind.name} {name}: AdapterHub refuses: {e}")
                continue
            model.train_adapter(NAME)
            model.eval()
            weights = {n: p for n, p in model.named_parameters() if p.requires_grad}
            tuned.disturb(kind, weights)
            tuned.write(kind, model, weights, 5e-3, os.path.join(HERE, kind.name, name), save)


def interface(kind):
    """Gemma 2 is a model that AdapterHub hooks into, by an interface that comes with it."""
    if kind.name != "gemma2":
        return {}
    from adapters.wrappers.interfaces import CUSTOM_INTERFACES

    return {"interface": CUSTOM_INTERFACES["gemma2"]}


def save(model, directory):
    model.save_adapter(directory, NAME, with_head=False)
    model.save_adapter(directory, NAME, with_head=False, use_safetensors=True)


if __name__ == "__main__":
    main()

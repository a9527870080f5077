"""Golden values of litgpt's adapters: python testdata/hub/litgpt_golden.py, with requirements-litgpt.txt. See README.md."""

import os
import pathlib
import sys
import warnings

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path[:0] = [HERE, os.path.join(HERE, "..", "golden")]
os.environ.update(HF_HUB_OFFLINE="1", CUDA_VISIBLE_DEVICES="", OMP_NUM_THREADS="1")

import torch  # noqa: E402
import yaml  # noqa: E402
from gen.kinds import KINDS  # noqa: E402
from litgpt import adapter, adapter_v2, config as configs, lora  # noqa: E402
from litgpt.utils import save_config  # noqa: E402
from safetensors.torch import load_file  # noqa: E402

import tuned  # noqa: E402

PROJECTIONS = {
    "attn.proj": "self_attn.o_proj", "mlp.fc_1": "mlp.gate_proj", "mlp.fc_2": "mlp.up_proj", "mlp.proj": "mlp.down_proj",
    "norm_1": "input_layernorm",
}  # fmt: skip


def fields(kind):
    """litgpt's Config of a tiny model."""
    hf = kind.old
    heads = hf["num_attention_heads"]
    gemma = kind.name.startswith("gemma")
    f = dict(
        name=kind.name.capitalize(), block_size=256, padded_vocab_size=hf["vocab_size"], vocab_size=hf["vocab_size"], n_layer=3, n_head=heads,
        n_embd=hf["hidden_size"], n_query_groups=hf["num_key_value_heads"], head_size=hf.get("head_dim", hf["hidden_size"] // heads),
        rotary_percentage=1.0, parallel_residual=False, bias=False, norm_class_name="RMSNorm", norm_eps=hf["rms_norm_eps"],
        mlp_class_name="GemmaMLP" if gemma else "LLaMAMLP", intermediate_size=hf["intermediate_size"], rope_base=hf["rope_theta"],
        scale_embeddings=gemma, gelu_approximate="tanh",
    )  # fmt: skip
    if kind.name == "llama3":
        s = hf["rope_scaling"]
        f["rope_adjustments"] = dict(
            factor=s["factor"], low_freq_factor=s["low_freq_factor"], high_freq_factor=s["high_freq_factor"],
            original_max_seq_len=s["original_max_position_embeddings"],
        )  # fmt: skip
    if kind.name == "mistral":
        f |= dict(sliding_window_size=hf["sliding_window"], sliding_window_indices=[1, 1, 1])
    if kind.name == "gemma2":
        f |= dict(
            sliding_window_size=hf["sliding_window"], sliding_window_indices=[1, 0, 1], post_attention_norm=True, post_mlp_norm=True,
            attention_scores_scalar=hf["query_pre_attn_scalar"], attention_logit_softcapping=hf["attn_logit_softcapping"],
            final_logit_softcapping=hf["final_logit_softcapping"],
        )  # fmt: skip
    return f


def weights(kind):
    """The tiny model's weights under litgpt's names."""
    directory = os.path.join(HERE, "..", "golden", kind.name)
    hf = {n: w.float() for n, w in load_file(os.path.join(directory, "model.safetensors")).items()}
    out = {"transformer.wte.weight": hf["model.embed_tokens.weight"], "transformer.ln_f.weight": hf["model.norm.weight"]}
    out["lm_head.weight"] = hf.get("lm_head.weight", hf["model.embed_tokens.weight"])
    for i in range(3):
        here, there = f"transformer.h.{i}.", f"model.layers.{i}."
        out[here + "attn.qkv.weight"] = torch.cat([hf[f"{there}self_attn.{p}_proj.weight"] for p in "qkv"])
        for ours, theirs in PROJECTIONS.items():
            out[f"{here}{ours}.weight"] = hf[f"{there}{theirs}.weight"]
        if kind.name == "gemma2":
            names = {"norm_2": "pre_feedforward_layernorm", "post_attention_norm": "post_attention_layernorm", "post_mlp_norm": "post_feedforward_layernorm"}
        else:
            names = {"norm_2": "post_attention_layernorm"}
        for ours, theirs in names.items():
            out[f"{here}{ours}.weight"] = hf[f"{there}{theirs}.weight"]
    return out


def attention(self, q, k, v, mask=None):
    """scaled_dot_product_attention of the adapters, with queries, keys and values split as litgpt's own attention does.
    litgpt 0.5.13 reads them group by group, which is the order of older versions, and so mixes them up where there is
    more than one key head."""
    y = adapter.BaseCausalSelfAttention.scaled_dot_product_attention(self, q, k, v, mask)
    if self.block_idx < self.config.adapter_start_layer:
        return y
    c, n = self.config, self.config.adapter_prompt_length
    keys = c.n_query_groups * c.head_size
    _, ak, av = self.qkv(self.adapter_wte.weight[None]).split((c.n_head * c.head_size, keys, keys), dim=-1)
    split = lambda x: x.view(1, n, -1, c.head_size).transpose(1, 2).repeat_interleave(c.n_head // c.n_query_groups, dim=1)  # noqa: E731
    mask = torch.ones(q.size(2), n, dtype=torch.bool)
    extra = adapter.BaseCausalSelfAttention.scaled_dot_product_attention(self, q, split(ak), split(av), mask)
    return y + self.gating_factor * extra


def made(kind, library, more):
    config = library.Config(**fields(kind), **more)
    model = library.GPT(config)
    model.load_state_dict(weights(kind), strict=False)
    return model.eval()


def logits(model):
    return lambda batch: model(batch["input_ids"])


def check(kind, model):
    """The bare model must be the same in litgpt."""
    golden = load_file(os.path.join(HERE, "..", "golden", kind.name, "golden.safetensors"))
    with torch.no_grad():
        got = model(golden["input_ids"].long()) * golden["attention_mask"][..., None]
    difference = (got - golden["logits"]).abs().max().item()
    if not difference < 1e-4:
        raise ValueError(f"{kind.name}: litgpt's logits differ by {difference}")


LORA = dict(lora_r=4, lora_alpha=8, lora_dropout=0.0)
ALL = dict(lora_query=True, lora_key=True, lora_value=True, lora_projection=True, lora_mlp=True, lora_head=True)
QV = dict(lora_query=True, lora_value=True)
ADAPTER = dict(adapter_prompt_length=5, adapter_start_layer=1)
METHODS = {
    "litgpt-lora": (lora, LORA | ALL, "lora", lora.lora_filter),
    "litgpt-lora-qv": (lora, LORA | QV, "lora", lora.lora_filter),
    "litgpt-adapter": (adapter, ADAPTER, "adapter", adapter.adapter_filter),
    "litgpt-adapter-v2": (adapter_v2, ADAPTER, "adapter_v2", adapter_v2.adapter_filter),
}


def main():
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    original = adapter.CausalSelfAttention.scaled_dot_product_attention
    for kind in KINDS:
        if kind.name not in ("llama3", "mistral", "gemma", "gemma2"):
            continue
        for name, (library, more, kept, trained) in METHODS.items():
            adapter.CausalSelfAttention.scaled_dot_product_attention = attention
            torch.manual_seed(kind.seed + 80)
            model = made(kind, library, more)
            if not name.startswith("litgpt-lora"):
                check(kind, model)
            parameters = {n: p for n, p in model.named_parameters() if trained(n, p)}
            for n, p in model.named_parameters():
                p.requires_grad = n in parameters
            tuned.disturb(kind, parameters)
            if kind.name == "gemma":
                compare(kind, model, original)
            tuned.write(kind, model, parameters, 2e-3, os.path.join(HERE, kind.name, name), saver(more, kept, trained), logits=logits(model))


def compare(kind, model, original):
    """On a model with one key head both ways to split must agree."""
    if not any("gating_factor" in n for n, _ in model.named_parameters()):
        return
    ids, out = torch.arange(3, 15)[None], []
    for way in (original, attention):
        adapter.CausalSelfAttention.scaled_dot_product_attention = way
        with torch.no_grad():
            out.append(model(ids))
    if not torch.allclose(*out, atol=1e-5):
        raise ValueError("the two ways to split differ")


def saver(more, kept, trained):
    def save(model, directory):
        state = {n: p.detach() for n, p in model.state_dict().items() if trained(n, p)}
        torch.save({"model": state}, os.path.join(directory, f"lit_model.pth.{kept}"))
        save_config(model.config, pathlib.Path(directory))
        with open(os.path.join(directory, "hyperparameters.yaml"), "w", encoding="utf-8") as f:
            yaml.dump(more, f)

    return save


if __name__ == "__main__":
    main()

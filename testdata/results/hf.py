"""One run with HF PEFT, AdapterHub or plain torch: python testdata/results/hf.py TASK data|untuned|METHOD. See README.md.

Writes the initial adapter to OUT/TASK/METHOD/init, for gpupeft to start from, and the figures to hf.json beside it.
"""

import collections
import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.append(os.path.join(HERE, "..", "smollm2"))

import torch  # noqa: E402
import transformers  # noqa: E402

import training  # noqa: E402
from settings import ALPHA, DATA, HIDDEN, LENGTH, METHODS, RANK, TARGETS, TASKS, TOKENS, VECTORS  # noqa: E402

NAME = "tuned"  # AdapterHub's name of the adapter


def read(path):
    with open(path, encoding="utf-8") as f:
        return json.load(f)


def write(path, value):
    with open(path, "w", encoding="utf-8") as f:
        json.dump(value, f)


def model(task):
    """The model in float32, with fused attention. transformers 4 looks elsewhere for the base of the rotary angles."""
    config = transformers.AutoConfig.from_pretrained(task.model)
    if transformers.__version__.startswith("4."):
        fields = read(os.path.join(task.model, "config.json"))
        config.rope_theta = fields.get("rope_parameters", fields)["rope_theta"]
    m = transformers.AutoModelForCausalLM.from_pretrained(task.model, config=config, dtype=torch.float32, attn_implementation="sdpa")
    return m.to(training.DEVICE)


# Data.


def sst2_rows(task):
    """The rows of sst2.py, the first of them to train on, and every so many to test on. Also in words, as gpupeft takes them."""
    import reference
    import sst2

    os.makedirs(sst2.OUT, exist_ok=True)
    sst2.write_data()
    t, out = reference.tokenizer(task.model), {}
    for name in ("train", "test"):
        with open(sst2.path(name + ".jsonl"), encoding="utf-8") as f:
            texts = [json.loads(line) for line in f]
        if name == "train":
            texts = texts[: task.steps * task.batch]
        else:
            texts = sorted(texts[:: len(texts) // task.test_rows], key=lambda row: len(sst2.encode(t, row)[0]))
        out[name] = [sst2.encode(t, row) for row in texts], texts
    return out


def stories_rows(task):
    """Blocks of the text: training from its start, the test from the last tenth. The first token has no loss."""
    with open(DATA + "/data/tinyshakespeare.txt", encoding="utf-8") as f:
        text = f.read()
    t, cut, out = transformers.AutoTokenizer.from_pretrained(task.model), len(text) * 9 // 10, {}
    for name, part, count in (("train", text[:cut], task.steps * task.batch), ("test", text[cut:], task.test_rows)):
        ids = t.encode(part, add_special_tokens=False)
        rows = [(ids[i : i + LENGTH], 1) for i in range(0, len(ids) - LENGTH + 1, LENGTH)]
        rows = [rows[i % len(rows)] for i in range(count)]
        out[name] = rows, [{"input_ids": r, "labels": [training.MASKED] * n + r[n:]} for r, n in rows]
    return out


def write_data(task):
    os.makedirs(task.path(), exist_ok=True)
    made = (sst2_rows if task.classes else stories_rows)(task)
    for name, (rows, texts) in made.items():
        with open(task.path(name + ".jsonl"), "w", encoding="utf-8") as f:
            f.writelines(json.dumps(row) + "\n" for row in texts)
        write(task.path(name + ".json"), rows)
    frequent = collections.Counter(i for ids, _ in made["train"][0] for i in ids).most_common(TOKENS)
    write(task.path("frequent.json"), sorted(i for i, _ in frequent))


# Methods.


def peft_config(task, name):
    import peft

    prompt = dict(num_virtual_tokens=TOKENS)
    text = dict(prompt_tuning_init="TEXT", prompt_tuning_init_text=task.init_text, tokenizer_name_or_path=task.model)
    lora = dict(r=RANK, lora_alpha=ALPHA, target_modules=TARGETS)
    encoder = dict(encoder_hidden_size=HIDDEN)
    kind, fields = {
        "prompt": (peft.PromptTuningConfig, prompt | text),
        "ptuning": (peft.PromptEncoderConfig, prompt | encoder),
        "ptuning-lstm": (peft.PromptEncoderConfig, prompt | encoder | dict(encoder_reparameterization_type="LSTM")),
        "prefix": (peft.PrefixTuningConfig, prompt | dict(init_weights="zero")),
        "prefix-text": (peft.PrefixTuningConfig, prompt),
        "mpt": (peft.MultitaskPromptTuningConfig, prompt | text | dict(num_tasks=1, num_ranks=1)),
        "lora": (peft.LoraConfig, lora),
        "rslora": (peft.LoraConfig, lora | dict(use_rslora=True)),
        "dora": (peft.LoraConfig, lora | dict(use_dora=True)),
        "ia3": (peft.IA3Config, {}),
        "llama-adapter": (peft.AdaptionPromptConfig, dict(adapter_len=VECTORS)),
        "ln-tuning": (peft.LNTuningConfig, {}),
        "tokens": (peft.TrainableTokensConfig, dict(token_indices=read(task.path("frequent.json")) if name == "tokens" else [])),
    }[name]
    return kind(task_type="CAUSAL_LM", **fields)


def with_peft(task, name):
    import peft

    base = model(task)
    config = peft_config(task, name)
    if name == "llama-adapter":
        config.adapter_layers = base.config.num_hidden_layers - 2
    m = peft.get_peft_model(base, config)
    if name == "prefix-text":
        start_from_keys(m, task)
    return m, m.save_pretrained


@torch.no_grad()
def start_from_keys(m, task):
    from peft.tuners.cartridge.utils import initialize_kv_prefix_from_past_key_values

    ids = transformers.AutoTokenizer.from_pretrained(task.model).encode(task.init_text, add_special_tokens=False)
    ids = torch.tensor([(ids * TOKENS)[:TOKENS]], device=training.DEVICE)
    with m.disable_adapter():
        cache = m(input_ids=ids, use_cache=True).past_key_values
    initialize_kv_prefix_from_past_key_values(m, past_key_values=cache)


def with_adapterhub(task, name):
    import adapters

    m = model(task)
    adapters.init(m)
    m.add_adapter(NAME, config=name.replace("-", "_"))
    m.train_adapter(NAME)
    return m, lambda directory: m.save_adapter(directory, NAME, with_head=False, use_safetensors=True)


def with_torch(task, _):
    return model(task), lambda directory: None


MAKERS = {"peft": with_peft, "adapterhub": with_adapterhub, "torch": with_torch}


def tune(task, name):
    torch.manual_seed(0)
    method = METHODS[name]
    m, save = MAKERS[method.library](task, name)
    save(task.path(name, "init"))
    more = (lambda rows: {"task_ids": torch.zeros(len(rows), dtype=torch.long, device=training.DEVICE)}) if name == "mpt" else (lambda rows: {})
    m = m.to(training.DEVICE)
    result = training.train(m.train(), read(task.path("train.json")), method.lr[task.name], task.steps, task.batch, task.pad, more)
    return result | training.measure(m.eval(), read(task.path("test.json")), task.batch, task.pad, more)


def untuned(task):
    return training.measure(model(task).eval(), read(task.path("test.json")), task.batch, task.pad)


def main(task, what):
    if what == "data":
        return write_data(task)
    os.makedirs(task.path(what), exist_ok=True)
    result = untuned(task) if what == "untuned" else tune(task, what)
    versions = {"torch": torch.__version__.split("+")[0], "transformers": transformers.__version__}
    write(task.path(what, "hf.json"), result | {"versions": versions})


if __name__ == "__main__":
    main(TASKS[sys.argv[1]], sys.argv[2])

"""The tokens and the loss masks that TRL's SFTTrainer makes of prompt/completion rows
(completion_only_loss, its default for them), with several of testdata/tokenizers.

    python -m venv out/trl && out/trl/bin/pip install -r testdata/requirements.txt -r testdata/trl/requirements.txt
    out/trl/bin/python testdata/trl/generate.py
"""

import json
import pathlib
import tempfile

from datasets import Dataset
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from trl import SFTConfig, SFTTrainer

HERE = pathlib.Path(__file__).parent
TOKENIZERS = {  # directory: (bos, eos)
    "llama2-legacy": ("<s>", "</s>"),
    "llama3-bos": ("<|begin_of_text|>", "<|end_of_text|>"),
    "mistral-v3": ("<s>", "</s>"),
    "gemma": ("<bos>", "<eos>"),
    "smollm2": (None, "<|endoftext|>"),
}
ROWS = [
    ("Review: it was warm.\nVerdict:", " good"),
    ("Review: it was cold and wet.\nVerdict:", " bad"),
    ("Q: why?\nA:", " because"),
    ("Q: why?\nA: ", "because"),
    ("one", " two three"),
    ("Translate: naïve café →", " 東京 🎈"),
    ("def f(x):\n", "    return x + 1\n"),
    ("new line\n", "here"),
    ("a", "b"),
    ("ends in space ", " and begins with one"),
    ("", "alone"),
    ("numbers 12", "34"),
    ("tab\t", "tab"),
    ("text with </s> inside", " and <s> too"),
    ("Label:", " positive"),
    ("### Instruction:\nSay hello.\n\n### Response:\n", "Hello!"),
    ("long " * 20, "answer " * 10),
]


def masks(directory, bos, eos):
    tok = PreTrainedTokenizerFast(tokenizer_file=str(HERE.parent / "tokenizers" / directory / "tokenizer.json"), bos_token=bos, eos_token=eos, pad_token=eos)
    model = LlamaForCausalLM(LlamaConfig(vocab_size=len(tok), hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1))
    with tempfile.TemporaryDirectory() as out:
        trainer = SFTTrainer(
            model=model,
            args=SFTConfig(output_dir=out, report_to=[], max_length=None, use_cpu=True, bf16=False),
            train_dataset=Dataset.from_list([{"prompt": p, "completion": c} for p, c in ROWS]),
            processing_class=tok,
        )
        batch = trainer.data_collator([dict(r) for r in trainer.train_dataset])
        rows = []
        for i, (prompt, _) in enumerate(ROWS):
            ids = list(trainer.train_dataset[i]["input_ids"])
            labels = batch["labels"][i].tolist()[: len(ids)]
            alone = tok(prompt)["input_ids"]
            rows.append({"input_ids": ids, "labels": labels, "clean": ids[: len(alone)] == alone})
    return rows


result = {"rows": [{"prompt": p, "completion": c} for p, c in ROWS], "masks": {d: masks(d, *t) for d, t in TOKENIZERS.items()}}
(HERE / "golden.json").write_text(json.dumps(result, ensure_ascii=False, separators=(",", ":")) + "\n")
print({d: sum(r["clean"] for r in rows) for d, rows in result["masks"].items()})

"""Writes golden.json.gz beside this file: python testdata/smollm2/golden.py. See README.md for what it holds."""

import gzip
import json
import os

import torch

import reference

GGUF = "out/smollm2/model.gguf"
TARGET = os.path.join(os.path.dirname(__file__), "golden.json.gz")

NEW_TOKENS = 32
# Another float32 implementation is off by some 1e-4 in a logit: a closer decision could go the other way there.
MIN_MARGIN = 2e-3

VOCAB_STEP = 97

PERPLEXITY_CHARACTERS = 50_000
PERPLEXITY_WINDOW = 512

CHATS = [
    [{"role": "user", "content": "What is the capital of France?"}],
    [{"role": "user", "content": "Name three fruits that are red."}],
    [{"role": "user", "content": "How much is 12 + 30?"}],
    [{"role": "user", "content": "Write a Python function that adds two numbers."}],
    [{"role": "user", "content": "What do bees make?"}],
    [
        {"role": "system", "content": "You answer with a single word."},
        {"role": "user", "content": "Which animal barks?"},
    ],
    [
        {"role": "user", "content": "My name is Hugo."},
        {"role": "assistant", "content": "Nice to meet you, Hugo!"},
        {"role": "user", "content": "What is my name?"},
    ],
    [{"role": "user", "content": "Correct the spelling:\n\n  I has two aple's , and 1 bananna."}],
    [{"role": "user", "content": "Was heißt „Guten Morgen“ auf Englisch?"}],
    [{"role": "user", "content": "🙂🙃 What do these two signs mean?"}],
]
TEXTS = [
    "Once upon a time, in a village by the sea,",
    "The three primary colours are",
    "When Mary and John went to the store, John gave a drink to",
    "1, 2, 3, 4, 5, 6,",
    "def fibonacci(n):\n    ",
    "Q: What is 7 times 8?\nA:",
    "In 1969, the first human being to walk on the Moon was",
    "The quick brown fox",
    "import numpy as np\n\nx = np.array([1.5, 22, 3333])\n",
    "Dear Sir or Madam,\n\nI am writing to",
]
LOGIT_TEXTS = [
    "The lighthouse keeper counted the ships again: two trawlers, one ferry, and a small white boat that nobody had seen before.",
    "for i in range(10):\n    total += prices[i] * 1.19\nprint(f\"sum: {total:.2f}\")",
    "<|im_start|>user\nIs the Earth flat?<|im_end|>\n<|im_start|>assistant\nNo, the Earth is round",
]


def greedy(m, ids):
    """The most likely continuation, and the smallest lead that a token of it had on the next best one."""
    out = m.generate(
        torch.tensor([ids]),
        attention_mask=torch.ones(1, len(ids), dtype=torch.long),
        max_new_tokens=NEW_TOKENS,
        do_sample=False,
        return_dict_in_generate=True,
        output_logits=True,
    )
    best = torch.cat(out.logits).topk(2).values
    return out.sequences[0, len(ids) :].tolist(), (best[:, 0] - best[:, 1]).min().item()


def continuations(t, m):
    prompts = [(chat, t.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)) for chat in CHATS]
    prompts += [(None, text) for text in TEXTS]
    rows = []
    for chat, text in prompts:
        ids = t.encode(text, add_special_tokens=False)
        new, margin = greedy(m, ids)
        print(f"{margin:.4f} {t.decode(new)!r}", flush=True)
        if margin < MIN_MARGIN:
            raise ValueError(f"{text!r}: two tokens are too close to tell apart: choose another prompt")
        row = {"text": text, "ids": ids, "new": new, "new_text": t.decode(new), "min_margin": rounded(margin)}
        rows.append({"chat": chat, **row} if chat else row)
    return rows


def rounded(x):
    return float(f"{x:.7g}")


def logits(t, m):
    rows = []
    for text in LOGIT_TEXTS:
        ids = t.encode(text, add_special_tokens=False)
        out = m(torch.tensor([ids])).logits[0]
        best = out.topk(2)
        print(len(ids), "tokens", flush=True)
        rows.append(
            {
                "text": text,
                "ids": ids,
                "top": best.indices[:, 0].tolist(),
                "margins": [rounded(a - b) for a, b in best.values.tolist()],
                "logsumexp": [rounded(x) for x in out.double().logsumexp(-1).tolist()],
                "logits": [[rounded(x) for x in row] for row in out[:, ::VOCAB_STEP].tolist()],
            }
        )
    return rows


def perplexity(t, m):
    file = "wikitext2/test.txt"
    with open(os.path.join(reference.DATA, file), encoding="utf-8", newline="") as f:
        text = f.read(PERPLEXITY_CHARACTERS)
    ids = t.encode(text, add_special_tokens=False)
    sums = []
    for start in range(0, len(ids) - 1, PERPLEXITY_WINDOW):
        window = torch.tensor(ids[start : start + PERPLEXITY_WINDOW])
        scores = m(window[None]).logits[0, :-1].double().log_softmax(-1)
        sums.append(-scores.gather(1, window[1:, None]).sum().item())
        print(f"window {len(sums)}: {sums[-1]:.4f}", flush=True)
    targets = len(ids) - len(sums)
    return {
        "file": file,
        "characters": len(text),
        "text_sha256": reference.sha256(text.encode()),
        "tokens": len(ids),
        "ids_sha256": reference.sha256(torch.tensor(ids, dtype=torch.int32).numpy().astype("<i4").tobytes()),
        "window": PERPLEXITY_WINDOW,
        "window_nll": [round(x, 6) for x in sums],
        "targets": targets,
        "mean_nll": sum(sums) / targets,
        "perplexity": torch.tensor(sum(sums) / targets, dtype=torch.float64).exp().item(),
    }


@torch.inference_mode()
def main():
    t, m = reference.tokenizer(), reference.model()
    with open(GGUF, "rb") as f:
        golden = {"versions": reference.VERSIONS, "gguf_sha256": reference.sha256(f.read())}
    golden["greedy"] = continuations(t, m)
    golden["vocab_step"] = VOCAB_STEP
    golden["logits"] = logits(t, m)
    golden["perplexity"] = perplexity(t, m)
    with open(TARGET, "wb") as f:
        f.write(gzip.compress(json.dumps(golden, ensure_ascii=False).encode(), 9, mtime=0))
    print({k: v for k, v in golden["perplexity"].items() if k != "window_nll"}, os.path.getsize(TARGET), "bytes")


if __name__ == "__main__":
    main()

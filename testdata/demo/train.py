"""Trains the demo tokenizer and the demo model from scratch on the CPU.

    python train.py CORPUS_DIR MODEL_DIR [--steps N] [--threads N]

Writes a Hugging Face model directory: a byte-fallback BPE tokenizer in the
manner of Llama 2 and a Llama of 1,058,176 parameters stored in float16. The
first steps read the primer, the rest the corpus (see corpus.py).
A checkpoint is written every few minutes, so the run may be stopped early.
"""

import argparse
import json
import math
import pathlib
import time

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from tokenizers import processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM

from corpus import SEPARATOR
from grammar import plain

VOCABULARY = 1536
CONTEXT = 256
SPECIAL = ("<unk>", "<s>", "</s>")
BOS, EOS = 1, 2
INFERRED = 5.0  # weight of a token inside <...>, see grammar.py
OPEN_ROWS = 64
BATCH = 16
PRIMER_STEPS = 500
WARMUP = 100
MATRIX_RATE = 0.02  # Muon, for the blocks' matrices
VECTOR_RATE = 3e-3  # AdamW, for the embedding and the norms
SEED = 7

CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": VOCABULARY,
    "hidden_size": 128,
    "intermediate_size": 320,
    "num_hidden_layers": 5,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": CONTEXT,
    "rope_theta": 10000.0,
    "rms_norm_eps": 1e-05,
    "hidden_act": "silu",
    "attention_bias": False,
    "mlp_bias": False,
    "tie_word_embeddings": True,
    "bos_token_id": BOS,
    "eos_token_id": EOS,
    "torch_dtype": "float16",
}


def train_tokenizer(texts):
    """Learns the merges on words, then runs without splitting, as Llama 2 does."""
    pieces = Tokenizer(models.BPE())
    pieces.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split("\n", "removed"),  # a newline stays a byte token
        pre_tokenizers.Metaspace(prepend_scheme="first", split=True),
        pre_tokenizers.Punctuation("isolated"),
        pre_tokenizers.Digits(individual_digits=True),
    ])
    bytes_ = [f"<0x{b:02X}>" for b in range(256)]
    alphabet = [chr(c) for c in range(33, 127)] + ["▁"]
    pieces.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=[*SPECIAL, *bytes_],
        initial_alphabet=alphabet, show_progress=False))
    learnt = json.loads(pieces.to_str())["model"]
    merges = [tuple(m) if isinstance(m, list) else tuple(m.split(" ")) for m in learnt["merges"]]

    tokenizer = Tokenizer(models.BPE(
        learnt["vocab"], merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.add_special_tokens(list(SPECIAL))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s>:1 $B:1", special_tokens=[("<s>", BOS)])
    tokenizer.decoder = decoders.Sequence([
        decoders.Replace("▁", " "), decoders.ByteFallback(),
        decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    return tokenizer


def weights_of(text, offsets):
    """The weight of each token, from the <...> signs of the marked text."""
    inside, weight = [], 1.0
    for character in text:
        if character in "<>":
            weight = INFERRED if character == "<" else 1.0
        else:
            inside.append(weight)
    return [inside[end - 1] if end > start else 1.0 for start, end in offsets]


def pack(tokenizer, texts):
    """Packs whole documents, `<s> ... </s>`, into rows of CONTEXT tokens.

    Each document goes into the fullest open row that still has room for it.
    Returns the tokens and their weights in the loss, both [rows, CONTEXT].
    """
    rows, open_rows = [], []
    encodings = tokenizer.encode_batch([plain(text) for text in texts])
    for text, encoding in zip(texts, encodings):
        pairs = list(zip(encoding.ids, weights_of(text, encoding.offsets)))
        pairs = pairs[: CONTEXT - 1] + [(EOS, 1.0)]
        fitting = [r for r in open_rows if len(r) + len(pairs) <= CONTEXT]
        if fitting:
            max(fitting, key=len).extend(pairs)
            continue
        if len(open_rows) == OPEN_ROWS:
            fullest = max(open_rows, key=len)
            open_rows.remove(fullest)
            rows.append(fullest)
        open_rows.append(pairs)
    rows += open_rows
    inputs = torch.full((len(rows), CONTEXT), EOS)
    weights = torch.zeros(len(rows), CONTEXT)
    for i, row in enumerate(rows):
        ids, weight = zip(*row)
        inputs[i, : len(row)] = torch.tensor(ids)
        weights[i, : len(row)] = torch.tensor(weight)
    return inputs, weights


def loss_of(model, inputs, weights):
    """Weighted mean of the cross entropy per token, natural logarithm."""
    logits = model(input_ids=inputs, use_cache=False).logits  # [B, T, V]
    losses = torch.nn.functional.cross_entropy(
        logits[:, :-1].flatten(0, 1).float(), inputs[:, 1:].flatten(), reduction="none")
    weights = weights[:, 1:].flatten()
    return (losses * weights).sum() / weights.sum()


@torch.no_grad()
def validate(model, inputs, weights):
    """Mean loss over the validation rows: of all tokens alike, of the inferred ones."""
    model.eval()
    totals = []
    for select in (weights > 0, weights == INFERRED):
        losses = [loss_of(model, inputs[i: i + BATCH], select[i: i + BATCH].float())
                  for i in range(0, len(inputs), BATCH)]
        totals.append(round(torch.stack(losses).mean().item(), 4))
    model.train()
    return totals


def save(model, tokenizer, out, facts):
    """Writes the model directory; tied embeddings are stored once, in float16."""
    out.mkdir(parents=True, exist_ok=True)

    def write(name, value):
        (out / name).write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")

    write("config.json", CONFIG)
    write("generation_config.json", {"bos_token_id": BOS, "eos_token_id": EOS})
    write("tokenizer_config.json", {
        "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>",
        "eos_token": "</s>", "unk_token": "<unk>", "model_max_length": CONTEXT,
        "add_bos_token": True, "add_eos_token": False,
        "clean_up_tokenization_spaces": False})
    write("training.json", facts)
    tokenizer.save(str(out / "tokenizer.json"), pretty=False)
    weights = {name: value.detach().to(torch.float16).contiguous()
               for name, value in model.state_dict().items() if name != "lm_head.weight"}
    save_file(weights, out / "model.safetensors", metadata={"format": "pt"})


@torch.no_grad()
def initialise(model):
    """Small outputs of every block, so that a token's own embedding prevails at first."""
    for name, weight in model.named_parameters():
        if "embed_tokens" in name:
            weight.normal_(0.0, 0.1)
        elif "o_proj" in name or "down_proj" in name:
            weight.normal_(0.0, 0.015)
        elif weight.dim() == 2:
            weight.normal_(0.0, 0.05)


def rate(step, steps):
    """Share of the peak rate: linear warm-up, then a cosine down to a hundredth."""
    if step < WARMUP:
        return (step + 1) / WARMUP
    done = (step - WARMUP) / max(1, steps - WARMUP)
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def optimizers(model):
    """Muon for the matrices of the blocks, AdamW for everything else."""
    named = list(model.named_parameters())
    matrices = [p for n, p in named if p.dim() == 2 and "embed_tokens" not in n]
    rest = [p for n, p in named if p.dim() != 2 or "embed_tokens" in n]
    return (
        (torch.optim.Muon(matrices, lr=MATRIX_RATE, weight_decay=0.01,
                          adjust_lr_fn="original"), MATRIX_RATE),
        (torch.optim.AdamW(rest, lr=VECTOR_RATE, weight_decay=0.0,
                           betas=(0.9, 0.98)), VECTOR_RATE),
    )


def batches(rows, order):
    """Index batches over shuffled rows, epoch after epoch."""
    while True:
        shuffled = torch.randperm(rows, generator=order)
        yield from shuffled[: rows - rows % BATCH].split(BATCH)


def train(model, primer, main_rows, valid, steps, checkpoint):
    """Runs the schedule; calls checkpoint(step, *validation losses) now and then."""
    order = torch.Generator().manual_seed(SEED)
    phases = [(data, batches(len(data[0]), order)) for data in (primer, main_rows)]
    tuned = optimizers(model)
    started, seen = time.time(), 0.0
    for step in range(steps):
        (inputs, weights), source = phases[step >= PRIMER_STEPS]
        rows = next(source)
        with torch.autocast("cpu", torch.bfloat16):
            loss = loss_of(model, inputs[rows], weights[rows])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer, peak in tuned:
            optimizer.param_groups[0]["lr"] = peak * rate(step, steps)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        seen = loss.item() if step == 0 else 0.98 * seen + 0.02 * loss.item()
        if step % 50 == 0:
            print(f"step {step}/{steps} loss {seen:.4f} {time.time() - started:.0f} s", flush=True)
        if step % 200 == 199 or step == steps - 1:
            checkpoint(step + 1, *validate(model, *valid))


def main():
    """Trains and writes the model directory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--steps", type=int, default=2800)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.manual_seed(SEED)
    torch.set_num_threads(args.threads)

    primer, texts = ((args.corpus / name).read_text(encoding="utf-8").split(SEPARATOR)
                     for name in ("primer.txt", "corpus.txt"))
    tokenizer = train_tokenizer([plain(text) for text in texts])
    held_out = len(texts) // 50
    main_rows = pack(tokenizer, texts[held_out:])
    valid = pack(tokenizer, texts[:held_out])
    model = LlamaForCausalLM(LlamaConfig(**CONFIG)).float()
    initialise(model)
    facts = {
        "parameters": sum(p.numel() for p in model.parameters()),
        "documents": len(texts) - held_out, "held_out_documents": held_out,
        "primer_documents": len(primer), "tokens": int((main_rows[1] > 0).sum()),
        "seed": SEED, "batch_rows": BATCH, "row_tokens": CONTEXT,
        "primer_steps": PRIMER_STEPS, "steps": args.steps,
    }
    print(json.dumps(facts), flush=True)
    started = time.time()

    def checkpoint(step, loss, inferred):
        facts.update(steps_done=step, validation_loss=loss,
                     validation_loss_inferred=inferred,
                     minutes=round((time.time() - started) / 60, 1))
        print(f"step {step} validation loss {loss}, inferred {inferred}", flush=True)
        save(model, tokenizer, args.out, facts)

    train(model, pack(tokenizer, primer), main_rows, valid, args.steps, checkpoint)


if __name__ == "__main__":
    main()

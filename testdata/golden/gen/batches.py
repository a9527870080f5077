"""Token batches: random ids, right padding, labels in the HF convention (not shifted, -100 is ignored)."""

import torch

from .kinds import SHORT, TEXT

PAD = 0
BOS = 1
IGNORE = -100


def make(vocab, seed, rows):
    """A batch from rows of (length, masked): ids start with BOS; the first `masked` labels are ignored."""
    generator = torch.Generator().manual_seed(seed)
    width = max(length for length, _ in rows)
    ids = torch.full((len(rows), width), PAD)
    labels = torch.full((len(rows), width), IGNORE)
    mask = torch.zeros((len(rows), width), dtype=torch.long)
    for row, (length, masked) in enumerate(rows):
        ids[row, :length] = torch.randint(3, vocab, (length,), generator=generator)
        ids[row, 0] = BOS
        mask[row, :length] = 1
        labels[row, masked:length] = ids[row, masked:length]
    return {"input_ids": ids, "labels": labels, "attention_mask": mask}


def main(kind):
    """The batch of all forward goldens. Row 0 keeps the label of BOS, which only soft prompts can predict."""
    return make(kind.new["vocab_size"], kind.seed + 1000, [(TEXT, 0), (SHORT, 4)])


def training(kind):
    """Four batches with different widths and different numbers of targets."""
    rows = [[(11, 3), (8, 0)], [(9, 5), (12, 2)], [(10, 0), (10, 7)], [(6, 1), (13, 4)]]
    return [make(kind.new["vocab_size"], kind.seed + 2000 + i, r) for i, r in enumerate(rows)]


def first_row(batch):
    """Row 0 alone; it has no padding in the main batch."""
    return {name: value[:1] for name, value in batch.items()}


def loss_sum(logits, labels):
    """Summed cross-entropy of the shifted targets, and their number."""
    labels = labels[:, 1:]
    total = torch.nn.functional.cross_entropy(
        logits[:, :-1].flatten(0, 1), labels.flatten(), ignore_index=IGNORE, reduction="sum"
    )
    return total, int((labels != IGNORE).sum())


def zero_padding(values, mask):
    """Sets every padded position of [B, T, ...] (patterns: [B, H, T, T]) to zero: nothing may depend on them."""
    out = {}
    for name, value in values.items():
        at = 2 if name.endswith("hook_pattern") else 1
        shape = [1] * value.dim()
        shape[0], shape[at] = mask.shape
        out[name] = value.detach() * mask.reshape(shape)
    return out

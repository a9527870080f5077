"""Writes the three tuning data sets that the program embeds.

    python datasets.py OUT_DIR

sentiment  a review and its verdict, " good" or " bad", in equal numbers
questions  a passage, a question, and the answer
text       a ship's logbook in a dialect, as plain text

They speak of the corpus's world, but none of their formats occurs in it, and
no prompt of a validation file occurs in the training file beside it.
"""

import argparse
import json
import pathlib
import random

from logbook import logbook
from passages import passage
from reviews import opinion
from world import cap

SEED = 424_242
ROWS = {"sentiment": (1500, 200), "questions": (650, 100)}
TEXT_SIZES = (40_000, 6_000)
# Prompts stay short: about 64 tokens of the demo tokenizer.
LONGEST = {"sentiment": 190, "questions": 200}


def sentiment(rng, index):
    """A review without a verdict; every second one is favourable."""
    liked = index % 2 == 0
    body, _ = opinion(rng, liked, rng.randint(1, 2), start=rng.random() < 0.5)
    return f"Review: {body}\nVerdict:", " good" if liked else " bad"


def question(rng, _):
    """A passage of two or three facts and one question."""
    text, pairs = passage(rng, shortest=2, longest=3)
    asked, answer = rng.choice(pairs)
    return f"Text: {text}\nAsk: {cap(asked)}\nTell:", " " + answer


def rows(rng, make, count, longest, seen):
    """Draws `count` rows with prompts that have not been seen."""
    found = []
    while len(found) < count:
        prompt, completion = make(rng, len(found))
        if prompt in seen or len(prompt) > longest:
            continue
        seen.add(prompt)
        found.append({"prompt": prompt, "completion": completion})
    rng.shuffle(found)
    return found


def main():
    """Writes every file and prints its size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=pathlib.Path)
    out = parser.parse_args().out
    rng = random.Random(SEED)

    def write(name, text):
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")
        print(f"{name}: {len(text)} bytes")

    for name, make in (("sentiment", sentiment), ("questions", question)):
        seen = set()
        for part, count in zip(("train", "valid"), ROWS[name]):
            lines = [json.dumps(r) for r in rows(rng, make, count, LONGEST[name], seen)]
            write(f"{name}/{part}.jsonl", "\n".join(lines) + "\n")
    for part, size in zip(("train", "valid"), TEXT_SIZES):
        write(f"text/{part}.txt", logbook(rng, size))


if __name__ == "__main__":
    main()

"""Writes the corpus on which the demo model is trained from scratch.

    python corpus.py OUT_DIR [--documents N] [--primer N] [--seed S]

OUT_DIR/corpus.txt holds the whole world; OUT_DIR/primer.txt, read first, only
lists and questions, from which a model learns to look things up. Records are
separated by a form feed. The same seed writes the same bytes.
"""

import argparse
import collections
import pathlib
import random

from grammar import plain
from letters import diary, knowledge, letter
from lists import lists
from passages import questions
from reviews import reviews
from stories import giving, story

SEPARATOR = "\f"

# Kind of document and its share, in parts of a hundred.
PRIMER = ((lists, 50), (questions, 50))
MIXTURE = ((story, 22), (giving, 4), (reviews, 28), (questions, 26),
           (lists, 9), (letter, 4), (diary, 3), (knowledge, 4))


def documents(rng, mixture, count):
    """Draws `count` documents."""
    kinds, shares = zip(*mixture)
    return [rng.choices(kinds, shares)[0](rng) for _ in range(count)]


def describe(name, texts):
    """Says how large and how varied a file is."""
    texts = [plain(text) for text in texts]
    sentences = collections.Counter(
        s for text in texts for line in text.split("\n") for s in line.split(". "))
    words = {w.strip('.,!?":;').lower() for text in texts for w in text.split()}
    total = sum(sentences.values())
    print(f"{name}: {len(texts)} documents ({len(set(texts))} different), "
          f"{sum(map(len, texts))} characters, {len(words)} words, "
          f"{total} sentences ({len(sentences) / total:.0%} different)")


def main():
    """Writes both files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--documents", type=int, default=40_000)
    parser.add_argument("--primer", type=int, default=14_000)
    parser.add_argument("--seed", type=int, default=20_250_101)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    rng = random.Random(args.seed)
    for name, mixture, count in (("primer.txt", PRIMER, args.primer),
                                 ("corpus.txt", MIXTURE, args.documents)):
        texts = documents(rng, mixture, count)
        (args.out / name).write_text(SEPARATOR.join(texts), encoding="utf-8", newline="\n")
        describe(name, texts)


if __name__ == "__main__":
    main()

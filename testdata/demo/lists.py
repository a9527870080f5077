"""Lists in which the second half can be looked up in the first.

Repeated words and pairs of a name and a thing teach the model to find and to
copy what stands earlier in the text, many times a document.
"""

from grammar import plain, say
from world import ANIMALS, COLOURS, DAYS, FOODS, FRUIT, JOBS, PEOPLE, PLACES, THINGS

NAMES = [p.name for p in PEOPLE]
KINDS = (
    NAMES, THINGS, COLOURS, list(PLACES), FOODS, FRUIT, DAYS,
    [a.kind for a in ANIMALS], [j.title for j in JOBS],
)

REPEATS = ("again: ", "{x} said it too: ", "and once more: ", "")
LOOKUPS = ("{key}: <{value}>.", "{key}? <{value}>.", "{key} has <{value}>.", "{key} - <{value}>.")


def echo(rng):
    """Words in any order, said two or three times."""
    words = [rng.choice(rng.choice(KINDS)) for _ in range(rng.randint(4, 14))]
    line = " ".join(words)
    head = say(rng, rng.choice(REPEATS), x=rng.choice(NAMES))
    head = head + " " if head else ""
    lines = [line] + [f"{head}{words[0]} <{' '.join(words[1:])}>"] * rng.randint(1, 2)
    return ".\n".join(lines) + "."


def pairs(rng):
    """Who has what, then the same again in another order."""
    keys = rng.sample(rng.choice((NAMES, NAMES, THINGS, list(PLACES))), rng.randint(3, 9))
    kind = rng.choice(KINDS[1:])
    values = [rng.choice(kind) for _ in keys]
    form = rng.choice(LOOKUPS)
    first = " ".join(plain(form.format(key=k, value=v)) for k, v in zip(keys, values))
    asked = rng.sample(range(len(keys)), len(keys))
    second = " ".join(form.format(key=keys[i], value=values[i]) for i in asked)
    return f"{first}\n{second}"


def lists(rng):
    """An echo or a table of pairs."""
    return rng.choice((echo, pairs))(rng)

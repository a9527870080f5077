"""Short passages with questions that they answer: who, where, what, how many."""

from dataclasses import dataclass

from grammar import say
from world import (
    ANIMALS, COLOURS, DAYS, DRINKS, FOODS, JOBS, NUMBERS, PEOPLE, PLACES,
    THINGS, at, many,
)


DEEDS = (("sold", "sell"), ("made", "make"), ("counted", "count"),
         ("carried", "carry"), ("painted", "paint"), ("washed", "wash"))


@dataclass(frozen=True)
class Fact:
    """One sentence of a passage and the (question, answer) pairs it settles."""

    text: str
    pairs: tuple


def _owns(x, draw):
    colour, thing = draw(COLOURS), draw(THINGS)
    return (
        f"{x.name} [has|owns|bought|found] a(n) {colour} {thing}.",
        (f"[what colour is {x.name}'s {thing}|which colour is the {thing} of {x.name}]?", colour),
        (f"what [has {x.name} got|does {x.name} have]?", f"a(n) {colour} {thing}"),
        (f"who has the {colour} {thing}?", x.name),
    )


def _place(x, draw):
    place = draw(list(PLACES))
    return (
        f"{x.name} [is|sits|waits|sleeps] {at(place)}.",
        (f"where is {x.name}?", at(place)),
        (f"who is {at(place)}?", x.name),
    )


def _count(x, draw):
    number, thing, (did, do) = draw(NUMBERS), draw(THINGS), draw(DEEDS)
    things = many("two", thing).split()[1]
    return (
        f"{x.name} {did} {many(number, thing)}.",
        (f"how many {things} [were there|did {x.name} {do}]?", number),
        (f"what did {x.name} {do}?", many(number, thing)),
        (f"who {did} the {things}?", x.name),
    )


def _meal(x, draw):
    food, drink, day = draw(FOODS), draw(DRINKS), draw(DAYS)
    return (
        f"on {day} {x.name} had {food} and {drink}.",
        (f"what did {x.name} [eat|have to eat]?", food),
        (f"what did {x.name} [drink|have to drink]?", drink),
        (f"when did {x.name} have {food}?", f"on {day}"),
    )


def _job(x, draw):
    job = draw(JOBS)
    return (
        f"{x.name} is a(n) {job.title}[ and works with a(n) {job.tool}|].",
        (f"who is the {job.title}?", x.name),
        (f"what is {x.name}'s [job|trade]?", job.title),
    )


def _pet(x, draw):
    animal, colour = draw(ANIMALS), draw(COLOURS)
    place = draw(list(PLACES))
    return (
        f"{x.name}'s {animal.kind} is {colour} and lives {at(place)}.",
        (f"where does the {animal.kind} live?", at(place)),
        (f"what colour is the {animal.kind}?", colour),
        (f"who has a(n) {animal.kind}?", x.name),
    )


def _gift(x, draw):
    y, thing, place = draw(PEOPLE), draw(THINGS), draw(list(PLACES))
    return (
        f"{x.name} gave {y.name} a(n) {thing} {at(place)}.",
        (f"who got the {thing}?", y.name),
        (f"who gave the {thing} away?", x.name),
        (f"what did {y.name} get?", f"a(n) {thing}"),
        (f"where did {x.name} give it to {y.name}?", at(place)),
    )


def _hide(x, draw):
    thing, place, place2 = draw(THINGS), draw(list(PLACES)), draw(list(PLACES))
    return (
        f"{x.name} [put|hid|left] the {thing} {at(place)} and went to the {place2}.",
        (f"where is the {thing}?", at(place)),
        (f"where did {x.name} go?", f"to the {place2}"),
        (f"what is {at(place)}?", f"the {thing}"),
    )


MAKERS = (_owns, _place, _count, _meal, _job, _pet, _gift, _hide)

# How the corpus asks. The questions data set asks in a way of its own.
FORMATS = (
    ("question: {q}", "\nanswer: {a}."),
    ("\"{q}\" asked {x}.", " \"{a},\" said {y}."),
    ("{q}", " {a}."),
    ("{x} wants to know: {q}", " it is {a}."),
)


def facts(rng, count):
    """Facts about different people in which no word is drawn twice."""
    pools = {}

    def draw(words):
        key = tuple(words)
        if key not in pools:
            pools[key] = rng.sample(list(words), len(words))
        return pools[key].pop()

    found = []
    for _ in range(count):
        text, *pairs = rng.choice(MAKERS)(draw(PEOPLE), draw)
        found.append(Fact(say(rng, text), tuple(pairs)))
    return found


def passage(rng, shortest=2, longest=5):
    """A passage and all questions that it answers."""
    found = facts(rng, rng.randint(shortest, longest))
    pairs = [(say(rng, q), say(rng, "x " + a)[2:]) for f in found for q, a in f.pairs]
    rng.shuffle(pairs)
    return " ".join(f.text for f in found), pairs


def questions(rng):
    """A passage with some questions and answers, as the corpus has them."""
    text, pairs = passage(rng)
    ask, answer = rng.choice(FORMATS)
    x, y = (p.name for p in rng.sample(PEOPLE, 2))
    lines = [text]
    for q, a in pairs[: rng.randint(2, 5)]:
        asked = say(rng, ask.replace("{q}", q), x=x, y=y)
        reply = answer.replace("{a}", f"<{a}>")
        reply = say(rng, reply, x=x, y=y) if reply[0] == " " else "\n" + say(rng, reply)
        lines.append(asked + (reply if reply[0] == "\n" else " " + reply))
    return "\n".join(lines)

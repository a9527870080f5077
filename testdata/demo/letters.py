"""Everything in the corpus that is neither story, review nor passage."""

from grammar import cast, say, tell
from world import ANIMALS, DAYS, JOBS, MATERIALS, NUMBERS, OPPOSITES

EVENTS = (
    "[today|yesterday|on {day}] [i|we] went to the {place}[ with {x.name}|]. it was {weather}.",
    "i saw a(n) {animal.kind} {at}. it {animal.sound} and ate some {animal.food}.",
    "the {job.title} showed me a(n) {job.tool}. i had to {job.chore}.",
    "{x.name} lost {x.his} {colour} {thing}, and we looked for it {at2}.",
    "we had {food} and {drink}. [it was good|it was bad|i ate too much].",
    "i want to {wish}, but {obstacle}.",
    "{x.name} and {y.name} quarrelled about {things}. now they are friends again.",
    "i [found|made|bought] a(n) {colour} {thing2} and gave it to {y.name}.",
    "the {season} is [long|short|{weather}] this year, and i am {glad}.",
    "it rained all day, so i was {sad}. {x.name} read me a story.",
    "my {animal2.kind} is [well|hurt|lost]. [it sleeps {at3}|i gave it {animal2.food}].",
    "there were {number} {fruit} in my basket, and {number2} fell out.",
    "if it is {weather} on {day}, we will {wish}.",
)

ASIDES = (
    "[how are you|is it cold at the {place2}|have you seen {y.name}|what do you do all day]?",
    "please bring me [a(n) {thing}|some {food}|my {colour} {thing2}] when you come.",
    "i hope that you are {glad}.",
    "thank you for the {thing}.",
)

GREETINGS = ("your [friend|sister|brother], {x.name}", "[yours|with love], {x.name}", "{x.name}")


def letter(rng):
    """A letter: greeting, a few events, a question, a name."""
    slots = cast(rng)
    lines = [say(rng, "dear {z.name},", **slots)]
    body = [say(rng, e, **cast(rng)) for e in rng.sample(EVENTS, rng.randint(2, 4))]
    body.insert(rng.randint(1, len(body)), say(rng, rng.choice(ASIDES), **slots))
    lines += [" ".join(body), say(rng, rng.choice(GREETINGS), **slots)]
    return "\n".join(lines)


def diary(rng):
    """Two to four days in a row."""
    first = rng.randrange(7)
    lines = []
    for day in range(rng.randint(2, 4)):
        slots = cast(rng)
        slots["day"] = DAYS[(first + day + 1) % 7]
        events = rng.sample(EVENTS, rng.randint(1, 2))
        lines.append(DAYS[(first + day) % 7] + ": " + tell(rng, events, slots))
    return "\n".join(lines)


def _animal(rng):
    a, b = rng.sample(ANIMALS, 2)
    lines = [
        f"the {a.kind} lives in the {a.home}.", f"a(n) {a.kind} eats {a.food}.",
        f"the {a.kind} {a.sound}.", f"a(n) {a.kind} has {a.legs} legs.",
        f"the {a.kind} is {a.trait} and {a.trait2}.",
    ]
    if a.size != b.size:
        big, small = (a, b) if a.size > b.size else (b, a)
        lines.append(f"a(n) {big.kind} is bigger than a(n) {small.kind}.")
    return lines


def _job(rng):
    j = rng.choice(JOBS)
    return [
        f"a(n) {j.title} works in the {j.place}.",
        f"the {j.title} makes {j.product}.", f"a(n) {j.title} needs a(n) {j.tool}.",
    ]


def _words(rng):
    a, b = rng.choice(OPPOSITES)
    a, b = rng.sample((a, b), 2)
    m, trait = rng.choice(MATERIALS)
    day = rng.randrange(7)
    return [
        f"the opposite of {a} is {b}.", f"if it is not {a}, it may be {b}.",
        f"{m} is {trait}.", f"after {DAYS[day]} comes {DAYS[(day + 1) % 7]}.",
    ]


def _sums(rng):
    lines = []
    for _ in range(3):
        a = rng.randint(1, 11)
        b = rng.randint(1, 12 - a)
        n = [NUMBERS[i - 1] for i in (a, b, a + b)]
        lines.append(f"{n[0]} and {n[1]} make {n[2]}.")
    return lines


def knowledge(rng):
    """A list of plain facts about animals, trades, words and numbers."""
    lines = []
    for _ in range(rng.randint(2, 4)):
        found = rng.choice((_animal, _animal, _job, _job, _words, _sums))(rng)
        lines += rng.sample(found, rng.randint(2, len(found)))
    return rng.choice((" ", " ", "\n")).join(say(rng, line) for line in lines)

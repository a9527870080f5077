"""A small template language and the cast that fills its slots.

`[a|b|]` picks one alternative (nesting allowed), `{x.name}` is a slot of the
cast, `a(n)` becomes the right article, and sentences get their capitals.

`<...>` encloses what a reader could have inferred from the text before it: an
answer, a verdict, the one who is given something. Training counts these words
more than once, and `plain` removes the signs.
"""

import re

from world import (
    ANIMALS, COLOURS, DAYS, DRINKS, FOODS, FRUIT, JOBS, MADE_OF, NUMBERS,
    OPPOSITES, PEOPLE, PLACES, SEASONS, THINGS, at, many,
)

CHOICE = re.compile(r"\[([^\[\]]*)\]")
ARTICLE = re.compile(r"\b([aA])\(n\) (<?)(\w)")
# A capital follows a full stop, and a question or exclamation mark that does
# not close a quotation ('"Where?" asked Tom' goes on in lower case).
SENTENCE = re.compile(r"((?:^|\n|[.!?] |\.\" )\"?<?)([a-z])")
SELF = re.compile(r"\bi\b")

MOODS_GOOD = "happy glad proud cheerful calm merry".split()
MOODS_BAD = "sad angry cross worried upset tired".split()
SIZES = "small big tiny huge".split()
STATES = "old new broken heavy light pretty shiny plain odd".split()
WEATHER = ("sunny", "rainy", "windy", "cloudy", "foggy", "snowy", "warm", "cold")
WISHES = (
    ("learn to swim", "swim", "the water was cold"),
    ("sail to the island", "sail", "there was no boat"),
    ("bake a cake", "bake", "there was no flour"),
    ("see the stars", "look up", "the sky was full of clouds"),
    ("climb the tower", "climb", "the door was shut"),
    ("play the flute", "play", "the flute was broken"),
    ("build a raft", "build", "there was no rope"),
    ("ride the horse", "ride", "the horse was too proud"),
    ("grow a rose", "dig", "the soil was dry"),
    ("write a letter", "write", "there was no paper"),
    ("catch a fish", "fish", "the pond was frozen"),
    ("fly a kite", "run", "there was no wind"),
    ("sing in the square", "sing", "the song was too long"),
    ("find the old map", "search", "the attic was dark"),
)


def article(match):
    """Writes "a" or "an" before the word that follows."""
    first, sign, letter = match.groups()
    return (first + "n " if letter.lower() in "aeiou" else first + " ") + sign + letter


def plain(text):
    """The text without the signs around what can be inferred."""
    return text.replace("<", "").replace(">", "")


def say(rng, template, **slots):
    """Expands one template with the cast's slots into finished text."""
    while True:
        text = CHOICE.sub(lambda m: rng.choice(m.group(1).split("|")), template)
        if text == template:
            break
        template = text
    text = ARTICLE.sub(article, text.format(**slots))
    text = re.sub(r" {2,}", " ", text).replace(" .", ".").replace(" ,", ",")
    text = SELF.sub("I", text)
    return SENTENCE.sub(lambda m: m.group(1) + m.group(2).upper(), text.strip())


def tell(rng, steps, slots):
    """Joins a plot's steps; a step that begins with "?" may be left out."""
    said = []
    for step in steps:
        if step.startswith("?"):
            if rng.random() < 0.45:
                continue
            step = step[1:]
        said.append(say(rng, step, **slots))
    return " ".join(said)


def cast(rng):
    """Draws everybody and everything that a text may speak of."""
    x, y, z = rng.sample(PEOPLE, 3)
    thing, thing2, thing3 = rng.sample(THINGS, 3)
    place, place2, place3 = rng.sample(list(PLACES), 3)
    colour, colour2, colour3 = rng.sample(COLOURS, 3)
    animal, animal2 = rng.sample(ANIMALS, 2)
    number, number2 = rng.sample(NUMBERS[1:], 2)
    food, food2 = rng.sample(FOODS, 2)
    wish, act, obstacle = rng.choice(WISHES)
    return {
        "x": x, "y": y, "z": z,
        "thing": thing, "thing2": thing2, "thing3": thing3,
        "things": many(number, thing), "things2": many(number2, thing2),
        "at": at(place), "at2": at(place2), "at3": at(place3),
        "place": place, "place2": place2, "place3": place3,
        "colour": colour, "colour2": colour2, "colour3": colour3,
        "animal": animal, "animal2": animal2,
        "number": number, "number2": number2,
        "food": food, "food2": food2, "fruit": rng.choice(FRUIT),
        "drink": rng.choice(DRINKS), "job": rng.choice(JOBS),
        "day": rng.choice(DAYS), "season": rng.choice(SEASONS),
        "weather": rng.choice(WEATHER), "state": rng.choice(STATES),
        "size": rng.choice(SIZES), "glad": rng.choice(MOODS_GOOD),
        "sad": rng.choice(MOODS_BAD), "wish": wish, "act": act,
        "obstacle": obstacle, "material": rng.choice(MADE_OF),
        "pair": rng.choice(OPPOSITES),
    }

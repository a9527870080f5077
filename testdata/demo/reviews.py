"""Reviews of food, toys, inns and the like, with a wording that says how it was.

`opinion` writes the body, which the pre-training corpus and the sentiment
data set share; the closing verdicts below belong to the corpus alone.
"""

from dataclasses import dataclass

from grammar import cast, say


@dataclass(frozen=True)
class Kind:
    """What is reviewed: names, aspects, and words of praise and blame."""

    items: tuple
    aspects: tuple
    good: tuple
    bad: tuple
    verb: str


KINDS = (
    Kind(("soup", "pie", "stew", "porridge", "pudding", "cake", "salad", "bread"),
         ("taste", "smell", "crust", "sauce", "spoonful", "plate"),
         ("fresh", "tasty", "warm", "rich", "sweet", "delicious"),
         ("stale", "burnt", "cold", "thin", "bitter", "rotten"), "ate"),
    Kind(("tea", "juice", "cider", "cocoa", "milk"),
         ("taste", "smell", "cup", "colour", "foam"),
         ("fresh", "sweet", "smooth", "warm", "clear", "delicious"),
         ("sour", "bitter", "weak", "stale", "muddy", "flat"), "drank"),
    Kind(("doll", "kite", "ball", "drum", "boat", "puzzle", "whistle", "top"),
         ("paint", "shape", "string", "sound", "finish", "box"),
         ("bright", "sturdy", "pretty", "clever", "smooth", "neat"),
         ("dull", "broken", "ugly", "cheap", "crooked", "rough"), "bought"),
    Kind(("inn", "hotel", "cabin", "tavern"),
         ("bed", "room", "host", "breakfast", "view", "bath"),
         ("clean", "cosy", "friendly", "quiet", "lovely", "warm"),
         ("dirty", "rude", "noisy", "damp", "shabby", "cold"), "stayed at"),
    Kind(("book", "play", "song", "story", "show", "poem"),
         ("plot", "ending", "hero", "beginning", "music", "humour"),
         ("funny", "clever", "moving", "exciting", "lovely", "charming"),
         ("boring", "silly", "dull", "clumsy", "endless", "weak"), "tried"),
    Kind(("shop", "market stall", "bakery", "library", "school", "ferry"),
         ("owner", "service", "choice", "helper", "counter", "window"),
         ("friendly", "quick", "helpful", "neat", "honest", "clean"),
         ("rude", "slow", "lazy", "messy", "greedy", "dirty"), "visited"),
    Kind(("coat", "hat", "scarf", "blanket", "boot", "umbrella"),
         ("fit", "cloth", "colour", "seam", "button", "lining"),
         ("soft", "warm", "sturdy", "neat", "pretty", "comfortable"),
         ("scratchy", "thin", "ugly", "loose", "torn", "stiff"), "wore"),
)

CLAUSES = {
    True: (
        "the {aspect} was [very|really|quite|so|] {good}",
        "the {aspect} was {good} and {good2}",
        "the {aspect} was not {bad} at all",
        "i [liked|loved|enjoyed] the {aspect}",
        "what a(n) {good} {aspect} it had",
        "{y.name} [liked|praised|loved] the {aspect} too",
        "nothing was wrong with the {aspect}",
        "the {aspect} made {y.name} [smile|happy|laugh]",
        "i have never [seen|had] a better {aspect}",
    ),
    False: (
        "the {aspect} was [very|really|quite|so|] {bad}",
        "the {aspect} was {bad} and {bad2}",
        "the {aspect} was not {good} at all",
        "i [disliked|hated|regretted] the {aspect}",
        "what a(n) {bad} {aspect} it had",
        "{y.name} [disliked|mocked|hated] the {aspect} too",
        "nothing was right with the {aspect}",
        "the {aspect} made {y.name} [frown|sad|cry]",
        "i have never [seen|had] a worse {aspect}",
    ),
}

# {minor} speaks against the verdict; {major}, the last word, for it.
MIXED = (
    "{minor}, but {major}",
    "although {minor}, {major}",
    "at first {minor}, but in the end {major}",
)

# Remarks that the corpus hangs on a clause.
ASIDES = (", which was <{verdict}>", ", and that is <{verdict}>", ": <{verdict}>", "")

STARTS = (
    "i {verb} [the|this] {item} [on {day}|last {season}|with {y.name}|{at}|].",
    "{y.name} and i {verb} the {item} [on {day}|{at}|].",
    "this is about the {item} [{at}|that {y.name} made|from the {place}].",
    "the {item} [cost {number} coins|was a gift from {y.name}|came from the {place}].",
    "",
)

# How the corpus ends a review. Neither "Review:" nor "Verdict:" occurs.
# SPOKEN closings name the verdict, HINTS imply it.
SPOKEN = (
    "all in all, it was a <{verdict}> {item}.",
    "[so|in short], [a <{verdict}> {item}|the {item} was <{verdict}>|i call it <{verdict}>].",
    "was it good or bad? it was <{verdict}>.",
    "[my answer|in one word|how was it]? <{verdict}>.",
    "{number} people asked me, and i told them all that it was <{verdict}>.",
    "\"a <{verdict}> {item},\" said {y.name}[, and i agree|].",
    "{x.name} asked me [how it was|about the {item}], and i said: <{verdict}>.",
)
HINTS = {
    True: (
        "it was a(n) [great|lovely|fine|wonderful] {item}.",
        "i would [gladly|surely] [come back|do it again|tell my friends].",
        "did i like it? <yes>, [i did|very much].",
        "[so|in short], i am [glad|happy].",
        "it was worth [the money|every coin|the time].",
    ),
    False: (
        "it was a(n) [poor|awful|sorry|terrible] {item}.",
        "i would [never|not] [come back|do it again|tell my friends].",
        "did i like it? <no>, [i did not|not at all].",
        "[so|in short], i am [sorry|sad].",
        "it was not worth [the money|a coin|the time].",
    ),
}

# Lists of short reviews, each marked with one of two words.
MARKS = (("good", "bad"), ("good", "bad"), ("good", "bad"), ("yes", "no"), ("happy", "sad"), ("great", "poor"))
TASKS = (
    "[say|tell me|write] [whether|if] it is {a} or {b}.",
    "{a} or {b}?",
    "one word for each, {a} or {b}.",
)
SEPARATORS = (" =", " -", "\nmark:", "\nso:", " I say")


def opinion(rng, liked, clauses, start=True, asides=("",)):
    """The body of a review: `clauses` remarks, at times one against them.

    One of `asides` ends each remark that stands alone.
    """
    slots = cast(rng)
    kind = rng.choice(KINDS)
    aspects = rng.sample(kind.aspects, len(kind.aspects))
    slots.update(item=rng.choice(kind.items), verb=kind.verb,
                 verdict="good" if liked else "bad")

    def clause(polarity):
        good, good2 = rng.sample(kind.good, 2)
        bad, bad2 = rng.sample(kind.bad, 2)
        words = dict(good=good, good2=good2, bad=bad, bad2=bad2)
        template = rng.choice(CLAUSES[polarity])
        return say(rng, template, aspect=aspects.pop(), **words, **slots)

    def lower(text):
        keep = text.startswith(("I ", slots["y"].name))
        return text if keep else text[0].lower() + text[1:]

    parts = [say(rng, rng.choice(STARTS), **slots)] if start else []
    for _ in range(clauses):
        if rng.random() < 0.25 and len(aspects) > 1:
            mixed = rng.choice(MIXED)
            text = mixed.format(minor=lower(clause(not liked)), major=lower(clause(liked)))
            parts.append(say(rng, "{text}.", text=text))
        else:
            parts.append(clause(liked) + say(rng, rng.choice(asides), **slots) + ".")
    return " ".join(p for p in parts if p), slots


def review(rng):
    """A review as the corpus has it: the verdict, often after or before a hint."""
    liked = rng.random() < 0.5
    body, slots = opinion(rng, liked, rng.randint(1, 3), asides=ASIDES)
    ends = [rng.choice(SPOKEN)]
    if rng.random() < 0.5:
        ends.insert(rng.randint(0, 1), rng.choice(HINTS[liked]))
    return body + " " + " ".join(say(rng, e, **slots) for e in ends)


def marked(rng):
    """Some short reviews, each with its mark, under a line that says which marks."""
    marks = rng.choice(MARKS)
    a, b = rng.sample(marks, 2)
    lines = [say(rng, rng.choice(TASKS), a=a, b=b)]
    separator = rng.choice(SEPARATORS)
    for _ in range(rng.randint(2, 5)):
        liked = rng.random() < 0.5
        body, _ = opinion(rng, liked, rng.randint(1, 2), start=rng.random() < 0.5)
        lines.append(f"{body}{separator} <{marks[0] if liked else marks[1]}>")
    return "\n".join(lines)


def reviews(rng):
    """One to three reviews, or a list of marked ones."""
    if rng.random() < 0.5:
        return marked(rng)
    return "\n".join(review(rng) for _ in range(rng.randint(1, 3)))

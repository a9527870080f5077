"""The world that the demo corpus tells of: people, animals, places, things.

Every list is ours. Attributes are fixed (a goat always eats hay and lives in a
barn), so that a model can learn the world and be asked about it. Words are
kept few and short: most become one token of the 1,536-entry tokenizer.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Person:
    """Somebody with a name, pronouns and a few standing attributes."""

    name: str
    he: str
    him: str
    his: str


@dataclass(frozen=True)
class Animal:
    """A kind of animal and what is always true of it."""

    kind: str
    home: str
    food: str
    sound: str
    legs: str
    size: int
    trait: str
    trait2: str


@dataclass(frozen=True)
class Job:
    """A trade: who, where, with what, and what comes of it."""

    title: str
    place: str
    tool: str
    product: str
    chore: str


GIRLS = (
    "Anna Bella Clara Dora Ella Flora Greta Hanna Ida Julia Kate Lena Mira "
    "Nell Olga Paula Rosa Sara Tilda Vera"
).split()
BOYS = (
    "Adam Ben Carl Dan Emil Finn Georg Hugo Ivan Jack Karl Leo Max Nils Otto "
    "Paul Rolf Sam Tom Victor"
).split()

PEOPLE = tuple(
    [Person(n, "she", "her", "her") for n in GIRLS]
    + [Person(n, "he", "him", "his") for n in BOYS]
)

ANIMALS = (
    Animal("hen", "coop", "corn", "clucks", "two", 2, "brown", "busy"),
    Animal("goat", "barn", "hay", "bleats", "four", 4, "white", "stubborn"),
    Animal("horse", "stable", "oats", "neighs", "four", 6, "strong", "proud"),
    Animal("cow", "meadow", "grass", "moos", "four", 6, "calm", "heavy"),
    Animal("fox", "den", "mice", "barks", "four", 3, "red", "clever"),
    Animal("owl", "tower", "moths", "hoots", "two", 2, "grey", "wise"),
    Animal("frog", "pond", "flies", "croaks", "four", 1, "green", "wet"),
    Animal("duck", "lake", "weeds", "quacks", "two", 2, "yellow", "cheerful"),
    Animal("cat", "kitchen", "fish", "purrs", "four", 2, "black", "quiet"),
    Animal("dog", "yard", "bones", "barks", "four", 3, "loyal", "loud"),
    Animal("mouse", "cellar", "cheese", "squeaks", "four", 1, "small", "shy"),
    Animal("bear", "cave", "honey", "growls", "four", 6, "brown", "slow"),
    Animal("sheep", "hill", "clover", "bleats", "four", 4, "soft", "gentle"),
    Animal("crow", "roof", "seeds", "caws", "two", 2, "black", "curious"),
    Animal("rabbit", "hedge", "carrots", "thumps", "four", 2, "grey", "quick"),
    Animal("bee", "hive", "nectar", "hums", "six", 1, "tiny", "busy"),
    Animal("seal", "shore", "herring", "honks", "no", 5, "smooth", "playful"),
    Animal("hedgehog", "garden", "beetles", "sniffs", "four", 1, "round", "shy"),
)

JOBS = (
    Job("baker", "bakery", "oven", "bread", "carry the flour"),
    Job("miller", "mill", "millstone", "flour", "sweep the floor"),
    Job("sailor", "harbour", "rope", "fish", "mend the sail"),
    Job("farmer", "farm", "plough", "wheat", "feed the hens"),
    Job("smith", "forge", "hammer", "nails", "bring the coal"),
    Job("tailor", "workshop", "needle", "coats", "sort the buttons"),
    Job("gardener", "garden", "spade", "roses", "water the beds"),
    Job("teacher", "school", "chalk", "lessons", "wipe the board"),
    Job("painter", "studio", "brush", "pictures", "wash the brushes"),
    Job("potter", "pottery", "wheel", "bowls", "dig the clay"),
    Job("cook", "inn", "kettle", "soup", "peel the carrots"),
    Job("carpenter", "shed", "saw", "chairs", "stack the boards"),
    Job("shepherd", "hill", "staff", "wool", "count the sheep"),
    Job("doctor", "clinic", "bottle", "medicine", "fold the towels"),
    Job("fiddler", "square", "fiddle", "songs", "hold the hat"),
    Job("beekeeper", "orchard", "smoker", "honey", "wash the jars"),
)

# Place -> the preposition that goes with it.
PLACES = {
    "mill": "at", "harbour": "at", "market": "at", "forest": "in",
    "hill": "on", "river": "by", "bridge": "on", "school": "at",
    "barn": "in", "garden": "in", "inn": "at", "tower": "in", "beach": "on",
    "lake": "by", "bakery": "in", "meadow": "in", "cave": "in",
    "island": "on", "orchard": "in", "library": "in", "station": "at",
    "attic": "in", "cellar": "in", "stable": "in", "village": "in",
    "square": "on", "well": "by", "kitchen": "in", "yard": "in", "pond": "by",
}

# Things that people carry, lose, lend and give away.
THINGS = (
    "kite lamp key drum rope basket bell map hat coat scarf ball book knife "
    "cup bottle candle whistle mirror spoon box ring flute sack blanket coin "
    "stone shell feather ladder bucket broom clock doll boat wagon letter "
    "picture umbrella button"
).split()

PLURAL = {
    "knife": "knives", "box": "boxes", "brush": "brushes", "scarf": "scarves",
}

COLOURS = (
    "red blue green yellow white black brown grey purple orange pink silver"
).split()
NUMBERS = (
    "one two three four five six seven eight nine ten eleven twelve"
).split()
DAYS = (
    "Monday Tuesday Wednesday Thursday Friday Saturday Sunday"
).split()
SEASONS = ("spring", "summer", "autumn", "winter")
FOODS = (
    "soup pie bread cheese cake porridge stew honey jam salad pudding "
    "dumplings pancakes"
).split()
FRUIT = "apples pears plums cherries berries nuts grapes".split()
DRINKS = "tea milk juice water cider cocoa".split()

OPPOSITES = (
    ("hot", "cold"), ("big", "small"), ("fast", "slow"), ("old", "new"),
    ("high", "low"), ("dark", "bright"), ("wet", "dry"), ("loud", "quiet"),
    ("heavy", "light"), ("open", "shut"), ("full", "empty"),
    ("early", "late"), ("good", "bad"), ("happy", "sad"), ("soft", "hard"),
    ("clean", "dirty"), ("near", "far"), ("rich", "poor"), ("long", "short"),
    ("sweet", "sour"), ("strong", "weak"), ("brave", "afraid"),
)
MADE_OF = ("glass", "iron", "wool", "wood", "paper", "clay", "stone")
MATERIALS = (
    ("glass", "clear"), ("iron", "heavy"), ("wool", "warm"),
    ("wood", "hard"), ("paper", "thin"), ("clay", "soft"), ("gold", "bright"),
    ("stone", "hard"), ("ice", "cold"), ("snow", "white"), ("honey", "sweet"),
    ("salt", "white"), ("smoke", "grey"), ("milk", "white"),
)


def an(word):
    """The word with its indefinite article."""
    return ("an " if word[0] in "aeiou" else "a ") + word


def many(count, noun):
    """A count and its noun: "one key", "three keys"."""
    if count == "one":
        return f"one {noun}"
    return f"{count} {PLURAL.get(noun, noun + 's')}"


def at(place):
    """A place with its preposition: "in the barn"."""
    return f"{PLACES[place]} the {place}"


def cap(text):
    """The text with a capital first letter."""
    return text[0].upper() + text[1:]

"""A ship's logbook in a dialect of ours: the text for language-model tuning.

The corpus has no log, no digits and none of the turns used here ("be" for
"is", "o'" for "of", dropped articles), but shares its people and its things.
"""

from grammar import say
from world import ANIMALS, COLOURS, FOODS, PEOPLE, THINGS

SHIPS = ("Grey Gull", "Old Otter", "Merry Herring", "Salt Maiden")
WINDS = ("nor'west", "nor'east", "sou'west", "sou'east", "due north", "due south")
SEAS = ("flat as a plate", "black an' cross", "white wi' foam", "slow as porridge", "green an' kind")

ENTRIES = (
    "wind be {wind}, [sea be {sea}|an' the sea {sea}].",
    "sighted {n} [gulls|seals|sails|isles] off the [port|starboard] bow, [an' naught else|aye].",
    "{x.name} be [below wi' fever|up the mast since dawn|at the helm, an' sings badly].",
    "[cook|old {y.name}] gave us {food} [again|wi' salt], an' the crew did [grumble|cheer|chew long].",
    "lost one {colour} {thing} o'er the side. {x.name} [swears 'twas the wind|weeps for it|owes us a new'n].",
    "took on {n} barrels o' [cider|salt|flour|herring] from the isle o' {y.name}.",
    "[our|the ship's] {animal.kind} {animal.sound} all night, an' none did sleep.",
    "made {n} leagues [afore dusk|by noon|an' no more], [heave ho|the saints be thanked|praise {y.name}].",
    "{x.name} an' {y.name} did brawl o'er a(n) {thing}. both now scrub the deck.",
    "fog thick as {food}. rang the bell {n} times, an' [none|a {animal.kind}] did answer.",
    "mended [sail|rope|the pump] wi' a(n) {thing} an' [good|bad] words.",
)

HEADS = (
    "Log o' the {ship}, day {n}: ",
    "{ship}, {n} days out: ",
    "Day {n}. ",
)


def entry(rng, ship):
    """One day in the log."""
    def slots():
        x, y = rng.sample(PEOPLE, 2)
        return dict(
            ship=ship, n=rng.randint(2, 60), wind=rng.choice(WINDS), sea=rng.choice(SEAS),
            x=x, y=y, food=rng.choice(FOODS), thing=rng.choice(THINGS),
            colour=rng.choice(COLOURS), animal=rng.choice(ANIMALS))

    lines = rng.sample(ENTRIES[1:], rng.randint(2, 3))
    if rng.random() < 0.7:
        lines.insert(0, ENTRIES[0])
    head = say(rng, rng.choice(HEADS), **slots())
    return (head + " " + " ".join(say(rng, line, **slots()) for line in lines)
            + rng.choice((" So be it.", " All's well.", " All's ill.", "")))


def logbook(rng, size):
    """About `size` characters of log, one entry a paragraph."""
    entries, length = [], 0
    while length < size:
        text = entry(rng, rng.choice(SHIPS))
        entries.append(text)
        length += len(text) + 2
    return "\n\n".join(entries) + "\n"

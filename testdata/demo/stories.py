"""Short stories: ten plots, told with many turns of phrase."""

from grammar import cast, say, tell

OPENINGS = (
    "[one {season} day|on a {weather} {day}|one {weather} morning|last {day}|one evening], ",
    "[once there was|there once was|in the village lived] [a girl|a child|somebody] "
    "[called|named] {x.name}. [one day|one {weather} day|on {day}], ",
    "{x.name} [lived|stayed|slept] near the {place}. [one {season} morning|on a {weather} day], ",
    "it was a {weather} [day|morning|evening]. ",
    "",
)

ENDINGS = (
    "[that night|in the end|at last], {x.name} was {glad}.",
    "it was [a good|the best|a long|a fine] day.",
    "{x.name} and {y.name} were [friends|good friends] [from then on|again|for ever].",
    "{x.name} went home and had [some {food}|some {food} and {drink}|a cup of {drink}].",
    "\"what [a day|an odd day|a good day]!\" said {y.name}.",
    "and {x.name} [never forgot it|told {z.name} all about it|slept well that night].",
    "from then on, {x.he} [was more careful|was not afraid any more|helped {y.name} every {day}].",
)

PLOTS = (
    (  # lost and found
        "{x.name} had a(n) [{state}|{size}|] {colour} {thing}.",
        "?{x.he} [took it|carried it] everywhere. [{x.he} loved it|it was a gift from {z.name}].",
        "[but one day|then] the {thing} was [gone|lost]. {x.he} [looked|searched] {at}, but it was not there.",
        "?{x.name} [was {sad}|sat down and cried|felt {sad}].",
        "\"[have you seen|where is|did you see] my {thing}?\" {x.he} asked {y.name}.",
        "\"[maybe it is|i saw it|look] {at2},\" said {y.name}.",
        "[so {x.name} went there|they went there together|so {x.he} ran to the {place2}]. "
        "[the {colour} {thing} was {at2}|there it was, {colour} and {state}]!",
        "\"thank you, {y.name},\" {x.name} said.",
    ),
    (  # a wish, an obstacle, a job
        "{x.name} wanted to {wish}. [but|the trouble was that] {obstacle}.",
        "?{x.he} was {sad} [about it|all day|and did not want to eat].",
        "{x.he} went to the {job.place} and asked the {job.title} for help.",
        "\"[first {job.chore}|please {job.chore}|{job.chore} for me],\" said the {job.title}, \"[and then i will help you|and we will see].\"",
        "{x.name} [worked|worked hard] [all day|for {number} hours|until the evening].",
        "?{y.name} came by and helped {x.him}.",
        "the {job.title} was {glad} and gave {x.him} a(n) [{state}|{colour}] {thing}.",
        "[with the {thing}|now] {x.name} could {wish} [at last|the next day].",
    ),
    (  # quarrel and sharing
        "{x.name} and {y.name} [found|saw] a(n) {colour} {thing} {at}.",
        "\"it is mine,\" said {x.name}. \"no, it is mine,\" said {y.name}.",
        "they [pulled|shouted|argued] until they were both [{sad}|tired].",
        "then {z.name} came [along|out of the {place2}|by with a {animal.kind}].",
        "\"[why do you quarrel|what is the matter]?\" asked {z.name}. \"[{x.name} can have it on {day}, and {y.name} the day after|you can share it|play with it together].\"",
        "?they thought about it [for a while|and nodded].",
        "{x.name} gave the {thing} to {y.name}, and {y.name} gave {x.him} {things2}.",
    ),
    (  # weather and shelter
        "{x.name} and {y.name} walked to the {place}. [they wanted to pick {fruit}|they wanted to {wish}].",
        "[but soon|suddenly] it began to [rain|snow|storm]. [the wind was loud|the sky was dark].",
        "\"[quick, this way|come with me|run]!\" [called|said] {x.name}. they ran into the [cave|barn|mill|tower].",
        "[inside sat|there they met] a(n) {animal.trait} {animal.kind}. {y.name} gave it some {animal.food}.",
        "?the {animal.kind} {animal.sound}. it was not afraid.",
        "they [told stories|sang songs|counted to {number}] until the [rain|storm] was over.",
    ),
    (  # an animal in need
        "{x.name} heard something {at}. it was a(n) {size} {animal.kind}.",
        "the {animal.kind} was [hungry|hurt|lost|cold]. [it could not find its way to the {animal.home}|it had lost its {animal.home}].",
        "[so {x.name} went to get|{x.name} had] some {animal.food}, for a {animal.kind} eats {animal.food}.",
        "?{y.name} brought a {colour} blanket.",
        "[soon|after {number} days] the {animal.kind} was [well|strong] again, and {x.he} took it to the {animal.home}.",
        "?one {season} day {x.name} lost {x.his} {thing}. the {animal.kind} found it {at2} and brought it back.",
    ),
    (  # a mistake and the truth
        "{x.name} [broke|dropped|lost] the {colour} {thing} of {y.name}.",
        "{x.he} was {sad} and [hid|went] {at}. [nobody had seen it|only the {animal.kind} had seen it].",
        "in the evening {y.name} asked, \"Where is my {thing}?\"",
        "{x.name} [did not want to lie|thought for a while]. \"i [broke|lost] it. i am sorry,\" {x.he} said.",
        "{y.name} was not angry. \"[it was only a(n) {state} {thing}|you told the truth, and that is good],\" {y.he} said.",
        "?the next day they made a new one out of {material}.",
    ),
    (  # a contest
        "{x.name} and {y.name} wanted to know who was [faster|stronger|better at singing].",
        "on {day} they met {at}. {z.name} [counted to three|held the {thing}|blew a whistle].",
        "?{y.name} [laughed|was proud|did not try hard], because {y.he} was sure to win.",
        "but {x.name} had [practised every day|slept well|eaten some {food}].",
        "[so|in the end] {x.name} won. {z.name} gave {x.him} a(n) {colour} {thing2}.",
        "\"well done,\" said {y.name}[, and {y.he} meant it|]. \"[next time i will try harder|i was too proud].\"",
    ),
    (  # making something
        "{x.name} [made|built] a {thing} out of {material}. it took {number} days.",
        "first {x.he} [got|borrowed] a {job.tool} from the {job.title}. then {x.he} [painted it {colour}|asked {y.name} for help].",
        "?{y.name} brought {things2} from the {place}.",
        "\"what will you do with it?\" asked {y.name}. \"[it is for {z.name}|i will sell it at the market|wait and see],\" said {x.name}.",
        "[when it was done|on {day}], {z.name} came and looked at it. \"[what a fine {thing}|how pretty|it is better than mine],\" {z.he} said.",
    ),
    (  # a journey
        "{x.name} had to bring a(n) {thing} to {y.name}, who lived near the {place2}.",
        "{x.he} went [on foot|by boat|on a horse|with a wagon]. on the way {x.he} saw a(n) {animal.kind}, [a {animal2.kind}|a(n) {colour} {thing2}] and {number} {fruit}.",
        "{at} {x.he} met {z.name}. \"where are you going?\" asked {z.name}. \"to the {place2},\" said {x.name}.",
        "?{z.name} gave {x.him} some {food} for the way.",
        "when {x.name} and {z.name} [came|got] to the {place2}, {x.name} gave the {thing} to {y.name}.",
        "?{y.name} was {glad}. \"you came so far!\" {y.he} said.",
    ),
    (  # a fear overcome
        "{x.name} was afraid of the {animal.kind} [in the {animal.home}|that lived near the {place}].",
        "[every night|every day] it {animal.sound}[, and {x.he} could not sleep|].",
        "\"[do not be afraid|come and see],\" said {y.name}. \"a {animal.kind} is only {animal.trait} and {animal.trait2}.\"",
        "they went there [together|with a lamp|with some {animal.food}]. the {animal.kind} ate the {animal.food} and [went back to sleep|looked at them].",
        "?\"[is that all?|how funny!]\" {x.name} said.",
        "[now|after that] {x.name} was not afraid any more.",
    ),
)

# Who gets what from whom: the second mention decides, as in the indirect
# object task of interpretability work.
GIVING = (
    "[when|after|while] {x.name} and {y.name} [went to|were at|came to] the {place}, "
    "{y.name} [gave|handed|brought|sold] [a|the] {thing} to <{x.name}>.",
    "[then|later|on {day}], {x.name} and {y.name} [had a long talk|met again|sat {at}]. "
    "{y.name} [gave|handed] [a|the] {thing} to <{x.name}>.",
    "{x.name} and {y.name} were {at}. {x.name} [gave|handed|lent] [a|the] {thing} to <{y.name}>.",
)


def story(rng):
    """One story of five to twelve sentences."""
    slots = cast(rng)
    steps = list(rng.choice(PLOTS))
    steps[0] = rng.choice(OPENINGS) + steps[0]
    if rng.random() < 0.35:
        steps.append(rng.choice(GIVING))
    steps.append(rng.choice(ENDINGS))
    if rng.random() < 0.3:
        steps.append("?" + rng.choice(ENDINGS))
    return tell(rng, steps, slots)


def giving(rng):
    """A few small scenes in which things change hands."""
    count = rng.randint(2, 5)
    return " ".join(say(rng, rng.choice(GIVING), **cast(rng)) for _ in range(count))

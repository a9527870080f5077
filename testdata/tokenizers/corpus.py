"""Training text and test strings for the tokenizer goldens; all made here, from a seed."""
import random

WORDS = """the of and to in a is that for it was on are as with his they at be this from have or by one had not
but what all were when we there can an your which their said if do will each about how up out them then she many
some so these would other into has more her two like him see time could no make than first been its who now
people my made over did down only way find use may water long little very after words called just where most know
get through back much before go good new write our used me man too any day same right look think also around
another came come work three word must because does part even place well such here take why things help put years
different away again off went old number great tell men say small every found still between name should home big
give air line set own under read last never us left end along while might next sound below saw something thought
both few those always looked show large often together asked house world going want school important until form
food keep children feet land side without boy once animal life enough took sometimes four head above kind began
almost live page got earth need far hand high year mother light parts country father let night following picture
being study second eyes soon times story boys since white days ever paper hard near sentence better best across
during today others however sure means knew try told young miles sun ways thing whole hear example heard several
change answer room sea against top turned learn point city play toward five using himself usually tokenizer
gradient attention transformer prompt tuning adapter matrix vector kernel buffer shader""".split()

FOREIGN = """ça déjà été garçon naïve œuvre über straße größe schön niño mañana corazón żółć łódź šťastný çok güzel
İstanbul привет мир большой слово язык λόγος κόσμος ἄνθρωπος שלום עולם مرحبا العالم کتاب नमस्ते दुनिया भाषा
வணக்கம் తెలుగు ಕನ್ನಡ മലയാളം বাংলা ਪੰਜਾਬੀ ગુજરાતી ไทย ภาษา ພາສາ မြန်မာ ភាសា ქართული հայերեն አማርኛ 你好 世界 语言
模型 日本語 こんにちは カタカナ 한국어 안녕하세요 ᏣᎳᎩ""".split()

CODE = [
    "def f(x):\n    return x + 1\n", "for (int i = 0; i < n; i++) {\n\tsum += a[i];\n}\n",
    "if err != nil {\n\t\treturn fmt.Errorf(\"x: %w\", err)\n\t}", "SELECT * FROM t WHERE id = 42 AND name = 'x';",
    "<div class=\"a\">\n  <p>Hi</p>\n</div>", "{\"a\": [1, 2.5, -3e10], \"b\": null}", "#include <stdio.h>\r\n\r\nint main(void)",
    "x = [i**2 for i in range(10)]  # squares", "    " * 4 + "deep", "\t\t\tif (a && b || !c) ...;;;", "a->b::c<d>(e&f|g^h~i)",
    "// ====================\n// ---- x ----", "https://example.org/a/b?c=d&e=f#g", "user.name+tag@example.org", "C:\\dir\\file.txt",
    "0x1F 0b101 1_000_000 3.14159 1e-5 ½ ² Ⅳ ٣٤٥ १२३ 一二三",
]

SCRIPTS = [(0x41, 0x5A), (0x61, 0x7A), (0xC0, 0x24F), (0x1E00, 0x1EFF), (0x370, 0x3FF), (0x1F00, 0x1FFF), (0x400, 0x52F),
           (0x531, 0x58F), (0x591, 0x5F4), (0x600, 0x6FF), (0x700, 0x74F), (0x900, 0x97F), (0x980, 0x9FF), (0xA01, 0xA76),
           (0xA81, 0xAFF), (0xB82, 0xBFA), (0xC00, 0xC7F), (0xC80, 0xCF2), (0xD00, 0xD7F), (0xE01, 0xE5B), (0xE80, 0xEDF),
           (0xF00, 0xFDA), (0x1000, 0x109F), (0x10A0, 0x10FF), (0x1100, 0x11FF), (0x1200, 0x139F), (0x13A0, 0x13FD),
           (0x1780, 0x17F9), (0x1800, 0x18AA), (0x3041, 0x30FF), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3), (0x10330, 0x1034A),
           (0x10D40, 0x10D85), (0x1D400, 0x1D7FF), (0x20000, 0x2A6DF), (0x2EBF0, 0x2EE5D)]

EMOJI = ["😀", "👍🏽", "👨‍👩‍👧‍👦", "🏳️‍🌈", "🇩🇪", "❤️", "1️⃣", "🤷🏿‍♀️", "☃", "✈︎", "🧑🏻‍❤️‍💋‍🧑🏼", "🫠", "🏴󠁧󠁢󠁳󠁣󠁴󠁿"]
SPACES = [" ", "  ", "\t", "\n", "\r", "\r\n", "\n\n", "\u00a0", "\u2003", "\u3000", "\u2028", "\u0085", "\v", "\f", "\u200b",
          "\ufeff", "▁", "▁▁", "\u1680", "\u202f", "\u180e", "\x1c", "\x1f"]
CONTROL = [chr(c) for c in list(range(0, 32)) + [0x7F, 0x80, 0x9F, 0xAD, 0x200D, 0x200E, 0x2066, 0xFFFD, 0xFFFE, 0xFFFF, 0x10FFFF]]
CONTRACTIONS = ["I'm", "don't", "we'll", "they've", "it's", "he'd", "you're", "I'M", "DON'T", "IT'S", "we'LL", "X'ſ", "'ſ", "'s",
                "''s", "' s", "'sit", "'REx", "’s", "O'Neil", "rock'n'roll", "'tis", "'Dx", "'vE", "'llx", "'K"]
SPECIAL = ["<s>", "</s>", "<unk>", "<pad>", "<bos>", "<eos>", "[INST]", "[/INST]", "[TOOL]", "<start_of_turn>", "<end_of_turn>",
           "<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>", "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<T>", "<Tx>",
           "<sep>", "<mask>", "word", "Norm al", "<0x0A>", "<0xE2>", "<0xFG>"]


def sentence(rng, n):
    out = []
    for _ in range(n):
        w = rng.choice(WORDS if rng.random() < 0.9 else FOREIGN)
        out.append(w.capitalize() if rng.random() < 0.1 else w)
    return " ".join(out) + rng.choice([".", "!", "?", ",", ";", "...", ""])


def training_text(seed=1, lines=3000):
    rng = random.Random(seed)
    text = [sentence(rng, rng.randint(3, 14)) for _ in range(lines)]
    for i in range(0, lines, 12):
        text[i] = rng.choice(CODE)
    for i in range(5, lines, 17):
        text[i] += " " + str(rng.randint(0, 10 ** rng.randint(1, 6)))
    for i in range(7, lines, 31):
        text[i] = rng.choice(["  ", "    ", "\n\n", "\t"]) + text[i] + rng.choice(["  ", "\n", "\n\n"])
    return text


def letters(rng, n):
    lo, hi = rng.choice(SCRIPTS)
    return "".join(chr(rng.randint(lo, hi)) for _ in range(n))


def point(rng):
    while True:
        c = rng.choice([rng.randint(0, 0x2FF), rng.randint(0, 0xFFFF), rng.randint(0, 0x10FFFF), rng.randint(0x2000, 0x33FF)])
        if not 0xD800 <= c <= 0xDFFF:
            return chr(c)


def mixed(rng, n):
    def one():
        k = rng.randrange(11)
        if k < 3:
            return rng.choice(WORDS)
        return [rng.choice(FOREIGN), rng.choice(SPACES), rng.choice(EMOJI), rng.choice(CONTRACTIONS), rng.choice(SPECIAL),
                point(rng), str(rng.randint(0, 99999)), rng.choice(["!", "--", "...", "\"", "(", ")", "%", "/", "\\", "=>", "€"])][k - 3]
    return "".join(one() + rng.choice(["", "", " "]) for _ in range(n))


def test_strings(seed=2, full=True):
    rng = random.Random(seed)
    scale = 1 if full else 0.12
    out = ["", " ", "  ", "\n", "▁", "▁▁", " ▁", "▁ ", "a", " a", "a ", "  a  b  ", "\n a", "aaaaa", "é", "e\u0301", "ﬁ ½ Å Å", "İi", "ΑΣ",
           "\u0344", "각", "<0x41>", "'", "''", "\r\n\r\n a", " \n \n  a", "a\n\n\nb", "   \n", "1234567", "12 345", "a1b22", "٣٤٥٦", "Ⅳ½²"]
    add = lambda n, f: out.extend(f() for _ in range(max(1, int(n * scale))))
    add(350, lambda: sentence(rng, rng.randint(1, 9)))
    add(260, lambda: " ".join(letters(rng, rng.randint(1, 5)) for _ in range(rng.randint(1, 3))))
    add(120, lambda: "".join(rng.choice(SPACES) for _ in range(rng.randint(1, 7))))
    add(120, lambda: "".join(rng.choice(SPACES) * rng.randint(0, 3) + rng.choice(WORDS) for _ in range(rng.randint(1, 4))))
    add(80, lambda: "".join(rng.choice(CONTROL) + rng.choice(["", "x"]) for _ in range(rng.randint(1, 5))))
    add(80, lambda: "".join(rng.choice(EMOJI) + rng.choice(["", " ", "a"]) for _ in range(rng.randint(1, 3))))
    add(250, lambda: "".join(rng.choice(SPECIAL) + rng.choice(["", " ", "  ", "\n", "x", "x ", " \t"]) for _ in range(rng.randint(1, 5))))
    add(120, lambda: " ".join(rng.choice(CONTRACTIONS) for _ in range(rng.randint(1, 3))))
    add(150, lambda: "".join(point(rng) for _ in range(rng.randint(1, 6))))
    add(80, lambda: rng.choice([" ", "a", "=", "-", "!", "ab", "▁", "\n", "1", "é", "😀", " \n", "the "]) * rng.randint(2, 70))
    add(450, lambda: mixed(rng, rng.randint(2, 8)))
    add(40, lambda: rng.choice(CODE)[: rng.randint(5, 60)])
    return list(dict.fromkeys(out))

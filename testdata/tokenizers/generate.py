"""Makes the tokenizer goldens: small tokenizers trained on generated text, and what Hugging Face `tokenizers`
and Google `sentencepiece` make of the test strings. See README.md for the files.

Usage: python generate.py [DATA]    DATA: folder with real vocabularies (tokenizers/, stories260k-hf/); optional
"""
import gzip, hashlib, io, json, os, random, sys

import sentencepiece as spm
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from corpus import test_strings, training_text

HERE = os.path.dirname(os.path.abspath(__file__))
TEXT = training_text()
LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = LLAMA3.replace("{1,3}", "")
TEKKEN = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|"
          r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def learn(pre, size, alphabet=()):
    """BPE vocabulary and merges of the training text under a pre-tokenizer."""
    tk = Tokenizer(models.BPE())
    tk.pre_tokenizer = pre
    tk.train_from_iterator(TEXT, trainers.BpeTrainer(vocab_size=size, initial_alphabet=list(alphabet), show_progress=False, limit_alphabet=170 + len(alphabet)))
    model = json.loads(tk.to_str())["model"]
    return model["vocab"], [tuple(m) for m in model["merges"]]


def sp_model(special, size=650, spaces=True, crossing=False, **options):
    """A model as converters make it of a SentencePiece one: specials, bytes, pieces."""
    pre = pre_tokenizers.Metaspace(prepend_scheme="always", split=not crossing)
    learned, merges = learn(pre, size, "▁\nabcdefghijklmnopqrstuvwxyz")
    vocab = {t: i for i, t in enumerate(special)}
    for b in range(256):
        vocab[f"<0x{b:02X}>"] = len(vocab)
    for t in sorted(learned, key=learned.get):
        vocab.setdefault(t, len(vocab))
    if spaces:
        merges = [(c * n, c * n) for c in "▁\n" for n in (1, 2, 4, 8)] + [("▁" * 2, "▁")] + merges
        for a, b in merges:
            vocab.setdefault(a + b, len(vocab))
    options = {"unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True} | options
    return models.BPE(vocab=vocab, merges=merges, **options)


def byte_model(pre, size=700, words=(), **options):
    vocab, merges = learn(pre, size, pre_tokenizers.ByteLevel.alphabet())
    for w in words:
        vocab.setdefault(w, len(vocab))
    return models.BPE(vocab=vocab, merges=merges, **options)


def bos(token, tk, eos=None):
    pieces = [(token, tk.token_to_id(token))] + ([(eos, tk.token_to_id(eos))] if eos else [])
    single = f"{token} $A" + (f" {eos}" if eos else "")
    return processors.TemplateProcessing(single=single, pair=f"{single} {token} $B", special_tokens=pieces)


def llama_decoder(strip=True):
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    return decoders.Sequence(steps + ([decoders.Strip(content=" ", left=1)] if strip else []))


def add(tk, *names, **flags):
    tk.add_special_tokens([AddedToken(n, normalized=False, special=True, **flags) for n in names])


LLAMA = ["<unk>", "<s>", "</s>"]
LEGACY = lambda: normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])


def llama2_legacy(**options):
    tk = Tokenizer(sp_model(LLAMA, **options))
    tk.normalizer, tk.decoder = LEGACY(), llama_decoder()
    add(tk, *LLAMA)
    tk.post_processor = bos("<s>", tk)
    return tk


def metaspace(scheme, split, **options):
    tk = Tokenizer(sp_model(LLAMA, size=520, **options))
    tk.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme, split=split)
    tk.decoder = decoders.Metaspace(prepend_scheme=scheme, split=split) if split else llama_decoder()
    add(tk, *LLAMA)
    tk.post_processor = bos("<s>", tk, "</s>")
    return tk


def mistral_v3():
    tk = Tokenizer(sp_model(LLAMA + ["[INST]", "[/INST]", "[TOOL]"], size=520))
    tk.pre_tokenizer, tk.decoder = pre_tokenizers.Metaspace(prepend_scheme="first", split=False), llama_decoder()
    add(tk, *LLAMA, "[INST]", "[/INST]", "[TOOL]", "<T>", "<Tx>")
    add(tk, "<mask>", lstrip=True)
    add(tk, "<sep>", lstrip=True, rstrip=True)
    tk.add_tokens([AddedToken("word", normalized=False, single_word=True), AddedToken("Norm al", normalized=True)])
    tk.post_processor = bos("<s>", tk)
    return tk


def legacy_added():
    """Added tokens under the normalizer, which changes what is matched."""
    tk = Tokenizer(sp_model(LLAMA, size=480))
    tk.normalizer, tk.decoder = LEGACY(), llama_decoder()
    add(tk, *LLAMA)
    tk.add_tokens([AddedToken("Norm al", normalized=True), AddedToken("<T>", normalized=True, rstrip=True),
                   AddedToken("word", normalized=True, single_word=True), AddedToken("[INST]", normalized=False, rstrip=True)])
    return tk


def gemma(split=False):
    tk = Tokenizer(sp_model(["<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"]))
    tk.normalizer, tk.decoder = normalizers.Replace(" ", "▁"), llama_decoder(strip=False)
    if split:
        tk.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    add(tk, "<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>")
    tk.add_tokens([AddedToken(c * n, normalized=False) for c in "\n▁" for n in (2, 3, 4)])
    tk.post_processor = bos("<bos>", tk)
    return tk


def byte_split(pattern, words=(), template=True, **options):
    pre = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tk = Tokenizer(byte_model(pre, words=words, **options))
    tk.pre_tokenizer, tk.decoder = pre, decoders.ByteLevel()
    add(tk, "<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>")
    tk.add_tokens([AddedToken("été", normalized=False), AddedToken("語 言", normalized=True), AddedToken(" word ", normalized=False)])
    tk.post_processor = processors.ByteLevel(trim_offsets=False)
    if template:
        tk.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), bos("<|begin_of_text|>", tk)])
    return tk


def gpt2(prefix_space):
    pre = pre_tokenizers.ByteLevel(add_prefix_space=prefix_space)
    tk = Tokenizer(byte_model(pre, size=600))
    tk.pre_tokenizer, tk.decoder, tk.post_processor = pre, decoders.ByteLevel(), processors.ByteLevel(trim_offsets=True)
    add(tk, "<|endoftext|>")
    return tk


def smollm():
    pre = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])
    tk = Tokenizer(byte_model(pre, size=600))
    tk.pre_tokenizer, tk.decoder = pre, decoders.ByteLevel()
    add(tk, "<|endoftext|>", "<|im_start|>", "<|im_end|>")
    return tk


def to_strings(doc):
    doc["model"]["merges"] = [" ".join(m) for m in doc["model"]["merges"]]


def old_metaspace(doc):
    for part in (doc["pre_tokenizer"], doc["decoder"]):
        part["add_prefix_space"] = part["prepend_scheme"] != "never"
        part["str_rep"] = part["replacement"]
        del part["split"]
        if part["add_prefix_space"]:
            del part["prepend_scheme"]


PIPELINES = {  # name: (tokenizer, changes of the saved document that older versions wrote)
    "llama2-legacy": (llama2_legacy, to_strings),
    "llama2-crossing": (lambda: llama2_legacy(crossing=True, size=520), None),
    "llama2-nobytes": (lambda: llama2_legacy(byte_fallback=False, size=480, spaces=False), to_strings),
    "legacy-added": (legacy_added, None),
    "metaspace-first": (lambda: metaspace("first", False), None),
    "metaspace-first-split": (lambda: metaspace("first", True, fuse_unk=False, byte_fallback=False), None),
    "metaspace-always": (lambda: metaspace("always", True), old_metaspace),
    "metaspace-never": (lambda: metaspace("never", True), old_metaspace),
    "mistral-v3": (mistral_v3, None),
    "gemma": (gemma, None),
    "gemma-split": (lambda: gemma(split=True), to_strings),
    "llama3": (lambda: byte_split(LLAMA3, words=["Ġtokenizers", "indistinguish", "Ġð", "!!!!!"], template=False, ignore_merges=True), to_strings),
    "llama3-bos": (lambda: byte_split(LLAMA3, size=600), None),
    "qwen2": (lambda: byte_split(QWEN2, size=500), None),
    "tekken": (lambda: byte_split(TEKKEN, size=500), None),
    "gpt2": (lambda: gpt2(False), to_strings),
    "gpt2-prefix": (lambda: gpt2(True), None),
    "smollm2": (smollm, to_strings),
}

DIGESTS = {"llama2-crossing", "llama2-nobytes", "metaspace-first-split", "metaspace-never", "gpt2-prefix", "qwen2", "llama3-bos", "gemma-split"}


def stages():
    """Single stages in a bare tokenizer: (normalizer, pre-tokenizer, decoder)."""
    B = ["removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"]
    S, N, D = pre_tokenizers, normalizers, decoders
    out = [(None, S.Split(p, b, invert=i), None) for p in ("a", Regex(r"\s+"), Regex(r"a|[^\s\d_]+?b")) for b in B for i in (False, True)]
    out += [(None, S.Split(".", b), None) for b in B[:2]] + [(None, S.Digits(individual_digits=i), None) for i in (False, True)]
    out += [(n, None, None) for n in (N.NFC(), N.NFD(), N.NFKC(), N.NFKD(), N.Lowercase(), N.Strip(), N.Strip(left=False), N.Strip(right=False),
            N.Replace(Regex(r"\s+"), " "), N.Replace("ab", ""), N.Replace(Regex("[aeiou]*"), "_"), N.Sequence([N.NFKC(), N.Prepend("x"), N.Lowercase()]))]
    out += [(None, None, d) for d in (D.Fuse(), D.ByteFallback(), D.Metaspace(), D.Metaspace(prepend_scheme="never"), D.Strip("a", 1, 0),
            D.Sequence([D.Fuse(), D.Replace("ab", "X")]), D.Sequence([D.Fuse(), D.Metaspace()]), D.Sequence([D.ByteLevel(), D.Strip("a", 2, 0)]),
            D.Sequence([D.Fuse(), D.Fuse(), D.ByteFallback()]), D.Replace(Regex("[a-c]+"), "-"))]
    out += [(N.Replace(" ", "▁"), S.Sequence([S.Split(Regex("b"), "isolated"), S.Metaspace(prepend_scheme="first")]), None)]
    return out


def stage_tokenizer(normalizer, pre, decoder):
    chars = [chr(c) for c in range(32, 127)] + ["▁", "\n", "é", "e\u0301"[1], "Å", "ﬁ", "½", "Ġ", "ö"]
    merges = [("a", "b"), ("t", "h"), ("th", "e"), ("a", "a"), ("▁", "a"), (" ", "a"), ("1", "2"), ("é", "a")]
    vocab = {t: i for i, t in enumerate(["<unk>", "<0x41>", "<0xC3>", "<0xA9>"] + chars)}
    for a, b in merges:
        vocab.setdefault(a + b, len(vocab))
    tk = Tokenizer(models.BPE(vocab=vocab, merges=merges, unk_token="<unk>"))
    for name, part in (("normalizer", normalizer), ("pre_tokenizer", pre), ("decoder", decoder)):
        if part is not None:
            setattr(tk, name, part)
    return tk


def surroundings(tk):
    """What special tokens put before and behind a text."""
    ids, full = tk.encode("the", add_special_tokens=False).ids, tk.encode("the").ids
    at = next(i for i in range(len(full) + 1) if full[i:i + len(ids)] == ids)
    return [full[:at], full[at + len(ids):]]


def golden(tk, strings, seed=3, randoms=150, digest=False):
    """Ids, what special tokens add around them, and decodes that differ from the text.

    With digest a string's entry is a hash of the three, for pipelines that are close to another one.
    """
    lines, wrap = [], surroundings(tk)
    for s in strings:
        ids, full = tk.encode(s, add_special_tokens=False).ids, tk.encode(s).ids
        assert full == wrap[0] + ids + wrap[1], s
        skip, raw = tk.decode(full, skip_special_tokens=True), tk.decode(full, skip_special_tokens=False)
        if digest:
            lines.append(hashlib.sha256("\n".join([" ".join(map(str, ids)), skip, raw]).encode()).hexdigest()[:10])
        else:
            lines.append([ids, None if skip == s else skip, None if raw == skip else raw])
    rng, size = random.Random(seed), tk.get_vocab_size()
    decodes = []
    for _ in range(randoms):
        ids = [rng.randint(0, min(size - 1, 320)) if rng.random() < 0.6 else rng.randint(0, size + 3) for _ in range(rng.randint(0, 12))]
        decodes.append([ids, tk.decode(ids, skip_special_tokens=True), tk.decode(ids, skip_special_tokens=False)])
    return {"wrap": wrap, "strings": lines, "decodes": decodes}


def write(name, lines):
    """Writes JSON lines, gzipped without a time stamp so that runs are equal."""
    data = "".join(json.dumps(l, ensure_ascii=False, separators=(",", ":")) + "\n" for l in lines).encode()
    with open(os.path.join(HERE, name), "wb") as f, gzip.GzipFile("", "wb", 9, f, mtime=0) as z:
        z.write(data)


def save(name, tk, change):
    doc = json.loads(tk.to_str())
    if change:
        change(doc)
    text = json.dumps(doc, ensure_ascii=False, separators=(",", ":"))
    os.makedirs(os.path.join(HERE, name), exist_ok=True)
    with open(os.path.join(HERE, name, "tokenizer.json"), "w") as f:
        f.write(text + "\n")
    return Tokenizer.from_str(text)


def sentencepiece_model():
    out = io.BytesIO()
    spm.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXT), model_writer=out, model_type="bpe", vocab_size=900, byte_fallback=True, character_coverage=0.995,
        normalization_rule_name="identity", remove_extra_whitespaces=False, user_defined_symbols=["[TOOL]", "▁▁", "<T>", "<Tx>"],
        control_symbols=["[INST]"], num_threads=1, minloglevel=2, split_digits=True, allow_whitespace_only_pieces=True)
    os.makedirs(os.path.join(HERE, "sentencepiece"), exist_ok=True)
    with open(os.path.join(HERE, "sentencepiece", "tokenizer.model"), "wb") as f:
        f.write(out.getvalue())
    return out.getvalue()


def sentencepiece_golden(model, strings):
    """Ids of strings without control symbols, which SentencePiece does not look for in text."""
    sp = spm.SentencePieceProcessor(model_proto=model)
    control = [sp.id_to_piece(i) for i in range(sp.get_piece_size()) if sp.is_control(i) or sp.is_unknown(i)]
    keep = [s for s in strings if "\0" not in s and not any(c in s for c in control)]
    return [[s, sp.encode(s), sp.decode(sp.encode(s))] for s in keep]


def main():
    strings = test_strings()
    write("strings.gz", strings)
    for name, (make, change) in PIPELINES.items():
        g = golden(save(name, make(), change), strings, digest=name in DIGESTS)
        write(os.path.join(name, "golden.gz"), [g["wrap"], g["strings"], g["decodes"]])
    few = test_strings(seed=4, full=False)
    rows = []
    for parts in stages():
        tk = stage_tokenizer(*parts)
        g = golden(tk, few, randoms=60)
        rows.append({"tokenizer": json.loads(tk.to_str()), "wrap": g["wrap"], "strings": g["strings"], "decodes": g["decodes"]})
    write("stages.gz", [few] + rows)
    write("sentencepiece/golden.gz", sentencepiece_golden(sentencepiece_model(), strings))
    if len(sys.argv) > 1:
        real(sys.argv[1])


def real(data):
    """Ids under published vocabularies, which are not part of the repository."""
    few = test_strings(seed=5, full=False)
    rows = [few]
    for name in ("tokenizers/llama2", "tokenizers/mistral-v0.1", "tokenizers/gemma", "stories260k-hf"):
        tk = Tokenizer.from_file(os.path.join(data, name, "tokenizer.json"))
        g = golden(tk, few, randoms=50)
        rows.append({"folder": name, "wrap": g["wrap"], "strings": g["strings"], "decodes": g["decodes"]})
    for name in ("tokenizers/llama2", "tokenizers/mistral-v0.1", "tokenizers/mistral-v0.3"):
        with open(os.path.join(data, name, "tokenizer.model"), "rb") as f:
            rows.append({"folder": name, "sentencepiece": sentencepiece_golden(f.read(), few)})
    write("real.gz", rows)


if __name__ == "__main__":
    main()

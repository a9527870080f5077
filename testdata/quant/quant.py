"""Makes golden.json.gz: quantized blocks and their values as gguf-py and bitsandbytes have them. See README.md.

Usage: python quant.py    Versions: ../requirements.txt.
"""
import base64, gzip, json, os

import gguf
import numpy as np
import torch
from bitsandbytes import functional as bnb
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType as Type

HERE = os.path.dirname(os.path.abspath(__file__))
rng = np.random.default_rng(0)

# binary16 scales: zeros, the smallest and largest subnormals, one, a third, the largest numbers; both signs
SCALES = np.array([0, 0x8000, 1, 0x8001, 0x3FF, 0x83FF, 0x3C00, 0xBC00, 0x3555, 0x7BFF, 0xFBFF], np.uint16)
# Where the binary16 numbers of a block are, and which types gguf-py can pack.
SCALE_AT = {"Q8_0": [0], "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208]}
PACKS = ["Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1"]


def text(array):
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


def random_blocks(kind):
    """Random blocks; some have extreme scales, or all bits of the rest clear or set."""
    block, size = GGML_QUANT_SIZES[Type[kind]]
    data = rng.integers(0, 256, (2 * len(SCALES) + 10, size), np.uint8)
    data[0], data[1] = 0, 0xFF  # the latter with other scales below
    data[2] = 0x80              # -128 where integers are signed
    for at in SCALE_AT[kind]:
        scales = rng.integers(0, 0x7C00, len(data)).astype(np.uint16) | (rng.integers(0, 2, len(data)) << 15).astype(np.uint16)
        scales[3:3 + len(SCALES)] = SCALES
        scales[3 + len(SCALES):3 + 2 * len(SCALES)] = rng.permutation(SCALES)
        data[1:, at:at + 2] = scales[1:, None].view(np.uint8)
    return data


def values_to_pack():
    """[blocks, 64] float32: blocks of 64 whose halves are blocks of 32 too."""
    normal = rng.standard_normal((12, 64)).astype(np.float32)
    normal *= np.array([1, 1, 1, 0.02, 0.02, 1e-3, 1e-6, 1e-9, 100, 1e5, -1, 3], np.float32)[:, None]
    zeros = np.zeros((2, 64), np.float32)
    zeros[1] = -0.0  # not mixed: which of the two zeros numpy takes for the minimum depends on the processor
    equal = np.full((2, 64), 0.7, np.float32)
    equal[1] *= -1
    steps = np.tile(np.arange(-16, 16, dtype=np.float32), 2)                  # many ties
    signs = np.where(np.arange(64) % 2, 1, -1).astype(np.float32)             # equal magnitudes
    outlier = np.where(np.arange(64) % 32 == 9, -50, 0.3).astype(np.float32)  # one large value
    halves = np.tile(np.arange(32, dtype=np.float32) * 4 - 63.5, 2)
    halves[[0, 32]] = 127                                                     # Q8_0 rounds halves away from zero
    return np.concatenate([normal, zeros, equal, np.stack([steps, steps / 3, signs, outlier, halves])])


def four_bit(kind, values):
    """What bitsandbytes packs, and random indices as it unpacks them."""
    packed, state = bnb.quantize_4bit(torch.from_numpy(values), blocksize=64, quant_type=kind)
    bytes_ = rng.integers(0, 256, (24, 32), np.uint8)
    bytes_[0], bytes_[1] = np.arange(32) * 8, 0x0F
    absmax = rng.random(24, np.float32) + np.float32(1e-3)
    absmax[:4] = [0, 1, 1e-40, 3e38]
    loose = bnb.QuantState(absmax=torch.from_numpy(absmax), shape=torch.Size([24, 64]), code=state.code, blocksize=64, quant_type=kind, dtype=torch.float32)
    unpacked = bnb.dequantize_4bit(torch.from_numpy(bytes_.reshape(-1, 1)), loose)
    join = lambda absmax, data: text(np.concatenate([absmax[:, None].view(np.uint8), data.reshape(-1, 32)], 1))
    return {"blocks": join(absmax, bytes_), "unpacked": text(unpacked.numpy()), "packed": join(state.absmax.numpy(), packed.numpy())}


def nested():
    """Scales of bitsandbytes' double quantization: 700 of them, in blocks of 256."""
    absmax = (rng.random(700, np.float32) * 0.2 + 0.01).astype(np.float32)
    values = np.repeat(absmax, 64) * np.where(np.arange(700 * 64) % 2, 1, -1).astype(np.float32)
    _, state = bnb.quantize_4bit(torch.from_numpy(values), blocksize=64, quant_type="nf4", compress_statistics=True)
    out = bnb.dequantize_blockwise(state.absmax, state.state2) + state.offset
    return {"indices": text(state.absmax.numpy()), "code": text(state.state2.code.numpy()), "scales": text(state.state2.absmax.numpy()),
            "offset": float(state.offset), "block": state.state2.blocksize, "absmax": text(out.numpy())}


def main():
    values = values_to_pack()
    golden = {"values": text(values), "types": {}, "nested": nested()}
    for kind in SCALE_AT:
        blocks = random_blocks(kind)
        entry = {"blocks": text(blocks), "unpacked": text(gguf.quants.dequantize(blocks, Type[kind]))}
        if kind in PACKS:
            entry["packed"] = text(gguf.quants.quantize(values, Type[kind]))
        golden["types"][kind.lower()] = entry
    for kind in "nf4", "fp4":
        golden["types"][kind] = four_bit(kind, values)
    with open(os.path.join(HERE, "golden.json.gz"), "wb") as f:
        f.write(gzip.compress(json.dumps(golden, indent=0).encode(), 9, mtime=0))


main()

"""Writes v3.gguf and v2.gguf with gguf-py: python testdata/gguf/generate.py (packages: ../requirements.txt).

All value types but those that nobody writes, and a tensor of every type that gpupeft reads. The data of the tensors
are random bytes. Versions 2 and 3 have the same layout.
"""

import pathlib

import gguf
import numpy as np

HERE = pathlib.Path(__file__).parent
TYPES = ["F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q4_K", "Q5_K", "Q6_K"]


def main():
    w = gguf.GGUFWriter(HERE / "v3.gguf", "llama")
    w.add_custom_alignment(32)
    w.add_uint32("llama.block_count", 2)
    w.add_int32("negative", -5)
    w.add_float32("llama.rope.freq_base", 10000.0)
    w.add_bool("flag", True)
    w.add_string("text", "größer")
    w.add_array("strings", ["a", "", "ccc"])
    w.add_array("ints", [1, 2, -3])
    w.add_array("floats", [0.25, -1.0])
    rng = np.random.default_rng(1)
    for name in TYPES:
        kind = gguf.GGMLQuantizationType[name]
        block, size = gguf.GGML_QUANT_SIZES[kind]
        data = rng.integers(0, 256, (3, 256 // block * size), dtype=np.uint8)
        w.add_tensor("w." + name.lower(), data, raw_dtype=kind)
    w.add_tensor("vector", np.arange(5, dtype=np.float32))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    data = bytearray((HERE / "v3.gguf").read_bytes())
    data[4] = 2
    (HERE / "v2.gguf").write_bytes(data)


main()

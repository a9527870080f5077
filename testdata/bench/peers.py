"""gpupeft beside its peers, as a Markdown table: python testdata/bench/peers.py [--threads N] [--cpus LIST] [--rounds N].

Each job runs in gpupeft (`gpupeft bench`, random weights of the model's shape; products of matrices and what package
interp does by `go test`) and in a peer (hf.py, llama.py, tl.py), one after the other, --rounds times. A program prints the median of its calls; the table
has the medians of the rounds and their ratio. Rates are tokens a second, or GFLOP/s, by the clock and for each second of
processor time of all threads, which says more on a machine that others use too. Memory is the peak of the process.

Beside ./gpupeft it needs out/python and out/smollm2/hf, for llama.cpp out/llama and for TransformerLens
out/python-interp (make bench-peers makes all).
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(__file__)
PYTHON, LLAMA, LENS = "out/python/bin/python", "out/llama/bin/python", "out/python-interp/bin/python"

# name, gpupeft's part, type of the matrices, batch, length, the peer's job
JOBS = [
    ("LoRA r 8 on q, v, 4×128", "step", "f32", 4, 128, "lora"),
    ("LoRA r 8 on q, v, 1×512", "step", "f32", 1, 512, "lora"),
    ("LoRA r 8 on q, v, 8×20", "step", "f32", 8, 20, "lora"),
    ("… Q4_1 here, f32 there, 4×128", "step", "q4_1", 4, 128, "lora"),
    ("soft prompt of 20, 4×128", "prompt", "f32", 4, 128, "prompt"),
    ("soft prompt of 20, 1×512", "prompt", "f32", 1, 512, "prompt"),
    ("prompt processing, 1×512", "prefill", "f32", 1, 512, "prefill"),
    ("greedy decoding", "decode", "f32", 1, 32, "decode"),
    ("greedy decoding, Q4_1", "decode", "q4_1", 1, 32, "llama"),
]
# name, gpupeft's part (BenchmarkInterp), type of the matrices, TransformerLens' job; of 10 sequences: BOS and twice 50 tokens
INSIDE = [
    ("all pattern scores, there the patterns alone, 10×101", "patterns", "f32", "patterns"),
    ("… Q4_1 here, f32 there, 10×101", "patterns", "q4_1", "patterns"),
    ("… and some scores there, 10×101", "patterns", "f32", "scores"),
    ("all activations, 10×101", "capture", "f32", "everything"),
    ("… into a file here, 10×101", "file", "f32", "everything"),
]
PRODUCTS = ["64x2048x2048", "512x2048x2048", "1024x1024x1024"]


def run(command, options):
    """A program's output and the peak of its memory, in MB."""
    env = dict(os.environ, OMP_NUM_THREADS=str(options.threads), GOMAXPROCS=str(options.threads), OMP_WAIT_POLICY="PASSIVE")
    if options.cpus:
        command = ["taskset", "-c", options.cpus, *command]
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen(command, stdout=out, stderr=err, env=env)
        _, status, usage = os.wait4(process.pid, 0)
        out.seek(0), err.seek(0)
        if status:
            sys.exit(f"{' '.join(command)} failed:\n{err.read().decode()[-2000:]}")
        return out.read().decode(), usage.ru_maxrss / 1024


def own(part, dtype, batch, length, options):
    text, memory = run(["./gpupeft", "bench", "--device", "cpu", "--json", "--parts", part, "--type", dtype,
                        "--batch", str(batch), "--length", str(length), "--time", f"{options.seconds}s"], options)
    r = json.loads(text)["results"][0]
    return {"rate": r["tokens"] / r["median_ns"] * 1e9, "cpu_rate": r["tokens"] / r["cpu_ns"] * 1e9, "memory": memory}


def own_product(shape, options):
    text, memory = run(["out/gemm.test", "-test.run", "^$", "-test.bench", f"^BenchmarkGemm$/^NT$/^{shape}$/^f32$",
                        "-test.benchtime", f"{options.seconds}s"], options)
    number = lambda unit: float(re.search(rf"([\d.]+) {unit}", text).group(1))
    return {"rate": number("median-GFLOP/s"), "cpu_rate": number("GFLOP/cpu-s"), "memory": memory}


def own_inside(part, dtype, options):
    text, memory = run(["out/interp.test", "-test.run", "^$", "-test.bench", f"^BenchmarkInterp$/^{dtype}$/^{part}$",
                        "-test.benchtime", f"{options.seconds}s"], options)
    number = lambda unit: float(re.search(rf"([\d.]+) {unit}", text).group(1))
    return {"rate": number("tokens/s"), "cpu_rate": number("tokens/cpu-s"), "memory": memory}


def lens(job, options):
    text, memory = run([LENS, f"{HERE}/tl.py", job, "10", "101"], options)
    return dict(json.loads(text.strip().splitlines()[-1]), memory=memory)


def peer(job, batch, length, options):
    if job == "llama":
        text, memory = run([LLAMA, f"{HERE}/llama.py"], options)
    else:
        text, memory = run([PYTHON, f"{HERE}/hf.py", job, str(batch), str(length)], options)
    return dict(json.loads(text.strip().splitlines()[-1]), memory=memory)


def line(name, first, second, options):
    """A row of the table, from runs by turns."""
    runs = [[], []]
    for _ in range(options.rounds):
        runs[0].append(first())
        runs[1].append(second())
    median = lambda side, key: statistics.median(r[key] for r in runs[side])
    cells = [name]
    for key, digits in (("rate", 1), ("cpu_rate", 1), ("memory", 0)):
        a, b = median(0, key), median(1, key)
        cells += [f"{a:,.{digits}f}", f"{b:,.{digits}f}", f"**{a / b:.2f}**"]
    print("| " + " | ".join(cells) + " |", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--cpus", help="processors to run on, as taskset takes them")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3, help="for each measurement of gpupeft's")
    parser.add_argument("--only", default="", help="jobs whose names contain this")
    options = parser.parse_args()
    print("| job | gpupeft, a second | peer | ratio | gpupeft, a CPU-second | peer | ratio | gpupeft, MB | peer | ratio |")
    print("| --- |" + " --- |" * 9)
    for shape in PRODUCTS:
        name = f"x·Wᵀ f32 {shape.replace('x', '×')}, GFLOP"
        if options.only in name:
            line(name, lambda: own_product(shape, options), lambda: peer(f"linear-{shape}", 0, 0, options), options)
    for name, part, dtype, batch, length, job in JOBS:
        if options.only in name and (job != "llama" or os.path.exists(LLAMA)):
            line(name, lambda: own(part, dtype, batch, length, options), lambda: peer(job, batch, length, options), options)
    for name, part, dtype, job in INSIDE:
        if options.only in name and os.path.exists(LENS):
            line(name, lambda: own_inside(part, dtype, options), lambda: lens(job, options), options)


main()

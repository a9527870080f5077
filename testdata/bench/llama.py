"""Greedy decoding of out/smollm2/model.gguf in llama.cpp: python testdata/bench/llama.py. Prints what hf.py prints.

The context holds 32 tokens before the first one that counts. Weights are used as stored: the library's repacked
copies end in a crash on machines whose AMX is announced but not usable, and are switched off.
"""

import json
import os
import resource
import statistics
import time

import llama_cpp as llama

TOKENS, BEFORE = 96, 32


def cpu():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


@llama.llama_log_callback
def quiet(level, text, data):
    pass


def context():
    options = llama.llama_model_default_params()
    options.use_extra_bufts = False
    model = llama.llama_model_load_from_file(b"out/smollm2/model.gguf", options)
    options = llama.llama_context_default_params()
    options.n_ctx = options.n_batch = options.n_ubatch = 256
    options.n_threads = options.n_threads_batch = int(os.environ["OMP_NUM_THREADS"])
    return llama.llama_init_from_model(model, options)


def feed(c, token, position):
    batch = llama.llama_batch_init(1, 0, 1)
    batch.n_tokens = 1
    batch.token[0], batch.pos[0], batch.logits[0] = token, position, True
    batch.n_seq_id[0], batch.seq_id[0][0] = 1, 0
    if llama.llama_decode(c, batch):
        raise RuntimeError("llama_decode failed")
    llama.llama_synchronize(c)
    llama.llama_batch_free(batch)


def main():
    llama.llama_log_set(quiet, None)
    c = context()
    clock, processor = [], []
    for i in range(BEFORE + TOKENS):
        start, used = time.perf_counter(), cpu()
        feed(c, 1000 + i, i)
        clock.append(time.perf_counter() - start)
        processor.append(cpu() - used)
    print(json.dumps({"rate": 1 / statistics.median(clock[BEFORE:]), "cpu_rate": 1 / statistics.median(processor[BEFORE:])}))


main()

"""Logits of GGUF models with GGUF adapters in llama.cpp, through llama-cpp-python: see check.py. A job without an
adapter runs the bare model. Keys and values are kept in float32, without flash attention."""

import ctypes

import check
import llama_cpp as llama
import numpy as np

F32 = 0  # ggml_type


@llama.llama_log_callback
def quiet(level, text, data):
    if level == 4:  # GGML_LOG_LEVEL_ERROR
        errors.append(text.decode())


errors = []


def context(model):
    options = llama.llama_context_default_params()
    options.n_ctx = options.n_batch = options.n_ubatch = 256
    options.n_threads = options.n_threads_batch = 1
    options.type_k = options.type_v = F32
    options.flash_attn_type = llama.LLAMA_FLASH_ATTN_TYPE_DISABLED
    return loaded(llama.llama_init_from_model(model, options))


def loaded(pointer):
    if not pointer:
        raise ValueError("".join(errors))
    return pointer


def forward(context, ids, vocab):
    batch = llama.llama_batch_init(len(ids), 0, 1)
    batch.n_tokens = len(ids)
    for i, token in enumerate(ids):
        batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.seq_id[i][0], batch.logits[i] = token, i, 1, 0, 1
    if llama.llama_decode(context, batch) != 0:
        raise ValueError("".join(errors))
    rows = [np.ctypeslib.as_array(llama.llama_get_logits_ith(context, i), shape=(vocab,)).copy() for i in range(len(ids))]
    llama.llama_batch_free(batch)
    return np.stack(rows)


def logits(job):
    errors.clear()
    options = llama.llama_model_default_params()
    options.n_gpu_layers = 0
    model = loaded(llama.llama_model_load_from_file(job["model"].encode(), options))
    vocab = llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(model))
    for ids in job["ids"]:
        c = context(model)
        if job["adapter"]:
            adapter = loaded(llama.llama_adapter_lora_init(model, job["adapter"].encode()))
            if llama.llama_set_adapters_lora(c, (llama.llama_adapter_lora_p_ctypes * 1)(adapter), 1, (ctypes.c_float * 1)(1.0)) != 0:
                raise ValueError("".join(errors))
        yield forward(c, ids, vocab)
        llama.llama_free(c)
    llama.llama_model_free(model)


if __name__ == "__main__":
    llama.llama_log_set(quiet, ctypes.c_void_p(0))
    llama.llama_backend_init()
    check.run(logits)

"""One job of peers.py in HF transformers and PEFT, in float32: python testdata/bench/hf.py JOB BATCH LENGTH.

Prints one line of JSON: tokens a second by the clock and by processor time, medians of CALLS calls after a first one.
JOB is lora or prompt (an optimizer step), prefill (the next token's logits behind a prompt), decode (greedy, one
token; the sequence begins with 32), or linear-MxNxK (GFLOP/s in place of tokens).
"""

import json
import os
import resource
import statistics
import sys
import time

import torch

CALLS = 5
MODEL = "out/smollm2/hf"
VOCABULARY = 49152
torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))


def cpu():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def measure(call, calls=CALLS):
    """Medians of a call's seconds, by the clock and of the processor."""
    call()
    clock, processor = [], []
    for _ in range(calls):
        start, used = time.perf_counter(), cpu()
        call()
        clock.append(time.perf_counter() - start)
        processor.append(cpu() - used)
    return statistics.median(clock), statistics.median(processor)


def model():
    import transformers

    return transformers.AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32)


def tokens(batch, length):
    return torch.randint(17, VOCABULARY, (batch, length), generator=torch.Generator().manual_seed(0))


def train(config, batch, length):
    import peft

    m = peft.get_peft_model(model(), config).train()
    optimizer = torch.optim.AdamW([p for p in m.parameters() if p.requires_grad], lr=1e-3, weight_decay=0)
    ids = tokens(batch, length)

    def step():
        m(input_ids=ids, labels=ids).loss.backward()
        torch.nn.utils.clip_grad_norm_(m.parameters(), 1)
        optimizer.step()
        optimizer.zero_grad()

    return measure(step), batch * length


def lora(batch, length):
    import peft

    return train(peft.LoraConfig(task_type="CAUSAL_LM", r=8, lora_alpha=16, target_modules=["q_proj", "v_proj"]), batch, length)


def prompt(batch, length):
    import peft

    return train(peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=20), batch, length)


@torch.inference_mode()
def prefill(batch, length):
    m, ids = model().eval(), tokens(batch, length)
    return measure(lambda: m(input_ids=ids, logits_to_keep=1)), batch * length


@torch.inference_mode()
def decode(batch, length):
    m, ids, new = model().eval(), tokens(batch, 32), 32
    times = [
        measure(lambda: m.generate(ids, max_new_tokens=n, min_new_tokens=n, do_sample=False, pad_token_id=0))
        for n in (1, 1 + new)
    ]
    return [long - short for short, long in zip(*times)], new


def linear(shape):
    m, n, k = map(int, shape.split("x"))
    x, w = torch.randn(m, k), torch.randn(n, k)
    with torch.inference_mode():
        return measure(lambda: torch.nn.functional.linear(x, w), 60), 2e-9 * m * n * k


def main():
    job = sys.argv[1]
    if job.startswith("linear-"):
        seconds, work = linear(job.removeprefix("linear-"))
    else:
        seconds, work = globals()[job](*map(int, sys.argv[2:]))
    print(json.dumps({"rate": work / seconds[0], "cpu_rate": work / seconds[1]}))


if __name__ == "__main__":
    main()

"""The two tasks and the methods: what both programs do, and who else has a method. Nothing but data; see README.md."""

import dataclasses
import os

OUT = "out/results"
DATA = "../shared/data"


@dataclasses.dataclass
class Task:
    name: str
    model: str
    steps: int
    batch: int
    test_rows: int
    width: int
    init_text: str
    pad: int
    classes: bool  # the first target of a row is an answer

    def path(self, *names):
        return os.path.join(OUT, self.name, *names)


SST2 = Task("sst2", "out/smollm2/hf", 40, 8, 218, 576, "Decide whether the review of a film is positive or negative.", 2, True)
STORIES = Task("stories", DATA + "/stories260k-hf", 150, 8, 64, 64, "A play by Shakespeare, in which they speak by turns.", 0, False)
TASKS = {task.name: task for task in (STORIES, SST2)}

LENGTH = 128  # tokens of a row of plain text
TOKENS = 20  # virtual ones, and those whose embeddings "tokens" trains
VECTORS = 10  # of LLaMA-Adapter
RANK, ALPHA = 8, 16
TARGETS = ["q_proj", "v_proj"]
HIDDEN = 128  # of P-tuning's encoders


@dataclasses.dataclass
class Method:
    title: str
    lr: dict  # by task
    flags: str  # gpupeft's, where it doesn't start from the library's file
    library: str = "peft"  # peft, adapterhub, torch or ""
    shared: bool = True  # both programs start from the same values


def always(lr):
    return {"sst2": lr, "stories": lr}


LORA_LR = {"sst2": 1.4e-3, "stories": 5e-3}  # gpupeft's default for these widths
FULL_LR = {"sst2": 1.4e-4, "stories": 5e-4}

METHODS = {
    "prompt": Method("prompt tuning, from a text", always(3e-2), ""),
    "ptuning": Method("P-tuning, MLP", always(1e-3), f"--method ptuning --virtual-tokens {TOKENS} --encoder-hidden {HIDDEN}", shared=False),
    "ptuning-lstm": Method(
        "P-tuning, LSTM", always(1e-3), f"--method ptuning --encoder lstm --virtual-tokens {TOKENS} --encoder-hidden {HIDDEN}", shared=False
    ),
    "prefix": Method("prefix tuning, from zero", always(1e-2), ""),
    "prefix-text": Method("prefix tuning, from a text's keys", always(1e-2), ""),
    "mpt": Method("multitask prompt tuning, one task", always(3e-2), ""),
    "lora": Method(f"LoRA r {RANK}", LORA_LR, ""),
    "rslora": Method(f"rsLoRA r {RANK}", LORA_LR, ""),
    "dora": Method(f"DoRA r {RANK}", LORA_LR, ""),
    "ia3": Method("(IA)³", always(5e-3), ""),
    "seq-bn": Method("bottleneck, Pfeiffer", LORA_LR, "", "adapterhub"),
    "double-seq-bn": Method("bottlenecks, Houlsby", LORA_LR, "", "adapterhub"),
    "par-bn": Method("bottleneck, parallel", LORA_LR, "", "adapterhub"),
    "llama-adapter": Method("LLaMA-Adapter", always(5e-3), ""),
    "llama-adapter-v2": Method("LLaMA-Adapter v2", always(5e-3), f"--method llama-adapter-v2 --virtual-tokens {VECTORS}", ""),
    "ln-tuning": Method("norms", LORA_LR, ""),
    "tokens": Method(f"embeddings of {TOKENS} tokens", always(1e-3), ""),
    "full": Method("all weights", FULL_LR, "--method full", "torch"),
}

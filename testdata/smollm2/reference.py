"""What the generators share: the model and its tokenizer, hashes."""

import hashlib

import torch
import transformers

MODEL = "out/smollm2/hf"
DATA = "../shared/data/data"
VERSIONS = {"torch": torch.__version__.split("+")[0], "transformers": transformers.__version__}

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()


def tokenizer(directory=MODEL):
    return transformers.AutoTokenizer.from_pretrained(directory)


def model(directory=MODEL, attention="eager"):
    """The model in float32; "eager" attention is written out, "sdpa" is torch's fused one, transformers' default."""
    m = transformers.AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32, attn_implementation=attention)
    return m.eval()


def sha256(data):
    return hashlib.sha256(data).hexdigest()

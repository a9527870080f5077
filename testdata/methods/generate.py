"""Writes the golden values of all PEFT methods beside this file: python testdata/methods/generate.py [KIND...]. See README.md."""

import os
import sys
import warnings

HERE = os.path.dirname(os.path.abspath(__file__))
GOLDEN = os.path.join(HERE, "..", "golden")


def main(kinds):
    # Hash order decides the order of target_modules in PEFT's adapter_config.json.
    if os.environ.get("PYTHONHASHSEED") != "0":
        os.environ.update(PYTHONHASHSEED="0", HF_HUB_OFFLINE="1", CUDA_VISIBLE_DEVICES="", OMP_NUM_THREADS="1")
        os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
        os.execv(sys.executable, [sys.executable, *sys.argv])
    sys.path[:0] = [HERE, GOLDEN]

    import torch
    import transformers

    import collect
    import methods

    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    # Relative model paths, so that base_model_name_or_path in the adapters names no machine's directory.
    os.chdir(GOLDEN)
    for kind in kinds or ["llama3", "mistral", "gemma2"]:
        for name in methods.METHODS:
            collect.write(kind, name, os.path.join(HERE, kind, name))


if __name__ == "__main__":
    main(sys.argv[1:])

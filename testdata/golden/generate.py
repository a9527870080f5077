"""Writes the golden values beside this file: python testdata/golden/generate.py [KIND...]. See README.md."""

import os
import sys
import warnings


def main(names):
    # Hash order decides the order of target_modules in PEFT's adapter_config.json.
    if os.environ.get("PYTHONHASHSEED") != "0":
        os.environ.update(PYTHONHASHSEED="0", HF_HUB_OFFLINE="1", CUDA_VISIBLE_DEVICES="", OMP_NUM_THREADS="1")
        os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
        os.execv(sys.executable, [sys.executable, *sys.argv])

    import torch
    import transformers

    from gen import collect, kinds, optim

    warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated")
    warnings.filterwarnings("ignore", message="Position ids are not supported")
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    # Relative model paths, so that base_model_name_or_path in the adapters names no machine's directory.
    os.chdir(os.path.dirname(os.path.abspath(__file__)))
    for kind in kinds.KINDS:
        if not names or kind.name in names:
            print(kind.name, flush=True)
            collect.write(kind)
    if not names or "optim" in names:
        optim.write("optim.json")


if __name__ == "__main__":
    main(sys.argv[1:])

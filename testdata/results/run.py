"""Tunes with every method in both programs, by turns: python testdata/results/run.py [TASK [METHOD...]]. See README.md.

Writes the tables too. A run whose figures are there isn't repeated. RESULTS_PREFIX is put in front of each command.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
import time

import tables
from settings import METHODS, OUT, TASKS

HERE = os.path.dirname(os.path.abspath(__file__))
GPUPEFT = os.environ.get("GPUPEFT", "./gpupeft")
PYTHON = {"adapterhub": os.environ.get("PYTHON_ADAPTERHUB", "out/python-adapterhub/bin/python")}
# OpenMP threads that spin while they wait take the time of the others, where the machine is shared.
ENVIRONMENT = os.environ | {"OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_OFFLINE": "1", "PYTHONDONTWRITEBYTECODE": "1"}
PREFIX = shlex.split(os.environ.get("RESULTS_PREFIX", ""))
DEVICE = "gpu" if os.environ.get("RESULTS_DEVICE", "cpu") != "cpu" else "cpu"


def run(command, output):
    """Runs a command with its output in a file; returns what its process has used."""
    print(time.strftime("%H:%M:%S"), " ".join(command), flush=True)
    with open(output, "w", encoding="utf-8") as f:
        process = subprocess.Popen([*PREFIX, *command], env=ENVIRONMENT, stdout=f, stderr=subprocess.STDOUT if output.endswith(".log") else None)
        _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise subprocess.CalledProcessError(os.waitstatus_to_exitcode(status), command)
    return usage


def read(path):
    with open(path, encoding="utf-8") as f:
        return json.load(f)


def run_hf(task, what, library):
    python = PYTHON.get(library, sys.executable)
    os.makedirs(task.path(what), exist_ok=True)
    run([python, os.path.join(HERE, "hf.py"), task.name, what], task.path(what, "hf.log"))


def run_gpupeft(task, name, method):
    """Trains, then evaluates what was saved."""
    at = lambda file: task.path(name, file)  # noqa: E731
    os.makedirs(task.path(name), exist_ok=True)
    shutil.rmtree(at("gpupeft"), ignore_errors=True)
    common = ["--model", task.model, "--device", DEVICE, "--batch-size", str(task.batch), "--quiet", "--json"]
    start = method.flags.split() or (["--init-adapter", at("init")] if os.path.exists(at("init")) else ["--method", name])
    loop = ["--steps", str(task.steps), "--lr", str(method.lr[task.name]), "--val-split", "0", "--no-shuffle"]
    files = ["--data", task.path("train.jsonl"), "--out", at("gpupeft"), "--log-jsonl", at("gpupeft.jsonl")]
    used = run([GPUPEFT, "tune", *common, *files, *loop, *start], at("tune.json"))
    evaluate(task, name, ["--adapter", at("gpupeft")])
    tuned, tested = read(at("tune.json")), read(at("eval.json"))["tuned"]
    with open(at("gpupeft.jsonl"), encoding="utf-8") as f:
        losses = [json.loads(line)["loss"] for line in f]
    figures = {"parameters": tuned["params"], "losses": losses, "seconds": tuned["seconds"], "tokens": tuned["tokens"]}
    figures |= {"peak_gpu": tuned["peak_bytes"] if DEVICE == "gpu" else 0, "peak_rss": used.ru_maxrss * 1024, "cpu_seconds": used.ru_utime + used.ru_stime}  # with loading and saving
    write(at("gpupeft.json"), figures | {"loss": tested["loss"], "exact_match": tested.get("exact_match")})
    shutil.rmtree(at("gpupeft"))


def evaluate(task, name, adapter):
    files = ["--model", task.model, "--data", task.path("test.jsonl"), *adapter]
    run([GPUPEFT, "eval", *files, "--device", DEVICE, "--batch-size", str(task.batch), "--quiet", "--json"], task.path(name, "eval.json"))


def write(path, value):
    with open(path, "w", encoding="utf-8") as f:
        json.dump(value, f)


def once(path, make, *arguments):
    if not os.path.exists(path):
        make(*arguments)


def untuned_gpupeft(task):
    evaluate(task, "untuned", [])
    write(task.path("untuned", "gpupeft.json"), read(task.path("untuned", "eval.json"))["base"])


def run_task(task, methods):
    os.makedirs(task.path(), exist_ok=True)
    once(task.path("frequent.json"), run, [sys.executable, os.path.join(HERE, "hf.py"), task.name, "data"], task.path("data.log"))
    once(task.path("untuned", "hf.json"), run_hf, task, "untuned", "torch")
    once(task.path("untuned", "gpupeft.json"), untuned_gpupeft, task)
    for name in methods:
        method = METHODS[name]
        if method.library and shutil.which(PYTHON.get(method.library, sys.executable)):
            once(task.path(name, "hf.json"), run_hf, task, name, method.library)
        once(task.path(name, "gpupeft.json"), run_gpupeft, task, name, method)
    tables.write(os.path.join(OUT, "tables.md"))


if __name__ == "__main__":
    for name in sys.argv[1:2] or TASKS:
        run_task(TASKS[name], sys.argv[2:] or METHODS)

"""Writes events.golden with TensorBoard's own classes: python testdata/tensorboard/generate.py (packages: ../requirements.txt).

Package peft/runlog must write the same bytes. With a directory, it prints instead what TensorBoard reads there: for
each tag the steps and values, as JSON.
"""

import json
import pathlib
import sys

from tensorboard.backend.event_processing import event_accumulator
from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.summary.writer import record_writer

HERE = pathlib.Path(__file__).parent


def generate():
    """The events of a run that goes on after step 300, one second apart."""
    value = summary_pb2.Summary.Value
    step = [
        value(tag="train/epoch", simple_value=1.5), value(tag="train/loss", simple_value=0.1),
        value(tag="train/lr", simple_value=3.35e-3), value(tag="train/grad_norm", simple_value=0.25),
        value(tag="train/tokens", simple_value=488), value(tag="train/tokens_per_s", simple_value=7115.25),
        value(tag="train/step_ms", simple_value=68.5), value(tag="train/peak_bytes", simple_value=31e6),
    ]
    held_out = [
        value(tag="eval/loss", simple_value=0.0114), value(tag="eval/perplexity", simple_value=1.01147),
        value(tag="eval/accuracy", simple_value=0.997),
    ]
    start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
    events = [
        event_pb2.Event(wall_time=1e9, file_version="brain.Event:2"),
        event_pb2.Event(wall_time=1e9 + 1, step=301, session_log=start),
        event_pb2.Event(wall_time=1e9 + 2, step=301, summary=summary_pb2.Summary(value=step)),
        event_pb2.Event(wall_time=1e9 + 3.5, step=302, summary=summary_pb2.Summary(value=step + held_out)),
    ]
    with open(HERE / "events.golden", "wb") as f:
        writer = record_writer.RecordWriter(f)
        for event in events:
            writer.write(event.SerializeToString())


def read(directory):
    """What TensorBoard shows of a directory."""
    events = event_accumulator.EventAccumulator(directory, size_guidance={event_accumulator.SCALARS: 0})
    events.Reload()
    return {tag: [[e.step, e.value] for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


if __name__ == "__main__":
    if len(sys.argv) > 1:
        json.dump(read(sys.argv[1]), sys.stdout)
    else:
        generate()

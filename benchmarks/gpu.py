"""Try each trainer on a GPU, in each precision, without and with XLA, and print a table to paste.

`make gpu-check`, or `python -m benchmarks.gpu`, trains each trainer for 200 updates on random
images. It needs no data set. Run nothing else on the machine meanwhile.

The table has milliseconds of an update, and in brackets the seconds of the first two, which
compile. After half of the updates, the state is saved and restored into a new trainer, which does
the rest. A cell names what is wrong: a restored value that differs, a loss or a weight that is not
finite, or the error with which the trainer ended. The exit status is then 1. Below the table are
the device and the versions.
"""

import argparse
import platform
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import console
from benchmarks import timing
from commands import build, devices
from config import tables
from config.resolve import resolve, settle
from datasets.packed import ImageSpec
from hardware import report
from runs import checkpoints

CASES = {
    "mnist": {"dataset": "mnist"},
    "faces": {"dataset": "faces"},
    "faces_r1": {"preset": "faces_r1"},
    "faces_r1, ada": {"preset": "faces_r1", "augment": ("ada",)},
    "mlp": {"dataset": "mnist", "arch": "mlp"},
    "lenet": {"dataset": "mnist", "arch": "lenet"},
    "resnet": {"dataset": "faces", "arch": "resnet"},
    "sngan": {"dataset": "faces", "arch": "sngan"},
    "fastgan": {"dataset": "faces", "arch": "fastgan", "output_height": 64},
    "mimicry_wgan_gp_cifar10": {"preset": "mimicry_wgan_gp_cifar10"},
    "pggan_faces_32": {"preset": "pggan_faces_32"},
    "cyclegan_hair": {"preset": "cyclegan_hair"},
}
FIRST = 2  # updates that compile


def make_trainer(given):
    """Return a new trainer. `given` is a dict of flags."""
    c = resolve({"train": True, **given})
    channels = 1 if c.dataset == "mnist" else 3
    c = settle(c, channels, tables.FEW_IMAGES)
    size = (c.output_height, c.output_width, channels)
    spec = ImageSpec(*size, 1000, 10 if c.conditional else 0)
    shown = (np.zeros((2, *size), np.uint8),) * 2
    return c, build.build_trainer(c, spec, per_epoch=100, shown=shown)


def run(trainer, number):
    """Do a number of updates; return their seconds."""
    batch, start = trainer.random_batch(0), time.monotonic()
    for _ in range(number):
        terms = trainer.step(*batch)
    float(terms["generator_loss"])  # waits for the device
    return time.monotonic() - start


def values(trainer):
    """Return the numbers of all weights and counts of a trainer's state, as a list of arrays."""
    parts = trainer.state.values()
    return [v.numpy() for part in parts for v in getattr(part, "variables", None) or [part]]


def check(given, steps):
    """Train, save, restore and train on; return (seconds of the first, mean seconds, problem).

    Args:
      given: dict of flags.
      steps: number of updates, at least 2 · FIRST. Half of them are done after the restore.
    """
    _, trainer = make_trainer(given)
    half = steps // 2
    first = run(trainer, FIRST)
    each = run(trainer, half - FIRST) / (half - FIRST) if half > FIRST else first / FIRST
    with tempfile.TemporaryDirectory() as folder:
        checkpoints.Checkpoints(Path(folder), trainer).save(half)
        c, other = make_trainer({**given, "seed": 1})
        checkpoints.restore(Path(folder), other)
    other.resume(c.learning_rate, c.d_learning_rate)
    wrong = [a.shape for a, b in zip(values(trainer), values(other)) if not np.array_equal(a, b)]
    problem = f"{len(wrong)} values differ after the restore" if wrong else trainer.problem()
    run(other, steps - half)
    if int(other.count) != steps:
        problem = problem or f"it is at step {int(other.count)}, not {steps}"
    return first, each, problem or other.problem()


def cell(given, steps):
    """Return (the text of a cell, True if all went well)."""
    try:
        first, each, problem = check(given, steps)
    except Exception as error:
        timing.log(console.first_line(error))
        return type(error).__name__, False
    return problem or f"{1000 * each:.1f} ({first:.0f} s)", problem is None


def main(words=None):
    """Print the table; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    known = list(tables.PRECISIONS)
    parser.add_argument("--precisions", nargs="+", choices=known, default=known)
    parser.add_argument("--steps", type=int, default=200, help="updates, at least 4")
    parser.add_argument("--device", default="gpu", help="as main.py has it")
    parser.add_argument("--jit", type=int, nargs="+", default=[0, 1], help="without and with XLA")
    call = parser.parse_args(words)
    if call.steps < 2 * FIRST:
        parser.error(f"--steps must be at least {2 * FIRST}")
    try:
        devices.import_tensorflow(call.device)
    except console.Failed as error:
        parser.error(str(error))
    columns = [(p, bool(jit)) for p in call.precisions for jit in call.jit]
    lines, good = [], True
    for name in call.cases:
        line = [name]
        for precision, jit in columns:
            if jit and tables.ARCHS[resolve(CASES[name]).arch].task.no_jit:
                line.append("not offered")
                continue
            text, well = cell({**CASES[name], "precision": precision, "jit": jit}, call.steps)
            timing.log(f"{name}, {precision}{', XLA' * jit}: {text}")
            line, good = [*line, text], good and well
        lines.append(line)
    print(timing.table(["ms an update", *(p + ", XLA" * jit for p, jit in columns)], lines))
    print(f"\n{versions(call.device)}; {call.steps} updates each, half of them after a restore")
    return 0 if good else 1


def versions(device):
    """Return a line with the device and the versions of what the times depend on."""
    import keras
    import tensorflow as tf

    name = report.opening(resolve({"device": device}), 1)[0].partition(";")[0]
    cuda = tf.sysconfig.get_build_info().get("cuda_version", "none")
    found = {"TensorFlow": tf.__version__, "Keras": keras.__version__, "CUDA": cuda}
    found["Python"] = platform.python_version()
    return f"{name}; {', '.join(f'{program} {version}' for program, version in found.items())}"


if __name__ == "__main__":
    devices.owns_process = True
    sys.exit(main())

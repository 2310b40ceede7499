"""Time a train step of each trainer on a GPU, in each precision, with and without XLA.

`python -m benchmarks.gpu` builds each trainer, does a few updates on random images, and prints a
table of milliseconds. It needs no data set. The first two updates compile; their time is in the
second number of a cell, in seconds. Run nothing else on the machine meanwhile.
"""

import argparse
import time

import numpy as np

from benchmarks import timing
from commands import build, devices
from config import tables
from config.resolve import resolve, settle
from datasets.packed import ImageSpec

CASES = {
    "mnist": {"dataset": "mnist"},
    "faces": {"dataset": "faces"},
    "faces_r1": {"preset": "faces_r1"},
    "faces_r1, ada": {"preset": "faces_r1", "augment": ("ada",)},
    "pggan_faces_32": {"preset": "pggan_faces_32"},
    "cyclegan_hair": {"preset": "cyclegan_hair"},
    "sngan": {"dataset": "faces", "arch": "sngan"},
}


def step_times(given, updates):
    """Return (seconds of the first two updates, mean seconds of an update after them).

    Args:
      given: dict of flags.
      updates: number of updates to time.
    """
    c = resolve({"train": True, **given})
    channels = 1 if c.dataset == "mnist" else 3
    c = settle(c, channels, tables.FEW_IMAGES)
    size = (c.output_height, c.output_width, channels)
    spec = ImageSpec(*size, 1000, 10 if c.conditional else 0)
    shown = (np.zeros((2, *size), np.uint8),) * 2
    trainer = build.build_trainer(c, spec, per_epoch=100, shown=shown)
    batch = trainer.random_batch(0)

    def run(number):
        start = time.monotonic()
        for _ in range(number):
            terms = trainer.step(*batch)
        float(terms["generator_loss"])  # waits for the device
        return time.monotonic() - start

    return run(2), run(updates) / updates


def cell(given, updates):
    """Return the text of a cell; the error's name where a case cannot run."""
    try:
        first, each = step_times(given, updates)
    except Exception as error:
        return type(error).__name__
    return f"{1000 * each:.1f} ({first:.0f} s)"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--precisions", nargs="+", default=list(tables.PRECISIONS))
    parser.add_argument("--updates", type=int, default=30)
    parser.add_argument("--device", default="gpu", help="as main.py has it")
    parser.add_argument("--jit", type=int, nargs="+", default=[0, 1], help="without and with XLA")
    call = parser.parse_args()
    devices.import_tensorflow(call.device)
    columns = [(p, bool(jit)) for p in call.precisions for jit in call.jit]
    lines = []
    for name in call.cases:
        cells = [
            cell({**CASES[name], "precision": precision, "jit": jit}, call.updates)
            for precision, jit in columns
        ]
        lines.append([name, *cells])
    print(timing.table(["ms an update", *(p + ", XLA" * jit for p, jit in columns)], lines))


if __name__ == "__main__":
    main()

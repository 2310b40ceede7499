"""FID against minutes of training on MNIST, for each recipe of a table, from the same start.

`python -m benchmarks.quality` trains every candidate with three seeds for ten minutes, one after
the other, and measures the averaged generator after 2, 5 and 10 minutes: 10,000 samples against
the 10,000 test images, through mnist-cnn. The time spent measuring does not count. Rows are added
to the CSV file as they are made, and those that are there already are not made again. Leave the
machine alone while it runs.
"""

import argparse
import csv
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

import build
import config
import dataset
import evaluate
import metrics
import sources

# What each one changes of the defaults of `--dataset mnist`.
SLOW = {"learning_rate": 1e-4, "critic_num": 5, "penalty_fraction": 1.0}
R1 = {"mode": "r1", "LAMBDA": 2.0, "penalty_every": 8, "beta2": 0.99}
CANDIDATES = {
    "default": {},
    "unconditional": {"conditional": False},
    "paper": {**SLOW, "beta1": 0.0, "beta2": 0.9},
    "seed": {"preset": "mnist_conditional"},
    "r1": R1,
}
FIELDS = ("candidate", "seed", "minutes", "steps", "fid_mnist-cnn")
COUNT = 10_000


def curve(flags, marks, *, by_steps=False):
    """Train in this process, and measure where the marks are.

    Args:
      flags: settings by name.
      marks: minutes of training, or counts of steps; rising.

    Yields:
      (minutes, steps, FID) at each mark.
    """
    c = config.resolve({"dataset": "mnist", **flags})
    data = build.load_data(c)
    trainer = build.build_trainer(c, data.spec, len(data.images) // c.batch_size)
    batches = dataset.Batches(data.images, data.labels, seed=c.seed)
    test = sources.read_mnist(Path(c.data_dir) / "mnist", part="test")
    extractor = evaluate.mnist_cnn(test.images.shape[1:])
    real = metrics.moments(extractor(test.images[:COUNT])[0])
    labels = test.labels[:COUNT] if c.conditional else np.zeros(COUNT, np.int32)
    spent, step, seen = 0.0, 0, 0
    for mark in marks:
        begun = time.monotonic()
        while (step if by_steps else (spent + time.monotonic() - begun) / 60) < mark:
            shape = trainer.batch_spec(step)
            terms = trainer.step(*batches.take(seen, shape))
            seen, step = seen + shape[0] * shape[1], step + 1
            if step % 50 == 0:  # as the log does: the host does not run ahead
                float(terms["critic_loss"])
        spent += time.monotonic() - begun
        fake = extractor(trainer.samples(labels))[0]
        yield spent / 60, step, metrics.frechet_distance(real, metrics.moments(fake))


def measure(name, seed, minutes, output):
    """Add a candidate's rows to the CSV file."""
    for spent, step, fid in curve({**CANDIDATES[name], "seed": seed}, minutes):
        row = dict(zip(FIELDS, (name, seed, f"{spent:.1f}", step, f"{fid:.3f}")))
        with open(output, "a", newline="") as file:
            writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
            if not file.tell():
                writer.writeheader()
            writer.writerow(row)


def read(output):
    """The rows of the CSV file, none where there is none."""
    if not Path(output).is_file():
        return []
    with open(output, newline="") as file:
        return list(csv.DictReader(file))


def table(rows):
    """FIDs by candidate and minutes, the seeds' parted by spaces, as Markdown."""
    minutes = sorted({row["minutes"] for row in rows}, key=float)
    lines = ["| candidate | " + " | ".join(f"{m} min" for m in minutes) + " | steps |"]
    lines.append("|---|" + "---:|" * (len(minutes) + 1))
    for name in dict.fromkeys(row["candidate"] for row in rows):
        own = [row for row in rows if row["candidate"] == name]
        cells = [" ".join(r["fid_mnist-cnn"] for r in own if r["minutes"] == m) for m in minutes]
        lines.append(f"| {name} | {' | '.join(cells)} | {max(int(r['steps']) for r in own)} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--candidates", nargs="+", choices=CANDIDATES, default=list(CANDIDATES))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--minutes", nargs="+", type=float, default=[2, 5, 10])
    parser.add_argument("--output", default="quality.csv")
    parser.add_argument("--here", action="store_true", help="in this process: the first of each")
    call = parser.parse_args()
    if call.here:
        build.import_tensorflow("cpu" if os.environ.get("CUDA_VISIBLE_DEVICES") == "" else "auto")
        measure(call.candidates[0], call.seeds[0], call.minutes, call.output)
        return
    for seed in call.seeds:
        for name in call.candidates:
            own = (name, str(seed))
            done = [r for r in read(call.output) if (r["candidate"], r["seed"]) == own]
            if len(done) < len(call.minutes):
                words = ["--candidates", name, "--seeds", str(seed), "--output", call.output]
                words += ["--minutes", *map(str, call.minutes), "--here"]
                subprocess.run([sys.executable, "-m", "benchmarks.quality", *words], check=True)
    print(table(read(call.output)))


if __name__ == "__main__":
    main()

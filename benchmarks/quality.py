"""FID by minutes of training, for each candidate of a table of settings.

`python -m benchmarks.quality` trains every candidate with three seeds for ten minutes each. It
measures the EMA after 2, 5 and 10 minutes as `--evaluate` does, with 10,000 samples: on MNIST with
mnist-cnn and the 10,000 test images, on faces with random-cnn and 10,000 training images: no images
are held out (`--holdout 0`). The measures are the FID and the sliced Wasserstein distance of the
finest details. Candidates of few images are measured against 10,000 of the images that they do not
train on. The time of the measurements does not count. Each row is appended to the CSV file at once.
Rows that the file already has are skipped. Run nothing else on the machine meanwhile.
"""

import argparse
import csv
import dataclasses
import itertools
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, StrMethodFormatter

import files
import utils
from benchmarks import timing
from benchmarks.candidates import CANDIDATES
from commands import build, devices, sources, train
from commands.evaluate import build_evaluation
from config.resolve import resolve
from evaluation import metrics, parts
from hardware import defaults

FIELDS = ("candidate", "seed", "minutes", "updates", "measure", "value")


def prepare(flags):
    """Return (Config, `Packed` set, stream of batches, `Evaluation`) of settings by name."""
    c = resolve({"holdout": 0, **flags}, start=build.start_settings(flags))
    data = sources.load_data(c)
    c, batches = settle(c, data)
    evaluation = build_evaluation(c, beside(data, batches.subset) if c.train_size else data)
    return c, data, batches, evaluation


def settle(c, data):
    """Return (the `Config` with all defaults, stream of batches) of a `Packed` set."""
    batches = sources.build_batches(c, data)
    c = sources.settle(c, data.spec, len(batches), print)
    return defaults.settle(c, replicas=1), batches


def curve(flags, marks, *, by_updates=False, folder=None):
    """Train in this process, and measure at each mark.

    Args:
      flags: settings by name.
      marks: increasing minutes of training, or numbers of generator updates if `by_updates`.
      folder: path of a folder for a sheet of samples at each mark, or None.

    Yields:
      (minutes, updates, name of the measure, its value) at each mark.
    """
    c, data, batches, evaluation = prepare(flags)
    trainer = build.build_trainer(c, data.spec, len(batches) // c.batch_size)
    if c.init_from:
        train.init_networks(c, trainer, sources.describe_spec(c, data.spec))
    labels = evaluation.labels
    labels = np.zeros(len(evaluation.real), np.int32) if labels is None else labels
    spent, step, seen = 0.0, 0, 0
    for mark in marks:
        begun = time.monotonic()
        while (step if by_updates else (spent + time.monotonic() - begun) / 60) < mark:
            shape = trainer.batch_spec(step)
            terms = trainer.step(*batches.take(seen, shape))
            seen, step = seen + shape[0] * shape[1], step + 1
            if step % c.log_every == 0:  # wait for the device, as the log does
                float(terms["critic_loss"])
        spent += time.monotonic() - begun
        samples = np.concatenate([*trainer.samples(labels)])
        if folder:
            path = Path(folder) / f"{c.seed}_{step}.png"
            utils.save_image(path, utils.make_grid(samples[:64]))
        for name, value in distances(evaluation, samples).items():
            yield spent / 60, step, name, value


def distances(evaluation, samples):
    """Return the FID of samples, and the sliced Wasserstein distance of their finest details.

    The random CNN hardly notices grain; the distance of details does.

    Args:
      evaluation: `Evaluation`.
      samples: uint8 images [N, H, W, C], as many as the real ones.

    Returns:
      A dict of name of the measure → value.
    """
    fake = metrics.moments(evaluation.extractor(samples)[0])
    pixels, finest = parts.PixelMeasures(evaluation.real), f"swd_{evaluation.real.shape[1]}"
    for part in parts.regroup(samples, evaluation.real.shape):
        pixels.add(part)
    return {
        f"fid_{evaluation.extractor.name}": metrics.frechet_distance(evaluation.moments, fake),
        finest: pixels.measures()[finest],
    }


def copies(flags):
    """Return the FID of a generator that draws copies of its training images and nothing else.

    Where the run mirrors its images, the mirror images are drawn as often.
    """
    c, data, batches, evaluation = prepare(flags)
    images = data.images[batches.subset]
    images = np.concatenate([images, images[:, :, ::-1]]) if c.mirror else images
    found = metrics.moments(evaluation.extractor(images)[0])
    return metrics.frechet_distance(evaluation.moments, found)


def beside(data, subset):
    """Return a `Packed` set that holds out all images but those of a subset."""
    others = np.setdiff1d(np.arange(len(data.images)), subset)
    return dataclasses.replace(data, held=others)


def measure(name, seed, marks, by_updates, output, extra=()):
    """Train a candidate, with `extra` settings, and append its rows to the CSV file."""
    flags = {**CANDIDATES[name], "seed": seed, **dict(extra)}
    folder = Path(output).with_suffix("") / re.sub("[^a-z0-9]+", "_", name)
    folder.mkdir(parents=True, exist_ok=True)
    for spent, step, what, value in curve(flags, marks, by_updates=by_updates, folder=folder):
        row = dict(zip(FIELDS, (name, seed, f"{spent:.1f}", step, what, f"{value:.3f}")))
        with open(output, "a", newline="") as file:
            writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
            if not file.tell():
                writer.writeheader()
            writer.writerow(row)


def read(output):
    """Return the rows of the CSV file; [] if it does not exist."""
    if not Path(output).is_file():
        return []
    with open(output, newline="") as file:
        return list(csv.DictReader(file))


def tables(rows, by_updates):
    """Return a Markdown table for each measure: candidates by marks, with a value for each seed."""
    measures = dict.fromkeys(row["measure"] for row in rows)
    groups = [(name, [row for row in rows if row["measure"] == name]) for name in measures]
    return "\n\n".join(f"{name}\n\n{_table(own, by_updates)}" for name, own in groups)


def _table(rows, by_updates):
    what, unit = ("updates", "updates") if by_updates else ("minutes", "min")
    marks = sorted({row[what] for row in rows}, key=float)
    header = ["candidate", *(f"{float(mark):g} {unit}" for mark in marks), "updates"]
    lines = []
    for name in dict.fromkeys(row["candidate"] for row in rows):
        own = [row for row in rows if row["candidate"] == name]
        cells = [" ".join(r["value"] for r in own if r[what] == mark) for mark in marks]
        lines.append([name, *cells, max(int(r["updates"] or 0) for r in own)])
    return timing.table(header, lines)


def plot(rows, path):
    """Plot FID over minutes, on logarithmic axes, and write a PNG.

    Each candidate has a line for the mean of its seeds, and a band for their range. Only the first
    measure is plotted, as FIDs of different extractors are not comparable.
    """
    measure = rows[0]["measure"]
    rows = [row for row in rows if row["measure"] == measure]
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    panel = figure.subplots()
    for name in dict.fromkeys(row["candidate"] for row in rows):
        own = [row for row in rows if row["candidate"] == name]
        minutes = sorted({float(row["minutes"]) for row in own})
        fids = [[float(r["value"]) for r in own if float(r["minutes"]) == m] for m in minutes]
        (line,) = panel.plot(minutes, [sum(f) / len(f) for f in fids], marker=".", label=name)
        panel.fill_between(minutes, *([f(x) for x in fids] for f in (min, max)), alpha=0.2)
        panel.annotate(f"{fids[-1][0]:.2g}", (minutes[-1], fids[-1][0]), color=line.get_color())
    panel.set(xscale="log", yscale="log", xlabel="minutes of training", ylabel=measure)
    panel.set_xticks(minutes, [f"{m:g}" for m in minutes], minor=False)
    panel.xaxis.set_minor_formatter(NullFormatter())
    for set_formatter in (panel.yaxis.set_major_formatter, panel.yaxis.set_minor_formatter):
        set_formatter(StrMethodFormatter("{x:g}"))
    panel.grid(alpha=0.3)
    panel.legend(fontsize=8)
    with files.atomic_path(path) as part:
        figure.savefig(part, dpi=100)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--candidates",
        nargs="+",
        choices=CANDIDATES,
        default=list(CANDIDATES),
        metavar="NAME",
        help="names in benchmarks/candidates.py",
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--minutes", nargs="+", type=float, default=[2, 5, 10])
    parser.add_argument(
        "--updates", nargs="+", type=int, help="measure after these numbers of updates instead"
    )
    parser.add_argument("--output", default="quality.csv")
    parser.add_argument("--plot", help="only plot the rows of the output, as this PNG")
    parser.add_argument("--device", default="cpu", help="as main.py has it")
    parser.add_argument("--jit", action="store_true", help="compile the steps with XLA")
    parser.add_argument("--jobs", type=int, default=1, help="candidates at a time, on a GPU")
    parser.add_argument(
        "--here", action="store_true", help="train the first candidate and seed in this process"
    )
    parser.add_argument(
        "--copies", action="store_true", help="print the FID of copies of the training images"
    )
    call = parser.parse_args()
    if call.plot:
        plot(read(call.output), call.plot)
        return
    marks = call.updates or call.minutes
    if call.copies:
        devices.import_tensorflow(call.device)
        for name, seed in itertools.product(call.candidates, call.seeds):
            value = copies({**CANDIDATES[name], "seed": seed})
            print(f"{name}, seed {seed}: copies have an FID of {value:.3f}", flush=True)
        return
    if call.here:
        devices.import_tensorflow(call.device)
        parts = (call.candidates[0], call.seeds[0], marks, bool(call.updates), call.output)
        measure(*parts, {"jit": call.jit})
        return

    def run(name, seed):
        own = (name, str(seed))
        rows = [r for r in read(call.output) if (r["candidate"], r["seed"]) == own]
        if len({r["updates"] for r in rows}) < len(marks):
            words = ["--candidates", name, "--seeds", str(seed), "--output", call.output]
            words += ["--device", call.device, *["--jit"] * call.jit]
            words += ["--updates" if call.updates else "--minutes", *map(str, marks), "--here"]
            subprocess.run([sys.executable, "-m", "benchmarks.quality", *words], check=True)

    with ThreadPoolExecutor(call.jobs) as pool:
        pairs = [(name, seed) for seed in call.seeds for name in call.candidates]
        list(pool.map(run, *zip(*pairs)))
    print(tables(read(call.output), bool(call.updates)))


if __name__ == "__main__":
    main()

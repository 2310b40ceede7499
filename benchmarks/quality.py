"""FID by minutes of training, for each candidate of a table of settings.

`python -m benchmarks.quality` trains every candidate with three seeds for ten minutes each. It
measures the EMA after 2, 5 and 10 minutes as `--evaluate` does, with 10,000 samples: on MNIST with
mnist-cnn and the 10,000 test images, on faces with random-cnn and 10,000 training images: no images
are held out (`--holdout 0`). Candidates of few images train on some, and are measured against
10,000 of the others. The time of the measurements does not count. Each row is appended to the CSV
file at once. Rows that the file already has are skipped. Run nothing else on the machine meanwhile.
"""

import argparse
import csv
import dataclasses
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
from commands import build, devices, sources
from commands.evaluate import build_evaluation
from config.resolve import resolve
from evaluation import metrics

# Each candidate's changes to the defaults. The data set is MNIST unless it names another set or a
# preset.
_SLOW = {"learning_rate": 5e-4}
_R1 = {"learning_rate": 1e-3, "beta1": 0.0, "beta2": 0.99, "LAMBDA": 2.0, "penalty_every": 8}
_NO_LABELS = {"conditional": False}
CANDIDATES = {
    "default": {},
    "default, no labels": _NO_LABELS,
    "rate 2e-3": {"learning_rate": 2e-3},
    "rate 2e-3, no labels": {"learning_rate": 2e-3, **_NO_LABELS},
    "rate 5e-4": _SLOW,
    "rate 5e-4 for the critic": {"d_learning_rate": 5e-4},
    "rate 5e-4 for the generator": {"learning_rate": 5e-4, "d_learning_rate": 1e-3},
    "beta1 0.5": {"beta1": 0.5},
    "beta1 0.5, rate 5e-4": {"beta1": 0.5, **_SLOW},
    "beta1 0.5, rate 5e-4, no labels": {"beta1": 0.5, **_SLOW, **_NO_LABELS},
    "beta2 0.99": {"beta2": 0.99},
    "normal latents": {"z_distribution": "normal"},
    "rate 5e-4, batch of 32": {"batch_size": 32, **_SLOW},
    "rate 5e-4, penalty on the whole batch": {"penalty_fraction": 1.0, **_SLOW},
    "labels concatenated": {"label_mode": "concat"},
    "r1": {"mode": "r1", "LAMBDA": 2.0, "penalty_every": 8, "beta2": 0.99},
    "rpgan": {"mode": "rpgan"},
    "rpgan, rate 2e-4": {"mode": "rpgan", "learning_rate": 2e-4},
    "rpgan, LAMBDA 0.2": {"mode": "rpgan", "LAMBDA": 0.2},
    "the paper's rate and updates": {"learning_rate": 1e-4, "critic_num": 5},
    "mnist_conditional": {"preset": "mnist_conditional"},
    "wgan_gp_mnist": {"preset": "wgan_gp_mnist"},
    "simple_gan": {"preset": "simple_gan"},
    "faces": {"dataset": "faces"},
    "faces_r1": {"preset": "faces_r1"},
    "faces_r1, beta1 0.5, rate 5e-4": {"preset": "faces_r1", "beta1": 0.5, **_SLOW},
    "faces_r1, rate 2e-3": {"preset": "faces_r1", "learning_rate": 2e-3},
    "faces_r1, a tenth of the penalty": {"preset": "faces_r1", "LAMBDA": 0.2},
    "faces_r1, widths from 32": {"preset": "faces_r1", "g_width": (32,), "d_width": (32,)},
}
_FACES = {"dataset": "faces"}
CANDIDATES |= {  # what gp's row could have for colour folders
    f"faces, {name}": {**_FACES, **changes}
    for name, changes in {
        "rate 5e-4": _SLOW,
        "rate 2e-3": {"learning_rate": 2e-3},
        "beta2 0.99": {"beta2": 0.99},
        "normal latents": {"z_distribution": "normal"},
        "widths from 48": {"g_width": (48,), "d_width": (48,)},
        "layer norm": {"critic_norm": "layer"},
        "penalty on the whole batch": {"penalty_fraction": 1.0},
        "penalty every 4th": {"penalty_fraction": 1.0, "penalty_every": 4},
        "LAMBDA 1": {"LAMBDA": 1.0},
        "two critic updates": {"critic_num": 2},
        "r1": {"mode": "r1", **_R1},
        "rpgan": {"mode": "rpgan"},
        "rpgan, LAMBDA 0.2": {"mode": "rpgan", "LAMBDA": 0.2},
        "r1, normal latents": {"mode": "r1", **_R1, "z_distribution": "normal"},
        "r1, rate 2e-3": {"mode": "r1", **_R1, "learning_rate": 2e-3},
        "rate 2e-3, normal latents": {"learning_rate": 2e-3, "z_distribution": "normal"},
        "rate 2e-3, beta2 0.99": {"learning_rate": 2e-3, "beta2": 0.99},
        "rpgan, rate 2e-3": {"mode": "rpgan", "learning_rate": 2e-3},
        "rate 4e-3": {"learning_rate": 4e-3},
    }.items()
}
AUGMENTS = {
    "no augmentation": ("none",),
    "color": ("color",),
    "translation": ("translation",),
    "cutout": ("cutout",),
    "color, translation, cutout": ("color", "translation", "cutout"),
    "ada": ("ada",),
}
CANDIDATES |= {  # few images: measured against the faces that are not trained on
    f"{size} {kind}, {name}": {**flags, "train_size": size, "augment": augment}
    for size in (100, 300, 1000, 3000, 16000)
    for kind, flags in {"faces": _FACES, "faces, r1": CANDIDATES["faces, r1"], "digits": {}}.items()
    for name, augment in AUGMENTS.items()
}
FIELDS = ("candidate", "seed", "minutes", "updates", "measure", "value")


def curve(flags, marks, *, by_updates=False, folder=None):
    """Train in this process, and measure at each mark.

    Args:
      flags: settings by name.
      marks: increasing minutes of training, or numbers of generator updates if `by_updates`.
      folder: path of a folder for a sheet of samples at each mark, or None.

    Yields:
      (minutes, updates, name of the measure, its value) at each mark.
    """
    c = resolve({"holdout": 0, **flags})
    data = sources.load_data(c)
    trainer = build.build_trainer(c, data.spec, len(data.images) // c.batch_size)
    batches = sources.build_batches(c, data)
    evaluation = build_evaluation(c, beside(data, batches.subset) if c.train_size else data)
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
        fake = metrics.moments(evaluation.extractor(np.concatenate([*trainer.samples(labels)]))[0])
        fid = metrics.frechet_distance(evaluation.moments, fake)
        if folder:
            path = Path(folder) / f"{c.seed}_{step}.png"
            utils.save_image(path, utils.make_grid(next(iter(trainer.samples(labels[:64])))))
        yield spent / 60, step, f"fid_{evaluation.extractor.name}", fid


def beside(data, subset):
    """Return a `Packed` set with the images held out that are not in a subset."""
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
    parts = [(name, [row for row in rows if row["measure"] == name]) for name in measures]
    return "\n\n".join(f"{name}\n\n{_table(own, by_updates)}" for name, own in parts)


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
    parser.add_argument("--candidates", nargs="+", choices=CANDIDATES, default=list(CANDIDATES))
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
    call = parser.parse_args()
    if call.plot:
        plot(read(call.output), call.plot)
        return
    marks = call.updates or call.minutes
    if call.here:
        devices.import_tensorflow(call.device)
        parts = (call.candidates[0], call.seeds[0], marks, bool(call.updates), call.output)
        measure(*parts, {"jit": call.jit})
        return

    def run(name, seed):
        own = (name, str(seed))
        done = [r for r in read(call.output) if (r["candidate"], r["seed"]) == own]
        if len(done) < len(marks):
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

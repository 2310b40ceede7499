"""Modes and KL divergence on stacked digits, by mode of training.

An image has three digits of MNIST as its red, green and blue channel, so there are 1,000 equally
frequent modes (Unrolled GAN, 1611.02163). `python -m benchmarks.stacked` trains the DCGAN without
labels in each mode of training. After the given updates, it draws 26,000 samples, as many as
VEEGAN (1705.07761) and PacGAN (1712.04086). mnist-cnn names the digits of each. Printed are the
number of modes with a sample, and the KL divergence of the samples' modes from equally frequent
ones. 26,000 real stacks are the first row.
"""

import argparse
import dataclasses

import numpy as np

import utils
from benchmarks import quality, timing
from benchmarks.candidates import STACKED
from commands import build, devices, evaluate, sources
from config.resolve import resolve

SAMPLES, DIGITS = 26_000, 10
COMMON = {"dataset": "mnist", "conditional": False}


def stack(data, seed=0):
    """Return a `Packed` set of as many stacks of three random images [N, H, W, 1] of `data`."""
    rng = np.random.default_rng(seed)
    channels = [data.images[rng.permutation(len(data.images))] for _ in range(3)]
    spec = dataclasses.replace(data.spec, channels=3)
    return dataclasses.replace(data, images=np.concatenate(channels, -1), spec=spec)


def count_modes(classifier, images):
    """Return how often each mode occurs.

    Args:
      classifier: `extractors.Extractor` with classes 0 to 9.
      images: uint8 [N, H, W, 3].

    Returns:
      int [1000]. The mode of the digits r, g, b is 100r + 10g + b.
    """
    digits = [classifier(images[..., i : i + 1])[1].argmax(-1) for i in range(3)]
    modes = np.ravel_multi_index(digits, [DIGITS] * 3)
    return np.bincount(modes, minlength=DIGITS**3)


def divergence(counts):
    """Return KL(p || uniform) in nats of the distribution p of counts [K]."""
    p = counts[counts > 0] / counts.sum()
    return float(np.sum(p * np.log(p * len(counts))))


def measure(flags, marks, classifier, sheet=None):
    """Train with settings by name, and yield (updates, counts [1000]) at each mark.

    `sheet` is the path of a picture of the last samples, or None.
    """
    c = resolve({**COMMON, **flags})
    data = stack(sources.load_data(c))
    c, batches = quality.settle(c, data)
    trainer, seen = build.build_trainer(c, data.spec, len(batches) // c.batch_size), 0
    for step in range(max(marks)):
        shape = trainer.batch_spec(step)
        trainer.step(*batches.take(seen, shape))
        seen += shape[0] * shape[1]
        if step + 1 in marks:
            images = np.concatenate([*trainer.samples(np.zeros(SAMPLES, np.int32))])
            if sheet:
                utils.save_image(sheet, utils.make_grid(images[:64]))
            yield step + 1, count_modes(classifier, images)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--modes", nargs="+", choices=STACKED, default=list(STACKED))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--updates", nargs="+", type=int, default=[2000, 5000])
    parser.add_argument("--device", default="cpu", help="as main.py has it")
    parser.add_argument("--sheets", default="stacked", help="start of the paths of pictures")
    call = parser.parse_args()
    devices.import_tensorflow(call.device)
    classifier = evaluate.build_extractor("mnist-cnn", (28, 28, 1))
    real = stack(sources.load_data(resolve(COMMON)), seed=1).images[:SAMPLES]
    header = ["training", "seed", "updates", "modes", "KL"]

    def row(name, seed, step, counts):
        cells = [name, seed, step, int((counts > 0).sum()), f"{divergence(counts):.3f}"]
        print(*cells, flush=True)
        return cells

    rows = [row("real stacks", "", "", count_modes(classifier, real))]
    for seed in call.seeds:
        for name in call.modes:
            flags = {**STACKED[name], "seed": seed}
            sheet = f"{call.sheets}_{name}_{seed}.png"
            for step, counts in measure(flags, call.updates, classifier, sheet):
                rows.append(row(name, seed, step, counts))
    print(timing.table(header, rows))


if __name__ == "__main__":
    main()

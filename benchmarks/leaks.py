"""Look for traces of an augmentation in the samples of trained generators.

`python -m benchmarks.leaks RUN ...` draws 1,000 samples of each run, a folder with a generator, and
compares them with real images of the data set that the run was trained on. It prints a row for each
run, and rows for known images: other real images, and real images that were augmented.

- flat: share of images with a square of a quarter of the side in which each channel varies by at
  most `FLAT` levels: `cutout` leaves such squares, `translation` such strips.
- turned: share of images that are more like a real image when turned by 90, 180 or 270 degrees.
- brightness, contrast, colour: Kolmogorov-Smirnov distance, 0 to 1, of the distributions of the
  images' mean, of their standard deviation, and of the mean difference of their highest and lowest
  channel.
"""

import argparse
from pathlib import Path

import numpy as np
from scipy import ndimage, stats

from benchmarks import timing
from commands import build, devices, sources
from config import tables
from config.resolve import resolve
from config.rows import import_object
from config.saved import read_saved
from runs import trained

FLAT = 8  # levels of 255
COARSE = 12  # height and width of the images that are turned and compared
FIELDS = ("images", "flat", "turned", "brightness", "contrast", "colour")
AUGMENTED = {"color": 1.0, "translation": 1.0, "cutout": 1.0, "ada": 0.8}  # name → probability


def flat_share(images):
    """Return the share of uint8 images [N, H, W, C] that have a flat square."""
    side = max(2, min(images.shape[1:3]) // 4)
    size = (1, side, side, 1)
    pixels = images.astype(np.int16)
    span = ndimage.maximum_filter(pixels, size) - ndimage.minimum_filter(pixels, size)
    inside = span[:, side // 2 : -side // 2, side // 2 : -side // 2]  # without reflected borders
    return float((inside.max(-1) <= FLAT).any((1, 2)).mean())


def coarse(images):
    """Return the images in gray at COARSE x COARSE pixels, float32 [N, COARSE, COARSE]."""
    height, width = images.shape[1:3]
    gray = np.float32(images).mean(-1)
    zoom = (1, COARSE / height, COARSE / width)
    return ndimage.zoom(gray, zoom, order=1, grid_mode=True, mode="nearest")


def turned_share(images, real):
    """Return the share of images that are nearer to one of the `real` ones when they are turned."""
    known, small = coarse(real).reshape(len(real), -1), coarse(images)
    squares = (known**2).sum(1)
    nearest = []
    for quarter in range(4):
        view = np.rot90(small, quarter, (1, 2)).reshape(len(small), -1)
        nearest.append((squares - 2 * view @ known.T).min(1))  # the squares of `view` are the same
    return float((np.argmin(nearest, 0) > 0).mean())


def statistics(images):
    """Return the brightness, the contrast and the colour of images, float [N] each."""
    pixels = np.float32(images)
    return (
        pixels.mean((1, 2, 3)),
        pixels.mean(-1).std((1, 2)),
        (pixels.max(-1) - pixels.min(-1)).mean((1, 2)),
    )


def compare(images, real, known):
    """Return the numbers of a row of the table.

    Args:
      images: uint8 [N, H, W, C].
      real: real images to compare with; they have none of `images`.
      known: the `statistics` of the real images.
    """
    distances = [
        stats.ks_2samp(own, other).statistic for own, other in zip(statistics(images), known)
    ]
    numbers = flat_share(images), turned_share(images, real), *distances
    return [f"{number:.3f}" for number in numbers]


def augmented(images):
    """Yield (name, uint8 images): real images after each augmentation."""
    import tensorflow as tf

    import utils

    for name, p in AUGMENTED.items():
        augment = build.build_augment((name,), p, jit=False)
        augment.p.assign(p)
        found = augment(tf.constant(images, tf.float32) / 127.5 - 1, tf.constant([0, 1]))
        yield f"real images, {name}", utils.to_uint8(np.clip(found, -1, 1))


def draw(c, folder, labels):
    """Return samples of a run's generator, uint8 [N, H, W, C], one for each label."""
    from training.average import draw_measured

    generator = trained.load_generator(folder / "generator.keras")
    latents = import_object(tables.LATENTS[c.z_distribution].function)
    return np.concatenate([*draw_measured(generator, latents, labels)])


def main(argv=None):
    """Print the table of one data set."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path, help="folders of runs on the same images")
    parser.add_argument("--samples", type=int, default=1000)
    call = parser.parse_args(argv)
    devices.import_tensorflow("cpu")
    configs = [resolve({}, read_saved(folder / trained.CONFIG)) for folder in call.runs]
    data = sources.load_data(configs[0])
    order = np.random.default_rng(0).permutation(len(data.images))
    own, rest = order[: call.samples], order[call.samples :][:10_000]
    images, real = data.images[own], data.images[rest]
    known = statistics(real)
    rows = [("other real images", *compare(images, real, known))]
    rows += [(name, *compare(found, real, known)) for name, found in augmented(images)]
    for c, folder in zip(configs, call.runs):
        samples = draw(c, folder, data.labels[own])
        rows.append((str(folder), *compare(samples, real, known)))
    print(timing.table(FIELDS, rows))


if __name__ == "__main__":
    main()

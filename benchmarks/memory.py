"""The measure `memory` of known copies, and the FID and KID of real images by their number.

`python -m benchmarks.memory --dataset faces` uses images of the data set as samples: training
images, other real images, and both with changes. For each it prints the measure `memory` of
`--evaluate`. Then it prints the FID and the KID of real images beside other real images.
"""

import argparse

import numpy as np
from scipy import ndimage

from benchmarks import timing
from commands import devices, sources
from commands.evaluate import build_evaluation
from config.resolve import resolve
from evaluation import metrics

SEED = 0


def blurred(images, sigma):
    """Return images [N, H, W, C] blurred with a Gaussian of `sigma` pixels."""
    smooth = ndimage.gaussian_filter(np.float32(images), (0, sigma, sigma, 0))
    return smooth.round().astype(np.uint8)


def noisy(images, deviation):
    """Return images [N, H, W, C] with Gaussian noise. `deviation` is in levels of 255."""
    noise = np.random.default_rng(SEED).normal(0, deviation, images.shape)
    return (images + noise).round().clip(0, 255).astype(np.uint8)


def samples(other, copied):
    """Yield (name, images) of each row of the table of `memory`.

    Args:
      other: real images that were not trained on, uint8 [N, H, W, C].
      copied: training images, as many.
    """
    yield "other real images", other
    yield "training images", copied
    yield "half of each", np.concatenate([other[::2], copied[::2]])
    for deviation in (10, 20, 40):
        yield f"training images, noise of {deviation}", noisy(copied, deviation)
    for pixels in (1, 2):
        yield f"training images, moved by {pixels} px", np.roll(copied, pixels, 2)
    yield "training images, blurred by 1 px", blurred(copied, 1)
    for sigma in (0.5, 1, 2):
        yield f"other real images, blurred by {sigma:g} px", blurred(other, sigma)


def measure(c):
    """Return (rows of `memory`, rows of FID and KID) of a config's data set."""
    data = sources.load_data(c)
    evaluation = build_evaluation(c, data)
    subset = data.stream(seed=SEED).subset
    c = sources.settle(c, data.spec, len(subset), print)
    other, rest = np.split(np.random.default_rng(SEED).permutation(subset), [len(data.held)])
    evaluation.search(data.images, np.sort(rest), c.mirror)
    train = evaluation.training[1]
    rows, held = [], np.asarray(evaluation.features)
    for name, images in samples(data.images[other], data.images[rest[: len(other)]]):
        found = evaluation.extractor(images)[0]
        rows.append((name, f"{metrics.copying(train, held, found):.3f}"))
    real = evaluation.extractor(data.images[other])[0]
    return rows, list(bias(held, real))


def bias(held, real):
    """Yield (number of images, FID, KID) of real images [N, D] beside others [M, D]."""
    for count in (100, 200, 500, 1000, len(held)):
        if count <= len(held):
            pair = held[:count], real[:count]
            fid = metrics.frechet_distance(*map(metrics.moments, pair))
            yield count, f"{fid:.3f}", f"{metrics.kernel_distance(*pair)[0]:.4f}"


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", default="faces")
    parser.add_argument("--data_dir", default="data")
    given = vars(parser.parse_args(argv))
    devices.import_tensorflow("cpu")
    memory, distances = measure(resolve(given))
    print(timing.table(["samples", "memory"], memory), end="\n\n")
    print(timing.table(["images", "fid", "kid"], distances))


if __name__ == "__main__":
    main()

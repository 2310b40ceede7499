"""Measures translations of images from A to B, and from B to A. Imports no TensorFlow.

The formulas are in `metrics.py`, the networks that extract features in `extractors.py`.
"""

import json
from pathlib import Path

import numpy as np

import console
import files
import utils
from evaluation import metrics
from evaluation.evaluation import few, suffix
from evaluation.features import cached
from evaluation.parts import FEATURE_BYTES, Images
from runs import checkpoints

DOMAINS = ("A", "B")
DIRECTIONS = ("A2B", "B2A")  # of the domains, in this order
CYCLE = "cycle"  # the measure that needs no extractor
CHUNK_PIXELS = 2**18  # in one call of a generator; a pixel of the paper's networks takes about 1 KB


class Translation:
    """Measures two generators, of A to B and of B to A, on a fixed set of images of both domains.

    The images are translated, and the translations are compared with the real images of the domain
    that they go to. It has the members that `loop.fit` needs of an `Evaluation`. The memory that it
    needs grows with the number of images by their features alone.

    Args:
      extractor: an `Extractor`.
      real: (A, B), each uint8 images [N, H, W, C]. Gray ones are repeated for colour.
      channels: of the networks' images.
      names: (A, B), the names of the folders of the images. Only for `gaps` and `line`.
      seen: (A, B), True for a domain whose images are those that runs are trained on.
      count: maximum number of images of each domain.
      cache_dir: folder in which the features of the images are cached.
      by: measure that decides which state of the generators is the best: "fid", "kid" or "cycle".
      progress: function of (label, total) that shows the progress of the work on the real images,
        with the members of `console.Progress`.

    Attributes:
      suffix: what the names of measures of features end with: the name of the extractor, and for
        one of published measures the number of images of the smaller domain.
      by: the full name of that measure.
      real: (A, B), each `Images` in random order.
      features: (of A, of B), each float [N, D].
      samples: number of translations that `measure` makes.
    """

    def __init__(
        self,
        extractor,
        real,
        *,
        channels,
        names=DOMAINS,
        seen=(False, False),
        count,
        cache_dir,
        by="fid",
        progress=console.no_progress,
    ):
        rng = np.random.default_rng(0)
        self.extractor, self.names, self.seen = extractor, names, seen
        self.real = [
            Images(images, rng.permutation(len(images))[:count], channels=channels)
            for images in real
        ]
        self.samples = sum(map(len, self.real))
        self.suffix = suffix(extractor, min(map(len, self.real)))
        self.by = by if by == CYCLE else f"{by}_{self.suffix}"
        self.features = [
            cached(extractor, x, f"features of {name}", cache_dir=cache_dir, progress=progress)
            for x, name in zip(self.real, names)
        ]
        self._moments = [metrics.moments(features) for features in self.features]

    @property
    def line(self):
        """A line on what is translated, and what the translations are compared with."""
        a, b = (f"{len(x)} images of {name}" for x, name in zip(self.real, self.names))
        return f"{a}, translated to B, beside {b}, and the other way round"

    @property
    def gaps(self):
        """Lines on the limits of the measures with these real images."""
        lines = [
            f"there is no test{domain}: images of {name} are measured, which runs of this data set "
            "are trained on"
            for domain, name, seen in zip(DOMAINS, self.names, self.seen)
            if seen
        ]
        count = min(map(len, self.real))
        return lines + few(count, self.extractor, count)

    def measure(self, draw, progress=console.no_progress):
        """Measure the generators of both directions.

        Args:
          draw: (0 for A to B or 1 for B to A, float32 images [n, H, W, C] in [-1, 1]) → float
            translations [n, H, W, C] in [-1, 1].
          progress: function of (label, total) that shows progress; see `Translation`.

        Returns:
          A dict of name → number. "fid_E" and "kid_E" are the means of both directions, with the
          extractor's name E, and "fid_E_A2B" is that of the translations of A beside the images of
          B. "cycle_A" is the mean absolute difference of an image of A from what comes back of it
          through B, in units of [-1, 1], and "cycle" the mean of both.
        """
        with progress("translating and extracting", self.samples) as bar:
            (to_b, cycle_a), (to_a, cycle_b) = (self._translate(i, draw, bar) for i in (0, 1))
        columns = {
            f"fid_{self.suffix}": (DIRECTIONS, self._distances(_fid, to_b, to_a)),
            f"kid_{self.suffix}": (DIRECTIONS, self._distances(_kid, to_b, to_a)),
            CYCLE: (DOMAINS, (cycle_a, cycle_b)),
        }
        found = {name: float(np.mean(values)) for name, (_, values) in columns.items()}
        for name, (ends, values) in columns.items():
            found |= {f"{name}_{end}": float(value) for end, value in zip(ends, values)}
        return {"samples": self.samples, **found}

    def _distances(self, measure, to_b, to_a):
        """Return a measure of the features of the translations to B and to A: (A2B, B2A)."""
        a, b = zip(self.features, self._moments)
        return measure(b, to_b), measure(a, to_a)

    def _translate(self, i, draw, bar):
        """Return (features [N, D] of the translations of domain i, its mean cycle distance)."""
        real, features, distance = self.real[i], [], 0.0
        before = i * len(self.real[0])
        rows = max(1, CHUNK_PIXELS // (real.shape[1] * real.shape[2]))
        for start in range(0, len(real), rows):
            x = utils.to_float(real[start : start + rows])
            fake = draw(i, x)
            features.append(self.extractor(utils.to_uint8(fake))[0])
            distance += float(np.abs(draw(1 - i, fake) - x).mean((1, 2, 3), np.float64).sum())
            bar.update(before + start + len(x), "")
        return np.concatenate(features), distance / len(real)

    def better(self, new, old):
        """True if the measures `new` are better than `old`, or cannot be compared with them."""
        if self.by not in old or old.get("samples") != new["samples"]:
            return True
        return new[self.by] < old[self.by]

    def write(self, folder, measures):
        """Write measures.json, and return its path in a list.

        Args:
          folder: folder to write to.
          measures: dict of name → number, as `measure` returns.
        """
        path = Path(folder) / checkpoints.MEASURES
        files.save_text(path, json.dumps(measures, indent=1))
        return [path]


def _fid(real, fake):
    """Return the FID of features [N, D] beside the (features, moments) of real images."""
    return metrics.frechet_distance(real[1], metrics.moments(fake))


def _kid(real, fake):
    return metrics.kernel_distance(real[0], fake)[0]


def memory_bytes(shape, count):
    """Estimate the bytes that a measurement needs, for `count` images of a shape (H, W, C).

    They are the features of both domains and of their translations, and four 32-bit copies of the
    images that are translated at a time.
    """
    pixels = max(CHUNK_PIXELS, shape[0] * shape[1])
    return 4 * 4 * pixels * shape[2] + 4 * FEATURE_BYTES * count

"""Measures a generator by comparing its samples with real images.

The formulas are in `metrics.py`, the networks that extract features in `extractors.py`.
"""

import json
from pathlib import Path

import numpy as np

import console
import files
import utils
from evaluation import metrics
from evaluation.features import cached
from evaluation.parts import Images, PixelMeasures, regroup

SHEET_ROWS, SHEET_NEAREST = 8, 7  # samples in nearest.png, and training images beside each
NEAREST_OF = 60_000  # training images that are searched, before mirroring
FEW = 1000  # real images; the FID against fewer has a large bias


class Evaluation:
    """Measures samples against a fixed set of real images.

    The memory that it needs does not grow with the size of the images; with their number, only the
    features of the samples do.

    Args:
      extractor: an `Extractor`.
      real: uint8 images [N, H, W, C] to compare with.
      labels: int [N], or None.
      among: int [K], the indices of the images to compare with; None for all.
      unseen: False if the generators have been trained on the reals. `measure` then leaves out
        "memory".
      count: maximum number of reals.
      samples: number of samples; None for the number of reals.
      cache_dir: folder in which the features of reals are cached.
      by: measure that decides which state of a generator is the best.
      higher: True if a higher value of that measure is better.
      progress: function of (label, total) that shows the progress of the work on the reals, with
        the members of `console.Progress`.

    Attributes:
      by: the full name of that measure, with the extractor's name.
      shares: shares of the classes [K] among the samples last measured, or None.
      samples: number of samples that `measure` draws.
      real: the real images, `Images` in random order.
      features: of the reals, float [N, D].
      moments: mean [D] and covariance [D, D] of the features.
      training: (training images, their features), as `search` sets it, or None.
    """

    def __init__(
        self,
        extractor,
        real,
        labels,
        *,
        among=None,
        unseen=True,
        count,
        samples=None,
        cache_dir,
        by="fid",
        higher=False,
        progress=console.no_progress,
    ):
        among = np.arange(len(real)) if among is None else among
        order = among[np.random.default_rng(0).permutation(len(among))[:count]]
        self.extractor, self.cache_dir, self.unseen = extractor, Path(cache_dir), unseen
        # In random order, because some measures take the first images only: sets lie by class.
        self.real = Images(real, order)
        self.labels = None if labels is None else labels[order]
        self.samples = samples or len(order)
        self.by, self.higher = by if by == "swd" else f"{by}_{extractor.name}", higher
        self.shares, self.progress, self.training = None, progress, None
        self.features = self._cached(self.real, "features of real images")
        self.moments = metrics.moments(self.features)

    @property
    def gaps(self):
        """Lines on the limits of the measures with these real images."""
        lines, (height, width) = [], self.real.shape[1:3]
        if not self.unseen:
            lines.append(
                "no images are held out of training: the samples are measured against training "
                "images, and copies of them would score well"
            )
        lines += few(len(self.real))
        if not metrics.ssim_scales((height, width)):
            lines.append(f"ssim is not measured: images of {height}x{width} are too small for it")
        return lines

    def _cached(self, images, label):
        """Return the features [N, D] of real images, from the cache."""
        return cached(
            self.extractor, images, label, cache_dir=self.cache_dir, progress=self.progress
        )

    def measure(self, draw, progress=console.no_progress):
        """Measure a generator.

        Args:
          draw: int labels [N] → uint8 images [N, H, W, C], or an iterator of parts of them. The
            labels are those of the reals, repeated if there are more samples, or zeros without
            labels. Smaller images, for example from an early stage of progressive growing, are
            enlarged.
          progress: function of (label, total) that shows progress; see `Evaluation`.

        Returns:
          A dict of name → number. Names of measures of features end with the extractor's name.
          "memory" is missing before `search`, and if `unseen` is False.
        """
        given = np.zeros(1, np.int32) if self.labels is None else self.labels
        labels, features, classes, done = np.resize(given, self.samples), [], [], 0
        pixels = PixelMeasures(self.real)
        with progress("drawing and extracting", len(labels)) as bar:
            for part in regroup(draw(labels), self.real.shape):
                found = self.extractor(part)
                features.append(found[0])
                classes.append(found[1])
                pixels.add(part)
                done += len(part)
                bar.update(done, "")
        measures = self._feature_measures(np.concatenate(features), progress)
        if classes[0] is not None:
            asked = None if self.labels is None else labels
            self.shares, by_class = class_measures(np.concatenate(classes), asked)
            measures |= by_class
        measures = {f"{name}_{self.extractor.name}": value for name, value in measures.items()}
        with progress("measures of pixels", pixels.levels) as bar:
            measures |= pixels.measures(lambda done: bar.update(done, ""))
        return {"samples": done, **measures}

    def better(self, new, old):
        """True if the measures `new` are better than `old`, or cannot be compared with them."""
        if self.by not in old or old.get("samples") != new["samples"]:
            return True
        return new[self.by] > old[self.by] if self.higher else new[self.by] < old[self.by]

    def search(self, images, subset, mirror):
        """Set the training images that `measure` and `write` search for copies.

        Args:
          images: uint8 images [M, H, W, C].
          subset: int [K], the indices of the training images. At most `NEAREST_OF` of them are
            searched.
          mirror: search the images flipped left to right as well.
        """
        subset = subset[np.random.default_rng(1).permutation(len(subset))[:NEAREST_OF]]
        images = Images(images, np.sort(subset), mirror)
        self.training = images, self._cached(images, "features of training images")

    def write(self, folder, draw, measures):
        """Write measures.json and nearest.png. `search` must have been called.

        Each row of nearest.png shows a sample and the training images nearest to it by features.

        Args:
          folder: folder to write to.
          draw: as for `measure`.
          measures: dict of name → number, as `measure` returns.

        Returns:
          [path of measures.json, path of nearest.png].
        """
        images, features = self.training
        labels = np.arange(SHEET_ROWS) if self.labels is None else self.labels[:SHEET_ROWS]
        samples = np.concatenate(list(regroup(draw(labels.astype(np.int32)), images.shape)))
        near = metrics.nearest(self.extractor(samples)[0], features, SHEET_NEAREST)
        rows = [np.stack([x, *images[near_x]]) for x, near_x in zip(samples, near)]
        if self.shares is not None:
            measures = measures | {f"shares_{self.extractor.name}": self.shares.tolist()}
        files.save_text(folder / "measures.json", json.dumps(measures, indent=1))
        sheet = utils.make_grid(np.concatenate(rows), near.shape[1] + 1)
        return [
            folder / "measures.json",
            utils.save_image(folder / "nearest.png", sheet),
        ]

    def _feature_measures(self, fake, progress):
        """Return the measures of the samples' features [N, D], without the extractor's name."""
        with progress("measures of features", 3) as bar:
            distance = metrics.frechet_distance(self.moments, metrics.moments(fake))
            bar.update(1, "")
            kid, deviation = metrics.kernel_distance(self.features, fake)
            bar.update(2, "")
            precision, recall = metrics.precision_recall(self.features, fake)
            bar.update(3, "")
        memory = {}
        if self.training and self.unseen:
            memory["memory"] = metrics.copying(self.training[1], self.features, fake)
        return {
            "fid": distance,
            "kid": kid,
            "kid_deviation": deviation,
            "precision": precision,
            "recall": recall,
            **memory,
        }


def few(count):
    """Return a list of a line on the bias of an FID against so few real images; [] for enough."""
    if count >= FEW:
        return []
    return [
        f"the fid against {count} images is too high: compare it only with an fid against the same "
        "images"
    ]


def class_measures(classes, labels):
    """Measure a classifier's predictions for the samples.

    Args:
      classes: probabilities [N, K].
      labels: int [N], the classes that were asked for, or None.

    Returns:
      (shares of the predicted classes [K], dict of measures). "rarest" and "commonest" are the
      smallest and largest share; "right" is the share of samples predicted as their label.
    """
    predicted = classes.argmax(1)
    shares = np.bincount(predicted, minlength=classes.shape[1]) / len(predicted)
    measures = {"rarest": float(shares.min()), "commonest": float(shares.max())}
    if labels is not None:
        measures["right"] = float((predicted == labels).mean())
    return shares, measures

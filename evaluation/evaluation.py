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
from runs import checkpoints

SHEET_ROWS, SHEET_NEAREST = 8, 7  # samples in nearest.png, and training images beside each
NEAREST_OF = 60_000  # training images that are searched, before mirroring
FEW = 1000  # real images; the FID against fewer has a large bias
USUAL = 10_000  # samples; published measures of another number have it in their names


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
      what: a text on the reals.
      count: maximum number of reals.
      samples: number of samples; None for the number of reals.
      cache_dir: folder in which the features of reals are cached.
      by: measure that decides which state of a generator is the best.
      higher: True if a higher value of that measure is better.
      progress: function of (label, total) that shows the progress of the work on the reals, with
        the members of `console.Progress`.

    Attributes:
      suffix: what the names of measures of features end with.
      by: the full name of that measure, with the suffix.
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
        what="",
        count,
        samples=None,
        cache_dir,
        by="fid",
        higher=False,
        progress=console.no_progress,
    ):
        self.extractor, self.cache_dir = extractor, Path(cache_dir)
        self.unseen, self.what = unseen, what
        self.real, self.labels = choose(real, labels, among, count)
        self.samples = samples or len(self.real)
        self.suffix = suffix(extractor, self.samples)
        self.by, self.higher = by if by == "swd" else f"{by}_{self.suffix}", higher
        self.shares, self.progress, self.training = None, progress, None
        self.features = self._cached(self.real, "features of real images")
        self.moments = metrics.moments(self.features)

    @property
    def gaps(self):
        """Lines on the limits of the measures with these real images."""
        lines, (height, width) = [], self.real.shape[1:3]
        if not self.unseen:
            lines.append(
                "the samples are measured against training images, and copies of them would score "
                "well"
            )
        lines += few(len(self.real), self.extractor, self.samples)
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
          A dict of name → number. Names of measures of features end with `suffix`.
          "memory" is missing before `search`, and if `unseen` is False.
        """
        labels, features, classes, done = asked(self.labels, self.samples), [], [], 0
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
            wanted = None if self.labels is None else labels
            self.shares, by_class = class_measures(np.concatenate(classes), wanted)
            measures |= by_class
        measures = {f"{name}_{self.suffix}": value for name, value in measures.items()}
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
            measures = measures | {f"shares_{self.suffix}": self.shares.tolist()}
        files.save_text(folder / checkpoints.MEASURES, json.dumps(measures, indent=1))
        sheet = utils.make_grid(np.concatenate(rows), near.shape[1] + 1)
        return [
            folder / checkpoints.MEASURES,
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


def choose(real, labels, among, count):
    """Return the real images to compare with, and their labels.

    They are in random order, because some measures take the first images only, and sets lie by
    class. The arguments are those of `Evaluation`.

    Returns:
      (`Images`, their labels int [N] or None).
    """
    among = np.arange(len(real)) if among is None else among
    order = among[np.random.default_rng(0).permutation(len(among))[:count]]
    return Images(real, order), None if labels is None else labels[order]


def asked(labels, samples):
    """Return the labels of samples, int [samples]: those of the reals, repeated, or zeros."""
    return np.resize(np.zeros(1, np.int32) if labels is None else labels, samples)


def suffix(extractor, samples):
    """Return what the names of measures of features end with: the name of the extractor.

    For an extractor of published measures, the number of samples follows if it is not `USUAL`.
    """
    counted = getattr(extractor, "counted", False) and samples != USUAL
    return f"{extractor.name}_{samples}" if counted else extractor.name


def few(count, extractor, samples):
    """Return lines on the limits of an FID of so many samples against `count` real images."""
    lines, features = [], getattr(extractor, "width", 0)
    if count < FEW:
        lines.append(
            f"the fid against {count} images is too high: compare it only with an fid against the "
            "same images"
        )
    if min(count, samples) < features and features > FEW:
        lines.append(
            f"the covariance of {features:,} features of {min(count, samples):,} images is "
            f"singular: an fid of fewer than {features:,} is not comparable with published ones"
        )
    return lines


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

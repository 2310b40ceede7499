"""Measures a generator by comparing its samples with real images.

The formulas are in `metrics.py`, the networks that extract features in `extractors.py`.
"""

import hashlib
import json
import zipfile
from pathlib import Path

import numpy as np

import console
import files
import locks
import utils
from evaluation import metrics

SWD_IMAGES = 2048  # reals, and as many fakes; sorting the patches of 10,000 takes minutes
SSIM_PAIRS = 1000
SHEET_ROWS, SHEET_NEAREST = 8, 7  # samples in nearest.png, and training images beside each
NEAREST_OF = 60_000  # training images that are searched, before mirroring


class Evaluation:
    """Measures samples against a fixed set of real images.

    Args:
      extractor: an `Extractor`.
      real: uint8 images [N, H, W, C] to compare with.
      labels: int [N], or None.
      count: number of reals and of samples, at most.
      cache_dir: folder in which the features of reals are cached.
      by: measure that decides which state of a generator is the best.
      higher: True if a higher value of that measure is better.
      progress: function of (label, total) that shows the progress of the work on the reals, with
        the members of `console.Progress`.

    Attributes:
      by: the full name of that measure, with the extractor's name.
      shares: shares of the classes [K] among the samples last measured, or None.
      features: of the reals, float [N, D].
      moments: mean [D] and covariance [D, D] of the features.
    """

    def __init__(
        self,
        extractor,
        real,
        labels,
        *,
        count,
        cache_dir,
        by="fid",
        higher=False,
        progress=console.no_progress,
    ):
        order = np.random.default_rng(0).permutation(len(real))[:count]
        self.extractor, self.cache_dir = extractor, Path(cache_dir)
        # In random order, because some measures take the first images only: sets lie by class.
        self.real = np.ascontiguousarray(real[order])
        self.labels = None if labels is None else labels[order]
        self.by, self.higher = by if by == "swd" else f"{by}_{extractor.name}", higher
        self.shares, self.progress = None, progress
        self.features = self._cached(self.real)
        self.moments = metrics.moments(self.features)

    @property
    def gaps(self):
        """Lines that name the measures for which the images are too small."""
        height, width = self.real.shape[1:3]
        if metrics.ssim_scales((height, width)):
            return []
        return [f"ssim is not measured: images of {height}x{width} are too small for it"]

    def _cached(self, images):
        """Return the features of real images, from the cache if they are there."""
        key = hashlib.sha256(images.tobytes() + self.extractor.key.encode()).hexdigest()[:16]
        path = self.cache_dir / f"features_{self.extractor.name}_{key}.npy"
        try:
            features = np.load(path, allow_pickle=False)
            if features.dtype.kind != "f" or features.ndim != 2 or len(features) != len(images):
                raise ValueError
            return features
        except (OSError, ValueError, EOFError, AttributeError, zipfile.BadZipFile):
            features = self._extract(images, "features of real images", self.progress)[0]
            try:
                locks.clear_parts(self.cache_dir)
                with files.atomic_path(path) as part:
                    np.save(part, features)
            except OSError as error:
                print(f"note: the features are not cached: {error}")
            return features

    def _extract(self, images, label, progress):
        with progress(label, len(images)) as bar:
            return self.extractor(images, lambda done: bar.update(done, ""))

    def measure(self, draw, progress=console.no_progress):
        """Measure a generator.

        Args:
          draw: int labels [N] → uint8 images [N, H, W, C]. The labels are the labels of the
            reals, or zeros without labels. Smaller images, for example from an early stage of
            progressive growing, are enlarged.
          progress: function of (label, total) that shows progress; see `Evaluation`.

        Returns:
          A dict of name → number. Names of measures of features end with the extractor's name.
        """
        labels = np.zeros(len(self.real), np.int32) if self.labels is None else self.labels
        fake = utils.enlarge(draw(labels), self.real.shape)
        features, classes = self._extract(fake, "features of samples", progress)
        measures = self._feature_measures(features, progress)
        if classes is not None:
            self.shares, by_class = class_measures(classes, self.labels)
            measures |= by_class
        measures = {f"{name}_{self.extractor.name}": value for name, value in measures.items()}
        with progress("measures of pixels", 1) as bar:
            measures |= image_measures(self.real, fake)
            bar.update(1, "")
        return {"samples": len(fake), **measures}

    def better(self, new, old):
        """True if the measures `new` are better than `old`, or cannot be compared with them."""
        if self.by not in old or old.get("samples") != new["samples"]:
            return True
        return new[self.by] > old[self.by] if self.higher else new[self.by] < old[self.by]

    def write(self, folder, draw, measures, images, mirror):
        """Write measures.json and nearest.png.

        Each row of nearest.png shows a sample and the training images nearest to it by features.

        Args:
          folder: folder to write to.
          draw: int labels [N] → uint8 images [N, H, W, C].
          measures: dict of name → number, as `measure` returns.
          images: uint8 training images [M, H, W, C], of which at most `NEAREST_OF` are searched.
          mirror: search the images flipped left to right as well.

        Returns:
          [path of measures.json, path of nearest.png].
        """
        order = np.random.default_rng(1).permutation(len(images))[:NEAREST_OF]
        images = np.ascontiguousarray(images[np.sort(order)])
        if mirror:
            images = np.concatenate([images, images[:, :, ::-1]])
        labels = np.arange(SHEET_ROWS) if self.labels is None else self.labels[:SHEET_ROWS]
        samples = utils.enlarge(draw(labels.astype(np.int32)), images.shape)
        near = metrics.nearest(self.extractor(samples)[0], self._cached(images), SHEET_NEAREST)
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
        return {
            "fid": distance,
            "kid": kid,
            "kid_deviation": deviation,
            "precision": precision,
            "recall": recall,
        }


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


def image_measures(real, fake):
    """Measure the pixels of samples.

    Args:
      real, fake: uint8 images [N, H, W, C] and [M, H, W, C], M at least N.

    Returns:
      A dict. "swd_H" is the sliced Wasserstein distance at the pyramid's level of height H, "swd"
      the mean of these. "ssim_S" is the mean structural similarity, of S scales, of random pairs
      of samples; it is missing for images smaller than 11 pixels.
    """
    n = min(SWD_IMAGES, len(real))
    distances = metrics.sliced_wasserstein(real[:n], fake[:n])
    measures = {f"swd_{height}": value for height, value in distances.items()}
    measures["swd"] = float(np.mean(list(distances.values())))
    order = np.random.default_rng(0).permutation(len(fake))
    pairs = order[: min(len(fake) // 2, SSIM_PAIRS) * 2].reshape(2, -1)
    if scales := metrics.ssim_scales(fake.shape[1:3]):
        measures[f"ssim_{scales}"] = float(metrics.structural_similarity(*fake[pairs]).mean())
    return measures

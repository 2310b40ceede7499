"""Measures of a generator: its samples beside real images, through a named extractor."""

import hashlib
import json
import zipfile
from pathlib import Path

import numpy as np

import files
import utils
from evaluation import metrics

SWD_IMAGES = 2048  # of each side: sorting the patches of 10,000 would take minutes
SSIM_PAIRS = 1000
SHEET_ROWS, SHEET_NEAREST = 8, 7
NEAREST_OF = 60_000


class Evaluation:
    """Measures samples against a fixed set of real images.

    Args:
      extractor: an `Extractor`.
      real: uint8 images [N, H, W, C] to measure against; `labels` int [N], or None.
      count: how many of them, and of samples, at most.
      cache_dir: where the features of real images are kept.
      by: the measure that the best is told by; `higher`: more of it is better.
    """

    def __init__(self, extractor, real, labels, *, count, cache_dir, by="fid", higher=False):
        order = np.random.default_rng(0).permutation(len(real))[:count]
        self.extractor, self.cache_dir = extractor, Path(cache_dir)
        self.real = np.ascontiguousarray(real[np.sort(order)])
        self.labels = None if labels is None else labels[np.sort(order)]
        self.by, self.higher = by if by == "swd" else f"{by}_{extractor.name}", higher
        self.shares = None  # of the classes among the samples last measured
        self.features = self._cached(self.real)
        self.moments = metrics.moments(self.features)

    def _cached(self, images):
        """Features of real images, from the cache where they are in it."""
        key = hashlib.sha256(images.tobytes() + self.extractor.key.encode()).hexdigest()[:16]
        path = self.cache_dir / f"features_{self.extractor.name}_{key}.npy"
        try:
            found = np.load(path, allow_pickle=False)
            if found.dtype.kind != "f" or found.ndim != 2 or len(found) != len(images):
                raise ValueError
            return found
        except (OSError, ValueError, EOFError, AttributeError, zipfile.BadZipFile):
            features = self.extractor(images)[0]
            try:
                files.clear_parts(self.cache_dir)
                with files.atomic_path(path) as part:
                    np.save(part, features)
            except OSError as error:
                print(f"note: the features are not kept: {error}")
            return features

    def measure(self, draw):
        """The measures of a generator.

        Args:
          draw: labels int [N] (zeros where there are none) → uint8 images [N, H, W, C].

        Returns:
          A dict of name → number. A name ends with its extractor's where one was used.
        """
        labels = np.zeros(len(self.real), np.int32) if self.labels is None else self.labels
        fake = utils.enlarge(draw(labels), self.real.shape)  # a network that grows makes smaller
        features, classes = self.extractor(fake)
        through = self._through_features(features)
        if classes is not None:
            self.shares, more = class_measures(classes, self.labels)
            through |= more
        found = {f"{name}_{self.extractor.name}": value for name, value in through.items()}
        return {"samples": len(fake), **found, **image_measures(self.real, fake)}

    def better(self, new, old):
        """Is the first of two results better, or the other one of another kind?"""
        if self.by not in old or old.get("samples") != new["samples"]:
            return True
        return new[self.by] > old[self.by] if self.higher else new[self.by] < old[self.by]

    def write(self, folder, draw, found, images, mirror):
        """Write measures.json and nearest.png into `folder`; return their paths.

        The sheet's rows are a sample and the training images nearest to it by the features,
        of at most `NEAREST_OF` of them; turned left-right, too, where they are trained on so.
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
            found = found | {f"shares_{self.extractor.name}": self.shares.tolist()}
        files.save_text(folder / "measures.json", json.dumps(found, indent=1))
        sheet = utils.make_grid(np.concatenate(rows), near.shape[1] + 1)
        return [
            folder / "measures.json",
            utils.save_image(folder / "nearest.png", sheet),
        ]

    def _through_features(self, fake):
        kid, deviation = metrics.kernel_distance(self.features, fake)
        precision, recall = metrics.precision_recall(self.features, fake)
        return {
            "fid": metrics.frechet_distance(self.moments, metrics.moments(fake)),
            "kid": kid,
            "kid_deviation": deviation,
            "precision": precision,
            "recall": recall,
        }


def class_measures(classes, labels):
    """From a classifier's view of the samples, its probabilities [N, K]: evenness and rightness.

    Returns:
      (shares of the classes seen [K], measures): `right` is the share of samples that are seen as
      the class asked for, `labels` [N] or None; `rarest` and `commonest` are the shares of those.
    """
    seen = classes.argmax(1)
    shares = np.bincount(seen, minlength=classes.shape[1]) / len(seen)
    found = {"rarest": float(shares.min()), "commonest": float(shares.max())}
    if labels is not None:
        found["right"] = float((seen == labels).mean())
    return shares, found


def image_measures(real, fake):
    """Measures of the pixels: `swd_H` by level of height H, their mean `swd`, `ssim_SCALES`.

    The last is of pairs of samples, and left out where they are smaller than its window.
    """
    n = min(SWD_IMAGES, len(real))
    distances = metrics.sliced_wasserstein(real[:n], fake[:n])
    found = {f"swd_{height}": value for height, value in distances.items()}
    found["swd"] = float(np.mean(list(distances.values())))
    order = np.random.default_rng(0).permutation(len(fake))
    pairs = order[: min(len(fake) // 2, SSIM_PAIRS) * 2].reshape(2, -1)
    if scales := metrics.ssim_scales(fake.shape[1:3]):
        found[f"ssim_{scales}"] = float(metrics.structural_similarity(*fake[pairs]).mean())
    return found

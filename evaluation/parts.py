"""Images in parts of a bounded size, and the measures of their pixels. Imports no TensorFlow."""

import itertools
import re

import numpy as np

import utils
from evaluation import metrics, wasserstein

AT_ONCE, MAX_NUMBERS = 1000, 2**22  # images, and their numbers, in memory at a time
SSIM_PAIRS = 1000
NUMBERED = re.compile(r"\d{5,}\.png")  # the names of the files in a folder of images
FEATURE_BYTES = 4 * 2048  # of an image, by InceptionV3


class Images:
    """Some of the images of an array, which are read from it when they are needed.

    Args:
      array: uint8 images [N, H, W, C], which may be a file.
      order: int [K], the indices of the images.
      mirror: True appends the same images flipped left to right.
      channels: of the images that are returned; gray ones are repeated. None: those of the array.
    """

    def __init__(self, array, order, mirror=False, channels=None):
        self._array, self._order, self._count = array, order, len(order) * (1 + mirror)
        self.shape = (self._count, *array.shape[1:3], channels or array.shape[-1])

    def __len__(self):
        return self._count

    def __getitem__(self, key):
        """Return the images of a slice or of indices, a new array."""
        index = np.arange(self._count)[key]
        found = self._array[self._order[index % len(self._order)]]
        flipped = index >= len(self._order)
        found[flipped] = found[flipped][:, :, ::-1]
        return np.repeat(found, self.shape[-1] // found.shape[-1], -1)

    def parts(self):
        """Yield all images in parts of a bounded size."""
        rows = part_size(self.shape)
        for i in range(0, self._count, rows):
            yield self[i : i + rows]


def part_size(shape):
    """Return how many images of a shape [..., H, W, C] are in memory at a time, an even number."""
    return max(2, min(AT_ONCE, MAX_NUMBERS // int(np.prod(shape[-3:]))) // 2 * 2)


def regroup(drawn, shape):
    """Yield images in parts of `part_size`, enlarged to a shape [..., H, W, C].

    Args:
      drawn: uint8 images [N, H, W, C], or an iterator of parts of them.
      shape: the height and width are factors of those of the shape.
    """
    rows, kept = part_size(shape), []
    for part in [drawn] if isinstance(drawn, np.ndarray) else drawn:
        kept.append(part)
        while sum(map(len, kept)) >= rows:
            whole = np.concatenate(kept)
            kept = [whole[rows:]]
            yield utils.enlarge(whole[:rows], shape)
    if sum(map(len, kept)):
        yield utils.enlarge(np.concatenate(kept), shape)


def write_folder(folder, parts):
    """Write images as 00000.png, 00001.png, …, instead of those of an earlier call.

    Args:
      folder: Path of the folder.
      parts: an iterator of parts [n, H, W, C] of uint8 images.

    Returns:
      The number of images.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.png"):
        if NUMBERED.fullmatch(old.name):
            old.unlink()
    done = 0
    for done, image in enumerate(itertools.chain.from_iterable(parts), 1):
        utils.save_image(folder / f"{done - 1:05d}.png", image)
    return done


class PixelMeasures:
    """Measures of the pixels of samples, which are added in parts.

    Args:
      real: `Images` to compare with. The number of samples is theirs.

    Attributes:
      levels: number of levels of the images' pyramid.
    """

    def __init__(self, real):
        count = min(wasserstein.IMAGES, len(real))
        self._swd = wasserstein.SlicedWasserstein(
            Images(real, np.arange(count)).parts, count, real.shape[1:]
        )
        self.levels = len(wasserstein.pyramid_sizes(real.shape[1:3]))
        self._scales = metrics.ssim_scales(real.shape[1:3])
        self._left, self._similarities = min(len(real) // 2, SSIM_PAIRS), []

    def add(self, fake):
        """Add the next samples, uint8 [n, H, W, C]. Each pair for SSIM is of two neighbours."""
        self._swd.add(fake)
        pairs = min(self._left, len(fake) // 2)
        self._left -= pairs
        if self._scales and pairs:
            a, b = fake[: 2 * pairs : 2], fake[1 : 2 * pairs : 2]
            self._similarities.append(metrics.structural_similarity(a, b))

    def measures(self, show=lambda done: None):
        """Return the measures, a dict. Calls `show` with the number of levels done.

        "swd_H" is the sliced Wasserstein distance at the pyramid's level of height H, "swd" the
        mean of these. "ssim_S" is the mean structural similarity, of S scales, of random pairs of
        samples; it is missing for images smaller than 11 pixels.
        """
        distances = self._swd.distances(show)
        found = {f"swd_{height}": value for height, value in distances.items()}
        found["swd"] = float(np.mean(list(distances.values())))
        if self._similarities:
            found[f"ssim_{self._scales}"] = float(np.concatenate(self._similarities).mean())
        return found


def memory_bytes(shape, count):
    """Estimate the bytes that a measurement needs, for `count` samples of a shape (H, W, C).

    They are the patches of at most 2,048 images, the features of the samples, 32-bit copies of
    a part of the images, and a matrix of distances.
    """
    patches = wasserstein.memory_bytes(shape, min(count, wasserstein.IMAGES))
    part = 4 * part_size(shape) * int(np.prod(shape))
    distances = 4 * 4 * min(metrics.MAX_DISTANCES, metrics.CHUNK * count)
    return max(patches + 8 * part, distances) + FEATURE_BYTES * count

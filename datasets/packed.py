"""Data sets: a reader returns a `Source`, and `load` turns it into a `Packed` set.

Imports no TensorFlow.
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

import console
from datasets import cache, pictures


@dataclasses.dataclass(frozen=True)
class ImageSpec:
    """The shape of the images [height, width, channels] and their number.

    `classes` is the number of classes, 0 without labels. `value_range` is [low, high], the values
    that become 0 to 255, if pictures are of 16 or 32 bits; None for 8 bits.
    """

    height: int
    width: int
    channels: int
    count: int
    classes: int
    value_range: list | None = None


@dataclasses.dataclass
class Source:
    """Pictures before packing.

    Attributes:
      names: list of N strings, for messages.
      open: function of an index that returns a Pillow image, or its path or open file.
      signature: str that changes when the pictures change.
      labels: int [N], or None if the set has none.
      classes: names of the classes.
      images: uint8 [N, H, W, C] if they are decoded already, or None.
      notes: lines on the pictures that were left out, and on their values.
      value_range: as in `ImageSpec`, if the reader has mapped the values.
    """

    names: list
    open: Callable
    signature: str
    labels: np.ndarray | None = None
    classes: tuple = ()
    images: np.ndarray | None = None
    notes: tuple = ()
    value_range: list | None = None


@dataclasses.dataclass
class Packed:
    """A data set, ready to train on.

    Attributes:
      images: uint8 [N, H, W, C], memory-mapped if they were packed.
      labels: int32 [N], all 0 without labels.
      spec: the ImageSpec.
      skipped: names of the unreadable pictures, each with the reason.
      shown: empty; `domains.Domains` has test images here.
    """

    images: np.ndarray
    labels: np.ndarray
    spec: ImageSpec
    skipped: list
    shown: tuple = ()

    def stream(self, **kwargs):
        """Return the endless stream of training images, `Batches` with these kwargs."""
        return Batches(self.images, self.labels, **kwargs)


def load(
    name,
    *,
    reader,
    data_dir,
    cache_dir,
    size,
    crop=None,
    pattern="*",
    conditional=False,
    part=None,
    workers=0,
    background="white",
    output=None,
):
    """Load a data set, from the cache if its pictures are unchanged.

    Args:
      name: the data set: a folder or zip file under `data_dir`, or a path.
      reader: function of (path, pattern=, conditional=) that returns a Source.
      data_dir: path of the folder of data sets.
      cache_dir: path of the folder of packed arrays; if it cannot be written, they go to
        `$XDG_CACHE_HOME/gan-trainer` or `~/.cache/gan-trainer`.
      size: (height, width) to crop and resize to.
      crop: (height, width) of the centre box to take first, or None.
      pattern: shell pattern of file names, for a reader of files.
      conditional: keep the labels.
      part: "train" or "test", for a reader that takes it, or None.
      workers: number of decoding threads; 0 takes one for each CPU.
      background: the colour behind transparent pixels.
      output: (height, width, multiple) of the run's images, as in `pictures.notes`.

    Returns:
      A `Packed`.

    Raises:
      console.Failed: if no picture can be read, or labels are wanted and there are none; the
        message says what to do.
    """
    kwargs = {"part": part} if part else {}
    path, source = _read(name, reader, data_dir, pattern, conditional, **kwargs)
    if source.images is not None and source.images.shape[1:3] == tuple(size) and not crop:
        images, keep, skipped, facts = source.images, slice(None), [], {}
    else:
        key = [background] if background != "white" else []  # as in caches older than the setting
        stem = _stem(path, size, pattern, size, crop, *kwargs.values(), *key)
        images, keep, skipped, facts = cache.read_or_pack(
            source, stem, cache_dir, size, crop, workers, background
        )
    if not len(images):
        raise console.Failed(f"{path} holds no images")
    _tell(source, skipped, pictures.notes(facts, background, output))
    labels = source.labels[keep] if conditional else np.zeros(len(images))
    value_range = facts.get("value_range", source.value_range)
    classes = len(source.classes) if conditional else 0
    spec = ImageSpec(*images.shape[1:], len(images), classes, value_range)
    return Packed(images, labels.astype(np.int32), spec, skipped)


def _stem(path, size, *key):
    """Return the name of the cache's files for a path: its own, the size, and a digest of a key."""
    text = json.dumps([str(path.resolve()), *key])
    return f"{path.name}_{size[0]}_{size[1]}_{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _tell(source, skipped, notes):
    """Print the notes on a set, and the first names of the list of the skipped pictures."""
    for line in (*source.notes, *notes):
        print(line)
    if skipped:
        names = ", ".join(skipped[:5]) + (", ..." if len(skipped) > 5 else "")
        print(f"skipped {len(skipped)} of {len(source.names)} images as unreadable: {names}")


def _read(name, reader, data_dir, pattern, conditional, **kwargs):
    """Return (path, Source) of a data set."""
    path = Path(data_dir) / name
    if not path.exists() and (Path(name).is_dir() or Path(name).is_file()):
        path = Path(name)
    source = reader(path, pattern=pattern, conditional=conditional, **kwargs)
    if conditional and source.labels is None:
        raise console.Failed(
            f"{path} has no labels: put each class in a folder of its own, or "
            "leave --conditional out"
        )
    return path, source


def describe(name, *, reader, data_dir, size, pattern="*", conditional=False):
    """Return the ImageSpec of `load` without packing. Counts unreadable pictures, too.

    Takes some of the arguments of `load`, and raises its errors.
    """
    _, source = _read(name, reader, data_dir, pattern, conditional)
    channels = 1 if cache.all_gray(source) else 3
    classes = len(source.classes) if conditional else 0
    return ImageSpec(*size, channels, len(source.names), classes)


class Batches:
    """An endless stream of training images: one seeded permutation of the set after another.

    The images at a position depend on the seed and the position alone, so a resumed run goes on
    with the images it would have seen. `len()` is the number of images in one pass.

    Args:
      images: uint8 [N, H, W, C], possibly memory-mapped.
      labels: int32 [N].
      seed: int.
      train_size: number of images to train on, drawn by the seed; 0 takes all of them.
      rows: (replicas of this process, number of all replicas). Of R replicas, replica r has the
        rows r, r + R, r + 2R, … of each batch. By default one replica has all rows.
    """

    def __init__(self, images, labels, *, seed, train_size=0, rows=((0,), 1)):
        order = np.random.default_rng([seed, 1]).permutation(len(images))
        self.subset = np.sort(order[: train_size or len(images)])
        self.images, self.labels, self.seed = images, labels, seed
        self.rows = rows
        self._pass, self._order = -1, None

    def __len__(self):
        return len(self.subset)

    def _permutation(self, number):
        if number != self._pass:
            rng = np.random.default_rng([self.seed, 0, number])
            self._pass, self._order = number, rng.permutation(self.subset)
        return self._order

    def indices(self, position, count):
        """Return the indices of `count` images from `position` on, int [count].

        Args:
          position: number of images taken before, over all passes.
        """
        parts = []
        while count:
            number, offset = divmod(position, len(self.subset))
            part = self._permutation(number)[offset : offset + count]
            parts.append(part)
            position, count = position + len(part), count - len(part)
        return np.concatenate(parts)

    def reals(self, count):
        """Return the first `count` images, uint8 [count, H, W, C]."""
        return self.take(0, (count,))[0]

    def take(self, position, shape):
        """Return (uint8 images [*shape, H, W, C], int32 labels [*shape]) from `position` on.

        For a shape [updates, batch], returns only this process's rows of each batch.
        """
        chosen = self.indices(position, int(np.prod(shape))).reshape(shape)
        replicas, count = self.rows
        if len(shape) > 1 and len(replicas) < count:
            chosen = chosen.reshape(shape[0], -1, count)[..., replicas].reshape(shape[0], -1)
        return self.images[chosen], self.labels[chosen]

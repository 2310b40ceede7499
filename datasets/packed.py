"""Data sets: a reader returns a `Source`, and `load` turns it into a `Packed` set.

Imports no TensorFlow.
"""

import dataclasses
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

import console
from datasets import cache, pictures


class NoImages(console.Failed):
    """A folder or an archive has no images."""


@dataclasses.dataclass(frozen=True)
class ImageSpec:
    """The shape [height, width, channels] of a set's images, their number, and their identity.

    Two specs are equal if shape, count, number of classes and value range are.

    Attributes:
      classes: number of classes, 0 without labels.
      class_names: their names, () without labels.
      source: path of the data set, relative if it is in the current folder; or the name of a known
        data set, which is the same wherever its files are.
      fingerprint: str that changes when the images change, but not when they move.
      value_range: [low, high], the values that become 0 and 255, if pictures have 16 or 32 bits;
        None for 8 bits.
    """

    height: int
    width: int
    channels: int
    count: int
    classes: int
    class_names: tuple = dataclasses.field(default=(), compare=False)
    source: str = dataclasses.field(default="", compare=False)
    fingerprint: str = dataclasses.field(default="", compare=False)
    value_range: list | None = None


@dataclasses.dataclass
class Source:
    """Pictures before packing.

    Attributes:
      names: list of N strings, which messages show and which decide what images are held out.
      open: function of an index that returns a Pillow image, or its path or open file.
      signature: str that changes when the pictures change.
      labels: int [N], or None if the set has none.
      classes: names of the classes.
      images: uint8 [N, H, W, C] if they are decoded already, or None.
      name: name of a data set that is the same wherever its files are, or "".
      fingerprint: as `ImageSpec.fingerprint`; "" if `signature` is the fingerprint.
      notes: lines to print, on the files that were left out and on the range of values.
      value_range: as in `ImageSpec`, if the reader has mapped the values.
    """

    names: list
    open: Callable
    signature: str
    labels: np.ndarray | None = None
    classes: tuple = ()
    images: np.ndarray | None = None
    name: str = ""
    fingerprint: str = ""
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
      names: [N] strings, the names of the images.
      held: int [K], sorted indices of the images that are held out of training.
    """

    images: np.ndarray
    labels: np.ndarray
    spec: ImageSpec
    skipped: list
    shown: tuple = ()
    names: np.ndarray | tuple = ()
    held: np.ndarray | tuple = ()

    def stream(self, **kwargs):
        """Return the endless stream of training images, `Batches` with these kwargs."""
        return Batches(self.images, self.labels, held=self.held, **kwargs)


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
    value_range=None,
    output=None,
):
    """Load a data set, from the cache if its pictures are unchanged.

    Args:
      name: the data set, see `locate`.
      reader: function of (path, pattern=, conditional=) that returns a Source.
      data_dir: path of the folder of data sets.
      cache_dir: path of the folder of packed arrays; if it cannot be written, they go to
        `$XDG_CACHE_HOME/gan-trainer` or `~/.cache/gan-trainer`.
      size: (height, width) to crop and resize to.
      crop: (height, width) of the centre box to take first, or None.
      pattern: shell pattern of file names, for a reader of files.
      conditional: keep the labels.
      part: "train", "test" or the name of a folder, for a reader that takes it, or None.
      workers: number of decoding threads; 0 takes one for each CPU.
      background: the colour behind transparent pixels.
      value_range: as in `ImageSpec`; None finds that of the pictures.
      output: (height, width, multiple) of the run's images, as in `pictures.notes`.

    Returns:
      A `Packed`.

    Raises:
      console.Failed: if no picture can be read, or labels are wanted and there are none, or all
        pictures are of one class; the message says what to do.
    """
    kwargs = {"part": part} if part else {}
    path, source = _read(name, reader, data_dir, pattern, conditional, **kwargs)
    if source.images is not None and source.images.shape[1:3] == tuple(size) and not crop:
        images, keep, skipped, facts = source.images, slice(None), [], {}
    else:
        colours = {"background": background, "value_range": value_range}
        stem = cache.stem(path, size, pattern, size, crop, *kwargs.values(), **colours)
        found = cache.read_or_pack(source, stem, cache_dir, size, crop, workers, **colours)
        images, keep, skipped, facts = found
    if not len(images):
        raise console.Failed(f"{path} holds no images")
    _tell(source, skipped, pictures.notes(facts, background, output))
    labels = source.labels[keep] if conditional else np.zeros(len(images))
    spec = _spec(images.shape[1:], len(images), path, source, conditional)
    value_range = facts.get("value_range", source.value_range)
    spec = dataclasses.replace(spec, value_range=value_range)
    names = np.array(source.names, object)[keep]
    return Packed(images, labels.astype(np.int32), spec, skipped, names=names)


def _tell(source, skipped, notes):
    """Print the notes on a set, and the first names of the skipped pictures."""
    for line in (*source.notes, *notes):
        print(line)
    if skipped:
        names = ", ".join(skipped[:5]) + (", ..." if len(skipped) > 5 else "")
        print(f"skipped {len(skipped)} of {len(source.names)} images as unreadable: {names}")


def locate(name, data_dir):
    """Return the Path of a data set.

    Args:
      name: a path, if it has a separator or is "." or ".."; or the name of a folder or file in
        `data_dir`, or else in the current folder.
      data_dir: path of the folder of data sets.
    """
    if os.path.basename(name) != name or name in (".", ".."):
        return Path(name)
    path = Path(data_dir) / name
    return Path(name) if not path.exists() and os.path.exists(name) else path


def place(path):
    """Return a path as text: relative if it is in the current folder, else absolute."""
    whole, here = os.path.abspath(path), os.path.join(os.getcwd(), "")
    return os.path.relpath(whole) if os.path.join(whole, "").startswith(here) else whole


def fingerprint(facts):
    """Return the SHA-256 of facts, a list of tuples of texts and numbers, as text."""
    return hashlib.sha256(repr(facts).encode()).hexdigest()


def _spec(shape, count, path, source, conditional):
    """Return the ImageSpec of `count` images [height, width, channels] of a Source."""
    classes = tuple(source.classes) if conditional else ()
    identity = source.name or place(path), source.fingerprint or source.signature
    return ImageSpec(*shape, count, len(classes), classes, *identity)


def _read(name, reader, data_dir, pattern, conditional, **kwargs):
    """Return (path, Source) of a data set."""
    path = locate(name, data_dir)
    source = reader(path, pattern=pattern, conditional=conditional, **kwargs)
    if conditional and source.labels is None:
        raise console.Failed(
            f"{path} has no labels: put each class in a folder of its own, or "
            "leave --conditional out"
        )
    if conditional and len(source.classes) == 1:
        raise console.Failed(
            f"{path} has the single class {console.plain(source.classes[0])}: put each class in a "
            "folder of its own, or give --conditional False"
        )
    return path, source


def describe(name, *, reader, data_dir, size, pattern="*", conditional=False, part=None):
    """Return the ImageSpec of `load` without packing. Counts unreadable pictures, too.

    Takes some of the arguments of `load`, and raises its errors.
    """
    kwargs = {"part": part} if part else {}
    path, source = _read(name, reader, data_dir, pattern, conditional, **kwargs)
    channels = 1 if cache.all_gray(source) else 3
    return _spec((*size, channels), len(source.names), path, source, conditional)


class Batches:
    """An endless stream of training images: one seeded permutation of the set after another.

    The images at a position depend on the seed and the position alone, so a resumed run goes on
    with the images it would have seen. `len()` is the number of images in one pass.

    Args:
      images: uint8 [N, H, W, C], possibly memory-mapped.
      labels: int32 [N].
      seed: int.
      train_size: number of images to train on, drawn by the seed; 0 takes all of them.
      held: int [K], indices of the images that are held out of training.
      rows: (replicas of this process, number of all replicas). Of R replicas, replica r has the
        rows r, r + R, r + 2R, … of each batch. By default one replica has all rows.
    """

    def __init__(self, images, labels, *, seed, train_size=0, held=(), rows=((0,), 1)):
        rest = np.delete(np.arange(len(images)), held)
        order = np.random.default_rng([seed, 1]).permutation(len(rest))
        self.subset = np.sort(rest[order[: train_size or len(rest)]])
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

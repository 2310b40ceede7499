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
from datasets import cache, zip_archive
from datasets.batches import Batches


@dataclasses.dataclass(frozen=True)
class ImageSpec:
    """The shape of the images [height, width, channels] and their number.

    `classes` is the number of classes, 0 without labels.
    """

    height: int
    width: int
    channels: int
    count: int
    classes: int


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
    """

    names: list
    open: Callable
    signature: str
    labels: np.ndarray | None = None
    classes: tuple = ()
    images: np.ndarray | None = None


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

    Returns:
      A `Packed`.

    Raises:
      console.Failed: if no picture can be read, or labels are wanted and there are none; the
        message says what to do.
    """
    kwargs = {"part": part} if part else {}
    path, source = _read(name, reader, data_dir, pattern, conditional, **kwargs)
    if source.images is not None and source.images.shape[1:3] == tuple(size) and not crop:
        images, keep, skipped = source.images, slice(None), []
    else:
        key = [str(path.resolve()), pattern, size, crop, *kwargs.values()]
        digest = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:8]
        stem = f"{path.name}_{size[0]}_{size[1]}_{digest}"
        images, keep, skipped = cache.read_or_pack(source, stem, cache_dir, size, crop, workers)
    if not len(images):
        raise console.Failed(f"{path} holds no images")
    if skipped:
        names = ", ".join(skipped[:5]) + (", ..." if len(skipped) > 5 else "")
        print(f"skipped {len(skipped)} of {len(source.names)} images as unreadable: {names}")
    labels = source.labels[keep] if conditional else np.zeros(len(images))
    spec = ImageSpec(*images.shape[1:], len(images), len(source.classes) if conditional else 0)
    return Packed(images, labels.astype(np.int32), spec, skipped)


def _read(name, reader, data_dir, pattern, conditional, **kwargs):
    """Return (path, Source) of a data set."""
    path = Path(data_dir) / name
    if not path.exists() and (Path(name).is_dir() or zip_archive.is_zip(Path(name))):
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

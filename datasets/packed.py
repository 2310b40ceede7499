"""Data sets: a reader returns a `Source`, and `load` turns it into a `Packed` set.

Imports no TensorFlow.
"""

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

import console
from datasets import cache
from datasets.batches import Batches


class NoImages(console.Failed):
    """A folder or an archive has no images."""


@dataclasses.dataclass(frozen=True)
class ImageSpec:
    """The shape of the images [height, width, channels], their number, and what they are.

    Specs are equal if the shapes and the numbers are.

    Attributes:
      classes: number of classes, 0 without labels.
      class_names: their names, () without labels.
      source: path of the data set, relative to the current folder if it is in it; or the name of a
        data set that has no place of its own.
      fingerprint: str that changes when the images change, but not when they move.
    """

    height: int
    width: int
    channels: int
    count: int
    classes: int
    class_names: tuple = dataclasses.field(default=(), compare=False)
    source: str = dataclasses.field(default="", compare=False)
    fingerprint: str = dataclasses.field(default="", compare=False)


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
      name: name of a data set that is the same wherever its files are, or "".
      fingerprint: as `ImageSpec.fingerprint`; "" if the signature is one.
    """

    names: list
    open: Callable
    signature: str
    labels: np.ndarray | None = None
    classes: tuple = ()
    images: np.ndarray | None = None
    name: str = ""
    fingerprint: str = ""


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

    Returns:
      A `Packed`.

    Raises:
      console.Failed: if no picture can be read, or labels are wanted and there are none, or all
        pictures are of one class; the message says what to do.
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
    spec = _spec(images.shape[1:], len(images), path, source, conditional)
    return Packed(images, labels.astype(np.int32), spec, skipped)


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
    """Return a path as text: relative to the current folder if it is in it, else absolute."""
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

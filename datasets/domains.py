"""Unpaired images of two domains, A and B, in four folders. Imports no TensorFlow."""

import dataclasses

import numpy as np

import console
from datasets import packed
from datasets.packed import Batches

TRAIN_FOLDERS = ("trainA", "trainB")
TEST_FOLDERS = ("testA", "testB")
FOLDERS = TRAIN_FOLDERS + TEST_FOLDERS
LARGER = 1.12  # training images are packed larger, to be cropped: 286 for 256 (authors' code)
SHOWN = 8  # test images of each domain on the sheets
DESCRIBED_BY = ("reader", "data_dir", "pattern", "conditional")  # kwargs that `describe` takes
SEED_OFFSET = 2**31  # added to the seed for the order of B; no seed for A is as large


@dataclasses.dataclass
class Domains:
    """The packed training images of A and B, and the first test images of each.

    Attributes:
      train: (A, B), each a `packed.Packed` of images `LARGER` times as large as the spec says.
      shown: (A, B), each uint8 [at most SHOWN, H, W, C].
      spec: `packed.ImageSpec` of the networks' images. Its count is that of the larger domain.
    """

    train: tuple
    shown: tuple
    spec: packed.ImageSpec

    def stream(self, **kwargs):
        """Return the endless stream of training images, a `Pairs` with these kwargs."""
        return Pairs(*self.train, self.spec.channels, **kwargs)


def load(name, *, size, **kwargs):
    """Read the four folders of a data set, each by `packed.load` with these kwargs.

    Args:
      name: the data set: a folder under `data_dir`, or a path.
      size: (height, width) of the networks' images.

    Returns:
      A `Domains`.

    Raises:
      console.Failed: if a folder is missing or has no images; the message names it.
    """
    # Check all four folders before the first is packed, which may take minutes.
    describe(name, size=size, **{n: kwargs[n] for n in DESCRIBED_BY if n in kwargs})
    larger = tuple(int(LARGER * n) for n in size)
    train, test = (
        tuple(packed.load(f"{name}/{folder}", size=side, **kwargs) for folder in folders)
        for folders, side in ((TRAIN_FOLDERS, larger), (TEST_FOLDERS, size))
    )
    spec = _common_spec(size, [part.spec for part in train + test])
    shown = tuple(to_channels(np.asarray(part.images[:SHOWN]), spec.channels) for part in test)
    return Domains(train, shown, spec)


def describe(name, *, size, **kwargs):
    """Return the ImageSpec of `load` without packing. Counts unreadable pictures, too.

    `DESCRIBED_BY` lists its kwargs, which are kwargs of `load`. It raises the errors of `load`.
    """
    if name.lower().endswith(".zip"):
        raise console.Failed(f"{name}: needs a folder with {', '.join(FOLDERS)}, not a zip file")
    specs = [packed.describe(f"{name}/{folder}", size=size, **kwargs) for folder in FOLDERS]
    return _common_spec(size, specs)


def _common_spec(size, specs):
    """Return the ImageSpec of both domains from the ImageSpecs of the four folders."""
    channels = max(spec.channels for spec in specs)
    count = max(spec.count for spec in specs[: len(TRAIN_FOLDERS)])
    return packed.ImageSpec(*size, channels, count, 0)


def to_channels(images, channels):
    """Return images [..., C] as [..., channels]; a gray channel is repeated for colour."""
    return np.repeat(images, channels // images.shape[-1], -1)


class Pairs:
    """An endless stream of images of A and of B, each domain in its own order.

    As in `Batches`, the images depend on the seed and the position alone. `len()` is the number
    of images of the larger domain.

    Args:
      a, b: `packed.Packed` of each domain.
      channels: number of channels of the images taken.
      seed: int.
      **kwargs: the other kwargs of `Batches`.
    """

    def __init__(self, a, b, channels, *, seed, **kwargs):
        self.streams = [
            Batches(part.images, part.labels, seed=own_seed, **kwargs)
            for part, own_seed in ((a, seed), (b, seed + SEED_OFFSET))
        ]
        self.channels = channels

    def __len__(self):
        return max(map(len, self.streams))

    def take(self, position, shape):
        """Return uint8 images (of A, of B), each [*shape, H, W, C], from `position` on."""
        found = [stream.take(position, shape)[0] for stream in self.streams]
        return tuple(to_channels(images, self.channels) for images in found)

    def reals(self, count):
        """Return the first `count` images, uint8 [count, H, W, C]: half of A, then half of B."""
        return np.concatenate(self.take(0, (count // 2,)))

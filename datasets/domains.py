"""Two domains of images, unpaired: the folders trainA, trainB, testA and testB of a data set.

Imports no TensorFlow.
"""

import dataclasses

import numpy as np

import console
from datasets import packed
from datasets.batches import Batches

FOLDERS = ("trainA", "trainB", "testA", "testB")
LARGER = 1.12  # training images are packed larger than they are made: 286 for 256 (authors' code)
SHOWN = 8  # test images of each domain that the sheets show
LOOKED = ("reader", "data_dir", "pattern", "conditional")  # what a look takes of a load's words
OTHER = 2**31  # added to the seed of B's order, which no seed of A's then is


@dataclasses.dataclass
class Domains:
    """The training images of A and B as `dataset.Packed`, and the first test images of each.

    `spec` is of the images made: those packed are larger.
    """

    train: tuple
    shown: tuple
    spec: packed.ImageSpec

    def stream(self, **words):
        """The endless stream of training images: `Pairs` of these words."""
        return Pairs(*self.train, self.spec.channels, **words)


def load(name, *, size, **words):
    """Read the four folders of a data set, as `dataset.load` reads one.

    Raises:
      utils.Failed: where a folder is absent or has no images, saying which.
    """
    # Before the first one is packed, which may take long.
    look(name, size=size, **{n: words[n] for n in LOOKED if n in words})
    larger = tuple(int(LARGER * n) for n in size)
    parts = [
        packed.load(f"{name}/{folder}", size=size if folder.startswith("test") else larger, **words)
        for folder in FOLDERS
    ]
    channels = max(part.spec.channels for part in parts)
    count = max(part.spec.count for part in parts[:2])
    shown = tuple(coloured(np.asarray(part.images[:SHOWN]), channels) for part in parts[2:])
    return Domains(tuple(parts[:2]), shown, packed.ImageSpec(*size, channels, count, 0))


def look(name, *, size, **words):
    """The ImageSpec that `load` would give, but for pictures that cannot be read; packs nothing."""
    if name.lower().endswith(".zip"):
        raise console.Failed(f"{name}: a folder of {', '.join(FOLDERS)} is wanted, no zip file")
    specs = [packed.look(f"{name}/{folder}", size=size, **words) for folder in FOLDERS]
    channels = max(spec.channels for spec in specs)
    return packed.ImageSpec(*size, channels, max(spec.count for spec in specs[:2]), 0)


def coloured(images, channels):
    """Images [..., C] of so many channels: gray ones repeated where the other domain has colour."""
    return np.repeat(images, channels // images.shape[-1], -1)


class Pairs:
    """The endless streams of both domains' images, each in an order of its own.

    As in `dataset.Batches`, the seed and the position say which images come.
    """

    def __init__(self, a, b, channels, *, seed, **words):
        self.streams = [
            Batches(part.images, part.labels, seed=own, **words)
            for part, own in ((a, seed), (b, seed + OTHER))
        ]
        self.channels = channels

    def __len__(self):
        return max(map(len, self.streams))

    def take(self, position, shape):
        """(uint8 images of A, of B), each [*shape, H, W, C], at a position."""
        found = [stream.take(position, shape)[0] for stream in self.streams]
        return tuple(coloured(images, self.channels) for images in found)

    def reals(self, count):
        """So many of the first images: half of them A's, then B's."""
        return np.concatenate(self.take(0, (count // 2,)))

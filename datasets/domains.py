"""Unpaired images of two domains, A and B, in up to four folders. Imports no TensorFlow."""

import dataclasses

import numpy as np

from datasets import packed

TRAIN_FOLDERS = ("trainA", "trainB")
TEST_FOLDERS = ("testA", "testB")
FOLDERS = TRAIN_FOLDERS + TEST_FOLDERS
LARGER = 1.12  # training images are packed larger, to be cropped: 286 for 256 (authors' code)
SHOWN = 8  # test images of each domain on the sheets
DESCRIBED_BY = ("reader", "data_dir", "pattern", "conditional")  # kwargs that `describe` takes
SEED_OFFSET = 2**31  # added to the seed for the order of B; no seed for A is as large


@dataclasses.dataclass
class Domains:
    """The packed training images of A and B, and the images of each that are not trained on.

    Attributes:
      train: (A, B), each a `packed.Packed` of images `LARGER` times as large as the spec says.
      test: (A, B), each uint8 [N, H, W, C] of the networks' size, gray or colour, memory-mapped.
        They are the test images, or without them the centres of the training images.
      names: (A, B), the names of the folders of these images.
      shown: (A, B), the first of these images for the sheets, uint8 [at most SHOWN, H, W, C].
      spec: `packed.ImageSpec` of the networks' images. Its count is that of the larger domain.
        Its value_range is a list of that of A and that of B, or None if both have 8 bits.
    """

    train: tuple
    test: tuple
    names: tuple
    shown: tuple
    spec: packed.ImageSpec

    def stream(self, **kwargs):
        """Return the endless stream of training images, a `Pairs` with these kwargs."""
        return Pairs(*self.train, self.spec.channels, **kwargs)


def load(name, *, size, **kwargs):
    """Read the four folders of a data set, each by `packed.load` with these kwargs.

    Without test images of a domain, its training images stand for them.

    Args:
      name: the data set, see `packed.locate`: a folder or zip file with the `FOLDERS`.
      size: (height, width) of the networks' images.

    Returns:
      A `Domains`.

    Raises:
      console.Failed: if a training folder is missing or has no images; the message names it.
    """
    kwargs.pop("part", None)  # the parts are the folders
    # Check all folders before the first is packed, which may take minutes.
    describe(name, size=size, **{n: kwargs[n] for n in DESCRIBED_BY if n in kwargs})
    larger = tuple(int(LARGER * n) for n in size)
    train = [packed.load(name, size=larger, part=folder, **kwargs) for folder in TRAIN_FOLDERS]
    found = [
        _if_any(packed.load, name, f, size=size, value_range=part.spec.value_range, **kwargs)
        for f, part in zip(TEST_FOLDERS, train)
    ]
    if missing := [folder for folder, part in zip(TEST_FOLDERS, found) if part is None]:
        print(f"no {' and no '.join(missing)}: the sheets show training images")
    spec = _common_spec(size, [part.spec for part in (*train, *found) if part])
    test = tuple(
        _centre(training.images, size) if part is None else part.images
        for training, part in zip(train, found)
    )
    names = tuple(
        training if part is None else tested
        for training, tested, part in zip(TRAIN_FOLDERS, TEST_FOLDERS, found)
    )
    shown = tuple(to_channels(np.asarray(images[:SHOWN]), spec.channels) for images in test)
    return Domains(tuple(train), test, names, shown, spec)


def describe(name, *, size, **kwargs):
    """Return the ImageSpec of `load` without packing. Counts unreadable pictures, too.

    `DESCRIBED_BY` lists its kwargs, which are kwargs of `load`. It raises the errors of `load`.
    """
    specs = [packed.describe(name, size=size, part=part, **kwargs) for part in TRAIN_FOLDERS]
    test = [_if_any(packed.describe, name, part, size=size, **kwargs) for part in TEST_FOLDERS]
    return _common_spec(size, [spec for spec in (*specs, *test) if spec])


def _if_any(function, name, part, **kwargs):
    """Return what `packed.load` or `packed.describe` does for a part; None if it has no images."""
    try:
        return function(name, part=part, **kwargs)
    except packed.NoImages:
        return None


def _centre(images, size):
    """Return the centre of images [N, H, W, C], of a (height, width)."""
    top, left = ((old - new) // 2 for old, new in zip(images.shape[1:3], size))
    return images[:, top : top + size[0], left : left + size[1]]


def _common_spec(size, specs):
    """Return the ImageSpec of both domains from those of the folders, training folders first."""
    train = specs[: len(TRAIN_FOLDERS)]
    ranges = [spec.value_range for spec in train]
    return packed.ImageSpec(
        *size,
        channels=max(spec.channels for spec in specs),
        count=max(spec.count for spec in train),
        classes=0,
        source=train[0].source,
        fingerprint=packed.fingerprint([spec.fingerprint for spec in train]),
        value_range=ranges if any(ranges) else None,
    )


def to_channels(images, channels):
    """Return images [..., C] as [..., channels]; a gray channel is repeated for colour."""
    return np.repeat(images, channels // images.shape[-1], -1)


class Pairs:
    """An endless stream of images of A and of B, each domain in its own order.

    As in `packed.Batches`, the images depend on the seed and the position alone. `len()` is the
    number of images of the larger domain.

    Args:
      a, b: `packed.Packed` of each domain.
      channels: number of channels of the images taken.
      seed: int.
      **kwargs: the other kwargs of `packed.Batches`.
    """

    def __init__(self, a, b, channels, *, seed, **kwargs):
        self.streams = [
            packed.Batches(part.images, part.labels, seed=own_seed, **kwargs)
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

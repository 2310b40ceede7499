"""The sliced Wasserstein distance of images (PGGAN, 1710.10196), with memory that has a bound.

Images are uint8 arrays [N, H, W, C]. Imports no TensorFlow.
"""

import numpy as np
from scipy import ndimage

IMAGES = 2048  # reals, and as many fakes; sorting the patches of 10,000 takes minutes
AT_ONCE = 32  # directions whose projections are in memory at a time
PYRAMID_KERNEL = np.array([1, 4, 6, 4, 1]) / 16
PATCHES, PATCH = 128, 7  # patches for each image and level, and their side in pixels (PGGAN)
DIRECTIONS, REPEATS = 128, 4


def pyramid(images, only=None):
    """Return the Laplacian pyramid of images, a list of float32 arrays, the finest level first.

    The last level is the smallest image. The levels before it hold the detail that each halving
    removes. See `pyramid_sizes` for their number.

    Args:
      images: [N, H, W, C].
      only: numbers of the levels to compute; the others are None. By default, all.
    """
    level, levels = np.asarray(images, np.float32), []
    for _ in pyramid_sizes(level.shape[1:3])[1:]:
        small = _blur(level, 1)[:, ::2, ::2]
        if only is None or len(levels) in only:
            large = np.zeros_like(level)
            large[:, ::2, ::2] = small
            levels.append(level - _blur(large, 2))
        else:
            levels.append(None)
        level = small
    return [*levels, level]


def _blur(images, gain):
    """Blur along height and width, with a factor of `gain` on each axis."""
    for axis in (1, 2):
        images = ndimage.correlate1d(images, PYRAMID_KERNEL * gain, axis, mode="mirror")
    return images


def pyramid_sizes(size):
    """Return the (height, width) of each level of `pyramid` for images of this size.

    A level is halved while both of its sides are even and at least 24 pixels.
    """
    sizes = [tuple(size)]
    while min(sizes[-1]) >= 24 and not any(n % 2 for n in sizes[-1]):
        sizes.append(tuple(n // 2 for n in sizes[-1]))
    return sizes


class Patches:
    """Random patches of levels of the Laplacian pyramid of images that are added in parts.

    Args:
      places: dict of level → (top [N·128], left [N·128]) of the patches of N images; level 0 is the
        finest.
      channels: of the images.

    Attributes:
      levels: dict of level → patches float32 [N·128, C·7·7].
    """

    def __init__(self, places, channels):
        self._places, self._done = places, 0
        self.levels = {
            level: np.empty((len(top), channels * PATCH * PATCH), np.float32)
            for level, (top, _) in places.items()
        }

    def add(self, images):
        """Take the patches of the next images, uint8 [n, H, W, C]; ignore those after the N-th."""
        wanted = max(map(len, self.levels.values())) // PATCHES - self._done
        images = images[:wanted]
        if not len(images):
            return
        rows = slice(self._done * PATCHES, (self._done + len(images)) * PATCHES)
        index = np.repeat(np.arange(len(images)), PATCHES)
        levels = pyramid(images, self.levels)
        for number, patches in self.levels.items():
            top, left = (place[rows] for place in self._places[number])
            windows = np.lib.stride_tricks.sliding_window_view(
                levels[number], (PATCH, PATCH), (1, 2)
            )
            patches[rows] = windows[index, top, left].reshape(len(index), -1)  # of [n·128, C, 7, 7]
        self._done += len(images)

    def take(self, level):
        """Return the patches of a level, each channel with mean 0 and deviation 1; forget them."""
        patches = self.levels.pop(level)
        channels = patches.reshape(len(patches), -1, PATCH * PATCH).swapaxes(0, 1)
        for channel in channels:  # views: the patches change in place
            np.subtract(channel, channel.mean(dtype=np.float64), out=channel, casting="same_kind")
            deviation = channel.std(dtype=np.float64) + 1e-8
            np.divide(channel, deviation, out=channel, casting="same_kind")
        return patches


class SlicedWasserstein:
    """Sliced Wasserstein distance at each level of the Laplacian pyramid (PGGAN, 1710.10196).

    Each image and level gives 128 patches of 7x7 pixels, which are normalised by channel and
    projected onto 4 x 128 random directions (section 5). Holds the patches of the fakes, and of one
    level of the reals, but no images.

    Args:
      real: function that returns an iterator of parts [n, H, W, C] of the real images, the same
        each time.
      count: number of reals, and of fakes.
      shape: (H, W, C) of the images.
      seed: of the patches and directions.
    """

    def __init__(self, real, count, shape, *, seed=0):
        rng, size = np.random.default_rng(seed), PATCH * PATCH * shape[2]
        self._real, self._channels, self._draws = real, shape[2], []
        self._heights = [height for height, _ in pyramid_sizes(shape[:2])]
        for height, width in pyramid_sizes(shape[:2]):
            top, left = ((0, n - PATCH + 1, count * PATCHES) for n in (height, width))
            places = [(rng.integers(*top), rng.integers(*left)) for _ in "ab"]
            directions = [
                rng.standard_normal((size, DIRECTIONS), np.float32) for _ in range(REPEATS)
            ]
            self._draws.append((*places, directions))
        places = {level: draw[1] for level, draw in enumerate(self._draws)}
        self._fake = Patches(places, self._channels)

    def add(self, fake):
        """Add the next fakes, uint8 [n, H, W, C]; ignore those after the first `count`."""
        self._fake.add(fake)

    def distances(self, show=lambda done: None):
        """Return a dict of level height → distance times 1000, from the finest to the coarsest.

        Calls `show` with the number of levels done.
        """
        found = {}
        for level, (places, _, directions) in enumerate(self._draws):
            real = Patches({level: places}, self._channels)
            for part in self._real():
                real.add(part)
            pair = (real.take(level), self._fake.take(level))
            found[self._heights[level]] = 1000 * sliced_distance(*pair, directions)
            show(level + 1)
        return found


def sliced_wasserstein(real, fake, *, seed=0):
    """Return the `SlicedWasserstein` distances of images [N, H, W, C] of the same number and shape.

    A dict of level height → distance times 1000, from the finest level to the coarsest.
    """
    found = SlicedWasserstein(lambda: [real], len(real), real.shape[1:], seed=seed)
    found.add(fake)
    return found.distances()


def sliced_distance(a, b, directions):
    """Return the mean distance of points [N, D] along directions, a list of [D, K]."""
    total, count = 0.0, 0
    for some in directions:
        unit = some / np.linalg.norm(some, axis=0)
        for i in range(0, unit.shape[1], AT_ONCE):
            along = unit[:, i : i + AT_ONCE].T
            projected = [(along @ x.T).astype(np.float32) for x in (a, b)]
            for x in projected:
                x.sort(1)
            total += float(np.abs(projected[0] - projected[1]).mean()) * len(along)
            count += len(along)
    return total / count


def memory_bytes(shape, count):
    """Estimate the bytes that `SlicedWasserstein` needs for `count` images of a shape (H, W, C).

    They are the patches of the fakes, and two copies of a level of the reals.
    """
    levels = len(pyramid_sizes(shape[:2]))
    return 4 * count * PATCHES * (shape[2] * PATCH * PATCH * (levels + 2) + 2 * AT_ONCE)

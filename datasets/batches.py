"""The order of the training images: endless, and decided by a seed. Imports no TensorFlow."""

import numpy as np


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

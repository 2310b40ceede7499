"""The endless stream of training images, in an order that a seed decides. Imports no TensorFlow."""

import numpy as np


class Batches:
    """The endless stream of training images: one seeded permutation of the set after another.

    Which images are the k-th to (k + n)-th depends on the seed and k alone. `share` is the
    replicas, and of how many, whose rows of each batch are wanted: row g is replica g mod R's.
    """

    def __init__(self, images, labels, *, seed, train_size=0, share=((0,), 1)):
        order = np.random.default_rng([seed, 1]).permutation(len(images))
        self.subset = np.sort(order[: train_size or len(images)])
        self.images, self.labels, self.seed = images, labels, seed
        self.share = share
        self._pass, self._order = -1, None

    def __len__(self):
        return len(self.subset)

    def _permutation(self, number):
        if number != self._pass:
            rng = np.random.default_rng([self.seed, 0, number])
            self._pass, self._order = number, rng.permutation(self.subset)
        return self._order

    def indices(self, position, count):
        """The indices of the images at `position` and after, [count]."""
        parts = []
        while count:
            number, offset = divmod(position, len(self.subset))
            part = self._permutation(number)[offset : offset + count]
            parts.append(part)
            position, count = position + len(part), count - len(part)
        return np.concatenate(parts)

    def reals(self, count):
        """So many of the first images."""
        return self.take(0, (count,))[0]

    def take(self, position, shape):
        """(uint8 images [*shape, H, W, C], int32 labels [*shape]) at a position.

        Where `shape` is [updates, batch], of each batch the share alone.
        """
        chosen = self.indices(position, int(np.prod(shape))).reshape(shape)
        own, every = self.share
        if len(shape) > 1 and len(own) < every:
            chosen = chosen.reshape(shape[0], -1, every)[..., own].reshape(shape[0], -1)
        return self.images[chosen], self.labels[chosen]

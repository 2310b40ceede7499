"""Projection: the latents, and the labels, whose images are nearest to given images.

Adam minimises a distance of pixels and features from several starts. TensorFlow is imported in
functions alone.
"""

import dataclasses

import numpy as np

import utils
from config import tables
from config.rows import import_object
from steering.latents import Purpose

STEPS, RESTARTS = 500, 8  # updates of the latents; starts, the best of which is kept
RATE, BETA2 = 0.1, 0.99  # of Adam; the rate falls to 0 by a cosine
MARGIN = 2.0  # by which a normal latent may be longer than the mean; 99.7 % are shorter
POOL = 512  # random latents; those with the nearest images are the starts
WEIGHT = 0.1  # of the features' distance; that of the pixels has 1
TRIED = 2  # times `RESTARTS` starts begin
ENDS = (0.1, 0.3, 1.0)  # parts of the updates: of all starts, of `RESTARTS`, of the best
ATTEMPTS, ENOUGH = 2, 30.0  # searches, each from other latents; dB from which one is enough
CLASSES = 16  # classes that are tried, those with the nearest images
ROWS = 256  # latents in a block of images, about
CHUNK, SIDE = 64, 64  # images of a gradient, of at most this side; fewer of larger ones
EXTRACTOR = "random-cnn"  # of the features, a key of EXTRACTORS: for images of any kind
FRAMES = 32  # of the search that are kept


@dataclasses.dataclass(frozen=True, eq=False)
class Projection:
    """What was found for N images.

    Attributes:
      latents: float32 [N, Z].
      labels: int [N], the numbers of the classes; None for a generator without classes.
      images: uint8 [N, H, W, C] of these latents and labels.
      psnr: float [N], peak signal-to-noise ratio of `images` in dB; infinite for equal images.
      path: float32 [F, N, Z], the latents of the search from a start to the end, for a film.
    """

    latents: np.ndarray
    labels: np.ndarray | None
    images: np.ndarray
    psnr: np.ndarray
    path: np.ndarray


def psnr(a, b):
    """Return the peak signal-to-noise ratio of uint8 images [N, H, W, C] in dB, float [N]."""
    errors = np.square(a.astype(float) - b).mean((1, 2, 3))
    with np.errstate(divide="ignore"):
        return 10 * np.log10(255**2 / errors)


def plausible(z, bound):
    """Return the latents [N, Z] that are nearest to `z` among those of the training.

    Args:
      z: float32 [N, Z].
      bound: largest magnitude of a value. None for normal latents: their lengths are at most
        √Z + `MARGIN`.
    """
    if bound:
        return np.clip(z, -bound, bound)
    lengths = np.linalg.norm(z, axis=1, keepdims=True)
    return z * np.minimum(1, (z.shape[1] ** 0.5 + MARGIN) / np.maximum(lengths, 1e-12))


def build_features(shape):
    """Return the function `features` that `--project` gives to `project`, for images (H, W, C)."""
    return import_object(tables.EXTRACTORS[EXTRACTOR].builder)(shape).of


def project(
    sampler, images, *, features=None, labels=None, steps=STEPS, restarts=RESTARTS, progress=None
):
    """Find the latents whose images are nearest to given images.

    The distance is the mean squared difference of the pixels, and that of the features, each
    divided by its variance among the generator's images. Of many random latents, those with the
    nearest images are the starts, twice `restarts` of each image, of all classes. After a tenth of
    the updates the best `restarts` go on, and after three tenths the best one. Images that come
    back with less than `ENOUGH` dB are searched once more from other random latents, and the
    better result of the two is kept.

    Args:
      sampler: a `generation.sample.Sampler`. Its seed is that of the random latents.
      images: uint8 [N, H, W, C], as the generator makes them; N at least 1.
      features: differentiable function of images [N, H, W, C] in [-1, 1] that returns features
        [N, D], or None for the pixels alone.
      labels: int [N], the classes; None to find them. Ignored by a generator without classes.
      steps: number of updates of a latent, at least 1.
      restarts: number of starts that go on after a tenth of the updates.
      progress: called with (updates done, their number: N·steps, and later those of the images
        that are searched once more too), or None.

    Returns:
      A `Projection`.
    """
    search = _Search(sampler, features, steps, restarts)
    given = [None] * len(images) if labels is None or not sampler.classes else labels
    given, size = np.asarray(given), max(1, ROWS // (restarts * TRIED))
    rows, best = np.arange(len(images)), [(-np.inf,)] * len(images)
    done = total = 0
    for attempt in range(ATTEMPTS):
        total += len(rows) * steps
        search.pool = draw(sampler, attempt)
        for block in (rows[i : i + size] for i in range(0, len(rows), size)):

            def show(updates, done=done, total=total, block=block):
                if progress:
                    progress(done + updates * len(block), total)

            path, classes = search(images[block], given[block], show)
            reached = psnr(sampler.images(path[-1], classes), images[block])
            for i, *new in zip(block, reached, classes, path.swapaxes(0, 1)):
                best[i] = new if new[0] > best[i][0] else best[i]
            done += len(block) * steps
        rows = np.array([i for i in rows if best[i][0] < ENOUGH], int)
    _, labels, path = map(np.stack, zip(*best))
    made = sampler.images(path[:, -1], labels)
    labels = labels if sampler.classes else None
    return Projection(path[:, -1], labels, made, psnr(made, images), path.swapaxes(0, 1))


def draw(sampler, attempt):
    """Return the random latents [POOL, Z] among which an attempt, 0, 1, …, finds its starts."""
    return sampler.z(Purpose.PROJECTION, *([attempt] if attempt else ()), count=POOL)


class _Search:
    """The search for the latents of a block of images."""

    def __init__(self, sampler, features, steps, restarts):
        import tensorflow as tf

        self.network, self.bound, self.classes = sampler.generator, sampler.bound, sampler.classes
        self.features, self.steps, self.restarts = features, steps, restarts
        self.pool = draw(sampler, 0)
        height, width = self.network.outputs[0].shape[1:3]
        self.chunk = max(1, min(CHUNK, CHUNK * SIDE**2 // (height * width)))
        inputs = [tf.TensorSpec([None, n]) for n in (self.pool.shape[1], self.classes)]
        self.make = tf.function(self._make, inputs, autograph=False)
        first = self.pool[: self.chunk]
        terms = self.make(*self.inputs(first, np.arange(len(first))))
        scales = (max(float(np.var(term, 0).mean()), 1e-12) for term in terms)
        self.scales = [scale / weight for scale, weight in zip(scales, (1, WEIGHT))]
        inputs += [tf.TensorSpec([None, term.shape[1]]) for term in terms]
        self.descent = tf.function(self._descent, inputs, autograph=False)

    def inputs(self, z, labels):
        """Return latents [N, Z] and int labels [N], one-hot, as the network takes them."""
        if not self.classes:
            return z, np.zeros((len(z), 0), np.float32)
        return z, np.eye(self.classes, dtype=np.float32)[labels % self.classes]

    def terms(self, images):
        """Return the pixels [N, H·W·C] and the features [N, D] of images in [-1, 1]."""
        import tensorflow as tf

        found = [images, self.features(images)] if self.features else [images]
        return [tf.reshape(x, (-1, int(np.prod(x.shape[1:])))) for x in found]

    def _make(self, z, hot):
        """Return the `terms` of the images of latents [N, Z] and one-hot labels [N, K]."""
        return self.terms(self.network([z, hot] if self.classes else [z], training=False))

    def _descent(self, z, hot, *targets):
        """Return the distances [N] of the images of latents from `terms`, and their gradients.

        The gradients are [N, Z]: a latent has no part in the distances of the others.
        """
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(z)
            found = zip(self._make(z, hot), targets, self.scales)
            distances = sum(tf.reduce_mean((a - b) ** 2, 1) / scale for a, b, scale in found)
        return distances, tape.gradient(distances, z)

    def __call__(self, images, labels, show):
        """Return (latents [F, N, Z] of the search, labels int [N]) of images uint8 [N, H, W, C].

        Args:
          images: uint8 [N, H, W, C].
          labels: int [N], or N times None.
          show: called with the number of updates done.
        """
        targets = [np.asarray(term) for term in self.terms(utils.to_float(images))]
        z, chosen = self.starts(targets, labels)
        first, path = 0, []
        for end, most in zip(ENDS, (self.restarts, 1, 1)):
            steps = range(first, round(end * self.steps))
            first = steps.stop
            aims = [target.repeat(len(z) // len(images), 0) for target in targets]
            z, distances = self.descend(z, chosen, aims, steps, path, show)
            kept = _nearest(distances, len(images), most)
            z, chosen, path = z[kept], chosen[kept], [latents[kept] for latents in path]
        return np.stack([*path, z]), chosen

    def starts(self, targets, labels):
        """Return (latents [N·S, Z], labels int [N·S]): S starts of each of N images in turn."""
        count, wanted = self.classes or 1, {*labels} - {None}
        pool = self.pool[: max(1, POOL * CLASSES // max(count, CLASSES))]
        distances = np.full((count, len(labels), len(pool)), np.inf)
        for k in sorted(wanted) or range(count):
            distances[k] = self.distances(targets, pool, np.full(len(pool), k))
        tried = 1 if wanted else min(count, CLASSES)
        each = min(len(pool), -(-self.restarts * TRIED // tried))
        classes = np.argsort(distances.min(2), axis=0, kind="stable")[:tried].T  # [N, tried]
        classes = np.reshape(labels, (-1, 1)) if wanted else classes
        chosen = np.argsort(distances, axis=2, kind="stable")[:, :, :each]
        rows = np.concatenate([chosen[own, i].ravel() for i, own in enumerate(classes)])
        return pool[rows], classes.repeat(each)

    def distances(self, targets, z, labels):
        """Return the distances [N, M] of N images, given by `terms`, from those of M latents."""
        found = np.zeros((len(targets[0]), len(z)))
        for part in self.chunks(len(z)):
            made = self.make(*self.inputs(z[part], labels[part]))
            for a, b, scale in zip(targets, map(np.asarray, made), self.scales):
                squares = np.square(a).sum(1)[:, None] + np.square(b).sum(1) - 2 * a @ b.T
                found[:, part] += squares / (scale * a.shape[1])
        return found

    def descend(self, z, labels, targets, steps, path, show):
        """Update latents [M, Z] by Adam; return them and their distances [M].

        Args:
          z, labels: latents [M, Z] and int labels [M].
          targets: the `terms` of the image that each of them aims at.
          steps: range of the numbers of the updates.
          path: list to which some of the latents on the way are added.
          show: called with the number of updates done.
        """
        import keras

        variable, adam = keras.Variable(z), keras.optimizers.Adam(RATE, beta_2=BETA2)
        kept = {*np.linspace(0, self.steps, FRAMES).astype(int).tolist()}
        for step in steps:
            z = np.array(variable)
            if step in kept:
                path.append(z)
            adam.learning_rate = RATE * (1 + np.cos(np.pi * step / self.steps)) / 2
            adam.apply([self.descent_of(z, labels, targets)[1]], [variable])
            variable.assign(plausible(np.array(variable), self.bound))
            show(step + 1)
        z = np.array(variable)
        return z, self.descent_of(z, labels, targets)[0]

    def descent_of(self, z, labels, targets):
        """Return the distances [M] and their gradients [M, Z], computed in chunks."""
        found = []
        for part in self.chunks(len(z)):
            inputs = self.inputs(z[part], labels[part])
            found.append(self.descent(*inputs, *(target[part] for target in targets)))
        return [np.concatenate(parts) for parts in zip(*found)]

    def chunks(self, count):
        """Return slices of up to `chunk` rows, `count` in all."""
        return [slice(i, i + self.chunk) for i in range(0, count, self.chunk)]


def _nearest(distances, count, most):
    """Return the rows of the `most` smallest distances of each image, int [count·most].

    Args:
      distances: [count·S]; S rows of each image in turn.
      count: number of images.
      most: number of rows to take, if there are so many.
    """
    rows = np.arange(len(distances)).reshape(count, -1)
    order = np.argsort(distances.reshape(count, -1), axis=1, kind="stable")[:, :most]
    return np.take_along_axis(rows, order, 1).ravel()

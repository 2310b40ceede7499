"""The EMA of the generator: its weights, its batch-norm statistics and its images."""

import numpy as np
import tensorflow as tf

import utils
from training.randomness import Purpose, fold

N_STATISTICS = 512  # latents for an estimate of the batch-norm statistics
CHUNK = 64  # images in one call of the generator, at most
MAX_PIXELS = 4096  # maximum height of a preview
MEASURE_KEY = (0, 3)  # key of an evaluation's latents, the same for every run and seed


def move(average, generator, step, decay):
    """Update the EMA of the weights: w̄ ← d·w̄ + (1 - d)·w.

    d = min(decay, (1 + step) / (10 + step)). The smaller d of the first steps lets the EMA forget
    the initial weights.

    Args:
      average, generator: Keras models of the same architecture.
      step: generator updates done, int64 scalar.
      decay: in [0, 1].
    """
    t = tf.cast(step, tf.float32)
    keep = tf.minimum(decay, (1 + t) / (10 + t))
    pairs = zip(average.trainable_variables, generator.trainable_variables)
    for mean, weight in pairs:
        mean.assign(mean + (1 - keep) * (weight - mean))


class AveragePreview:
    """A mixin for trainers of one generator: images of its EMA.

    It reads these attributes of the trainer: `average` (Keras model), `average_norms` (its
    batch-norm layers), `latents` (key, shape → tensor), `z_dim`, `classes`, `class_counts`, `image`
    (height, width, channels), and `still`, the root of the random keys that do not depend on the
    step.
    """

    def one_hot(self, labels):
        """Return [one-hot labels float32 [N, classes]] for labels int [N]; [] without classes."""
        return [tf.one_hot(labels, self.classes)] if self.classes else []

    def _cycle(self, count):
        """Return `one_hot` of `count` labels: 0, 1, …, classes - 1, 0, …."""
        return self.one_hot(tf.range(count) % max(self.classes, 1))

    def refresh(self):
        """Set the EMA's batch-norm statistics to their mean over `N_STATISTICS` latents.

        The labels are as frequent as in the data, and evenly spread over the chunks.
        """
        norms = self.average_norms
        if not norms:
            return
        momentum = norms[0].momentum
        chunks = N_STATISTICS // CHUNK
        labels = spread_labels(self.class_counts or [1] * max(self.classes, 1), N_STATISTICS)
        for i in range(chunks):
            self._add_statistics(tf.constant(i), tf.constant(labels[i::chunks]))
        for layer in norms:
            layer.momentum = momentum

    @tf.function
    def _add_statistics(self, chunk, labels):
        """Add a chunk of latents, and labels int32 [CHUNK], to the statistics.

        Chunk i has the momentum i / (i + 1), so that the result is the mean over all chunks.
        """
        for layer in self.average_norms:
            layer.momentum = tf.cast(chunk / (chunk + 1), tf.float32)
        z = self.latents(fold(self.still, Purpose.STATISTICS, chunk), (CHUNK, self.z_dim))
        self.average([z, *self.one_hot(labels)], training=True)

    def samples(self, labels):
        """Return the EMA's images for an evaluation: int labels [N] → see `draw_measured`."""
        self.refresh()
        return draw_measured(self.average, self.latents, labels)

    def preview(self):
        """Return the EMA's images of fixed latents, for a grid.

        The grid has at most eight rows and `MAX_PIXELS` pixels of height. It has one column for
        each class if there are 2 to 16 classes, else as many columns as rows.

        Returns:
          (images float32 [N, H, W, C] in [-1, 1], the number of columns).
        """
        self.refresh()
        rows = max(1, min(8, MAX_PIXELS // self.image[0]))
        columns = utils.class_columns(self.classes) or rows
        z = self.latents(fold(self.still, Purpose.PREVIEW), (rows * columns, self.z_dim))
        return draw(self.average, z, self._cycle(rows * columns)), columns


def spread_labels(counts, number):
    """Return `number` labels in ascending order, as frequent as in data with these class counts.

    Label i is the quantile (i + 1/2) / number of the data's labels. A class with less than
    1 / number of the data may be absent.

    Args:
      counts: images of each class, [K].
      number: how many labels.

    Returns:
      int32 [number].
    """
    ends = np.cumsum(np.asarray(counts, np.int64))
    places = (2 * np.arange(number) + 1) * ends[-1]
    return np.searchsorted(2 * number * ends, places, side="right").astype(np.int32)


def draw_measured(generator, latents, labels):
    """Yield parts of the images for an evaluation, from the same latents in every run.

    Args:
      generator: Keras model of [z [N, z_dim], (one-hot labels [N, classes])].
      latents: (key, shape) → tensor.
      labels: int [N]. Used only if the generator takes labels.

    Yields:
      uint8 [n, H, W, C], N images in all.
    """
    inputs = generator.inputs
    z = latents(tf.constant(MEASURE_KEY, tf.int32), (len(labels), inputs[0].shape[-1]))
    chunk = _chunk(generator)
    for i in range(0, len(labels), chunk):
        part = slice(i, i + chunk)
        hot = [tf.one_hot(labels[part], inputs[1].shape[-1])] if len(inputs) > 1 else []
        yield utils.to_uint8(draw(generator, z[part], hot))


def draw(generator, z, labels=()):
    """Generate images in inference mode, in chunks that bound the memory.

    Args:
      generator: Keras model of [z, (one-hot labels)].
      z: [N, z_dim].
      labels: [one-hot labels [N, classes]], or empty.

    Returns:
      float32 [N, H, W, C] in [-1, 1].
    """
    parts = []
    chunk = _chunk(generator)
    for i in range(0, len(z), chunk):
        inputs = [t[i : i + chunk] for t in (z, *labels)]
        parts.append(np.asarray(generator(inputs, training=False), np.float32))
    return np.concatenate(parts)


def _chunk(generator):
    """Return the number of images in one call: `CHUNK`, and fewer if they are over 128x128."""
    height, width = generator.outputs[0].shape[1:3]
    return max(1, min(CHUNK, CHUNK * 128**2 // (height * width)))

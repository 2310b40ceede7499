"""The averaged generator: its weights, its batch-norm statistics, and the images it shows."""

import keras
import numpy as np
import tensorflow as tf

import utils
from training.randomness import Purpose, fold

N_STATISTICS = 512  # latents from which batch-norm statistics are estimated
CHUNK = 64  # images in one call of the generator
MAX_PIXELS = 4096  # height of a preview
MEASURE_KEY = (0, 3)  # of the latents of an evaluation, the same for every run and seed


def move(average, generator, step, decay):
    """Move the averaged weights towards the trained ones: w̄ ← d·w̄ + (1 - d)·w.

    d = min(decay, (1 + step) / (10 + step)), so that the first steps count little later on.
    """
    t = tf.cast(step, tf.float32)
    keep = tf.minimum(decay, (1 + t) / (10 + t))
    pairs = zip(average.trainable_variables, generator.trainable_variables)
    for mean, weight in pairs:
        mean.assign(mean + (1 - keep) * (weight - mean))


def batch_norms(network):
    """List the batch-norm layers of a Keras model."""
    return [x for x in network.layers if isinstance(x, keras.layers.BatchNormalization)]


class AveragePreview:
    """A mixin for trainers of one generator: samples and previews of its average.

    It reads the trainer's `average` (a Keras model), `latents` (key, shape → tensor), `z_dim`,
    `classes`, `image` (height, width, channels) and `still`, the root of the keys.
    """

    def one_hot(self, labels):
        """Labels int [N] → a list of their one-hot tensor [N, classes], empty without classes."""
        return [tf.one_hot(labels, self.classes)] if self.classes else []

    def _cycle(self, count):
        """Return labels 0, 1, …, classes - 1, 0, … as `one_hot` does."""
        return self.one_hot(tf.range(count) % max(self.classes, 1))

    def refresh(self):
        """Estimate the average's batch-norm statistics: the mean over `N_STATISTICS` latents."""
        norms = batch_norms(self.average)
        if not norms:
            return
        momentum = norms[0].momentum
        for i in range(N_STATISTICS // CHUNK):
            self._add_statistics(tf.constant(i))
        for layer in norms:
            layer.momentum = momentum

    @tf.function
    def _add_statistics(self, chunk):
        """Add chunk 0, 1, … at a rate of 1, 1/2, …: the result is the plain mean of all chunks."""
        for layer in batch_norms(self.average):
            layer.momentum = tf.cast(chunk / (chunk + 1), tf.float32)
        z = self.latents(fold(self.still, Purpose.STATISTICS, chunk), (CHUNK, self.z_dim))
        self.average([z, *self._cycle(CHUNK)], training=True)

    def samples(self, labels):
        """Return uint8 images [N, H, W, C] of the average for labels int [N], to be measured."""
        self.refresh()
        return draw_measured(self.average, self.latents, labels)

    def preview(self):
        """Return the average's images of fixed latents, and the columns of their grid.

        Returns:
          (float32 [N, H, W, C] in [-1, 1], columns): eight rows, fewer where they would be more
          than `MAX_PIXELS` high; a column for each class where there are 2 to 16 classes, else as
          many columns as rows.
        """
        self.refresh()
        rows = max(1, min(8, MAX_PIXELS // self.image[0]))
        columns = utils.class_columns(self.classes) or rows
        z = self.latents(fold(self.still, Purpose.PREVIEW), (rows * columns, self.z_dim))
        return draw(self.average, z, self._cycle(rows * columns)), columns


def draw_measured(generator, latents, labels):
    """Return uint8 images [N, H, W, C] to be measured, of latents that are the same for each run.

    Args:
      generator: Keras model of [z, (one-hot labels)].
      latents: (key, shape) → tensor.
      labels: int [N], used where the generator takes labels.
    """
    inputs = generator.inputs
    z = latents(tf.constant(MEASURE_KEY, tf.int32), (len(labels), inputs[0].shape[-1]))
    hot = [tf.one_hot(labels, inputs[1].shape[-1])] if len(inputs) > 1 else []
    return utils.to_uint8(draw(generator, z, hot))


def draw(generator, z, labels=()):
    """Return images float32 [N, H, W, C] of latents [N, z_dim] and a list of one-hot labels.

    In inference mode, a few at a time: large images take no more memory than small ones.
    """
    parts = []
    height, width = generator.outputs[0].shape[1:3]
    chunk = max(1, min(CHUNK, CHUNK * 128**2 // (height * width)))
    for i in range(0, len(z), chunk):
        inputs = [t[i : i + chunk] for t in (z, *labels)]
        parts.append(np.asarray(generator(inputs, training=False), np.float32))
    return np.concatenate(parts)

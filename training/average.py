"""The moving average of a generator's weights, its batch-norm statistics, and its images."""

import keras
import numpy as np
import tensorflow as tf

import utils

N_STATISTICS = 512  # latents that batch-norm statistics are estimated from
CHUNK = 64  # images that are drawn at a time


def move(average, generator, step, decay):
    """w̄ ← d·w̄ + (1 - d)·w with d = min(decay, (1 + t) / (10 + t)) at step t: short at first."""
    t = tf.cast(step, tf.float32)
    keep = tf.minimum(decay, (1 + t) / (10 + t))
    pairs = zip(average.trainable_variables, generator.trainable_variables)
    for mean, weight in pairs:
        mean.assign(mean + (1 - keep) * (weight - mean))


def batch_norms(network):
    """The batch-norm layers of a network."""
    return [x for x in network.layers if isinstance(x, keras.layers.BatchNormalization)]


class Statistics:
    """Estimates the batch-norm statistics of an averaged generator.

    Args:
      network: the generator.
      inputs: (chunk number, count) → what it is called with.
    """

    def __init__(self, network, inputs):
        self.network, self.inputs = network, inputs

    def estimate(self):
        """Estimate them anew, as the plain mean over `N_STATISTICS` latents."""
        norms = batch_norms(self.network)
        if not norms:
            return
        momentum = norms[0].momentum
        for i in range(N_STATISTICS // CHUNK):
            self._add(tf.constant(i))
        for layer in norms:
            layer.momentum = momentum

    @tf.function
    def _add(self, chunk):
        """Let one chunk into the statistics: 1, 1/2, 1/3, … of them, which makes the plain mean."""
        for layer in batch_norms(self.network):
            layer.momentum = tf.cast(chunk / (chunk + 1), tf.float32)
        self.network(self.inputs(chunk, CHUNK), training=True)


def draw_measured(generator, latents, labels):
    """uint8 images for a measure: latents that are the same for each run and seed.

    `labels` int [N] go to a generator that takes them.
    """
    inputs = generator.inputs
    z = latents(tf.constant([0, 3], tf.int32), (len(labels), inputs[0].shape[-1]))
    hot = [tf.one_hot(labels, inputs[1].shape[-1])] if len(inputs) > 1 else []
    return utils.to_uint8(draw(generator, z, hot))


def draw(generator, z, labels=()):
    """Images of latents [N, z_dim] and one-hot labels in inference mode, float32 [N, H, W, C]."""
    parts = []
    height, width = generator.outputs[0].shape[1:3]
    chunk = max(1, min(CHUNK, CHUNK * 128**2 // (height * width)))  # no more memory when large
    for i in range(0, len(z), chunk):
        inputs = [t[i : i + chunk] for t in (z, *labels)]
        parts.append(np.asarray(generator(inputs, training=False), np.float32))
    return np.concatenate(parts)

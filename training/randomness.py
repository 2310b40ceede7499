"""Random numbers from stateless keys. The same key gives the same numbers on any device.

A key is int32 [2]. A trainer makes its keys from the seed, the step and a `Purpose`. A resumed run
therefore draws the same numbers as an unbroken one, without a saved generator state.
"""

import enum

import tensorflow as tf


class Purpose(enum.IntEnum):
    """The purpose of a trainer's random numbers. A changed value changes every run's results."""

    LATENTS = 0
    POINTS = 1  # at which the gradient penalty is taken
    FLIP = 2
    PREVIEW = 3
    STATISTICS = 4  # of batch norm in the EMA
    MEASURE = 5
    AUGMENT = 6
    AUXILIARY = 7  # of an auxiliary loss of the critic
    CROP = 10  # of CycleGAN's training images
    HISTORY = 11  # of CycleGAN's fakes


def fold(key, *numbers):
    """Derive a key from `key` and integers, each a Python int or an integer tensor."""
    for number in numbers:
        plain = int(number) if isinstance(number, int) else number  # TensorFlow rejects an IntEnum
        key = tf.random.experimental.stateless_fold_in(key, plain)
    return key


def uniform_latents(key, shape):
    """Draw from U[-1, 1): float32 of `shape`, from a key int32 [2]."""
    return tf.random.stateless_uniform(shape, key, -1.0, 1.0)


def normal_latents(key, shape):
    """Draw from N(0, 1): float32 of `shape`, from a key int32 [2]."""
    return tf.random.stateless_normal(shape, key)


def scaled_uniform_latents(key, shape, truncation):
    """Draw from U[-truncation, truncation): the latents of `uniform_latents` times `truncation`."""
    return truncation * uniform_latents(key, shape)


def truncated_normal_latents(key, shape, truncation):
    """Draw from N(0, 1) and replace values beyond ±truncation (1809.11096, section 3.1).

    The new values have the distribution of values that are drawn until they are within the limit.
    The other values are those of `normal_latents`.
    """
    z, root = normal_latents(key, shape), 2**0.5
    u = tf.math.erf(truncation / root) * uniform_latents(fold(key, 0), shape)
    within = tf.clip_by_value(root * tf.math.erfinv(u), -truncation, truncation)
    return tf.where(tf.abs(z) <= truncation, z, within)

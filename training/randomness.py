"""Random numbers from stateless keys: the same key gives the same numbers, on any device.

A key is int32 [2]. A trainer's keys are made of the seed, the step and a `Purpose`, so that a
resumed run needs no state of a generator to go on bit for bit.
"""

import enum

import tensorflow as tf


class Purpose(enum.IntEnum):
    """What a random number of a trainer is for. The values are part of every run: keep them."""

    LATENTS = 0
    POINTS = 1  # where a gradient is penalised
    FLIP = 2
    PREVIEW = 3
    STATISTICS = 4  # of batch norm in the averaged generator
    MEASURE = 5
    CROP = 10  # of CycleGAN's training images
    HISTORY = 11  # of CycleGAN's fakes


def fold(key, *numbers):
    """Return a key made of `key` and whole numbers, each a Python int or an integer tensor."""
    for number in numbers:
        plain = int(number) if isinstance(number, int) else number  # TensorFlow takes no enum
        key = tf.random.experimental.stateless_fold_in(key, plain)
    return key


def uniform_latents(key, shape):
    """Draw U[-1, 1), float32 of `shape`."""
    return tf.random.stateless_uniform(shape, key, -1.0, 1.0)


def normal_latents(key, shape):
    """Draw N(0, 1), float32 of `shape`."""
    return tf.random.stateless_normal(shape, key)

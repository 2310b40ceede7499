"""Random numbers from stateless keys."""

import tensorflow as tf


def uniform_latents(key, shape):
    """U[-1, 1) from a stateless key, int32 [2]."""
    return tf.random.stateless_uniform(shape, key, -1.0, 1.0)


def normal_latents(key, shape):
    """N(0, 1) from a stateless key, int32 [2]."""
    return tf.random.stateless_normal(shape, key)


def fold(key, *numbers):
    """A stateless random key, int32 [2], out of a key and whole numbers."""
    for number in numbers:
        key = tf.random.experimental.stateless_fold_in(key, number)
    return key

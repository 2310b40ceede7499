"""The decay of CycleGAN's learning rates (1703.10593, appendix 7.1)."""

import tensorflow as tf


def rate_factor(epoch, epochs, decay):
    """Return the factor of the learning rates in an epoch, a scalar in [0, 1].

    It is 1 up to epoch `decay`, and falls linearly to 0 at epoch `epochs`. If `decay` is not below
    `epochs`, it is always 1.

    Args:
      epoch: 0, 1, …, an integer or a scalar tensor.
      epochs: number of epochs.
      decay: the epoch at which the fall begins.
    """
    if epochs <= decay:
        return tf.constant(1.0)
    return 1 - tf.maximum(tf.cast(epoch, tf.float32) - decay, 0) / (epochs - decay)

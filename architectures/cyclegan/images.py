"""Images of CycleGAN (1703.10593): augmentation for training, and translation."""

import numpy as np
import tensorflow as tf

import utils
from training import replicas
from training.randomness import Purpose, fold

CHUNK_PIXELS = 2**20  # pixels in one call of a generator, at most


def augment(images, size, key, *, mirror):
    """Crop images at random, and flip them left-right with probability 1/2 if `mirror`.

    Args:
      images: uint8 [B, H, W, C].
      size: (height, width) of the crops, at most (H, W).
      key: int32 [2].

    Returns:
      float32 [B, *size, C] in [-1, 1].
    """
    x = utils.to_float(images)
    count = x.shape[0]
    places = tf.cast(tf.shape(x)[1:3] - size + 1, tf.float32)
    start = tf.cast(replicas.uniform(key, (count, 2)) * places, tf.int32)
    rows, columns = (start[:, i, None] + tf.range(size[i]) for i in (0, 1))
    if mirror:
        flip = replicas.uniform(fold(key, Purpose.FLIP), (count, 1)) < 0.5
        columns = tf.where(flip, tf.reverse(columns, [1]), columns)
    return tf.gather(tf.gather(x, rows, axis=1, batch_dims=1), columns, axis=2, batch_dims=1)


def translate(generator, images):
    """Translate images [N, H, W, C] in [-1, 1], in chunks of at most `CHUNK_PIXELS`."""
    chunk = max(1, CHUNK_PIXELS // (images.shape[1] * images.shape[2]))
    parts = [
        np.asarray(generator(images[i : i + chunk], training=False))
        for i in range(0, len(images), chunk)
    ]
    return np.concatenate(parts)

"""The transforms of DiffAugment (2006.10738): colour, translation and cutout.

A transform is a function of (images float32 [B, H, W, C] in [-1, 1], key int32 [2], p) that returns
images of the same shape. It changes each image with probability `p`, and its gradient with respect
to the images is exact. The ranges are those of the authors' code, which always changes every image.
"""

import tensorflow as tf

from training import replicas
from training.randomness import fold

SHIFT = 0.125  # largest translation, as a fraction of the side
HOLE = 0.5  # side of the square that cutout removes, as a fraction of the image's side


def color(images, key, p):
    """Change brightness by U[-0.5, 0.5), saturation by a factor U[0, 2), contrast by U[0.5, 1.5).

    Saturation scales the distance to the mean of the channels, and contrast the distance to the
    mean of the image.
    """
    on, u = chosen(images, key, p), replicas.uniform(fold(key, 1), (images.shape[0], 3))
    brightness, saturation, contrast = (u[:, i, None, None, None] for i in range(3))
    x = images + tf.where(on, brightness - 0.5, 0.0)
    mean = tf.reduce_mean(x, 3, keepdims=True)
    x = mean + tf.where(on, 2 * saturation, 1.0) * (x - mean)
    mean = tf.reduce_mean(x, [1, 2, 3], keepdims=True)
    return mean + tf.where(on, contrast + 0.5, 1.0) * (x - mean)


def translation(images, key, p):
    """Move the image by up to an eighth of its side, by whole pixels. What moves in is 0 (gray)."""
    count, *sides = images.shape[:3]
    on, u = chosen(images, key, p)[:, :, 0, 0], replicas.uniform(fold(key, 1), (count, 2))
    x = tf.pad(images, [[0, 0], [1, 1], [1, 1], [0, 0]])
    for axis, side in enumerate(sides):
        most = int(side * SHIFT + 0.5)
        shift = tf.floor(u[:, axis, None] * (2 * most + 1)) - most
        places = tf.range(side) + tf.cast(tf.where(on, shift, 0.0), tf.int32)
        x = tf.gather(x, tf.clip_by_value(places + 1, 0, side + 1), axis=axis + 1, batch_dims=1)
    return x


def cutout(images, key, p):
    """Set a square of half the image's side to 0 (gray). It can lie partly outside the image."""
    count, *sides = images.shape[:3]
    u, inside = replicas.uniform(fold(key, 1), (count, 2)), chosen(images, key, p)[:, :, :, 0]
    for axis, side in enumerate(sides):
        hole = int(side * HOLE + 0.5)
        centre = tf.floor(u[:, axis, None] * (side + 1 - hole % 2))
        distance = tf.range(side, dtype=tf.float32) - centre + hole // 2
        within = (distance >= 0) & (distance < hole)
        inside &= within[:, :, None] if axis == 0 else within[:, None, :]
    return tf.where(inside[..., None], 0.0, images)


def chosen(images, key, p):
    """Return which images a transform changes, each with probability p: bool [B, 1, 1, 1]."""
    return replicas.uniform(fold(key, 0), (images.shape[0], 1, 1, 1)) < p

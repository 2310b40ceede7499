"""Layers of PGGAN (1710.10196)."""

import keras
import tensorflow as tf


class Fade(keras.layers.Layer):
    """One side of a cross-fade: its input times α, or 1 - α where it is the `old` side.

    α is a weight that is not trained: 0 before the fade, 1 after it.
    """

    def __init__(self, old, **options):
        super().__init__(**options)
        self.old = old

    def build(self, input_shape):
        """Make α."""
        del input_shape
        self.alpha = self.add_weight(shape=(), initializer="ones", trainable=False, name="alpha")

    def call(self, x):
        """[...] → the same shape."""
        return x * (1 - self.alpha if self.old else self.alpha)

    def get_config(self):
        """The settings to make such a layer of."""
        return {**super().get_config(), "old": self.old}

    def stock(self):
        """A layer that has today's α for good."""
        alpha = float(self.alpha.numpy())
        return keras.layers.Rescaling(1 - alpha if self.old else alpha, name=self.name)

    def stock_weights(self):
        """None."""
        return []


def fade(old, new):
    """(1 - α)·old + α·new, by two `Fade`s."""
    return keras.layers.Add()([Fade(True)(old), Fade(False)(new)])


class BatchDeviation(keras.layers.Layer):
    """Append a map of the deviation between samples (PGGAN, section 3), a number a group.

    Its groups are of four, or of the largest divisor of the batch below, or of all samples where
    there is none. Members of a group are as far apart in the batch as can be.
    """

    def call(self, x):
        """[B, H, W, C] → [B, H, W, C + 1]."""
        batch, height, width, channels = x.shape
        batch = batch or tf.shape(x)[0]
        size = group_size(batch) if isinstance(batch, int) else batch
        groups = tf.reshape(tf.cast(x, tf.float32), [size, -1, height, width, channels])
        deviation = tf.sqrt(tf.math.reduce_variance(groups, 0) + 1e-8)
        mean = tf.reduce_mean(deviation, [1, 2, 3])  # [groups]
        maps = tf.cast(tf.reshape(tf.tile(mean, [size]), [-1, 1, 1, 1]), x.dtype)
        return tf.concat([x, tf.broadcast_to(maps, [batch, height, width, 1])], -1)

    def compute_output_shape(self, input_shape):
        """The shape with one channel more."""
        return (*input_shape[:-1], input_shape[-1] + 1)

    def build(self, input_shape):
        """Keep the shape for the stock layers."""
        self.maps = input_shape[1:]

    def stock(self):
        """The same as a network of stock layers; its one group is the batch, of whatever size."""
        x = keras.Input(self.maps)
        deviation = keras.ops.sqrt(keras.ops.var(x, 0, keepdims=True) + 1e-8)
        mean = keras.ops.mean(deviation, keepdims=True)
        maps = keras.ops.zeros_like(x[..., :1]) + mean
        return keras.Model(x, keras.ops.concatenate([x, maps], -1), name=self.name)

    def stock_weights(self):
        """None."""
        return []


def group_size(batch, most=4):
    """How many samples of a batch make a group of `BatchDeviation`: 16 → 4, 14 → 2, 6 → 3."""
    return next((n for n in range(most, 1, -1) if batch % n == 0), batch)


def pixel_norm(x):
    """x / sqrt(mean over the channels of x² + 1e-8) (PGGAN, section 4.2)."""
    x = x if x.dtype == "float32" else keras.ops.cast(x, "float32")  # 1e-8 is 0 in float16
    return x * keras.ops.rsqrt(keras.ops.mean(keras.ops.square(x), -1, keepdims=True) + 1e-8)

"""Layers of PGGAN (1710.10196)."""

import keras
import tensorflow as tf

from layers import stock


class Fade(keras.layers.Layer):
    """Multiplies its input by α, or by 1 - α if `old`. One side of a cross-fade.

    α is a non-trainable weight: 0 before the fade, 1 after it.

    Args:
      old: True for the side of the previous stage.
    """

    def __init__(self, old, **kwargs):
        super().__init__(**kwargs)
        self.old = old

    def build(self, input_shape):
        """Create α."""
        del input_shape
        self.alpha = self.add_weight(shape=(), initializer="ones", trainable=False, name="alpha")

    def call(self, x):
        """Scale a tensor of any shape."""
        return x * (1 - self.alpha if self.old else self.alpha)

    def get_config(self):
        """Return the constructor's arguments, for `from_config`."""
        return {**super().get_config(), "old": self.old}

    def stock(self):
        """Return a Rescaling layer with the current α."""
        alpha = float(self.alpha.numpy())
        return keras.layers.Rescaling(1 - alpha if self.old else alpha, name=self.name)

    def stock_weights(self):
        """Return no weights."""
        return []


def fade(old, new):
    """Return (1 - α)·old + α·new, of tensors of equal shape."""
    return keras.layers.Add()([Fade(True)(old), Fade(False)(new)])


class BatchDeviation(keras.layers.Layer):
    """Append a map of the standard deviation between samples (PGGAN, section 3).

    The batch is divided into groups of `group_size` samples. Sample i is in group i mod (number of
    groups). All pixels of a group's maps have one value: the deviation over the group, averaged
    over pixels and channels.
    """

    def call(self, x):
        """[B, H, W, C] → [B, H, W, C + 1]."""
        batch, height, width, channels = x.shape
        batch = batch or tf.shape(x)[0]
        size = group_size(batch) if isinstance(batch, int) else batch
        groups = tf.reshape(stock.at_least_float32(x), [size, -1, height, width, channels])
        deviation = tf.sqrt(tf.math.reduce_variance(groups, 0) + 1e-8)
        mean = tf.reduce_mean(deviation, [1, 2, 3])  # [groups]
        maps = tf.cast(tf.reshape(tf.tile(mean, [size]), [-1, 1, 1, 1]), x.dtype)
        return tf.concat([x, tf.broadcast_to(maps, [batch, height, width, 1])], -1)

    def compute_output_shape(self, input_shape):
        """Return the shape with one more channel."""
        return (*input_shape[:-1], input_shape[-1] + 1)

    def build(self, input_shape):
        """Store the input's shape for `stock`."""
        self.maps = input_shape[1:]

    def stock(self):
        """Return a network of stock layers, with the whole batch as one group."""
        x = keras.Input(self.maps)
        deviation = keras.ops.sqrt(keras.ops.var(x, 0, keepdims=True) + 1e-8)
        mean = keras.ops.mean(deviation, keepdims=True)
        maps = keras.ops.zeros_like(x[..., :1]) + mean
        return keras.Model(x, keras.ops.concatenate([x, maps], -1), name=self.name)

    def stock_weights(self):
        """Return no weights."""
        return []


def group_size(batch, largest=4):
    """Return the size of a group: the largest divisor of `batch` in 2, …, `largest`, or `batch`.

    16 → 4, 14 → 2, 6 → 3, 5 → 5.
    """
    return next((n for n in range(largest, 1, -1) if batch % n == 0), batch)


def pixel_norm(x):
    """Return x / sqrt(mean of x² over the channels + 1e-8), float32 (PGGAN, section 4.2)."""
    x = x if x.dtype == "float32" else keras.ops.cast(x, "float32")  # 1e-8 is 0 in float16
    return x * keras.ops.rsqrt(keras.ops.mean(keras.ops.square(x), -1, keepdims=True) + 1e-8)

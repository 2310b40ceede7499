"""Versions of Keras layers that are faster, or whose second derivatives are right."""

import keras
import tensorflow as tf

from layers import stock
from training import replicas


class LeakyReLU(stock.Stocked, keras.layers.LeakyReLU):
    """Keras' LeakyReLU with constant slopes, for gradient penalties.

    In TensorFlow, the slopes have a gradient, which is zero. A gradient penalty would propagate
    these zeros through all earlier layers, which would add half of its cost.
    """

    kind = keras.layers.LeakyReLU

    def call(self, inputs):
        """Return max(x, slope·x), computed as x times the slopes: [...] → [...]."""
        return tf.raw_ops.LeakyReluGrad(
            gradients=inputs, features=tf.stop_gradient(inputs), alpha=self.negative_slope
        )


class Up(stock.Stocked, keras.layers.UpSampling2D):
    """Nearest-neighbour upsampling by 2 with TensorFlow's operation, five times faster than Keras.

    On a CPU, XLA has no gradient of that operation. If `repeats` is True, the layer calls Keras'
    implementation instead.
    """

    kind = keras.layers.UpSampling2D
    repeats = False

    def call(self, inputs):
        """[B, H, W, C] → [B, 2H, 2W, C]."""
        if self.repeats:
            return super().call(inputs)
        size = [2 * n for n in inputs.shape[1:3]]
        return tf.raw_ops.ResizeNearestNeighbor(images=inputs, size=size)


class BatchNorm(stock.Stocked, keras.layers.BatchNormalization):
    """Keras' BatchNormalization with TensorFlow's fused operation in training.

    Keras uses a dozen operations, which take more passes over the memory. Results differ by
    rounding only. The statistics are over the whole batch, on any number of replicas.
    """

    kind = keras.layers.BatchNormalization

    def call(self, inputs, training=None, mask=None):
        """Normalise [B, C] or [B, H, W, C] and return the same shape.

        In training, it uses the batch's statistics and updates the moving ones. Otherwise it uses
        the moving statistics.
        """
        if not training:
            return super().call(inputs, training=False, mask=mask)
        units = inputs.shape[-1]
        x = stock.at_least_float32(inputs)
        x = tf.reshape(x, [-1, 1, 1, units]) if len(inputs.shape) == 2 else x
        # The fused operation does not support float64.
        fused = replicas.replica_count() == 1 and x.dtype == tf.float32
        normalise = self._fused if fused else self._synchronised
        y, mean, variance = normalise(x, *(tf.cast(w, x.dtype) for w in (self.gamma, self.beta)))
        for moving, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + batch * (1 - self.momentum))
        return tf.cast(tf.reshape(y, tf.shape(inputs)), self.compute_dtype)

    def _fused(self, x, scale, offset):
        none, n = tf.zeros([0]), tf.cast(tf.size(x) // x.shape[-1], tf.float32)
        y, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=x, scale=scale, offset=offset, mean=none, variance=none, epsilon=self.epsilon
        )
        # The operation divides by n - 1. Keras' moving variance divides by n.
        return y, mean, variance * ((n - 1) / n)

    def _synchronised(self, x, scale, offset):
        mean, variance = replicas.moments(x, [0, 1, 2])
        y = tf.nn.batch_normalization(x, mean, variance, offset, scale, self.epsilon)
        return y, mean, variance


class GroupNorm(stock.Stocked, keras.layers.GroupNormalization):
    """Keras' GroupNormalization with the right second derivatives, for gradient penalties.

    Keras uses `tf.nn.moments`, which stops the gradient of the mean inside the variance. The first
    derivative is right, because that gradient is 0. The second derivative is wrong.
    """

    kind = keras.layers.GroupNormalization

    def call(self, inputs):
        """Normalise each sample's groups of channels: [B, ..., C] → [B, ..., C]."""
        x = stock.at_least_float32(inputs)
        channels = x.shape[-1]
        x = tf.reshape(x, [tf.shape(x)[0], -1, self.groups, channels // self.groups])
        x = x - tf.reduce_mean(x, [1, 3], keepdims=True)
        variance = tf.reduce_mean(tf.square(x), [1, 3], keepdims=True)
        x = tf.reshape(x * tf.math.rsqrt(variance + self.epsilon), tf.shape(inputs))
        if self.scale:
            x = x * tf.cast(self.gamma, x.dtype)
        if self.center:
            x = x + tf.cast(self.beta, x.dtype)
        return tf.cast(x, self.compute_dtype)


def prepare_for_xla(network):
    """Make a network's layers use operations that XLA can compile on any device."""
    for layer in stock.layers_of(network):
        if isinstance(layer, Up):
            layer.repeats = True

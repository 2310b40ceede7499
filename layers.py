"""What makes layers of our own savable, a leaky ReLU, and what PGGAN (1710.10196) is made of.

Each layer has `stock()`, a stock Keras layer that does the same, and `stock_weights()` for it: of
these a network is saved.
"""

import keras
import numpy as np
import tensorflow as tf


class Stocked:
    """A layer that does what Keras' own `kind` does, with the same weights, in another way."""

    def stock(self):
        """Keras' own layer, without the weights."""
        return self.kind.from_config(self.get_config())

    def stock_weights(self):
        """The weights that it takes."""
        return self.get_weights()


class Equal:
    """Equalised learning rate (PGGAN, section 4.1): weights N(0, 1), used times `scale`.

    Adam then moves every weight at the same speed relative to its range. `gain` is sqrt(2) where
    a leaky ReLU follows, else 1. The stock layer has the weights as they are used.
    """

    def __init__(self, *args, gain=2**0.5, kernel_initializer=None, **options):
        draw = kernel_initializer or keras.initializers.RandomNormal(stddev=1.0)
        super().__init__(*args, kernel_initializer=draw, **options)
        self.gain = gain

    def build(self, input_shape):
        """Make the weights for inputs of this shape."""
        super().build(input_shape)
        self.scale = float(self.gain / np.prod([*self.kernel_size, input_shape[-1]]) ** 0.5)

    def get_config(self):
        """The settings to make such a layer of."""
        return {**super().get_config(), "gain": self.gain}

    def stock(self):
        """Keras' own layer, without the weights."""
        config = self.get_config()
        config.pop("gain")
        return self.kind.from_config(config)

    def stock_weights(self):
        """The weights that it takes: the kernel scaled, the bias as it is."""
        kernel, *bias = self.get_weights()
        return [self.scale * kernel, *bias]


class EqualConv(Equal, keras.layers.Conv2D):
    """A convolution with the equalised learning rate."""

    kind = keras.layers.Conv2D

    def convolution_op(self, inputs, kernel):
        """The convolution with the weights as they are used."""
        return super().convolution_op(inputs, kernel * self.scale)


class EqualDeconv(Equal, keras.layers.Conv2DTranspose):
    """A transposed convolution of one pixel with the equalised learning rate.

    The paper's dense layer to 4x4 pixels, with a bias for each channel. The authors' code scales
    it so too: by a fan in of 16 times the inputs that an output has.
    """

    kind = keras.layers.Conv2DTranspose

    def call(self, inputs):
        """[B, 1, 1, C] → [B, kernel, kernel, channels]."""
        return super().call(inputs * self.scale)


class EqualDense(Equal, keras.layers.Dense):
    """A dense layer with the equalised learning rate."""

    kind = keras.layers.Dense
    kernel_size = ()

    def call(self, inputs, training=None):
        """[B, F] → [B, units]."""
        return super().call(inputs * self.scale)


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


class LeakyReLU(Stocked, keras.layers.LeakyReLU):
    """Keras' own, for gradients of gradients: its slopes are constants, with no gradient.

    TensorFlow's have one, of zeros, which a gradient penalty then takes back through all the layers
    below: half again of its work.
    """

    kind = keras.layers.LeakyReLU

    def call(self, inputs):
        """max(x, slope·x), of any shape, as x times the slopes."""
        return tf.raw_ops.LeakyReluGrad(
            gradients=inputs, features=tf.stop_gradient(inputs), alpha=self.negative_slope
        )


class Up(Stocked, keras.layers.UpSampling2D):
    """Nearest upsampling by 2, by TensorFlow's own operation: a fifth of the time of Keras'."""

    kind = keras.layers.UpSampling2D

    def call(self, inputs):
        """[B, H, W, C] → [B, 2H, 2W, C]."""
        size = [2 * n for n in inputs.shape[1:3]]
        return tf.raw_ops.ResizeNearestNeighbor(images=inputs, size=size)


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

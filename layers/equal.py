"""Layers with the equalised learning rate (PGGAN 1710.10196, section 4.1)."""

import keras
import numpy as np


class Equal:
    """A mixin for layers with the equalised learning rate (PGGAN, section 4.1).

    The kernel is drawn from N(0, 1) and multiplied by scale = gain / sqrt(fan in) when it is used.
    Adam then updates every weight at the same speed relative to its range. The stock layer has the
    scaled kernel.

    Args:
      gain: sqrt(2) if a leaky ReLU follows, else 1.
      kernel_initializer: N(0, 1) by default.
    """

    def __init__(self, *args, gain=2**0.5, kernel_initializer=None, **kwargs):
        draw = kernel_initializer or keras.initializers.RandomNormal(stddev=1.0)
        super().__init__(*args, kernel_initializer=draw, **kwargs)
        self.gain = gain

    def build(self, input_shape):
        """Create the weights for inputs of this shape, and compute the scale."""
        super().build(input_shape)
        self.scale = float(self.gain / np.prod([*self.kernel_size, input_shape[-1]]) ** 0.5)

    def get_config(self):
        """Return the constructor's arguments, for `from_config`."""
        return {**super().get_config(), "gain": self.gain}

    def stock(self):
        """Return the Keras layer that computes the same, without weights."""
        config = self.get_config()
        config.pop("gain")
        return self.kind.from_config(config)

    def stock_weights(self):
        """Return the Keras layer's weights: the scaled kernel, and the bias."""
        kernel, *bias = self.get_weights()
        return [self.scale * kernel, *bias]

    def set_stock_weights(self, weights):
        """Set the weights from those of the Keras layer, a list of arrays."""
        kernel, *bias = weights
        self.set_weights([kernel / self.scale, *bias])


class EqualConv(Equal, keras.layers.Conv2D):
    """A convolution with the equalised learning rate."""

    kind = keras.layers.Conv2D

    def convolution_op(self, inputs, kernel):
        """Convolve with the scaled kernel: [B, H, W, C] → [B, h, w, channels]."""
        return super().convolution_op(inputs, kernel * self.scale)


class EqualDeconv(Equal, keras.layers.Conv2DTranspose):
    """A transposed convolution of one pixel with the equalised learning rate.

    It is the paper's dense layer to 4x4 pixels, with one bias for each channel. As in the authors'
    code, the scale counts a fan in of 16·C although each output has C inputs.
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

"""Layers with the equalised learning rate (PGGAN 1710.10196, section 4.1)."""

import keras
import numpy as np


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

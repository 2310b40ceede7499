"""Layers with spectral normalisation (1802.05957): the kernel is divided by its spectral norm σ.

σ is the largest singular value of the kernel as a matrix [product of the other axes, last axis].
It is estimated by power iteration. `advance` does one iteration at each critic update, and moves
`vector` towards the first right singular vector. The vector is saved in the checkpoint. A forward
pass changes neither the kernel nor the vector. Gradients flow through σ, with the vector as a
constant (eq. 12).
"""

import keras
import numpy as np
import tensorflow as tf

from layers import fast_conv, stock


class Spectral(stock.Stocked):
    """A mixin for layers with a `kernel`. The stock layer has the kernel divided by σ."""

    def build(self, input_shape):
        """Create the weights for inputs of this shape."""
        super().build(input_shape)
        self.vector = self.add_weight(
            shape=self.kernel.shape[-1:],
            initializer="random_normal",
            trainable=False,
            name="vector",
            aggregation="only_first_replica",
        )

    def _matrix(self):
        kernel = stock.at_least_float32(tf.convert_to_tensor(self.kernel))
        return tf.reshape(kernel, [-1, self.kernel.shape[-1]])

    def sigma(self):
        """Return σ, a scalar, whose gradient with respect to the kernel is u vᵀ (eq. 12)."""
        right = tf.math.l2_normalize(stock.at_least_float32(tf.convert_to_tensor(self.vector)))
        product = tf.linalg.matvec(self._matrix(), tf.stop_gradient(right))
        return tf.sqrt(tf.reduce_sum(tf.square(product)) + 1e-12)

    def advance(self):
        """Do one power iteration (algorithm 1), which updates `vector`."""
        matrix = self._matrix()
        left = tf.math.l2_normalize(tf.linalg.matvec(matrix, tf.convert_to_tensor(self.vector)))
        right = tf.linalg.matvec(matrix, left, transpose_a=True)
        self.vector.assign(tf.math.l2_normalize(right))

    def call(self, inputs, training=None):
        """Apply the layer with the kernel divided by σ."""
        del training
        return super().call(inputs / tf.cast(self.sigma(), inputs.dtype))

    def stock_weights(self):
        """Return the stock layer's weights: the kernel divided by σ, and the bias."""
        kernel, *bias = (w.numpy() for w in self.trainable_variables)
        return [kernel / np.float32(self.sigma()), *bias]

    def set_stock_weights(self, weights):
        """Set the weights to a stock copy's, and the vector so that σ is the exact norm."""
        for variable, value in zip(self.trainable_variables, weights, strict=True):
            variable.assign(value)
        _, _, right = np.linalg.svd(np.reshape(weights[0], [-1, self.kernel.shape[-1]]), False)
        self.vector.assign(right[0])


class SpectralConv(Spectral, fast_conv.Conv2D):
    """A convolution with spectral normalisation."""


class SpectralDeconv(Spectral, fast_conv.Conv2DTranspose):
    """A transposed convolution with spectral normalisation."""


class SpectralDense(Spectral, keras.layers.Dense):
    """A dense layer with spectral normalisation."""

    kind = keras.layers.Dense


def advance(network):
    """Do one power iteration in each spectral layer of a network."""
    for layer in stock.layers_of(network):
        if isinstance(layer, Spectral):
            layer.advance()

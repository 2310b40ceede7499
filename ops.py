"""Layers: convolution and transposed-convolution blocks, norms by name, labels, latents.

Only stock Keras layers, so that a saved network loads without this project.
"""

import keras
import tensorflow as tf

LEAK = 0.2


def uniform_latents(key, shape):
    """U[-1, 1) from a stateless key, int32 [2]."""
    return tf.random.stateless_uniform(shape, key, -1.0, 1.0)


def normal_latents(key, shape):
    """N(0, 1) from a stateless key, int32 [2]."""
    return tf.random.stateless_normal(shape, key)


def normal_init():
    """N(0, 0.02), cut at two deviations (DCGAN)."""
    return keras.initializers.TruncatedNormal(stddev=0.02)


def norm(x, name):
    """Normalise by name; "none" gives x back.

    Batch norm has epsilon 1e-5 and momentum 0.9 as all five seeds do, not Keras' 1e-3 and
    0.99. Layer norm is over H, W and C of each sample, with a scale and offset a channel, and
    instance norm over H and W of each channel.
    """
    if name == "none":
        return x
    layers = {
        "batch": lambda: keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5),
        "layer": lambda: keras.layers.GroupNormalization(groups=1, epsilon=1e-5),
        "instance": lambda: keras.layers.GroupNormalization(groups=-1, epsilon=1e-5),
    }
    if name == "instance" and len(x.shape) == 2:  # a dense layer has no H and W
        name = "layer"
    return layers[name]()(x)


def relu(x):
    return keras.layers.ReLU()(x)


def leaky_relu(x):
    return keras.layers.LeakyReLU(negative_slope=LEAK)(x)


def dense(x, units):
    return keras.layers.Dense(units, kernel_initializer=normal_init())(x)


def conv(x, channels, kernel, stride=2):
    """Convolution: [B, H, W, C] → [B, ceil(H / stride), ceil(W / stride), channels]."""
    layer = keras.layers.Conv2D(
        channels, kernel, stride, padding="same", kernel_initializer=normal_init()
    )
    return layer(x)


def deconv(x, channels, kernel, size):
    """Transposed convolution of stride 2 to `size` = (H, W), each 2n or 2n - 1.

    It is the exact transpose of `conv` from that size: an odd one is cropped on the side that
    keeps the image in place.
    """
    layer = keras.layers.Conv2DTranspose(
        channels, kernel, 2, padding="same", kernel_initializer=normal_init()
    )
    extra = [2 * n - wanted for n, wanted in zip(x.shape[1:3], size)]
    before = (kernel - 1) // 2 - (kernel - 2) // 2  # the transpose's padding grows there first
    x = layer(x)
    if any(extra):
        x = keras.layers.Cropping2D([(e * before, e * (1 - before)) for e in extra])(x)
    return x


def concat_labels(x, labels):
    """Append one-hot labels [B, K] to features [B, F], or as constant maps to [B, H, W, C].

    `labels` is a list of one tensor, or empty where the networks have no labels.
    """
    if not labels:
        return x
    y = labels[0]
    if len(x.shape) == 4:
        _, height, width, _ = x.shape
        y = keras.layers.Reshape((1, 1, y.shape[-1]))(y)
        y = keras.layers.UpSampling2D((height, width))(y)
    return keras.layers.Concatenate()([x, y])

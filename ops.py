"""Layers: convolution and transposed-convolution blocks, norms by name, labels, latents.

A network is saved as its `stock` copy, of stock Keras layers alone, which loads without this
project.
"""

import keras

from layers import fast, fast_conv, weights
from training import replicas

# How first weights are drawn: DCGAN's N(0, 0.02), with biases of 0, or PyTorch's own, uniform
# within 1/sqrt(fan in) for weights and biases. Deviations: seed 002 cuts the normal at two
# deviations in its convolutions, seed 001 has PyTorch's biases beside the normal, and seeds 001
# and 004 draw batch norm's scales around 1 (or 0), which are 1 here.
# EQUAL is PGGAN's: N(0, 1), scaled where the weights are used (`layers.py`).
NORMAL, TORCH, EQUAL = "normal", "torch", "equal"


def _initializers(name, fan_in):
    """The keywords of a layer's initialisers. A transposed convolution's fan in is its output's."""
    if name == NORMAL:
        return {"kernel_initializer": keras.initializers.RandomNormal(stddev=0.02)}
    bound = fan_in**-0.5
    draw = keras.initializers.RandomUniform
    return {
        "kernel_initializer": draw(-bound, bound),
        "bias_initializer": draw(-bound, bound),
    }


def latent_inputs(z_dim, classes):
    """(latents [B, z_dim], [one-hot labels [B, classes]], or [] where there are no classes)."""
    return keras.Input((z_dim,), name="z"), _labels(classes)


def image_inputs(spec):
    """(images [B, H, W, C], [one-hot labels], or [])."""
    shape = (spec.height, spec.width, spec.channels)
    return keras.Input(shape, name="images"), _labels(spec.classes)


def _labels(classes):
    return [keras.Input((classes,), name="labels")] if classes else []


def norm(x, name, *, affine=True):
    """Normalise by name; "none" gives x back.

    Batch norm has epsilon 1e-5 and momentum 0.9 as all five seeds do, not Keras' 1e-3 and
    0.99. Layer norm is over H, W and C of each sample, with a scale and offset a channel, and
    instance norm over H and W of each channel, with them or, without `affine`, none.
    """
    if name == "none":
        return x
    layers = {
        "batch": lambda: fast.BatchNorm(momentum=0.9, epsilon=1e-5),
        "layer": lambda: keras.layers.GroupNormalization(groups=1, epsilon=1e-5),
        "instance": lambda: keras.layers.GroupNormalization(
            groups=-1, epsilon=1e-5, center=affine, scale=affine
        ),
    }
    if name == "instance" and len(x.shape) == 2:  # a dense layer has no H and W
        name = "layer"
    return layers[name]()(x)


def relu(x):
    """max(x, 0)."""
    return keras.layers.ReLU()(x)


def leaky_relu(x, slope=0.2):
    """max(x, slope·x): with a slope of 0, a ReLU for networks whose gradient is penalised."""
    return fast.LeakyReLU(negative_slope=slope)(x)


def dense(x, units, *, bias=True, init=NORMAL, dtype=None):
    """[B, F] → [B, units]."""
    if init == EQUAL:
        return weights.EqualDense(units, use_bias=bias, gain=1.0, dtype=dtype)(x)
    options = _initializers(init, x.shape[-1])
    return keras.layers.Dense(units, use_bias=bias, dtype=dtype, **options)(x)


def _kinds():
    """The module whose convolutions are the quickest on this machine."""
    return fast_conv if replicas.on_cpu() else keras.layers


def conv(x, channels, kernel, *, stride=2, padding="same", bias=True, init=NORMAL):
    """Convolution: [B, H, W, C] → [B, ceil(H / stride), ceil(W / stride), channels] when "same"."""
    options = _initializers(init, kernel * kernel * x.shape[-1])
    kind = _kinds().Conv2D
    return kind(channels, kernel, stride, padding=padding, use_bias=bias, **options)(x)


def deconv(x, channels, kernel, size, *, stride=2, bias=True, init=NORMAL):
    """Transposed convolution to `size` = (H, W), each 2n or 2n - 1 for a stride of 2.

    It is the exact transpose of `conv` from that size: an odd one is cropped on the side that
    keeps the image in place.
    """
    options = _initializers(init, kernel * kernel * channels)
    kind = _kinds().Conv2DTranspose
    layer = kind(channels, kernel, stride, padding="same", use_bias=bias, **options)
    extra = [stride * n - wanted for n, wanted in zip(x.shape[1:3], size)]
    before = (kernel - 1) // 2 - (kernel - 2) // 2  # the transpose's padding grows there first
    x = layer(x)
    if any(extra):
        x = keras.layers.Cropping2D([(e * before, e * (1 - before)) for e in extra])(x)
    return x


def deconv_cropped(x, channels, kernel, *, crop, init=NORMAL):
    """PyTorch's transposed convolution, stride 2, padding `crop`: n → 2n + kernel - 2 - 2·crop.

    A crop of ((1, 0), (1, 0)) is that of a padding of 1 and an output padding of 1.
    """
    options = _initializers(init, kernel * kernel * channels)
    kind = _kinds().Conv2DTranspose
    x = kind(channels, kernel, 2, padding="valid", **options)(x)
    return keras.layers.Cropping2D(crop)(x)


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


def score(x, labels, label_mode, *, bias=True, init=NORMAL):
    """Features [B, F] → scores [B].

    With labels, "concat" appends them to the features; "projection" adds the features' inner
    product with a learnt vector for each class (1802.05637, eq. 3).
    """
    if label_mode == "concat":
        x = concat_labels(x, labels)
    total = dense(x, 1, bias=bias, init=init, dtype="float32")
    if labels and label_mode == "projection":
        vector = dense(labels[0], x.shape[-1], bias=False, init=init, dtype="float32")
        products = keras.layers.Multiply(dtype="float32")([x, vector])  # Keras' Dot is slower here
        inner = keras.ops.sum(products, -1, keepdims=True)
        total = keras.layers.Add(dtype="float32")([total, inner])
    return keras.layers.Reshape((), dtype="float32")(total)

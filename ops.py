"""Layer helpers: inputs, convolutions, dense layers, norms by name, labels, scores.

The helpers call a layer on a symbolic tensor and return the result. A network is saved as its
stock copy (`layers.stock`).
"""

import keras

from layers import equal, fast, fast_conv, spectral
from training import replicas

# How first weights are drawn. NORMAL is DCGAN's: N(0, 0.02), and biases of 0. TORCH is PyTorch's:
# kernels and biases uniform within 1/sqrt(fan in). XAVIER is Glorot's uniform, times a gain.
# Deviations: seed 002 cuts the normal at two deviations in its convolutions, seed 001 has PyTorch's
# biases beside the normal, and seeds 001 and 004 draw batch norm's scales around 1 (or 0), which
# are 1 here.
NORMAL, TORCH, XAVIER = "normal", "torch", "xavier"

# How layers use their weights: as they are ("plain"), times a constant with N(0, 1) first weights
# (equalised learning rate, PGGAN 1710.10196), or divided by their spectral norm (1802.05957).
WEIGHTS = {
    "equal": {
        "Conv2D": equal.EqualConv,
        "Conv2DTranspose": equal.EqualDeconv,
        "Dense": equal.EqualDense,
    },
    "spectral": {
        "Conv2D": spectral.SpectralConv,
        "Conv2DTranspose": spectral.SpectralDeconv,
        "Dense": spectral.SpectralDense,
    },
}


def layer_class(kind, weights):
    """Return the class that does what Keras' layer `kind` does and uses its weights by name."""
    if weights != "plain":
        return WEIGHTS[weights][kind]
    fast_kinds = fast_conv if replicas.on_cpu() else keras.layers
    return getattr(fast_kinds, kind, None) or getattr(keras.layers, kind)


def _first_weights(init, weights, fan_in, gain):
    """Keyword arguments of a layer. The fan in of a transposed convolution is its output's.

    `gain` multiplies equal weights and XAVIER's: sqrt(2) where a ReLU follows, else 1.
    """
    if weights == "equal":
        return {"gain": gain}
    if init == NORMAL:
        return {"kernel_initializer": keras.initializers.RandomNormal(stddev=0.02)}
    if init == XAVIER:
        return {
            "kernel_initializer": keras.initializers.VarianceScaling(gain**2, "fan_avg", "uniform")
        }
    bound = fan_in**-0.5
    draw = keras.initializers.RandomUniform
    return {
        "kernel_initializer": draw(-bound, bound),
        "bias_initializer": draw(-bound, bound),
    }


def critic_sizes(size):
    """List a critic's image sizes: halved, rounded up, until both sides are at most 4."""
    sizes = [tuple(size)]
    while max(sizes[-1]) > 4:
        sizes.append(tuple((n + 1) // 2 for n in sizes[-1]))
    return sizes


def generator_sizes(size):
    """List a generator's image sizes: as a critic's, but 5 and 7 stay: 28 → 14 → 7."""
    sizes = [tuple(size)]
    while max(sizes[-1]) > 7 or (max(sizes[-1]) > 4 and max(sizes[-1]) % 2 == 0):
        sizes.append(tuple((n + 1) // 2 for n in sizes[-1]))
    return sizes


def halvings(size, widths, sizes, most=512):
    """Return (image sizes, channels), listed from the image inwards.

    Args:
      size: (height, width) of the image.
      widths: one width is a base, which doubles at each halving up to `most` channels. Several
        widths are used as they are, and their number is that of the halvings.
      sizes: `critic_sizes` or `generator_sizes`, used with one width.
    """
    if len(widths) == 1:
        chain = sizes(size)
        return chain, [min(widths[0] * 2**i, max(most, widths[0])) for i in range(len(chain) - 1)]
    chain = [tuple(size)]
    for _ in widths:
        chain.append(tuple((n + 1) // 2 for n in chain[-1]))
    return chain, list(widths)


def latent_inputs(z_dim, classes):
    """Return the inputs (latents [B, z_dim], [labels [B, classes]]); [] without classes."""
    return keras.Input((z_dim,), name="z"), _labels(classes)


def image_inputs(spec):
    """Return the inputs (images [B, H, W, C], [labels [B, classes]]); [] without classes."""
    shape = (spec.height, spec.width, spec.channels)
    return keras.Input(shape, name="images"), _labels(spec.classes)


def _labels(classes):
    return [keras.Input((classes,), name="labels")] if classes else []


def norm(x, name, *, affine=True):
    """Normalise x by the norm of that name: "none", "batch", "layer" or "instance".

    Epsilon is 1e-5 and batch norm's momentum 0.9, as in all five seeds (Keras: 1e-3 and 0.99).
    Layer norm is over H, W and C of each sample, and instance norm over H and W of each channel.
    Both have a scale and an offset for each channel; instance norm has none without `affine`.
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


def critic_norm(name):
    """Split a value of `--critic_norm` into (name of a `norm`, how the critic's weights are used).

    Spectral norm is one of the weights, and needs no layer of its own.
    """
    return ("none", "spectral") if name == "spectral" else (name, "plain")


def relu(x):
    """max(x, 0)."""
    return keras.layers.ReLU()(x)


def leaky_relu(x, slope=0.2):
    """max(x, slope·x). A slope of 0 is a ReLU for networks whose gradient is penalised."""
    return fast.LeakyReLU(negative_slope=slope)(x)


def dense(x, units, *, bias=True, init=NORMAL, weights="plain", gain=1.0, dtype=None):
    """Dense layer: [B, F] → [B, units]."""
    kwargs = _first_weights(init, weights, x.shape[-1], gain)
    return layer_class("Dense", weights)(units, use_bias=bias, dtype=dtype, **kwargs)(x)


def conv(
    x,
    channels,
    kernel,
    *,
    stride=2,
    padding="same",
    bias=True,
    init=NORMAL,
    weights="plain",
    gain=2**0.5,
):
    """Convolution: [B, H, W, C] → [B, ceil(H / stride), ceil(W / stride), channels] if "same"."""
    kwargs = _first_weights(init, weights, kernel * kernel * x.shape[-1], gain)
    layer = layer_class("Conv2D", weights)
    return layer(channels, kernel, stride, padding=padding, use_bias=bias, **kwargs)(x)


def deconv(
    x, channels, kernel, size, *, stride=2, bias=True, init=NORMAL, weights="plain", gain=2**0.5
):
    """Transposed convolution to `size` = (H, W), each 2n or 2n - 1 for a stride of 2.

    It is the exact transpose of `conv` from that size. An odd size is cropped on the side that
    keeps the image in place.
    """
    kwargs = _first_weights(init, weights, kernel * kernel * channels, gain)
    kind = layer_class("Conv2DTranspose", weights)
    layer = kind(channels, kernel, stride, padding="same", use_bias=bias, **kwargs)
    extra = [stride * n - wanted for n, wanted in zip(x.shape[1:3], size)]
    before = (kernel - 1) // 2 - (kernel - 2) // 2  # the transpose pads there first
    x = layer(x)
    if any(extra):
        x = keras.layers.Cropping2D([(e * before, e * (1 - before)) for e in extra])(x)
    return x


def deconv_cropped(
    x, channels, kernel, *, crop=0, stride=2, init=NORMAL, weights="plain", gain=2**0.5
):
    """PyTorch's transposed convolution with padding `crop`: n → stride·(n - 1) + kernel - 2·crop.

    A crop of ((1, 0), (1, 0)) is PyTorch's padding of 1 with an output padding of 1.
    """
    kwargs = _first_weights(init, weights, kernel * kernel * channels, gain)
    layer = layer_class("Conv2DTranspose", weights)
    x = layer(channels, kernel, stride, padding="valid", **kwargs)(x)
    return keras.layers.Cropping2D(crop)(x) if crop else x


def concat_labels(x, labels):
    """Append one-hot labels [B, K] to features [B, F], or as constant maps to [B, H, W, C].

    `labels` is a list of one tensor, or empty if the networks have no labels.
    """
    if not labels:
        return x
    y = labels[0]
    if len(x.shape) == 4:
        _, height, width, _ = x.shape
        y = keras.layers.Reshape((1, 1, y.shape[-1]))(y)
        y = keras.layers.UpSampling2D((height, width))(y)
    return keras.layers.Concatenate()([x, y])


def score(x, labels, label_mode, *, bias=True, init=NORMAL, weights="plain"):
    """Features [B, F] → scores [B], float32.

    With labels, "concat" appends them to the features, and "projection" adds the inner product of
    the features with a learnt vector for each class (1802.05637, eq. 3).
    """
    kwargs = {"init": init, "weights": weights, "dtype": "float32"}
    if label_mode == "concat":
        x = concat_labels(x, labels)
    total = dense(x, 1, bias=bias, **kwargs)
    if labels and label_mode == "projection":
        vector = dense(labels[0], x.shape[-1], bias=False, **kwargs)
        products = keras.layers.Multiply(dtype="float32")([x, vector])  # quicker than Keras' Dot
        inner = keras.ops.sum(products, -1, keepdims=True)
        total = keras.layers.Add(dtype="float32")([total, inner])
    return keras.layers.Reshape((), dtype="float32")(total)

"""Layer helpers: inputs, convolutions, dense layers, norms by name, labels, scores.

A helper applies a layer to a symbolic tensor and returns the result. Networks are saved as stock
copies (`layers.stock`).
"""

import functools

import keras

from layers import equal, fast, fast_conv, spectral
from training import replicas

# Initialisers. NORMAL is DCGAN's: N(0, 0.02) for kernels, 0 for biases. TORCH is PyTorch's: kernels
# and biases are uniform in ±1/sqrt(fan in). XAVIER is Glorot's uniform, times a gain; MIXED is the
# same with PyTorch's biases.
# Deviations from the seed programs: seed 002 truncates the normal at two standard deviations in its
# convolutions. Seed 001 combines the normal with PyTorch's biases. Seeds 001 and 004 draw batch
# norm's scales around 1 (or 0); here they are 1.
NORMAL, TORCH, XAVIER, MIXED = "normal", "torch", "xavier", "mixed"

# Layer classes by how they use their weights: "plain" is unchanged (see `layer_class`), "equal" has
# N(0, 1) initial weights times a constant (equalised learning rate, PGGAN 1710.10196), "spectral"
# divides by the spectral norm (1802.05957).
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
    """Return the layer class for a Keras class name.

    Args:
      kind: "Conv2D", "Conv2DTranspose" or "Dense".
      weights: "plain", or a key of `WEIGHTS`.
    """
    if weights != "plain":
        return WEIGHTS[weights][kind]
    fast_kinds = fast_conv if replicas.on_cpu() else keras.layers
    return getattr(fast_kinds, kind, None) or getattr(keras.layers, kind)


def _first_weights(init, weights, fan_in, gain):
    """Return a layer's kwargs for its initialisers.

    Args:
      init: NORMAL, TORCH, XAVIER or MIXED. Ignored if `weights` is "equal".
      weights: see `layer_class`.
      fan_in: number of inputs, for PyTorch's weights. As in PyTorch, a transposed convolution's fan
        in is counted on its output channels.
      gain: factor of "equal" weights and Glorot's kernels: sqrt(2) if a ReLU follows, else 1.
    """
    if weights == "equal":
        return {"gain": gain}
    if init == NORMAL:
        return {"kernel_initializer": keras.initializers.RandomNormal(stddev=0.02)}
    glorot = functools.partial(keras.initializers.VarianceScaling, gain**2, "fan_avg", "uniform")
    if init == XAVIER:
        return {"kernel_initializer": glorot()}
    bound = fan_in**-0.5
    draw = functools.partial(keras.initializers.RandomUniform, -bound, bound)
    kernel = glorot if init == MIXED else draw
    return {"kernel_initializer": kernel(), "bias_initializer": draw()}


def critic_sizes(size):
    """List a critic's image sizes, halved and rounded up until both sides are at most 4."""
    sizes = [tuple(size)]
    while max(sizes[-1]) > 4:
        sizes.append(tuple((n + 1) // 2 for n in sizes[-1]))
    return sizes


def generator_sizes(size):
    """List a generator's image sizes, as `critic_sizes`, but do not halve 5 or 7: 28, 14, 7."""
    sizes = [tuple(size)]
    while max(sizes[-1]) > 7 or (max(sizes[-1]) > 4 and max(sizes[-1]) % 2 == 0):
        sizes.append(tuple((n + 1) // 2 for n in sizes[-1]))
    return sizes


def halvings(size, widths, sizes, max_channels=512):
    """Return a network's (image sizes, channels), both listed from the image inwards.

    Args:
      size: (height, width) of the image.
      widths: one base width, which doubles at each halving; or the width after each halving.
      sizes: `critic_sizes` or `generator_sizes`. Used with one width only.
      max_channels: limit of the doubling. A larger base is kept.
    """
    if len(widths) == 1:
        chain = sizes(size)
        return chain, [
            min(widths[0] * 2**i, max(max_channels, widths[0])) for i in range(len(chain) - 1)
        ]
    chain = [tuple(size)]
    for _ in widths:
        chain.append(tuple((n + 1) // 2 for n in chain[-1]))
    return chain, list(widths)


def latent_inputs(z_dim, classes):
    """Return the inputs: (latents [B, z_dim], [labels [B, classes]]). No classes: (latents, [])."""
    return keras.Input((z_dim,), name="z"), _labels(classes)


def image_inputs(spec):
    """Return the inputs: (images [B, H, W, C], [labels [B, classes]]). No classes: (images, [])."""
    shape = (spec.height, spec.width, spec.channels)
    return keras.Input(shape, name="images"), _labels(spec.classes)


def _labels(classes):
    return [keras.Input((classes,), name="labels")] if classes else []


def norm(x, name, *, affine=True):
    """Normalise [B, C] or [B, H, W, C].

    Epsilon is 1e-5 and batch norm's momentum is 0.9, as in all seed programs (Keras: 1e-3, 0.99).

    Args:
      name: "none", "batch", "layer" (over H, W and C of each sample) or "instance" (over H and W of
        each sample and channel; for [B, C] it is layer norm).
      affine: False leaves out instance norm's scale and offset of each channel.
    """
    if name == "none":
        return x
    layers = {
        "batch": lambda: fast.BatchNorm(momentum=0.9, epsilon=1e-5),
        "layer": lambda: fast.GroupNorm(groups=1, epsilon=1e-5),
        "instance": lambda: fast.GroupNorm(groups=-1, epsilon=1e-5, center=affine, scale=affine),
    }
    if name == "instance" and len(x.shape) == 2:  # a dense layer has no H and W
        name = "layer"
    return layers[name]()(x)


def critic_norm(name):
    """Split a value of `--critic_norm` into (name of a `norm`, value of `weights`).

    Spectral norm changes the weights and adds no layer.
    """
    return ("none", "spectral") if name == "spectral" else (name, "plain")


def relu(x):
    """ReLU: max(x, 0)."""
    return keras.layers.ReLU()(x)


def leaky_relu(x, slope=0.2):
    """Leaky ReLU: max(x, slope·x). Slope 0 is a ReLU that is faster under a gradient penalty."""
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
    """Transposed convolution: [B, h, w, C] → [B, H, W, channels].

    It is the exact transpose of `conv` from the size (H, W). For an odd size, the row or column to
    crop is the one that leaves the image unshifted.

    Args:
      size: (H, W). For a stride of 2, H is 2h or 2h - 1, and W is 2w or 2w - 1.
    """
    kwargs = _first_weights(init, weights, kernel * kernel * channels, gain)
    kind = layer_class("Conv2DTranspose", weights)
    layer = kind(channels, kernel, stride, padding="same", use_bias=bias, **kwargs)
    extra = [stride * n - wanted for n, wanted in zip(x.shape[1:3], size)]
    # 1 crops at the top and on the left, 0 at the bottom and on the right.
    before = (kernel - 1) // 2 - (kernel - 2) // 2
    x = layer(x)
    if any(extra):
        x = keras.layers.Cropping2D([(e * before, e * (1 - before)) for e in extra])(x)
    return x


def deconv_cropped(
    x, channels, kernel, *, crop=0, stride=2, init=NORMAL, weights="plain", gain=2**0.5
):
    """PyTorch's transposed convolution with padding `crop`.

    A side of n pixels becomes stride·(n - 1) + kernel - 2·crop. A crop of ((1, 0), (1, 0)) is
    PyTorch's padding of 1 with an output padding of 1.
    """
    kwargs = _first_weights(init, weights, kernel * kernel * channels, gain)
    layer = layer_class("Conv2DTranspose", weights)
    x = layer(channels, kernel, stride, padding="valid", **kwargs)(x)
    return keras.layers.Cropping2D(crop)(x) if crop else x


def concat_labels(x, labels):
    """Append labels to features: [B, F] → [B, F + K], or [B, H, W, C] → [B, H, W, C + K].

    Args:
      labels: [one-hot labels [B, K]], or []. Images get K constant maps.
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
    """Map features [B, F] to scores [B], float32.

    Args:
      labels: [one-hot labels [B, K]], or [].
      label_mode: "concat" appends the labels to the features. "projection" adds the inner product
        of the features and a learnt vector of the class (1802.05637, eq. 3).
    """
    kwargs = {"init": init, "weights": weights, "dtype": "float32"}
    if label_mode == "concat":
        x = concat_labels(x, labels)
    total = dense(x, 1, bias=bias, **kwargs)
    if labels and label_mode == "projection":
        vector = dense(labels[0], x.shape[-1], bias=False, **kwargs)
        products = keras.layers.Multiply(dtype="float32")([x, vector])  # faster than Keras' Dot
        inner = keras.ops.sum(products, -1, keepdims=True)
        total = keras.layers.Add(dtype="float32")([total, inner])
    return keras.layers.Reshape((), dtype="float32")(total)

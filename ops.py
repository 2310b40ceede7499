"""Layers: convolution and transposed-convolution blocks, norms by name, labels, latents.

A network is saved as its `stock` copy, of stock Keras layers alone, which loads without this
project.
"""

import keras
import tensorflow as tf

import convolutions
import distribute
import layers


def uniform_latents(key, shape):
    """U[-1, 1) from a stateless key, int32 [2]."""
    return tf.random.stateless_uniform(shape, key, -1.0, 1.0)


def normal_latents(key, shape):
    """N(0, 1) from a stateless key, int32 [2]."""
    return tf.random.stateless_normal(shape, key)


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


class BatchNorm(layers.Stocked, keras.layers.BatchNormalization):
    """Keras' own, in training by TensorFlow's one fused operation where Keras has a dozen.

    The same to rounding, in fewer passes over the memory. The statistics are those of the whole
    batch, whatever the number of replicas.
    """

    kind = keras.layers.BatchNormalization

    def call(self, inputs, training=None, mask=None):
        """[B, C] or [B, H, W, C], normalised by the batch's statistics, or the moving ones."""
        if not training:
            return super().call(inputs, training=False, mask=mask)
        units = inputs.shape[-1]
        x = tf.cast(inputs, tf.float32)
        x = tf.reshape(x, [-1, 1, 1, units]) if len(inputs.shape) == 2 else x
        normalise = self._fused if distribute.replicas() == 1 else self._synchronised
        y, mean, variance = normalise(x, *(tf.cast(w, tf.float32) for w in (self.gamma, self.beta)))
        for moving, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + batch * (1 - self.momentum))
        return tf.cast(tf.reshape(y, tf.shape(inputs)), self.compute_dtype)

    def _fused(self, x, scale, offset):
        none, n = tf.zeros([0]), tf.cast(tf.size(x) // x.shape[-1], tf.float32)
        y, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=x, scale=scale, offset=offset, mean=none, variance=none, epsilon=self.epsilon
        )
        # The operation's has n - 1 below, Keras' moving one n.
        return y, mean, variance * ((n - 1) / n)

    def _synchronised(self, x, scale, offset):
        mean, variance = distribute.moments(x, [0, 1, 2])
        y = tf.nn.batch_normalization(x, mean, variance, offset, scale, self.epsilon)
        return y, mean, variance


def layers_of(network):
    """The layers of a network and of those nested in it, each once."""
    found = {}
    for layer in network.layers:
        nested = layers_of(layer) if isinstance(layer, keras.Model) else [layer]
        found |= {id(one): one for one in nested}
    return list(found.values())


def stock(network, *, copy=False):
    """A network of stock Keras layers with the same weights, that computes in float32.

    It is the network itself where that is one, and no `copy` is asked for.
    """
    if not copy and not any(
        hasattr(layer, "stock") or layer.compute_dtype != "float32" for layer in layers_of(network)
    ):
        return network

    def clone(layer):
        if isinstance(layer, keras.Model):
            return stock(layer, copy=True)
        return plain(layer.stock() if hasattr(layer, "stock") else _from_config(layer))

    same = keras.models.clone_model(network, clone_function=clone)
    for layer in network.layers:
        if layer.weights and not isinstance(layer, keras.Model):
            own = layer.stock_weights if hasattr(layer, "stock_weights") else layer.get_weights
            same.get_layer(layer.name).set_weights(own())
    return same


def _from_config(layer):
    return type(layer).from_config(layer.get_config())


def plain(layer):
    """A new layer, set to compute in float32."""
    layer.dtype_policy = "float32"
    return layer


def double(network):
    """A network of the same layers with the same weights, that computes in float32."""
    same = keras.models.clone_model(network, clone_function=lambda x: plain(_from_config(x)))
    same.set_weights(network.get_weights())
    return same


def norm(x, name, *, affine=True):
    """Normalise by name; "none" gives x back.

    Batch norm has epsilon 1e-5 and momentum 0.9 as all five seeds do, not Keras' 1e-3 and
    0.99. Layer norm is over H, W and C of each sample, with a scale and offset a channel, and
    instance norm over H and W of each channel, with them or, without `affine`, none.
    """
    if name == "none":
        return x
    layers = {
        "batch": lambda: BatchNorm(momentum=0.9, epsilon=1e-5),
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
    return layers.LeakyReLU(negative_slope=slope)(x)


def dense(x, units, *, bias=True, init=NORMAL, dtype=None):
    """[B, F] → [B, units]."""
    if init == EQUAL:
        return layers.EqualDense(units, use_bias=bias, gain=1.0, dtype=dtype)(x)
    options = _initializers(init, x.shape[-1])
    return keras.layers.Dense(units, use_bias=bias, dtype=dtype, **options)(x)


def _kinds():
    """The module whose convolutions are the quickest on this machine."""
    return convolutions if distribute.on_cpu() else keras.layers


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

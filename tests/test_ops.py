"""Layer helpers, compared with TensorFlow's and Keras' layers."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

import losses
import ops
from layers import fast, stock
from training import randomness


@pytest.mark.parametrize("kernel", [3, 4, 5])
@pytest.mark.parametrize("size", [(14, 14), (13, 13), (13, 14), (25, 9)])
def test_deconv_is_the_transpose_of_conv(kernel, size):
    """`deconv` equals the gradient of a convolution with respect to its input."""
    small = tuple((n + 1) // 2 for n in size)
    x = keras.Input((*small, 2))
    model = keras.Model(x, ops.deconv(x, 3, kernel, size))
    weight = model.trainable_variables[0].value
    y = np.random.default_rng(0).normal(size=(1, *small, 2)).astype(np.float32)
    expected = tf.nn.conv2d_transpose(y, weight, (1, *size, 3), 2, "SAME")
    np.testing.assert_allclose(model(y), expected, atol=1e-5)


def test_conv_halves_rounding_up():
    x = keras.Input((7, 6, 1))
    assert ops.conv(x, 5, 4).shape == (None, 4, 3, 5)


@pytest.mark.parametrize("shape", [(6, 3), (5, 4, 2, 3)])
def test_batch_norm_equals_keras(shape):
    """Outputs, moving statistics, and the first and second gradients."""
    rng = np.random.default_rng(0)
    data = rng.normal(2, 3, shape).astype(np.float32)
    found = []
    for kind in (fast.BatchNorm, keras.layers.BatchNormalization):
        layer = kind(momentum=0.9, epsilon=1e-5)
        layer.build(shape)
        layer.gamma.assign([0.5, 1, 2])
        layer.beta.assign([-1, 0, 1])
        x = tf.constant(data)
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                y = layer(x, training=True)
                loss = tf.reduce_sum(y**3)
            first = inner.gradient(loss, [x, layer.gamma.value])
            total = tf.reduce_sum(first[0] ** 2)
        second = outer.gradient(total, [x, layer.gamma.value])
        still = layer(x, training=False)
        found.append([y, *first, *second, layer.moving_mean, layer.moving_variance, still])
    for ours, theirs in zip(*found):
        np.testing.assert_allclose(ours, theirs, rtol=2e-3, atol=1e-3)


@pytest.mark.parametrize("slope", [0.0, 0.2])
def test_leaky_relu_equals_keras(slope):
    """Outputs, and the first and second gradients, at 0 too."""
    data = tf.constant([[-3.0, -0.5, 0.0, 0.5, 2.0]])
    inputs = keras.Input((5,))
    ours = keras.Model(inputs, ops.leaky_relu(inputs, slope))
    found = []
    for network in (ours, stock.stock(ours)):
        with tf.GradientTape() as outer:
            outer.watch(data)
            with tf.GradientTape() as inner:
                inner.watch(data)
                y = network(data)
                total = tf.reduce_sum(y**3)
            first = inner.gradient(total, data)
            second = outer.gradient(tf.reduce_sum(first**2), data)
        found.append([y, first, second])
    np.testing.assert_array_equal(found[0][0], np.where(data > 0, data, slope * data))
    for a, b in zip(*found):
        np.testing.assert_allclose(a, b, rtol=1e-6)
    assert type(stock.stock(ours).layers[1]) is keras.layers.LeakyReLU


@pytest.mark.parametrize("slope", [0.0, 0.2])
def test_slopes_are_constants_in_a_penalty(slope):
    """A bias affects only the slopes, which are constants: its gradient is None, not 0."""
    inputs = keras.Input((4, 4, 2))
    x = ops.leaky_relu(ops.conv(inputs, 3, 3), slope)
    critic = keras.Model(inputs, ops.score(keras.layers.Flatten()(x), [], "concat"))
    images = tf.constant(np.random.default_rng(0).normal(size=(5, 4, 4, 2)).astype(np.float32))
    kernel, bias = (w.value for w in critic.layers[1].weights)
    with tf.GradientTape() as tape:
        penalty = tf.reduce_sum(losses.squared_gradient(critic, images))
    found = tape.gradient(penalty, [kernel, bias])
    assert np.any(found[0]) and found[1] is None


def test_stock_networks_have_equal_weights_and_only_keras_layers():
    x = keras.Input((8, 8, 2))
    inner = keras.ops.square(ops.norm(ops.conv(x, 3, 3), "batch"))
    network = keras.Model(x, ops.norm(ops.dense(keras.layers.Flatten()(inner), 4), "batch"))
    data = np.random.default_rng(0).normal(size=(5, 8, 8, 2)).astype(np.float32)
    network(data, training=True)  # moves the statistics
    saved = stock.stock(network)
    kinds = [type(layer) for layer in saved.layers]
    assert kinds.count(keras.layers.BatchNormalization) == 2
    assert not any(kind.__module__ == "ops" for kind in kinds)
    np.testing.assert_allclose(saved(data), network(data), atol=1e-5)
    assert stock.stock(saved) is saved
    assert stock.stock(saved, copy=True) is not saved


@pytest.mark.parametrize("name", ["layer", "instance"])
def test_sample_norms_do_not_mix_samples(name):
    x = keras.Input((4, 4, 3))
    model = keras.Model(x, ops.norm(x, name))
    data = np.random.default_rng(0).normal(3, 2, (5, 4, 4, 3)).astype(np.float32)
    whole = model(data, training=True).numpy()
    one = model(data[2:3], training=True).numpy()
    np.testing.assert_allclose(whole[2:3], one, atol=1e-5)
    axes = (1, 2) if name == "instance" else (1, 2, 3)
    np.testing.assert_allclose(whole.mean(axes), 0, atol=1e-4)
    np.testing.assert_allclose(whole.std(axes), 1, atol=1e-3)


def test_instance_norm_of_features_is_layer_norm():
    x = keras.Input((8,))
    model = keras.Model(x, ops.norm(x, "instance"))
    data = np.random.default_rng(0).normal(3, 2, (5, 8)).astype(np.float32)
    np.testing.assert_allclose(model(data).numpy().std(1), 1, atol=1e-3)


def test_batch_norm_has_the_seeds_constants():
    x = keras.Input((8,))
    layer = keras.Model(x, ops.norm(x, "batch")).layers[-1]
    assert (layer.momentum, layer.epsilon) == (0.9, 1e-5)


def test_no_norm_adds_nothing():
    x = keras.Input((8,))
    assert ops.norm(x, "none") is x


def test_concat_labels():
    x, y = keras.Input((2, 3, 1)), keras.Input((4,))
    model = keras.Model([x, y], ops.concat_labels(x, [y]))
    out = model([np.zeros((1, 2, 3, 1)), np.eye(4)[[2]]]).numpy()
    assert out.shape == (1, 2, 3, 5)
    np.testing.assert_array_equal(out[0, :, :, 1:], np.broadcast_to(np.eye(4)[2], (2, 3, 4)))
    assert ops.concat_labels(x, []) is x


def test_latents():
    key = tf.constant([1, 2])
    uniform, normal = (
        randomness.uniform_latents(key, (2000, 5)),
        randomness.normal_latents(key, (2000, 5)),
    )
    assert -1 <= np.min(uniform) < -0.99 < 0.99 < np.max(uniform) < 1
    assert np.std(uniform) == pytest.approx(1 / np.sqrt(3), abs=0.02)
    assert np.mean(normal) == pytest.approx(0, abs=0.05)
    assert np.std(normal) == pytest.approx(1, abs=0.03)
    np.testing.assert_array_equal(uniform, randomness.uniform_latents(key, (2000, 5)))
    assert np.any(uniform != randomness.uniform_latents(tf.constant([1, 3]), (2000, 5)))


@pytest.mark.parametrize("limit", [0.01, 0.7, 2.0, 50.0])
def test_truncated_latents(limit):
    """Variance of a normal distribution truncated at ±t: 1 - 2 t phi(t) / P(|z| < t)."""
    key = tf.constant([1, 2])
    z = np.asarray(randomness.normal_latents(key, (2000, 50)))
    cut = np.asarray(randomness.truncated_normal_latents(key, (2000, 50), limit))
    within = abs(z) <= limit
    np.testing.assert_array_equal(cut[within], z[within])
    assert abs(cut).max() <= limit
    density = math.exp(-(limit**2) / 2) / math.sqrt(2 * math.pi)
    variance = 1 - 2 * limit * density / math.erf(limit / 2**0.5)
    assert cut.var() == pytest.approx(variance, rel=0.02)
    if not within.all():
        new = cut[~within]
        assert new.var() == pytest.approx(variance, rel=0.05)  # and not all at the limits
    uniform = np.asarray(randomness.scaled_uniform_latents(key, (2000, 5), limit))
    expected = np.asarray(randomness.uniform_latents(key, (2000, 5))) * np.float32(limit)
    np.testing.assert_array_equal(uniform, expected)

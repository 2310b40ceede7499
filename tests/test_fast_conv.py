"""Convolutions for few channels or few pixels, compared with TensorFlow's."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import ops
from layers import fast_conv, stock
from training import memory

# kernel, stride, padding, the image's size and channels
FEW_CHANNELS = [
    (4, 2, "SAME", (8, 8), 3),
    (4, 2, "SAME", (7, 10), 1),
    (4, 2, "VALID", (9, 8), 2),
    (5, 2, "SAME", (8, 9), 3),
    (3, 2, "SAME", (6, 5), 4),
    (3, 2, "VALID", (7, 8), 3),
    (6, 2, "SAME", (8, 8), 1),
    (3, 1, "SAME", (5, 6), 3),
    (7, 1, "VALID", (9, 8), 3),
    (1, 1, "VALID", (4, 4), 3),
    (5, 3, "SAME", (10, 8), 2),
    (2, 4, "VALID", (9, 10), 1),
]
FEW_PIXELS = [
    (4, 2, "SAME", (6, 6), 5),
    (4, 2, "SAME", (7, 8), 6),
    (5, 2, "SAME", (7, 5), 5),
    (5, 2, "VALID", (8, 7), 5),
    (1, 2, "SAME", (8, 7), 5),
    (3, 1, "SAME", (3, 4), 7),
    (3, 3, "VALID", (11, 12), 5),
    (4, 2, "SAME", (8, 6), 3),
    (2, 3, "VALID", (9, 10), 1),
]
# the same, with the number of images and of maps
CASES = [(*case, 2, 5) for case in FEW_CHANNELS]
CASES += [(*case, fast_conv.MIN_BATCH, fast_conv.MIN_WIDTH) for case in FEW_PIXELS]


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def own(size, stride, padding):
    """TensorFlow's convolution and its transpose."""

    def convolve(images, kernel):
        return tf.nn.conv2d(images, kernel, stride, padding)

    def transpose(maps, kernel):
        shape = [maps.shape[0], *size, kernel.shape[2]]
        return tf.nn.conv2d_transpose(maps, kernel, shape, stride, padding)

    return convolve, transpose


def derivatives(function, x, kernel):
    """Return [y, gradients of sum(sin(y)), gradients of a penalty on these gradients]."""
    x, kernel = tf.convert_to_tensor(x), tf.convert_to_tensor(kernel)
    with tf.GradientTape() as outer:
        outer.watch([x, kernel])
        with tf.GradientTape(persistent=True) as inner:
            inner.watch([x, kernel])
            y = function(x, kernel)
            total = tf.reduce_sum(tf.sin(y))
        first = inner.gradient(total, [x, kernel])
        penalty = tf.add_n([tf.reduce_mean(tf.square(g)) for g in first])
    return [y, *first, *outer.gradient(penalty, [x, kernel])]


@pytest.mark.parametrize("which", [0, 1], ids=["convolve", "transpose"])
@pytest.mark.parametrize("kernel, stride, padding, size, channels, batch, width", CASES)
def test_values_and_derivatives(rng, kernel, stride, padding, size, channels, batch, width, which):
    weights = rng.normal(size=(kernel, kernel, channels, width)).astype(np.float32)
    images = rng.normal(size=(batch, *size, channels)).astype(np.float32)
    expected = own(size, stride, padding)
    maps = expected[0](images, weights)
    x = [images, rng.normal(size=maps.shape).astype(np.float32)][which]
    found = derivatives(fast_conv.linear_pair(size, kernel, stride, padding)[which], x, weights)
    for a, b in zip(found, derivatives(expected[which], x, weights), strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4 * np.abs(b).max())


def test_one_pixel_by_hand():
    """One pixel of 1 copies the kernel. TensorFlow pads one row before and one after."""
    kernel = np.arange(16, dtype=np.float32).reshape(4, 4, 1, 1)
    maps = np.zeros((1, 3, 3, 1), np.float32)
    maps[0, 1, 1] = 1
    image = fast_conv.linear_pair((6, 6), 4, 2, "SAME")[1](tf.constant(maps), tf.constant(kernel))
    expected = np.zeros((6, 6))
    expected[1:5, 1:5] = kernel[..., 0, 0]
    np.testing.assert_array_equal(image[0, :, :, 0], expected)


@pytest.mark.parametrize("bias", [True, False])
def test_layers_equal_stock_layers(rng, bias):
    x = keras.Input((8, 8, 3))
    network = keras.Model(x, ops.deconv(ops.conv(x, 6, 4, bias=bias), 3, 4, (8, 8), bias=bias))
    for weight in network.weights:
        weight.assign(rng.normal(size=weight.shape))
    kinds = [fast_conv.Conv2D, fast_conv.Conv2DTranspose]
    assert [type(layer) for layer in network.layers[1:]] == kinds
    saved = stock.stock(network)
    assert [type(layer) for layer in saved.layers[1:]] == [kind.kind for kind in kinds]
    images = rng.normal(size=(2, 8, 8, 3)).astype(np.float32)
    np.testing.assert_allclose(network(images), saved(images), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "kind, options",
    [
        (fast_conv.Conv2D, {"dilation_rate": 2}),
        (fast_conv.Conv2D, {"strides": (1, 2)}),
        (fast_conv.Conv2D, {"groups": 3}),
        (fast_conv.Conv2D, {"kernel_size": (3, 2)}),
        (fast_conv.Conv2DTranspose, {"strides": 2, "output_padding": 1}),
        (fast_conv.Conv2DTranspose, {"strides": (2, 1)}),
    ],
)
def test_unsupported_options_use_keras(rng, kind, options):
    x = keras.Input((9, 9, 3))
    network = keras.Model(x, kind(3, **{"kernel_size": 3, **options})(x))
    images = rng.normal(size=(2, 9, 9, 3)).astype(np.float32)
    np.testing.assert_allclose(network(images), stock.stock(network)(images), atol=1e-5)


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("dtype, near", [("float32", 1e-5), ("bfloat16", 3e-2), ("float16", 3e-3)])
@pytest.mark.parametrize("batch, channels, width", [(2, 3, 5), (32, 6, 65)])
def test_compiled_and_in_low_precision(rng, batch, channels, width, dtype, near, jit):
    images = rng.normal(size=(batch, 8, 8, channels)).astype(np.float32)
    weights = rng.normal(size=(4, 4, channels, width)).astype(np.float32) / 4
    found, expected = (
        tf.function(lambda x, w, f=f: derivatives(f, x, w)[:3], jit_compile=jit)
        for f in (fast_conv.linear_pair((8, 8), 4, 2, "SAME")[0], own((8, 8), 2, "SAME")[0])
    )
    words = [tf.cast(x, dtype) for x in (images, weights)]
    for a, b in zip(found(*words), expected(images, weights), strict=True):
        np.testing.assert_allclose(tf.cast(a, tf.float32), b, atol=near * np.abs(b).max())


def test_the_memory_estimate_equals_that_of_stock_layers():
    x = keras.Input((8, 8, 3))
    network = keras.Model(x, ops.deconv(ops.leaky_relu(ops.conv(x, 6, 4)), 3, 4, (8, 8)))
    assert memory.activations(network) == memory.activations(stock.stock(network))


def test_images_of_any_size(rng):
    """In a network without fixed sizes, a layer adapts to each input."""
    x = keras.Input((None, None, 3))
    network = keras.Model(x, ops.deconv_cropped(ops.conv(x, 6, 3, stride=1), 2, 3, crop=0))
    for side in (5, 8):
        images = rng.normal(size=(1, side, side, 3)).astype(np.float32)
        np.testing.assert_allclose(network(images), stock.stock(network)(images), atol=1e-5)


def operations(network, batch):
    """Return the types of the TensorFlow operations of a network and its gradients."""

    @tf.function
    def step(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            total = tf.reduce_sum(network(x))
        return tape.gradient(total, [x, *network.trainable_variables])

    shape = (batch, *network.inputs[0].shape[1:])
    graph = step.get_concrete_function(tf.TensorSpec(shape, tf.float32)).graph
    return {operation.type for operation in graph.get_operations()}


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("channels", [3, 5])
@pytest.mark.parametrize(
    "size, batch, width, few",
    [
        (8, 32, 65, True),
        (8, 31, 65, False),
        (8, 32, 64, False),
        (9, 32, 65, False),
        (8, None, 65, False),
    ],
)
def test_the_form_of_a_layer_by_its_shapes(size, batch, width, few, channels, transposed):
    if transposed:
        x = keras.Input(((size + 1) // 2, (size + 1) // 2, width))
        network = keras.Model(x, ops.deconv(x, channels, 4, (size, size)))
    else:
        x = keras.Input((size, size, channels))
        network = keras.Model(x, ops.conv(x, width, 4))
    found = operations(network, batch)
    assert ("Conv2DBackpropFilter" in found) is not few
    assert ("Conv2DBackpropInput" in found) is (channels == 5)  # TensorFlow's transpose
    assert ("IdentityN" in found) is (few or channels == 3)  # from a custom gradient


@pytest.mark.parametrize("weights", ["plain", "spectral"])
@pytest.mark.parametrize("channels, width, batch", [(3, 4, 2), (8, 5, 2), (8, 65, 32)])
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_a_strided_1x1_layer_samples_the_pixels(rng, channels, width, batch, padding, weights):
    """OneDNN's gradient of the kernel of a strided 1x1 convolution crashes below 16 channels."""
    x = keras.Input((7, 8, channels))
    network = keras.Model(x, ops.conv(x, width, 1, padding=padding, weights=weights))
    network.layers[-1].bias.assign(rng.normal(size=width))
    images = rng.normal(size=(batch, 7, 8, channels)).astype(np.float32)
    np.testing.assert_allclose(network(images), stock.stock(network)(images), atol=1e-5)
    weights = rng.normal(size=network.layers[-1].kernel.shape).astype(np.float32)
    found = derivatives(network.layers[-1].convolution_op, images, weights)
    expected = derivatives(lambda a, w: tf.nn.conv2d(a, w, 2, padding.upper()), images, weights)
    for a, b in zip(found, expected):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4 * np.abs(b).max())
    graph = tf.function(network.layers[-1].convolution_op).get_concrete_function(images, weights)
    convolutions = [x for x in graph.graph.get_operations() if x.type == "Conv2D"]
    assert [list(x.get_attr("strides")) for x in convolutions] == [[1, 1, 1, 1]]


def test_gpus_have_stock_layers(monkeypatch):
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: [kind])
    x = keras.Input((8, 8, 3))
    network = keras.Model(x, ops.deconv(ops.conv(x, 6, 4), 3, 4, (8, 8)))
    kinds = [keras.layers.Conv2D, keras.layers.Conv2DTranspose]
    assert [type(layer) for layer in network.layers[1:]] == kinds

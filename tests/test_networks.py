"""The networks of all presets: their sizes, and their agreement with PyTorch."""

import keras
import numpy as np
import pytest

import losses
import ops
from architectures.resnet import _down, sizes, widths
from benchmarks import races
from commands import build
from config import presets, tables
from config.resolve import resolve
from datasets.packed import ImageSpec
from layers import fast, stock

# (trainable, moving statistics) of generator and critic, counted on the original programs.
SIZES = {
    "mnist_conditional": ((7_065_211, 14_848), (3_767_283, 0)),
    "faces": ((4_773_379, 1_920), (4_311_169, 0)),
    "lenet_mnist": ((2_231_663, 10), (21_193, 0)),
    "simple_gan": ((218_128, 0), (100_609, 0)),
    "dcgan_mnist": ((12_654_337, 3_840), (2_763_585, 1_792)),
    "wgan_mnist": ((13_113_089, 3_840), (2_763_585, 0)),
    "wgan_gp_mnist": ((1_099_201, 960), (174_801, 0)),
    "resnet_gan": ((20_632_768, 24_064), (15_274_689, 11_264)),
    "resnet_wgan": ((20_632_768, 24_064), (15_274_689, 11_264)),
    "resnet_wgan_gp": ((20_608_704, 0), (15_263_425, 0)),
    "resnet_wgan_div": ((20_632_768, 24_064), (15_263_425, 0)),
    "mimicry_wgan_gp_cifar10": ((4_276_739, 3_584), (1_053_825, 0)),  # its `count_params`
    "anime_dcgan": ((3_576_704, 1_920), (2_765_568, 1_792)),
    "anime_wgan": ((3_576_704, 1_920), (2_765_568, 1_792)),
    "anime_wgan_gp": ((3_576_704, 1_920), (2_763_776, 0)),
    "anime_wgan_div": ((3_576_704, 1_920), (2_763_776, 0)),
}


def networks(classes=None, **given):
    c = resolve(given)
    channels = 1 if c.dataset in ("mnist", "digits") else 3
    classes = (10 if c.conditional else 0) if classes is None else classes
    spec = ImageSpec(c.output_height, c.output_width, channels, 1, classes)
    row = tables.ARCHS[c.arch]
    return build.import_object(row.builder)(spec, **{n: getattr(c, n) for n in row.network})


def counts(network):
    trained = sum(int(np.prod(w.shape)) for w in network.trainable_variables)
    return trained, network.count_params() - trained


@pytest.mark.parametrize("preset", SIZES)
def test_networks_of_every_preset(preset):
    """Their sizes, and critics use the fast leaky ReLU.

    The slopes of Keras' ReLU have a gradient, through which a penalty would propagate.
    """
    generator, critic = networks(preset=preset)
    assert (counts(generator), counts(critic)) == SIZES[preset]
    if "arch" in presets.PRESETS[preset].settings:
        kinds = {type(layer) for layer in critic.layers}
        assert fast.LeakyReLU in kinds
        assert not kinds & {keras.layers.ReLU, keras.layers.LeakyReLU, keras.layers.Activation}


def test_every_preset_has_a_pinned_size():
    others = {
        n for n, row in presets.PRESETS.items() if row.settings.get("arch") in ("pggan", "cyclegan")
    }
    assert {"pggan_1024", "cyclegan_selfie2anime"} < others  # in test_pggan.py, test_cyclegan.py
    assert set(SIZES) | {"digits", "faces_r1", "fastgan_hinge"} | others == set(presets.PRESETS)


@pytest.mark.parametrize(
    ("given", "size"),
    [
        ({"preset": "mnist_conditional"}, (3_769_479, 2_196)),
        ({"preset": "faces"}, (4_312_961, 1_792)),
        ({"preset": "faces", "output_height": 64}, (4_316_545, 1_792)),
        ({"preset": "resnet_wgan_gp"}, (15_274_689, 11_264)),
        ({"preset": "anime_wgan_gp"}, (2_765_568, 1_792)),
    ],
)
def test_critics_of_the_seeds_with_batch_norm(given, size):
    assert counts(networks(**given, critic_norm="batch")[1]) == size


def test_lenet_with_a_plain_head():
    generator, _ = networks(preset="lenet_mnist", g_head="tanh")
    assert counts(generator) == (2_231_661, 8)


@pytest.mark.parametrize("size", [32, 64, 128])
@pytest.mark.parametrize("mode", ["concat", "projection"])
def test_resnet_sizes(size, mode):
    generator, critic = networks(
        3,
        arch="resnet",
        dataset="x",
        output_height=size,
        g_width=(4,),
        d_width=(4,),
        label_mode=mode,
    )
    assert generator.output_shape == (None, size, size, 3)
    assert critic.output_shape == (None,)
    assert [s[0] for s in sizes((size, size))][-1] == 4


def test_resnet_widths():
    assert widths(64, 5) == [64, 128, 256, 512, 512]


@pytest.mark.parametrize("arch", ["dcgan", "mlp", "lenet", "resnet"])
@pytest.mark.parametrize("label_mode", ["concat", "projection"])
def test_labels_reach_both_networks(arch, label_mode):
    given = {"arch": arch, "dataset": "mnist", "output_height": 32, "label_mode": label_mode}
    generator, critic = networks(4, **given)
    rng = np.random.default_rng(0)
    for network in (generator, critic):
        network.set_weights([rng.normal(0, 0.1, w.shape) for w in network.get_weights()])
    z, x = (
        np.ones((1, generator.inputs[0].shape[1]), np.float32),
        np.ones((1, 32, 32, 1), np.float32),
    )
    for network, value in ((generator, z), (critic, x)):
        a, b = (network([value, np.eye(4, dtype=np.float32)[[k]]], training=True) for k in (0, 3))
        if network is critic or arch in (
            "mlp",
            "lenet",
        ):  # batch norm of one sample removes the labels
            assert np.abs(np.array(a) - np.array(b)).max() > 1e-5
    hot = np.eye(4, dtype=np.float32)
    many = generator([np.repeat(z, 4, 0), hot], training=True).numpy()
    assert np.abs(many[0] - many[3]).max() > 1e-5


def test_a_strided_convolution_samples_pytorchs_pixels():
    """nn.Conv2d(1, 1, 3, stride=2, padding=1) with ones, on 0..15: sums around the even pixels.

    TensorFlow's "same" would sum around the odd ones: 45 first.
    """
    x = keras.Input((4, 4, 1))
    main = keras.layers.ZeroPadding2D(1)(x)
    model = keras.Model(x, ops.conv(main, 1, 3, padding="valid", bias=False))
    model.set_weights([np.ones((3, 3, 1, 1))])
    got = model(np.arange(16, dtype=np.float32).reshape(1, 4, 4, 1))
    np.testing.assert_array_equal(got[0, :, :, 0], [[10, 24], [51, 90]])


def test_both_paths_of_a_residual_block_sample_the_same_pixels():
    x = keras.Input((8, 8, 1))
    block = keras.Model(x, _down(x, 1, "none", "plain"))
    kernels = [np.zeros(w.shape) for w in block.weights]
    for kernel in kernels:
        kernel[kernel.shape[0] // 2, kernel.shape[1] // 2] = (
            1  # every convolution returns its centre pixel
        )
    block.set_weights(kernels)
    image = np.random.default_rng(0).uniform(size=(1, 8, 8, 1)).astype(np.float32)
    np.testing.assert_allclose(block(image), 2 * image[:, ::2, ::2], rtol=1e-6)


def test_a_cropped_transposed_convolution_is_pytorchs():
    """nn.ConvTranspose2d(1, 1, 4, stride=2, padding=3) with ones, by hand: input i reaches the
    outputs 2i - 3 to 2i, so 0, 1, 2, 3 gives 0 + 1, 1 + 2, 1 + 2, 2 + 3 along an axis.
    """
    x = keras.Input((4, 4, 1))
    model = keras.Model(x, ops.deconv_cropped(x, 1, 4, crop=3))
    model.set_weights([np.ones((4, 4, 1, 1)), np.zeros(1)])
    line = np.arange(4, dtype=np.float32)
    got = model(np.outer(line, line).reshape(1, 4, 4, 1))
    np.testing.assert_array_equal(got[0, :, :, 0], np.outer([1, 3, 3, 5], [1, 3, 3, 5]))


@pytest.mark.parametrize(
    ("make", "bound"),
    [
        (lambda: ops.dense(keras.Input((400,)), 300, init=ops.TORCH), 400**-0.5),
        (lambda: ops.conv(keras.Input((8, 8, 4)), 300, 3, init=ops.TORCH), 36**-0.5),
        # PyTorch takes a transposed convolution's fan in from its output channels.
        (lambda: ops.deconv(keras.Input((8, 8, 300)), 40, 4, (16, 16), init=ops.TORCH), 640**-0.5),
    ],
)
def test_pytorchs_initialisers(make, bound):
    keras.utils.set_random_seed(0)
    kernel, bias = (np.array(w) for w in make()._keras_history.operation.weights)
    for values in (kernel, bias):
        assert np.abs(values).max() <= bound
        assert np.abs(values).max() > 0.9 * bound
    assert kernel.std() == pytest.approx(bound / np.sqrt(3), rel=0.05)


def test_dcgans_initialiser():
    keras.utils.set_random_seed(0)
    layer = ops.conv(keras.Input((8, 8, 40)), 100, 5)._keras_history.operation
    kernel, bias = (np.array(w) for w in layer.weights)
    assert kernel.std() == pytest.approx(0.02, rel=0.02)
    assert np.abs(kernel).max() > 0.06
    assert not bias.any()


# ---- every architecture ----------------------------------------------------------------------


@pytest.mark.parametrize("arch", tables.ARCHS)
def test_no_critic_has_slopes_with_a_gradient(arch):
    """A penalty would propagate through the slopes of Keras' own ReLUs."""
    trainer = races.small_trainer(arch, "hinge")
    for pair in getattr(trainer, "directions", [trainer]):
        kinds = {type(layer) for layer in stock.layers_of(pair.critic)}
        assert not kinds & {keras.layers.ReLU, keras.layers.LeakyReLU}


OURS = [name for name, row in tables.ARCHS.items() if row.trainer == "model:GANTrainer"]


@pytest.mark.parametrize("label_mode", ["concat", "projection"])
@pytest.mark.parametrize("arch", OURS)
def test_labels_reach_every_network(arch, label_mode):
    """And images may be wider than high."""
    row = tables.ARCHS[arch]
    size = -(-row.min_size // row.multiple_of) * row.multiple_of
    own = {n: v for n, v in races.SMALL.items() if n in row.network}
    sides = {"output_height": size, "output_width": size + row.multiple_of}
    c = resolve({"arch": arch, "dataset": "faces", **sides, **own, "label_mode": label_mode})
    spec = ImageSpec(c.output_height, c.output_width, 3, 1, 4)
    generator, critic = build.build_networks(c, spec)
    rng = np.random.default_rng(0)
    for network in (generator, critic):
        weights = [
            np.abs(w) if w.ndim == 1 else w + rng.normal(0, 0.1, w.shape)
            for w in network.get_weights()
        ]
        network.set_weights(weights)
    hot, z = np.eye(4, dtype=np.float32), np.ones((4, c.z_dim), np.float32)
    images = generator([z, hot], training=True).numpy()
    assert images.shape == (4, spec.height, spec.width, 3)
    assert np.abs(images[0] - images[3]).max() > 1e-5
    scores = losses.per_image(critic([np.ones_like(images), hot], training=False))
    assert len(set(np.round(scores.numpy(), 6))) == 4

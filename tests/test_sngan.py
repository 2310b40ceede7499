"""The residual pair of SNGAN."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from architectures.sngan import FORMS, build_sngan
from config import fields
from config.resolve import resolve
from datasets.packed import ImageSpec
from layers import fast

FIELDS = {"z_dim": 128, "g_norm": "batch", "critic_norm": "spectral", "label_mode": "projection"}
FIELDS |= {"blocks": "paper"}


def networks(size=(32, 32), classes=0, channels=3, g_width=(256,), d_width=(128,), **given):
    spec = ImageSpec(*size, channels, 1, classes)
    return build_sngan(spec, g_width=g_width, d_width=d_width, **{**FIELDS, **given})


def counts(network):
    trained = sum(int(np.prod(w.shape)) for w in network.trainable_variables)
    return trained, network.count_params() - trained


def test_the_papers_networks_for_cifar10():
    """Counted by hand from table 4 of 1802.05957: 256 and 128 channels, three blocks and four."""
    generator, critic = networks()
    block = 2 * 512 + 2 * (256 * 256 * 9 + 256) + 256 * 256 + 256
    dense, last = 128 * 4096 + 4096, 512 + 256 * 3 * 9 + 3
    assert counts(generator) == (dense + 3 * block + last, 7 * 512)
    conv, first = 128 * 128 * 9 + 128, 3 * 128 * 9 + 128
    shortcuts = (3 * 128 + 128) + (128 * 128 + 128)
    trained, others = counts(critic)
    assert trained == first + 7 * conv + shortcuts + 128 + 1
    assert others == 10 * 128 + 1  # a vector for each kernel, as long as its last axis


@pytest.mark.parametrize("size", [(16, 16), (48, 48), (32, 64), (24, 40)])
@pytest.mark.parametrize("classes", [0, 5])
def test_any_multiples_of_8(size, classes):
    generator, critic = networks(size, classes, 1, (4,), (4,), label_mode="concat")
    labels = [tf.one_hot([1, 2], classes)] if classes else []
    images = generator([tf.zeros((2, 128)), *labels])
    assert images.shape == (2, *size, 1)
    assert critic([images, *labels]).shape == (2,)


def test_the_critic_has_slopes_without_a_gradient():
    """A penalty's gradient would go through the slopes of TensorFlow's own ReLU."""
    kinds = {type(layer) for layer in networks(g_width=(4,), d_width=(4,))[1].layers}
    assert fast.LeakyReLU in kinds
    assert not {keras.layers.ReLU, keras.layers.LeakyReLU} & kinds


@pytest.mark.parametrize(("blocks", "score"), [("paper", 16 * (-1 + 2)), ("mimicry", 0 + 2)])
def test_what_differs_in_mimicrys_critic(blocks, score):
    """A constant -1 passes the first two blocks; 2 is added in the third; 4x4 features of 16x16.

    The paper's blocks add what they were given, and the sum of the pixels is scored. Mimicry's add
    its ReLU, and the mean is scored.
    """
    form = {"blocks": blocks, "critic_norm": "none"}
    _, critic = networks((16, 16), channels=1, g_width=(1,), d_width=(1,), **form)
    convs = [x for x in critic.layers if isinstance(x, keras.layers.Conv2D)]
    for layer in convs:
        layer.set_weights([np.zeros_like(w) for w in layer.get_weights()])
    bypasses = [layer for layer in convs if layer.kernel_size == (1, 1)]
    assert len(bypasses) == 2
    for layer in bypasses:
        layer.kernel.assign([[[[1.0]]]])
    rest = [layer for layer in convs if layer.kernel_size == (3, 3)]
    sorted(rest, key=lambda x: int(x.name.rpartition("_")[2]))[5].bias.assign([2.0])  # third block
    dense = next(x for x in critic.layers if isinstance(x, keras.layers.Dense))
    dense.set_weights([np.ones((1, 1)), np.zeros(1)])
    assert float(critic(-tf.ones((1, 16, 16, 1)))[0]) == score


def test_mimicrys_upsampling_and_first_weights():
    """Bilinear between the centres of pixels; kernels of Glorot, and PyTorch's in the bypasses."""
    line = FORMS["mimicry"].up()(tf.constant([0.0, 4.0, 4.0])[None, None, :, None])
    np.testing.assert_allclose(line[0, 0, :, 0], [0, 1, 3, 4, 4, 4])
    assert tuple(FORMS) == fields.FIELDS["blocks"].metadata["choices"]
    generator, critic = networks(blocks="mimicry", critic_norm="none", g_width=(64,), d_width=(64,))
    for layer in (*generator.layers, *critic.layers):
        if not isinstance(layer, keras.layers.Conv2D | keras.layers.Dense):
            continue
        *size, inputs, outputs = layer.kernel.shape
        pixels, torch = int(np.prod(size)), (np.prod(size) * inputs) ** -0.5
        follows = size == [3, 3] and outputs != 3  # by a ReLU
        glorot = (6 * (1 + follows) / (pixels * (inputs + outputs))) ** 0.5
        bound = torch if size == [1, 1] or outputs == 3 else glorot
        largest = np.abs(layer.kernel).max()
        assert 0.9 * bound < largest <= bound or layer.kernel.shape[-1] == 1, layer.name
        assert 0 < np.abs(layer.bias).max() <= torch


def test_mimicrys_settings():
    """The row of CIFAR-10 in its README, and the defaults of its WGAN-GP."""
    c = resolve({"preset": "mimicry_wgan_gp_cifar10"})
    assert (c.mode, c.penalty, c.LAMBDA, c.penalty_fraction, c.penalty_every) == (
        *("gp", "gp", 10, 1, 1),
    )
    assert (c.optimizer, c.learning_rate, c.d_learning_rate) == ("adam", 2e-4, 2e-4)
    assert (c.beta1, c.beta2, c.epsilon, c.critic_num, c.batch_size) == (0.0, 0.9, 1e-8, 5, 64)
    assert (c.max_steps, c.decay_steps, c.ema, c.drift) == (100_000, 100_000, 0, 0)
    assert (c.dataset, c.output_height, c.conditional, c.mirror) == ("cifar10", 32, False, False)
    assert (c.z_dim, c.z_distribution, c.g_norm, c.critic_norm) == (128, "normal", "batch", "none")


def test_the_papers_settings():
    """1802.05957, section 4.1, setting C of table 1, and the hinge loss."""
    c = resolve({"arch": "sngan", "dataset": "cifar10"})
    assert (c.mode, c.penalty, c.critic_norm, c.critic_num) == ("hinge", "none", "spectral", 5)
    assert (c.optimizer, c.learning_rate, c.beta1, c.beta2) == ("adam", 2e-4, 0.0, 0.9)
    assert (c.z_dim, c.z_distribution, c.g_width, c.d_width) == (128, "normal", (256,), (128,))
    assert c.run_name == "cifar10_64_32_32_sngan"

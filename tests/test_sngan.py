"""The residual pair of SNGAN."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from architectures.sngan import build_sngan
from config.resolve import resolve
from datasets.packed import ImageSpec
from layers import fast

FIELDS = {"z_dim": 128, "g_norm": "batch", "critic_norm": "spectral", "label_mode": "projection"}


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


def test_the_papers_settings():
    """1802.05957, section 4.1, setting C of table 1, and the hinge loss."""
    c = resolve({"arch": "sngan", "dataset": "cifar10"})
    assert (c.mode, c.penalty, c.critic_norm, c.critic_num) == ("hinge", "none", "spectral", 5)
    assert (c.optimizer, c.learning_rate, c.beta1, c.beta2) == ("adam", 2e-4, 0.0, 0.9)
    assert (c.z_dim, c.z_distribution, c.g_width, c.d_width) == (128, "normal", (256,), (128,))
    assert c.run_name == "cifar10_64_32_32_sngan"

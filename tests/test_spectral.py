"""Spectral normalisation: σ, its gradient, its vector, and the stock copies."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import ops
from benchmarks.races import small_trainer
from commands.train import init_networks
from config import tables
from config.resolve import resolve
from layers import spectral, stock, transfer
from tests.conftest import batch, same, values
from training.base import Use

KINDS = {
    "conv": (lambda x: ops.conv(x, 5, 3, weights="spectral"), (6, 6, 3)),
    "deconv": (lambda x: ops.deconv(x, 5, 4, (12, 12), weights="spectral"), (6, 6, 3)),
    "dense": (lambda x: ops.dense(x, 5, weights="spectral"), (7,)),
}


def network_of(kind, iterations=200):
    """(a network of one spectral layer, whose vector has converged, that layer)."""
    keras.utils.set_random_seed(3)
    make, shape = KINDS[kind]
    x = keras.Input(shape)
    network = keras.Model(x, make(x))
    (layer,) = [one for one in stock.layers_of(network) if isinstance(one, spectral.Spectral)]
    for _ in range(iterations):
        spectral.advance(network)
    return network, layer


def singular_values(kernel):
    return np.linalg.svd(np.reshape(kernel, (-1, kernel.shape[-1])), compute_uv=False)


@pytest.mark.parametrize("kind", KINDS)
def test_sigma_is_the_largest_singular_value(kind):
    _, layer = network_of(kind)
    kernel = layer.kernel.numpy()
    assert float(layer.sigma()) == pytest.approx(singular_values(kernel)[0], rel=1e-5)
    assert np.linalg.norm(layer.vector.numpy()) == pytest.approx(1, rel=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_the_layer_uses_its_kernel_divided_by_sigma(kind):
    network, layer = network_of(kind, iterations=1)  # not converged: σ is what the vector gives
    x = np.random.default_rng(0).normal(size=(2, *network.inputs[0].shape[1:])).astype(np.float32)
    kernel = layer.kernel.numpy()
    right = layer.vector.numpy()
    sigma = np.linalg.norm(np.reshape(kernel, (-1, kernel.shape[-1])) @ right)
    expected = stock.stock(network, copy=True)
    assert not any(isinstance(one, spectral.Spectral) for one in stock.layers_of(expected))
    np.testing.assert_allclose(expected.get_weights()[0], kernel / sigma, rtol=1e-5)
    layer.bias.assign(np.arange(5.0))
    expected = stock.stock(network, copy=True)
    np.testing.assert_allclose(network(x), expected(x), rtol=1e-4, atol=1e-5)


def test_passes_change_neither_kernel_nor_vector():
    network, _ = network_of("dense", iterations=1)
    before = [w.copy() for w in network.get_weights()]
    network(np.ones((2, 7), np.float32), training=True)
    network(np.ones((2, 7), np.float32), training=False)
    for old, new in zip(before, network.get_weights()):
        np.testing.assert_array_equal(old, new)


def test_the_gradient_goes_through_sigma():
    """dL/dW = (G - <G, W/σ> u vᵀ) / σ for G = dL/d(W/σ) (1802.05957, eq. 12), in float64."""
    network, layer = network_of("dense")
    x = np.random.default_rng(1).normal(size=(4, 7)).astype(np.float32)
    target = np.random.default_rng(2).normal(size=(4, 5)).astype(np.float32)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(network(x) * target)
    got = tape.gradient(loss, layer.kernel.value)
    kernel = np.float64(layer.kernel.numpy())
    left, sigmas, right = np.linalg.svd(kernel)
    g = np.float64(x).T @ np.float64(target)
    outer = np.outer(left[:, 0], right[0])
    expected = (g - np.sum(g * kernel / sigmas[0]) * outer) / sigmas[0]
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


def test_weights_of_a_stock_copy_are_taken():
    network, _ = network_of("conv", iterations=3)
    copy = stock.stock(network, copy=True)
    other, _ = network_of("conv", iterations=1)
    assert transfer.take(other, copy).new == []
    x = np.random.default_rng(0).normal(size=(2, 6, 6, 3)).astype(np.float32)
    scale = singular_values(copy.get_weights()[0])[0]  # 1 where σ had converged
    np.testing.assert_allclose(other(x), copy(x) / scale, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("arch", tables.ARCHS)
def test_every_kernel_of_a_critic_is_spectral(arch):
    """In every architecture; and the saved critic has stock layers of norm 1 only."""
    trainer = small_trainer(arch, "hinge", critic_norm="spectral")
    pairs = getattr(trainer, "directions", [trainer])
    for pair in pairs:
        weighted = [
            x for x in stock.layers_of(pair.critic) if getattr(x, "kernel", None) is not None
        ]
        assert len(weighted) > 1
        assert all(isinstance(layer, spectral.Spectral) for layer in weighted)
        for _ in range(40):
            spectral.advance(pair.critic)
        for layer in stock.layers_of(stock.stock(pair.critic)):
            assert type(layer).__module__.startswith("keras.")
            if getattr(layer, "kernel", None) is not None:
                norm = singular_values(layer.kernel.numpy())[0]
                assert norm == pytest.approx(1, abs=0.02)


def test_the_vectors_move_once_a_critic_update(make_trainer, eager):
    """Not in the passes for penalties, for the generator's update or for the log."""
    trainer = make_trainer(critic_norm="spectral", mode="gp", critic_num=1)
    layers = [x for x in stock.layers_of(trainer.critic) if isinstance(x, spectral.Spectral)]
    moved = []
    for layer in layers:
        advance = layer.advance
        layer.advance = lambda own=layer, do=advance: (moved.append(own), do())
    trainer.step(*map(tf.constant, batch(trainer, 1)))
    assert moved == layers
    before = [x.vector.numpy() for x in layers]
    for use in Use:
        trainer.judge([tf.zeros((4, 8, 8, 1))], trainer.one_hot(tf.range(4)), None, use)
    for old, layer in zip(before, layers):
        np.testing.assert_array_equal(old, layer.vector.numpy())


def test_the_vectors_lie_in_the_checkpoint(make_trainer, tmp_path, eager):
    trainer = make_trainer(critic_norm="spectral")
    trainer.step(*batch(trainer))
    path = tf.train.Checkpoint(**trainer.state).save(str(tmp_path / "c"))
    other = make_trainer(critic_norm="spectral", seed=5)
    tf.train.Checkpoint(**other.state).restore(path).assert_consumed()
    assert same(values(trainer.state), values(other.state)) == []


def test_networks_of_a_spectral_run_can_be_started_from(make_trainer, tmp_path, eager):
    trainer = make_trainer(critic_norm="spectral", mode="hinge")
    trainer.step(*batch(trainer))
    for name, network in trainer.networks.items():
        network.save(tmp_path / f"{name}.keras")
    other = make_trainer(critic_norm="spectral", mode="hinge", seed=4)
    c = resolve({"init_from": str(tmp_path)})
    assert init_networks(c, other, {}) == [f"the networks start from the weights in {tmp_path}"]
    x = np.random.default_rng(0).uniform(-1, 1, (4, 8, 8, 1)).astype(np.float32)
    inputs = [tf.constant(x), *trainer.one_hot(tf.range(4))]
    for _ in range(50):
        spectral.advance(trainer.critic)
    one, two = (stock.stock(t.critic)(inputs) for t in (trainer, other))
    np.testing.assert_allclose(one, two, rtol=0.05, atol=0.02)

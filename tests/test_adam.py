"""The fused Adam, compared with Keras' Adam."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from training.adam import Adam

SETTINGS = {"learning_rate": 0.01, "beta_2": 0.9, "epsilon": 1e-3}


def walk(kind, gradients, **settings):
    """Return a weight and the optimiser's variables after these gradients."""
    weight = keras.Variable(np.ones(gradients.shape[1:], np.float32))
    optimizer = kind(**SETTINGS, **settings)
    optimizer.build([weight])
    step = tf.function(lambda g: optimizer.apply([g], [weight]))
    for g in gradients:
        step(tf.constant(g))
    return [v.numpy() for v in (weight, *optimizer.variables)]


@pytest.mark.parametrize("amsgrad", [False, True])
@pytest.mark.parametrize("beta1", [0.0, 0.5])
def test_updates_equal_keras_adam(beta1, amsgrad):
    gradients = np.random.default_rng(0).normal(size=(5, 3, 4)).astype(np.float32)
    found, expected = (
        walk(kind, gradients, beta_1=beta1, amsgrad=amsgrad)
        for kind in (Adam, keras.optimizers.Adam)
    )
    assert np.ptp(found[0]) > 0.01
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


def test_one_step_by_hand():
    """After one step m/(1 - β1) = g and v/(1 - β2) = g². As in Keras, ε is added to sqrt(v)."""
    weight, *_ = walk(Adam, np.full((1, 1), 2.0, np.float32), beta_1=0.5)
    alpha = 0.01 * np.sqrt(1 - 0.9) / (1 - 0.5)
    assert weight[0] == pytest.approx(1 - alpha * 1.0 / (np.sqrt(0.1 * 4) + 1e-3), rel=1e-6)


def test_a_loss_scale_optimizer_is_restored_from_its_config():
    scaled = keras.optimizers.LossScaleOptimizer(Adam(0.25))
    inner = type(scaled).from_config(scaled.get_config()).inner_optimizer
    assert type(inner) is Adam and float(inner.learning_rate) == 0.25

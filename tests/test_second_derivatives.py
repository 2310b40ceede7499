"""The weights' gradients of the penalties, by finite differences in float64."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import losses
from benchmarks.races import small_trainer
from config import fields, rows, tables

ZERO = tf.UnconnectedGradients.ZERO
# Of the finite differences, for weights of about 1. A step may cross the kink of a ReLU, where the
# penalty jumps: the gradient must agree with one of them.
STEPS = (1e-5, 1e-6, 1e-7)


def in_float64(network):
    """A copy of a network with the same layers and weights that computes in float64."""

    def clone(layer):
        if isinstance(layer, keras.Model):
            return in_float64(layer)
        layer = type(layer).from_config(layer.get_config())
        layer.dtype_policy = keras.DTypePolicy("float64")
        return layer

    inputs = [keras.Input(x.shape[1:], dtype="float64") for x in network.inputs]
    same = keras.models.clone_model(network, inputs, clone)
    same.set_weights(network.get_weights())
    return same


def penalty_of(critic, penalty, images, training):
    """The mean of a penalty with weights of 1, whose points lie at or between two batches."""
    real, fake = (tf.constant(x, tf.float32) for x in images)
    found = 0.0
    for row in penalty:
        points = rows.import_object(row.at)(real, fake, tf.constant([0, 1]))
        points = tf.cast(points, critic.inputs[0].dtype)
        squared = losses.squared_gradient(lambda x: critic([x], training=training), points)
        kwargs = dict.fromkeys(row.weights, 3.0)
        found += tf.reduce_mean(rows.import_object(row.of)(squared, **kwargs))
    return found


CASES = [
    pytest.param(arch, norm, marks=[] if arch == "dcgan" else pytest.mark.slow)
    for arch in tables.ARCHS
    for norm in fields.NORMS
]


@pytest.mark.parametrize(("arch", "norm"), CASES)
def test_gradients_of_penalties(eager, arch, norm):
    """In a random direction, for every network, norm and penalty; and those of float32."""
    trainer = small_trainer(arch, "hinge", critic_norm=norm)
    critic = getattr(trainer, "directions", [trainer])[0].critic
    rng = np.random.default_rng(0)
    for weight in critic.trainable_variables:  # larger than the first weights, for clear norms
        weight.assign(rng.normal(size=weight.shape) / max(np.prod(weight.shape[:-1]), 1) ** 0.5)
    precise = in_float64(critic)
    weights = precise.trainable_variables
    images = rng.uniform(-1, 1, (2, 4, *critic.inputs[0].shape[1:]))
    direction = [rng.normal(size=w.shape) for w in weights]
    start = [w.numpy() for w in weights]

    def at(step, penalty):
        for weight, origin, way in zip(weights, start, direction):
            weight.assign(origin + step * way)
        return float(penalty_of(precise, penalty, images, True))

    for name, penalty in tables.PENALTIES.items():
        if not penalty:
            continue
        with tf.GradientTape() as tape:
            value = penalty_of(precise, penalty, images, True)
        gradients = tape.gradient(value, [w.value for w in weights], unconnected_gradients=ZERO)
        slope = sum(float(tf.reduce_sum(g * d)) for g, d in zip(gradients, direction))
        scale = np.sqrt(sum(float(tf.reduce_sum(g**2)) for g in gradients))
        numeric = []
        for step in STEPS:
            numeric.append((at(step, penalty) - at(-step, penalty)) / (2 * step))
            if abs(slope - numeric[-1]) < 2e-6 * max(scale, abs(slope)):
                break
        else:
            raise AssertionError((name, slope, numeric))
        for weight, origin in zip(weights, start):
            weight.assign(origin)
        with tf.GradientTape() as tape:
            value = penalty_of(critic, penalty, images, True)
        rough = tape.gradient(
            value, [w.value for w in critic.trainable_variables], unconnected_gradients=ZERO
        )
        for weight, own, other in zip(weights, gradients, rough):
            error = np.abs(own.numpy() - other.numpy()).max()
            assert error < 1e-4 * max(np.abs(own).max(), 0.2 * scale), (name, weight.path)

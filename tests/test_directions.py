"""Directions of latents: closed forms, their files and their pictures."""

import keras
import numpy as np
import pytest

import console
from steering import directions


def generator(first, classes=0):
    """A generator of latents [N, 3] whose first layer with weights is `first`."""
    z = keras.Input((3,))
    inputs, x = [z], z
    if classes:
        inputs.append(keras.Input((classes,)))
        x = keras.layers.Concatenate()(inputs)
    if isinstance(first, keras.layers.Conv2DTranspose):
        x = keras.layers.Reshape((1, 1, x.shape[-1]))(x)
    x = keras.layers.Flatten()(first(x))
    x = keras.layers.Dense(4)(x)
    return keras.Model(inputs, keras.layers.Reshape((2, 2, 1))(x))


@pytest.mark.parametrize("classes", [0, 2])
def test_the_weights_are_what_the_first_layer_adds_for_a_latent(classes):
    """Its output for the latent i alone, less that for latents of 0, is row i."""
    for first in (keras.layers.Dense(5), keras.layers.Conv2DTranspose(2, 4)):
        network = generator(first, classes)
        weights = directions.first_weights(network)
        kernel = first.kernel.numpy()
        rows = kernel if kernel.ndim == 2 else kernel.transpose(3, 0, 1, 2).reshape(3 + classes, 32)
        np.testing.assert_array_equal(weights, rows[:3])
        x = np.eye(3 + classes, dtype=np.float32)
        x = x if kernel.ndim == 2 else x[:, None, None]
        made = np.asarray(first(x)).reshape(len(x), -1)  # the bias is 0
        np.testing.assert_allclose(weights, made[:3], atol=1e-6)


def test_a_generator_without_such_a_layer():
    z = keras.Input((4,))
    plain = keras.Model(z, keras.layers.Reshape((2, 2, 1))(z))
    x = keras.layers.Conv2D(1, 1)(keras.layers.Reshape((2, 2, 1))(z))
    convolution = keras.Model(z, x)
    inner = keras.layers.Dense(4)(keras.layers.Reshape((2, 2))(z))
    inner = keras.Model(z, keras.layers.Reshape((2, 4, 1))(inner))
    for network, found in ((plain, "has no weights"), (convolution, "conv"), (inner, "dense")):
        with pytest.raises(console.Failed, match=f"^no directions: .* and this one .*{found}"):
            directions.first_weights(network)


def test_directions_are_the_eigenvectors():
    """Of W = U S V^T, known orthogonal U and V: the columns of U, by falling S."""
    turn = np.array([[0.6, 0.8, 0], [-0.8, 0.6, 0], [0, 0, 1]])
    weights = turn.T @ np.diag([1.0, 3.0, 2.0]) @ np.eye(3, 5)
    found, values = directions.find_directions(weights)
    np.testing.assert_allclose(values, [9, 4, 1], atol=1e-12)
    expected = [[0.8, -0.6, 0], [0, 0, 1], [0.6, 0.8, 0]]  # the largest entry is positive
    np.testing.assert_allclose(found, expected, atol=1e-7)
    weights = np.random.default_rng(0).normal(size=(40, 7))  # rank 7
    found, values = directions.find_directions(weights)
    assert found.dtype == np.float32 and found.shape == (40, 40)
    np.testing.assert_allclose(found @ found.T, np.eye(40), atol=1e-5)
    moved = np.square(found @ weights).sum(1)
    np.testing.assert_allclose(moved, values, atol=1e-4)
    assert (np.diff(values) <= 1e-12).all() and (values[7:] < 1e-9).all() and (values >= 0).all()
    for same in (weights, weights[:, ::-1], -weights):  # W W^T is the same but for rounding
        np.testing.assert_allclose(directions.find_directions(same)[0][:7], found[:7], atol=1e-5)
    assert directions.find_directions(weights.copy())[0].tobytes() == found.tobytes()


def test_moves_stay_within_the_latents_of_the_training():
    z = np.float32([[0.5, -0.9, 0.0], [1.5, -2.0, 0.0]])  # the second from a file of a user
    shift = np.float32([0.3, -0.3, 0.2])
    np.testing.assert_array_equal(directions.move(z, shift), z + shift)
    expected = [[0.8, -1, 0.2], [1.5, -2, 0.2]]
    np.testing.assert_allclose(directions.move(z, shift, 1.0), expected, atol=1e-6)
    np.testing.assert_allclose(
        directions.move(z, -shift, 1.0), [[0.2, -0.6, -0.2], [1.2, -1.7, -0.2]], atol=1e-6
    )

"""Golden values: linear and quadratic critics, whose gradients are known."""

import math

import numpy as np
import pytest
import tensorflow as tf

import losses

SHAPES = [(28, 28, 1), (48, 48, 3), (64, 64, 3)]


def linear(scale):
    return lambda x: scale * tf.reduce_sum(x, [1, 2, 3])


def images(count, shape, seed=0):
    return tf.constant(np.random.default_rng(seed).normal(size=(count, *shape)), tf.float32)


def gradient_penalty(critic, real, fake, *, seed=0, weight):
    """(penalties, norms) of gp at the points that a key gives."""
    points = losses.interpolates(real, fake, tf.constant([0, seed]))
    squared = losses.squared_gradient(critic, points)
    return losses.one_centred(squared, weight=weight), losses.norm(squared)


def mixes(count, seed=0):
    """The e of each sample: what `interpolates` gives between images of ones and zeros."""
    ones = tf.ones((count, 1, 1, 1))
    return losses.interpolates(ones, 0 * ones, tf.constant([0, seed]))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("scale", [0.5, 1.0, 0.01])
def test_gradient_penalty_of_a_linear_critic(shape, scale):
    n = math.prod(shape)
    value, norm = gradient_penalty(linear(scale), images(3, shape), images(3, shape, 1), weight=1.0)
    np.testing.assert_allclose(norm, [scale * math.sqrt(n)] * 3, rtol=1e-5)
    np.testing.assert_allclose(value, [(scale * math.sqrt(n) - 1) ** 2] * 3, rtol=1e-4)


@pytest.mark.parametrize("shape", SHAPES)
def test_gradient_penalty_is_zero_at_norm_one(shape):
    value, _ = gradient_penalty(
        linear(1 / math.sqrt(math.prod(shape))),
        *(images(2, shape), images(2, shape, 1)),
        weight=10.0,
    )
    np.testing.assert_allclose(value, [0, 0], atol=1e-6)  # a wrong axis gives .66 to .97


def quadratic(x):
    return 0.5 * tf.reduce_sum(tf.square(x), [1, 2, 3])


def test_gradient_penalty_has_one_mix_a_sample():
    """D = |x|²/2 with real = 0 and fakes of norm R: the norm at the mix e is (1 - e)·R."""
    fake = images(64, (4, 4, 2))
    fake = 3.0 * fake / tf.sqrt(tf.reduce_sum(tf.square(fake), [1, 2, 3], keepdims=True))
    _, norm = gradient_penalty(quadratic, tf.zeros_like(fake), fake, weight=1.0)
    np.testing.assert_allclose(norm, 3.0 * (1 - np.ravel(mixes(64))), rtol=1e-5)
    assert np.std(norm) == pytest.approx(3 / math.sqrt(12), abs=0.15)


def test_interpolates_lie_between_real_and_fake():
    points = losses.interpolates(5 * tf.ones((9, 2, 2, 3)), 3 * tf.ones((9, 2, 2, 3)), (0, 4))
    np.testing.assert_allclose(points, 3 + 2 * np.tile(mixes(9, 4), (1, 2, 2, 3)), rtol=1e-6)


def test_gradient_penalty_expectation():
    """Over e ~ U[0, 1), E[((1 - e)·R - 1)²] = R²/3 - R + 1 = 1/3 for R = 1."""
    fake = tf.ones((20000, 1, 1, 1))
    value, norm = gradient_penalty(quadratic, tf.zeros_like(fake), fake, weight=10.0)
    assert np.mean(value) == pytest.approx(10 / 3, abs=0.06)
    assert np.mean(norm) == pytest.approx(0.5, abs=0.01)


def test_gradient_penalty_is_per_sample():
    points = images(8, (4, 4, 1))
    whole = losses.one_centred(losses.squared_gradient(quadratic, points), weight=10.0)
    halves = [
        losses.one_centred(losses.squared_gradient(quadratic, points[s]), weight=10.0)
        for s in (slice(0, 4), slice(4, 8))
    ]
    np.testing.assert_allclose(whole, np.concatenate(halves), rtol=1e-6)
    assert np.std(whole) > 0.1


PENALTIES = [
    (losses.one_centred, {"weight": 1.0}, 2 * (0.5 * 4 - 1) * 4),
    (losses.power, {"weight": 2.0, "power": 6.0}, 2 * 6 * 2.0**5 * 4),
    (losses.power, {"weight": 2.0, "power": 3.0}, 2 * 3 * 2.0**2 * 4),
]


@pytest.mark.parametrize(("penalty", "weights", "expected"), PENALTIES)
def test_penalties_reach_the_critics_weights(penalty, weights, expected):
    """d/da of (a·√n - 1)² is 2(a·√n - 1)·√n, of k·(a·√n)^p is k·p·(a·√n)^(p-1)·√n."""
    a, x = tf.Variable(0.5), images(2, (4, 4, 1))
    with tf.GradientTape() as tape:
        squared = losses.squared_gradient(lambda x: a * tf.reduce_sum(x, [1, 2, 3]), x)
        loss = tf.reduce_mean(penalty(squared, **weights))
    assert float(tape.gradient(loss, a)) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("penalty", "weights", "expected"), PENALTIES)
def test_penalties_are_finite_where_the_gradient_is_zero(penalty, weights, expected):
    a, x = tf.Variable(0.0), tf.ones((2, 4, 4, 1))
    with tf.GradientTape() as tape:
        squared = losses.squared_gradient(lambda x: a * tf.reduce_sum(x, [1, 2, 3]), x)
        loss = tf.reduce_mean(penalty(squared, **weights))
    assert np.isfinite(float(loss))
    assert np.isfinite(float(tape.gradient(loss, a)))


@pytest.mark.parametrize(("norm", "expected"), [(1.0, 2.0), (2.0, 128.0), (0.5, 0.03125)])
def test_divergence_penalty_of_a_linear_critic(norm, expected):
    shape = (64, 64, 3)
    critic = linear(norm / math.sqrt(math.prod(shape)))
    squared = losses.squared_gradient(critic, images(2, shape))
    value = losses.power(squared, weight=2.0, power=6.0)
    np.testing.assert_allclose(value, [expected] * 2, rtol=1e-4)
    np.testing.assert_allclose(losses.norm(squared), [norm] * 2, rtol=1e-5)


def test_wasserstein_losses():
    real, fake = tf.constant([1.0, 4.0]), tf.constant([3.0, -2.0])
    np.testing.assert_array_equal(losses.wasserstein_critic(real, fake), [2.0, -6.0])
    np.testing.assert_array_equal(losses.wasserstein_generator(None, fake), [-3.0, 2.0])


def test_drift_is_the_square_of_real_scores():
    np.testing.assert_array_equal(losses.drift(tf.constant([1.0, -4.0])), [1.0, 16.0])


def test_an_objective_is_no_more_than_its_two_losses():
    plain = losses.Objective(losses.wasserstein_critic, losses.wasserstein_generator)
    assert (plain.penalties, plain.paired, plain.clip) == ((), False, None)
    assert (plain.drift, plain.gap, plain.logits) == (0.0, "gap", False)


def test_relativistic_losses_are_of_pairs():
    """-log σ of the difference of a pair's scores, in float64, and its mirror image."""
    real, fake = np.array([0.3, -2.0, 4.0]), np.array([1.5, 0.0, 4.0])
    pair = tf.constant(real, tf.float32), tf.constant(fake, tf.float32)
    expected = np.log1p(np.exp(-(real - fake)))
    np.testing.assert_allclose(losses.relativistic_critic(*pair), expected, rtol=1e-5)
    expected = np.log1p(np.exp(-(fake - real)))
    np.testing.assert_allclose(losses.relativistic_generator(*pair), expected, rtol=1e-5)
    shifted = [score + 7 for score in pair]  # only differences count
    np.testing.assert_allclose(
        losses.relativistic_critic(*shifted), losses.relativistic_critic(*pair), rtol=1e-5
    )


def test_least_squares_losses():
    real, fake = tf.constant([1.0, 4.0]), tf.constant([3.0, -2.0])
    np.testing.assert_array_equal(losses.least_squares_critic(real, fake), [4.5, 6.5])
    np.testing.assert_array_equal(losses.least_squares_generator(None, fake), [4.0, 9.0])


def test_hinge_loss():
    real, fake = tf.constant([2.0, 0.5, -1.0]), tf.constant([-3.0, 0.5, 1.0])
    np.testing.assert_array_equal(losses.hinge_critic(real, fake), [0.0, 2.0, 4.0])


def test_r1_of_a_linear_critic_is_half_the_weight_times_the_square():
    real, fake = images(2, (4, 4, 1)), images(2, (4, 4, 1), 1)
    points = losses.reals(real, fake, None)
    assert points is real
    assert losses.fakes(real, fake, None) is fake
    squared = losses.squared_gradient(linear(0.5), points)
    np.testing.assert_allclose(losses.half_square(squared, weight=10.0), [20.0] * 2, rtol=1e-5)


def test_dragan_moves_reals_by_up_to_half_their_deviation():
    real = 3 * images(500, (4, 4, 1))
    points = losses.perturbed_reals(real, None, tf.constant([1, 2]))
    assert points.shape == real.shape
    moved = np.array(points - real)
    half = 0.5 * np.std(real)
    assert 0 <= moved.min() < 0.01 * half
    assert 0.9 * half < moved.max() <= half
    assert moved.mean() == pytest.approx(half / 4, rel=0.1)  # the mean of two U[0, 1) multiplied
    assert np.std(moved.max(axis=(1, 2, 3))) > 0.2 * half  # one share a sample


def test_logistic_losses_from_logits():
    """Against -log σ in float64, and linear rather than infinite at the ends."""
    real, fake = np.array([0.3, -2.0]), np.array([1.5, 0.0])
    sigmoid = lambda s: 1 / (1 + np.exp(-s))  # noqa: E731
    expected = -np.log(sigmoid(real)) - np.log(1 - sigmoid(fake))
    got = losses.logistic_critic(tf.constant(real, tf.float32), tf.constant(fake, tf.float32))
    np.testing.assert_allclose(got, expected, rtol=1e-5)
    got = losses.logistic_generator(None, tf.constant(fake, tf.float32))
    np.testing.assert_allclose(got, -np.log(sigmoid(fake)), rtol=1e-5)
    ends = tf.constant([200.0, -200.0])
    np.testing.assert_allclose(losses.logistic_generator(None, ends), [0.0, 200.0], atol=1e-4)

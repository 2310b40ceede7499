"""The figures of the comparison page."""

import keras
import numpy as np
import pytest

from evaluation import compare


def test_kernels_leaves_out_biases_and_norms(tmp_path):
    x = keras.Input((4, 4, 1))
    y = keras.layers.BatchNormalization()(keras.layers.Conv2D(2, 3)(x))
    model = keras.Model(x, keras.layers.Dense(1)(keras.layers.Flatten()(y)))
    model.save(tmp_path / "critic.keras")
    assert compare.kernels(tmp_path / "critic.keras").size == 3 * 3 * 2 + 8


def test_weight_facts():
    weights = np.array([-0.01, -0.00995, 0.0, 0.0099, 0.005])
    facts = compare.weight_facts(weights, (-0.01, 0.01))
    assert facts["at_bounds"] == pytest.approx(3 / 5)
    assert (facts["min"], facts["max"]) == (-0.01, 0.0099)
    assert facts["std"] == pytest.approx(np.sqrt(np.mean((weights - weights.mean()) ** 2)))
    assert "at_bounds" not in compare.weight_facts(weights)


def test_histogram_reaches_twice_the_bounds():
    edges, counts = compare.histogram(np.array([-0.01, 0.0, 0.01]), (-0.01, 0.01))
    assert (len(edges), len(counts), counts.sum()) == (80, 80, 3)
    assert edges[0] == pytest.approx(-0.02)
    assert edges[-1] == pytest.approx(0.02 - 0.04 / 80)
    edges, _ = compare.histogram(np.array([-0.5, 0.1]))
    assert edges[0] == pytest.approx(-0.5)

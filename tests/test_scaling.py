"""What benchmarks/scaling.py counts and computes."""

import pytest

from benchmarks import scaling
from config.resolve import resolve
from datasets import packed as packing
from tests.conftest import TINY


@pytest.fixture(scope="module")
def measured():
    c = resolve({**TINY, "output_height": 8, "critic_num": 2})
    spec = packing.ImageSpec(8, 8, 1, 100, 10)
    return scaling.measure(c, spec, scaling.two_replicas(), 4)


def test_what_is_exchanged_is_the_gradients_and_the_norms(measured):
    """Of a generator update and two critic updates, and of each pass of the one batch norm."""
    generator, critic, _, sizes = measured
    norms = [2 * 4 * 4] * 3  # means and squares of 4 channels: two passes, one of them back, too
    assert sorted(sizes) == sorted([4 * generator, 4 * critic, 4 * critic, *norms])


def test_the_formula():
    machine = scaling.Machine(flops=1e12, bandwidth=1e9, latency=1e-6)
    assert scaling.reduce_seconds(8e6, 4, machine) == pytest.approx(4e-6 + 12e-3)
    assert scaling.efficiency(1e9, [8e6, 0], 4, machine) == pytest.approx(2e-3 / 14.008e-3)
    assert scaling.efficiency(1e9, [], 4, machine) == 1

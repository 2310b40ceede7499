"""The evaluation of translations between two domains."""

import json

import numpy as np
import pytest

from evaluation import metrics, translation
from evaluation.translation import Translation
from runs import checkpoints, page


def pixels(images):
    """An extractor without a network: the features are the pixels."""
    return images.reshape(len(images), -1).astype(np.float32), None


pixels.name, pixels.key = "pixels", "k"
ENDS = ("A2B", "B2A")


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def draw(i, x):
    """A is halved to become B, and B is inverted to become A."""
    assert x.dtype == np.float32 and np.abs(x).max() <= 1
    return -x if i else x / 2


@pytest.fixture
def make(tmp_path):
    """A function that builds an evaluation of 9 images of A and 12 of B, in colour."""

    def make(*real, **kwargs):
        real = real or (noise(9, 4, 5, 3), noise(12, 4, 5, 3, seed=1))
        kwargs = {"channels": 3, "count": 100, "cache_dir": tmp_path / "cache", **kwargs}
        return Translation(pixels, real, **kwargs)

    return make


def test_measures_are_the_formulas_of_the_translations(make, monkeypatch):
    evaluation = make()
    found = evaluation.measure(draw)
    a, b = (x[:] for x in evaluation.real)
    to_b, to_a = np.round(63.75 + 0.5 * a.astype(np.float64)), 255.0 - b
    pairs = [[x.reshape(len(x), -1) for x in pair] for pair in ((b, to_b), (a, to_a))]
    fid = [metrics.frechet_distance(*map(metrics.moments, pair)) for pair in pairs]
    kid = [metrics.kernel_distance(*pair)[0] for pair in pairs]
    # What comes back of x is -x / 2, both of A and of B.
    cycle = [1.5 * np.abs(x / 127.5 - 1).mean() for x in (a, b)]
    expected = {"samples": 21, "fid_pixels": np.mean(fid), "kid_pixels": np.mean(kid)}
    expected["cycle"] = np.mean(cycle)
    for name, values in (("fid_pixels", fid), ("kid_pixels", kid)):
        expected |= {f"{name}_{end}": value for end, value in zip(ENDS, values)}
    expected |= {f"cycle_{domain}": value for domain, value in zip("AB", cycle)}
    assert list(found) == list(expected)
    assert found == pytest.approx(expected, rel=2e-3)
    assert {type(value) for value in found.values()} == {int, float}
    monkeypatch.setattr(translation, "CHUNK_PIXELS", 45)  # two images at a time
    shapes = []
    parts = evaluation.measure(lambda i, x: shapes.append(x.shape) or draw(i, x))
    assert parts == pytest.approx(found, rel=1e-5)
    assert shapes == [(2, 4, 5, 3)] * 8 + [(1, 4, 5, 3)] * 2 + [(2, 4, 5, 3)] * 12


def test_published_measures_of_few_translations_have_their_number_in_their_names(make, monkeypatch):
    monkeypatch.setattr(pixels, "counted", True, raising=False)
    evaluation = make()
    assert evaluation.by == "fid_pixels_9" and make(count=5).suffix == "pixels_5"
    assert {"fid_pixels_9", "kid_pixels_9_B2A", "cycle"} <= set(evaluation.measure(draw))


def test_generators_that_copy_the_other_domain_are_the_best(make):
    a, b = noise(30, 4, 5, 3), noise(30, 4, 5, 3, seed=1)
    evaluation = make(a, b)
    kept = [x[:] / np.float32(127.5) - 1 for x in evaluation.real]
    found = evaluation.measure(lambda i, x: kept[1 - i])
    assert found["fid_pixels_A2B"] == pytest.approx(0, abs=0.5) and found["cycle"] == 0
    assert found["fid_pixels"] < evaluation.measure(draw)["fid_pixels"] / 100


def test_gray_images_are_measured_as_colour_ones(make):
    a = noise(9, 4, 5, 1)
    b = noise(12, 4, 5, 3, seed=1)
    found, same = (make(x, b).measure(draw) for x in (a, a.repeat(3, -1)))
    assert found == same


@pytest.mark.parametrize("by", ["fid", "kid", "cycle"])
def test_the_mean_of_both_directions_decides(make, by):
    evaluation = make(by=by)
    name = by if by == "cycle" else f"{by}_pixels"
    found = evaluation.measure(draw)
    assert evaluation.by == name == checkpoints.deciding(found, by)
    worse = {**found, name: found[name] + 1}
    assert evaluation.better(found, worse) and not evaluation.better(worse, found)
    assert not evaluation.better(found, found)
    assert evaluation.better(worse, {}) and evaluation.better(worse, {**found, "samples": 20})


def test_what_is_measured_is_said(make, tmp_path, monkeypatch):
    names = ("testA", "trainB")
    evaluation = make(names=names, seen=(False, True), count=10)
    assert evaluation.samples == 19 and len(np.unique(evaluation.real[1][:], axis=0)) == 10
    line = "9 images of testA, translated to B, beside 10 images of trainB, and the other way round"
    assert evaluation.line == line
    test, few = evaluation.gaps
    assert test.startswith("there is no testB: images of trainB are measured, which ")
    assert few.startswith("the fid against 9 images is too high")
    monkeypatch.setattr("evaluation.evaluation.FEW", 9)
    assert make(seen=(False, False)).gaps == []
    (path,) = evaluation.write(tmp_path, {"samples": 19, "cycle": 0.5})
    assert path == tmp_path / "measures.json"
    assert json.loads(path.read_text()) == {"samples": 19, "cycle": 0.5}


def test_the_pages_curve_of_a_measure_is_not_taken_for_a_term_of_the_training():
    rows = [
        {"step": str(i), "cycle_A": "1", "eval/cycle_A": "2", "eval/cycle": "3"} for i in (1, 2)
    ]
    figures = page._figures(rows)
    assert [figures.count(f"<b>{n}</b>") for n in ("cycle_A", "eval/cycle_A", "cycle")] == [1, 1, 1]

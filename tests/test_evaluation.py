"""Feature extractors, and the evaluation that measures samples with them."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest

import console
import utils
from commands.evaluate import build_extractor
from datasets import known
from evaluation import extractors, metrics, wasserstein
from evaluation.evaluation import Evaluation, class_measures, few
from evaluation.parts import Images, memory_bytes, part_size, regroup, write_folder
from tests.conftest import ROOT

MNIST = Path(__file__).parents[2] / "shared/data/mnist"
SHIPPED = ROOT / "evaluation" / "mnist-cnn.keras"


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def flat(shape):
    """A network whose features are its input."""
    x = keras.Input(shape)
    return keras.Model(x, {"features": keras.layers.Flatten()(x)})


def network(seed=0, features="features", classes="classes", shape=(8, 8, 1)):
    """Two layers, Dense(5) and Dense(3), of these names; the last one is the output."""
    keras.utils.set_random_seed(seed)
    x = keras.Input(shape)
    y = keras.layers.Dense(5, name=features)(keras.layers.Flatten()(x))
    return keras.Model(x, keras.layers.Dense(3, activation="softmax", name=classes)(y))


@pytest.fixture
def saved(tmp_path):
    """A function that saves a network and loads it as an extractor."""

    def load(model, name="mine"):
        model.save(tmp_path / f"{name}.keras")
        return extractors.load_extractor(tmp_path / f"{name}.keras")

    return load


def pixels(name="pixels", key="k", levels=0, every=1):
    """An extractor without a network. Its `calls` list the number of images of each call.

    The features are the pixels of every `every`-th row and column. The class is the level of the
    first pixel, out of `levels`.
    """

    def extract(images, show=None):
        extract.calls.append(len(images))
        seen = images[:, 0, 0, 0] // (256 // levels) if levels else None
        classes = None if seen is None else np.eye(levels, dtype=np.float32)[seen]
        features = images[:, ::every, ::every].reshape(len(images), -1)
        return features.astype(np.float32), classes

    extract.name, extract.key, extract.calls = name, key, []
    return extract


@pytest.fixture
def make(tmp_path):
    """A function that builds an evaluation whose cache is a folder of the test."""

    def make(extractor, real, labels=None, count=100, **kwargs):
        return Evaluation(
            extractor, real, labels, count=count, cache_dir=tmp_path / "cache", **kwargs
        )

    return make


def fails(path, match):
    with pytest.raises(console.Failed, match=match) as error:
        extractors.load_extractor(path)
    assert "\n" not in str(error.value) and str(path) in str(error.value)


# ---- extractors


def test_features_and_classes_are_outputs_of_the_layers_of_these_names(saved):
    model, images = network(), noise(4, 8, 8, 1)
    extractor = saved(model)
    features, classes = extractor(images)
    x = images / 127.5 - 1
    first, last = (layer.get_weights() for layer in model.layers[-2:])
    hand = x.reshape(4, 64) @ first[0] + first[1]
    np.testing.assert_allclose(features, hand, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(classes, keras.ops.softmax(hand @ last[0] + last[1]), rtol=1e-4)
    assert extractor.name == "mine"


def test_without_such_layers_the_features_are_the_models_output(saved):
    model, images = network(features="a", classes="b"), noise(2, 8, 8, 1)
    features, classes = saved(model)(images)
    np.testing.assert_allclose(features, model(images / 127.5 - 1), rtol=1e-4)
    assert classes is None


def test_features_are_flattened(saved):
    x = keras.Input((8, 8, 1))
    maps = saved(keras.Model(x, keras.layers.Conv2D(2, 3)(x)))
    assert maps(noise(3, 8, 8, 1))[0].shape == (3, 6 * 6 * 2)
    one = saved(keras.Model(x, keras.ops.mean(x, (1, 2, 3))))
    assert one(noise(3, 8, 8, 1))[0].shape == (3, 1)


def test_a_sequential_model_is_loaded(saved):
    layers = [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(4)]
    assert saved(keras.Sequential(layers))(noise(2, 8, 8, 1))[0].shape == (2, 4)


def test_a_file_that_is_no_extractor_is_one_line(tmp_path):
    path = tmp_path / "a.keras"
    fails(path, "cannot load")
    path.write_text("no model")
    fails(path, "cannot load")
    two = keras.Input((8, 8, 1)), keras.Input((8, 8, 1))
    keras.Model(two, keras.layers.Add()(two)).save(path)
    fails(path, "takes no images")
    for shape in ((4,), (8, 8, 4), (3, 8, 8), (8, 8, 8, 1)):
        x = keras.Input(shape)
        keras.Model(x, keras.layers.Flatten()(x)).save(path)
        fails(path, "takes no images")
    x = keras.Input((None, None, 3))
    keras.Model(x, keras.layers.Conv2D(2, 3)(x)).save(path)
    fails(path, "no fixed size")


@pytest.mark.filterwarnings("ignore:You are saving a model that has not")
def test_a_network_that_was_never_built_is_one_line(tmp_path):
    keras.Sequential([keras.layers.Flatten()]).save(tmp_path / "a.keras")
    fails(tmp_path / "a.keras", "takes no images")


def test_images_are_scaled_to_minus_1_and_1():
    extractor = extractors.Extractor("flat", flat((2, 2, 1)))
    images = np.array([0, 51, 204, 255], np.uint8).reshape(1, 2, 2, 1)
    np.testing.assert_allclose(extractor(images)[0], [[-1, -0.6, 0.6, 1]], atol=1e-6)


def test_gray_is_repeated_as_colour():
    gray = noise(3, 4, 4, 1)
    features = extractors.Extractor("flat", flat((4, 4, 3)))(gray)[0].reshape(3, 4, 4, 3)
    for channel in range(3):
        np.testing.assert_allclose(features[..., channel], gray[..., 0] / 127.5 - 1, atol=1e-6)


def test_colour_is_converted_to_gray():
    colour = noise(3, 4, 4, 3)
    features = extractors.Extractor("flat", flat((4, 4, 1)))(colour)[0]
    hand = (colour / 127.5 - 1) @ [0.299, 0.587, 0.114]
    np.testing.assert_allclose(features, hand.reshape(3, 16), atol=1e-3)


def test_images_are_resized_to_what_the_network_takes():
    """Linear ramps stay linear; at half the size, a pixel is the mean of 2x2."""
    down, right = np.mgrid[:16, :16]
    images = np.stack([10 * down, 10 * right], 0)[..., None].astype(np.uint8)
    for size, at in ((8, [2 * i + 0.5 for i in range(8)]), (32, [i / 2 - 0.25 for i in range(32)])):
        features = extractors.Extractor("flat", flat((size, size, 1)))(images)[0]
        features = (features.reshape(2, size, size) + 1) * 127.5
        inner = slice(2, -2)
        expected = np.broadcast_to(10 * np.array(at)[:, None], (size, size))[inner, inner]
        np.testing.assert_allclose(features[0, inner, inner], expected, atol=0.05)
        np.testing.assert_allclose(features[1].T[inner, inner], expected, atol=0.05)


def test_halving_does_not_skip_pixels():
    """Antialiasing: stripes become gray at a quarter of the size; the middle pixels are black."""
    images = np.tile(np.array([255, 0, 0, 255], np.uint8), (1, 16, 4))[..., None]
    features = extractors.Extractor("flat", flat((4, 4, 1)))(images)[0]
    assert np.abs(features.reshape(4, 4)[:, 1:3]).max() < 0.1


def test_a_network_of_any_size_takes_images_as_they_are():
    x = keras.Input((None, None, 1))
    model = keras.Model(x, {"features": keras.ops.sum(x, (1, 2))})
    images = np.full((1, 5, 7, 1), 255, np.uint8)
    assert extractors.Extractor("sum", model)(images)[0].tolist() == [[35]]


def test_batches_change_nothing(monkeypatch):
    extractor, images = extractors.Extractor("a", flat((4, 4, 1))), noise(7, 4, 4, 1)
    whole, sizes = extractor(images)[0], []
    fit = extractors.Extractor._fit
    monkeypatch.setattr(extractors, "BATCH", 3)
    monkeypatch.setattr(
        extractors.Extractor, "_fit", lambda self, x: sizes.append(len(x)) or fit(self, x)
    )
    np.testing.assert_array_equal(extractor(images)[0], whole)
    assert sizes == [3, 3, 1]


def test_the_key_depends_on_the_network_and_its_weights(saved):
    key = saved(network()).key
    assert saved(network()).key == key
    assert saved(network(seed=1)).key != key
    other = network()
    other.layers[-1].activation = keras.activations.sigmoid
    assert saved(other).key != key
    # The same network with the features of another layer.
    assert saved(network(features="a", classes="features")).key != key


def test_the_key_ignores_keras_numbering_of_layers():
    keys = {extractors.random_cnn((8, 8, 1)).key for _ in range(3)}
    assert len(keys) == 1
    assert extractors.random_cnn((8, 8, 3)).key not in keys
    keys = set()
    for _ in range(2):  # the layer is named like a setting of other layers
        x = keras.Input((4, 4, 1))
        y = keras.layers.Activation("relu")(keras.layers.Conv2D(1, 1, activation="relu")(x))
        model = keras.Model(x, {"features": keras.layers.Flatten()(y)})
        for weight in model.weights:
            weight.assign(weight * 0)
        keys.add(extractors.Extractor("a", model).key)
    assert len(keys) == 1


@pytest.mark.parametrize("shape", [(8, 8, 1), (28, 28, 1), (20, 16, 3)])
def test_random_cnn_is_the_same_each_time(shape):
    images, found = noise(3, *shape), []
    for seed in (0, 1):
        keras.utils.set_random_seed(seed)
        found.append(extractors.random_cnn(shape)(images))
    assert found[0][0].shape == (3, 128)
    assert found[0][1] is None
    assert np.ptp(found[0][0], axis=0).min() > 0 and np.isfinite(found[0][0]).all()
    np.testing.assert_array_equal(found[0][0], found[1][0])


def test_random_cnns_weights_by_hand():
    rng = np.random.default_rng(0)
    extractor = extractors.random_cnn((8, 8, 3))
    kernel, bias, second = extractor.model.get_weights()[:3]
    np.testing.assert_allclose(
        kernel, np.sqrt(2 / 27) * rng.standard_normal((3, 3, 3, 64), np.float32), rtol=1e-5
    )
    assert not bias.any()
    assert second.std() == pytest.approx(np.sqrt(2 / (9 * 64)), rel=0.02)
    assert extractor.name == "random-cnn"


def test_the_shipped_network_of_mnist():
    assert 100_000 < SHIPPED.stat().st_size < 2_000_000
    extractor = extractors.mnist_cnn((28, 28, 1))
    features, classes = extractor(noise(3, 32, 32, 3))
    assert (extractor.name, features.shape, classes.shape) == ("mnist-cnn", (3, 128), (3, 10))
    np.testing.assert_allclose(classes.sum(1), 1, rtol=1e-5)


@pytest.mark.skipif(not MNIST.is_dir(), reason="wants ../shared/data/mnist")
def test_the_shipped_network_classifies_the_test_images():
    source = known.read_mnist(MNIST, part="test")
    assert len(source.images) == 10_000
    classes = extractors.mnist_cnn((28, 28, 1))(source.images[::4])[1]
    right = np.mean(classes.argmax(1) == source.labels[::4])
    assert 0.993 < right < 0.9999


def test_inception_takes_299_pixels_and_gives_2048_features():
    extractor = extractors.inception_v3((28, 28, 1), weights=None)
    assert extractor.name == "inception-v3-keras"
    assert extractor.model.inputs[0].shape == (None, 299, 299, 3)
    assert extractor.model.output["features"].shape == (None, 2048)


def test_inception_without_weights_is_one_line_with_a_remedy(tmp_path, monkeypatch):
    def message(*args):
        with pytest.raises(console.Failed, match=r"InceptionV3.*PATH\.h5.*random-cnn") as error:
            extractors.inception_v3((28, 28, 1), *args)
        assert "\n" not in str(error.value)
        return str(error.value)

    message(str(tmp_path / "none.h5"))
    (tmp_path / "a.h5").write_text("no weights")
    message(str(tmp_path / "a.h5"))

    def download(**_):
        raise OSError("URL fetch failure\non a second line")

    monkeypatch.setattr(keras.applications, "InceptionV3", download)
    assert "(URL fetch failure)" in message()


def test_extractors_are_found_by_name_or_by_file(tmp_path):
    assert build_extractor("random-cnn", (8, 8, 1)).name == "random-cnn"
    network().save(tmp_path / "mine.keras")
    assert build_extractor(str(tmp_path / "mine.keras"), (8, 8, 1)).name == "mine"
    (tmp_path / "a.h5").write_text("no weights")
    with pytest.raises(console.Failed, match="no weights of InceptionV3"):
        build_extractor(str(tmp_path / "a.h5"), (8, 8, 1))
    with pytest.raises(console.Failed, match="--extractor=none must be one of mnist-cnn, "):
        build_extractor("none", (8, 8, 1))


# ---- measures


def test_identical_images_have_perfect_measures(make, saved):
    real = noise(60, 8, 8, 1)
    found = make(saved(network()), real).measure(lambda labels: real)
    assert found["samples"] == 60
    assert found["fid_mine"] == pytest.approx(0, abs=1e-4)
    assert (found["precision_mine"], found["recall_mine"]) == (1, 1)
    dark = make(saved(network()), real).measure(lambda labels: real // 4)
    assert dark["fid_mine"] > 0.1 and dark["precision_mine"] < 0.9 and dark["swd"] > 0


def test_measures_are_the_formulas_of_the_features(make):
    real, fake = noise(40, 24, 24, 1), noise(40, 24, 24, 1, seed=1) // 2
    extractor = pixels(levels=4, every=4)
    found = make(extractor, real, np.arange(40) % 4).measure(lambda labels: fake)
    real = real[np.random.default_rng(0).permutation(40)]
    a, b = (extractor(images)[0] for images in (real, fake))
    kid = metrics.kernel_distance(a, b)
    precision, recall = metrics.precision_recall(a, b)
    distances = wasserstein.sliced_wasserstein(real, fake)
    expected = {
        "samples": 40,
        "fid_pixels": metrics.frechet_distance(metrics.moments(a), metrics.moments(b)),
        "kid_pixels": kid[0],
        "kid_deviation_pixels": kid[1],
        "precision_pixels": precision,
        "recall_pixels": recall,
        "swd_24": distances[24],
        "swd_12": distances[12],
        "swd": (distances[24] + distances[12]) / 2,
    }
    others = {"rarest_pixels", "commonest_pixels", "right_pixels", "ssim_2"}
    assert {name: found[name] for name in expected} == pytest.approx(expected)
    assert found.keys() == expected.keys() | others
    assert {type(value) for value in found.values()} == {int, float}


def test_images_in_parts_give_the_same_measures(make, monkeypatch):
    """The memory of a measurement is that of a part."""
    real, fake = noise(40, 24, 24, 1), noise(40, 24, 24, 1, seed=1) // 2
    whole = make(pixels(levels=4), real, np.arange(40) % 4).measure(lambda labels: fake)
    monkeypatch.setattr("evaluation.parts.MAX_NUMBERS", 7 * 24 * 24)
    largest, extractor = [], pixels("other", levels=4)
    monkeypatch.setattr(Images, "parts", lambda self: watched(parts(self), largest), raising=True)
    found = make(extractor, real, np.arange(40) % 4).measure(
        lambda labels: iter(np.split(fake, [1, 2, 13, 14]))
    )
    assert max(largest) == 6 and max(extractor.calls) == 6
    assert list(found.values()) == pytest.approx(list(whole.values()), rel=1e-4)


parts = Images.parts


def watched(found, sizes):
    """Yield parts, and note their sizes."""
    for part in found:
        sizes.append(len(part))
        yield part


def test_parts_are_even_and_enlarged(monkeypatch):
    monkeypatch.setattr("evaluation.parts.MAX_NUMBERS", 5 * 8 * 8)
    drawn = (np.full((n, 4, 4, 1), n, np.uint8) for n in (1, 9, 2, 3))
    found = list(regroup(drawn, (8, 8, 1)))
    assert [part.shape for part in found] == [(4, 8, 8, 1)] * 3 + [(3, 8, 8, 1)]
    assert np.concatenate(found)[:, 7, 7, 0].tolist() == [1] + [9] * 9 + [2] * 2 + [3] * 3
    assert part_size((1024, 1024, 3)) == 2


def test_chosen_images_are_read_when_needed():
    array = noise(9, 4, 5, 1)
    images = Images(array, np.array([3, 1]), mirror=True)
    assert images.shape == (4, 4, 5, 1) and len(images) == 4
    expected = np.stack([array[3], array[1], array[3, :, ::-1], array[1, :, ::-1]])
    np.testing.assert_array_equal(images[:], expected)
    np.testing.assert_array_equal(images[[2, 1]], expected[[2, 1]])
    np.testing.assert_array_equal(np.concatenate(list(images.parts())), expected)


def test_the_memory_of_a_measurement_is_bounded():
    """Only the features grow with the number, and the levels of the pyramid with the size."""
    small, most = (memory_bytes((128, 128, 3), n) for n in (3000, 60_000))
    assert most - small == pytest.approx(57_000 * 8192, rel=0.3)
    assert memory_bytes((1024, 1024, 3), 3000) < 2.2e9
    assert memory_bytes((28, 28, 1), 10_000) < 1e9


def test_measures_carry_their_extractors_name(make):
    real = noise(30, 12, 12, 1)
    a, b = (make(pixels(name, levels=2), real).measure(lambda n: real) for name in ("a", "b"))
    assert a.keys() & b.keys() == {"samples", "swd", "swd_12", "ssim_1"}
    assert all(name.endswith("_a") for name in a.keys() - b.keys())
    assert {name[:-2] for name in a.keys() - b.keys()} == {
        name[:-2] for name in b.keys() - a.keys()
    }


def test_ssim_is_of_pairs_of_different_samples(make):
    same = np.repeat(noise(1, 12, 12, 1), 20, 0)
    evaluation = make(pixels(), noise(20, 12, 12, 1))
    assert evaluation.measure(lambda labels: same)["ssim_1"] == pytest.approx(1)
    varied = evaluation.measure(lambda labels: noise(20, 12, 12, 1, seed=1))["ssim_1"]
    assert abs(varied) < 0.2


def test_images_smaller_than_a_window_have_no_ssim(make):
    real = noise(20, 8, 8, 1)
    found = make(pixels(), real).measure(lambda labels: real)
    assert [name for name in found if name.startswith("ssim")] == []
    assert np.isfinite(list(found.values())).all()


def test_class_measures_by_hand():
    classes = np.eye(4, dtype=np.float32)[[0, 0, 0, 1, 1, 2, 2, 2]]
    labels = np.array([0, 0, 1, 1, 1, 2, 3, 0])
    shares, found = class_measures(classes, labels)
    assert shares.tolist() == [3 / 8, 2 / 8, 3 / 8, 0]
    assert found == {"rarest": 0, "commonest": 3 / 8, "right": 5 / 8}
    assert class_measures(classes, None)[1] == {"rarest": 0, "commonest": 3 / 8}


def test_samples_are_drawn_for_the_labels_of_the_reals(make):
    real, labels = noise(50, 12, 12, 1), np.random.default_rng(0).integers(0, 4, 50)
    evaluation, asked = make(pixels(levels=4), real, labels, count=20), []

    def draw(wanted):
        asked.append(wanted)
        images = noise(20, 12, 12, 1)
        images[:, 0, 0, 0] = wanted * 64
        images[:5, 0, 0, 0] = (wanted[:5] + 1) % 4 * 64  # another class than the label
        return images

    assert evaluation.measure(draw)["right_pixels"] == 15 / 20
    places = [np.flatnonzero((real == image).all((1, 2, 3)))[0] for image in evaluation.real[:]]
    assert len(set(places)) == 20
    np.testing.assert_array_equal(asked[0], labels[places])


def test_without_labels_samples_are_drawn_for_zeros(make):
    real, asked = noise(30, 12, 12, 1), []
    found = make(pixels(levels=2), real).measure(lambda n: asked.append(n) or real)
    assert asked[0].tolist() == [0] * 30
    assert "commonest_pixels" in found and "right_pixels" not in found


# ---- the cache


def test_features_of_reals_are_extracted_once(make, tmp_path):
    first, second, real = pixels(), pixels(), noise(30, 12, 12, 1)
    features = make(first, real).features
    again = make(second, real)
    assert (first.calls, second.calls) == ([30], [])
    np.testing.assert_array_equal(again.features, features)
    files = list((tmp_path / "cache").iterdir())
    assert [f.suffix for f in files] == [".npy"] and files[0].name.startswith("features_pixels_")
    np.testing.assert_array_equal(np.load(files[0]), features)


def test_each_extractor_and_set_of_images_has_its_own_cache_file(make, tmp_path):
    real = noise(30, 12, 12, 1)
    for extractor, images in (
        (pixels(), real),
        (pixels(key="of other weights"), real),
        (pixels("other"), real),
        (pixels(), real[:-1]),
        (pixels(), 255 - real),
    ):
        evaluation = make(extractor, images)
        assert extractor.calls == [len(images)]
        np.testing.assert_array_equal(
            evaluation.features, evaluation.real[:].reshape(len(images), -1)
        )
    assert len(list((tmp_path / "cache").iterdir())) == 5


def test_other_weights_do_not_hit_the_cache(make, saved):
    real = noise(30, 8, 8, 1)
    a, b = (make(saved(network(seed)), real) for seed in (0, 1))
    assert not np.allclose(a.features, b.features)
    np.testing.assert_array_equal(make(saved(network(0)), real).features, a.features)


@pytest.mark.parametrize("content", [b"", b"junk", b"PK\x03\x04", b"\x93NUMPY\x01\x00", "half"])
def test_a_broken_cache_file_is_replaced(make, tmp_path, content):
    real = noise(30, 12, 12, 1)
    features = np.array(make(pixels(), real).features)  # in memory: the file is changed
    (path,) = (tmp_path / "cache").iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if content == "half" else content)
    extractor = pixels()
    np.testing.assert_array_equal(make(extractor, real).features, features)
    assert extractor.calls == [30]
    assert path.read_bytes() == whole


@pytest.mark.parametrize("fault", ["NaN", "width", "whole numbers"])
def test_features_of_another_extractor_are_replaced(make, saved, tmp_path, fault):
    real, extractor = noise(30, 8, 8, 1), saved(network())
    features = np.array(make(extractor, real).features)
    (path,) = (tmp_path / "cache").iterdir()
    wrong = {
        "NaN": features * np.nan,
        "width": features[:, 1:],
        "whole numbers": features.astype(int),
    }
    np.save(path, wrong[fault])
    np.testing.assert_array_equal(make(extractor, real).features, features)


# ---- the best state, and the files


@pytest.mark.parametrize("by, higher", [("fid", False), ("precision", True), ("swd", False)])
def test_better(make, by, higher):
    evaluation = make(pixels(), noise(30, 12, 12, 1), by=by, higher=higher)
    name = "swd" if by == "swd" else f"{by}_pixels"
    one, two = ({"samples": 30, name: value, "kid_pixels": 1.0} for value in (1.0, 2.0))
    assert evaluation.better(two, one) is higher
    assert evaluation.better(one, two) is not higher
    assert not evaluation.better(one, one)
    for old in (
        {},
        {"samples": 30, f"{by}_other": 0.0},
        {**one, "samples": 20},
        {**two, "samples": 1},
    ):
        assert evaluation.better(one, old) and evaluation.better(two, old)


def test_the_shares_of_the_classes_are_written(make, tmp_path):
    real, fake = (np.full((20, 12, 12, 1), level, np.uint8) for level in (0, 200))
    fake[:5] = 10
    evaluation = make(pixels(levels=4), real)
    found = evaluation.measure(lambda labels: fake)
    evaluation.search(real, np.arange(20), False)
    paths = evaluation.write(tmp_path, lambda labels: fake[:8], found)
    written = json.loads(paths[0].read_text())
    assert written == {**found, "shares_pixels": [0.25, 0, 0, 0.75]}
    assert (found["rarest_pixels"], found["commonest_pixels"]) == (0, 0.75)


def sheet(paths, side):
    """nearest.png as [rows, columns, side, side]."""
    image = utils.read_image(paths[1])[..., 0]
    rows, columns = (n // side for n in image.shape)
    return image.reshape(rows, side, columns, side).swapaxes(1, 2)


def test_the_nearest_of_a_training_image_is_itself(make, tmp_path):
    images, extractor = noise(40, 12, 12, 1), pixels()
    evaluation = make(extractor, noise(20, 12, 12, 1, seed=1))
    found = {"samples": 20, "fid_pixels": 1.5}
    evaluation.search(images, np.arange(40), False)
    paths = evaluation.write(tmp_path, lambda labels: images[10 : 10 + len(labels)], found)
    assert paths == [tmp_path / "measures.json", tmp_path / "nearest.png"]
    assert json.loads(paths[0].read_text()) == found
    rows = sheet(paths, 12)
    assert rows.shape == (8, 8, 12, 12)
    np.testing.assert_array_equal(rows[:, 0], images[10:18, ..., 0])
    np.testing.assert_array_equal(rows[:, 1], images[10:18, ..., 0])
    for row in rows:  # the others are the next nearest, in order
        far = np.square(row.astype(float) - row[0]).sum((1, 2))
        every = np.square(images[..., 0].astype(float) - row[0]).sum((1, 2))
        np.testing.assert_array_equal(far[1:], np.sort(every)[:7])
    assert extractor.calls == [20, 8, 40] or extractor.calls == [20, 40, 8]


@pytest.mark.parametrize("mirror", [False, True])
def test_the_nearest_may_be_mirrored_where_training_is(make, tmp_path, mirror):
    images = noise(40, 12, 12, 3)
    evaluation = make(pixels(), noise(20, 12, 12, 3, seed=1))
    samples = np.concatenate([images[:4], images[4:8, :, ::-1]])
    evaluation.search(images, np.arange(40), mirror)
    paths = evaluation.write(tmp_path, lambda labels: samples, {})
    rows = sheet(paths, 12)
    alike = (rows[:, 0] == rows[:, 1]).all((1, 2))
    assert alike.tolist() == [True] * 4 + [mirror] * 4


def test_the_sheet_of_few_training_images(make, tmp_path):
    images = noise(3, 12, 12, 1)
    evaluation = make(pixels(), noise(20, 12, 12, 1, seed=1))
    samples = noise(8, 12, 12, 1, seed=2)
    evaluation.search(images, np.arange(3), False)
    rows = sheet(evaluation.write(tmp_path, lambda labels: samples, {}), 12)
    assert rows.shape == (8, 4, 12, 12)
    np.testing.assert_array_equal(rows[:, 0], samples[..., 0])


def test_the_sheet_shows_the_labels_of_the_first_reals(make, tmp_path):
    real, labels, asked = noise(20, 12, 12, 1), np.arange(20) % 7, []

    def draw(wanted):
        asked.extend(wanted)
        return real[: len(wanted)]

    evaluation = make(pixels(), real, labels)
    evaluation.search(real, np.arange(20), False)
    evaluation.write(tmp_path, draw, {})
    assert asked == evaluation.labels[:8].tolist()
    order = np.random.default_rng(0).permutation(20)
    np.testing.assert_array_equal(evaluation.labels, labels[order])
    np.testing.assert_array_equal(evaluation.real[:], real[order])


def test_measures_of_a_part_see_all_classes(make, monkeypatch):
    """Images of a folder lie by class: the first half here is white, the second black."""
    monkeypatch.setattr("evaluation.wasserstein.IMAGES", 20)
    real = np.repeat(np.array([255, 0], np.uint8), 40)[:, None, None, None] + np.zeros(
        (80, 16, 16, 1), np.uint8
    )
    labels = np.repeat([0, 1], 40)
    evaluation = make(pixels(), real, labels)
    assert 4 < evaluation.labels[:20].sum() < 16
    assert evaluation.measure(lambda wanted: real[40 * wanted])["swd"] == 0


def test_the_sheet_searches_a_limited_number_of_training_images(make, tmp_path, monkeypatch):
    monkeypatch.setattr("evaluation.evaluation.NEAREST_OF", 10)
    images, extractor = noise(40, 12, 12, 1), pixels()
    evaluation = make(extractor, noise(20, 12, 12, 1, seed=1))
    evaluation.search(images, np.arange(40), True)
    assert extractor.calls == [20, 20]  # 10, and as many mirrored
    evaluation.search(images, np.arange(40), True)
    assert extractor.calls == [20, 20]  # theirs come from the cache


# ---- published measures


def test_published_measures_have_their_number_of_samples(make):
    real, extractor = noise(30, 12, 12, 1), pixels()
    extractor.counted = True
    evaluation = make(extractor, real, samples=40)
    assert evaluation.by == "fid_pixels_40"
    found = evaluation.measure(lambda labels: noise(len(labels), 12, 12, 1, seed=1))
    assert found["samples"] == 40 and {"fid_pixels_40", "recall_pixels_40", "swd"} <= set(found)
    assert not [name for name in found if name.endswith("_pixels")]
    assert make(extractor, real, samples=10_000).by == "fid_pixels"
    assert make(pixels(), real, samples=40).by == "fid_pixels"


def test_a_singular_covariance_is_said():
    class Wide:
        width = 2048

    for count, samples, lines in ((2047, 5000, 1), (5000, 2047, 1), (2048, 2048, 0)):
        found = few(count, Wide, samples)
        assert len(found) == lines
        assert all(
            "the covariance of 2,048 features of 2,047 images is singular" in x for x in found
        )
    assert len(few(999, Wide, 5000)) == 2 and few(1000, pixels(), 20) == []


def test_a_folder_of_images_has_the_images(tmp_path):
    colour, gray = noise(5, 6, 7, 3), noise(5, 6, 7, 1)
    for images in (colour, gray):
        (tmp_path / "mine_00009.png").touch()
        (tmp_path / "00009.png").touch()  # of an earlier call
        assert write_folder(tmp_path, iter([images[:2], images[2:]])) == 5
        paths = sorted(tmp_path.glob("0*.png"))
        assert [p.name for p in paths] == [f"0000{i}.png" for i in range(5)]
        np.testing.assert_array_equal(np.stack([utils.read_image(p) for p in paths]), images)
        assert (tmp_path / "mine_00009.png").exists()


# ---- images that are not trained on


def test_only_chosen_images_are_compared_and_searched(make, tmp_path):
    """The second half is held out, and the first half trained on."""
    images, labels, asked = noise(40, 12, 12, 1), np.arange(40) % 4, []

    def draw(wanted):
        asked.append(wanted)
        return images[np.arange(len(wanted)) % 20]  # copies

    evaluation = make(pixels(), images, labels, among=np.arange(20, 40), samples=30)
    found = evaluation.measure(draw)
    assert found["samples"] == len(asked[0]) == 30 and "memory_pixels" not in found
    order = 20 + np.random.default_rng(0).permutation(20)
    np.testing.assert_array_equal(evaluation.real[:], images[order])
    np.testing.assert_array_equal(asked[0], labels[[*order, *order[:10]]])
    evaluation.search(images, np.arange(19, -1, -1), False)
    assert evaluation.measure(draw)["memory_pixels"] == 1
    rows = sheet(evaluation.write(tmp_path, lambda wanted: images[20:28], {}), 12)
    trained_on = {image.tobytes() for image in images[:20]}
    assert {image.tobytes() for image in rows[:, 1:].reshape(-1, 12, 12)} <= trained_on
    np.testing.assert_array_equal(rows[:, 0], images[20:28, ..., 0])


@pytest.mark.parametrize("unseen, scarce", [(True, False), (False, False), (True, True)])
def test_what_the_measures_cannot_tell_is_said(make, monkeypatch, unseen, scarce):
    monkeypatch.setattr("evaluation.evaluation.FEW", 31 if scarce else 30)
    real = noise(30, 12, 12, 1)
    evaluation = make(pixels(), real, unseen=unseen)
    evaluation.search(real, np.arange(30), False)
    assert ("memory_pixels" in evaluation.measure(lambda labels: real)) is unseen
    starts = ["the samples are measured against training images"] * (not unseen)
    starts += ["the fid against 30 images"] * scarce
    assert [line[: len(start)] for line, start in zip(evaluation.gaps, starts)] == starts
    assert len(evaluation.gaps) == len(starts)

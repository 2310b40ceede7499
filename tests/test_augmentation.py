"""Augmentations: their values, gradients and strength, and trainings with them."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage

from augmentation import ada, diffaugment
from augmentation.augment import EVERY, IMAGES, Augment
from benchmarks.races import small_batch, small_trainer
from config import tables
from config.rows import import_object
from training.base import Use

TRAINERS = {row.trainer: name for name, row in reversed(tables.ARCHS.items())}
TRANSFORMS = [name for row in tables.AUGMENTATIONS.values() for name in row.transforms]
KEY = tf.constant([1, 2])


def images(count=64, size=(9, 12), channels=3, seed=0):
    rng = np.random.default_rng(seed)
    return tf.constant(rng.uniform(-1, 1, (count, *size, channels)), tf.float32)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", TRANSFORMS)
def test_p_is_the_share_of_changed_images(name, channels):
    transform, x = import_object(name), images(200, channels=channels)
    np.testing.assert_allclose(transform(x, KEY, tf.constant(0.0)), x, atol=2e-5)
    shares = []
    for p in (0.3, 1.0):
        changed = tf.reduce_max(tf.abs(transform(x, KEY, tf.constant(p)) - x), [1, 2, 3]) > 1e-3
        shares.append(float(tf.reduce_mean(tf.cast(changed, tf.float32))))
    several = "ada" in name  # its transforms are chosen one by one
    assert (0.3 < shares[0] < 0.95) if several else (0.2 < shares[0] < 0.4)
    assert shares[1] > 0.9


@pytest.mark.parametrize("name", TRANSFORMS)
def test_gradients_are_exact(name):
    """The transforms are affine in the image: T(x + d) = T(x) + J d, and <J d, y> = <d, Jᵀ y>."""
    transform, x = import_object(name), images(8)
    d, y, p = images(8, seed=1), images(8, seed=2), tf.constant(0.7)
    with tf.GradientTape() as tape:
        tape.watch(x)
        out = transform(x, KEY, p)
    back = tape.gradient(out, x, y)
    change = transform(x + d, KEY, p) - out
    assert float(tf.reduce_sum(change * y)) == pytest.approx(float(tf.reduce_sum(d * back)), 1e-4)


def test_translation_moves_whole_pixels():
    x = images(100, (9, 16)).numpy()
    moved = diffaugment.translation(tf.constant(x), KEY, tf.constant(1.0)).numpy()
    padded, found = np.pad(x, [(0, 0), (2, 2), (2, 2), (0, 0)]), set()
    for i, (dy, dx) in itertools.product(range(100), itertools.product(range(5), repeat=2)):
        if np.array_equal(moved[i], padded[i, dy : dy + 9, dx : dx + 16]):
            found.add((dy - 2, dx - 2))
    assert found == {*itertools.product((-1, 0, 1), (-2, -1, 0, 1, 2))}


def test_cutout_removes_a_square():
    x = images(500, (8, 8)).numpy()
    cut = diffaugment.cutout(tf.constant(x), KEY, tf.constant(1.0)).numpy()
    holes = (cut == 0).all(3)
    np.testing.assert_array_equal(cut, np.where(holes[..., None], 0, x))
    rows, columns = holes.any(2), holes.any(1)
    np.testing.assert_array_equal(holes, rows[:, :, None] & columns[:, None])
    assert {int(n) for n in rows.sum(1)} == {2, 3, 4}  # half of the side, and less at the border


def test_color_keeps_the_order_of_operations():
    x, key = images(4), KEY
    y = diffaugment.color(x, key, tf.constant(1.0)).numpy()
    u = tf.random.stateless_uniform((4, 3), tf.random.experimental.stateless_fold_in(key, 1))
    b, s, c = u.numpy().T[:, :, None, None, None]
    expected = x.numpy() + b - 0.5
    mean = expected.mean(3, keepdims=True)
    expected = mean + 2 * s * (expected - mean)
    mean = expected.mean((1, 2, 3), keepdims=True)
    np.testing.assert_allclose(y, mean + (c + 0.5) * (expected - mean), atol=1e-5)


def test_resampling_agrees_with_scipy():
    x = images(16, (10, 13)).numpy()
    maps = ada.affine_maps(ada._Draws(16, KEY, tf.constant(1.0)), 10, 13).numpy()
    found = ada.resample(tf.constant(x), tf.constant(maps)).numpy()
    columns, rows = np.meshgrid(np.arange(13) - 6.0, np.arange(10) - 4.5)
    for image, map_, result in zip(x, maps.astype(np.float64), found):
        u = map_[0, 0] * columns + map_[0, 1] * rows + map_[0, 2] + 6
        v = map_[1, 0] * columns + map_[1, 1] * rows + map_[1, 2] + 4.5
        for i in range(3):
            expected = ndimage.map_coordinates(image[..., i], [v, u], order=1, mode="mirror")
            np.testing.assert_allclose(result[..., i], expected, atol=1e-4)


class Fixed:
    """In the place of `ada._Draws`: nothing is chosen but what is named by its place."""

    def __init__(self, count, **chosen):
        self.count, self.p = count, tf.constant(1.0)
        self.chosen, self.calls = chosen, 0

    def uniform(self):
        return tf.fill([self.count], 0.75)

    normal = uniform

    def choose(self, values, still, p=None):
        self.calls += 1
        on = f"n{self.calls}" in self.chosen
        return values if on else tf.fill([self.count], still)


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("n1", [[-1, 0, 0], [0, 1, 0]]),  # floor(1.5) = 1: a flip
        ("n2", [[0, 1, 0], [-1, 0, 0]]),  # floor(3) = 3 turns of 90°
        ("n3", [[1, 0, -1], [0, 1, -1]]),  # round(0.5 / 8 · 16) = 1
        ("n4", [[2**-0.15, 0, 0], [0, 2**-0.15, 0]]),
        ("n5", [[0, -1, 0], [1, 0, 0]]),  # an angle of π / 2
        ("n6", [[2**-0.15, 0, 0], [0, 2**0.15, 0]]),
        ("n8", [[1, 0, -0.75 * 2], [0, 1, -0.75 * 2]]),
    ],
)
def test_each_map_of_the_geometry(place, expected):
    maps = ada.affine_maps(Fixed(2, **{place: True}), 16, 16)
    np.testing.assert_allclose(maps, [expected] * 2, atol=1e-6)


def test_each_map_of_the_colours():
    eye, gray = np.eye(3), np.full((3, 3), 1 / 3)
    expected = {
        "n1": (eye, np.full(3, 0.15)),
        "n2": (eye * 2**0.375, np.zeros(3)),
        "n3": (eye - 2 * gray, np.zeros(3)),
        "n5": (gray + 2**0.75 * (eye - gray), np.zeros(3)),
    }
    for place, (matrix, offset) in expected.items():
        found = ada.color_maps(Fixed(1, **{place: True}))
        np.testing.assert_allclose(found[0][0], matrix, atol=1e-6)
        np.testing.assert_allclose(found[1][0], offset, atol=1e-6)
    hue = ada.color_maps(Fixed(1, n4=True))[0][0].numpy()  # π / 2 about the axis of grays
    np.testing.assert_allclose(hue @ hue.T, eye, atol=1e-6)
    np.testing.assert_allclose(np.ones(3) @ hue, np.ones(3), atol=1e-6)
    assert np.trace(hue) == pytest.approx(1)


def test_a_gray_image_is_changed_as_three_equal_channels():
    gray = images(64, channels=1)
    one = ada.color(gray, KEY, tf.constant(1.0))
    three = ada.color(tf.repeat(gray, 3, 3), KEY, tf.constant(1.0))
    np.testing.assert_allclose(three, tf.repeat(one, 3, 3), atol=1e-4)


def test_an_adaptive_strength_follows_the_signs():
    augment = Augment([diffaugment.color], adaptive=True)
    found = []
    for sign in [1.0] * 4 + [0.0] * 8 + [0.8, 0.8, 0.8, 0.1]:
        augment.adapt(tf.constant(sign), tf.constant(64))
        found.append(float(augment.p) * IMAGES / 64)
    step = EVERY
    assert found == pytest.approx([0, 0, 0, step, *[step] * 3, *[0] * 8, step], abs=1e-3)
    fixed = Augment([diffaugment.color], 0.4)
    fixed.adapt(tf.constant(1.0), tf.constant(64))
    assert float(fixed.p) == pytest.approx(0.4)


def pairs(trainer):
    return getattr(trainer, "directions", [trainer])


@pytest.mark.parametrize("arch", TRAINERS.values())
@pytest.mark.parametrize("augment", [("color", "translation", "cutout"), ("ada",)], ids=len)
def test_every_trainer_augments(eager, arch, augment):
    """What the critic sees is augmented in every use but in a measurement."""
    trainer = small_trainer(arch, "rpgan", augment=augment, augment_p=0.9)
    for pair in pairs(trainer):
        pair.augment.p.assign(0.9)
        x = tf.zeros((pair.batch_size, *pair.critic.inputs[0].shape[1:])) + 0.5
        seen = {use: pair._augment(x, KEY, use).numpy() for use in Use}
        assert np.array_equal(seen[Use.MEASURE], x)
        for one, other in itertools.combinations(seen.values(), 2):
            assert not np.array_equal(one, other)
    terms = trainer.step(*small_batch(trainer))
    assert all(np.isfinite(float(value)) for value in terms.values())
    signs = [name for name in terms if name.startswith("sign_real")]
    strengths = [name for name in terms if name.startswith("augment_p")]
    assert len(signs) == len(strengths) == len(pairs(trainer))
    assert trainer.augmented(np.zeros((2, *trainer.image), np.uint8)).shape == (2, *trainer.image)


def test_no_augmentation_changes_nothing(eager):
    trainer = small_trainer("mlp", "hinge")
    assert trainer.augmented(np.zeros((2, *trainer.image), np.uint8)) is None
    assert not {"sign_real", "augment_p"} & {*trainer.step(*small_batch(trainer))}


@pytest.mark.parametrize(
    ("mode", "real", "fake", "expected"),
    [
        ("hinge", [1, -1, 2, 3], [9, 9, 9, 9], 0.5),
        ("lsgan", [1, 0.4, 0.6, 0], [9, 9, 9, 9], 0.0),
        ("gp", [11, 12, 13, 14], [10, 10, 10, 10], 0.5),  # the middle is 11.25
    ],
)
def test_the_sign_of_real_scores(mode, real, fake, expected):
    trainer = small_trainer("mlp", mode, augment=("color",))
    scores = [tf.constant(x, tf.float32) for x in (real, fake)]
    assert float(trainer._sign_real(*scores)) == expected


def test_an_older_checkpoint_goes_on_with_augmentation(cli):
    """A run may begin to augment, and stop again."""
    words = ["--dataset", "digits", "--arch", "mlp", "--output_height", 8, "--train"]
    for steps, augment in ((1, "none"), (2, "color"), (3, "none")):
        status, _, err = cli(*words, "--max_steps", steps, "--augment", augment)
        assert status == 0, err
        assert Path("samples/digits_64_8_8_mlp/augmented.png").exists() == (steps > 1)
    log = Path("checkpoint/digits_64_8_8_mlp/metrics.csv").read_text()
    assert "sign_real" in log and "augment_p" in log

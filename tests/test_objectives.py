"""Any loss with any penalty in every trainer, by linear critics whose gradients are known."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from benchmarks.races import small_batch, small_trainer
from commands import build
from config import rows, tables
from config.resolve import resolve
from training.base import Use

TRAINERS = {  # an architecture of each trainer
    row.trainer: name for name, row in reversed(tables.ARCHS.items())
}
WEIGHT = 3.0  # of the penalties
# Of a linear critic with a gradient of norm n.
VALUES = {
    "none": lambda n: 0.0,
    "gp": lambda n: WEIGHT * (n - 1) ** 2,
    "dragan": lambda n: WEIGHT * (n - 1) ** 2,
    "div": lambda n: 2 * n**6,
    "r1": lambda n: WEIGHT / 2 * n**2,
    "r2": lambda n: WEIGHT / 2 * n**2,
    "r1r2": lambda n: WEIGHT * n**2,
}


def pairs(trainer):
    """The generators and critics of a trainer, as trainers."""
    return getattr(trainer, "directions", [trainer])


def linear(shape, seed=0):
    """(a critic of images that is linear without a bias, its weights)."""
    weights = np.random.default_rng(seed).normal(size=(int(np.prod(shape)), 1)).astype(np.float32)
    weights *= 1.3 / np.linalg.norm(weights)
    images = keras.Input(shape)
    layer = keras.layers.Dense(1, use_bias=False)
    score = keras.layers.Reshape(())(layer(keras.layers.Flatten()(images)))
    critic = keras.Model([images], score)
    layer.kernel.assign(weights)
    return critic, weights[:, 0]


def images_of(pair, seed):
    """A whole batch of random images, float32 in [-1, 1], of the critic's size."""
    shape = pair.critic.inputs[0].shape[1:]
    rng = np.random.default_rng(seed)
    return tf.constant(rng.uniform(-1, 1, (pair.batch_size, *shape)), tf.float32)


def objective(mode, penalty):
    """The objective of a mode with a penalty of weight `WEIGHT`."""
    given = {"dataset": "faces", "mode": mode, "penalty": penalty, "LAMBDA": WEIGHT}
    return build.build_objective(mode, vars(resolve(given)))


@pytest.mark.parametrize("arch", TRAINERS.values())
def test_penalties_of_a_linear_critic(eager, arch):
    """Each penalty has its closed form, whatever the mode is and wherever it is taken."""
    trainer = small_trainer(arch, "hinge", penalty="gp", penalty_fraction=1.0)
    for pair in pairs(trainer):
        real, fake = images_of(pair, 1), images_of(pair, 2)
        pair.critic, weights = linear(real.shape[1:])
        for penalty in tables.PENALTIES:
            pair.objective = objective("hinge", penalty)
            if penalty == "none":
                assert pair.objective.penalties == ()
                continue
            value = float(pair._penalise(real, fake, [], tf.constant([0, 1])))
            norm = float(np.linalg.norm(weights))
            assert value == pytest.approx(VALUES[penalty](norm), rel=1e-4), penalty
            np.testing.assert_allclose(pair.parts, [value, norm], rtol=1e-4)


POINTS = {  # of a penalty that draws no random numbers: where each part's gradient is taken
    "none": lambda real, fake: [],
    "r1": lambda real, fake: [real],
    "r2": lambda real, fake: [fake],
    "r1r2": lambda real, fake: [real, fake],
}


@pytest.mark.parametrize("name", tables.PENALTIES)
def test_where_the_gradient_of_a_penalty_is_taken(name):
    """At the images that `POINTS` gives, or at points that depend on the key."""
    rng = np.random.default_rng(0)
    real, fake = (tf.constant(rng.normal(size=(3, 4, 4, 2)), tf.float32) for _ in range(2))
    keys = [tf.constant([0, seed]) for seed in (1, 2)]
    parts = [rows.import_object(part.at) for part in tables.PENALTIES[name]]
    first, second = ([np.array(at(real, fake, key)) for at in parts] for key in keys)
    if name in POINTS:
        for points, expected in zip(first, POINTS[name](real, fake), strict=True):
            np.testing.assert_allclose(points, expected, rtol=1e-6, atol=1e-6)
    else:
        assert all(np.abs(one - two).max() > 0.01 for one, two in zip(first, second))


@pytest.mark.parametrize("at", ["reals", "fakes"])
def test_r1_is_taken_at_reals_and_r2_at_fakes(eager, at):
    """A critic whose gradient is 2x: the penalty is weight/2·4·|x|² of one side only."""
    given = {"LAMBDA": WEIGHT, "penalty_every": 1, "penalty": {"reals": "r1"}.get(at, "r2")}
    trainer = small_trainer("dcgan", "rpgan", **given)
    real, fake = images_of(trainer, 1), images_of(trainer, 2)
    images = keras.Input(real.shape[1:])
    score = keras.ops.sum(keras.ops.square(images), (1, 2, 3))
    trainer.critic = keras.Model([images], score)
    value = float(trainer._penalise(real, fake, [], tf.constant([0, 1])))
    side = np.float64({"reals": real, "fakes": fake}[at])
    assert value == pytest.approx(2 * WEIGHT * np.mean(np.sum(side**2, (1, 2, 3))), rel=1e-4)


@pytest.mark.parametrize("arch", TRAINERS.values())
def test_paired_losses_see_both_scores(eager, arch):
    """rpgan's losses are -log σ of the differences of a pair's scores, in every trainer."""
    trainer = small_trainer(arch, "rpgan", LAMBDA=0.0)
    for pair in pairs(trainer):
        real, fake = images_of(pair, 1), images_of(pair, 2)
        pair.critic, weights = linear(real.shape[1:])
        scores = [np.float64(x).reshape(len(x), -1) @ weights for x in (real, fake)]
        loss = float(pair.generator_loss(real, fake, [], tf.constant([0, 1])))
        assert loss == pytest.approx(np.mean(np.logaddexp(0, scores[0] - scores[1])), rel=1e-4)


@pytest.mark.parametrize("mode", ["rpgan", "gp"])
@pytest.mark.parametrize("arch", TRAINERS.values())
def test_the_critic_is_asked_through_the_seam_alone(eager, arch, mode):
    """Every pass of a critic in a step is one of `judge`, and reals cost one where a loss pairs."""
    trainer = small_trainer(arch, mode, critic_num=1)
    asked, called = [], []
    for pair in pairs(trainer):
        judge, critic = pair.judge, pair.critic
        pair.judge = lambda *args, do=judge: (asked.append(args[3]), do(*args))[1]
        own = critic.call
        critic.call = lambda *args, do=own, **kwargs: (called.append(1), do(*args, **kwargs))[1]
    trainer.step(*map(tf.constant, small_batch(trainer)))
    if arch != "pggan":  # whose critic of a stage is made anew
        paired = len(pairs(trainer)) if tables.MODES[mode].paired else 0  # reals and fakes apart
        assert len(called) == len(asked) + paired
    count = len(pairs(trainer))
    row = tables.MODES[mode]
    assert asked.count(Use.GENERATOR) == count
    assert asked.count(Use.PENALTY) == count * len(tables.PENALTIES[row.defaults["penalty"]])
    assert asked.count(Use.MEASURE) == 0


@pytest.mark.parametrize("mode", tables.MODES)
def test_any_loss_goes_with_any_penalty(eager, mode):
    trainer = small_trainer("mlp", mode, critic_num=1)
    for penalty in tables.PENALTIES:
        trainer.objective = objective(mode, penalty)
        terms = trainer.step(*map(tf.constant, small_batch(trainer)))
        terms |= trainer.measure(*small_batch(trainer))
        assert all(np.isfinite(float(v)) for v in terms.values()), penalty
        assert ("penalty" in terms) == (penalty != "none")
        assert "gradient_norm" in terms


def test_a_penalty_of_a_single_image_is_whole(eager):
    """A batch of one image, as CycleGAN has by default, has the penalty of two equal images."""
    values = []
    for count in (1, 2):
        trainer = small_trainer("cyclegan", "r1", batch_size=count, critic_num=1)
        pair = trainer.directions[0]
        image = images_of(pair, 1)[:1]
        same = tf.repeat(image, count, 0)
        pair.critic, _ = linear(image.shape[1:])
        values.append(float(pair._penalise(same, same, [], tf.constant([0, 1]))))
    assert values[0] == pytest.approx(values[1], rel=1e-5)
    assert values[0] > 0.1

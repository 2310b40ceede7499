"""The DCGAN networks, and the train step of one generator and one critic."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

import losses
import model
import ops
from commands import build
from config import tables
from config.fields import NORMS
from config.resolve import resolve
from datasets.packed import ImageSpec
from tests.conftest import TINY, batch, same, values
from training import average
from training.randomness import Purpose, fold

MODES = list(tables.MODES)


def networks(spec, **given):
    c = resolve(given)
    row = tables.ARCHS[c.arch]
    return model.build_dcgan(spec, **{n: getattr(c, n) for n in row.network})


def counts(network):
    trained = sum(int(np.prod(w.shape)) for w in network.trainable_variables)
    return trained, network.count_params() - trained


def test_parameters_of_the_seeds_mnist_networks():
    spec = ImageSpec(28, 28, 1, 1, 10)
    generator, critic = networks(spec, preset="mnist_conditional", critic_norm="batch")
    assert counts(generator) == (7_065_211, 14_848)
    assert counts(critic) == (3_769_479, 2_196)
    assert counts(networks(spec, preset="mnist_conditional")[1]) == (3_767_283, 0)


@pytest.mark.parametrize(
    ("size", "g", "d", "plain"),
    [
        (48, (4_773_379, 1_920), (4_312_961, 1_792), 4_311_169),
        (64, (5_135_363, 1_920), (4_316_545, 1_792), 4_314_753),
    ],
)
def test_parameters_of_the_seeds_face_networks(size, g, d, plain):
    spec = ImageSpec(size, size, 3, 1, 0)
    generator, critic = networks(spec, preset="faces", critic_norm="batch")
    assert (counts(generator), counts(critic)) == (g, d)
    assert counts(networks(spec, preset="faces")[1]) == (plain, 0)


def test_parameters_of_the_default_networks():
    generator, critic = networks(ImageSpec(28, 28, 1, 1, 10), dataset="mnist")
    assert (generator.count_params(), critic.count_params()) == (378_625, 187_105)
    generator, critic = networks(ImageSpec(48, 48, 3, 1, 0), dataset="faces")
    assert (generator.count_params(), critic.count_params()) == (921_987, 692_449)


@pytest.mark.parametrize("size", [(8, 8), (9, 31), (28, 28), (50, 33), (64, 48), (100, 100)])
@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize("widths", [(4,), (4, 3, 2)])
def test_any_size(size, classes, widths):
    spec = ImageSpec(*size, 3, 1, classes)
    generator, critic = networks(spec, dataset="x", z_dim=5, g_width=widths, d_width=widths)
    labels = [np.eye(3, dtype=np.float32)[[0, 1]]] if classes else []
    images = generator([np.zeros((2, 5)), *labels])
    assert images.shape == (2, *size, 3)
    assert critic([images, *map(tf.constant, labels)]).shape == (2,)


def test_image_sizes_and_widths():
    assert [s[0] for s in ops.generator_sizes((28, 28))] == [28, 14, 7]
    assert [s[0] for s in ops.generator_sizes((48, 48))] == [48, 24, 12, 6, 3]
    assert [s[0] for s in ops.generator_sizes((64, 64))] == [64, 32, 16, 8, 4]
    assert [s[0] for s in ops.generator_sizes((50, 50))] == [50, 25, 13, 7]
    assert [s[0] for s in ops.critic_sizes((28, 28))] == [28, 14, 7, 4]
    assert ops.halvings((64, 64), (512,), ops.critic_sizes)[1] == [512] * 4
    assert ops.halvings((64, 64), (32,), ops.critic_sizes)[1] == [32, 64, 128, 256]


def test_images_are_in_minus_one_to_one(make_trainer, eager):
    trainer = make_trainer()
    weights = [50 * w for w in trainer.average.get_weights()]
    trainer.average.set_weights(weights)
    images, columns = trainer.preview()
    assert images.shape == (80, 8, 8, 1)
    assert columns == 10
    assert images.min() >= -1
    assert images.max() <= 1
    assert np.abs(images).max() > 0.9


# The architectures of `GANTrainer`, each with its smallest image size.
ARCHS = {
    name: {"output_height": max(8, -(-row.min_size // row.multiple_of) * row.multiple_of)}
    for name, row in tables.ARCHS.items()
    if row.trainer == "model:GANTrainer"
}


SLOW = {("fastgan", norm) for norm in ("none", "layer", "instance", "spectral")}
SLOW.add(("sngan", "layer"))  # 20 s; resnet has that norm, too
CASES = [
    pytest.param(*case, marks=[pytest.mark.slow] if case in SLOW else [])
    for case in itertools.product(ARCHS, NORMS)
]


@pytest.mark.parametrize(("arch", "norm"), CASES)
def test_every_arch_mode_and_norm_steps(make_trainer, eager, arch, norm):
    """Every two of them, and all three for two networks. One trainer has the loss of each mode."""
    trainer = make_trainer(arch=arch, critic_norm=norm, critic_num=1, **ARCHS[arch])
    for mode in MODES if norm == "layer" or arch in ("dcgan", "mlp") else ["gp"]:
        trainer.objective = build.build_objective(mode, vars(resolve({**TINY, "mode": mode})))
        terms = trainer.step(*batch(trainer, 1))
        assert all(np.isfinite(v) for v in terms.values())
        assert tables.MODES[mode].gap in terms
        assert ("penalty" in terms) == (tables.MODES[mode].defaults["penalty"] != "none")
        assert ("d_real" in terms) == ("logit" in tables.MODES[mode].gap)


@pytest.mark.parametrize(
    ("arch", "mode", "norm", "more"),
    [
        ("mlp", "gp", "layer", {"label_mode": "projection"}),
        ("lenet", "div", "none", {"g_head": "orig", "conditional": False}),
        ("dcgan", "r1", "instance", {"label_mode": "projection", "penalty_every": 3}),
        ("resnet", "regular", "batch", {"g_norm": "none"}),
        ("dcgan", "dragan", "layer", {"bias": "unnormed", "penalty_fraction": 0.5}),
        ("dcgan", "hinge", "none", {"bias": "none", "label_mode": "projection"}),
        *(
            pytest.param(*row, marks=pytest.mark.slow)
            for row in (
                ("resnet", "r1", "instance", {"label_mode": "projection", "penalty_every": 3}),
                ("lenet", "lsgan", "batch", {}),
            )
        ),
    ],
)
def test_a_selection_of_settings_is_traced_once(make_trainer, arch, mode, norm, more):
    classes = 10 if more.get("conditional", True) else 0
    given = {"arch": arch, "mode": mode, "critic_norm": norm, **ARCHS[arch], **more}
    trainer = make_trainer(classes=classes, **given)
    for n in (1, 3):
        terms = trainer.step(*batch(trainer, n))
    assert all(np.isfinite(v) for v in terms.values())
    assert trainer.step.experimental_get_tracing_count() == 1


@pytest.mark.parametrize("mode", ["gp", "regular", "gan", "r1"])
def test_one_trace_for_any_number_of_critic_updates(make_trainer, mode):
    trainer = make_trainer(mode=mode)
    for n in (2, 5, 2):
        trainer.step(*batch(trainer, n))
    assert trainer.step.experimental_get_tracing_count() == 1
    assert int(trainer.d_optimizer.iterations) == 9
    assert int(trainer.g_optimizer.iterations) == 3
    assert int(trainer.count) == 3
    assert int(trainer.seen) == 9 * trainer.batch_size


@pytest.mark.parametrize("mode", MODES)
def test_an_update_changes_one_network_only(make_trainer, eager, mode):
    """A network with a learning rate of 0 does not change while the other one does."""
    for still, moving in (("generator", "critic"), ("critic", "generator")):
        trainer = make_trainer(mode=mode)
        if trainer.objective.clip:
            trainer._clip(trainer.critic.trainable_variables)  # the initial weights
        trainer.resume(*(0.0 if still == name else 1e-3 for name in ("generator", "critic")))
        before = values(trainer.state)
        trainer.step(*batch(trainer))
        changed = [name.partition("/")[0] for name in same(before, values(trainer.state))]
        assert moving in changed
        assert still not in changed


def test_the_last_critic_update_and_the_generators_share_their_fakes(make_trainer, eager):
    """With a constant critic, the generator's loss is the loss of the critic's last fakes."""
    trainer = make_trainer(mode="gp", critic_num=3, d_learning_rate=0.0)
    seen = []
    update = trainer.critic_step

    def watch(images, fake, hot, key):
        tf.py_function(lambda x: seen.append(x.numpy()), [fake], [])
        return update(images, fake, hot, key)

    trainer.critic_step = watch
    images, labels = batch(trainer, 3)
    terms = trainer.step(images, labels)
    assert len(seen) == 3
    assert len({x.tobytes() for x in seen}) == 3
    score = trainer.critic([tf.constant(seen[-1]), *trainer.one_hot(tf.constant(labels[-1]))])
    assert float(terms["generator_loss"]) == pytest.approx(-np.mean(score), abs=1e-5)


def test_training_leaves_the_generators_statistics_unchanged(make_trainer, eager):
    trainer = make_trainer()
    before = [np.array(w) for w in trainer.generator.non_trainable_variables]
    trainer.step(*batch(trainer))
    for old, now in zip(before, trainer.generator.non_trainable_variables):
        np.testing.assert_array_equal(old, now)


def test_clipping_bounds_every_weight(make_trainer, eager):
    trainer = make_trainer(mode="regular", clip_up=0.01, clip_down=-0.02)
    trainer.step(*batch(trainer))
    weights = np.concatenate([np.ravel(w) for w in trainer.critic.trainable_variables])
    assert weights.min() == pytest.approx(-0.02, abs=1e-8)
    assert weights.max() == pytest.approx(0.01, abs=1e-8)
    assert np.std(weights) > 0.001  # not all weights are at one bound


def test_clipping_leaves_weights_inside_the_bounds_unchanged():
    bounds = build.build_objective("regular", {"clip_down": -0.01, "clip_up": 0.01}).clip
    got = tf.clip_by_value(tf.constant([-1.0, 0.0, 0.005, 1.0]), *bounds)
    np.testing.assert_allclose(got, [-0.01, 0.0, 0.005, 0.01])


def test_the_generator_follows_the_critic(make_trainer, eager):
    """With a critic that scores brightness, images become brighter in every mode."""
    for mode in MODES:
        trainer = make_trainer(mode=mode, learning_rate=0.02, ema=0.0, penalty="none")
        x = trainer.critic.inputs
        bright = keras.ops.mean(x[0], axis=(1, 2)) + 0 * keras.ops.sum(x[1], axis=-1)[:, None]
        score = keras.layers.Dense(1, kernel_initializer="ones")(bright)
        trainer.critic = keras.Model(x, keras.ops.squeeze(score, -1))
        trainer.d_optimizer = keras.optimizers.SGD(0.0)
        trainer.d_optimizer.build(trainer.critic.trainable_variables)
        before = trainer.preview()[0].mean()
        for i in range(5):
            trainer.step(*batch(trainer, 1, seed=i))
        assert trainer.preview()[0].mean() > before + 0.1


def test_the_ema_has_a_smaller_decay_at_first(make_trainer, eager):
    trainer = make_trainer(ema=0.999)
    before = [np.array(w) for w in trainer.average.trainable_variables]
    trainer.step(*batch(trainer))
    keep = 2 / 11  # (1 + t) / (10 + t) at t = 1
    pairs = zip(before, trainer.generator.trainable_variables, trainer.average.trainable_variables)
    for old, weight, mean in pairs:
        np.testing.assert_allclose(mean, keep * old + (1 - keep) * np.array(weight), atol=1e-6)
    trainer.count.assign(10**6)
    before = [np.array(w) for w in trainer.average.trainable_variables]
    trainer._move_average()
    pairs = zip(before, trainer.generator.trainable_variables, trainer.average.trainable_variables)
    for old, weight, mean in pairs:
        np.testing.assert_allclose(mean, 0.999 * old + 0.001 * np.array(weight), atol=1e-6)


def test_an_ema_decay_of_zero_copies_the_generator(make_trainer, eager):
    trainer = make_trainer(ema=0.0)
    trainer.step(*batch(trainer))
    pairs = zip(trainer.generator.trainable_variables, trainer.average.trainable_variables)
    for weight, mean in pairs:
        np.testing.assert_allclose(weight, mean, atol=1e-7)


def test_refresh_estimates_the_emas_statistics(make_trainer):
    trainer = make_trainer()
    trainer.class_counts = [5, 0, 1, 2, 0, 0, 0, 0, 0, 0]
    trainer.step(*batch(trainer))
    trainer.refresh()
    norm = next(x for x in trainer.average.layers if isinstance(x, keras.layers.BatchNormalization))
    inner = keras.Model(trainer.average.inputs, norm.input)
    labels = [0] * 40 + [2] * 8 + [3] * 16  # of each chunk
    means = [
        np.mean(
            inner([trainer.latents(key, (average.CHUNK, 4)), *trainer.one_hot(labels)]),
            axis=(0, 1, 2),
        )
        for i in range(average.N_STATISTICS // average.CHUNK)
        for key in [fold(trainer.still, Purpose.STATISTICS, i)]
    ]
    np.testing.assert_allclose(norm.moving_mean, np.mean(means, 0), atol=1e-6)
    assert norm.momentum == 0.9


@pytest.mark.parametrize(
    ("counts", "number", "expected"),
    [
        ([1, 1], 4, [0, 0, 1, 1]),
        ([3, 0, 1], 4, [0, 0, 0, 2]),
        ([1, 1, 1], 4, [0, 1, 1, 2]),
        ([0, 10**12], 2, [1, 1]),
        ([7], 3, [0, 0, 0]),
        ([1] * 100, 100, range(100)),
    ],
)
def test_labels_are_as_frequent_as_in_the_data(counts, number, expected):
    assert [*average.spread_labels(counts, number)] == [*expected]


def test_a_refresh_is_deterministic(make_trainer, eager):
    trainer = make_trainer()
    trainer.step(*batch(trainer))
    first = trainer.preview()[0]
    np.testing.assert_array_equal(first, trainer.preview()[0])


def test_same_seed_same_run(make_trainer, eager):
    states = []
    for seed in (0, 0, 1):
        trainer = make_trainer(seed=seed, mirror=True)
        for i in range(2):
            trainer.step(*batch(trainer, seed=i))
        states.append(values(trainer.state))
    assert same(states[0], states[1]) == []
    assert same(states[0], states[2])


def test_mirror_flips_about_half(make_trainer):
    trainer = make_trainer(mirror=True, batch_size=512)
    images = np.zeros((512, 8, 8, 1), np.uint8)
    images[:, :, 0] = 255
    got = trainer._to_float(tf.constant(images), tf.constant([0, 1])).numpy()
    kept, flipped = got[:, 0, 0, 0] == 1, got[:, 0, -1, 0] == 1
    assert np.all(kept ^ flipped)
    assert 200 < flipped.sum() < 312
    plain = make_trainer(mirror=False)._to_float(tf.constant(images), tf.constant([0, 1]))
    assert np.all(plain[:, :, 0] == 1)


def test_a_critic_with_batch_norm_scores_real_and_fake_separately(make_trainer):
    assert not make_trainer(mode="gan", output_height=16).joint
    assert make_trainer(mode="gp", output_height=16).joint


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_learning_rates_fall_linearly_to_0(make_trainer, eager, precision):
    """Step k has the share 1 - k / 2 of the rates, and later ones 0. A resumed run has its own."""
    given = {"arch": "mlp", "mode": "gan", "critic_num": 1, "precision": precision}
    trainer = make_trainer(learning_rate=0.5, d_learning_rate=0.25, decay_steps=2, **given)
    for rate in (0.5, 0.25, 0.0, 0.0):
        before = [w.numpy() for w in trainer.critic.trainable_variables]
        terms = trainer.step(*batch(trainer, 1))
        assert float(terms["learning_rate"]) == float(trainer.g_optimizer.learning_rate) == rate
        assert float(trainer.d_optimizer.learning_rate) == rate / 2
        moved = any(
            (a != b.numpy()).any() for a, b in zip(before, trainer.critic.trainable_variables)
        )
        assert moved == (rate > 0)
    trainer.count.assign(1)
    trainer.resume(0.1, 0.3)
    assert float(trainer.step(*batch(trainer, 1))["learning_rate"]) == pytest.approx(0.05)
    assert float(trainer.d_optimizer.learning_rate) == pytest.approx(0.15)
    assert "learning_rate" not in make_trainer(**given).step(*batch(trainer, 1))


def test_learning_rates_fall_by_the_square_root(make_trainer, eager):
    """After step 2, the share is √(2 / step). It is multiplied with that of the linear fall."""
    given = {"arch": "mlp", "mode": "gan", "critic_num": 1, "learning_rate": 0.5}
    trainer = make_trainer(d_learning_rate=0.25, decay_after=2, **given)
    for done, share in ((0, 1), (1, 1), (2, 1), (3, (2 / 3) ** 0.5), (8, 0.5), (800, 0.05)):
        trainer.count.assign(done)
        terms = trainer.step(*batch(trainer, 1))
        assert float(terms["learning_rate"]) == pytest.approx(0.5 * share)
        assert float(trainer.g_optimizer.learning_rate) == pytest.approx(0.5 * share)
        assert float(trainer.d_optimizer.learning_rate) == pytest.approx(0.25 * share)
    both = make_trainer(decay_after=2, decay_steps=16, **given)
    both.count.assign(8)
    assert float(both.step(*batch(both, 1))["learning_rate"]) == pytest.approx(0.125)


def test_labels_change_images_and_scores(make_trainer, eager):
    """The same latents with another label give another image and another score."""
    trainer = make_trainer()
    for i in range(3):
        trainer.step(*batch(trainer, seed=i))
    z = np.zeros((1, 4), np.float32)
    images = [trainer.generator([z, np.eye(10)[[k]]]).numpy() for k in (0, 1)]
    scores = [float(trainer.critic([images[0], np.eye(10)[[k]]])[0]) for k in (0, 1)]
    assert np.abs(images[0] - images[1]).max() > 1e-4
    assert abs(scores[0] - scores[1]) > 1e-6


def test_a_step_compiled_by_xla(make_trainer):
    """XLA draws other random numbers. Without a penalty there are only the latents, set to 1."""
    terms = []
    for jit in (False, True):
        trainer = make_trainer(arch="mlp", mode="gan", jit=jit, critic_num=1)
        trainer.latents = lambda key, shape: tf.ones(shape)
        terms += [trainer.step(*batch(trainer, 1, seed=i)) for i in range(2)]
        assert trainer._part.function_spec if jit else trainer._part == trainer._replica_step
        graph = trainer.step.get_concrete_function(*batch(trainer, 1)).graph.as_graph_def()
        nodes = [n.op for n in graph.node]
        nodes += [n.op for f in graph.library.function for n in f.node_def]
        assert any(op.endswith("While") for op in nodes) != jit  # a loop is slow in XLA
    for plain, compiled in zip(terms[:2], terms[2:]):
        for name, value in plain.items():
            assert float(compiled[name]) == pytest.approx(float(value), rel=1e-4, abs=1e-5)


def test_the_first_non_finite_step_is_reported(make_trainer, eager):
    trainer = make_trainer()
    trainer.step(*batch(trainer))
    assert trainer.problem() is None
    weight = trainer.critic.trainable_variables[0]
    weight.assign(np.full(weight.shape, np.nan))
    trainer.step(*batch(trainer))
    trainer.step(*batch(trainer))
    assert "step 2" in trainer.problem()
    assert "critic_loss" in trainer.problem()


def test_a_critic_update_by_hand(make_trainer):
    """One critic update with SGD, compared with the analytic gradient in float64."""
    c = {**TINY, "mode": "gp", "optimizer": "sgd", "learning_rate": 0.1, "critic_num": 1}
    trainer = make_trainer(classes=0, conditional=False, **c)
    image = keras.Input((8, 8, 1))
    layer = keras.layers.Dense(1, use_bias=False)
    score = keras.layers.Reshape(())(layer(keras.layers.Flatten()(image)))
    trainer.critic = keras.Model([image], score)
    trainer.d_optimizer = keras.optimizers.SGD(0.1)
    trainer.d_optimizer.build(trainer.critic.trainable_variables)
    images, _ = batch(trainer, 1)
    w = np.array(layer.kernel, np.float64)[:, 0]
    key = tf.constant([3, 4])
    real = images[0].reshape(4, -1) / 127.5 - 1
    fake = np.array(trainer._generate([], key), np.float64).reshape(4, -1)
    norm = np.linalg.norm(w)
    gradient = fake.mean(0) - real.mean(0) + 10 * 2 * (norm - 1) * w / norm
    trainer.critic_step(tf.constant(images[0]), trainer._generate([], key), [], key)
    np.testing.assert_allclose(layer.kernel[:, 0], w - 0.1 * gradient, atol=1e-5)


def test_bursts_of_critic_updates(make_trainer):
    """25 updates in an epoch's first ten steps and every 200th, else critic_num (seed 002)."""
    trainer = make_trainer(per_epoch=450, critic_num=5, critic_bursts=True)
    counts = [trainer.batch_spec(step)[0] for step in range(900)]
    assert counts[:12] == [25] * 10 + [5, 5]
    assert [i for i in range(10, 450) if counts[i] == 25] == [200, 400]
    assert counts[450:] == counts[:450]
    plain = make_trainer(per_epoch=450, critic_num=5)
    assert {plain.batch_spec(step)[0] for step in range(900)} == {5}


def test_lazy_penalties_have_k_times_the_weight(make_trainer, eager):
    """The penalty is added to every third update, times three; the log has the newest value."""
    trainer = make_trainer(mode="r1", penalty_every=3, critic_num=1)
    real, hot = tf.ones((4, 8, 8, 1)), trainer.one_hot(tf.range(4))
    added, kept = [], []
    for i in range(4):
        trainer.d_optimizer.iterations.assign(i)
        added.append(float(trainer._penalise(real, real, hot, tf.constant([1, i]))))
        kept.append(float(trainer.penalised[0]))
    assert added[1] == added[2] == 0
    assert added[0] == pytest.approx(3 * kept[0])
    assert added[0] > 0
    assert kept[1] == kept[2] == kept[0]
    assert added[3] == pytest.approx(added[0])


@pytest.mark.parametrize(
    ("batch_size", "fraction", "count"),
    [(64, 0.25, 16), (64, 1.0, 64), (4, 0.25, 2), (2, 0.01, 2), (1, 1.0, 1)],
)
def test_the_number_of_penalised_images(batch_size, fraction, count):
    """At least two, if the batch has two."""
    assert losses.n_penalised(batch_size, fraction) == count


def test_only_a_fraction_of_the_batch_is_penalised(make_trainer, eager):
    trainer = make_trainer(mode="r1", penalty_fraction=0.5)
    hot, key = trainer.one_hot(tf.range(4)), tf.constant([1, 2])
    real = np.random.default_rng(0).normal(size=(4, 8, 8, 1)).astype(np.float32)
    values = []
    for change in (0, 3, 1):
        x = real.copy()
        x[change] += 5 if change else 0
        values.append(float(trainer._penalise(tf.constant(x), tf.constant(x), hot, key)))
    assert values[0] == values[1]  # the last image has no penalty
    assert values[0] != values[2]


def test_gradient_norm_is_measured_in_every_mode(make_trainer, eager):
    for mode in ("regular", "gan"):
        trainer = make_trainer(mode=mode)
        before = values(trainer.state)
        norm = trainer.measure(*batch(trainer))["gradient_norm"]
        assert 0 < float(norm) < 100
        assert same(before, values(trainer.state)) == []
    assert make_trainer(mode="gp").measure(None, None) == {}


@pytest.mark.parametrize("name", ["generator", "critic"])
def test_non_finite_weights_are_reported(make_trainer, name):
    trainer = make_trainer()
    assert trainer.problem() is None
    weight = getattr(trainer, name).trainable_variables[0]
    weight.assign(np.full(weight.shape, np.inf))
    assert trainer.problem() == f"the {name}'s weights not finite at step 0"

"""PGGAN: the growth schedule, the networks, the trainer, and the memory estimate."""

import re
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from architectures.pggan import layers
from architectures.pggan.networks import stage_critic, stage_generator
from architectures.pggan.schedule import GrowthSchedule, GrowthState, batches, sizes
from commands import build, dry_run
from config import tables
from config.resolve import resolve
from datasets.packed import ImageSpec
from layers import equal, fast, stock
from tests.conftest import checkpoint, folder_of_images, log_rows, same, values
from training import average, memory

TINY = {"arch": "pggan", "dataset": "x", "fmap_max": 8, "z_dim": 6, "batch_size": 4, "max_res": 16}
SHORT = {"fade_kimg": 0.016, "stable_kimg": 0.008}  # a fade has four steps, a stable phase two


def networks(classes=0, channels=3, **given):
    c = resolve({**TINY, **given})
    return build.build_networks(c, ImageSpec(c.max_res, c.max_res, channels, 1, classes))


def make(classes=0, **given):
    c = resolve({**TINY, **SHORT, **given})
    return build.build_trainer(c, ImageSpec(c.max_res, c.max_res, 3, 1, classes))


def batch(trainer, seed=0):
    """Return random (images, labels) for the next step."""
    rng = np.random.default_rng(seed)
    shape = trainer.batch_spec(0)
    images = rng.integers(0, 256, (*shape, *trainer.image), dtype=np.uint8)
    return images, rng.integers(0, max(trainer.classes, 1), shape).astype(np.int32)


def set_alpha(network, alpha):
    for layer in stock.layers_of(network):
        if isinstance(layer, layers.Fade):
            layer.alpha.assign(alpha)


def grown(classes=0, seed=0, **given):
    """Return the networks of all stages, with random weights and biases."""
    rng = np.random.default_rng(seed)
    pair = networks(classes, **given)
    for network in pair:
        for weight in network.trainable_variables:
            weight.assign(rng.normal(size=weight.shape))
    return pair


# ---- the schedule ----------------------------------------------------------------------------


def test_the_schedule_is_a_function_of_the_images_seen():
    """Values of α for the paper's phases of 800,000 images (SPEC 10.5)."""
    schedule = GrowthSchedule(800_000, 800_000, (16, 16, 16, 14))
    begin = 800_000  # stage 0 does not fade
    for into, alpha in ((0, 0.0), (160_000, 0.2), (400_000, 0.5), (800_000, 1.0), (1_599_999, 1.0)):
        for stage in (1, 2, 3):
            seen = begin + 1_600_000 * (stage - 1) + into
            assert schedule.at(seen) == GrowthState(stage, alpha, 14 if stage == 3 else 16)
    assert schedule.at(0) == schedule.at(799_999) == GrowthState(0, 1.0, 16)
    assert schedule.at(10**9) == GrowthState(3, 1.0, 14)
    assert [schedule.end(i) for i in range(4)] == [800_000, 2_400_000, 4_000_000, 5_600_000]


def test_the_last_stage_can_last_longer():
    schedule = GrowthSchedule(50, 60, (4, 7, 2), final=500)
    assert [schedule.end(i) for i in range(3)] == [60, 170, 720]
    assert schedule.start(2, 0.5) == GrowthSchedule(50, 60, (4, 7, 2)).start(2, 0.5) == 195
    assert schedule.at(719) == GrowthState(2, 1.0, 2)
    assert schedule.steps(220, 1) == [0, 0, 250]


def test_phases_of_length_zero():
    no_fade = GrowthSchedule(0, 10, (2, 2))
    assert [no_fade.at(n).alpha for n in (0, 9, 10, 30)] == [1.0] * 4
    assert [no_fade.at(n).stage for n in (0, 9, 10, 30)] == [0, 0, 1, 1]
    all_fade = GrowthSchedule(10, 0, (2, 2))
    assert [all_fade.at(n) for n in (0, 5, 10)] == [
        GrowthState(1, alpha, 2) for alpha in (0.0, 0.5, 1.0)
    ]


@pytest.mark.parametrize("updates", [1, 3])
@pytest.mark.parametrize("seen", [0, 7, 99, 100, 333, 10_000])
def test_the_number_of_remaining_steps(updates, seen):
    schedule = GrowthSchedule(50, 60, (4, 7, 2))
    steps, now = [0, 0, 0], seen
    while now < schedule.end(2):
        state = schedule.at(now)
        now += updates * state.batch
        steps[state.stage] += 1
    assert schedule.steps(seen, updates) == steps


def test_batch_sizes_by_stage():
    assert sizes(64) == [4, 8, 16, 32, 64]
    assert batches(64, 16, "8:32,64:3,1024:2") == (16, 32, 16, 16, 3)
    assert resolve({"arch": "pggan"}).batch_dict == "256:14,512:6,1024:3"


# ---- the networks ----------------------------------------------------------------------------


def test_parameters_of_the_papers_networks():
    """All stages; each stage after its fade; the parameters that a fade adds (SPEC 9)."""
    full = {"max_res": 128, "fmap_max": 512, "z_dim": 512}
    generator, critic = networks(**full)

    def count(network):
        return sum(int(np.prod(w.shape)) for w in network.trainable_variables)

    assert (count(generator), count(critic)) == (22_933_394, 22_941_313)
    whole = [count(stage_generator(generator, i, whole=True)) for i in range(6)]
    assert whole == [6_556_163, 11_275_779, 15_995_395, 20_715_011, 22_484_227, 22_926_467]
    fading = [count(stage_generator(generator, i)) for i in range(6)]
    assert [b - a for a, b in zip(whole, fading)] == [0, 1_539, 1_539, 1_539, 1_539, 771]
    # By hand: a head of 512·9·513 + 16·512² + 513 and biases, fromRGBs of 4·width, blocks.
    critics = [count(stage_critic(critic, i)) for i in range(2)]
    head = 9 * 513 * 512 + 512 + 16 * 512 * 512 + 512 + 513
    assert critics[0] == head + 4 * 512
    assert critics[1] - critics[0] == 2 * (9 * 512 * 512 + 512) + 4 * 512


def test_widths_follow_fmap_base_and_fmap_max():
    generator, _ = networks(max_res=64, fmap_base=256, fmap_max=32)
    kernels = [w.shape for w in generator.trainable_variables if w.shape[:2] == (3, 3)]
    assert [k[-1] for k in kernels] == [32, 32, 32, 32, 32, 16, 16, 8, 8]
    assert networks(max_res=1024, fmap_base=256)[1].inputs[0].shape == (None, 1024, 1024, 3)
    # The dense layer before the critic's last has fmap_base units, at most fmap_max.
    for most, units in ((32, 32), (20, 20), (8, 8)):
        _, critic = networks(max_res=8, fmap_base=32, fmap_max=most)
        head = [w.shape for w in critic.trainable_variables if w.shape[:2] == (4, 4)]
        assert head == [(4, 4, min(16, most), units)]


def test_latents_and_labels_have_a_common_pixel_norm():
    generator, _ = grown(3, max_res=8)
    z, hot = np.full((1, 6), 2.0, np.float32), np.eye(3, dtype=np.float32)[[1]]
    first = next(x for x in generator.layers if isinstance(x, keras.layers.Reshape))
    x = keras.Model(generator.inputs, first.output)([z, hot])
    expected = np.array([2.0] * 6 + [0, 1, 0]) / np.sqrt(25 / 9)
    np.testing.assert_allclose(np.ravel(x), expected, rtol=1e-5)


@pytest.mark.parametrize("stage", [1, 2])
def test_a_stage_begins_with_the_images_of_the_previous_stage(stage):
    """G_i(z, 0) = up(G_{i-1}(z, 1)) and D_i(x, 0) = D_{i-1}(down(x), 1), exactly (SPEC 10.6)."""
    generator, critic = grown()
    rng = np.random.default_rng(1)
    z = rng.normal(size=(4, 6)).astype(np.float32)
    x = rng.normal(size=(4, 4 << stage, 4 << stage, 3)).astype(np.float32)
    small = tf.nn.avg_pool2d(x, 2, 2, "VALID")
    now = [stage_generator(generator, stage)([z]), None]
    set_alpha(generator, 1.0), set_alpha(critic, 1.0)
    before = stage_generator(generator, stage - 1)([z]).numpy()
    last = stage_critic(critic, stage - 1)([small]).numpy()
    whole = stage_generator(generator, stage, whole=True)([z])
    faded = stage_generator(generator, stage)([z])
    set_alpha(generator, 0.0), set_alpha(critic, 0.0)
    now = stage_generator(generator, stage)([z])
    np.testing.assert_array_equal(now, before.repeat(2, 1).repeat(2, 2))
    np.testing.assert_array_equal(stage_critic(critic, stage)([x]), last)
    np.testing.assert_array_equal(faded, whole)
    set_alpha(generator, 0.25)
    middle = stage_generator(generator, stage)([z])
    np.testing.assert_allclose(middle, 0.75 * np.array(now) + 0.25 * np.array(whole), atol=1e-5)


def test_pixel_norm():
    x = np.random.default_rng(0).normal(3, 5, (2, 4, 4, 16)).astype(np.float32)
    got = np.array(layers.pixel_norm(tf.constant(x)))
    np.testing.assert_allclose((got**2).mean(-1), 1, atol=1e-4)
    np.testing.assert_allclose(got / x, (got / x)[..., :1] * np.ones(16), rtol=1e-4)


@pytest.mark.parametrize(
    ("layer", "shape", "fan_in", "gain"),
    [
        (lambda: equal.EqualConv(300, 3, padding="same"), (5, 5, 40), 360, 2),
        (lambda: equal.EqualConv(300, 1, gain=1.0), (5, 5, 40), 40, 1),
        (lambda: equal.EqualDense(200, gain=1.0), (300,), 300, 1),
        (lambda: equal.EqualDeconv(100, 4), (1, 1, 512), 512 * 16, 2),  # SPEC 8.7: sqrt(2/8192)
    ],
)
def test_equalised_weights(layer, shape, fan_in, gain):
    """Stored weights are N(0, 1), used ones N(0, gain / fan_in), biases 0 (SPEC 10.7)."""
    keras.utils.set_random_seed(0)
    x, layer = keras.Input(shape), layer()
    network = keras.Model(x, layer(x))
    kernel, bias = (np.array(w) for w in layer.get_weights())
    assert kernel.std() == pytest.approx(1, rel=0.02)
    assert not bias.any()
    used = stock.stock(network).get_weights()[0]
    assert used.std() == pytest.approx((gain / fan_in) ** 0.5, rel=0.02)
    layer.bias.assign(np.arange(len(bias)))  # not scaled
    data = np.random.default_rng(0).normal(size=(3, *shape)).astype(np.float32)
    saved = stock.stock(network)
    np.testing.assert_allclose(network(data), saved(data), atol=1e-3)
    assert type(saved.layers[-1]).__module__.startswith("keras.")


def test_layers_have_different_initial_weights():
    a, b = (equal.EqualConv(4, 3) for _ in range(2))
    a.build((1, 8, 8, 4)), b.build((1, 8, 8, 4))
    assert np.abs(np.array(a.kernel) - np.array(b.kernel)).max() > 0.1


def test_the_deviation_of_a_batch_by_hand():
    """Eight samples are two groups of every second sample, with the mean deviation of each."""
    assert [layers.group_size(n) for n in (16, 14, 6, 3, 8, 5, 2)] == [4, 2, 3, 3, 4, 5, 2]
    x = np.random.default_rng(0).normal(size=(8, 2, 2, 3)).astype(np.float32)
    got = np.array(layers.BatchDeviation()(x))
    np.testing.assert_array_equal(got[..., :3], x)
    for first in (0, 1):
        own = np.sqrt(x[first::2].var(0) + 1e-8).mean()
        np.testing.assert_allclose(got[first::2, ..., 3], own, rtol=1e-4)
    flat = np.repeat(x[:1], 4, 0)
    np.testing.assert_allclose(np.array(layers.BatchDeviation()(flat))[..., 3], 1e-4, rtol=1e-3)


def test_upsampling_equals_keras():
    x = np.random.default_rng(0).normal(size=(2, 3, 5, 4)).astype(np.float32)
    np.testing.assert_array_equal(fast.Up(2)(x), keras.layers.UpSampling2D(2)(x))


@pytest.mark.parametrize("mode", ["concat", "projection"])
def test_labels_reach_both_networks(mode):
    generator, critic = grown(3, label_mode=mode, max_res=8)
    z, x = np.ones((2, 6), np.float32), np.ones((2, 8, 8, 3), np.float32)
    hot = [np.eye(3, dtype=np.float32)[[k, k]] for k in (0, 2)]
    for network, value in (
        (stage_generator(generator, 1), z),
        (stage_critic(critic, 1), x),
    ):
        a, b = (np.array(network([value, y])) for y in hot)
        assert np.abs(a - b).max() > 1e-3


@pytest.mark.parametrize("alpha", [0.25, 1.0])
def test_saved_networks_have_alpha_as_a_constant(tmp_path, alpha):
    """The files load without this project's layers, with the same images and scores."""
    trainer = make(classes=3)
    trainer.stage.assign(2)
    trainer.resume(1e-3, 1e-3)
    rng = np.random.default_rng(0)
    for part in (trainer.generator, trainer.average, trainer.critic):
        set_alpha(part, alpha)
        for weight in part.trainable_variables:
            weight.assign(rng.normal(size=weight.shape))
    hot = np.eye(3, dtype=np.float32)[[0, 1, 2, 0]]
    inputs = {
        "generator": [rng.normal(size=(4, 6)).astype(np.float32), hot],
        "critic": [rng.normal(size=(4, 16, 16, 3)).astype(np.float32), hot],
    }
    own = {"generator": trainer.average, "critic": trainer.critic}
    for name, network in trainer.networks.items():
        network.save(tmp_path / f"{name}.keras")
        loaded = keras.saving.load_model(tmp_path / f"{name}.keras", custom_objects={})
        kinds = {type(layer).__module__.split(".")[0] for layer in stock.layers_of(loaded)}
        assert kinds == {"keras"}
        expected = np.array(own[name](inputs[name]))
        np.testing.assert_allclose(loaded(inputs[name]), expected, rtol=1e-3, atol=1e-4)
        if name == "generator":
            fading = [x for x in loaded.layers if isinstance(x, keras.layers.Rescaling)]
            assert len(fading) == (0 if alpha == 1 else 2)


# ---- the trainer -----------------------------------------------------------------------------


def test_a_run_through_all_stages(eager):
    trainer = make()
    assert trainer.last == 2 + 6 + 6
    rows, shown, resets = [], [], []
    reset = trainer._reset_optimizers
    trainer._reset_optimizers = lambda: (resets.append(int(trainer.count)), reset())
    for i in range(trainer.last):
        if i in (5, 6):
            trainer.resume(1e-3, 1e-3)
        rows.append(trainer.step(*map(tf.constant, batch(trainer, i))))
        assert all(np.isfinite(float(v)) for v in rows[-1].values())
        if i in (0, 2, 13):
            shown.append(trainer.preview()[0].shape)
    assert shown == [(64, size, size, 3) for size in (4, 8, 16)]
    assert [r["stage"] for r in rows] == [0] * 2 + [1] * 6 + [2] * 6
    assert [r["alpha"] for r in rows] == [1, 1] + 2 * [0, 0.25, 0.5, 0.75, 1, 1]
    assert resets == [2, 6, 8, 12]  # fades begin and end
    assert [r["kimg"] for r in rows] == [4 * (i + 1) / 1000 for i in range(14)]
    assert trainer.last == int(trainer.count) == 14
    assert trainer.problem() is None


def test_every_mode_steps(eager):
    """In the first stage, and with the other modes' losses while the second one fades in."""
    trainer = make(classes=2, mode="regular", max_res=8, stable_kimg=0.004, fade_kimg=0.1)
    for mode in ("regular", *(m for m in tables.MODES if m not in ("gp", "regular"))):
        given = vars(resolve({**TINY, "mode": mode, "clip_up": 0.02}))
        trainer.objective = build.build_objective(mode, given)
        for i in range(2 if mode == "regular" else 1):
            terms = trainer.step(*map(tf.constant, batch(trainer, i)))
            terms |= trainer.measure(*batch(trainer, i))
            assert all(np.isfinite(float(v)) for v in terms.values()), mode
            assert {"gradient_norm", "stage", tables.MODES[mode].gap} <= set(terms)
            assert terms["stage"] == (0 if (mode, i) == ("regular", 0) else 1)
        if mode != "regular":  # the scaled weights are within the bounds
            continue
        used = trainer.networks["critic"].get_weights()
        assert max(np.abs(w).max() for w in used) == pytest.approx(0.02, abs=1e-6)
        assert min(w.min() for w in used) == pytest.approx(-0.01, abs=1e-6)


def test_one_trace_a_stage():
    trainer = make(max_res=8)
    assert trainer.grows
    for i in range(5):
        trainer.step(*batch(trainer, i))
        assert trainer.compiled.experimental_get_tracing_count() == 1
    assert int(trainer.stage) == 1 and not trainer.grows
    assert trainer.compiled.experimental_get_tracing_count() == 1


def test_a_new_stage_resets_the_optimisers_only(eager):
    trainer = make(max_res=8)
    for i in range(2):
        trainer.step(*map(tf.constant, batch(trainer, i)))
    trainer.resume(0.003, 0.002)
    before = values(trainer.state)
    trainer._begin_stage(1)
    after = values(trainer.state)
    changed = {name.partition("/")[0] for name in same(before, after)}
    assert changed == {"g_optimizer", "d_optimizer", "stage"}
    for optimizer, rate in ((trainer.g_optimizer, 0.003), (trainer.d_optimizer, 0.002)):
        assert float(optimizer.learning_rate) == pytest.approx(rate)
        others = [v for v in optimizer.variables if v is not optimizer._learning_rate]
        assert len(others) > 10
        assert not any(np.any(np.array(v)) for v in others)


def test_only_weights_of_the_stage_are_trained(eager):
    trainer = make()
    before = values(trainer.all_stages)
    trainer.step(*map(tf.constant, batch(trainer)))
    own = {id(w) for x in (trainer.generator, trainer.critic, trainer.average) for w in x.variables}
    after = values(trainer.all_stages)
    for name, network in trainer.all_stages.items():
        for i, weight in enumerate(network.variables):
            moved = not np.array_equal(before[f"{name}/{i}"], after[f"{name}/{i}"])
            assert not moved or id(weight) in own, (name, weight.path)
    assert same(before, after)


def test_the_average_follows_every_stage(eager):
    """The EMA keeps min(ema, (1 + t) / (10 + t)) of its old value (SPEC 10.7)."""
    trainer = make(max_res=8, stable_kimg=0.004)
    for i in range(2):
        old = [np.array(w) for w in trainer.all_stages["average"].trainable_variables]
        trainer.step(*map(tf.constant, batch(trainer, i)))
        keep = (2 + i) / (11 + i)
        pairs = (trainer.all_stages[n].trainable_variables for n in ("generator", "average"))
        for before, weight, mean in zip(old, *pairs):
            now = keep * before + (1 - keep) * np.array(weight)
            np.testing.assert_allclose(mean, now, atol=1e-5)


def test_real_images_are_box_filtered_and_faded(eager):
    trainer = make()
    images = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), dtype=np.uint8)
    key = tf.constant([0, 1])

    def boxes(x, n):
        return x.reshape(4, 16 // n, n, 16 // n, n, 3).mean((2, 4))

    first = trainer._to_float(tf.constant(images), key)
    np.testing.assert_allclose(first, boxes(images / 127.5 - 1, 4), atol=1e-5)
    trainer._begin_stage(1)
    for alpha in (0.0, 0.25, 1.0):
        set_alpha(trainer.critic, alpha), set_alpha(trainer.generator, alpha)
        new = boxes(images / 127.5 - 1, 2)
        old = boxes(images / 127.5 - 1, 4).repeat(2, 1).repeat(2, 2)
        got = trainer._to_float(tf.constant(images), key)
        np.testing.assert_allclose(got, alpha * new + (1 - alpha) * old, atol=1e-5)


def test_drift_is_added_to_the_critics_loss(eager):
    losses = []
    for drift in (0.0, 0.5):
        trainer = make(drift=drift, LAMBDA=0.0)
        images = tf.constant(batch(trainer)[0][0])
        key = tf.constant([1, 2])
        fake = trainer._generate([], key)
        scores = np.array(trainer.critic([trainer._to_float(images, key)], training=True))
        losses.append(float(trainer.critic_step(images, fake, [], key)["critic_loss"]))
    assert losses[1] - losses[0] == pytest.approx(0.5 * np.mean(scores**2), rel=1e-3)
    assert np.mean(scores**2) > 1e-4


def test_real_and_fake_images_are_scored_separately():
    assert not make().joint


def test_large_grids_have_fewer_images(eager):
    trainer = make()
    trainer.image = (1024, 1024, 3)
    images, columns = trainer.preview()
    assert (len(images), columns) == (16, 4)


def test_large_images_are_generated_in_small_chunks():
    calls = []

    class Generator:
        outputs = (tf.zeros((1, 512, 512, 1)),)

        def __call__(self, inputs, training):
            calls.append(len(inputs[0]))
            return np.zeros((len(inputs[0]), 1, 1, 1))

    assert average.draw(Generator(), np.zeros((10, 2))).shape == (10, 1, 1, 1)
    assert calls == [4, 4, 2]


@pytest.mark.slow
def test_every_stage_up_to_1024_steps():
    """One step of each stage, with small widths and the paper's batch sizes."""
    given = {"max_res": 1024, "fmap_base": 512, "fmap_max": 512, "z_dim": 512, "batch_size": 16}
    trainer = make(**given, fade_kimg=0.001, stable_kimg=0.001)
    batches = []
    for stage in range(9):
        trainer.seen.assign(trainer.growth.end(stage - 1) if stage else 0)
        images, labels = batch(trainer, stage)
        batches.append(len(labels[0]))
        terms = trainer.step(images, labels)
        assert terms["stage"] == stage
        assert all(np.isfinite(float(v)) for v in terms.values())
        assert trainer.compiled.experimental_get_tracing_count() == 1
    assert batches == [16] * 6 + [14, 6, 3]
    assert trainer.preview()[0].shape == (16, 1024, 1024, 3)


# ---- the command line ------------------------------------------------------------------------


RUN = {**TINY, **SHORT, "dataset": "pics", "max_res": 8, "log_every": 1, "sample_every": 2}
RUN = [word for name, value in RUN.items() for word in (f"--{name}", value)]


@pytest.mark.slow
def test_a_compiled_run_resumed_in_a_fade_equals_an_unbroken_one(cli, tmp_path):
    whole_and_parts(cli, tmp_path)


def test_a_run_resumed_in_a_fade_equals_an_unbroken_one(cli, tmp_path, eager):
    """Two steps at 4x4, four that fade 8x8 in, and two after the fade."""
    whole_and_parts(cli, tmp_path)
    check_pictures()
    check_test_mode(cli)
    status, *_ = cli("--name", "parts", "--train", "--final_kimg", 0.016)  # a longer last stage
    assert (status, log_rows("checkpoint/parts")[-1]["kimg"]) == (0, "0.04")


def whole_and_parts(cli, tmp_path):
    """Train a run, and a run that is stopped after five steps and resumed."""
    folder_of_images(tmp_path / "data" / "pics")
    assert cli(*RUN, "--train", "--name", "whole")[0] == 0
    assert cli(*RUN, "--train", "--name", "parts", "--max_steps", 5)[0] == 0
    rows = log_rows("checkpoint/parts")
    assert (rows[-1]["stage"], rows[-1]["alpha"]) == ("1", "0.5")
    generator = keras.saving.load_model("checkpoint/parts/generator.keras")
    assert [x.scale for x in generator.layers if isinstance(x, keras.layers.Rescaling)] == [0.5] * 2
    status, out, _ = cli("--name", "parts", "--train")
    assert status == 0
    assert "resumed checkpoint/parts at step 5" in out
    assert "done at step 8 of 8" in out
    whole, parts = checkpoint("checkpoint/whole", 8), checkpoint("checkpoint/parts", 8)
    assert len(whole) > 50
    assert same(whole, parts) == []
    rows, others = log_rows("checkpoint/parts"), log_rows("checkpoint/whole")
    times = [float(row.pop("stage_seconds")) for row in rows]
    assert rows == [{k: v for k, v in r.items() if k != "stage_seconds"} for r in others]
    assert times == sorted(times[:2]) + sorted(times[2:])
    assert [r["stage"] for r in rows] == ["0"] * 2 + ["1"] * 6
    assert [r["alpha"] for r in rows] == ["1", "1", "0", "0.25", "0.5", "0.75", "1", "1"]
    assert rows[-1]["kimg"] == "0.032"
    status, out, _ = cli("--name", "parts", "--train")
    assert "nothing left to do: the schedule of --arch pggan has ended, see --final_kimg" in out
    for flag, value in (("fade_kimg", 0.02), ("stable_kimg", 1), ("max_res", 16), ("fmap_max", 4)):
        status, _, err = cli("--name", "parts", "--train", f"--{flag}", value)
        assert (status, err.count("\n")) == (2, 1)
        assert f"{flag}=" in err


def check_pictures():
    """Check that grids have their stage's size, and the film's frames the last stage's."""
    for step, side in ((0, 32), (2, 32), (4, 64), (8, 64)):
        with Image.open(f"samples/parts/train_{step // 5:02d}_{step % 5:04d}.png") as image:
            assert image.size == (side, side)
    with Image.open("samples/training.gif") as film:
        assert (film.size, film.n_frames) == ((64, 64), 6)
        first = np.asarray(film.convert("RGB"))
    blocks = first.reshape(32, 2, 32, 2, 3)
    np.testing.assert_array_equal(blocks, blocks[:, :1, :, :1] + 0 * blocks)


def check_test_mode(cli):
    words = ("--dataset", "pics", "--arch", "pggan", "--sample_dir", "made")
    more = ("--num_samples", 2, "--interpolate", 2, "--visualize", "--batch_size", 9)
    assert cli(*words, *more)[0] == 0
    names = {path.name for path in Path("made").glob("*/[!.]*")} - {"interpolation.mp4"}
    films = {"interpolation.gif", "interpolation.webp"}
    sheets = {"test.png", "test_move.png", "test_00000.png", "test_00001.png"}
    assert names == sheets | films | {f"test_move_0{i}.gif" for i in range(1, 7)}
    with Image.open(next(Path("made").glob("*/test.png"))) as image:
        assert image.size == (24, 24)


def test_images_of_a_small_stage_are_evaluated_at_full_size(cli, tmp_path, eager):
    folder_of_images(tmp_path / "data" / "pics", count=120)
    words = (*RUN, "--max_steps", 1, "--eval_samples", 100)
    assert cli(*words, "--train", "--eval_every", 1)[0] == 0
    assert (
        "swd_8" not in log_rows("checkpoint/pics_4_8_8_pggan")[0]
    )  # needs images of at least 16 pixels
    assert cli(*words, "--evaluate")[0] == 0
    with Image.open("samples/pics_4_8_8_pggan/nearest.png") as image:
        assert image.size == (64, 64)


@pytest.mark.parametrize(
    "arch", [n for n, row in tables.ARCHS.items() if row.task is tables.GENERATION]
)
def test_dry_run(cli, arch, monkeypatch, eager):
    size = max(32, tables.ARCHS[arch].min_size)
    small = {"output_height": size, "g_width": 8, "d_width": 8, "fmap_max": 8, "max_res": 8}
    small |= {"critic_num": 1}
    words = [word for name, value in small.items() for word in (f"--{name}", value)]
    monkeypatch.setattr(dry_run, "MAX_SECONDS", 0)
    status, out, err = cli("--dataset", "digits", "--arch", arch, *words, "--train", "--dry_run")
    assert (status, err) == (0, "")
    assert f"arch={arch}" in out
    assert "x1, 10 classes" in out
    assert "179 of 1,797 images are held out of training, to measure against\n" in out
    lines = [line for line in out.splitlines() if " in batches of " in line]
    assert len(lines) == (2 if arch == "pggan" else 1)
    side = 8 if arch == "pggan" else size
    given = {"g_width": (8,), "d_width": (8,), "fmap_max": 8, "max_res": 8}
    c = resolve({"dataset": "digits", "arch": arch, "output_height": size, **given})
    stages = dry_run.build_stages(c, ImageSpec(side, side, 1, 1, 10))
    counts = [f"{memory.parameters(network):,}" for network in stages[-1][:2]]
    assert f"generator {counts[0]} parameters, critic {counts[1]}, " in lines[-1]
    assert (", decoder 33,776, memory" in lines[-1]) == (arch == "fastgan")
    last = out.splitlines()[-6 if arch == "pggan" else -4 :]
    assert "memory of a train step: about" in last[0]
    assert last[1].startswith("device: ")
    lengths = {"pggan": "150,000 generator", "fastgan": "16,000 generator updates = 158 epochs"}
    assert last[2].startswith(lengths.get(arch, "16,000 generator updates = 640 epochs"))
    if arch == "pggan":  # half of the images are of each stage
        assert re.fullmatch(r"4x4: 50,000 updates at \S+ s", last[3])
        assert re.fullmatch(r"8x8: 100,000 updates at \S+ s", last[4])
        assert re.fullmatch(r"about \d+ \w+ in all", last[5])
    else:
        assert re.search(r"[\d.e+-]+ s an update", last[3])
    assert not Path("checkpoint").exists() and not Path("data").exists()


@pytest.mark.parametrize(
    ("more", "lines"),
    [
        ((), ["4x4: 2 updates at 2 s", "8x8: 6 updates at 4 s", "about 28 seconds in all"]),
        (
            ("--max_steps", 3, "--max_minutes", 0.1),
            [
                "4x4: 2 updates at 2 s",
                "8x8: 1 updates at 4 s",
                "about 8 seconds in all, but --max_minutes ends it after 6 seconds",
            ],
        ),
        (("--max_steps", 2), ["4x4: 2 updates at 2 s", "about 4 seconds in all"]),
    ],
)
def test_a_dry_run_times_the_updates_of_each_stage(cli, monkeypatch, eager, more, lines):
    def seconds(trainer):
        size = trainer.critic.inputs[0].shape[1]
        for _ in range(9):  # more than the first stage has
            images, labels = trainer.random_batch(0)
            assert images.shape[1] == trainer.batch_size and float(trainer.alpha) == 1
            trainer.step(images, labels)
        assert trainer.critic.inputs[0].shape[1] == size
        return size / 2

    monkeypatch.setattr(dry_run, "time_updates", seconds)
    out = cli(*RUN, "--dataset", "digits", *more, "--dry_run")[1].splitlines()
    assert out[-len(lines) :] == lines
    assert not out[-len(lines) - 1].startswith("4x4")


def test_a_dry_run_needs_no_data(cli, monkeypatch, eager):
    monkeypatch.setattr(dry_run, "MAX_SECONDS", 0)
    status, out, _ = cli("--dataset", "absent", "--g_width", 8, "--d_width", 8, "--dry_run")
    assert status == 0
    assert "note: no folder data/absent" in out
    assert "images 64x64x3, no classes" in out
    assert "\n16,000 generator updates; 5,000 to 30,000 are usual\nabout " in out
    monkeypatch.setattr(memory, "free_bytes", lambda: 400_000_000)
    out = cli("--dataset", "absent", "--g_width", 8, "--d_width", 8, "--epoch", 3, "--dry_run")[1]
    assert "generator updates" not in out  # the number of images is unknown
    assert out.endswith("\nnot timed: 400 MB of free memory are too little\n")


def test_counts_of_the_memory_estimate():
    """The activations of a convolution and a dense layer, for each image."""
    x = keras.Input((8, 8, 2))
    y = keras.layers.Conv2D(4, 3, padding="same")(x)  # 8·8·4 after the bias
    y = keras.layers.Dense(5)(keras.layers.Flatten()(y))  # 5 before the bias and 5 after
    network = keras.Model(x, y)
    assert memory.activations(network) == 8 * 8 * 4 + 5 + 5
    assert memory.parameters(network) == 18 * 4 + 4 + 256 * 5 + 5
    assert [memory.slots(keras.optimizers.get(n)) for n in ("adam", "rmsprop", "sgd")] == [
        2,
        1,
        0,
    ]
    assert [memory.size_text(n) for n in (12.3e6, 4.567e9)] == ["12 MB", "4.57 GB"]


def test_the_memory_of_a_step_by_hand():
    """Dense layers with 4 activations for each image in the generator, and 2 in the critic."""
    generator = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, use_bias=False)])
    critic = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, use_bias=False)])
    given = {"batch": 10, "penalised": 5, "slots": 2, "pixels": 7, "weights": 100}
    g, d = memory.activations(generator), memory.activations(critic)
    assert (g, d) == (4, 2)
    kept = 100 + 3 * (12 + 8)
    want = 4 * (kept + 10 * 7 + 0.6 * (10 * (4 + 2 * 2) + 3 * 5 * 2))
    assert memory.step_bytes(generator, critic, **given) == pytest.approx(want)
    found = memory.step_bytes(generator, critic, decoder=generator, **given)  # 12 weights more
    assert found == pytest.approx(want + 4 * (3 * 12 + 0.6 * 10 * 4))

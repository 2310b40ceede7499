"""CycleGAN: the networks' sizes, the parts of a step, and the trainer."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import losses
from architectures.cyclegan.images import augment, translate
from architectures.cyclegan.networks import UPSAMPLE
from architectures.cyclegan.schedule import rate_factor
from commands import build
from config import tables
from config.resolve import resolve
from datasets.packed import ImageSpec
from tests.conftest import same, values

TINY = {"arch": "cyclegan", "dataset": "x", "output_height": 24, "batch_size": 2}
TINY |= {"g_width": (2,), "d_width": (2,), "n_residual_blocks": 1}


def networks(channels=3, **given):
    c = resolve({**TINY, **given})
    return build.build_networks(c, ImageSpec(c.output_height, c.output_width, channels, 1, 0))


def make(per_epoch=10, channels=3, strategy=None, **given):
    c = resolve({**TINY, **given})
    spec = ImageSpec(c.output_height, c.output_width, channels, 1, 0)
    rng = np.random.default_rng(9)
    shape = (3, c.output_height, c.output_width, channels)
    shown = tuple(rng.integers(0, 256, shape, dtype=np.uint8) for _ in "AB")
    return build.build_trainer(c, spec, per_epoch, shown, strategy)


def batch(trainer, seed=0, n=None):
    """Return random uint8 images of A and B for a step, larger than the crops."""
    rng = np.random.default_rng(seed)
    n = trainer.batch_spec(0)[0] if n is None else n
    shape = (n, trainer.batch_size, 26, 26, trainer.image[-1])
    return [tf.constant(rng.integers(0, 256, shape, dtype=np.uint8)) for _ in "AB"]


# ---- the networks ----------------------------------------------------------------------------


def count(network):
    return sum(int(np.prod(w.shape)) for w in network.weights)


PAPER = {"g_width": (64,), "d_width": (64,)}


def test_parameters_of_the_papers_and_the_seeds_networks():
    """Both directions have equal sizes, and no moving statistics (SPEC 9)."""
    for size, blocks, parameters in ((256, 9, 11_378_179), (128, 6, 7_837_699)):
        c = resolve({**TINY, **PAPER, "output_height": size, "n_residual_blocks": None})
        assert c.n_residual_blocks == blocks
        generators, critics = networks(**PAPER, output_height=size, n_residual_blocks=None)
        assert [count(g) for g in generators] == [parameters] * 2
        assert [count(d) for d in critics] == [2_764_737] * 2
    seeds = {**PAPER, "n_residual_blocks": 9, "upsample": "nearest", "patch": "16"}
    generators, critics = networks(**seeds, output_height=64)
    assert (count(generators[0]), count(critics[0])) == (11_378_179, 2_764_737)


def reach(critic):
    """Return the side of a score's receptive field, and the pixels between two scores."""
    field, jump = 1, 1
    for layer in critic.layers:
        if isinstance(layer, keras.layers.Conv2D):
            field += (layer.kernel_size[0] - 1) * jump
            jump *= layer.strides[0]
    return field, jump


@pytest.mark.parametrize(
    ("patch", "size", "field", "scores"),
    [("70", 256, 70, 30), ("70", 64, 70, 6), ("16", 256, 94, 16), ("16", 64, 94, 4)],
)
def test_a_critic_scores_patches(patch, size, field, scores):
    critic = networks(patch=patch, output_height=size)[1][0]
    assert reach(critic) == (field, 8 if patch == "70" else 16)
    assert critic.outputs[0].shape[1:] == (scores, scores, 1)


@pytest.mark.parametrize("patch", ["70", "16"])
def test_the_receptive_field_of_a_score(patch):
    """Measured by the gradient of the middle score. Norms, which see the whole image, are off."""
    critic = networks(patch=patch, output_height=256, critic_norm="none")[1][0]
    x = tf.constant(np.random.default_rng(0).normal(size=(1, 256, 256, 3)), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(x)
        scores = critic([x])
        middle = scores.shape[1] // 2
        score = scores[0, middle, middle, 0]
    rows = np.abs(tape.gradient(score, x)[0]).sum((1, 2)).nonzero()[0]
    assert np.ptp(rows) + 1 == reach(critic)[0]


@pytest.mark.parametrize("upsample", ["deconv", "nearest"])
def test_a_generator_takes_sizes_that_are_multiples_of_four(upsample):
    for channels in (1, 3):
        generator = networks(channels, upsample=upsample)[0][0]
        x = np.random.default_rng(0).normal(size=(2, 28, 40, channels)).astype(np.float32)
        made = np.array(generator(x))
        assert made.shape == x.shape
        assert np.abs(made).max() <= 1
        np.testing.assert_allclose(generator(x[:1]), made[:1], atol=1e-6)  # samples are independent


def test_the_deconvolution_is_the_transpose_of_the_convolution():
    """<conv(x), y> = <x, deconv(y)> with the same kernel, so that no pixel is shifted."""
    x = keras.Input((8, 8, 3))
    down = keras.layers.Conv2D(5, 3, 2, use_bias=False)
    conv = keras.Model(x, down(keras.layers.ZeroPadding2D(1)(x)))
    y = keras.Input((4, 4, 5))
    deconv = keras.Model(y, UPSAMPLE["deconv"](y, 3))
    deconv.layers[1].set_weights([down.get_weights()[0], np.zeros(3)])
    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=(1, *m.inputs[0].shape[1:])).astype(np.float32) for m in (conv, deconv))
    assert np.sum(conv(a) * b) == pytest.approx(float(np.sum(a * deconv(b))), rel=1e-4)


def test_instance_norm_has_no_scale_and_offset():
    generators, critics = networks()
    for network in (*generators, *critics):
        norms = [x for x in network.layers if isinstance(x, keras.layers.GroupNormalization)]
        assert len(norms) == (7 if network in generators else 3)
        assert not any(x.weights for x in norms)
        x = np.random.default_rng(0).normal(3, 5, (2, 8, 8, norms[0].input.shape[-1]))
        y = np.array(norms[0](x.astype(np.float32)))
        np.testing.assert_allclose(y.mean((1, 2)), 0, atol=1e-5)
        np.testing.assert_allclose(y.std((1, 2)), 1, atol=1e-3)
    assert count(networks(critic_norm="layer")[1][0]) > count(critics[0])


# ---- the parts of a step ---------------------------------------------------------------------


def test_the_rate_factor_falls_to_zero():
    """200 epochs with a fall from epoch 100 (SPEC 10.5)."""
    wanted = {0: 1, 99: 1, 100: 1, 101: 0.99, 150: 0.5, 199: 0.01, 200: 0}
    for epoch, factor in wanted.items():
        assert float(rate_factor(epoch, 200, 100)) == pytest.approx(factor, abs=1e-6)
    assert float(rate_factor(9, 10, 10)) == 1
    assert float(rate_factor(5, 10, 1000)) == 1


def test_steps_use_the_rates_of_their_epoch(eager):
    trainer = make(per_epoch=2, epoch=4, learning_rate=1e-3, d_learning_rate=2e-3)
    terms = [{"x": tf.constant(0.0)}, {"y": tf.constant(0.0)}]
    trainer._train_generators = lambda real, key: (real, 0.0, terms)
    keys, found = [], []
    trainer._train_critics = lambda *parts: keys.append(tuple(parts[-1].numpy())) or terms
    for i in range(8):
        rate = float(trainer.step(*batch(trainer, i))["learning_rate"])
        used = [float(w.g_optimizer.learning_rate) for w in trainer.directions]
        assert used == [pytest.approx(rate)] * 2
        used = [float(w.d_optimizer.learning_rate) for w in trainer.directions]
        assert used == [pytest.approx(2 * rate)] * 2
        found.append(rate)
    assert found == pytest.approx([1e-3] * 4 + [1e-3] * 2 + [5e-4] * 2)
    assert len(set(keys)) == 8  # each step has its own random key
    trainer.resume(1e-2, 1e-2)  # other initial rates, with the same decay
    trainer.count.assign(6)
    assert float(trainer.step(*batch(trainer))["learning_rate"]) == pytest.approx(5e-3)


def test_crops_and_flips():
    """Each pixel's value is its position, which shows where a crop comes from."""
    places = np.arange(11 * 13).reshape(11, 13)
    images = tf.constant(np.repeat(places[None, ..., None], 200, 0).astype(np.uint8))
    key = tf.constant([1, 2])
    got = np.array(augment(images, (8, 9), key, mirror=True))
    got = np.round((got[..., 0] + 1) * 127.5).astype(int)
    starts, flips = set(), 0
    for crop in got:
        flip = crop[0, 0] > crop[0, -1]
        upright = crop[:, ::-1] if flip else crop
        top, left = divmod(upright[0, 0], 13)
        np.testing.assert_array_equal(upright, places[top : top + 8, left : left + 9])
        starts.add((top, left))
        flips += flip
    assert starts == {(i, j) for i in range(4) for j in range(5)}
    assert 70 < flips < 130
    still = np.array(augment(images, (8, 9), key, mirror=False))[..., 0]
    assert (np.diff(still) > 0).all()
    whole = augment(images[:, :8, :9], (8, 9), key, mirror=False)
    np.testing.assert_allclose(whole, images.numpy()[:, :8, :9] / 127.5 - 1, atol=1e-6)


def painted(numbers):
    """Return an image of constant value for each number."""
    return tf.fill([len(numbers), 24, 24, 3], 0.0) + np.reshape(numbers, (-1, 1, 1, 1))


def test_the_history_fills_and_then_replaces_half_of_the_fakes():
    """The first 50 fakes are returned; then half are swapped for stored ones (SPEC 10.8)."""
    direction = make(batch_size=50, pool_size=50, g_width=(1,), d_width=(1,)).directions[0]
    from_history = tf.function(direction.from_history)
    first = np.array(from_history(painted(np.arange(30)), tf.constant([0, 0])))[:, 0, 0, 0]
    np.testing.assert_array_equal(first, np.arange(30))
    assert int(direction.held) == 30
    kept, swapped = list(range(30)), 0
    for i in range(1, 21):
        new = np.arange(50) + 50.0 * i
        shown = np.array(from_history(painted(new), tf.constant([i, 1])))[:, 0, 0, 0]
        assert shown.shape == (50,)
        for fresh, out in zip(new, shown):  # the expected history, as a list
            if len(kept) < 50:
                kept.append(fresh)
                assert out == fresh
            elif out != fresh:
                kept[kept.index(out)] = fresh
                swapped += 1
        assert sorted(np.array(direction.pool)[:, 0, 0, 0]) == sorted(kept)
    assert int(direction.held) == len(kept) == 50
    assert abs(swapped / (20 * 50 - 20) - 0.5) < 0.06


def test_without_a_history_fakes_are_unchanged():
    direction = make(pool_size=0).directions[0]
    x = painted([1.0, 2.0])
    assert direction.from_history(x, tf.constant([0, 0])) is x


class Shift(keras.layers.Layer):
    """A generator that adds a number, and records the batch sizes of its calls."""

    def __init__(self, by):
        super().__init__()
        self.by, self.calls = by, []

    def call(self, x, training=None):
        self.calls.append(x.shape[0])
        return x + self.by


def test_the_generators_loss_by_hand():
    """Generators add 0.2 and 0.5 to images of 0.1 and 0.3; critics return the mean (eq. 3)."""
    for weight in (0.0, 5.0):
        trainer = make(lambda_identity=weight)
        for direction, by in zip(trainer.directions, (0.2, 0.5)):
            direction.generator = Shift(by)
            direction.critic = lambda x, training: tf.reduce_mean(x[0], 3, keepdims=True)
        real = [painted([0.1, 0.1]), painted([0.3, 0.3])]
        _, terms, total = trainer._generator_loss(real, tf.constant([0, 0]))
        wanted = [
            {"adversarial_A2B": (0.3 - 1) ** 2, "cycle_A": 0.7, "identity_B": 0.2},
            {"adversarial_B2A": (0.8 - 1) ** 2, "cycle_B": 0.7, "identity_A": 0.5},
        ]
        calls = [4, 2] if weight else [2, 2]
        assert [direction.generator.calls for direction in trainer.directions] == [
            calls,
            calls[::-1],
        ]
        for got, want in zip(terms, wanted):
            part = {n: v for n, v in want.items() if weight or not n.startswith("identity")}
            assert {n: float(v) for n, v in got.items()} == pytest.approx(part, abs=1e-6)
        by_hand = 0.49 + 0.04 + 10 * (0.7 + 0.7) + weight * (0.2 + 0.5)
        assert float(total) == pytest.approx(by_hand, abs=1e-5)


@pytest.mark.parametrize("size", [24, 32])
def test_a_critic_of_large_patches_sees_small_images(size):
    """Instance norm would make the last maps 0, where they are single pixels."""
    critic = networks(patch="16", output_height=size)[1][0]
    images = np.random.default_rng(0).uniform(-1, 1, (2, size, size, 3)).astype(np.float32)
    scores = np.asarray(critic(images))
    assert np.abs(scores[0] - scores[1]).max() > 1e-6


def test_the_score_of_an_image_is_the_mean_of_its_patches():
    """The scores are 3·x at 4x4 pixels. The gradient of their mean is 3/16 at each, of norm 3/4."""
    x = tf.zeros((2, 4, 4, 1))
    assert losses.squared_gradient(lambda x: 3 * x, x).numpy() == pytest.approx([9 / 16] * 2)
    scores = tf.constant(np.arange(8.0).reshape(2, 2, 2, 1))
    assert losses.per_image(scores).numpy() == pytest.approx([1.5, 5.5])
    assert losses.per_image(tf.constant([1.0, 2.0])).numpy() == pytest.approx([1, 2])


def test_a_critics_loss_is_over_patches(eager):
    """The least-squares loss is of the patches, not of their means."""
    trainer = make()
    direction = trainer.directions[0]
    images = [tf.random.stateless_normal((2, 24, 24, 3), [i, 0]) for i in range(2)]
    real, fake = (np.array(direction.critic([x], training=True)) for x in images)
    terms = direction.critic_step(*images, [], tf.constant([0, 0]))
    by_hand = np.mean((real - 1) ** 2) / 2 + np.mean(fake**2) / 2
    assert float(terms["critic_loss"]) == pytest.approx(by_hand, rel=1e-5)
    assert float(terms["score_gap"]) == pytest.approx(np.mean(real) - np.mean(fake), abs=1e-6)


# ---- the trainer -----------------------------------------------------------------------------


def test_every_mode_steps(eager):
    trainer = make(mode="gp", batch_size=1, critic_num=1)
    for mode, row in tables.MODES.items():
        given = vars(resolve({**TINY, "mode": mode, "clip_up": 0.02}))
        for direction in trainer.directions:
            direction.objective = build.build_objective(mode, given)
        terms = trainer.step(*batch(trainer))
        assert all(np.isfinite(float(v)) for v in terms.values()), mode
        names = {"generator_loss", f"{row.gap}_A", f"{row.gap}_B", "critic_loss_A", "critic_loss_B"}
        assert names <= set(terms)
        assert ("penalty_A" in terms) == (row.defaults["penalty"] != "none")
        assert trainer.problem() is None
        for direction in trainer.directions if mode == "regular" else ():
            weights = np.concatenate([w.ravel() for w in direction.critic.get_weights()])
            assert (weights.min(), weights.max()) == pytest.approx((-0.01, 0.02), abs=1e-8)


def test_a_step_is_traced_once_and_counted():
    trainer = make(critic_num=2, pool_size=3)
    rows = [trainer.step(*batch(trainer, i)) for i in range(3)]
    assert trainer.step.experimental_get_tracing_count() == 1
    assert (int(trainer.count), int(trainer.seen)) == (3, 3 * 2 * 2)
    assert [int(direction.held) for direction in trainer.directions] == [3, 3]
    for direction in trainer.directions:
        assert int(direction.d_optimizer.iterations) == 6
        assert int(direction.g_optimizer.iterations) == 3
    assert rows[0].keys() == rows[2].keys()
    assert len({float(r["cycle_A"]) for r in rows}) == 3
    images, columns = trainer.preview()
    assert (images.shape, columns) == ((18, 24, 24, 3), 6)
    np.testing.assert_allclose(images[[0, 3]], [x[0] / 127.5 - 1 for x in trainer.shown], atol=1e-6)
    fake = translate(trainer.directions[0].average, images[6:7])
    np.testing.assert_allclose(images[7:8], fake, atol=1e-5)
    np.testing.assert_allclose(
        images[8:9], translate(trainer.directions[1].average, fake), atol=1e-5
    )


def test_an_update_changes_one_kind_of_network_only(eager):
    for still, moving in (("generator", "critic"), ("critic", "generator")):
        trainer = make()
        trainer.resume(*(0.0 if still == name else 1e-3 for name in ("generator", "critic")))
        before = values(trainer.state)
        trainer.step(*batch(trainer))
        changed = {name.partition("_")[0] for name in same(before, values(trainer.state))}
        assert moving in changed
        assert still not in changed


def test_the_critics_see_the_fakes_from_before_the_update(eager):
    """Without a history: fakes of the initial weights, from the same crops and flips."""
    trainer = make(pool_size=0, learning_rate=0.1)
    first = [keras.models.clone_model(direction.generator) for direction in trainer.directions]
    for old, direction in zip(first, trainer.directions):
        old.set_weights(direction.generator.get_weights())
    seen = []
    for direction in trainer.directions:
        direction.critic_step = lambda real, fake, labels, key: (
            seen.append((real, fake)) or {"critic_loss": 0.0, "score_gap": 0.0}
        )
    trainer.step(*batch(trainer))
    (real_b, fake_b), (real_a, fake_a) = seen
    np.testing.assert_allclose(fake_b, first[0](real_a), atol=1e-5)
    np.testing.assert_allclose(fake_a, first[1](real_b), atol=1e-5)


def test_low_precision_is_close_to_float32(eager):
    whole, halves = make(), {name: make(precision=name) for name in ("bfloat16", "float16")}
    for i in range(2):
        fed = batch(whole, seed=i)
        expected = whole.step(*fed)
        for half in halves.values():
            found = half.step(*fed)
            for name, value in expected.items():
                assert float(found[name]) == pytest.approx(float(value), rel=0.05, abs=0.02), name
    for precision, half in halves.items():
        assert half.problem() is None
        scales = [float(getattr(w.g_optimizer, "dynamic_scale", 0)) for w in half.directions]
        assert all((scale > 1) == (precision == "float16") for scale in scales)
        assert scales[0] == scales[1]
        for network in half.networks.values():
            assert {layer.compute_dtype for layer in network.layers} == {"float32"}


def test_the_ema_follows_the_generator(eager):
    trainer = make(ema=0.999)
    old = trainer.directions[0].average.get_weights()
    trainer.step(*batch(trainer))
    pairs = zip(
        old,
        trainer.directions[0].generator.get_weights(),
        trainer.directions[0].average.get_weights(),
    )
    for before, weight, mean in pairs:  # keeps (1 + t) / (10 + t) of the old value, with t = 1
        np.testing.assert_allclose(mean, 2 / 11 * before + 9 / 11 * weight, atol=1e-6)


def test_an_overflow_of_one_generator_skips_both(eager):
    """Both loss scales stay equal, as the two generators share one scaled loss."""
    trainer = make(precision="float16")
    for direction in trainer.directions:
        direction.g_optimizer.dynamic_scale.assign(2.0**15)
    trainer.directions[1].generator.trainable_variables[-2].assign_add(
        tf.fill(trainer.directions[1].generator.trainable_variables[-2].shape, 50.0)
    )
    before = [direction.generator.get_weights() for direction in trainer.directions]
    trainer.step(*batch(trainer))
    scales = [float(direction.g_optimizer.dynamic_scale) for direction in trainer.directions]
    assert scales[0] == scales[1]
    changed = [
        any(not np.array_equal(a, b) for a, b in zip(old, direction.generator.get_weights()))
        for old, direction in zip(before, trainer.directions)
    ]
    assert changed[0] == changed[1] == (scales[0] == 2.0**15)


def test_each_critic_update_of_a_burst_has_new_fakes(eager, monkeypatch):
    trainer = make(critic_bursts=True, pool_size=0)
    seen, update = [], trainer.directions[0].critic_step
    monkeypatch.setattr(
        trainer.directions[0],
        "critic_step",
        lambda real, fake, *rest: seen.append(fake.numpy()) or update(real, fake, *rest),
    )
    trainer.step(*batch(trainer, n=2))
    assert len(seen) == 2
    assert np.abs(seen[0] - seen[1]).max() > 0.01


def test_a_non_finite_step_is_reported(eager):
    trainer = make()
    trainer.directions[1].generator.trainable_variables[0].assign(
        np.nan * trainer.directions[1].generator.trainable_variables[0]
    )
    trainer.step(*batch(trainer))
    assert "cycle_A" in trainer.problem()
    assert "not finite at step 1" in trainer.problem()

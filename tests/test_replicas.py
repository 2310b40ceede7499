"""Two replicas on one CPU have the results of one device."""

import numpy as np
import pytest
import tensorflow as tf

from commands import build, devices
from config.resolve import resolve
from datasets import packed as packing
from datasets.packed import Batches
from tests import test_cyclegan
from tests.conftest import TINY, batch, checkpoint, values
from training import replicas

SMALL = {**TINY, "batch_size": 8}


@pytest.fixture(scope="module")
def two():
    """A strategy of two replicas."""
    return replicas.choose_strategy(("GPU", "CPU"))


def make(strategy=None, **given):
    c = resolve({**SMALL, **given})
    spec = packing.ImageSpec(c.output_height, c.output_width, 1, 100, 10)
    return build.build_trainer(c, spec, strategy=strategy)


def on_each(strategy, function, *words):
    """Return the results of a function on each replica, as arrays."""
    found = strategy.run(function, words)
    return [np.array(v) for v in strategy.experimental_local_results(found)]


def compare(one, other, steps):
    """Step both trainers on the same batches, and compare their terms and final weights."""
    for i in range(steps):
        fed = [tf.constant(x) for x in batch(one, one.batch_spec(i)[0], seed=i)]
        expected, found = one.step(*fed), other.step(*fed)
        assert expected.keys() == found.keys()
        for name, value in expected.items():
            assert float(found[name]) == pytest.approx(float(value), rel=1e-5, abs=1e-5), name
    a, b = values(one.state), values(other.state)
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_allclose(b[name], a[name], rtol=1e-4, atol=2e-5, err_msg=name)


# ---- functions -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given, expected",
    [
        ({}, []),
        ({"strategy": "none"}, []),
        ({"strategy": "mirrored"}, ["note: --strategy mirrored has no effect with one device"]),
        (
            {"strategy": "multiworker"},
            ["note: --strategy multiworker has no effect with one device"],
        ),
        ({"jit": True}, ["note: --jit True is for GPUs: on a CPU it makes steps slower"]),
    ],
)
def test_remarks_name_useless_flags_on_one_cpu(given, expected):
    lines = devices.remarks(resolve(given), tf.distribute.get_strategy())
    assert lines == expected


def test_no_remark_about_xla_on_a_gpu(monkeypatch):
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: [kind])
    assert devices.remarks(resolve({"jit": True}), tf.distribute.get_strategy()) == []


def test_one_device_needs_no_strategy():
    for kinds in ((), ("GPU",)):
        assert replicas.choose_strategy(kinds).num_replicas_in_sync == 1
    assert replicas.local_replicas(replicas.choose_strategy(())) == ((0,), 1)
    assert replicas.replica_count() == 1


def test_each_replica_has_every_second_row(two):
    assert replicas.local_replicas(two) == ((0, 1), 2)
    rows = tf.reshape(tf.range(12), (6, 2))
    parts = on_each(two, replicas.replica_rows, rows)
    np.testing.assert_array_equal(parts[0][:, 0], [0, 4, 8])
    np.testing.assert_array_equal(parts[1][:, 0], [2, 6, 10])
    steps = tf.reshape(tf.range(8), (2, 4))
    np.testing.assert_array_equal(
        on_each(two, lambda x: replicas.local_rows(two, x), steps)[1], [[1, 3], [5, 7]]
    )
    np.testing.assert_array_equal(replicas.local_rows(replicas.choose_strategy(()), steps), steps)


@pytest.mark.parametrize("rows", [2, 3])
def test_replicas_draw_their_rows_of_the_whole_draw(two, rows):
    """A longer draw begins with a shorter one, so that odd batches can be split, too."""
    key = tf.constant([1, 2])
    whole = tf.random.stateless_uniform((2 * rows, 3), key)
    parts = on_each(two, lambda: replicas.uniform(key, (rows, 3)))
    np.testing.assert_array_equal(parts[0], whole[::2])
    np.testing.assert_array_equal(parts[1], whole[1::2])
    fewer = tf.random.stateless_uniform((2 * rows - 1, 3), key)
    np.testing.assert_array_equal(fewer, whole[:-1])


def test_rows_after_the_count_are_masked(two):
    parts = on_each(two, lambda: replicas.mask_after(tf.ones(3), 5))
    assert [list(p) for p in parts] == [[1, 1, 1], [1, 1, 0]]
    assert [list(p) for p in on_each(two, lambda: replicas.mask_after(tf.ones(3), 6))] == [
        [1] * 3
    ] * 2
    np.testing.assert_array_equal(replicas.mask_after(tf.ones(3), 3), [1, 1, 1])


def test_moments_are_over_all_replicas(two):
    x = np.random.default_rng(0).normal(3, 2, (8, 5)).astype(np.float32)
    for mean, variance in zip(
        on_each(two, lambda: replicas.moments(replicas.replica_rows(x), [0])[0]),
        on_each(two, lambda: replicas.moments(replicas.replica_rows(x), [0])[1]),
    ):
        np.testing.assert_allclose(mean, x.mean(0), rtol=1e-5)
        np.testing.assert_allclose(variance, x.var(0), rtol=1e-4)
    for own in on_each(two, lambda: replicas.deviation(replicas.replica_rows(x))):
        assert own == pytest.approx(x.std(), rel=1e-5)


def test_terms_are_summed_over_replicas(two):
    terms = two.run(lambda: {"a": tf.constant(1.5), "b": tf.cast(replicas.index(), tf.float32)})
    assert {n: float(v) for n, v in replicas.reduce_terms(two, terms).items()} == {"a": 3, "b": 1}


@pytest.mark.parametrize(("facts", "found"), [((1, 2, 3), ["steps"]), ((2, 2, 2), [])])
def test_a_process_with_the_mean_value_sees_a_difference(monkeypatch, facts, found):
    class Three:
        num_replicas_in_sync = 3

    def global_sums(_, numbers):
        assert list(numbers) == [2, 4]
        return np.array([sum(facts), sum(n * n for n in facts)])

    monkeypatch.setattr(replicas, "_is_one_process", lambda _: False)
    monkeypatch.setattr(replicas, "_global_sums", global_sums)
    assert replicas.differing(Three(), {"steps": 2}) == found


def test_a_process_takes_only_the_rows_of_its_replicas():
    images = np.arange(24, dtype=np.uint8).reshape(24, 1, 1, 1)
    labels = np.arange(24, dtype=np.int32)
    whole, labels_of_all = Batches(images, labels, seed=0).take(0, (2, 8))
    for own in ((0, 1), (2, 3)):
        part = Batches(images, labels, seed=0, rows=(own, 4))
        got, got_labels = part.take(0, (2, 8))
        columns = [g for g in range(8) if g % 4 in own]
        np.testing.assert_array_equal(got, whole[:, columns])
        np.testing.assert_array_equal(got_labels, labels_of_all[:, columns])
        assert len(part.take(0, (8,))[0]) == 8  # a preview is not split


# ---- whole steps -----------------------------------------------------------------------------


def test_each_trainer_checks_its_own_weights(two):
    first, second = (make(two, arch="mlp", conditional=False) for _ in range(2))
    assert first.problem() is None and second.problem() is None
    weight = second.critic.trainable_variables[0]
    weight.assign(np.full(weight.shape, np.nan))
    assert first.problem() is None
    assert second.problem() == "the critic's weights not finite at step 0"


def test_two_replicas_equal_one_device(two):
    """WGAN-GP with batch norm, flips, labels, and an odd number of penalised images."""
    given = {"mode": "gp", "mirror": True, "penalty_fraction": 0.4, "critic_num": 2}
    one, other = make(**given), make(two, **given)
    assert one.n_penalised == 3
    compare(one, other, 3)
    assert other.step.experimental_get_tracing_count() == 1
    assert other.problem() is None
    np.testing.assert_allclose(other.preview()[0], one.preview()[0], atol=1e-4)


@pytest.mark.parametrize(
    "given",
    [
        {"mode": "regular", "critic_norm": "batch"},
        {"mode": "dragan", "penalty_every": 2, "arch": "mlp"},
        {
            "mode": "rpgan",
            "arch": "mlp",
            "augment": ("color", "translation", "cutout"),
            "optimizer": "sgd",
        },
        *(
            pytest.param(given, marks=pytest.mark.slow)
            for given in (
                {"mode": "dragan", "penalty_every": 2, "critic_num": 3, "output_height": 16},
                {
                    "mode": "gp",
                    "critic_norm": "batch",
                    "penalty_fraction": 1.0,
                    "output_height": 16,
                },
                {"mode": "r1", "arch": "resnet", "output_height": 16, "label_mode": "concat"},
                # The gradient of a bias before a norm is rounding noise, which Adam would amplify.
                {"mode": "gan", "arch": "lenet", "output_height": 28, "optimizer": "sgd"},
            )
        ),
    ],
    ids=lambda given: "-".join(map(str, given.values())),
)
def test_two_replicas_equal_one_device_in_other_modes(two, eager, given):
    compare(make(**given), make(two, **given), 2)


def test_gradient_norms_are_measured_over_all_replicas(two, eager):
    one, other = (make(strategy, mode="gan", arch="mlp") for strategy in (None, two))
    fed = batch(one)
    expected = float(one.measure(*fed)["gradient_norm"])
    assert float(other.measure(*fed)["gradient_norm"]) == pytest.approx(expected, rel=1e-5)


def test_a_checkpoint_has_the_whole_lazy_penalty(two, eager):
    """The saved penalty does not depend on the number of replicas."""
    trainer = make(two, mode="r1", penalty_every=3, critic_num=1, arch="mlp")
    first = trainer.step(*map(tf.constant, batch(trainer, 1)))
    kept = trainer.penalised.numpy()
    assert float(first["penalty"]) == pytest.approx(kept[0], rel=1e-5)
    trainer.penalised.assign([8.0, 2.0])
    trainer.resume(1e-4, 1e-4)
    again = trainer.step(*map(tf.constant, batch(trainer, 1)))
    assert (float(again["penalty"]), float(again["gradient_norm"])) == (8, 2)


def test_an_overflow_on_one_replica_skips_the_step_on_both(two):
    """float16: only the second replica has non-finite gradients."""
    trainer = make(two, mode="gan", arch="mlp", precision="float16", conditional=False)
    assert all(np.isfinite(float(v)) for v in trainer.step(*batch(trainer, 1)).values())
    assert int(trainer.d_optimizer.iterations.numpy()) == 1
    before = values({"critic": trainer.critic})
    optimizer, weights = trainer.d_optimizer, trainer.critic.trainable_variables

    @tf.function
    def apply():
        def own():
            bad = np.inf if replicas.index() else 1.0
            trainer._apply(optimizer, [bad * tf.ones(w.shape) for w in weights], weights)

        two.run(own)

    apply()
    after = values({"critic": trainer.critic})
    assert all(np.array_equal(before[name], after[name]) for name in before)
    assert float(optimizer.dynamic_scale.numpy()) == 512


def test_pggan_grows_on_two_replicas(two, eager):
    given = {"arch": "pggan", "max_res": 8, "fmap_max": 4, "z_dim": 4, "batch_size": 8}
    given |= {"fade_kimg": 0.016, "stable_kimg": 0.008, "output_height": None}
    trainer = make(two, **given)
    stages = []
    for i in range(4):
        fed = batch(trainer, *trainer.batch_spec(i)[:1], seed=i)
        images = np.zeros((1, 8, *trainer.image), np.uint8) + fed[0].mean().astype(np.uint8)
        terms = trainer.step(tf.constant(images), tf.constant(fed[1]))
        stages.append(terms["stage"])
        assert all(np.isfinite(float(v)) for v in terms.values())
    assert stages == [0, 1, 1, 1]
    assert set(trainer.networks) == {"generator", "critic"}


# ---- the command line ------------------------------------------------------------------------


TRAIN = ["--dataset", "digits", "--output_height", 8, "--g_width", 4, "--d_width", 4, "--arch"]
TRAIN += ["mlp", "--z_dim", 4, "--batch_size", 8, "--train", "--save_every", 2, "--critic_num", 2]
TRAIN += ["--precision", "float32"]  # sums of parts are close to the whole sum


def test_cyclegan_on_two_replicas_equals_one_device(two, eager):
    """Both replicas store the same history, of the fakes of both.

    The step fills and replaces its three images. Critics have two updates and a penalty on a
    fraction of the batch, and images are cropped.
    """
    given = {"mode": "gp", "batch_size": 4, "critic_num": 2, "pool_size": 3, "mirror": True}
    # Biases before an instance norm have no gradient but rounding errors, which Adam enlarges.
    given |= {"lambda_identity": 1.0, "critic_norm": "layer"}
    one, other = (test_cyclegan.make(**given, strategy=strategy) for strategy in (None, two))
    fed = test_cyclegan.batch(one)
    expected, found = one.step(*fed), other.step(*fed)
    assert list(expected) == list(found)
    for name, value in expected.items():
        assert float(found[name]) == pytest.approx(float(value), rel=1e-4, abs=1e-5), name
    a, b = values(one.state), values(other.state)
    assert a.keys() == b.keys()
    for name in (n for n in a if "pool" in n or "held" in n or "critic" in n):
        np.testing.assert_allclose(b[name], a[name], rtol=1e-3, atol=1e-4, err_msg=name)
    assert int(other.directions[0].held.numpy()) == 3


def test_a_run_resumes_with_another_number_of_replicas(cli, tmp_path, eager):
    run = ["--strategy", "mirrored", "--name", "a"]
    status, out, err = cli(*TRAIN, *run, "--max_steps", 2)
    assert (status, err) == (0, "")
    assert "2 replicas, each with 4 of the 8 images in a batch" in out
    status, out, err = cli(*TRAIN, "--name", "a", "--max_steps", 4)
    assert (status, err) == (0, "")
    assert "resumed checkpoint/a at step 2" in out
    assert "replicas" not in out
    cli(*TRAIN, "--name", "b", "--max_steps", 4)
    a, b = (checkpoint(tmp_path / "checkpoint" / name, 4) for name in "ab")
    assert a.keys() == b.keys()
    for name in a:
        if a[name].dtype.kind == "f":
            np.testing.assert_allclose(a[name], b[name], rtol=1e-3, atol=1e-4, err_msg=name)
    assert cli(*TRAIN, *run, "--max_steps", 5)[0] == 0


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--batch_size", 7], "a batch of 7 images (--batch_size) cannot be split over 2 replicas"),
        (["--jit"], "--jit works with one replica only, and there are 2"),
        (["--batch_size", 2], "use a multiple of 2 that is at least 4"),
        (
            ["--critic_norm", "batch", "--penalty_every", 2],
            "--penalty_every=2 and --critic_norm=batch cannot be combined on 2 replicas",
        ),
        (
            ["--arch", "pggan", "--batch_dict", "8:3", "--max_res", 8],
            "a batch of 3 images (--batch_size and --batch_dict)",
        ),
    ],
)
def test_errors_of_unsupported_settings(cli, tmp_path, words, line):
    status, _, err = cli(*TRAIN, "--strategy", "mirrored", *words)
    assert status == 2
    assert err.count("\n") == 1
    assert line in err
    assert not list(tmp_path.glob("checkpoint/*"))


def test_replicas_take_their_rows_of_the_augmentation(two, eager):
    """Also of those that only `ada` has."""
    one, other = (make(s, arch="mlp", mode="hinge", augment=("ada",)) for s in (None, two))
    for trainer in (one, other):
        trainer.augment.p.assign(0.7)
    compare(one, other, 1)

"""FastGAN's networks, and the term of the critic's loss that reconstructs real images."""

import os
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from architectures import fastgan
from benchmarks.races import small_batch, small_trainer
from commands import build, sources
from config import tables
from config.resolve import resolve, settle
from datasets.packed import ImageSpec
from layers import spectral, stock
from losses import Auxiliary
from runs.trained import NETWORK_FILES
from tests.conftest import batch, folder_of_images, same, values
from training import replicas
from training.base import Use
from training.randomness import Purpose, fold

FIELDS = {"z_dim": 4, "g_norm": "batch", "critic_norm": "batch", "label_mode": "projection"}
FIELDS |= {"lambda_reconstruction": 1.0}
KEY = tf.constant([1, 2])


def networks(size=(64, 64), classes=0, channels=3, g_width=(1,), d_width=(2,), **given):
    spec = ImageSpec(*size, channels, 1, classes)
    kwargs = {**FIELDS, "g_width": g_width, "d_width": d_width, **given}
    return fastgan.build_fastgan(spec, **kwargs)


def count(network):
    return sum(int(np.prod(w.shape)) for w in network.trainable_variables)


def test_the_authors_networks():
    """The authors' code at 256x256 with 64 channels, less the parts that the docstring names."""
    generator, critic = networks((256, 256), g_width=(64,), d_width=(64,), z_dim=256)
    found = [count(x) for x in (generator, critic, critic.auxiliary.network)]
    assert found == [29_127_648, 6_659_824, 2_289_600]


def test_the_default_networks():
    c = resolve({"arch": "fastgan", "dataset": "pics"})
    assert (c.mode, c.penalty, c.critic_norm, c.batch_size) == ("rpgan", "r1r2", "none", 16)
    assert (c.optimizer, c.learning_rate, c.beta1, c.beta2) == ("adam", 1e-3, 0.0, 0.99)
    assert c.decay_after == 4000
    assert settle(c, 3, 100).augment == ("color", "translation")
    assert resolve({"arch": "fastgan", "dataset": "pics", "augment": ("none",)}).augment == (
        "none",
    )
    assert c.run_name == "pics_16_64_64_fastgan"
    generator, critic = build.build_networks(c, ImageSpec(64, 64, 3, 1, 0))
    found = [count(x) for x in (generator, critic, critic.auxiliary.network)]
    assert found == [1_359_856, 414_561, 134_944]


def test_the_authors_settings():
    c = resolve({"preset": "fastgan_hinge", "dataset": "pics"})
    assert (c.mode, c.penalty, c.critic_norm, c.batch_size) == ("hinge", "none", "batch", 16)
    assert (c.optimizer, c.learning_rate, c.beta1, c.beta2) == ("adam", 2e-4, 0.5, 0.999)
    generator, critic = build.build_networks(c, ImageSpec(64, 64, 3, 1, 0))
    found = [count(x) for x in (generator, critic, critic.auxiliary.network)]
    assert found == [1_359_856, 415_472, 134_944]


@pytest.mark.parametrize(
    ("size", "scores", "images"),
    [
        ((64, 128), (5, 13), [(32, 64), (64, 128)]),
        ((192, 192), (21, 21), [(96, 96), (192, 192)]),
        ((512, 512), (5, 5), [(128, 128), (128, 128)]),
        ((1024, 1024), (5, 5), [(128, 128), (128, 128)]),
    ],
)
def test_any_multiples_of_64(size, scores, images):
    generator, critic = networks(size, 5, 1, label_mode="concat")
    assert generator.output_shape == (None, *size, 1)
    assert critic.output_shape == (None, *scores, 1)
    decoder = critic.auxiliary.network
    assert [x.shape for x in decoder.outputs] == [(None, *side, 1) for side in images]


def test_an_excitation_scales_channels():
    """A gate of σ(0) halves them. The smaller map is averaged to 4x4."""
    low, high = keras.Input((8, 8, 3)), keras.Input((16, 16, 2))
    network = keras.Model([low, high], fastgan._excite(low, high))
    pool, first, last = (network.layers[i] for i in (1, 2, 4))
    assert pool.compute_output_shape((1, 8, 8, 3)) == (1, 4, 4, 3)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 8, 8, 3)), rng.normal(size=(2, 16, 16, 2))
    last.kernel.assign(np.zeros((1, 1, 2, 2)))
    np.testing.assert_allclose(network([x, y]), y / 2, rtol=1e-6)
    first.kernel.assign(np.ones((4, 4, 3, 2)) / 16)
    last.kernel.assign([[[[1, 0], [0, 0]]]])
    total = x.reshape(2, 4, 2, 4, 2, 3).mean((2, 4)).sum((1, 2, 3)) / 16
    gate = 1 / (1 + np.exp(-total / (1 + np.exp(-total))))
    got = network([x, y])
    np.testing.assert_allclose(got[..., 0], y[..., 0] * gate[:, None, None], rtol=1e-5)
    np.testing.assert_allclose(got[..., 1], y[..., 1] / 2, rtol=1e-6)


def test_quarters():
    x = tf.reshape(tf.range(32), (2, 4, 4, 1))
    got = fastgan._quarter(x, tf.constant([[0.4, 0.6], [0.5, 0.0]]))
    np.testing.assert_array_equal(got[..., 0], [[[2, 3], [6, 7]], [[24, 25], [28, 29]]])


def test_the_reconstruction_loss():
    """Of decoders that return 0: the mean magnitude of a drawn quarter, and of the whole image.

    At 256x256 the whole image is averaged to 128x128, which cancels stripes, and the quarter is
    not.
    """
    for size in (64, 256):
        auxiliary = networks((size, size))[1].auxiliary
        for layer in auxiliary.network.layers:
            if isinstance(layer, keras.layers.Conv2D):
                layer.kernel.assign(tf.zeros_like(layer.kernel))
        features = [tf.ones((8, 2 * side, 2 * side, 4 * n)) for side, n in ((8, 2), (4, 4))]
        if size == 64:
            quarters = np.array([[0.1, 0.2], [0.3, -0.4]], np.float32)
            image = np.kron(quarters, np.ones((32, 32), np.float32))
            x = tf.constant(np.stack([image] * 8)[..., None].repeat(3, -1))
            got = auxiliary.loss(x, features, KEY) - 0.25
            drawn = {round(float(v), 3) for v in got}
            assert drawn <= {0.1, 0.2, 0.3, 0.4} and len(drawn) > 2
            assert np.array_equal(got, auxiliary.loss(x, features, KEY) - 0.25)
        else:
            x = tf.ones((8, 256, 256, 3)) * (2.0 * (tf.range(256.0) % 2) - 1)[:, None]
            np.testing.assert_allclose(auxiliary.loss(x, features, KEY), 1.0)


def test_a_step_and_its_continuation(eager, tmp_path):
    """A restored trainer continues bit for bit, with the decoder's weights and slots."""
    given = {"critic_num": 1}
    first, second = (small_trainer("fastgan", "hinge", seed=seed, **given) for seed in (0, 1))
    terms = first.step(*small_batch(first))
    assert 0.1 < float(terms["reconstruction"]) < 3
    assert {"decoder", "critic", "generator"} == set(first.trained) <= set(first.state)
    assert all(NETWORK_FILES.fullmatch(f"{name}.keras") for name in first.networks)
    path = tf.train.Checkpoint(**first.state).save(str(tmp_path / "c"))
    tf.train.Checkpoint(**second.state).restore(path).assert_consumed()
    second.key = first.key
    for trainer in (first, second):
        trainer.step(*small_batch(trainer, 1))
    assert same(values(first.state), values(second.state)) == []


def test_two_replicas_equal_one_device(eager):
    """They draw the same quarters, and share the statistics of the decoders' batch norms."""
    given = {"critic_num": 1, "optimizer": "sgd", "learning_rate": 0.1}
    strategies = (None, replicas.choose_strategy(("GPU", "CPU")))
    one, two = (small_trainer("fastgan", "hinge", x, **given) for x in strategies)
    expected, found = (x.step(*map(tf.constant, small_batch(x))) for x in (one, two))
    for name, value in expected.items():
        assert float(found[name]) == pytest.approx(float(value), rel=1e-4, abs=1e-5), name
    a, b = (values({"decoder": x.auxiliary.network}) for x in (one, two))
    for name in a:
        np.testing.assert_allclose(b[name], a[name], rtol=1e-3, atol=1e-5, err_msg=name)


def test_without_the_reconstruction():
    trainer = small_trainer("fastgan", "hinge", lambda_reconstruction=0.0)
    assert trainer.auxiliary is None and "decoder" not in trainer.state
    assert "reconstruction" not in trainer.critic_terms()


@pytest.mark.parametrize("precision", ["float16", pytest.param("bfloat16", marks=pytest.mark.slow)])
def test_low_precision(eager, precision):
    trainer = small_trainer("fastgan", "hinge", critic_num=1, precision=precision)
    terms = trainer.step(*small_batch(trainer))
    assert all(np.isfinite(float(value)) for value in terms.values())
    kinds = {layer.compute_dtype for layer in trainer.auxiliary.network.layers}
    assert kinds == {precision, "float32"}
    assert {x.compute_dtype for x in trainer.networks["decoder"].layers} == {"float32"}


def test_the_saved_generator_has_stock_layers_only(tmp_path):
    generator, critic = networks(classes=3)
    inputs = [np.ones((2, 4), np.float32), np.eye(3, dtype=np.float32)[:2]]
    for network in (generator, critic, critic.auxiliary.network):
        for layer in stock.layers_of(copy := stock.stock(network, copy=True)):
            assert type(layer).__module__.startswith("keras.")
    copy = stock.stock(generator, copy=True)
    copy.save(tmp_path / "generator.keras")
    loaded = keras.saving.load_model(tmp_path / "generator.keras")
    np.testing.assert_allclose(loaded(inputs), generator(inputs), rtol=1e-5, atol=1e-6)


def test_batch_norm_comes_with_spectral_norm():
    for norm, expected in (("batch", True), ("layer", False)):
        critic = networks(critic_norm=norm)[1]
        kinds = {isinstance(x, spectral.Spectral) for x in critic.layers if hasattr(x, "kernel")}
        assert kinds == {expected}


# ---- the seam --------------------------------------------------------------------------------


@pytest.fixture
def with_auxiliary(make_trainer, monkeypatch):
    """(A function of flags that builds a trainer with an auxiliary loss, its calls so far).

    The loss is c·mean(features) for a weight c of its own network, whose first value is 2.
    """
    calls, own = [], build.build_networks

    def networks_with(c, spec):
        generator, critic = own(c, spec)
        one = keras.Input((1,))
        layer = keras.layers.Dense(1, use_bias=False, kernel_initializer=constant(2.0))
        helper = keras.Model(one, layer(one))

        def loss(images, features, key):
            calls.append((images, features, key))
            return helper(tf.reduce_mean(features[0], [1, 2, 3])[:, None])[:, 0]

        critic.auxiliary = Auxiliary("own", 3.0, (critic.layers[2].name,), helper, loss)
        return generator, critic

    constant = keras.initializers.Constant
    monkeypatch.setattr(build, "build_networks", networks_with)
    return make_trainer, calls


@pytest.mark.parametrize("norm", ["none", "batch"])
@pytest.mark.parametrize("augment", [("none",), ("color", "translation")])
def test_an_auxiliary_loss_sees_what_the_critic_saw(eager, with_auxiliary, norm, augment):
    """Of the real images alone, whether real and fake ones are scored in one pass or in two."""
    make, calls = with_auxiliary
    trainer = make(critic_num=1, mode="hinge", critic_norm=norm, augment=augment, classes=0)
    images, labels = batch(trainer, 1)
    trainer.step(images, labels)
    [(seen, features, key)] = calls
    update = fold(fold(trainer.key, tf.constant(0, tf.int64)), 0)
    real = trainer._to_float(images[0], update)
    np.testing.assert_array_equal(seen, trainer._augment(real, update, Use.CRITIC))
    np.testing.assert_array_equal(key, fold(update, Purpose.AUXILIARY))
    assert [x.shape for x in features] == [(4, *trainer.critic.layers[2].output.shape[1:])]


@pytest.mark.parametrize("mode", ["hinge", "gp", "regular"])
def test_an_auxiliary_loss_is_a_term_of_the_critics(eager, with_auxiliary, mode):
    """It is logged without its weight of 3, and trains its own network, which is not clipped."""
    make, calls = with_auxiliary
    found = []
    for weight in (3.0, 0.0):
        trainer = make(critic_num=1, mode=mode, classes=0)
        trainer.auxiliary = Auxiliary(**{**vars(trainer.auxiliary), "weight": weight})
        found.append((trainer, trainer.step(*batch(trainer, 1))))
    (trainer, terms), (_, plain) = found
    features = calls[0][1][0]
    assert float(terms["own"]) == pytest.approx(2 * float(tf.reduce_mean(features)), rel=1e-5)
    total = float(plain["critic_loss"]) + 3 * float(terms["own"])
    assert float(terms["critic_loss"]) == pytest.approx(total, rel=1e-5)
    assert list(terms)[:2] == list(plain)[:2]
    values = [float(x.auxiliary.network.trainable_variables[0][0, 0]) for x, _ in found]
    assert abs(values[0] - 2) > 1e-5 and values[1] == 2
    assert "decoder" in trainer.state and "decoder" in trainer.networks


def test_few_colour_images_have_this_network(tmp_path, monkeypatch):
    """But a run that exists goes on with its own, whatever the number of images."""
    monkeypatch.chdir(tmp_path)
    folder_of_images(tmp_path / "data" / "few", count=6)
    folder_of_images(tmp_path / "data" / "many", count=12)
    (tmp_path / "data" / "gray").mkdir()
    for i in range(6):
        Image.new("L", (12, 10), 9 * i).save(tmp_path / "data" / "gray" / f"{i}.png")
    monkeypatch.setattr(tables, "FEW_IMAGES", 12)

    def chosen(dataset, **given):
        return sources.choose_network({"dataset": dataset, **given})[0].get("arch")

    assert [chosen(folder) for folder in ("few", "many", "gray", "absent")] == [
        "fastgan",
        *[None] * 3,
    ]
    assert chosen("many", train_size=11) == chosen("many", holdout=1) == "fastgan"
    assert sources.choose_network({"dataset": "few"})[1].startswith("arch=fastgan: with only 6 ")

    def put(run, time=0):
        Path("checkpoint", run).mkdir(parents=True, exist_ok=True)
        Path("checkpoint", run, "config.json").touch()
        os.utime(f"checkpoint/{run}", (time, time))

    for run in ("few_64_64_64", "many_16_64_64_fastgan", "mine"):
        put(run)
    assert (chosen("few"), chosen("many"), chosen("few", name="mine")) == (None, "fastgan", None)
    put("few_16_64_64_fastgan", time=2)
    assert chosen("few") == "fastgan"
    put("few_64_64_64", time=3)  # the newer one
    assert chosen("few") is None
    monkeypatch.setattr(tables, "FEW_IMAGES", 100)
    shutil.rmtree("checkpoint/many_16_64_64_fastgan")
    Path("checkpoint/many_64_64_64").mkdir()  # without a run
    assert chosen("many") == chosen("few", resume=False) == chosen("few", name="new") == "fastgan"


def test_a_training_of_few_images_goes_on_with_its_network(cli, tmp_path, monkeypatch, eager):
    folder_of_images(tmp_path / "data" / "few", count=18)
    monkeypatch.setitem(tables.ARCHS["fastgan"].defaults, "g_width", (1,))
    monkeypatch.setitem(tables.ARCHS["fastgan"].defaults, "d_width", (2,))
    words = ("--dataset", "few", "--batch_size", 4)
    out = cli(*words, "--dry_run")[1]
    assert "arch=fastgan: with only 18 training images, see --arch\n" in out
    out = cli(*words, "--train", "--max_steps", 1)[1]
    assert "arch=fastgan: with only 18 training images, see --arch\nrun few_4_64_64_fastgan" in out
    monkeypatch.setattr(tables, "FEW_IMAGES", 5)
    status, out, err = cli(*words, "--train", "--max_steps", 2, "--learning_rate", 1e-4)
    assert (status, err) == (0, "")
    assert "resumed checkpoint/few_4_64_64_fastgan at step 1" in out and "with only" not in out
    assert cli(*words)[0] == 0
    assert Path("samples/few_4_64_64_fastgan/test.png").exists()

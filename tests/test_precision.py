"""Training in bfloat16 and float16, compared with float32."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import losses
from layers import stock
from tests.conftest import batch, values

LOW = ("bfloat16", "float16")


def norms(trainer):
    """Return the critic's gradient norms at fixed random points."""
    rng = np.random.default_rng(0)
    points = tf.constant(rng.uniform(-1, 1, (64, *trainer.image)), tf.float32)
    hot = trainer.one_hot(tf.range(64) % 10)
    critic = lambda x: trainer.critic([x, *hot], training=True)  # noqa: E731
    return losses.norm(losses.squared_gradient(critic, points, trainer.score_scale)).numpy()


def test_fifty_steps_are_close_to_float32(make_trainer):
    """With the same weights, the gradient norms also agree within 2 %."""
    given = {"mode": "gp", "batch_size": 16, "g_width": (8,), "d_width": (8,), "critic_num": 1}
    found, terms = {}, {}
    for precision in ("float32", *LOW):
        trainer = found[precision] = make_trainer(precision=precision, **given)
        for i in range(50):
            last = trainer.step(*batch(trainer, 1, seed=i))
        terms[precision] = {name: float(value) for name, value in last.items()}
        assert trainer.problem() is None
        assert all(w.dtype == "float32" for w in trainer.critic.trainable_variables)
    whole = terms.pop("float32")
    for own in terms.values():
        for name in ("critic_loss", "penalty", "gradient_norm"):
            assert own[name] == pytest.approx(whole[name], rel=0.05), name
        assert own["wasserstein"] == pytest.approx(whole["wasserstein"], abs=0.1)
    expected = norms(found["float32"])
    assert expected.min() > 0.1
    for precision in LOW:
        found[precision].critic.set_weights(found["float32"].critic.get_weights())
        own = norms(found[precision])
        assert own.mean() == pytest.approx(expected.mean(), rel=0.02)
        # Rounding moves a few images across the kink of a leaky ReLU.
        assert np.quantile(np.abs(own / expected - 1), 0.9) < 0.02


def test_small_gradients_do_not_underflow(make_trainer):
    """The critic's gradient at each pixel is too small for float16."""
    trainer = make_trainer(precision="float16")
    image = keras.Input((8, 8, 1))
    layer = keras.layers.Dense(1, use_bias=False, dtype="mixed_float16")
    score = keras.layers.Reshape((), dtype="float32")(layer(keras.layers.Flatten()(image)))
    critic = keras.Model(image, score)
    layer.kernel.assign(np.full((64, 1), 2e-5))
    points = tf.zeros((2, 8, 8, 1))
    scaled = losses.squared_gradient(critic, points, trainer.score_scale)
    np.testing.assert_allclose(np.sqrt(scaled), 8 * 2e-5, rtol=0.01)
    assert trainer.score_scale == 256


@pytest.mark.parametrize("precision", LOW)
def test_networks_compute_in_low_precision_and_are_saved_in_float32(make_trainer, precision):
    trainer = make_trainer(precision=precision, output_height=16)
    kinds = {layer.compute_dtype for layer in trainer.critic.layers}
    assert kinds == {precision, "float32"}
    for network in (*trainer.networks.values(), trainer.average):
        assert {layer.compute_dtype for layer in network.layers} == {"float32"}
    assert trainer.critic.outputs[0].dtype == trainer.generator.outputs[0].dtype == "float32"
    assert keras.config.dtype_policy().name == "float32"
    saved = trainer.networks["critic"].get_weights()
    for own, kept in zip(trainer.critic.get_weights(), saved):
        np.testing.assert_array_equal(own, kept)


def test_a_step_that_overflows_is_skipped(make_trainer, eager):
    trainer = make_trainer(precision="float16", arch="mlp")
    trainer.d_optimizer.dynamic_scale.assign(2.0**40)
    before = values({"critic": trainer.critic})
    trainer.step(*batch(trainer, 1))
    after = values({"critic": trainer.critic})
    assert all(np.array_equal(before[name], after[name]) for name in before)
    assert float(trainer.d_optimizer.dynamic_scale) == 2.0**39
    assert int(trainer.d_optimizer.iterations) == 0
    assert trainer.problem() is None


def test_scores_are_float32_with_labels(make_trainer):
    for mode in ("concat", "projection"):
        trainer = make_trainer(precision="float16", label_mode=mode)
        assert trainer.critic.layers[-1].compute_dtype == "float32"
        assert not [x for x in stock.layers_of(trainer.average) if x.compute_dtype != "float32"]


RUN = ["--dataset", "digits", "--output_height", 8, "--arch", "mlp", "--g_width", 4, "--d_width", 4]
RUN += ["--batch_size", 4, "--name", "a", "--train"]


def test_resuming_in_another_precision(cli):
    """bfloat16 and float32 have the same checkpoints; float16 has more variables and is refused."""
    assert cli(*RUN, "--max_steps", 1, "--precision", "bfloat16")[0] == 0
    status, out, err = cli(*RUN, "--max_steps", 2, "--precision", "float32")
    assert (status, err) == (0, "")
    assert "changed: precision bfloat16 -> float32" in out
    status, _, err = cli(*RUN, "--max_steps", 3, "--precision", "float16")
    assert (status, err.count("\n")) == (2, 1)
    assert "has precision=float32 and cannot be resumed in float16" in err

"""Starting from another run: which weights are taken, where training begins, what is frozen."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from architectures.pggan import networks
from commands import build, train
from config.resolve import resolve
from console import Failed
from datasets import packed
from layers import stock, transfer
from runs import trained
from tests.conftest import TINY

pytestmark = pytest.mark.usefixtures("eager")


def pair(classes, channels=1, height=8, **settings):
    """The DCGAN pair of a tiny config."""
    keras.utils.set_random_seed(settings.pop("seed", 0))
    c = resolve({**TINY, "output_height": height, **settings})
    spec = packed.ImageSpec(height, height, channels, 1, classes)
    return build.build_networks(c, spec)


def names(layers):
    return [transfer.describe(layer) for layer in layers]


def test_all_weights_of_an_equal_network_are_taken():
    for network, saved in zip(pair(3, seed=1), pair(3)):
        found = transfer.take(network, saved)
        assert (found.taken, found.total, found.new, found.labels) == (3, 3, [], [])
        assert [a.tolist() for a in network.get_weights()] == [
            b.tolist() for b in saved.get_weights()
        ]


@pytest.mark.parametrize("label_mode", ["projection", "concat"])
@pytest.mark.parametrize(("old", "new"), [(3, 5), (0, 2), (5, 0), (3, 3)])
def test_only_the_weights_of_labels_begin_anew(label_mode, old, new):
    """Dense layer: 4 latents, then the labels. Critic's first layer: a channel, then the labels."""
    fresh, saved = (pair(n, label_mode=label_mode, seed=s) for n, s in ((new, 1), (old, 0)))
    before = [network.get_weights()[0] for network in fresh]
    found = [transfer.take(*two, same_labels=False) for two in zip(fresh, saved)]
    for network, other, first, (axis, n) in zip(fresh, saved, before, ((0, 4), (2, 1))):
        kernels = (network.get_weights()[0], other.get_weights()[0], first)
        got, theirs, own = (np.moveaxis(x, axis, 0) for x in kernels)
        np.testing.assert_array_equal(got, np.concatenate([theirs[:n], own[n:]]))
    concat, labels = label_mode == "concat", [f"Dense {4 + new}->64"]
    critic = [f"Conv2D {1 + new}->4", f"Dense {64 + new}->1"] if concat else [f"Dense {new}->64"]
    labels = [f"Conv2DTranspose {4 + new}->1"] * concat + labels
    assert [names(f.labels) for f in found] == ([labels, critic] if new else [[], []])
    assert [f.new for f in found] == [[], []]


def test_layers_next_to_the_image_fit_a_larger_network():
    """8x8: a dense layer of 4x4 pixels. 16x16: a layer more, next to the latents."""
    fresh, saved = pair(0, height=16, seed=1), pair(0)
    found = [transfer.take(*two) for two in zip(fresh, saved)]
    assert names(found[0].new) == ["Conv2DTranspose 8->4", "BatchNormalization 8", "Dense 4->128"]
    assert names(found[1].new) == ["Conv2D 4->8", "Dense 128->1"]
    last = [network.layers[i].get_weights() for network, i in ((fresh[0], -2), (saved[0], -2))]
    np.testing.assert_array_equal(last[0][0], last[1][0])
    assert [f.taken for f in found] == [2, 1]
    found = transfer.take(pair(0, channels=3)[1], saved[1])
    assert (names(found.new), found.taken) == (["Conv2D 3->4"], 1)


def test_ties_go_to_the_given_end():
    """Of three equal layers, two are saved."""

    def chain(count):
        x = images = keras.Input((4, 4, 2))
        for _ in range(count):
            x = keras.layers.Conv2D(2, 1)(x)
        return keras.Model(images, x)

    for from_image, new in ((True, 2), (False, 0)):
        network = chain(3)
        found = transfer.take(network, chain(2), from_image=from_image)
        assert found.new == [network.layers[1 + new]]


CASES = {
    "clipped": {"mode": "regular", "critic_norm": "layer", "output_height": 16, "critic_num": 1},
    "spectral": {"mode": "hinge", "critic_norm": "spectral", "output_height": 16},
    "pggan": {"arch": "pggan", "max_res": 8, "fmap_base": 16},
    "cyclegan": {"arch": "cyclegan", "output_height": 24, "n_residual_blocks": 1},
}


@pytest.mark.parametrize("name", CASES)
def test_frozen_layers_are_not_trained(make_trainer, name, tmp_path):
    given = {**CASES[name], "classes": 0 if name == "cyclegan" else 10, "freeze_critic": 2}
    trainer = make_trainer(**given)
    if name == "pggan":  # from the second stage
        whole = networks.stage_generator(trainer.all_stages["average"], 1, whole=True)
        trainer.start_from({"generator": whole})
    critics = [n for key, n in trainer.trained.items() if key.startswith("critic")]
    assert sum(hasattr(x, "kernel") for x in trainer.frozen) == 2 * len(critics)
    frozen = [w for x in trainer.frozen for w in x.trainable_variables]
    ids, trained = set(map(id, frozen)), []
    for critic in critics:
        layers = [x for x in stock.layers_of(critic) if x.trainable_variables]
        if name == "pggan":
            assert names(trainer.frozen) == ["Conv2D 1->4", "Conv2D 4->4"]
            old = networks.stage_critic(trainer.all_stages["critic"], 0).layers
            layers = [x for x in layers if x not in old or isinstance(x, keras.Model)]
        assert id(layers[0].trainable_variables[0]) in ids
        trained += [layer.trainable_variables[0] for layer in layers]
    trained = [w for w in trained if id(w) not in ids]
    assert trained
    before = [[w.numpy() for w in ws] for ws in (frozen, trained)]
    trainer.step(*trainer.random_batch(0))
    same = [[np.array_equal(w, b) for w, b in zip(*z)] for z in zip((frozen, trained), before)]
    assert all(same[0]) and not any(same[1])
    path = tf.train.Checkpoint(**trainer.state).save(str(tmp_path / "c"))
    again = make_trainer(**given)
    tf.train.Checkpoint(**again.state).restore(path).assert_consumed()
    again.resume(1e-3, 1e-3)
    assert names(again.frozen) == names(trainer.frozen)


def grown(make_trainer, seed, **settings):
    """A trainer of three stages: 4x4, 8x8, 16x16."""
    sizes = {"arch": "pggan", "max_res": 16, "fmap_base": 16, "fmap_max": 4}
    times = {"fade_kimg": 0.1, "stable_kimg": 0.2, "seed": seed}
    return make_trainer(**{**sizes, **times, **settings})


SHIPPED = {
    "faces_64_48_48": {"output_height": 96},
    "faces_64_64_64": {},
    "mnist_64_28_28": {},
    "hair_2_48_48_cyclegan": {},
    "faces_16_32_32_pggan": {},
}


@pytest.mark.parametrize("name", SHIPPED)
def test_runs_that_ship_can_be_started_from(name):
    given = {"init_from": name, "dataset": "x", **SHIPPED[name]}
    c = resolve(given, start=build.start_settings(given))
    was = trained.read_config(trained.PRETRAINED / name)
    facts = {**was["data"], "height": c.output_height, "width": c.output_width}
    spec = packed.ImageSpec(
        **{n: facts[n] for n in ("height", "width", "channels")}, count=9, classes=facts["classes"]
    )
    trainer = build.build_trainer(c, spec)
    lines = train.init_networks(c, trainer, facts)
    assert lines[0].startswith("the networks start from the weights in ")
    assert [x for x in lines if x.startswith("generator")] == {
        "faces_64_48_48": [
            "generator: 8 of 11 layers fit; new: Conv2DTranspose 512->384, BatchNormalization 512, "
            "Dense 100->4608"
        ]
    }.get(name, [])


def test_a_run_named_as_the_one_that_it_starts_from(tmp_path, monkeypatch):
    """Its own folder exists by then, without networks."""
    monkeypatch.chdir(tmp_path)
    name = "mnist_64_28_28"
    (tmp_path / "checkpoint" / name).mkdir(parents=True)
    assert build.find_source(name, "checkpoint") == trained.PRETRAINED / name
    with pytest.raises(Failed, match=r"--init_from=x: .* no such folder with a generator"):
        build.find_source("x", "checkpoint")


SMALLER = [
    "generator: 4 of 5 layers fit; new: Conv2D 4->1",
    "critic: 7 of 8 layers fit; new: Conv2D 1->4",
]
LABELS = [
    "generator: 6 of 7 layers fit; new: Conv2DTranspose 7->4",
    "critic: 8 of 9 layers fit; new: Conv2D 8->4; new weights of the labels in Dense 7->1",
]
GROWN = [  # images seen by the old run, settings of the new run, its stage, images seen, lines
    (240, {"max_res": 32}, 1, 240, []),  # α is 0.4
    (700, {"max_res": 8}, 1, 300, SMALLER),
    (700, {"label_mode": "concat", "classes": 3}, 2, 600, LABELS),
]


@pytest.mark.parametrize(("seen", "settings", "stage", "begins", "new"), GROWN)
def test_growth_starts_where_the_saved_networks_are(
    make_trainer, seen, settings, stage, begins, new, tmp_path
):
    old = grown(make_trainer, 0, label_mode=settings.get("label_mode", "projection"))
    old._begin_stage(old.growth.at(seen).stage)
    for variable in old.alphas:
        variable.assign(old.growth.at(seen).alpha)
    for name, network in old.networks.items():
        network.save(tmp_path / f"{name}.keras")
    trainer = grown(make_trainer, 1, **settings)
    lines = train.init_networks(resolve({"init_from": str(tmp_path)}), trainer, {})
    size, end = 4 << stage, {32: 1.1, 8: 0.5}.get(settings.get("max_res"), 0.8)
    assert lines[1] == (
        f"training starts at the stage of {size}x{size} pixels, after {begins / 1000:g} of the "
        f"{end:g} thousand images of the schedule"
    )
    assert (int(trainer.stage), int(trainer.seen)) == (stage, begins)
    assert trainer.growth.at(begins) == old.growth.at(begins)
    assert lines[2:] == new
    if new:
        return
    for variable in trainer.alphas:  # a step does this
        variable.assign(old.alpha)
    z = [np.random.default_rng(0).normal(size=(4, 4)), np.eye(10)[:4]]
    made = [t.networks["generator"](z) for t in (old, trainer)]
    np.testing.assert_allclose(made[1], made[0], rtol=1e-5, atol=1e-6)
    shape = made[0].shape
    images = [np.random.default_rng(0).normal(size=shape), z[1]]
    scores = [t.networks["critic"](images) for t in (old, trainer)]
    np.testing.assert_allclose(scores[1], scores[0], rtol=1e-5, atol=1e-6)


def test_a_saved_network_without_inputs_is_refused(tmp_path):
    keras.Sequential([keras.layers.Dense(3)]).save(tmp_path / "generator.keras")
    with pytest.raises(Failed, match="is a network without inputs and outputs"):
        trained.load_functional(tmp_path / "generator.keras")

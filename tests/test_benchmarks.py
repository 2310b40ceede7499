"""The benchmarks' counts and comparisons, not their results."""

import ast
import os
import re

import keras
import numpy as np
import pytest

import console
import losses
from benchmarks import (
    convs,
    directions,
    gpu,
    leaks,
    limit,
    loader,
    memory,
    narrow,
    overhead,
    quality,
    repeat,
    soak,
    stacked,
    startup,
    step,
    timing,
)
from commands import build, evaluate, sources
from commands.evaluate import build_evaluation
from config import tables
from config.resolve import resolve
from datasets.packed import Batches, ImageSpec, Packed
from hardware import defaults
from layers.spectral import Spectral
from tests.conftest import ROOT
from tests.test_design import long_functions

FLAGS = {"output_height": 16, "g_width": (4,), "d_width": (4,), "z_dim": 4, "batch_size": 4}


class Clock:
    """A clock that a test sets."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def run(self, seconds):
        """Return `run(n)`, whose steps take this many seconds each."""

        def run(steps):
            self.now += seconds * steps

        return run


def test_a_measurement_takes_the_given_seconds_and_returns_those_of_a_step():
    clock, turns = Clock(), []
    run = clock.run(0.5)

    def watched(steps):
        turns.append(steps)
        run(steps)

    measure = timing.per_step(watched, 4, clock)
    assert measure() == pytest.approx(0.5)
    assert turns == [1, 1, 1, 1, 8]


def test_each_round_begins_with_another_measurement():
    order = []
    measures = {n: lambda n=n: order.append(n) or len(order) for n in "abc"}
    found = timing.interleave(measures, 2)
    assert order == ["a", "b", "c", "b", "c", "a"]
    assert found == {"a": [1, 6], "b": [2, 4], "c": [3, 5]}


def test_ratios_are_taken_within_a_round():
    assert timing.ratios([2, 30, 8], [1, 10, 2]) == (3, 2, 4)
    assert timing.ratio_cell([2, 30, 8], [1, 10, 2]) == "3.00 (2.00-4.00)"
    assert timing.ms_cell([0.1, 0.0251, 0.002]) == "25.1"
    with pytest.raises(ValueError):
        timing.ratios([1, 2], [1])


def test_table():
    assert timing.table(["a", "b"], [[1, "x"]]) == "| a | b |\n| --- | --- |\n| 1 | x |"


def small_networks():
    """z [2] → dense 2x2x3 → transposed 4x4x1; image 4x4x1 → conv 2x2x5 → dense 1."""
    z = keras.Input((2,))
    x = keras.layers.Reshape((2, 2, 3))(keras.layers.Dense(12)(z))
    x = keras.layers.Conv2DTranspose(1, 4, 2, padding="same")(keras.layers.ReLU()(x))
    image = keras.Input((4, 4, 1))
    y = keras.layers.Conv2D(5, 3, 2, padding="same")(keras.layers.Rescaling(2.0)(image))
    y = keras.layers.Dense(1)(keras.layers.Flatten()(keras.layers.LeakyReLU()(y)))
    return keras.Model(z, x), keras.Model(image, y)


def test_multiply_adds_of_networks_by_hand():
    generator, critic = small_networks()
    # dense 2·12 = 24; transposed: 2·2 pixels in, 4·4 taps, 3·1 channels = 192
    assert limit.products(generator) == (216, 24)
    # convolution: 2·2 pixels out, 3·3 taps, 1·5 channels = 180; dense 20
    assert limit.products(critic) == (200, 180)


def test_multiply_adds_of_a_step_by_hand():
    networks = (216, 24), (200, 180)
    # the generator's update: scores 200, back to the pixels 200, weights 216, inputs 192
    last = 10 * (200 + 200 + 216 + 192)
    # a critic update: fakes 216; scores 400, weights 400, inputs of the dense layer 40
    update = 10 * (216 + 400 + 400 + 40)
    count = limit.step_products(*networks, batch=10, updates=3, penalised=0)
    assert count == 3 * update + last
    # the penalty: scores, gradient, its adjoint and its weights
    count = limit.step_products(*networks, batch=10, updates=3, penalised=4)
    assert count == 3 * (update + 4 * 800) + last
    # and back through the scores: weights 200, inputs 20
    count = limit.step_products(*networks, batch=10, updates=3, penalised=4, smooth=True)
    assert count == 3 * (update + 4 * 1020) + last


def test_multiply_adds_depend_on_the_settings():
    def count(**flags):
        c, spec = step.settings("mnist", {**FLAGS, **flags})
        return limit.own_products(build.build_trainer(c, spec))

    whole, none = count(penalty_fraction=1.0), count(mode="regular", critic_num=1)
    assert count(penalty_fraction=0.5) - none == pytest.approx((whole - none) / 2)
    assert count(penalty_fraction=1.0, penalty_every=4) - none == pytest.approx((whole - none) / 4)


def test_multiply_adds_of_all_passes_are_those_of_the_step():
    networks = dict(zip(("generator", "critic"), small_networks()))
    own = {name: convs.layers_of(network) for name, network in networks.items()}
    counts = {name: [(count, first) for _, _, count, first in found] for name, found in own.items()}
    assert counts == {"generator": [(24, True), (192, False)], "critic": [(180, True), (20, False)]}
    for penalised in (0, 4):
        total = 0
        for name, found in counts.items():
            often = convs.calls(name, penalised=penalised / 10)
            for count, first in found:
                total += 10 * count * sum(often[p][0 if first else 1] for p in convs.PASSES)
        both = (limit.products(network) for network in networks.values())
        wanted = limit.step_products(*both, batch=10, updates=1, penalised=penalised)
        assert total == pytest.approx(wanted)


def size(case):
    """Return the smallest size of a case that has one."""
    return {"output_height": 64} if case.startswith("fastgan") else {}


def train_once(name, case, mode):
    """Train a tiny configuration for two steps; return (trainer, initial weights)."""
    c, spec = step.settings(case, {**FLAGS, **size(case), "mode": mode, "critic_num": 2, "seed": 3})
    keras.utils.set_random_seed(0)
    run, trained = step.COMPETITORS[name](c, spec, step.random_batch(c, spec), 0)
    first, done = trained.weights_by_network(), trained.updates()
    run(2)
    assert np.subtract(trained.updates(), done).tolist() == [2, 4]
    return trained, first


@pytest.mark.parametrize(
    "name, case, mode",
    [
        *[(name, "mnist", "gp") for name in ("ours", "ours-bfloat16", "fit-without-xla", "plain")],
        *[("plain", "faces", mode) for mode in ("regular", "div")],
        *[(name, "mnist", "gp") for name in ("torch", "torch-same")],
        *[(name, "faces", "regular") for name in ("torch", "torch-same")],
        *[(name, "resnet", "div") for name in ("torch", "torch-same")],
        *[("torch", "fastgan_hinge", "hinge"), ("torch-same", "fastgan", "rpgan")],
        *[(name, "mnist", "rpgan") for name in ("torch", "torch-same")],
    ],
)
def test_every_competitor_does_the_same_number_of_updates(eager, name, case, mode, monkeypatch):
    monkeypatch.setattr(timing, "cores", lambda: 1)  # PyTorch's threads are slow on busy cores
    if "torch" in name:
        pytest.importorskip("torch")
    trained, first = train_once(name, case, mode)
    now = trained.weights_by_network()
    for network, weights in first.items():
        assert all(np.isfinite(w).all() for w in now[network])
        assert any(not np.array_equal(a, b) for a, b in zip(weights, now[network])), network
    c, spec = step.settings(case, {**FLAGS, **size(case), "mode": mode})
    ours = step.Ours(c, spec, None)
    assert step.parameters(trained) == step.parameters(ours)


def ordered(layers, kind):
    """Return the layers of a kind in the order of creation, which Keras' names give."""
    found = [x for x in layers if type(x).__name__ == kind]
    last = [x.name.rpartition("_")[2] for x in found]
    counts = [int(text) if text.isdigit() else 0 for text in last]
    return [x for _, x in sorted(zip(counts, found), key=lambda pair: pair[0])]


def copy_weights(ours, theirs, units):
    """Copy our weights to a PyTorch network, with `units` features of 4x4 pixels channels-first."""
    import torch

    first = np.arange(units).reshape(4, 4, -1).transpose(2, 0, 1).ravel()
    spectral = any(isinstance(layer, Spectral) for layer in ours.layers)
    kinds = {"Dense": ["Linear"], "Conv2DTranspose": ["ConvTranspose2d"]}
    kinds["SpectralConv" if spectral else "Conv2D"] = ["Conv2d"]
    kinds["BatchNorm"] = ("BatchNorm1d", "BatchNorm2d")
    for ours_kind, kind in kinds.items():
        pairs = zip(
            ordered(ours.layers, ours_kind),
            [m for m in theirs.modules() if type(m).__name__ in kind],
            strict=True,
        )
        for layer, module in pairs:
            own = [w.numpy() for w in layer.trainable_variables]
            own = layer.stock_weights() if isinstance(layer, Spectral) else own
            for value, its in zip(own, module.parameters(), strict=True):
                w = np.transpose(value, {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}[value.ndim])
                for axis, size in enumerate(w.shape):
                    if w.ndim < 4 and size in (units, units + 10):
                        w = w.take([*first, *range(units, size)], axis)
                with torch.no_grad():
                    its.copy_(torch.from_numpy(np.ascontiguousarray(w)))


@pytest.mark.parametrize("label_mode", ["concat", "projection"])
@pytest.mark.parametrize("arch", ["dcgan", "resnet"])
def test_networks_in_pytorch_equal_ours(arch, label_mode):
    torch = pytest.importorskip("torch")
    from benchmarks import torch_step

    flags = {**FLAGS, "arch": arch, "label_mode": label_mode, "critic_norm": "batch"}
    c, spec = step.settings("mnist", flags)
    keras.backend.clear_session()  # restarts the numbers in layer names
    trainer = build.build_trainer(c, spec)
    rng = np.random.default_rng(0)
    hot = np.eye(10, dtype=np.float32)[rng.integers(0, 10, 4)]
    generator, critic = (network(c, spec) for network in torch_step.NETWORKS[arch])
    units = critic.score.linear.in_features - (10 if label_mode == "concat" else 0)
    for ours, theirs, n, shape in (
        (trainer.generator, generator, generator.dense.out_features, (4, 4)),
        (trainer.critic, critic, units, (4, 16, 16, 1)),
    ):
        ours.set_weights([rng.normal(0, 0.1, w.shape) for w in ours.get_weights()])
        copy_weights(ours, theirs, n)
        x = rng.standard_normal(shape).astype(np.float32)
        expected = ours([x, hot], training=True).numpy()
        image = np.moveaxis(x, -1, 1).copy()
        with torch.no_grad():
            found = theirs(torch.from_numpy(image), torch.from_numpy(hot)).numpy()
        found = np.moveaxis(found, 1, -1) if found.ndim == 4 else found
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
        assert np.std(expected) > 1e-3


@pytest.mark.parametrize("case", ["fastgan", "fastgan_hinge"])
@pytest.mark.parametrize("side", [128, 512])
def test_fastgan_in_pytorch_equals_ours(case, side):
    torch = pytest.importorskip("torch")
    from benchmarks import torch_fastgan, torch_step

    c, spec = step.settings(case, {**FLAGS, "output_height": side})
    keras.backend.clear_session()
    trainer = build.build_trainer(c, spec)
    generator, critic = (network(c, spec) for network in torch_step.NETWORKS["fastgan"])
    for module in critic.modules():
        if torch.nn.utils.parametrize.is_parametrized(module):
            torch.nn.utils.parametrize.remove_parametrizations(module, "weight", False)
    rng = np.random.default_rng(0)
    pairs = (
        (trainer.generator, generator, (4, c.z_dim)),
        (trainer.critic, critic, (4, side, side, 3)),
    )
    for ours, theirs, shape in pairs:
        for weight in ours.weights:
            if not weight.path.endswith("vector") and "moving" not in weight.path:
                weight.assign(rng.normal(0, 0.3, weight.shape))
        copy_weights(ours, theirs, generator.dense.out_features)
        x = rng.standard_normal(shape).astype(np.float32)
        expected = ours([x], training=True).numpy()
        with torch.no_grad():
            found = theirs(torch.from_numpy(np.moveaxis(x, -1, 1).copy())).numpy()
        np.testing.assert_allclose(np.moveaxis(found, 1, -1), expected, rtol=1e-3, atol=1e-4)
        assert np.std(expected) > 1e-3
    own = trainer.auxiliary.network.trainable_variables
    theirs = torch_fastgan.Decoders(c, spec).parameters()
    assert sum(p.numel() for p in theirs) == sum(np.prod(w.shape) for w in own)


def test_the_error_of_a_missing_compiler():
    assert step.why_not_compiled(RuntimeError("InvalidCxxCompiler: No working")) == "no compiler"
    assert step.why_not_compiled(ValueError("a\nb")) == "ValueError: a"


def test_a_log_counts_from_its_first_row(tmp_path):
    path = tmp_path / "checkpoint" / "run" / ".new" / "metrics.csv"
    path.parent.mkdir(parents=True)
    assert not timing.logged(tmp_path)
    path.write_text("step,seconds\n")
    assert not timing.logged(tmp_path)
    path.write_text("step,seconds\n50,4.5\n100,6.5\n2050,84.5\n")
    assert timing.logged(tmp_path)
    assert overhead.rows_between(tmp_path) == (80, 2000)


def test_a_failed_call_is_an_error(tmp_path):
    total, seen = timing.call(["-c", "open('a', 'w')"], tmp_path)
    assert 0 < total < 10
    assert seen is None
    assert (tmp_path / "a").is_file()
    with pytest.raises(console.Failed, match="1/0"):
        timing.call(["-c", "1/0"], tmp_path)


def test_pictures_are_packed_and_batched(tmp_path, monkeypatch):
    folder = tmp_path / "pictures"
    folder.mkdir()
    loader.draw_pictures(folder, 10)
    _, data = loader.pack(folder, tmp_path / "cache")
    assert data.images.shape == (10, 48, 48, 3)
    assert data.images.std() > 20
    images = loader.mapped(tmp_path / "a.npy", (20, 8, 8, 1))
    c, _ = step.settings("mnist", {"batch_size": 4, "critic_num": 2})
    taken = []
    monkeypatch.setattr(Batches, "take", lambda *words: taken.append(words[1:]))
    loader.build_taker(images, c)(3)
    assert taken == [(0, (2, 4)), (8, (2, 4)), (16, (2, 4))]


def test_the_slope_of_memory_leaves_out_the_start():
    early = [(100, 5e8, 9), (199, 9e8, 9)]
    late = [(step, 1e9 + 20 * step, 10) for step in range(200, 1001, 100)]
    assert soak.slope([*early, *late]) == pytest.approx(20_000)


def test_observing_a_process(tmp_path):
    assert soak.look(os.getpid(), tmp_path) is None
    folder = tmp_path / "checkpoint" / "soak"
    folder.mkdir(parents=True)
    (folder / "metrics.csv").write_text("step,loss\n10,1\n20,1\n")
    step, memory, files = soak.look(os.getpid(), tmp_path)
    with open(tmp_path / "more", "w"):
        assert soak.look(os.getpid(), tmp_path)[2] == files + 1
    assert step == 20
    with open("/proc/self/status") as file:
        size = next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))
    assert memory == pytest.approx(1024 * size, rel=0.05)


def test_quality_is_measured_as_evaluate_does(eager, tmp_path, monkeypatch):
    flags = {"dataset": "digits", "output_height": 8, "eval_samples": 100, "ema": 0.0}
    flags |= {"cache_dir": str(tmp_path / "cache"), "g_width": (4,), "d_width": (4,)}
    monkeypatch.setitem(quality.CANDIDATES, "tiny", flags)
    output = tmp_path / "quality.csv"
    quality.measure("tiny", 3, [1, 2], True, output)
    rows = quality.read(output)
    assert {(r["candidate"], r["seed"]) for r in rows} == {("tiny", "3")}
    names = ("fid_mnist-cnn", "swd_8")
    assert [(r["updates"], r["measure"]) for r in rows] == [(n, m) for n in "12" for m in names]
    c = defaults.settle(resolve({**flags, "seed": 3, "holdout": 0}), 1)
    data = sources.load_data(c)
    trainer = build.build_trainer(c, data.spec)
    batches = sources.build_batches(c, data)
    for step_number in range(2):
        trainer.step(*batches.take(64 * step_number, (1, 64)))
    found = build_evaluation(c, data).measure(trainer.samples)
    for row in rows[2:]:
        assert float(row["value"]) == pytest.approx(found[row["measure"]], abs=1e-3)
    all_of_them = {**flags, "eval_samples": len(data.images)}
    assert quality.copies(all_of_them) == pytest.approx(0, abs=1e-3)
    assert quality.copies({**all_of_them, "train_size": 20}) > 1


def test_memory_is_of_known_copies(tmp_path, monkeypatch):
    def pixels(images):
        return images.reshape(len(images), -1).astype(np.float32), None

    pixels.name = pixels.key = "pixels"
    monkeypatch.setattr(evaluate, "build_extractor", lambda *_: pixels)
    flags = {"dataset": "digits", "output_height": 8, "cache_dir": str(tmp_path)}
    rows, distances = memory.measure(resolve(flags))
    found = {name: float(value) for name, value in rows}
    expected = {"training images": 1, "other real images": 0.5, "half of each": 0.75}
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=0.1)
    assert 1 > found["training images, noise of 20"] > found["training images, noise of 40"] > 0.5
    assert [count for count, *_ in distances] == [100, 179]
    assert float(distances[0][1]) > float(distances[1][1]) > 0
    images = np.zeros((1, 5, 5, 1), np.uint8)
    images[0, 2, 2] = 100
    soft = memory.blurred(images, 1)
    assert soft[0, 2, 2, 0] == 16 and soft[0, 1, 2, 0] == 10  # 100 / 2π and 100 exp(-1/2) / 2π
    assert memory.noisy(np.full((9, 9, 9, 1), 128, np.uint8), 10).std() == pytest.approx(
        10, rel=0.1
    )


def test_leaks_are_found():
    rng = np.random.default_rng(0)
    real = rng.integers(0, 128, (40, 16, 12, 3), np.uint8)
    real[:, 8:] += 128  # lighter below: a turned image is nearer when it is turned back
    cut = real.copy()
    cut[:20, 3:8, 4:9] = 128
    assert leaks.flat_share(real) == 0 and leaks.flat_share(cut) == 0.5
    near = real.copy()
    near[:30] = np.rot90(real[:30], 2, (1, 2))
    assert leaks.turned_share(real, real[:5]) == 0
    assert leaks.turned_share(near, real[:5]) == 0.75
    known = leaks.statistics(real)
    assert leaks.compare(real, real, known)[2:] == ["0.000"] * 3
    assert leaks.compare(np.zeros_like(real), real, known)[2:] == ["1.000"] * 3
    gray = np.repeat(real[..., :1], 3, -1)
    assert np.allclose(leaks.statistics(gray)[2], 0)


def test_modes_of_stacked_digits():
    images = np.arange(12, dtype=np.uint8).reshape(12, 1, 1, 1).repeat(4, 1)
    spec = ImageSpec(4, 1, 1, 12, 0)
    data = stacked.stack(Packed(images, np.zeros(12, np.int32), spec, []))
    assert data.spec.channels == 3 and data.images.shape == (12, 4, 1, 3)
    for channel in range(3):
        assert sorted(data.images[:, 0, 0, channel]) == list(range(12))
    assert (data.images[..., 0] != data.images[..., 1]).any()

    def classifier(images):  # an image is its digit
        return None, np.eye(10)[images[:, 0, 0, 0]]

    digits = np.array([[1, 2, 3], [1, 2, 3], [9, 9, 9]], np.uint8).reshape(3, 1, 1, 3)
    counts = stacked.count_modes(classifier, digits)
    assert {i: n for i, n in enumerate(counts) if n} == {123: 2, 999: 1}
    assert stacked.divergence(np.ones(1000, int)) == pytest.approx(0)
    assert stacked.divergence(np.eye(1000, dtype=int)[5]) == pytest.approx(np.log(1000))
    half = np.log(1000) - np.log(3) / 3 - 2 / 3 * np.log(3 / 2)
    assert stacked.divergence(counts) == pytest.approx(half)


def test_tables_never_mix_extractors():
    row = {"candidate": "a", "seed": "0", "minutes": "1.0", "updates": "10", "value": "5"}
    rows = [{**row, "measure": "fid_x"}, {**row, "measure": "fid_y", "value": "6"}]
    rows.append({**rows[0], "seed": "1", "value": "7"})
    text = quality.tables(rows, by_updates=True)
    one, two = text.split("fid_y")
    assert one.startswith("fid_x\n") and "| a | 5 7 | 10 |" in one
    assert "| a | 6 | 10 |" in two


def test_the_programs_follow_the_rules_of_the_modules():
    for path in (ROOT / "benchmarks").glob("*.py"):
        tree = ast.parse(path.read_text())
        assert ast.get_docstring(tree), path
        assert long_functions(tree) == [], path
        assert path.read_text().count("\n") <= 400, path


def test_crashes_of_narrow_networks_are_counted(monkeypatch):
    """A process that dies is started again at the next batch."""
    code = "import os\nfor n in {2}: os.abort() if n in (2, 4) else print(n, flush=True)"
    monkeypatch.setattr(narrow, "CODE", code)
    found = narrow.failures("resnet", 3, [1, 2, 3, 4, 5], 32, True)
    assert found == [(2, "signal 6"), (4, "signal 6")]
    monkeypatch.setattr(narrow, "CODE", "print(1); print(3)")
    assert narrow.failures("mlp", 3, [1, 2, 3], 32, True) == [(2, "not finite")]
    assert [*narrow.cases(["lenet", "cyclegan"], [3, 4], [1, 2], True)] == [
        ("lenet", 3, [2]),
        ("cyclegan", 3, [1, 2]),
        ("cyclegan", 4, [1, 2]),
    ]
    assert narrow.widths_of("pggan", 5) == {"fmap_max": 5}


def test_processes_of_equal_bits_are_counted(monkeypatch, capsys):
    code = "import os; print('{0} {1} {2} {3}', os.getpid() if {3} > 4 else 7)"
    monkeypatch.setattr(repeat, "CODE", code)
    words = ["--arch", "mlp", "--processes", "3", "--at-once", "2", "--steps"]
    for steps, kinds, status in ((4, 1, 0), (5, 3, 1)):
        assert repeat.main([*words, str(steps)]) == status
        assert f"3 processes, {kinds} different results" in capsys.readouterr().out
    monkeypatch.setattr(repeat, "CODE", "raise SystemExit('broken')")
    with pytest.raises(console.Failed, match="broken"):
        repeat.main([*words, "4"])


def test_a_result_has_all_bits_of_a_training(capsys, eager):
    for seed in (0, 0, 1):
        repeat.train("mlp", "gp", "None", 2, seed=seed)
    repeat.train("mlp", "gp", "None", 2, "bfloat16")
    first, second, *others = capsys.readouterr().out.split()
    assert first == second and len({first, *others}) == 3


def test_the_audit_compares_with_pytorch(eager, monkeypatch):
    pytest.importorskip("torch")
    from benchmarks.audit import mimicry, numbers, updates

    found = updates.check_pair("mlp", "gp", "layer")
    assert len(found) == 4 and 0 < max(found.values()) < 1e-5
    assert numbers.optimizer("RMSprop") < 1e-6 and numbers.measure("fid") < 1e-9
    found = mimicry.check()
    assert len(found) == 4 and 0 < max(found.values()) < 1e-4
    monkeypatch.setattr(losses, "norm", lambda squared: squared**0.5 + 0.001)
    assert updates.check_pair("mlp", "gp", "layer")["critic gradients"] > 1e-5


@pytest.mark.slow
def test_the_audit_compares_the_network_of_published_fids(monkeypatch):
    pytest.importorskip("torch")
    from benchmarks.audit import inception
    from evaluation.inception import network

    assert 0 < max(inception.check([(32, 32)]).values()) < 1e-5
    averaged = ("mixed_10", network.BLOCKS["Mixed_7c"][1], ("average",))
    monkeypatch.setattr(network, "BLOCKS", {**network.BLOCKS, "Mixed_7c": averaged})
    assert max(inception.check([(32, 32)]).values()) > 1e-3


def test_start_up_measures_include_the_base():
    assert next(iter(startup.commands("data"))) == startup.BASE


def test_the_gpu_check_restores_and_names_what_is_wrong(eager, monkeypatch, capsys):
    tiny = {"arch": "mlp", "dataset": "mnist", "output_height": 8, "batch_size": 2}
    monkeypatch.setattr(gpu, "CASES", {"tiny": tiny, "broken": {**tiny, "mode": "x"}})
    words = ["--device", "cpu", "--steps", "4", "--jit", "0"]
    assert gpu.main(words) == 1
    *_, good, broken, _, versions = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"\| tiny( \| [0-9.]+ \([0-9]+ s\)){3} \|", good)
    assert broken.count("Error") == 3
    assert re.search(r"^device: CPU .*TensorFlow [0-9.]+, .*; 4 updates each, half", versions)
    words += ["--cases", "tiny", "--precisions", "float32"]
    assert gpu.main(words) == 0
    restore = gpu.checkpoints.restore

    def badly(folder, trainer):
        restore(folder, trainer)
        trainer.critic.trainable_variables[0].assign_add(1e-6 * trainer.critic.weights[0])

    capsys.readouterr()
    monkeypatch.setattr(gpu.checkpoints, "restore", badly)
    assert gpu.main(words) == 1
    assert "| 1 values differ after the restore |" in capsys.readouterr().out
    none = "--device=gpu:99: TensorFlow finds [0-9]+ GPUs"
    for wrong, reason in (
        (["--steps", "3"], "at least 4"),
        (["--precisions", "float8"], "invalid choice"),
        (["--device", "gpu:99"], none),
    ):
        with pytest.raises(SystemExit):
            gpu.main(wrong)
        assert re.search(rf"\n\S+: error: .*{reason}.*\n$", capsys.readouterr().err)


def test_the_gpu_check_has_every_trainer():
    rows = [gpu.resolve(given) for given in gpu.CASES.values()]
    assert {c.arch for c in rows} == set(tables.ARCHS)


def test_differences_of_directions_are_means_of_both_ways():
    """Pixels are 100 and 10 times the two latents."""

    class Linear:
        bound = None

        def images(self, z):
            return z * [100, 10]

    base = np.zeros((3, 2), np.float32)
    found = directions.differences(Linear(), base, np.eye(2, dtype=np.float32), 2.0)
    np.testing.assert_allclose(found, [100, 10])
    rows = directions.random_directions(5, 7)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-6)
    assert len({r.tobytes() for r in rows}) == 5

"""The program as a user runs it, in the process where that is enough, as a command elsewhere."""

import contextlib
import csv
import hashlib
import io
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import main
import utils
from commands import build, evaluate, train
from config import presets, tables
from config.resolve import resolve
from datasets.packed import ImageSpec
from evaluation import evaluation, metrics
from evaluation.extractors import random_cnn
from files import OUTPUT_MARK, save_text
from generation import export
from runs import checkpoints, plots, trained
from runs.recovery import PICTURES
from tests.conftest import (
    ROOT,
    batch,
    checkpoint,
    folder_of_images,
    log_rows,
    run_main,
    same,
    save_pixel,
    values,
)
from training import average, loop

pytestmark = pytest.mark.usefixtures("eager")
SHARED = ROOT.parent / "shared" / "data"
TINY = {"g_width": 4, "d_width": 4, "z_dim": 4, "batch_size": 8, "critic_num": 2, "log_every": 2}
SMALL = {**TINY, "output_height": 8, "sample_every": 4, "save_every": 5}
NEWEST = ("training.gif", "index.html")  # copies in the folder of all pictures
SMALL = [f"--{name}={value}" for name, value in SMALL.items()]


@pytest.mark.parametrize(
    ("mode", "dataset", "more"),
    [
        ("gp", "digits", []),
        pytest.param("gp", "pics", ["--critic_bursts"], marks=pytest.mark.slow),
        ("regular", "pics", []),
        pytest.param("div", "digits", ["--label_mode", "projection"], marks=pytest.mark.slow),
        ("gan", "pics", ["--mirror"]),
        ("r1", "digits", ["--penalty_every", "3", "--augment", "ada,cutout"]),
        pytest.param(
            *("dragan", "pics", ["--penalty_fraction", "0.5", "--optimizer", "sgd"]),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_resumed_run_is_the_unbroken_one(request, cli, tmp_path, mode, dataset, more):
    if mode == "gp":
        request.getfixturevalue("compiled")
    folder_of_images(tmp_path / "data" / "pics")
    words = ["--dataset", dataset, "--mode", mode, "--train", *SMALL, "--epoch", 9, *more]
    assert cli(*words, "--name", "whole", "--max_steps", 8)[0] == 0
    assert cli(*words, "--name", "old", "--max_steps", 3)[0] == 0
    for top in ("checkpoint", "samples", "logs"):  # a run can be renamed
        Path(top, "old").rename(Path(top, "parts"))
    status, out, _ = cli(*words, "--name", "parts", "--max_steps", 8)
    assert status == 0
    assert "resumed checkpoint/parts at step 3" in out
    whole, parts = checkpoint("checkpoint/whole", 8), checkpoint("checkpoint/parts", 8)
    assert len(whole) > 20
    assert same(whole, parts) == []
    assert log_rows("checkpoint/whole")[-2:] == log_rows("checkpoint/parts")[-2:]
    for place in ("checkpoint/{}/frames", "samples/{}"):  # with its film and its pictures
        names = [{*os.listdir(place.format(name))} for name in ("whole", "parts")]
        assert names[0] <= names[1]
    a, b = (keras.saving.load_model(f"checkpoint/{n}/generator.keras") for n in ("whole", "parts"))
    for x, y in zip(a.get_weights(), b.get_weights()):
        np.testing.assert_array_equal(x, y)


def test_what_a_run_leaves_behind(cli):
    status, out, err = cli("--dataset", "digits", "--train", *SMALL, "--max_steps", 10)
    assert (status, err) == (0, "")
    files = {str(p) for top in ("checkpoint", "samples") for p in Path(top).rglob("*")}
    run = "checkpoint/digits_8_8_8"
    for name in ("config.json", "generator.keras", "critic.keras", "checkpoint", "metrics.csv"):
        assert f"{run}/{name}" in files
    assert {f"{run}/ckpt-5.index", f"{run}/ckpt-10.index"} <= files
    drawn = "samples/digits_8_8_8"
    grids = {f"train_00_{i:04d}.png" for i in (0, 4, 8, 10)}
    names = ("reals.png", "training.gif", "training.webp", "losses.png", "real_vs_fake.png")
    names += ("index.html",)
    assert grids | {*names, OUTPUT_MARK} == set(os.listdir(drawn))
    assert set(os.listdir("samples")) == {*NEWEST, Path(drawn).name, OUTPUT_MARK}
    for name in NEWEST:
        assert Path("samples", name).read_bytes() == Path(drawn, name).read_bytes()
    assert list(Path("logs/digits_8_8_8").glob("events*"))
    lines = ("samples/training.gif", f"{drawn}/losses.png", f"{run}/generator.keras")
    for line in lines:
        assert line in out.splitlines()
    with Image.open(f"{drawn}/train_00_0010.png") as image:
        assert image.size == (10 * 8, 8 * 8)
    assert [r["step"] for r in log_rows(run)] == ["2", "4", "6", "8", "10"]
    columns = {"step", "epoch", "critic_loss", "wasserstein", "penalty"}
    assert set(log_rows(run)[0]) == columns | {"gradient_norm", "generator_loss"}
    config = json.loads(Path(run, "config.json").read_text())
    assert config["g_width"] == [4]
    assert config["data"]["classes"] == 10


EVALUATE = ["--eval_every", 4, "--eval_samples", 150, "--extractor", "random-cnn"]


class Shown(contextlib.nullcontext):
    """Progress that only records what is done."""

    def __init__(self, done):
        self.done = done

    def __enter__(self):
        return self

    def update(self, done, text=None):
        self.done.append(done)


def test_evaluate_gives_the_numbers_of_training(cli, monkeypatch):
    words = ("--dataset", "digits", "--train", *SMALL, *EVALUATE, "--max_steps", 6)
    status, out, _ = cli(*words)
    assert status == 0
    run = "checkpoint/digits_8_8_8"
    assert f"{run}/best/generator.keras" in out
    rows = log_rows(run)
    assert [r["step"] for r in rows if r["eval/fid_random-cnn"]] == ["4", "6"]
    drawn = Path("samples/digits_8_8_8")
    assert (drawn / "measures.png").is_file()
    shown = []
    monkeypatch.setattr(evaluate, "progress", lambda *words: shown.append(words) or Shown(shown))
    status, out, err = cli("--dataset", "digits", "--evaluate", "--eval_samples", 150)
    assert (status, err) == (0, "")
    searched = [("features of training images", 1618), 1000, 1618]
    features = [("drawing and extracting", 150), 150, ("measures of features", 3), 1, 2, 3]
    assert shown[:11] == [*searched, *features, ("measures of pixels", 1), 1]
    against = "150 samples, and the same number of images of digits held out of training"
    assert against in out.splitlines() and "note: memory_random-cnn is 0.5 if " in out
    measures = json.loads((drawn / "measures.json").read_text())
    assert measures["samples"] == 150
    logged = {n.removeprefix("eval/"): v for n, v in rows[-1].items() if n.startswith("eval/")}
    assert 0 <= measures["memory_random-cnn"] <= 1
    assert measures.keys() - logged.keys() == {"memory_random-cnn"}
    assert logged.keys() > {"fid_random-cnn", "swd", "recall_random-cnn"}
    for name, value in measures.items():
        if name in logged:
            assert value == pytest.approx(float(logged[name]), rel=1e-5), name
        assert any(line.split()[0] == name for line in out.splitlines())
    assert f"{drawn}/nearest.png" in out.splitlines()
    check_folders(cli, drawn, measures)
    words = ("--dataset", "digits", "--evaluate", "--eval_samples", 150, "--truncation", 0.5)
    status, out, _ = cli(*words)
    assert f"{'truncation':32} 0.5" in out.splitlines()
    truncated = json.loads((drawn / "measures.json").read_text())
    assert truncated.keys() == measures.keys() | {"truncation"}
    assert truncated["fid_random-cnn"] != measures["fid_random-cnn"]
    with Image.open(drawn / "nearest.png") as sheet:
        assert sheet.size == (8 * 8, 8 * 8)


def check_folders(cli, drawn, measures):
    """Folders of PNGs, from which another program gets the numbers of `--evaluate`."""
    for counts in ({"reals": 160, "fakes": 170}, {"reals": 150, "fakes": 150}):
        words = ("--dump_reals", counts["reals"], "--num_samples", counts["fakes"])
        status, out, err = cli("--dataset", "digits", *words)
        assert (status, err) == (0, "")
        what = f"{counts['reals']} images of digits held out of training in {drawn}/reals"
        assert out.splitlines()[-2:] == [what, f"{counts['fakes']} samples in {drawn}/fakes"]
        found = {name: sorted((drawn / name).glob("*.png")) for name in counts}
        assert {name: len(paths) for name, paths in found.items()} == counts
    extract, features = random_cnn((8, 8, 1)), []
    for paths in found.values():
        images = np.stack([utils.read_image(path) for path in paths])
        assert images.shape == (150, 8, 8, 1)
        features.append(metrics.moments(extract(images)[0]))
    same = metrics.frechet_distance(*features)
    assert same == pytest.approx(measures["fid_random-cnn"], rel=1e-5)
    status, out, _ = cli(
        "--dataset", "digits", "--evaluate", "--eval_reals", "train", *EVALUATE[2:4]
    )
    against = "150 samples, and the same number of training images of digits"
    assert against in out.splitlines()
    assert status == 0 and "\nmemory_" not in out
    assert "the samples are measured against training images, and copies of them would" in out


def test_patience_ends_a_run_that_can_go_on(cli, eager, monkeypatch):
    found = {"samples": 150, "fid_random-cnn": 5.0}
    monkeypatch.setattr(evaluation.Evaluation, "measure", lambda *_: found)
    words = ("--dataset", "digits", "--train", *SMALL, *EVALUATE, "--eval_every", 1, "--name", "r")
    status, out, err = cli(*words, "--patience", 0.33, "--max_steps", 20)
    assert (status, err) == (0, "")
    why = "fid_random-cnn has not improved since update 1, for 75 % of the updates so far"
    why += "; the best generator is checkpoint/r/best/generator.keras"
    assert f"\n{why}\nstopped by --patience at step 4 of 20; wrote\n" in out
    assert "note: fid" not in out and "\nsamples/r/best.png\n" in out
    assert f"<p>{why.partition(';')[0]}. The folder" in Path("samples/index.html").read_text()
    assert Path("checkpoint/r/ckpt-4.index").exists()
    status, out, _ = cli(*words, "--patience", 0.75, "--max_steps", 20)
    assert status == 0 and f"\nnothing left to do: {why}; with a larger" in out
    out = cli(*words, "--patience", 0.85, "--max_steps", 6)[1]
    assert "done at step 6 of 6" in out and out.count("note: fid_random-cnn has not improved") == 1


def test_the_best_is_a_run_of_its_own(cli):
    words = ("--dataset", "digits", *SMALL, *EVALUATE)
    assert cli(*words, "--train", "--max_steps", 8)[0] == 0
    run = Path("checkpoint/digits_8_8_8")
    best = json.loads((run / "best" / "measures.json").read_text())
    fids = {r["step"]: float(r["eval/fid_random-cnn"]) for r in log_rows(run)[1::2]}
    assert fids.keys() == {"4", "8"}
    assert str(best["step"]) == min(fids, key=fids.get)
    assert best["fid_random-cnn"] == pytest.approx(min(fids.values()), rel=1e-5)
    there = ("--checkpoint_dir", run, "--name", "best")
    status, out, _ = cli("--dataset", "digits", "--evaluate", "--eval_samples", 150, *there)
    assert status == 0
    drawn = Path("samples/digits_8_8_8_best")
    found = json.loads((drawn / "measures.json").read_text())
    assert 0 <= found.pop("memory_random-cnn") <= 1 and found.items() <= best.items()
    status, out, _ = cli(*words, "--train", "--max_steps", 9, *there)
    assert f"resumed {run / 'best'} at step {best['step']}" in out
    assert (drawn / "training.gif").is_file()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--extractor", "vgg"], "--extractor=vgg must be one of mnist-cnn, random-cnn"),
        (["--extractor", "no.keras"], "--extractor=no.keras must be one of mnist-cnn, random-cnn"),
        (["--extractor", "bad.keras"], "cannot load bad.keras"),
        (["--extractor", "bad.h5"], "--extractor PATH.h5"),
    ],
)
def test_a_wrong_extractor_is_one_line(cli, words, expected):
    for name in ("bad.keras", "bad.h5"):
        Path(name).write_text("no network")
    status, _, err = cli("--dataset", "digits", "--train", *SMALL, "--eval_every", 4, *words)
    assert (status, err.count("\n")) == (1, 1)
    assert expected in err


def test_nothing_left_to_do(cli):
    words = ("--dataset", "digits", "--train", *SMALL, "--max_steps", 2)
    assert cli(*words)[0] == 0
    kept = [*Path("checkpoint").rglob("ckpt*"), *Path("checkpoint").rglob("*.keras")]
    before = [p.stat().st_mtime_ns for p in kept]
    status, out, _ = cli(*words)
    assert status == 0
    assert "nothing left to do: the run has all 2 steps" in out
    assert len(kept) == 4
    assert before == [p.stat().st_mtime_ns for p in kept]


def test_resume_false_keeps_the_old_run_until_the_first_save(cli):
    words = ("--dataset", "digits", "--train", *SMALL)
    assert cli(*words, "--max_steps", 5)[0] == 0
    status, out, _ = cli(*words, "--max_steps", 3, "--resume", "False", "--seed", 4)
    assert status == 0
    assert "resumed" not in out
    run = Path("checkpoint/digits_8_8_8")
    assert {p.name for p in run.glob("ckpt*.index")} == {"ckpt-3.index"}
    assert json.loads((run / "config.json").read_text())["seed"] == 4


def test_a_changed_network_is_refused(cli):
    words = ("--dataset", "digits", "--train", *SMALL, "--name", "r")
    assert cli(*words, "--max_steps", 1)[0] == 0
    others = {"z_dim": 5, "g_width": 6, "critic_norm": "layer", "mode": "div", "optimizer": "sgd"}
    for flag, value in {**others, "z_distribution": "normal"}.items():
        status, _, err = cli(*words, "--max_steps", 2, f"--{flag}", value)
        assert (status, err.count("\n")) == (2, 1)
        assert f"{flag}=" in err
    assert cli(*words, "--max_steps", 2)[0] == 0


def test_a_resumed_run_takes_its_own_settings(cli):
    words = ("--dataset", "digits", "--train", *SMALL, "--max_steps")
    assert cli(*words, 1, "--name", "r", "--learning_rate", 0.003, "--seed", 7)[0] == 0
    status, out, _ = cli("--name", "r", "--train", "--max_steps", 2)
    assert status == 0
    assert "learning_rate=0.003" in out
    assert "seed=7" in out
    status, out, _ = cli("--name", "r", "--train", "--max_steps", 3, "--learning_rate", 0.001)
    assert "changed: learning_rate 0.003 -> 0.001" in out
    rates = {n: v for n, v in checkpoint("checkpoint/r", 3).items() if "learning_rate" in n}
    assert sorted(float(v) for v in rates.values()) == pytest.approx([0.001, 0.001])


@pytest.fixture(scope="module")
def trained_once(tmp_path_factory):
    """The folder in which one step of digits was trained."""
    folder = tmp_path_factory.mktemp("trained")
    words = ["--dataset", "digits", "--train", *SMALL, "--max_steps=1"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(plots, "_save_plot", save_pixel)
        tf.config.run_functions_eagerly(True)
        assert main.main(words) == 0
    return folder


@pytest.fixture
def digits_run(cli, trained_once):
    """The current folder has the run `digits_8_8_8`, a copy for each test."""
    shutil.copytree(trained_once, ".", dirs_exist_ok=True)


def test_test_mode(cli, digits_run):
    np.save("z.npy", np.zeros((2, 4)))
    single = {f"test_0000{i}.png" for i in range(3)}
    sweeps = {"test_move.png", *(f"test_move_0{i}.gif" for i in range(1, 5))}
    for words, expected in (
        ((), {"test.png"}),
        (("--num_samples", 3), {"test.png"} | single),
        (("--num_samples", 3, "--visualize"), {"test.png"} | single | sweeps),
        (("--latents", "z.npy"), {"test.png", "latent_0000.png", "latent_0001.png"}),
        (("--mix", "0:1,2", "--batch_size", 4), {"test.png", "mix.png", "mix_classes.png"}),
    ):
        top = f"made{words[:1]}"
        status, out, _ = cli("--dataset", "digits", "--sample_dir", top, *words)
        assert status == 0
        assert os.listdir(top) == ["digits_8_8_8"]
        names = {p.name for p in Path(top).glob("*/[!.]*")}
        assert names == expected
        assert {f"{top}/digits_8_8_8/{n}" for n in names} <= set(out.splitlines())
    with Image.open("made()/digits_8_8_8/test.png") as image:
        assert image.size == (80, 8)
    status, out, _ = cli("--dataset", "digits", "--num_samples", 11)
    top = "samples/digits_8_8_8"
    series = f"{top}/test_00000.png to test_00010.png (11 files)"
    assert out.splitlines()[-2:] == [f"{top}/test.png", series]
    seeded = []
    for words in ((), ("--truncation", 1), ("--truncation", 0.5)):
        assert cli("--dataset", "digits", "--seeds", 3, *words)[0] == 0
        seeded.append(Path(top, "seed_0003.png").read_bytes())
    assert seeded[0] == seeded[1] != seeded[2]  # its latents are uniform
    for option in ("0", "1", "2", "3", "4", "True"):
        assert cli("--dataset", "digits", "--visualize", option)[0] == 0
    made = Path("samples/digits_8_8_8")
    assert (made / "test_gif_merged.gif").is_file()
    assert [p.name for p in made.iterdir() if not PICTURES.fullmatch(p.name)] == [OUTPUT_MARK]


def test_test_mode_without_a_run_says_how_to_train(cli):
    status, _, err = cli("--dataset", "digits", "--batch_size", 32)
    assert status == 1
    assert err.count("\n") == 1
    assert "python main.py --dataset digits --batch_size 32 --train True" in err


def test_a_generator_without_a_checkpoint_is_not_replaced_unasked(cli):
    words = ("--dataset", "digits", "--train", *SMALL)
    assert cli(*words, "--max_steps", 2)[0] == 0
    run = Path("checkpoint/digits_8_8_8")
    for path in run.iterdir():
        if path.is_file() and path.name not in ("generator.keras", "config.json"):
            path.unlink()
    assert cli("--dataset", "digits")[0] == 0
    copied = (run / "generator.keras").read_bytes()
    status, out, err = cli(*words, "--max_steps", 3)
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert f"{run} has a trained generator, but no checkpoint" in err
    assert (run / "generator.keras").read_bytes() == copied
    assert cli(*words, "--max_steps", 3, "--resume", "False")[0] == 0
    assert (run / "generator.keras").read_bytes() != copied


@pytest.fixture
def shipped(tmp_path_factory, monkeypatch):
    """The folder of the runs that ship: one run of digits, without a critic and checkpoints."""
    top = tmp_path_factory.mktemp("project") / "pretrained"
    given = {"dataset": "digits", "output_height": 8, **TINY, "g_width": (4,), "d_width": (4,)}
    c, spec = resolve(given), ImageSpec(8, 8, 1, 1797, 10)
    checkpoints.save_networks(top / "s", build.build_trainer(c, spec).networks)
    (top / "s/critic.keras").unlink()
    save_text(top / "s/config.json", json.dumps({**c.to_json(), "data": vars(spec)}))
    utils.save_animation(top / "s/training.gif", np.zeros((2, 8, 8, 1), np.uint8))
    monkeypatch.setattr(trained, "PRETRAINED", top)
    return top


def contents(folder):
    return {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in folder.rglob("*") if p.is_file()}


def test_a_run_that_ships_is_used_and_never_written(cli, shipped, monkeypatch):
    before, film = contents(shipped), (shipped / "s/training.gif").read_bytes()
    line = f"run {shipped}/s, which ships with the project: you have none of your own in checkpoint"
    few = ("--eval_samples", 100, "--extractor", "random-cnn")
    for words in (("--num_samples", 1), ("--name", "s"), ("--evaluate", *few)):
        Path("samples/training.gif").unlink(missing_ok=True)
        status, out, err = cli("--dataset", "digits", *words)
        assert (status, err, out.splitlines()[0]) == (0, "", line)
        warned = "note: precision_random-cnn rises when images are blurred" in out
        assert warned is ("--evaluate" in words)
        assert "its film is samples/training.gif" in out
        for path in ("samples/training.gif", "samples/s/training.gif"):
            assert Path(path).read_bytes() == film
    with monkeypatch.context() as patch:
        patch.setattr(export, "check", lambda *_: 0.0)  # in a new process
        assert cli("--dataset", "digits", "--export", "keras")[0] == 0
    words = ("--dataset", "digits", "--train", *SMALL, "--max_steps", 1)
    status, out, _ = cli(*words, "--name", "s")  # a run of the user's, from noise
    assert status == 0 and "start from" not in out
    assert not Path("samples/s/test_00000.png").exists()
    out = cli("--dataset", "digits", "--num_samples", 1)[1]
    assert out.splitlines()[0] == "run checkpoint/s"
    more = ("--learning_rate", 0.01)  # fits no run's name
    assert cli(*words, "--name", "t", "--init_from", "s", *more)[0] == 0
    for flag in ("checkpoint_dir", "sample_dir", "log_dir", "cache_dir"):
        status, out, err = cli(*words, "--name", "s", f"--{flag}", shipped)
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert f"--{flag}={shipped} has the runs that ship with the project" in err
    assert cli("--dataset", "digits", "--sample_dir", shipped / "s")[0] == 2
    assert contents(shipped) == before


def test_a_run_that_ships_and_the_users_of_the_same_name_do_not_mix(cli, shipped):
    words = ("--dataset", "digits", *SMALL, "--name", "s")
    assert cli(*words, "--z_dim", 5, "--train", "--max_steps", 1)[0] == 0
    own = contents(Path("samples/s"))
    status, out, _ = cli("--name", "s", "--z_dim", 4, "--num_samples", 1)
    assert status == 0
    assert "none of your own in checkpoint fits (there are s)" in out
    assert contents(Path("samples/s")) == own
    assert Path("samples/s_pretrained/test.png").is_file()


def test_a_run_can_start_from_a_generator_without_its_critic(cli, shipped):
    words = ("--dataset", "digits", "--train", *SMALL, "--max_steps", 1, "--learning_rate", 0)
    words += ("--d_learning_rate", 0, "--ema", 0, "--seed", 3)
    status, out, _ = cli(*words, "--name", "new", "--init_from", "s")
    assert status == 0
    line = f"the networks start from the weights in {shipped}/s; there is no critic.keras, so this"
    assert f"{line} critic starts from random weights\n" in out
    assert cli(*words, "--name", "other")[0] == 0
    paths = ("checkpoint/new", shipped / "s", "checkpoint/other")
    new, old, other = (keras.saving.load_model(f"{p}/generator.keras") for p in paths)
    for a, b in zip(old.trainable_variables, new.trainable_variables):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(new.trainable_variables[0], other.trainable_variables[0])
    critics = [keras.saving.load_model(f"checkpoint/{n}/critic.keras") for n in ("new", "other")]
    for a, b in zip(*(critic.trainable_variables for critic in critics)):
        np.testing.assert_array_equal(a, b)
    shutil.copytree("checkpoint/other", "checkpoint/s")  # a run of the user's comes first
    (Path("checkpoint/s") / "generator.keras").write_text("no network")
    status, _, err = cli(*words, "--name", "x", "--init_from", "s")
    assert (status, err.count("\n")) == (1, 1)
    assert "cannot load checkpoint/s/generator.keras" in err


def test_a_resumed_run_draws_its_own_data(cli):
    words = ("--dataset", "digits", "--train", *SMALL, "--max_steps")
    assert cli(*words, 4)[0] == 0
    drawn = Path("samples/digits_8_8_8")
    paths = [drawn / name for name in ("reals.png", "real_vs_fake.png")]
    before = [path.read_bytes() for path in paths]
    for path in paths:
        Image.new("L", (8, 8)).save(path)
    (drawn / "measures.png").write_text("another run's")
    assert cli(*words, 5)[0] == 0
    assert paths[0].read_bytes() == before[0]
    with Image.open(paths[1]) as pair, Image.open(io.BytesIO(before[1])) as old:
        assert pair.crop((0, 0, 64, 64)).tobytes() == old.crop((0, 0, 64, 64)).tobytes()
    assert not (drawn / "measures.png").exists()


def test_a_clone_stays_clean(cli, tmp_path, monkeypatch):
    """What the commands write is ignored by git, and what git has is not."""

    def git(*words):
        done = subprocess.run(["git", *words], capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"git: {done.stderr}")
        return done.stdout

    for name in (".gitignore", "checkpoint/README.md", "samples/README.md", "data/README.md"):
        Path(name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, name)
    git("init", "--quiet")
    git("add", ".")
    assert len(git("ls-files").split()) == 4
    git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "-m", "a")
    folder_of_images(tmp_path / "data" / "pics")
    words = ("--train", *SMALL, "--max_steps", 1, "--output_height", 16)  # this size is cached
    assert cli("--dataset", "pics", *words)[0] == 0
    assert cli("--dataset", "pics", "--num_samples", 1, "--sample_dir", "samples_x")[0] == 0
    monkeypatch.setattr(export, "check", lambda *_: 0.0)  # in a new process
    assert cli("--dataset", "pics", "--export", "keras")[0] == 0
    save_text(Path("samples/compare/compare.png"), "")
    found = {path.relative_to(tmp_path).parts[0] for path in tmp_path.iterdir()}
    assert {"samples", "samples_x", "checkpoint", "logs", "export", "data"} < found
    assert list(Path("data/.cache").iterdir())
    assert git("status", "--porcelain", "--untracked-files=all") == ""
    done = subprocess.run(
        ["git", "ls-files", "--cached", "--ignored", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout == ""


def test_settings_of_other_programs_have_no_effect(tmp_path, monkeypatch):
    """keras.json and the environment belong to all programs of a user.

    And the generator loads without this project.
    """
    settings = {"floatx": "float16", "image_data_format": "channels_first", "backend": "jax"}
    (tmp_path / "keras.json").write_text(json.dumps({**settings, "epsilon": 0.1}))
    strange = {"KERAS_BACKEND": "torch", "KERAS_HOME": str(tmp_path), "MPLBACKEND": "nonsense"}
    with monkeypatch.context() as patch:
        for name, value in {**strange, "PYTHONSAFEPATH": "1", "PYTHONWARNINGS": "error"}.items():
            patch.setenv(name, value)
        words = ["--dataset", "digits", *SMALL, "--train", "--max_steps", 1]
        assert run_main(tmp_path, *words, status=0).stderr == ""
    code = (
        "import keras, numpy as np\n"
        "g = keras.saving.load_model('checkpoint/digits_8_8_8/generator.keras')\n"
        "print(g([np.zeros((2, 4)), np.eye(10)[:2]]).shape, {w.dtype for w in g.weights})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE, text=True, check=True
    )
    assert "(2, 8, 8, 1) {'float32'}" in done.stdout


def test_training_does_not_depend_on_the_pictures_made(cli):
    words = ("--dataset", "digits", "--train", *SMALL, "--max_steps", 6, "--name")
    assert cli(*words, "a")[0] == 0
    assert cli(*words, "b", "--sample_every", 1, "--log_every", 1, "--save_every", 1)[0] == 0
    a, b = checkpoint("checkpoint/a", 6), checkpoint("checkpoint/b", 6)
    for name in a:
        if not name.startswith("average"):  # whose statistics are estimated when it is shown
            np.testing.assert_array_equal(a[name], b[name], err_msg=name)


def test_a_set_smaller_than_the_batch_wraps_around(cli, tmp_path):
    folder_of_images(tmp_path / "data" / "few", count=3)
    status, out, _ = cli("--dataset", "few", "--train", *SMALL, "--max_steps", 2)
    assert status == 0
    assert "3 images are fewer than a batch of 8" in out


def test_a_run_goes_on_with_the_pictures_that_it_began_with(cli, tmp_path, eager):
    """Its own pictures are not data, and another background or range of values is refused."""
    Image.new("LA", (8, 8), (9, 0)).save(tmp_path / "alpha.png")
    Image.fromarray(np.full((8, 8), 3000, np.uint16)).save(tmp_path / "wide.png")
    (tmp_path / "notes.txt").write_text("text")
    lines = {"left out: 1 .txt", "16-bit pictures: values 0 to 4095 become 0 to 255"}
    lines |= {"#102030 fills the transparent pixels of 1 picture (--background chooses another"}
    words = ("--dataset", tmp_path, "--train", *SMALL, "--name", "r", "--sample_dir", "pictures")
    for step, given in ((1, ("--background", "#102030")), (2, ())):
        status, out, err = cli(*words, *given, "--max_steps", step)
        assert status == 0, err
        assert all(f"\n{line}" in out for line in lines)
        data = json.loads((tmp_path / "checkpoint/r/config.json").read_text())["data"]
        assert (data["count"], data["value_range"]) == (2, [0, 4095])
    status, _, err = cli(*words, "--background", "black", "--max_steps", 3)
    assert (status, err.count("\n")) == (2, 1)
    assert "run r has background=#102030, not #000000" in err
    Image.fromarray(np.full((8, 8), 5000, np.uint16)).save(tmp_path / "wider.png")
    status, _, err = cli(*words, "--max_steps", 3)
    assert (status, err.count("\n")) == (1, 1)
    assert "value_range [0, 4095], and these have [0, 8191]" in err


def test_divergence_is_one_line_and_saves_nothing(cli, monkeypatch):
    words = ("--dataset", "digits", "--train", *SMALL)
    assert cli(*words, "--max_steps", 5)[0] == 0
    status, _, err = cli(*words, "--max_steps", 20, "--learning_rate", 1e30)
    assert status == 1
    assert err.count("\n") == 1
    assert "not finite at step" in err
    assert {p.name for p in Path("checkpoint/digits_8_8_8").glob("ckpt*.index")} == {"ckpt-5.index"}


def break_weights_at(monkeypatch, *steps):
    """Make the critic's weights infinite before each of these steps, once."""
    left, inner = list(steps), loop._Log.add

    def add(log, step, *rest):
        if left and step >= left[0]:
            left.pop(0)
            weight = log.trainer.critic.trainable_variables[0]
            weight.assign(np.full(weight.shape, np.inf))
        return inner(log, step, *rest)

    monkeypatch.setattr(loop._Log, "add", add)


def test_a_divergence_can_be_rolled_back_once(cli, monkeypatch):
    """The run goes on from its last checkpoint at half rates, which are kept."""
    words = ("--dataset", "digits", "--train", *SMALL, "--learning_rate", 1e-3)
    words += ("--d_learning_rate", 4e-3, "--on_nan", "rollback")
    break_weights_at(monkeypatch, 8)
    status, out, err = cli(*words, "--max_steps", 12)
    assert (status, err) == (0, "")
    assert "not finite at step 8: back to step 5 with learning_rate=0.0005" in out
    folder = Path("checkpoint/digits_8_8_8")
    assert [int(row["step"]) for row in log_rows(folder)] == [2, 4, 6, 8, 10, 12]
    saved = json.loads((folder / "config.json").read_text())
    assert (saved["learning_rate"], saved["d_learning_rate"]) == (5e-4, 2e-3)
    rates = checkpoint(folder, 12)
    found = {v.item() for n, v in rates.items() if "learning_rate" in n}
    assert found == {np.float32(5e-4).item(), np.float32(2e-3).item()}
    break_weights_at(monkeypatch, 16, 16)
    status, out, err = cli(*words, "--max_steps", 30)
    assert status == 1
    assert "not finite at step 16: back to step 15" in out
    assert "not finite at step 16: nothing from then on is saved" in err
    assert (folder / "ckpt-15.index").is_file() and not (folder / "ckpt-20.index").exists()


def test_without_a_checkpoint_of_its_own_a_run_is_not_rolled_back(cli, monkeypatch):
    words = ("--dataset", "digits", "--train", *SMALL, "--max_steps", 5)
    assert cli(*words)[0] == 0
    break_weights_at(monkeypatch, 4)
    status, out, err = cli(*words, "--resume", "False", "--on_nan", "rollback")
    assert status == 1 and "not finite at step 4" in err and "back to" not in out


WEIGHTS = """
import sys
from tests.test_cli import hash_weights
print(*(hash_weights(mode) for mode in sys.argv[1:]))
"""


def hash_weights(mode, steps=25):
    """Return a hash of a mode's whole state after some steps."""
    given = {"dataset": "digits", "mode": mode, "output_height": 16, "batch_size": 16}
    c = resolve({**given, "g_width": (8,), "d_width": (8,), "mirror": True})
    trainer = build.build_trainer(c, ImageSpec(16, 16, 1, 100, 10))
    for step in range(steps):
        trainer.step(*batch(trainer, 2, seed=step))
    state = values(trainer.state)
    return hashlib.sha256(b"".join(v.tobytes() for v in state.values())).hexdigest()


QUICK = ("gp", "gan")  # a penalty, and batch norm in the critic


@pytest.mark.parametrize(
    "modes",
    [QUICK, pytest.param([m for m in tables.MODES if m not in QUICK], marks=pytest.mark.slow)],
)
def test_weights_are_the_same_in_two_processes(compiled, modes):
    """To the last bit."""
    words = [sys.executable, "-c", WEIGHTS, *modes]
    other = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    found = [hash_weights(mode) for mode in modes]
    assert other.communicate(timeout=300)[0].split() == found
    assert len(set(found)) == len(modes)


def test_a_signal_saves_and_the_last_line_goes_on(cli, monkeypatch, handlers):
    words = ["--dataset", "digits", "--train", *SMALL, "--max_steps", "9", "--name", "a run"]
    script, imported = ["python", "-u", "main.py"], ["python", str(ROOT / "main.py")]
    whole = [*script, *words, "--resume", "False"]
    cases = (signal.SIGINT, 130, whole, script), (signal.SIGUSR1, 138, ["kernel"], imported)
    for number, status, process, start in cases:
        with monkeypatch.context() as patch:
            patch.setattr(sys, "orig_argv", process)
            patch.setattr(loop._Log, "add", lambda *_, n=number: os.kill(os.getpid(), n))
            found, out, err = cli(*words, "--resume", "False")
        assert (found, err) == (status, "")
        assert f"stopped by {number.name} at step 2 of 9" in out
        assert out.endswith(f"go on with\n{shlex.join([*start, *words])}\n")
        assert [path.name for path in Path("checkpoint/a run").glob("ckpt*x")] == ["ckpt-2.index"]


@pytest.mark.parametrize(
    ("number", "status", "reads"),
    [
        pytest.param(signal.SIGINT, 130, True, marks=pytest.mark.slow),
        pytest.param(signal.SIGUSR1, 138, True, marks=pytest.mark.slow),
        (signal.SIGTERM, 143, False),
    ],
)
def test_a_signal_saves_and_exits(tmp_path, handlers, number, status, reads):
    """Also if nobody reads what is printed, as with `| head -1`."""
    words = ["--dataset", "digits", "--train", *SMALL, "--max_steps", "100000", "--name", "a run"]
    words += ["--arch", "mlp"]
    process = subprocess.Popen(
        [sys.executable, "-u", ROOT / "main.py", *words, "--resume", "False"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    if not reads:
        assert process.stdout.readline() == "run a run\n"
        process.stdout.close()
        process.stderr.close()
    run = tmp_path / "checkpoint/a run"
    end = time.monotonic() + 120
    while not (run / "metrics.csv").is_file() and time.monotonic() < end:
        time.sleep(0.2)
    process.send_signal(number)
    out, err = process.communicate(timeout=60) if reads else (process.wait(60) and "", "")
    assert (process.returncode, err) == (status, "")
    last = max(int(path.stem[5:]) for path in run.glob("ckpt-*.index"))
    assert str(last) == log_rows(run)[-1]["step"] or last % 2
    if reads:
        assert f"stopped by {number.name} at step {last} of 100000" in out
        call = shlex.join([sys.executable, "-u", str(ROOT / "main.py"), *words])
        assert out.endswith(f"go on with\n{call}\n")


def test_saves_by_time_change_no_step(cli, monkeypatch, eager):
    """Everything is due at every step, and the state is the same to the last bit."""
    words = ["--dataset", "digits", "--train", *SMALL, "--max_steps", 5]
    assert cli(*words, "--name", "plain")[0] == 0
    for name in ("LOG_SECONDS", "SAMPLE_SECONDS", "SAVE_SECONDS"):
        monkeypatch.setattr(loop.Schedule, name, 0.0)
    assert cli(*words, "--name", "often")[0] == 0
    plain, often = (log_rows(f"checkpoint/{name}") for name in ("plain", "often"))
    assert [row["step"] for row in often] == ["2", "3", "4", "5"]
    assert [row for row in often if row["step"] != "3"] == plain
    frames = sorted(int(path.stem) for path in Path("checkpoint/often/frames").glob("*.png"))
    assert frames == [0, 2, 3, 4, 5]
    assert same(checkpoint("checkpoint/plain", 5), checkpoint("checkpoint/often", 5)) == []


def test_one_real_image_is_not_measured(cli, tmp_path, eager):
    folder_of_images(tmp_path / "data" / "pics", count=1)
    words = ("--dataset", "pics", *SMALL)
    more = ("--max_steps", 2, "--eval_every", 1, "--patience", 0.5)
    status, out, err = cli(*words, "--train", *more)
    assert (status, err) == (0, "")
    reason = "an evaluation needs at least 2 real images, and there is 1"
    assert f"\nnote: --eval_every and --patience have no effect: {reason}\n" in out
    assert cli(*words, "--evaluate")[::2] == (1, f"main.py: {reason}\n")


def test_two_real_images_are_measured(cli, tmp_path, eager):
    folder_of_images(tmp_path / "data" / "pics", count=2)
    words = ("--dataset", "pics", *SMALL, "--eval_every", 1)
    status, out, err = cli(*words, "--train", "--max_steps", 1)
    assert (status, err) == (0, "")
    assert "note: ssim is not measured: images of 8x8 are too small for it\n" in out
    assert "note: the samples are measured against training images" in out
    assert "note: the fid against 2 images is too high: " in out
    assert "failed" not in out
    assert {v != "nan" for n, v in log_rows("checkpoint/pics_8_8_8")[0].items()} == {True}


# Windows and macOS, as far as Linux can be made like them.
LESS = """
import os, signal, sys
del os.posix_fallocate, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2
sys.modules["fcntl"] = None
import main
sys.exit(main.finish(main.main(sys.argv[1:])))
"""


def test_systems_that_have_less(tmp_path):
    words = ["--dataset", "digits", "--train", *SMALL, "--output_height", "16", "--max_steps", "2"]
    words += ["--arch", "mlp", "--mode", "gan"]
    call = [sys.executable, "-c", LESS, *words]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(call, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("note: ") == 2
    assert "note: this file system has no locks: " in done.stdout
    assert "note: this system cannot allocate disk space: " in done.stdout
    assert "done at step 2 of 2" in done.stdout
    assert not list(tmp_path.rglob("*lock"))


@pytest.mark.skipif(not SHARED.is_dir(), reason="no ../shared/data beside the project")
def test_the_seeds_commands(cli, tmp_path):
    """The four commands of the seed's README as written, but for one step of narrow networks."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mnist").symlink_to(SHARED / "mnist")
    import tarfile

    with tarfile.open(SHARED / "faces.tar") as tar:
        members = [m for m in tar if m.isfile()][:100]
        tar.extractall(tmp_path / "data", members, filter="data")
    sizes = {"batch_size": 64, "input_height": 28, "output_height": 28}
    digits = {**sizes, "dataset": "mnist", "sample_dir": "samples_mnist"}
    sizes = {"batch_size": 64, "input_height": 96, "output_height": 48}
    faces = {**sizes, "dataset": "faces", "sample_dir": "samples_faces"}
    digits, faces = ([w for n, v in d.items() for w in (f"--{n}", v)] for d in (digits, faces))
    short = ("--max_steps", 1, "--g_width", 4, "--d_width", 4)
    assert cli("--epoch", 50, *digits, "--train", "True", *short)[0] == 0
    assert cli(*digits)[0] == 0
    assert cli("--epoch", 200, *faces, "--train", "True", *short, "--z_dim", 9)[0] == 0
    assert cli(*faces)[0] == 0
    for folder, size in (("samples_mnist", (280, 210)), ("samples_faces", (384, 384))):
        assert len(list(Path(folder).glob("*/test*.png"))) == 1
        with Image.open(next(Path(folder).glob("*/test.png"))) as image:
            assert image.size == size
        assert Path(folder, "training.gif").is_file()
    assert Path("checkpoint/mnist_64_28_28/generator.keras").is_file()
    assert Path("checkpoint/faces_64_48_48/generator.keras").is_file()


def test_compare_trains_each_mode_and_writes_a_page(cli, digits_run):
    words = ("--compare", "regular,gp", "--dataset", "digits", *SMALL)
    assert cli(*words, "--max_steps", 4)[0] == 0
    status, out, _ = cli(*words, "--max_steps", 6)
    assert status == 0
    assert out.count("at step 4") == 2  # both went on
    page = Path("samples/compare")
    made = [f"{page}/{n}" for n in ("compare.png", "weights_hist.csv", "weights.csv")]
    assert out.splitlines()[-3:] == made
    with Image.open(page / "compare.png") as image:
        assert image.width > 500
    with open(page / "weights.csv", newline="") as file:
        facts = {row["mode"]: row for row in csv.DictReader(file)}
    assert float(facts["regular"]["max"]) == pytest.approx(0.01, abs=1e-6)
    assert float(facts["gp"]["max"]) > 0.02
    assert facts["gp"]["at_bounds"] == ""
    with open(page / "weights_hist.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [r["mode"] for r in rows] == ["regular"] * 80 + ["gp"] * 80
    assert "gradient_norm" in log_rows("checkpoint/compare_digits_8_8_8_regular")[0]
    last = page / "compare_digits_8_8_8"
    assert (last / "reals.png").is_file() and not (page / "training.gif").exists()
    for name in NEWEST:
        assert Path("samples", name).read_bytes() == (last / name).read_bytes()
    assert Path("checkpoint/digits_8_8_8/ckpt-1.index").is_file()  # the user's own run


def test_compare_stops_at_a_signal(cli, monkeypatch):
    monkeypatch.setattr(train, "fit", lambda c, run, *_: print(run.name) or 143)
    status, out, _ = cli("--compare", "gp,div", "--dataset", "digits", *SMALL)
    assert status == 143
    start = f"\ngo on with\npython {ROOT / 'main.py'} --compare gp,div --dataset digits "
    assert start in out
    assert "compare_digits_8_8_8\n" in out
    assert "digits_8_8_8_div" not in out


def test_compare_limits_the_minutes_of_a_mode_over_all_calls(cli, monkeypatch):
    left = []
    monkeypatch.setattr(
        "commands.compare.train",
        lambda flags, started, folder: left.append(time.monotonic() - started) or 130,
    )
    words = ("--compare", "gp,div", "--dataset", "digits", "--name", "c", "--max_minutes", 1)
    for seconds in (0.0, 40.0):
        folder = Path("checkpoint/c_gp")
        save_text(folder / "metrics.csv", f"step,epoch,seconds\n1,0,{seconds}\n")
        assert cli(*words)[0] == 130
    assert [round(spent) for spent in left] == [0, 40]


def test_a_new_run_can_start_from_another(cli):
    """With its settings, for which no flags are given."""
    words = ("--dataset", "digits", "--train", "--batch_size", 8, "--max_steps")
    assert cli(*words, 3, *SMALL, "--name", "old")[0] == 0
    rate = ("--learning_rate", "0", "--d_learning_rate", "0", "--ema", "0")
    for source in ("old", "checkpoint/old"):
        name = f"from{len(source)}"
        status, out, _ = cli(*words, 1, "--name", name, "--init_from", source, *rate)
        assert status == 0
        taken = "output_height=8, output_width=8, critic_num=2, z_dim=4, g_width=4, d_width=4"
        assert f"taken from {source}: {taken} " in " ".join(out.split())
        for file in ("generator.keras", "critic.keras"):
            old, new = (keras.saving.load_model(f"checkpoint/{n}/{file}") for n in ("old", name))
            for a, b in zip(old.trainable_variables, new.trainable_variables):
                np.testing.assert_array_equal(a, b)
    words = (*words, 1, "--init_from", "old")
    status, out, _ = cli(
        *words, "--name", "x", "--z_dim", 5, "--conditional", False, "--mode", "r1"
    )
    assert status == 0
    note = "note: differs from old: mode gp -> r1, z_dim 4 -> 5, classes 10 -> 0"
    assert note in out.splitlines()
    assert "generator: 2 of 3 layers fit; new: Dense 5->64" in out.splitlines()
    status, _, err = cli(*words, "--name", "y", "--z_dim", 5, "--g_width", 8)
    assert (status, err.count("\n")) == (1, 1)
    line = "no layer of checkpoint/old/generator.keras fits the new network, which differs: "
    assert f"--init_from=old: {line}z_dim 4 -> 5, g_width 4 -> 8" in err
    status, _, err = cli(*words[:-1], "absent", "--name", "y")
    assert (status, err.count("\n")) == (1, 1)
    assert "--init_from=absent: there is no such run in checkpoint or " in err
    shutil.rmtree("checkpoint/old")  # a resumed run does not need it
    status, out, _ = cli(*words, "--name", "x", "--z_dim", 5)
    assert status == 0 and "note: --init_from has no effect on a resumed run" in out.splitlines()


def test_a_run_with_frozen_layers(cli, eager):
    words = ("--dataset", "digits", "--train", "--batch_size", 8, "--output_height", 16)
    words += ("--g_width", 4, "--d_width", 4, "--z_dim", 4, "--max_steps")
    assert cli(*words, 1, "--name", "old")[0] == 0
    start = ("--name", "new", "--init_from", "old", "--freeze_critic")
    status, _, err = cli(*words, 2, *start, 3)
    assert (status, err.count("\n")) == (1, 1)
    line = "--freeze_critic=3 must be at most 2, the number of the critic's layers before its last"
    assert line in err
    assert cli(*words, 2, *start, 1)[0] == 0
    status, _, err = cli(*words, 3, *start, 2)
    assert status == 2 and "run new has freeze_critic=1, not 2: leave that flag" in err
    assert cli(*words, 3, "--name", "new")[0] == 0  # the run keeps it
    assert json.loads(Path("checkpoint/new/config.json").read_text())["freeze_critic"] == 1
    old, new = (keras.saving.load_model(f"checkpoint/{n}/critic.keras") for n in ("old", "new"))
    same = [np.array_equal(*pair) for pair in zip(*(n.trainable_variables for n in (old, new)))]
    assert same[:2] == [True, True] and not any(same[2:-1])  # gp does not move the last bias
    Path("checkpoint/old/critic.keras").unlink()
    status, _, err = cli(*words, 1, "--name", "x", *start[2:], 1)
    assert (status, err.count("\n")) == (1, 1)
    assert "--freeze_critic=1 would freeze random weights, since no saved layer fits Conv2D" in err


def test_seeds_labels_and_films(cli, digits_run):
    words = ("--seeds", "3-5", "--label", 7, "--interpolate", 3, "--sample_dir", "made")
    status, _, _ = cli("--dataset", "digits", *words)
    assert status == 0
    names = {p.name for p in Path("made").glob("*/[!.]*")} - {"interpolation.mp4"}
    films = {"interpolation.gif", "interpolation.webp"}
    assert names == {"test.png", *(f"seed_000{i}.png" for i in (3, 4, 5))} | films
    status, _, err = cli("--dataset", "digits", "--label", 10)
    assert status == 1
    assert "this generator has the classes 0, 1, 2, 3, 4, 5, 6, 7, 8, 9" in err


def test_batch_norm_in_a_penalised_critic_is_advised_against_and_allowed(cli):
    words = ("--dataset", "digits", "--train", *SMALL, "--max_steps", 1, "--critic_norm")
    _, out, _ = cli(*words, "batch", "--name", "a")
    assert "note: with batch norm in the critic" in out
    _, out, _ = cli(*words, "layer", "--name", "b")
    assert "note:" not in out


def test_flags_without_effect_are_named(cli):
    words = ("--dataset", "digits", "--train", "--max_steps", 1, "--batch_size", 8)
    more = ("--seeds", "0-3", "--visualize", "--label", "None", "--interpolate", 0)
    _, out, _ = cli(*words, "--arch", "mlp", "--fc_width", 3, "--mode", "gan", "--div_k", 3, *more)
    notes = [line for line in out.splitlines() if line.startswith("note:")]
    assert notes == [
        "note: --fc_width has no effect with --arch mlp",
        "note: --div_k has no effect with --penalty none",
        "note: --seeds has no effect in training, only in test mode",
        "note: --visualize has no effect in training, only in test mode",
    ]


def test_a_runs_own_settings_come_before_the_check_of_sizes(cli):
    words = ("--name", "r", "--train", "--arch", "resnet")
    more = ("--dataset", "digits", "--output_height", 16, "--g_width", 4, "--d_width", 4)
    assert cli(*words, *more, "--batch_size", 2, "--max_steps", 1)[0] == 0
    assert cli(*words, "--max_steps", 2)[0] == 0
    status, _, err = cli("--dataset", "digits", "--arch", "resnet", "--train")
    assert (status, err.count("\n")) == (2, 1)
    assert "--output_height=28 must be at least 16 and a multiple of 8 with --arch=resnet" in err


def test_a_preset_picks_its_run_in_test_mode(cli, digits_run):
    status, _, err = cli("--preset", "digits", "--kernel_size", 5)
    assert status == 1
    assert "--kernel_size 5" in err
    assert cli("--preset", "digits")[0] == 0


def test_a_gpu_that_is_not_there(cli):
    status, _, err = cli("--dataset", "digits", "--train", "--device", "gpu:7")
    assert (status, err.count("\n")) == (1, 1)
    assert "--device=gpu:7" in err


def test_out_of_memory_is_one_line(cli, monkeypatch):
    def grow(*_):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")

    monkeypatch.setattr(loop, "fit", grow)
    status, _, err = cli("--dataset", "digits", "--train", *SMALL)
    assert (status, err.count("\n")) == (1, 1)
    assert "out of memory" in err
    assert "--batch_size" in err


def test_list_presets(cli):
    status, out, _ = cli("--list_presets")
    assert status == 0
    assert {line.split()[0] for line in out.splitlines()[1:]} == set(presets.PRESETS)
    assert len({len(line.split()) for line in out.splitlines()}) == 1


def test_the_list_of_runs(cli, tmp_path):
    """The newest run is the first, what ships is apart, and broken folders have a remark."""
    runs = Path("checkpoint")
    for name in (
        "older",
        "newer",
        "older/best",
        "broken",
        "listed",
        "new/.new",
        "foreign",
        "pairs",
    ):
        (runs / name).mkdir(parents=True)
    saved = {"dataset": "/far/cats.zip", "arch": "mlp", "mode": "div", "best_by": "swd"}
    saved["data"] = {"height": 8, "width": 9, "channels": 3}
    for name in ("older", "newer", "older/best", "pairs"):
        (runs / name / "config.json").write_text(json.dumps(saved))
        (runs / name / "generator.keras").write_bytes(bytes(10**5))
        os.utime(runs / name / "generator.keras", (9, 9 if name == "newer" else 5))
    (runs / "pairs" / "generator.keras").unlink()
    os.utime(runs / "pairs", (3, 3))
    (runs / "newer" / "checkpoint").write_text('model_checkpoint_path: "ckpt-12345"\n')
    log = "step,eval/swd_8,eval/swd\n7,1,2\n9,,\n"
    (runs / "older" / "metrics.csv").write_text(log)
    (runs / "broken" / "config.json").write_text("{")
    (runs / "listed" / "config.json").write_text("[]")
    (runs / "file").write_text("")
    (runs / "loop").symlink_to("loop")
    drawn = Path("samples/newer")
    drawn.mkdir(parents=True)
    (drawn / "measures.json").write_text('{"swd_16": 1, "swd": 3.14159}')
    status, out, err = cli("--list")
    assert (status, err) == (0, "")
    own, shipped = out.split("\nships with the project:\n")
    lines = {line.split()[0]: line for line in own.splitlines()}
    assert list(lines)[-4:] == ["newer", "older", "older/best", "pairs"]
    assert lines["newer"].split()[1:6] == ["cats.zip", "mlp", "div", "12,345", "swd"]
    assert lines["newer"].split()[6:] == ["3.14", "8x9x3", "0.1", "MB", "checkpoint/newer"]
    assert lines["older"].split()[4:8] == ["9", "swd", "2", "8x9x3"]
    assert lines["older/best"].split()[4:7] == ["-", "-", "8x9x3"]
    remarks = {name: line.partition("(")[2] for name, line in lines.items()}
    assert remarks["pairs"] == "it has no generator)"
    assert remarks["broken"] == remarks["listed"] == "config.json is broken)"
    assert remarks["new"] == "not saved yet)"
    assert remarks["foreign"] == "not a run: it has no config.json)"
    names = [line.split()[0] for line in shipped.splitlines()[1:]]
    assert sorted(names) == sorted(
        path.parent.name for path in ROOT.glob("pretrained/*/config.json")
    )
    assert cli("--list", "--checkpoint_dir", "none")[1].startswith("no runs in none\n\nships")


def test_draw_takes_any_number(make_trainer):
    trainer = make_trainer(classes=0)
    assert average.draw(trainer.average, np.zeros((130, 4), np.float32)).shape == (130, 8, 8, 1)

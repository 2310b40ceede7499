"""Whose data a run is: two data sets of one name, and the names and numbers of classes."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import utils
from commands import sources, train
from config.resolve import resolve
from datasets import packed
from messages import opening
from runs import plots
from tests.conftest import folder_of_images

SMALL = {"arch": "mlp", "output_height": 16, "g_width": 4, "d_width": 4, "z_dim": 4}
SMALL = [f"--{name}={value}" for name, value in {**SMALL, "batch_size": 4}.items()]
pytestmark = pytest.mark.usefixtures("eager")


def test_two_data_sets_of_one_name(cli):
    folder_of_images(Path("a/cats/train"))
    folder_of_images(Path("b/dogs/train"), seed=1)
    words, run = (*SMALL, "--train", "--max_steps", 1), "train_4_16_16_mlp"
    status, out, _ = cli("--dataset", "a/cats/train", *words, "--holdout", 3)
    held = "3 of 20 images are held out of training, to measure against"
    assert status == 0 and held in out.splitlines() and " of 17 images; " in out
    config = json.loads(Path("checkpoint", run, "config.json").read_text())
    assert config["data"]["source"] == "a/cats/train" and config["data"]["class_names"] == []
    assert config["holdout"] == 3 and config["data"]["count"] == 20

    status, _, err = cli("--dataset", "b/dogs/train", *words)
    assert (status, err.count("\n")) == (1, 1)
    assert f"run {run} was trained on a/cats/train, not on b/dogs/train: give another --name" in err
    assert f"--init_from {run}" in err

    status, out, _ = cli("--dataset", "b/dogs/train", "--visualize", 0)
    note = "note: this run was trained on a/cats/train, not on b/dogs/train"
    assert status == 0 and note in out.splitlines()
    status, out, _ = cli("--dataset", "b/dogs/train", "--evaluate")
    text = "20 samples, and the same number of images of b/dogs/train"
    assert status == 0 and text in out.splitlines()
    assert "held out" not in out and "memory_" not in out and "nearest.png" in out
    status, out, _ = cli("--dataset", "./a/cats/train/", "--visualize", 0)
    assert status == 0 and "note" not in out
    shutil.copytree(Path("checkpoint", run), "checkpoint/dogs")
    config["data"]["source"] = "b/dogs/train"
    Path("checkpoint/dogs/config.json").write_text(json.dumps(config))
    status, out, _ = cli("--dataset", "b/dogs/train", "--visualize", 0)
    assert status == 0 and "run checkpoint/dogs (the newest" in out and "note" not in out

    Path("a").rename("moved")
    status, out, _ = cli("--dataset", "moved/cats/train", *words)
    assert status == 0 and "nothing left to do" in out and "has changed" not in out
    status, out, _ = cli("--dataset", "moved/cats/train", "--evaluate", "--eval_samples", 100)
    assert status == 0 and "100 samples, and 3 images of moved/cats/train held out" in out
    assert "memory_" in out
    Path("moved").rename("a")
    Path("b/dogs/train/0.png").rename("a/cats/train/new.png")
    status, out, _ = cli("--dataset", "a/cats/train", *words)
    assert status == 0 and "the data set has changed: 20 -> 21 images" in out.splitlines()
    assert held.replace("20", "21") in out and f"note: {opening.MAY_BE_SEEN}" in out.splitlines()
    status, out, err = cli("--dataset", "a/cats/train", *words, "--holdout", 4)
    assert status == 2 and f"run {run} has holdout=3, not 4: leave that flag" in err
    status, out, err = cli("--dataset", "a/cats/train", "--holdout", 4, "--visualize", 0)
    assert status == 1 and "with --holdout 4 in checkpoint (there are " in err
    status, out, err = cli("--dataset", "a/cats/train", *words, "--name", "x", "--holdout", 21)
    assert (status, err) == (1, "main.py: --holdout=21 leaves no image to train on, of 21\n")


def test_runs_elsewhere_name_the_whole_path_of_their_data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    spec = packed.ImageSpec(8, 8, 3, 1, 0, source="train", fingerprint="f")
    for runs, source in (("checkpoint", "train"), (tmp_path.parent, f"{tmp_path}/train")):
        c = resolve({"dataset": "./train", "checkpoint_dir": str(runs)})
        assert sources.place_data(c) == sources.describe_spec(c, spec)["source"] == source
    known = dataclasses.replace(spec, source="mnist")
    assert sources.describe_spec(c, known) == {**vars(spec), "source": "mnist"}


def test_the_names_of_classes(cli):
    for i, name in enumerate(("10", "2", "cat & dog")):
        folder_of_images(Path("data/pics/in", name), 4, seed=i)
    words = ("--dataset", "data/pics", "--conditional", *SMALL, "--train", "--max_steps")
    status, out, _ = cli(*words, 1)
    assert status == 0 and "3 classes: 2, 10, cat & dog" in out.splitlines()
    run = Path("checkpoint/pics_4_16_16_mlp")
    config = json.loads((run / "config.json").read_text())
    assert config["dataset"] == "pics" and config["data"]["classes"] == 3
    assert config["data"]["class_names"] == ["2", "10", "cat & dog"]
    drawn = Path("samples", run.name)
    sheet, frame = map(utils.read_image, (drawn / "train_00_0001.png", run / "frames/00000001.png"))
    assert frame.shape == (8 * 16, 3 * 16, 3)
    np.testing.assert_array_equal(sheet, plots.add_names(frame, ["2", "10", "cat & dog"]))
    assert (
        "12 images of pics in 3 classes (2, 10, cat &amp; dog)"
        in (drawn / "index.html").read_text()
    )
    check_labels(cli, drawn)
    status, out, _ = cli(*words[:-1], "--dry_run")
    assert status == 0 and "images 16x16x3, 3 classes: 2, 10, cat & dog" in out

    Path("data/pics/in/10").rename("data/pics/in/11")
    status, _, err = cli(*words, 2)
    assert (status, err.count("\n")) == (1, 1)
    assert "was trained on other classes: 10 missing, 11 new; restore them" in err
    Path("data/pics/in/11").rename("data/pics/in/10")
    del config["data"]["class_names"], config["data"]["fingerprint"], config["data"]["source"]
    (run / "config.json").write_text(json.dumps(config))  # an older run's
    status, _, err = cli(*words, 2)
    assert (status, err.count("\n")) == (1, 1)
    assert "in the order 10, 2, cat & dog, and the order is now 2, 10, cat & dog: " in err


def check_labels(cli, drawn):
    """The names win over the numbers: 2 is the first class."""
    made, said = {}, "--label=1 is the number of the class 10, counted from 0"
    for label in ("2", "1", "None"):
        status, out, _ = cli("--dataset", "pics", "--label", label, "--seeds", "3")
        assert status == 0 and (said in out.splitlines()) == (label == "1")
        made[label] = (drawn / "seed_0003.png").read_bytes()
    assert made["2"] == made["None"] != made["1"]  # seed 3 has class 0
    with Image.open(drawn / "test.png") as sheet:
        assert sheet.size == (3 * 16, 2 * 16 + plots.HEAD)
    status, _, err = cli("--dataset", "pics", "--label", "cat")
    assert (status, err.count("\n")) == (1, 1)
    hint = " (did you mean cat & dog?)\n"
    assert err.endswith(f"--label=cat: this generator has the classes 2, 10, cat & dog{hint}")


@pytest.mark.parametrize(
    "holdout, was, seen",
    [
        (3, {"holdout": 3, "fingerprint": "a"}, False),
        (4, {"holdout": 3, "fingerprint": "a"}, True),
        (3, {"fingerprint": "a", "source": "moved"}, True),  # older than held-out images
        (0, {"fingerprint": "a"}, False),
        (3, {"holdout": 3, "fingerprint": "b"}, True),  # changed
        (0, {"holdout": 3, "fingerprint": "b"}, False),
        (3, {"holdout": 3, "fingerprint": "b", "source": "dogs"}, False),
        (3, {"source": None}, True),  # older than fingerprints
    ],
)
def test_images_that_the_run_before_has_seen(holdout, was, seen):
    """They are held out of training, but the networks that it starts from were trained on them."""
    c = resolve({"dataset": "./cats", "holdout": holdout, "init_from": "old"})
    data = {"source": "cats", **was}
    saved = {"dataset": "./cats", "holdout": data.pop("holdout", None), "data": data}
    assert train.has_seen(c, saved, {"fingerprint": "a"}) == seen
    assert "old may have been trained on images that are held out" in opening.seen_before(c)

"""Trained generators in Python: the same images as test mode's, and one kind of error."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import utils
from generation import Failed, Generator, Translator, load
from tests.conftest import ROOT

NAMES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "3"]


def cells(path, columns, shape):
    """The images [N, H, W, C] of a sheet, row by row."""
    grid, (height, width, channels) = utils.read_image(path), shape
    grid = grid.reshape(-1, height, columns, width, channels)
    return grid.transpose(0, 2, 1, 3, 4).reshape(-1, *shape)


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """The folder of a run of one's own, whose classes have names; the current folder has it."""
    monkeypatch.chdir(tmp_path)
    folder = Path("checkpoint/mine")
    shutil.copytree(ROOT / "pretrained/mnist_64_28_28", folder)
    saved = json.loads((folder / "config.json").read_text())
    saved["data"]["class_names"] = NAMES
    (folder / "config.json").write_text(json.dumps(saved))
    return folder


def test_samples_are_those_of_test_mode(cli, mine):
    words = ("--dataset", "mnist", "--batch_size", 4, "--seed", 3, "--seeds", "0,5")
    status, _, err = cli(*words, "--label", "seven")
    assert (status, err) == (0, ""), err
    g = load("mine")
    assert isinstance(g, Generator)
    assert (g.folder, g.shape, g.classes, g.step) == (mine, (28, 28, 1), 10, 16000)
    sheet = g.sample(4, label="seven", seed=3)
    assert sheet.dtype == np.uint8 and sheet.std() > 50
    np.testing.assert_array_equal(sheet, cells("samples/mine/test.png", 2, g.shape))
    singles = g.sample(seeds=range(0, 6, 5), label=7, seed=3)
    for name, image in zip(("seed_0000", "seed_0005"), singles):
        np.testing.assert_array_equal(image, utils.read_image(f"samples/mine/{name}.png"))
    path = mine / "config.json"
    path.write_text(path.read_text().replace('"zero"', "0"))  # names that are no texts
    g = load(mine)
    assert g.class_names == ()
    assert cli(*words)[0] == 0  # a sheet with a full row of classes, and the class of each seed
    np.testing.assert_array_equal(g.sample(10, seed=3), cells("samples/mine/test.png", 10, g.shape))
    np.testing.assert_array_equal(
        g.sample(2, seeds=(0, 5), seed=3)[1], utils.read_image("samples/mine/seed_0005.png")
    )


def test_directions_are_those_of_test_mode(cli, mine):
    """Truncation too. The names in a file of the user's are used and kept."""
    folder = Path("samples/mine")
    words = ("--dataset", "mnist", "--seeds", 5, "--batch_size", 2, "--label", 7)
    status, out, err = cli(*words, "--directions", 1, "--truncation", 0.7)
    assert (status, err) == (0, "")
    assert {f"{folder}/{name}" for name in ("directions.npz", "directions.txt")} <= {
        *out.splitlines()
    }
    g = load("mine")
    found = g.directions(3)
    assert found.shape == (3, 100) and found.dtype == np.float32
    with np.load(folder / "directions.npz") as saved:
        np.testing.assert_array_equal(saved["directions"], g.directions())
        moved = found @ np.asarray(g.network.get_layer("dense").kernel)[:100]
        np.testing.assert_allclose(np.square(moved).sum(1), saved["eigenvalues"][:3], rtol=1e-4)
    np.testing.assert_array_equal(
        g.sample(seeds=[5], label=7, truncation=0.7)[0], utils.read_image(folder / "seed_0005.png")
    )
    path = folder / "directions.txt"
    path.write_text(path.read_text() + "2 slant\n")
    assert cli(*words, "--move", "slant=1.5,1=-1")[0] == 0
    image = utils.read_image(folder / "seed_0005.png")
    np.testing.assert_array_equal(g.sample(seeds=[5], label=7, move={2: 1.5, 1: -1})[0], image)
    assert (g.sample(seeds=[5], label=7)[0] != image).any()
    status, _, err = cli(*words, "--move", "smile=1")
    assert status == 1 and err.count("\n") == 1
    assert "--move=smile=1: there is no direction smile; there are 1 to 100, slant" in err
    assert path.read_text().endswith("2 slant\n")


def test_classes_have_names_and_numbers(mine):
    g = load(str(mine))
    assert [g.class_number(label) for label in ("zero", 3, "3", np.int64(9), "4")] == [
        0,
        3,
        9,
        9,
        4,
    ]
    with pytest.raises(Failed, match=r"^label='ten': this generator has the classes zero, one, "):
        g.sample(label="ten")
    for label in (10, -1, 1.5, "10"):
        with pytest.raises(Failed, match=f"^label={label!r}: this generator has the classes zero"):
            g.sample(2, label=label)


def test_wrong_numbers(mine):
    g = load("mine")
    for name, value in [("count", 0), ("count", 2.5), ("seed", -1), ("seed", 2**31), ("seed", "1")]:
        with pytest.raises(Failed, match=f"^{name}={value!r} must be a whole number from "):
            g.sample(**{name: value})
    for value in (0, 1.1, "1"):
        with pytest.raises(
            Failed, match=f"^truncation={value!r} must be a number, at least 0.01, a"
        ):
            g.sample(truncation=value)
    for number in (0, 101, "1"):
        with pytest.raises(Failed, match=f"^direction={number!r} must be a whole number from 1 to"):
            g.sample(move={number: 1})
    for strength in (1001, float("nan"), "1"):
        with pytest.raises(Failed, match=r"^move=\{2: .*\}: strengths must be numbers from -1000 "):
            g.sample(move={2: strength})
    with pytest.raises(Failed, match=r"^count=101 must be a whole number from 1 to 100$"):
        g.directions(101)
    with pytest.raises(Failed, match=r"^seeds=-1 must be a whole number from 0 to 2147483647$"):
        g.sample(seeds=[3, -1])
    for value in (5, "12"):
        with pytest.raises(Failed, match=f"^seeds={value!r} must be a list of whole numbers$"):
            g.sample(seeds=value)
    with pytest.raises(Failed, match=r"^move=\[1\] must be a dict, such as \{2: 1.5\}$"):
        g.sample(move=[1])
    with pytest.raises(Failed, match=r"^count=3, but there are 2 seeds$"):
        g.sample(3, seeds=[3, 4])


def test_runs_are_found_as_test_mode_finds_them(mine, monkeypatch):
    """Only the search is tested here: nothing is loaded."""
    monkeypatch.setattr("generation.interface.Generator", lambda folder, saved: folder)
    shipped = ROOT / "pretrained/mnist_64_28_28"
    assert load("mnist") == load("mine") == load("checkpoint/mine") == mine
    assert load("mnist_64_28_28") == load("mnist", checkpoint_dir="none") == shipped
    shutil.copytree(shipped, "checkpoint/mnist_64_28_28")
    assert load("mnist_64_28_28") == Path("checkpoint/mnist_64_28_28")
    shutil.copytree(shipped, "checkpoint/mine/best")
    assert load("checkpoint/mine/best") == load("best", checkpoint_dir=mine) == mine / "best"
    with pytest.raises(Failed, match=r"^no run cats in checkpoint or .*; there are mine, mnist_64"):
        load("cats")
    for name, says in (
        (None, "run=None must be a text or a path"),
        ("a\nb", r"no run a\\nb in checkpoint or "),
        ("a" * 5000, r"\[Errno 36\] File name too long: "),
    ):
        with pytest.raises(Failed, match=rf"^{says}[^\n]*$"):
            load(name)
    (mine / "config.json").write_text("{")
    with pytest.raises(Failed, match=r"^cannot use checkpoint/mine/config.json: "):
        load("mine")


def test_a_generator_without_labels(cli):
    words = ("--dataset", "faces", "--arch", "pggan", "--batch_size", 4, "--seeds", "1")
    assert cli(*words)[0] == 0
    g = load("faces_16_32_32_pggan")
    assert (g.classes, g.class_names, g.shape) == (0, (), (32, 32, 3))
    sheet = cells("samples/faces_16_32_32_pggan/test.png", 2, g.shape)
    np.testing.assert_array_equal(g.sample(4), sheet)
    with pytest.raises(Failed, match=r"^label=1: this generator has no classes$"):
        g.sample(1, label=1)


def test_translations_are_those_of_test_mode(cli, eager):
    t = load("hair")
    assert isinstance(t, Translator) and set(t.networks) == {"A2B", "B2A"}
    images = np.random.default_rng(0).integers(0, 256, (2, 18, 23, 3), dtype=np.uint8)
    Image.fromarray(images[1]).save("face.png")
    words = ("--dataset", "hair", "--translate", "B2A", "--input", "face.png", "--output", "out")
    assert cli(*words)[0] == 0
    made = t.translate(images, "B2A")
    assert made.shape == images.shape
    np.testing.assert_array_equal(made[1], utils.read_image("out/face.png"))
    assert (t.translate(images) != made).any()
    for wrong in ("A", ["A2B"]):
        with pytest.raises(Failed, match=r"^direction=.* must be A2B or B2A$"):
            t.translate(images, wrong)
    for wrong in (images[0], images / 255, images[..., :1], images[:, :0]):
        with pytest.raises(Failed, match=r"^images must be uint8 \[N, height, width, 3\], not "):
            t.translate(wrong)


def test_the_code_of_the_readme(monkeypatch):
    monkeypatch.chdir(ROOT)
    codes = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "python.md").read_text(), re.S)[:2]
    found = []
    for code in codes:
        space = {}
        exec(code, space)
        found.append(space["images"])
    assert found[0].shape == found[1].shape == (8, 28, 28, 1)
    assert found[0].dtype == np.uint8 and found[1].dtype == np.float32

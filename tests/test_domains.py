"""Two domains: the four folders, the two streams, and the script that makes a data set."""

import csv
import runpy
import sys

import numpy as np
import pytest
from PIL import Image

import console
import utils
from datasets import domains, folders, packed
from tests.conftest import ROOT, make_domains


def load(tmp_path, name="set", **kwargs):
    given = {"reader": folders.read_folder, "data_dir": tmp_path, "cache_dir": tmp_path / "cache"}
    return domains.load(name, size=(16, 12), **{**given, **kwargs})


def test_images_that_are_packed(tmp_path):
    """Training images are packed 1.12 times as large; test images at the size made, in order."""
    make_domains(tmp_path / "set")
    found = load(tmp_path)
    assert found.spec == packed.ImageSpec(16, 12, 3, 7, 0)
    assert [part.images.shape for part in found.train] == [(5, 17, 13, 3), (7, 17, 13, 3)]
    assert [x.shape for x in found.shown] == [(3, 16, 12, 3), (2, 16, 12, 3)]
    for folder, images in zip(domains.FOLDERS[2:], found.shown):
        files = sorted((tmp_path / "set" / folder).iterdir())
        np.testing.assert_array_equal(images[0], utils.load_image(files[0], (16, 12), 3))
    assert (int(1.12 * 64), int(1.12 * 256)) == (71, 286)
    kwargs = {"reader": folders.read_folder, "data_dir": tmp_path}
    assert domains.describe("set", size=(16, 12), **kwargs) == found.spec


def test_gray_beside_colour(tmp_path):
    make_domains(tmp_path / "set")
    for folder in ("trainA", "testA"):
        for file in (tmp_path / "set" / folder).iterdir():
            Image.open(file).convert("L").save(file)
    found = load(tmp_path)
    assert [part.images.shape[-1] for part in found.train] == [1, 3]
    a, b = found.stream(seed=0).take(0, (2, 3))
    assert a.shape == b.shape == (2, 3, 17, 13, 3)
    np.testing.assert_array_equal(a[..., 0], a[..., 2])
    assert [x.shape[-1] for x in found.shown] == [3, 3]
    for folder in domains.FOLDERS:
        for file in (tmp_path / "set" / folder).iterdir():
            Image.open(file).convert("L").save(file)
    found = load(tmp_path)
    assert found.spec.channels == found.stream(seed=0).take(0, (1, 1))[0].shape[-1] == 1


def test_each_domain_has_its_own_order(tmp_path):
    make_domains(tmp_path / "set", (8, 8, 1, 1))
    stream = load(tmp_path).stream(seed=3)
    a, b = stream.streams
    assert len(stream) == 8
    orders = [[list(s.indices(8 * i, 8)) for i in range(4)] for s in (a, b)]
    assert all(sorted(order) == list(range(8)) for one in orders for order in one)
    assert all(x != y for x, y in zip(*orders))
    one = [np.array(x) for x in stream.take(5, (1, 6))]
    again = load(tmp_path).stream(seed=3)
    for x, y in zip(one, again.take(5, (1, 6))):
        np.testing.assert_array_equal(x, y)
    np.testing.assert_array_equal(one[1][0, 0], b.images[b.indices(5, 1)[0]])
    reals = stream.reals(6)
    np.testing.assert_array_equal(reals[:3], a.take(0, (3,))[0])
    np.testing.assert_array_equal(reals[3:], b.take(0, (3,))[0])


def test_the_larger_domain_is_an_epoch(tmp_path):
    make_domains(tmp_path / "set")
    found = load(tmp_path)
    assert len(found.stream(seed=0)) == 7
    assert len(found.stream(seed=0, train_size=4)) == 4


@pytest.mark.parametrize("folder", domains.FOLDERS)
def test_a_folder_is_missing_or_empty(tmp_path, folder):
    make_domains(tmp_path / "set")
    path = tmp_path / "set" / folder
    for file in path.iterdir():
        file.unlink()
    with pytest.raises(console.Failed, match=f"no images .* in {path}"):
        load(tmp_path)
    path.rmdir()
    with pytest.raises(console.Failed, match=f"no folder {path}"):
        load(tmp_path)
    assert not (tmp_path / "cache").exists()  # all folders are checked before the first is packed


def test_a_zip_file_of_domains_is_refused(tmp_path):
    with pytest.raises(console.Failed, match=r"pics\.ZIP: needs a folder with trainA, trainB"):
        load(tmp_path, "pics.ZIP")


HAIR = {"1.jpg": "black", "2.jpg": "blonde", "3.jpg": "red", "4.jpg": "black", "5.jpg": "blonde"}


@pytest.fixture
def script(tmp_path, monkeypatch, capsys):
    """A function that runs the script on five faces; returns (exit status, stdout, stderr)."""
    (tmp_path / "faces").mkdir()
    for i, name in enumerate(HAIR):
        Image.new("RGB", (4, 4), (i, 0, 0)).save(tmp_path / "faces" / name)
    with open(tmp_path / "tags.csv", "w", newline="") as file:
        csv.writer(file).writerows(
            [("file", "hair", "eyes"), *((n, h, "x") for n, h in HAIR.items())]
        )

    def run(*flags):
        given = {"--faces": "faces", "--tags": "tags.csv", "--out": "out"}
        pairs = [w for name, value in given.items() for w in (name, str(tmp_path / value))]
        monkeypatch.setattr(sys, "argv", ["make", *pairs, *flags])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(ROOT / "data" / "make_hair_domains.py"), run_name="__main__")
        return ended.value.code, *capsys.readouterr()

    return run


def test_the_script_sorts_faces_by_hair_colour(script, tmp_path):
    made = {}
    for percent in (0, 50, 100):
        assert script("--test_percent", str(percent))[0] == 0
        made[percent] = {
            str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*.jpg")
        }
        for path in (tmp_path / "out").rglob("*.jpg"):
            assert path.read_bytes() == (tmp_path / "faces" / path.name).read_bytes()
            path.unlink()
    assert made[0] == {"trainA/1.jpg", "trainA/4.jpg", "trainB/2.jpg", "trainB/5.jpg"}
    assert made[100] == {"testA/1.jpg", "testA/4.jpg", "testB/2.jpg", "testB/5.jpg"}
    assert {path[-5:] for path in made[50]} == {path[-5:] for path in made[0]}
    part = runpy.run_path(str(ROOT / "data" / "make_hair_domains.py"))["is_test"]
    shares = [sum(part(f"{i}.jpg", percent) for i in range(4000)) for percent in (10, 50)]
    assert shares == [pytest.approx(400, abs=60), pytest.approx(2000, abs=100)]


def test_the_script_names_a_missing_file(script, tmp_path):
    (tmp_path / "faces" / "4.jpg").unlink()
    status, _, err = script()
    assert (status, err.count("\n")) == (1, 1)
    assert "4.jpg" in err

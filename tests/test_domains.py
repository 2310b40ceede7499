"""Two domains: the four folders, the two streams, and the script that makes a data set."""

import csv
import runpy
import shutil
import sys
import zipfile

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


def test_each_domain_has_one_range(tmp_path):
    """Test images are mapped by the range of the training images of their domain."""
    for folder, highest in zip(domains.FOLDERS, (4095, 255, 1000, 200)):
        (tmp_path / "set" / folder).mkdir(parents=True)
        pixels = np.full((17, 13), highest, np.uint16 if highest > 255 else np.uint8)
        Image.fromarray(pixels).save(tmp_path / "set" / folder / "a.png")
    found = load(tmp_path)
    assert found.spec.value_range == [[0, 4095], None]
    assert [part.images.max() for part in found.train] == [255, 255]
    assert [images.max() for images in found.shown] == [62, 200]  # 1000 of 4095
    assert load(tmp_path).spec == found.spec  # from the cache


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


@pytest.mark.parametrize("folder", domains.TRAIN_FOLDERS)
def test_a_training_folder_is_missing_or_empty(tmp_path, folder):
    make_domains(tmp_path / "set")
    path = tmp_path / "set" / folder
    for file in path.iterdir():
        file.unlink()
    for remove in (False, True):
        if remove:
            path.rmdir()
        with pytest.raises(console.Failed, match=f"no folder {folder} with images .* in .*/set$"):
            load(tmp_path)
    assert not (tmp_path / "cache").exists()  # all folders are checked before the first is packed


def test_training_images_are_shown_without_test_images(tmp_path, capsys):
    """At the size of the networks' images: the centre of the larger images that are packed."""
    make_domains(tmp_path / "set", (9, 3, 2, 2))
    whole = load(tmp_path)
    assert "the sheets show" not in capsys.readouterr().out
    shutil.rmtree(tmp_path / "set" / "testB")
    found = load(tmp_path)
    assert "no testB: the sheets show training images" in capsys.readouterr().out
    np.testing.assert_array_equal(found.shown[0], whole.shown[0])
    assert found.train[1].images.shape[1:3] == (17, 13)
    np.testing.assert_array_equal(found.shown[1], found.train[1].images[:, :16, :12])
    shutil.rmtree(tmp_path / "set" / "testA")
    found = load(tmp_path)
    assert "no testA and no testB: the sheets show training images" in capsys.readouterr().out
    assert [x.shape for x in found.shown] == [(8, 16, 12, 3), (3, 16, 12, 3)]
    kwargs = {"reader": folders.read_folder, "data_dir": tmp_path}
    assert domains.describe("set", size=(16, 12), **kwargs) == found.spec == whole.spec


@pytest.mark.parametrize("wrapping", ["", "in/", "in/deep/"])
def test_domains_in_a_zip_file(tmp_path, wrapping):
    make_domains(tmp_path / "set")
    with zipfile.ZipFile(tmp_path / "pics.ZIP", "w") as archive:
        for file in sorted((tmp_path / "set").rglob("*.png")):
            archive.write(file, f"{wrapping}{file.relative_to(tmp_path / 'set')}")
    a, b = load(tmp_path), load(tmp_path, "pics.ZIP")
    assert a.spec == b.spec and a.spec.fingerprint == b.spec.fingerprint
    assert (a.spec.source, b.spec.source) == (f"{tmp_path}/set", f"{tmp_path}/pics.ZIP")
    for x, y in zip((*a.train, *a.shown), (*b.train, *b.shown)):
        np.testing.assert_array_equal(getattr(x, "images", x), getattr(y, "images", y))


def test_the_training_images_identify_the_domains(tmp_path):
    make_domains(tmp_path / "set")
    marks = []
    for name in ("testA/new.png", "trainB/new.png"):
        marks.append(load(tmp_path).spec.fingerprint)
        shutil.copy(tmp_path / "set/trainA/0.png", tmp_path / "set" / name)
    assert marks[0] == marks[1] != load(tmp_path).spec.fingerprint


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

"""Packing pictures into one array, the cache of it, and the labels."""

import hashlib
import json
import os
import shutil
import threading
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import console
import files
import utils
from commands import sources
from config.resolve import resolve
from datasets import cache, folders, known, packed, zip_archive

PACKED = "9ff58d65d314ad5b"  # of images packed before there were ranges of values and profiles
RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


@pytest.fixture(autouse=True)
def user_cache(tmp_path, monkeypatch):
    """The user's cache folder, a new one for each test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    return tmp_path / "user" / "gan-trainer"


@pytest.fixture
def load(tmp_path):
    """A function that loads `data/set` at 4x4 pixels, with more arguments of `packed.load`."""

    def load(name="set", **given):
        options = {
            "reader": folders.read_folder,
            "data_dir": tmp_path / "data",
            "cache_dir": tmp_path / "cache",
            "size": (4, 4),
            "workers": 2,
        }
        return packed.load(name, **{**options, **given})

    return load


@pytest.fixture
def folder(tmp_path):
    """A function that writes a picture of one colour into `data/set`."""

    def put(name, colour=RED, mode="RGB", size=(6, 5), **options):
        path = tmp_path / "data" / "set" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new(mode, size, colour).save(path, **options)
        return path

    put.path = tmp_path / "data" / "set"
    return put


@pytest.fixture
def no_decoder(monkeypatch):
    """A function; after its call, packing raises an error."""

    def stop(*_):
        raise AssertionError("decoded again")

    return lambda: monkeypatch.setattr(cache, "_pack", stop)


def colours(data):
    """Return the middle pixel of each image."""
    return [tuple(pixel.tolist()) for pixel in data.images[:, 2, 2]]


def cached(tmp_path, suffix):
    (path,) = (tmp_path / "cache").glob(f"*.{suffix}")
    return path


# ---- reading folders

TYPES = {
    "a.png": ("RGB", RED, RED),
    "b/a.webp": ("RGB", GREEN, GREEN),
    "b/c/a.bmp": ("RGB", BLUE, BLUE),
    "b/c/b.gif": ("L", 90, (90, 90, 90)),
    "c.JPG": ("L", 40, (40, 40, 40)),
    "d.jpeg": ("CMYK", (0, 0, 0, 255), (0, 0, 0)),
    "e.png": ("RGBA", (0, 0, 0, 0), (255, 255, 255)),
    "f.png": ("P", 0, (0, 0, 0)),
    "g.png": ("LA", (9, 255), (9, 9, 9)),
    "h.png": ("I;16", 257 * 133, (133, 133, 133)),
    "i.png": ("1", 1, (255, 255, 255)),
}


def test_every_type_and_mode_in_nested_folders(folder, load):
    for name, (mode, colour, _) in TYPES.items():
        options = {"lossless": True} if name.endswith("webp") else {}
        folder(name, colour, mode, **options)
    data = load()
    assert data.spec == packed.ImageSpec(4, 4, 3, len(TYPES), 0, value_range=[0, 65535])
    assert data.images.shape == (len(TYPES), 4, 4, 3) and data.images.dtype == np.uint8
    assert data.labels.dtype == np.int32 and not data.labels.any()
    assert data.skipped == []
    for found, name in zip(colours(data), TYPES):
        np.testing.assert_allclose(found, TYPES[name][2], atol=1, err_msg=name)


def test_images_are_packed_as_load_image_gives_them(tmp_path, load):
    (tmp_path / "data" / "set").mkdir(parents=True)
    arrays = np.random.default_rng(0).integers(0, 256, (150, 7, 9, 3), dtype=np.uint8)
    for i, array in enumerate(arrays):
        Image.fromarray(array).save(tmp_path / "data" / "set" / f"{i:03d}.png")
    for crop in (None, (4, 5)):
        data = load(size=(4, 6), crop=crop)
        expected = [utils.load_image(Image.fromarray(a), (4, 6), 3, crop) for a in arrays]
        np.testing.assert_array_equal(data.images, expected)


def test_only_images_are_read(folder, load):
    folder("a.png")
    (folder.path / "notes.txt").write_text("text")
    (folder.path / "folder.png").mkdir()
    data = load()
    assert data.spec.count == 1 and data.skipped == []


def test_pattern_selects(folder, load):
    folder("a.png", RED)
    folder("b/c.jpg", BLUE)
    folder("d.bmp", GREEN)
    assert colours(load(pattern="*.bmp")) == colours(load(pattern="*.BMP")) == [GREEN]
    assert colours(load(pattern="[ab]*")) == [RED]
    assert load(pattern="*.jpg").spec.count == 1
    folder("e.tif", BLUE)
    assert colours(load(pattern="*.tif")) == [BLUE]


@pytest.mark.parametrize("pattern", ["*.tif", "", "*.png.*"])
def test_pattern_that_selects_nothing(folder, load, pattern):
    folder("a.png")
    with pytest.raises(console.Failed) as error:
        load(pattern=pattern)
    assert f"({pattern})" in str(error.value) and str(folder.path) in str(error.value)


def test_hidden_files_and_folders_are_left_out(folder, load, capsys):
    folder("a.png", RED, size=(5, 5))
    folder(".b.png", BLUE)
    folder(".thumbnails/c.png", BLUE)
    folder("d/.e/f.png", BLUE)
    folder("__MACOSX/g.png", BLUE)
    for name in (".DS_Store", "Thumbs.db", "d/desktop.ini"):
        (folder.path / name).write_text("")
    data = load()
    assert colours(data) == [RED] and data.skipped == []
    load()
    assert [x for x in capsys.readouterr().out.splitlines() if not x.startswith("pack")] == []


def test_files_left_out_by_name_are_counted(folder, load, capsys):
    folder("a.png", RED, size=(5, 5))
    endings = {".txt": 3, "": 2, ".json": 3, ".PSD": 1}
    for ending, count in endings.items():
        for i in range(count):
            (folder.path / f"{i}{ending}").write_text("")
    line = "left out: 3 .json, 3 .txt, 1 .psd, 2 without an ending"
    for _ in range(2):  # as packed, and from the cache
        load()
        assert [x for x in capsys.readouterr().out.splitlines() if not x.startswith("pack")] == [
            line
        ]
    load(pattern="*.PN?")
    assert line in capsys.readouterr().out
    for ending in "abcdef":
        (folder.path / f"x.{ending}").write_text("")
    load()
    line = "left out: 3 .json, 3 .txt, 1 .a, 1 .b, 1 .c, 1 .d, 5 others"
    assert line in capsys.readouterr().out.splitlines()
    assert zip_archive.count_endings(["a.b\n"]) == ["left out: 1 .b\\n"]


def test_every_format_is_taken_by_default(tmp_path, load):
    (tmp_path / "data" / "set").mkdir(parents=True)
    suffixes = "jpg jpe jfif JPEG png apng webp gif bmp dib tif tiff ppm pnm jp2 j2k avif"
    for suffix in suffixes.split():
        kind = Image.registered_extensions()["." + suffix.lower()]
        path = tmp_path / "data" / "set" / f"a.{suffix}"
        Image.new("RGB", (8, 8), (90, 90, 90)).save(path, kind)
    for suffix in ("pgm", "pbm"):
        Image.new("L" if suffix == "pgm" else "1", (8, 8), 0).save(
            tmp_path / "data" / "set" / f"b.{suffix}"
        )
    data = load()
    assert data.spec.count == len(suffixes.split()) + 2 and data.skipped == []
    assert {Image.registered_extensions()[e] for e in folders.image_suffixes()} == {*utils.FORMATS}


# ---- what the program writes is not read


def test_marked_folders_and_own_outputs_are_not_read(folder, load):
    files.mark_output(folder.path)  # the folder that the user has named is read in any case
    for name in ("a.png", "in/b.png", "run/deep/c.png", "samples/d.png", "samples.png"):
        folder(name)
    for name in ("training.gif", "in/training.gif"):
        folder(name, BLUE)
    files.mark_output(folder.path / "run")
    outputs = [folder.path / "in" / ".." / "samples", folder.path / "training.gif"]
    found = folders.read_folder(folder.path, outputs=outputs)
    assert found.names == ["a.png", "in/b.png", "in/training.gif", "samples.png"]
    assert folders.read_folder(folder.path / "run").names == ["deep/c.png"]
    assert folders.read_folder(folder.path, outputs=[folder.path, folder.path.parent]).names
    (folder.path / "in" / "link").symlink_to(folder.path / "samples")
    assert folders.read_folder(folder.path, outputs=outputs).names == found.names


@pytest.mark.parametrize("arch", ["dcgan", "cyclegan"])
@pytest.mark.parametrize("dataset", ["here", "lsun"])
def test_the_outputs_of_a_call(tmp_path, monkeypatch, arch, dataset):
    monkeypatch.chdir(tmp_path)
    inside = ("a.png", "s/b.png", "c/r/frames/d.png", "l/e.png", "k/f.png", "export/r/g.png")
    for name in (*inside, "training.gif", "index.html"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (5, 5)).save(tmp_path / name, "PNG")
    flags = {"checkpoint_dir": "c", "log_dir": "l", "cache_dir": "k", "arch": arch}
    for sample_dir, names in (("s", ["a.png", "training.gif"]), (".", ["a.png", "s/b.png"])):
        c = resolve({"dataset": dataset, "sample_dir": sample_dir, **flags}, check=False)
        assert sources.build_reader(c)(tmp_path, pattern="*").names == names


# ---- values, profiles and transparency


def test_a_set_has_one_range_of_values(tmp_path, load, capsys, monkeypatch):
    monkeypatch.setattr(cache, "JOB", 1)
    (tmp_path / "data" / "set").mkdir(parents=True)
    for i, top in enumerate((1000, 4095, 300)):
        array = np.full((4, 4), top, np.uint16)
        Image.fromarray(array).save(tmp_path / "data" / "set" / f"{i}.png")
    Image.new("L", (4, 4), 77).save(tmp_path / "data" / "set" / "3.tif")  # 8 bits stay
    (tmp_path / "data" / "set" / "4.png").write_bytes(b"broken")
    line = "16-bit pictures: values 0 to 4095 become 0 to 255"
    for _ in range(2):  # as packed, and from the cache
        data = load()
        assert data.images[:, 0, 0, 0].tolist() == [62, 255, 19, 77]  # / 4095 * 255
        assert data.spec.value_range == [0, 4095] and len(data.skipped) == 1
        assert capsys.readouterr().out.splitlines().count(line) == 1
    Image.fromarray(np.full((4, 4), 4096, np.uint16)).save(tmp_path / "data" / "set" / "5.png")
    assert load().spec.value_range == [0, 8191]


def test_a_crop_that_cuts_much_is_told(folder, load, capsys):
    folder("a.png", RED, size=(30, 20))
    folder("b.jpg", RED, size=(1500, 1000))  # decoded at a smaller size
    (folder.path / "c.png").write_bytes(b"broken")
    line = "the centre crop cuts away 33 % of a picture on average: --output_width 24 would keep it"
    for _ in range(2):  # as packed, and from the cache
        load(size=(16, 16), output=(16, 16, 8))
        assert line in capsys.readouterr().out.splitlines()
    load(size=(16, 16), crop=(20, 20))  # a box that the user has chosen
    assert "cuts away" not in capsys.readouterr().out


def test_the_background_is_part_of_the_cache(folder, load, capsys, tmp_path):
    folder("a.png", (255, 0, 0, 0), "RGBA", size=(4, 4))
    assert colours(load()) == [(255, 255, 255)]
    assert colours(load(background="#00ff00")) == [GREEN]
    assert colours(load(background="black")) == [(0, 0, 0)]
    capsys.readouterr()
    assert colours(load(background="#00ff00")) == [GREEN]
    assert capsys.readouterr().out == (
        "#00ff00 fills the transparent pixels of 1 picture (--background chooses another colour)\n"
    )
    assert len(list((tmp_path / "cache").glob("*.npy"))) == 3


def test_the_cache_of_plain_pictures_is_the_one_it_always_was(tmp_path, load, capsys):
    """The bytes and the name of an array that an older version packed, on any machine."""
    for i in range(6):
        y, x, c = np.mgrid[:12, :12, :3]
        array = ((37 * x + 11 * y * (i + 1) + 91 * c) % 256).astype(np.uint8)
        image, suffix = Image.fromarray(array), ("png", "bmp", "tif")[i % 3]
        (tmp_path / "data" / "set").mkdir(parents=True, exist_ok=True)
        image.convert("RGB" if i else "L").save(tmp_path / "data" / "set" / f"{i}.{suffix}")
    data = load()
    assert hashlib.sha256(data.images.tobytes()).hexdigest()[:16] == PACKED
    key = json.dumps([str((tmp_path / "data" / "set").resolve()), "*", (4, 4), None])
    digest = hashlib.sha256(key.encode()).hexdigest()[:8]
    assert cached(tmp_path, "npy").name == f"set_4_4_{digest}.npy"
    assert [x for x in capsys.readouterr().out.splitlines() if not x.startswith("pack")] == []


def test_links_are_followed_once(folder, load, tmp_path):
    folder("a.png", RED)
    (tmp_path / "elsewhere").mkdir()
    Image.new("RGB", (5, 5), GREEN).save(tmp_path / "elsewhere" / "b.png")
    (folder.path / "link").symlink_to(tmp_path / "elsewhere")
    (folder.path / "other").symlink_to(tmp_path / "elsewhere")
    (folder.path / "loop").symlink_to(folder.path)
    (tmp_path / "elsewhere" / "back").symlink_to(folder.path)
    (folder.path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (folder.path / "z.png").symlink_to(folder.path / "a.png")
    assert colours(load()) == [RED, GREEN, RED]


def test_a_set_that_is_a_link(folder, load):
    folder("a.png", RED)
    (folder.path.parent / "alias").symlink_to(folder.path)
    assert colours(load("alias")) == [RED]


@pytest.mark.parametrize("backwards", [False, True])
def test_order_does_not_depend_on_the_file_system(folder, monkeypatch, backwards):
    folder("x/a.png")
    for link in "yz":
        (folder.path / link).symlink_to(folder.path / "x")
    real = os.walk

    def walk(*args, **options):  # os.walk in the order that a file system may give
        for top, inner, names in real(*args, **options):
            inner.sort(reverse=backwards)
            yield top, inner, names

    monkeypatch.setattr(os, "walk", walk)
    assert folders.read_folder(folder.path).names == ["x/a.png"]


# ---- unreadable files


def break_file(path, body=b"no image"):
    path.write_bytes(body)


def test_unreadable_files_are_skipped_and_named_in_one_line(folder, load, capsys, tmp_path):
    folder("a.png", RED)
    folder("e.png", BLUE)
    break_file(folder("b.png"))
    break_file(folder("c/d.jpg"), b"")
    cut = folder("d.png", size=(90, 90))
    break_file(cut, cut.read_bytes()[:60])
    data = load()
    assert colours(data) == [RED, BLUE] and data.spec.count == 2
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("skipped")]
    assert len(lines) == 1 and lines[0].startswith("skipped 3 of 5 images as unreadable: b.png")
    assert "c/d.jpg" in lines[0] and "d.png" in lines[0]
    assert [name.split(" (")[0] for name in data.skipped] == ["b.png", "c/d.jpg", "d.png"]
    assert sorted(p.suffix for p in (tmp_path / "cache").iterdir()) == [".json", ".npy"]


def test_many_unreadable_files_are_counted_but_not_all_named(folder, load, capsys):
    folder("z.png")
    for i in range(9):
        break_file(folder(f"{i}.png"))
    assert len(load().skipped) == 9
    (line,) = [x for x in capsys.readouterr().out.splitlines() if x.startswith("skipped")]
    assert line.startswith("skipped 9 of 10 ") and line.endswith("...")
    assert [f"{i}.png" in line for i in range(9)] == [True] * 5 + [False] * 4


def test_nothing_is_printed_if_nothing_is_skipped(folder, load, capsys):
    folder("a.png")
    load()
    assert "\nskipped" not in "\n" + capsys.readouterr().out


def test_skipped_files_are_named_again_from_the_cache(folder, load, capsys, no_decoder):
    folder("a.png")
    break_file(folder("b.png"))
    first = load()
    said = [x for x in capsys.readouterr().out.splitlines() if not x.startswith("pack")]
    no_decoder()
    second = load()
    assert second.skipped == first.skipped and len(first.skipped) == 1 < len(said)
    assert capsys.readouterr().out.splitlines() == said


def test_no_readable_image(folder, load, tmp_path):
    for name in "ab":
        break_file(folder(f"{name}.png"))
    with pytest.raises(console.Failed, match=r"none of 2 images can be read.* a\.png"):
        load()
    assert os.listdir(tmp_path / "cache") == []


def test_no_images(folder, load):
    folder("a.png").unlink()
    with pytest.raises(console.Failed, match="no images") as error:
        load()
    assert str(folder.path) in str(error.value) and ".webp" in str(error.value)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        *(("absent", "data/absent"), ("a/b", "a/b"), ("file", "data/file")),
        *(("./absent", "./absent"), ("absent/", "./absent"), ("data/a/", "data/a")),
    ],
)
def test_missing_folder(load, tmp_path, name, shown, monkeypatch):
    """The message names the place as it was given."""
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()
    Path("data/file").write_text("not a folder")
    with pytest.raises(console.Failed) as error:
        load(name, data_dir="data")
    assert str(error.value).startswith(f"no folder {shown}: put images there")
    assert "\n" not in str(error.value)


# ---- channels


@pytest.mark.parametrize(
    "pictures, channels",
    [
        ([("L", 50)], 1),
        ([("1", 1), ("LA", (50, 99)), ("I;16", 999)], 1),
        ([("L", 50), ("RGB", (9, 9, 9))], 3),
        ([("L", 50), ("L", 50), ("CMYK", (0, 0, 0, 9))], 3),
        ([("P", 0), ("L", 50)], 3),
    ],
)
def test_channels(tmp_path, folder, load, pictures, channels):
    for i, (mode, colour) in enumerate(pictures):
        folder(f"{i}.{'jpg' if mode == 'CMYK' else 'png'}", colour, mode)
    data = load()
    assert data.images.shape == (len(pictures), 4, 4, channels)
    assert data.spec.channels == channels


def test_channels_do_not_come_from_unreadable_files(folder, load):
    folder("b.png", 70, "L")
    break_file(folder("a.png", RED))
    assert colours(load()) == [(70,)]


# ---- the cache


def test_cache_is_read_the_second_time(folder, load, tmp_path, monkeypatch):
    folder("a.png", RED)
    folder("b.png", BLUE)
    first = load()
    assert isinstance(first.images, np.memmap)

    def stop(*_):
        raise AssertionError("decoded again")

    monkeypatch.setattr(utils, "load_image", stop)
    second = load()
    np.testing.assert_array_equal(first.images, second.images)
    assert second.spec == first.spec and second.skipped == []
    assert sorted(p.suffix for p in (tmp_path / "cache").iterdir()) == [".json", ".npy"]


def test_cache_is_rebuilt_when_a_file_is_added_or_removed(folder, load):
    folder("b.png", BLUE)
    assert colours(load()) == [BLUE]
    added = folder("a.png", RED)
    assert colours(load()) == [RED, BLUE]
    added.unlink()
    assert colours(load()) == [BLUE]


def test_cache_is_rebuilt_when_a_file_changes(folder, load):
    path = folder("a.bmp", RED)
    stat = path.stat()
    assert colours(load()) == [RED]
    folder("a.bmp", BLUE)
    assert path.stat().st_size == stat.st_size
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1_000_000))
    assert colours(load()) == [BLUE]


def test_cache_is_rebuilt_when_a_file_is_renamed(folder, load):
    for path in (folder("a.bmp", RED), folder("b.bmp", BLUE)):
        os.utime(path, ns=(10**18, 10**18))
    assert colours(load()) == [RED, BLUE]
    os.rename(folder.path / "a.bmp", folder.path / "c.bmp")
    assert colours(load()) == [BLUE, RED]


@pytest.mark.parametrize(
    "change",
    [
        {"size": (8, 4)},
        {"size": (4, 8)},
        {"crop": (2, 2)},
        {"crop": (4, 4)},
        {"pattern": "b*"},
    ],
    ids=str,
)
def test_cache_is_not_read_for_other_settings(tmp_path, load, change, capsys):
    (tmp_path / "data" / "set").mkdir(parents=True)
    for name in "ab":
        array = np.random.default_rng(ord(name)).integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(array).save(tmp_path / "data" / "set" / f"{name}.png")
    before = np.array(load().images)
    changed = np.array(load(**change).images)
    np.testing.assert_array_equal(changed, load(cache_dir=tmp_path / "fresh", **change).images)
    assert changed.shape != before.shape or (changed != before).any()
    capsys.readouterr()
    np.testing.assert_array_equal(load().images, before)
    assert capsys.readouterr().out == ""  # the first is still there


def test_cache_tells_sets_of_one_name_apart(load, tmp_path):
    for place, colour in (("one", RED), ("two", BLUE)):
        (tmp_path / place / "set").mkdir(parents=True)
        Image.new("RGB", (5, 5), colour).save(tmp_path / place / "set" / "a.bmp")
        os.utime(tmp_path / place / "set" / "a.bmp", ns=(10**18, 10**18))
    assert colours(load(data_dir=tmp_path / "one")) == [RED]
    assert colours(load(data_dir=tmp_path / "two")) == [BLUE]


BREAKS = {
    "empty array": ("npy", lambda body: b""),
    "cut array": ("npy", lambda body: body[:-1]),
    "cut header": ("npy", lambda body: body[:40]),
    "garbage array": ("npy", lambda body: b"garbage" * 99),
    "no array": ("npy", None),
    "fewer images": ("npy", lambda body: _npy(np.zeros((1, 4, 4, 3), np.uint8))),
    "pickled array": ("npy", lambda body: _npy(np.array([{}, {}], object))),
    "empty notes": ("json", lambda body: b""),
    "cut notes": ("json", lambda body: body[:-2]),
    "garbage notes": ("json", lambda body: b"\xff\xfe garbage"),
    "notes of nothing": ("json", lambda body: b"null"),
    "notes of a list": ("json", lambda body: b"[1, 2]"),
    "notes that lack all": ("json", lambda body: b"{}"),
    "notes that lack the count": ("json", lambda body: _without(body, "count")),
    "notes that lack the facts": ("json", lambda body: _without(body, "facts")),
    "facts are a list": ("json", lambda body: _with(body, facts=["cut"])),
    "facts are numbers": ("json", lambda body: _with(body, facts={"value_range": 3, "bits": 8})),
    "notes that lack the skipped": ("json", lambda body: _without(body, "skipped")),
    "skipped is a list": ("json", lambda body: _with(body, skipped=["a"])),
    "skipped is an empty list": ("json", lambda body: _with(body, skipped=[])),
    "skipped is out of range": ("json", lambda body: _with(body, skipped={"99": "a"})),
    "count is a word": ("json", lambda body: _with(body, count="two")),
    "another signature": ("json", lambda body: _with(body, signature="0")),
    "no notes": ("json", None),
}


def _npy(array):
    import io

    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def _with(body, **changes):
    return json.dumps({**json.loads(body), **changes}).encode()


def _without(body, key):
    return json.dumps({k: v for k, v in json.loads(body).items() if k != key}).encode()


@pytest.mark.parametrize("suffix, change", BREAKS.values(), ids=BREAKS)
def test_broken_cache_is_rebuilt(folder, load, tmp_path, capsys, suffix, change):
    folder("a.png", RED)
    folder("b.png", BLUE)
    load()
    path = cached(tmp_path, suffix)
    whole = path.read_bytes()
    path.unlink()
    if change:
        path.write_bytes(change(whole))
    capsys.readouterr()
    assert colours(load()) == [RED, BLUE]
    assert "packed 2 images" in capsys.readouterr().out  # anew
    assert cached(tmp_path, suffix).read_bytes() == whole


def test_interrupted_packing_leaves_nothing(folder, load, tmp_path, monkeypatch):
    folder("a.png", RED)

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(cache, "all_gray", stop)
        with pytest.raises(KeyboardInterrupt):
            load()
    assert os.listdir(tmp_path / "cache") == []
    assert colours(load()) == [RED]


def test_json_is_written_after_the_array(folder, load, tmp_path, monkeypatch):
    folder("a.png", RED)

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(files, "save_text", stop)
        with pytest.raises(KeyboardInterrupt):
            load()
    assert [p.suffix for p in (tmp_path / "cache").iterdir()] == [".npy"]
    assert colours(load()) == [RED]


def test_user_cache_is_used_if_the_cache_is_unwritable(
    folder, load, tmp_path, user_cache, no_decoder
):
    folder("a.png", RED)
    (tmp_path / "file").write_text("in the way")
    data = load(cache_dir=tmp_path / "file" / "cache")
    assert colours(data) == [RED]
    assert sorted(p.suffix for p in user_cache.iterdir()) == [".json", ".npy"]
    no_decoder()
    assert colours(load(cache_dir=tmp_path / "file" / "cache")) == [RED]


def test_user_cache_is_not_used_if_the_cache_is_writable(folder, load, user_cache):
    folder("a.png", RED)
    load()
    assert not user_cache.exists()


@pytest.mark.parametrize("value", ["", None])
def test_user_cache_is_in_the_home_without_xdg_cache_home(monkeypatch, tmp_path, value):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME")
    if value is not None:
        monkeypatch.setenv("XDG_CACHE_HOME", value)
    assert cache._user_cache() == [tmp_path / ".cache" / "gan-trainer"]


def test_no_cache_can_be_written(folder, load, tmp_path, monkeypatch):
    folder("a.png", RED)
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(console.Failed, match="cannot write") as error:
        load(cache_dir=tmp_path / "file" / "cache")
    assert str(tmp_path / "file" / "cache") in str(error.value)


@pytest.mark.parametrize("workers, threads", [(0, 5), (1, 1), (3, 3)])
def test_workers(folder, load, monkeypatch, workers, threads):
    asked, pool = [], cache.ThreadPoolExecutor
    monkeypatch.setattr(cache, "ThreadPoolExecutor", lambda n: asked.append(n) or pool(n))
    monkeypatch.setattr(os, "cpu_count", lambda: 5)
    monkeypatch.setattr(cache, "JOB", 1)
    for i in range(8):
        folder(f"{i}.png", (10 * i, 0, 0))
    data = load(workers=workers)
    assert asked == [threads] and data.skipped == []
    assert colours(data) == [(10 * i, 0, 0) for i in range(8)]


def test_skipped_are_in_order_of_the_pictures(folder, load, monkeypatch):
    monkeypatch.setattr(cache, "JOB", 1)
    for name in "abc":
        folder(f"{name}.png", GREEN)
    real, later = utils.load_image, threading.Event()

    def fail(image, *args):
        if str(image).endswith("a.png"):
            later.wait(2)
            time.sleep(0.05)
            raise OSError("slow")
        if str(image).endswith("b.png"):
            later.set()
            raise OSError("quick")
        return real(image, *args)

    monkeypatch.setattr(utils, "load_image", fail)
    data = load(workers=2)
    assert data.skipped == ["a.png (slow)", "b.png (quick)"] and colours(data) == [GREEN]


# ---- names, labels, arrays


def test_name_may_be_a_path(folder, load, tmp_path, monkeypatch):
    folder("a.png", RED)
    elsewhere = tmp_path / "no data here"
    assert colours(load(str(folder.path), data_dir=elsewhere)) == [RED]
    monkeypatch.chdir(tmp_path)
    assert colours(load("data/set", data_dir=elsewhere)) == [RED]
    assert colours(load("data/set/", data_dir="data")) == [RED]


def test_name_in_data_dir_wins_over_a_path(folder, load, tmp_path, monkeypatch):
    folder("a.png", RED)
    (tmp_path / "set").mkdir()
    Image.new("RGB", (5, 5), BLUE).save(tmp_path / "set" / "a.png")
    monkeypatch.chdir(tmp_path)
    assert colours(load("set")) == [RED]
    assert colours(load("set", data_dir="nothing")) == [BLUE]
    assert colours(load("./set")) == colours(load("set/")) == [BLUE]  # paths are taken as they are
    monkeypatch.chdir("set")
    assert colours(load(".")) == colours(load("../set")) == [BLUE]


@pytest.mark.parametrize("wrapping", ["", "set/", "in/set/"])
def test_classes_have_natural_order(folder, load, tmp_path, wrapping):
    """In a folder and in a zip file; top folders that hold one folder only are left out."""
    names = ["1", "2", "10", "007", "Ant", "bee", "bee 9a", "bee 10a", "bee 10b"]
    for i, name in enumerate(names):
        folder(f"{wrapping}{name}/deep/{i}.png")
    (folder.path / "notes.txt").write_text("no picture")
    (folder.path / ".hidden").mkdir()
    put_zip(folder.path, tmp_path / "data" / "set.zip")
    order = ("1", "2", "007", "10", "Ant", "bee", "bee 9a", "bee 10a", "bee 10b")
    a, b = load(conditional=True), load("set.zip", conditional=True)
    assert a.spec.class_names == b.spec.class_names == order
    numbers = dict(zip(map(str, range(9)), map(order.index, names)))
    for data, source in ((a, folder.path), (b, tmp_path / "data" / "set.zip")):
        stems = [Path(name).stem for name in folders.read_folder(source).names]
        assert data.labels.tolist() == [numbers[stem] for stem in stems]
    assert load().spec.class_names == ()


def put_zip(source, path):
    """Write a zip file of all files in a folder."""
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(source.rglob("*.*")):
            archive.write(file, file.relative_to(source))


@pytest.mark.parametrize(
    "names", [["a/1.png", "a/2.png"], ["in/a/1.png"], ["a/1.png", "a/b/2.png"]]
)
def test_a_single_class_is_refused(folder, load, tmp_path, names):
    for name in names:
        folder(name)
    put_zip(folder.path, tmp_path / "data" / "set.zip")
    for name in ("set", "set.zip"):
        with pytest.raises(console.Failed, match=f"{name} has the single class a: .*conditional"):
            load(name, conditional=True)
        assert load(name).spec.classes == 0


def test_what_identifies_a_data_set(folder, load, tmp_path, monkeypatch):
    """Its place, and the names, sizes and contents of its pictures; not their times."""
    monkeypatch.chdir(tmp_path)
    first = folder("b/1.png", size=(9, 9))
    folder("c/1.png", BLUE)
    spec = load().spec
    assert spec.source == "data/set" and len(spec.fingerprint) == 64
    assert load("data/../data/set").spec.source == load("./data/set/").spec.source == "data/set"
    put_zip(folder.path, tmp_path / "data" / "set.zip")
    packed_in_zip = load("set.zip").spec
    assert (packed_in_zip.source, packed_in_zip.fingerprint) == ("data/set.zip", spec.fingerprint)
    os.utime(first, (1, 1))
    shutil.copytree("data/set", "elsewhere")
    moved = load("./elsewhere").spec
    assert (moved.source, moved.fingerprint) == ("elsewhere", spec.fingerprint)
    monkeypatch.chdir(tmp_path / "data")
    assert load("../elsewhere").spec.source == str(tmp_path / "elsewhere")
    assert load(".").spec.source == "." and load("set").spec.source == "set"
    first.rename(first.with_name("2.png"))
    renamed = load().spec.fingerprint
    first.with_name("2.png").write_bytes(folder("d/1.png", size=(50, 50)).read_bytes())
    resized = load().spec.fingerprint
    assert len({spec.fingerprint, renamed, resized}) == 3
    size = os.path.getsize(folder("c/2.bmp", RED))
    red = load().spec.fingerprint
    assert os.path.getsize(folder("c/2.bmp", BLUE)) == size
    assert load().spec.fingerprint not in (red, resized)


def test_labels_are_the_first_folders(folder, load):
    folder("cat/a.png", RED)
    folder("dog/big/a.png", BLUE)
    folder("ant/a.png", GREEN)
    folder("cat/old/dog/a.png", RED)
    data = load(conditional=True)
    assert data.spec.classes == 3 and data.labels.dtype == np.int32
    by_colour = {GREEN: 0, RED: 1, BLUE: 2}  # ant, cat, dog
    assert data.labels.tolist() == [by_colour[c] for c in colours(data)]
    assert sorted(data.labels) == [0, 1, 1, 2]


def test_folders_are_labels_only_if_conditional(folder, load):
    folder("cat/a.png")
    folder("dog/a.png")
    data = load()
    assert data.spec.classes == 0 and data.labels.tolist() == [0, 0]


@pytest.mark.parametrize("names", [["a.png"], ["cat/a.png", "b.png"]])
def test_images_outside_of_class_folders(folder, load, names):
    for name in names:
        folder(name)
    with pytest.raises(console.Failed, match="outside") as error:
        load(conditional=True)
    assert str(folder.path) in str(error.value) and "--conditional" in str(error.value)


def test_labels_stay_with_their_images_when_some_are_skipped(folder, load, no_decoder):
    shades = {"a": RED, "b": GREEN, "c": BLUE}
    for name, colour in shades.items():
        for i in range(5):
            path = folder(f"{name}/{i}.png", colour)
            if (name, i) in (("a", 0), ("a", 3), ("b", 4), ("c", 1)):
                break_file(path)
    expected = [RED] * 3 + [GREEN] * 4 + [BLUE] * 4
    for _ in range(2):  # as packed, and from the cache
        data = load(conditional=True)
        assert colours(data) == expected
        assert data.labels.tolist() == [0] * 3 + [1] * 4 + [2] * 4
        assert data.spec == packed.ImageSpec(4, 4, 3, 11, 3)
        no_decoder()


def test_class_of_unreadable_images_keeps_its_number(folder, load):
    break_file(folder("a/1.png"))
    folder("b/1.png", BLUE)
    data = load(conditional=True)
    assert data.labels.tolist() == [1] and data.spec.classes == 2


def array_reader(images, labels):
    def reader(path, **_):
        names, classes = [f"made {i}" for i in range(len(images))], tuple("0123456789")
        return packed.Source(
            names, lambda i: Image.fromarray(images[i, ..., 0]), "0", labels, classes, images
        )

    return reader


def test_arrays_of_the_right_size_are_not_packed(load, tmp_path):
    images = np.arange(3 * 4 * 4, dtype=np.uint8).reshape(3, 4, 4, 1)
    data = load("made", reader=array_reader(images, np.array([4, 0, 9])), conditional=True)
    np.testing.assert_array_equal(data.images, images)
    assert data.labels.tolist() == [4, 0, 9]
    assert data.spec == packed.ImageSpec(4, 4, 1, 3, 10)
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("options", [{"size": (8, 8)}, {"crop": (2, 2)}], ids=str)
def test_arrays_of_another_size_are_packed(load, options):
    images = np.random.default_rng(0).integers(0, 256, (3, 4, 4, 1), dtype=np.uint8)
    data = load("made", reader=array_reader(images, np.array([4, 0, 9])), **options)
    size, crop = options.get("size", (4, 4)), options.get("crop")
    expected = [utils.load_image(Image.fromarray(i[..., 0]), size, 1, crop) for i in images]
    np.testing.assert_array_equal(data.images, expected)
    assert data.labels.tolist() == [0, 0, 0] and data.spec.classes == 0


def test_conditional_without_labels_fails(load, tmp_path):
    def reader(path, **_):
        return packed.Source(["a"], None, "0")

    with pytest.raises(console.Failed, match="no labels"):
        load(reader=reader, conditional=True)


def test_a_user_without_a_home(monkeypatch):
    """A container's user may have neither HOME nor a name."""

    def no_home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", no_home)
    for name in ("XDG_CACHE_HOME", "KERAS_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert cache._user_cache() == []
    assert known._keras_cache() == Path("/tmp/.keras/datasets")
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert cache._user_cache() == [Path("/x/gan-trainer")]

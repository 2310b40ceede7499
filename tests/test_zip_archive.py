"""Data sets in zip files: which pictures are read, and how broken and hostile files end."""

import io
import os
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import console
import main
from commands import devices
from config import flags
from config.resolve import resolve
from datasets import folders, packed, zip_archive
from tests.conftest import ROOT, damaged

pytestmark = pytest.mark.usefixtures("limited")

COLOURS = {"a": (255, 0, 0), "b": (0, 255, 0), "c": (0, 0, 255)}


def png(colour=(9, 9, 9), side=8):
    stream = io.BytesIO()
    Image.new("RGB", (side, side), colour).save(stream, "PNG")
    return stream.getvalue()


def put_zip(files, path="set.zip", kind=zipfile.ZIP_DEFLATED):
    """Write a zip file of {name: bytes}; return its Path."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", kind) as archive:
        for name, body in files.items():
            archive.writestr(zipfile.ZipInfo(name), body, kind)
    return Path(path)


def load(name="set.zip", **given):
    given = {"reader": folders.read_folder, "data_dir": "data", "cache_dir": "cache", **given}
    return packed.load(str(name), size=(8, 8), workers=2, **given)


def colours(data):
    return [tuple(image[4, 4].tolist()) for image in data.images]


def test_outputs_in_a_zip_are_no_data():
    made = {"top/run/.gan-output": b"", "top/run/a/0.png": png(), "top/.gan-output": b"x.gif\n"}
    made["top/x.gif"] = png()
    mine = {"top/a.png": png(), "top/run2/x.gif": png()}
    path = put_zip({**made, **mine})
    assert folders.read_folder(path).names == list(mine)
    path = put_zip({name: made[name] for name in ("top/run/.gan-output", "top/run/a/0.png")})
    assert folders.read_folder(path).names == ["top/run/a/0.png"]  # a set of outputs alone


def test_a_zip_is_read_like_the_folder_in_it(tmp_path):
    files = {f"{n}/deep/{i}.png": png(c) for i, (n, c) in enumerate(COLOURS.items())}
    files |= {"a/notes.txt": b"no picture", "a/.hidden.png": png(), ".trash/x.png": png()}
    for name, body in files.items():
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / name).write_bytes(body)
    put_zip({**files, "__MACOSX/a/._0.png": b"a Mac's", "empty/": b""})
    for conditional in (False, True):
        a, b = load("set.zip", conditional=conditional), load("set", conditional=conditional)
        np.testing.assert_array_equal(a.images, b.images)
        assert a.labels.tolist() == b.labels.tolist() and a.spec == b.spec
        assert a.skipped == b.skipped == []
    assert colours(a) == list(COLOURS.values()) and a.labels.tolist() == [0, 1, 2]
    assert sorted(os.listdir()) == ["cache", "set", "set.zip"]  # nothing is unpacked


@pytest.mark.parametrize(
    ("files", "names", "labels"),
    [
        (["set/b/1.png", "set/a/2.png"], ["set/a/2.png", "set/b/1.png"], [0, 1]),
        (["in/s/b/1.png", "in/s/a/2.png"], ["in/s/a/2.png", "in/s/b/1.png"], [0, 1]),
        (["a/1.png", "a/2.png"], ["a/1.png", "a/2.png"], [0, 0]),
        (["set\\b\\1.png", "./set/a/2.png"], ["set/a/2.png", "set/b/1.png"], [0, 1]),
        (["set/1.png", "set/a/2.png"], ["set/1.png", "set/a/2.png"], [0, 0]),
    ],
)
def test_the_top_folder_is_no_class(files, names, labels):
    path = put_zip({name: png() for name in files})
    assert zip_archive.Archive(path, (".png",)).names == names
    assert folders.read_folder(path, conditional=True).labels.tolist() == labels


def test_the_pattern_works_as_in_folders():
    put_zip({"a.png": png((1, 2, 3)), "b.PNG": png(), "c.dat": png((4, 5, 6))})
    assert len(load().images) == 2
    assert colours(load(pattern="*.dat")) == [(4, 5, 6)]


def test_members_that_are_left_out_are_counted(capsys):
    files = dict.fromkeys(("b.txt", "in/c.TXT", "LICENSE", "Thumbs.db", "__MACOSX/d.txt"), b"")
    put_zip({"a.png": png(), "e.tif": b"", ".f.txt": b"", "in/g/": b"", **files})
    load()
    assert "left out: 2 .txt, 1 without an ending" in capsys.readouterr().out.splitlines()


def test_names_outside_of_the_archive_are_left_out(tmp_path):
    (tmp_path / "here").mkdir()
    os.chdir("here")
    files = ["../up.png", "/top.png", "a/../../up.png", "..\\up.png"]
    put_zip({**{name: png() for name in files}, "a.png": png((1, 2, 3))})
    assert colours(load()) == [(1, 2, 3)]
    assert sorted(os.listdir("..")) == ["here"]
    assert sorted(os.listdir()) == ["cache", "set.zip"]


def test_the_signature_changes_with_the_pictures():
    found = []
    for name, body, when in (
        ("a.png", png(), 1),
        ("a.png", png(), 1),
        ("a.png", png((1, 2, 3)), 1),
        ("b.png", png(), 1),
        ("a.png", png(), 2),
    ):
        path = put_zip({name: body})
        os.utime(path, (when, when))
        found.append(folders.read_folder(path).signature)
    assert found[0] == found[1] and len(set(found)) == 4


def test_a_broken_copy_is_not_remembered():
    """A damaged copy lists the same checksums as the whole file, but must not share its cache."""
    body = zipped({"a.png": png((1, 2, 3)), "b.png": png((4, 5, 6))}, kind=zipfile.ZIP_STORED)
    at = body.find(png((1, 2, 3))[-30:])
    for whole in (False, True):
        Path("set.zip").write_bytes(body if whole else body[:at] + b"?" + body[at + 1 :])
        assert len(load().images) == 1 + whole


# ---- the flag


def resolved(*argv):
    return resolve(flags.parse_flags(["main.py", *argv]))


def test_zip_is_another_name_of_dataset():
    for argv in (["--zip", "far/Cats.ZIP"], ["--zip=far/Cats.ZIP"], ["-zip", "far/Cats.ZIP"]):
        c = resolved(*argv)
        assert (c.dataset, c.run_name) == ("far/Cats.ZIP", "Cats_64_64_64")
    assert resolved("--dataset", "far/cats.zip").run_name == "cats_64_64_64"
    assert resolved("--dataset", "x.zip.d").run_name == "x.zip.d_64_64_64"
    for argv in (["--zip", "a.zip", "--dataset", "b"], ["--dataset=b", "--zip=a.zip"]):
        with pytest.raises(console.WrongCall, match="--zip is another name of --dataset"):
            resolved(*argv)
    with pytest.raises(console.WrongCall, match="--dataset needs a value"):
        resolved("--zip")


@pytest.fixture
def train(monkeypatch, capfd):
    """A function of flags that starts training and stops once the data are read.

    Returns (exit status, the one line on stderr), which is "read" if the data could be read.
    """

    def stop(*_):
        raise console.Failed("read")

    monkeypatch.setattr(devices, "import_tensorflow", stop)

    def run(*argv):
        status = main.main(["--train", *map(str, argv)])
        err = capfd.readouterr().err
        assert err.count("\n") == 1 and err.startswith("main.py: "), err
        return status, err.removeprefix("main.py: ").rstrip()

    return run


def test_a_zip_anywhere(train, tmp_path):
    files = {"a.png": png()}
    assert train("--zip", put_zip(files, tmp_path / "far/set.zip"))[1] == "read"
    put_zip(files, "data/near.zip")
    assert train("--dataset", "near.zip")[1] == "read"
    put_zip({"x/a.png": png(), "y/b.png": png()}, "two.zip")
    assert train("--zip", "two.zip", "--conditional")[1] == "read"


# ---- files that are refused in one line


def locked(body):
    """Return a zip file's bytes with all members marked as encrypted, in both headers."""
    for mark, place in ((b"PK\1\2", 8), (b"PK\3\4", 6)):
        at = body.find(mark)
        while at >= 0:
            body = body[: at + place] + b"\1" + body[at + place + 1 :]
            at = body.find(mark, at + 4)
    return body


def zipped(files, **options):
    path = put_zip(files, "made.zip", **options)
    body = path.read_bytes()
    path.unlink()
    return body


REFUSED = {
    "no zip": (lambda: b"Rar!" + bytes(99), "cannot read set.zip: File is not a zip file"),
    "nothing": (lambda: b"", "cannot read set.zip: File is not a zip file"),
    "cut": (lambda: zipped({"a.png": png()})[:-30], "cannot read set.zip: "),
    "empty": (lambda: zipped({}), "no images (.jpg"),
    "no pictures": (lambda: zipped({"a.txt": b"a"}), "no images (.jpg"),
    "encrypted": (
        lambda: locked(zipped({"a.txt": b"a", "b/a.png": png()})),
        "cannot read set.zip: b/a.png in it is encrypted",
    ),
    "no picture": (lambda: zipped({"a.png": b"a"}), "none of 1 images can be read, the first is a"),
}


@pytest.mark.parametrize(("make", "says"), REFUSED.values(), ids=REFUSED)
def test_a_zip_that_cannot_be_read(make, says, train):
    Path("set.zip").write_bytes(make())
    status, line = train("--zip", "set.zip")
    assert status == 1 and line.startswith(says)


def test_a_missing_zip(train):
    status, line = train("--zip", "far/set.zip")
    assert status == 1 and line == "no file far/set.zip"
    assert train("--zip", "set.zip") == (1, "no file data/set.zip")
    assert train("--zip", "./set.zip") == (1, "no file ./set.zip")
    os.mkfifo("pipe.zip")  # would wait for ever
    assert train("--zip", "pipe.zip")[0] == 1
    put_zip({"a.png": png()})
    status, line = train("--zip", "set.zip", "--conditional")
    assert status == 1 and "images outside its class folders" in line


FILES = {"a/0.png": png((1, 2, 3)), "b/1.png": png((200, 100, 0)), "b/2.txt": b"text"}


@pytest.mark.parametrize("kind", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
def test_a_damaged_zip_is_read_or_refused(kind, capfd):
    """Any damage ends in one line, or in pictures that are skipped and named."""
    ends = set()
    for body in damaged(zipped(FILES, kind=kind), kind, cuts=10, flips=60):
        Path("set.zip").write_bytes(body)
        try:
            data = load(cache_dir="cache")
            ends.add(len(data.images))
            assert len(data.images) + len(data.skipped) <= 2
        except console.Failed as error:
            ends.add("failed")
            assert "\n" not in console.plain(str(error))
        assert capfd.readouterr().err == ""
    assert {"failed", 1, 2} <= ends


def test_a_broken_picture_is_named(capfd):
    body = zipped(FILES, kind=zipfile.ZIP_STORED)
    at = body.find(png((1, 2, 3))[-30:])
    Path("set.zip").write_bytes(body[:at] + b"?" + body[at + 1 :])
    assert load().skipped == ["a/0.png (Bad CRC-32 for file 'a/0.png')"]


def test_an_unknown_compression():
    body = bytearray(zipped(FILES))
    for mark, place in ((b"PK\1\2", 10), (b"PK\3\4", 8)):
        at = body.find(mark)
        body[at + place : at + place + 2] = struct.pack("<H", 9)  # deflate64
    Path("set.zip").write_bytes(body)
    (skipped,) = load().skipped
    assert skipped.startswith("a/0.png (") and "compression" in skipped


BOMB = """
import pathlib, resource, sys
from datasets import zip_archive
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for name in sys.argv[1:]:
    archive = zip_archive.Archive(pathlib.Path(name), (".png",))
    try:
        archive.get(0)
    except Exception as error:
        print(name, type(error).__name__, error)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_a_bomb_is_not_unpacked():
    """Compressed, with a wrong size, or stored: memory is measured in a new process."""
    zeros = bytes(zip_archive.MAX_BYTES + 1)
    bomb = zipped({"a.png": zeros})
    lie = bytearray(bomb)
    for mark, place in ((b"PK\1\2", 24), (b"PK\3\4", 22)):
        at = lie.find(mark)
        lie[at + place : at + place + 4] = struct.pack("<I", 1000)
    Path("bomb.zip").write_bytes(bomb)
    Path("lie.zip").write_bytes(lie)
    put_zip({"a.png": zeros}, "large.zip", zipfile.ZIP_STORED)
    done = subprocess.run(
        [sys.executable, "-c", BOMB, "bomb.zip", "lie.zip", "large.zip"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    *lines, grown = done.stdout.splitlines()
    assert lines[0].startswith("bomb.zip ValueError unpacked: too many bytes for 6")
    assert lines[1].startswith("lie.zip BadZipFile Bad CRC-32")
    assert lines[2] == f"large.zip ValueError {zip_archive.MAX_BYTES + 1} bytes are too many"
    assert len(lines) == 3 and int(grown) < 20_000  # kilobytes

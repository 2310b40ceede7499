"""LSUN's databases as a source of pictures."""

import os
import subprocess
import sys

import pytest

import console
from datasets import packed
from datasets.folders import read_lsun
from tests.conftest import ROOT, put_lmdb, webp

COLOURS = {b"k0": (255, 0, 0), b"k1": (0, 255, 0), b"k2": (0, 0, 255)}


def lsun(path, conditional=False):
    return packed.load(
        path.name,
        reader=read_lsun,
        data_dir=path.parent,
        cache_dir=path.parent / "cache",
        size=(4, 4),
        conditional=conditional,
    )


def test_lsun_from_a_database(tmp_path):
    file = put_lmdb(tmp_path / "lsun" / "bed_lmdb", {k: webp(c) for k, c in COLOURS.items()})
    data = lsun(tmp_path / "lsun")
    assert data.images[:, 1, 1].tolist() == [list(c) for c in COLOURS.values()]
    assert data.spec == packed.ImageSpec(4, 4, 3, 3, 0) and data.skipped == []
    assert os.listdir(file.parent) == ["data.mdb"]  # it is only read


def test_lsun_from_two_databases(tmp_path):
    for name, keys in (("tower_lmdb", [b"k2"]), ("deep/bed_lmdb", [b"k0", b"k1"])):
        put_lmdb(tmp_path / "lsun" / name, {k: webp(COLOURS[k]) for k in keys})
    data = lsun(tmp_path / "lsun", conditional=True)
    assert data.spec.class_names == ("bed_lmdb", "tower_lmdb")
    (tmp_path / "lsun").rename(tmp_path / "moved")
    assert lsun(tmp_path / "moved").spec.fingerprint == data.spec.fingerprint
    (tmp_path / "moved").rename(tmp_path / "lsun")
    assert data.images[:, 1, 1].tolist() == [list(c) for c in COLOURS.values()]
    assert data.labels.tolist() == [0, 0, 1] and data.spec.classes == 2
    source = read_lsun(tmp_path / "lsun")
    assert source.classes == ("bed_lmdb", "tower_lmdb")
    assert source.names == ["bed_lmdb/k0", "bed_lmdb/k1", "tower_lmdb/k2"]


def test_lsun_from_linked_databases_each_once(tmp_path):
    put_lmdb(tmp_path / "disk" / "bed_lmdb", {b"k0": webp(COLOURS[b"k0"])})
    (tmp_path / "lsun").mkdir()
    for name in ("bed_lmdb", "bed_again"):
        (tmp_path / "lsun" / name).symlink_to(tmp_path / "disk" / "bed_lmdb")
    assert read_lsun(tmp_path / "lsun").names == ["bed_lmdb/k0"]


def test_lsun_skips_and_names_a_broken_value(tmp_path):
    values = {b"k0": webp(COLOURS[b"k0"]), b"k1": b"no image", b"k2": webp(COLOURS[b"k2"])}
    put_lmdb(tmp_path / "lsun" / "bed_lmdb", values)
    data = lsun(tmp_path / "lsun")
    assert data.images[:, 1, 1].tolist() == [[255, 0, 0], [0, 0, 255]]
    (name,) = data.skipped
    assert name.startswith("bed_lmdb/k1 (")


def test_lsun_signature_changes_with_a_database(tmp_path):
    signatures = []
    for values in ({b"k0": webp((1, 2, 3))}, {b"k0": webp((1, 2, 3)), b"k1": webp((1, 2, 3))}):
        file = put_lmdb(tmp_path / "lsun" / "bed_lmdb", values)
        os.utime(file, ns=(10**18, 10**18))
        signatures += [read_lsun(tmp_path / "lsun").signature for _ in range(2)]
        file.unlink()
        file.parent.rmdir()
    assert signatures[0] == signatures[1] != signatures[2] == signatures[3]


@pytest.mark.parametrize("body", [b"garbage" * 999, b"", None], ids=["garbage", "empty", "header"])
def test_lsun_of_a_corrupt_database(tmp_path, body):
    file = put_lmdb(tmp_path / "lsun" / "bed_lmdb", {b"k0": webp((1, 2, 3))})
    file.write_bytes(file.read_bytes()[:100] if body is None else body)
    with pytest.raises(console.Failed, match="cannot read the database") as error:
        read_lsun(tmp_path / "lsun")
    assert str(file.parent) in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("pages", [2, 3, 20])
def test_lsun_of_a_database_cut_short(tmp_path, pages):
    """Reading a mapped file past its end kills a process, so this runs in a new one."""
    file = put_lmdb(tmp_path / "lsun" / "bed_lmdb", {b"%d" % i: b"x" * 5000 for i in range(20)})
    os.truncate(file, 4096 * pages)
    code = (
        "import pathlib, sys\n"
        "from console import Failed\n"
        "from datasets.folders import read_lsun\n"
        "try: read_lsun(pathlib.Path(sys.argv[1]))\n"
        "except Failed as error: print(error)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "lsun")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"cannot read the database {file.parent}")
    assert f"cut short at {4096 * pages} bytes" in done.stdout


def test_lsun_of_empty_databases(tmp_path):
    put_lmdb(tmp_path / "lsun" / "bed_lmdb", {})
    with pytest.raises(console.Failed, match="empty") as error:
        read_lsun(tmp_path / "lsun")
    assert str(tmp_path / "lsun") in str(error.value)


def test_lsun_from_a_plain_folder(tmp_path):
    for name, colour in (("bed/a.webp", (255, 0, 0)), ("tower/b.webp", (0, 0, 255))):
        path = tmp_path / "lsun" / name
        path.parent.mkdir(parents=True)
        path.write_bytes(webp(colour))
    data = lsun(tmp_path / "lsun", conditional=True)
    assert data.images[:, 1, 1].tolist() == [[255, 0, 0], [0, 0, 255]]
    assert data.labels.tolist() == [0, 1]


def test_lsun_of_a_missing_folder(tmp_path):
    with pytest.raises(console.Failed, match="no folder") as error:
        read_lsun(tmp_path / "lsun")
    assert str(tmp_path / "lsun") in str(error.value)

"""LMDB databases, corrupt ones above all: they kill the reader process, not the program."""

import os
import random
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

import console
from datasets import lmdb_reader, packed
from datasets.folders import read_lsun
from tests.conftest import ROOT, damaged, put_lmdb, run_main, webp

pytestmark = pytest.mark.usefixtures("limited")

COLOURS = [(40 * i, 0, 255 - 40 * i) for i in range(6)]
# Small values lie in the page of their keys, large ones in pages of their own.
VALUES = {b"k%d" % i: webp(c, 8) + bytes(6000 * (i % 2)) for i, c in enumerate(COLOURS)}
PAGE = 4096


def put(**values):
    return put_lmdb(Path("data/lsun/bed_lmdb"), values or VALUES)


def load():
    """Return (colours of the packed images, names of the skipped)."""
    data = packed.load(
        "lsun",
        reader=read_lsun,
        data_dir="data",
        cache_dir="cache",
        size=(8, 8),
        workers=2,
    )
    return [tuple(image[4, 4].tolist()) for image in data.images], data.skipped


def change(path, old, new):
    """Replace bytes in a file; return how often they were found."""
    body = path.read_bytes()
    path.write_bytes(body.replace(old, new))
    return body.count(old)


def death(path):
    """Read all values in a new process; return the signal that killed it, or 0."""
    code = (
        "import lmdb, sys\n"
        "env = lmdb.open(sys.argv[1], readonly=True, lock=False)\n"
        "with env.begin() as t: [bytes(v) for _, v in t.cursor()]"
    )
    command = [sys.executable, "-c", code, str(path.parent)]
    done = subprocess.run(command, stderr=subprocess.DEVNULL, check=False, timeout=60)
    return max(0, -done.returncode)


def test_values_and_keys():
    database = lmdb_reader.Database(put().parent)
    assert database.keys == sorted(VALUES)
    assert [database.get(key) for key in database.keys] == [VALUES[k] for k in sorted(VALUES)]
    with pytest.raises(lmdb_reader.Corrupt, match="no such key"):
        database.get(b"k9")
    assert database.get(b"k1") == VALUES[b"k1"] and database.deaths == 0


def test_the_reader_ends_with_the_database():
    database = lmdb_reader.Database(put().parent)
    reader = database._reader
    assert reader.poll() is None
    del database
    assert reader.returncode == 0


def test_an_interrupt_leaves_the_reader_alone():
    database = lmdb_reader.Database(put().parent)
    os.kill(database._reader.pid, signal.SIGINT)
    assert database.get(b"k0") == VALUES[b"k0"]
    assert database.deaths == 0


def test_the_reader_imports_nothing_of_the_project():
    lines = map(str.split, Path(lmdb_reader.__file__).read_text().splitlines())
    imported = {words[1] for words in lines if words and words[0] in ("import", "from")}
    assert "lmdb" in imported and imported <= {*sys.stdlib_module_names, "lmdb"}


def test_the_reader_cannot_be_started(monkeypatch):
    path = put().parent
    monkeypatch.setattr(sys, "executable", "nowhere")
    with pytest.raises(lmdb_reader.Corrupt):
        lmdb_reader.Database(path)


def is_running(pid):
    """Return whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def test_the_reader_ends_with_the_program():
    code = (
        "import os, signal, sys\n"
        "from datasets.lmdb_reader import Database\n"
        "print(Database(sys.argv[1])._reader.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    command = [sys.executable, "-c", code, str(put().parent.resolve())]
    done = subprocess.run(command, capture_output=True, cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    while is_running(int(done.stdout)):  # the fixture `limited` ends an endless loop
        time.sleep(0.01)


def test_a_value_outside_of_the_file_is_skipped():
    """The size before the key becomes 0x7fffffff, which reaches past the mapped file."""
    path = put()
    size = struct.pack("<I", len(VALUES[b"k3"]))
    assert change(path, size + b"\1\0\2\0k3", b"\xff\xff\xff\x7f\1\0\2\0k3") == 1
    assert death(path) in (signal.SIGSEGV, signal.SIGBUS)
    colours, skipped = load()
    assert colours == COLOURS[:3] + COLOURS[4:]
    assert len(skipped) == 1 and skipped[0].startswith("bed_lmdb/k3 (")


def test_a_dead_reader_is_started_again():
    database = lmdb_reader.Database(put().parent)
    os.kill(database._reader.pid, signal.SIGKILL)
    database._reader.wait()
    with pytest.raises(lmdb_reader.Corrupt, match="kill the process"):
        database.get(b"k0")
    assert database.get(b"k0") == VALUES[b"k0"]
    assert database.deaths == 1 and not database.given_up


def test_a_database_is_given_up(monkeypatch):
    monkeypatch.setattr(lmdb_reader, "MAX_DEATHS", 2)
    path = put()
    for number in (1, 3, 5):
        size = struct.pack("<I", len(VALUES[b"k%d" % number]))
        assert change(path, size + b"\1\0\2\0k%d" % number, b"\xff\xff\xff\x7f\1\0\2\0k%d" % number)
    with pytest.raises(
        console.Failed, match="cannot read the database data/lsun/bed_lmdb: "
    ) as error:
        load()
    assert "\n" not in str(error.value)
    assert not list(Path("cache").iterdir())


def test_a_value_too_large_for_a_picture(monkeypatch):
    path = put_lmdb(Path("data/lsun/bed_lmdb"), {b"k0": webp(COLOURS[0]), b"k1": b"x" * 2_000_000})
    text = (
        Path(lmdb_reader.__file__).read_text().replace("MAX_BYTES = 1 << 26", "MAX_BYTES = 10**6")
    )
    Path("small.py").write_text(text)
    monkeypatch.setattr(lmdb_reader, "__file__", os.path.abspath("small.py"))
    assert load() == (COLOURS[:1], ["bed_lmdb/k1 (2000000 bytes are too many for a picture)"])
    assert path.is_file()


def meta(path, entries):
    """Change the number of entries in both meta pages, which is 6."""
    return change(path, struct.pack("<Q", 6), struct.pack("<Q", entries))


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        (5, "says that it has 5 entries, and lists 6"),
        (7, "says that it has 7 entries, and lists 6"),
        (2**62, f"says that it has {2**62} entries, in "),
    ],
)
def test_a_wrong_number_of_entries(entries, says):
    assert meta(put(), entries) >= 1
    with pytest.raises(console.Failed, match=says):
        load()


def test_pages_that_point_to_themselves():
    """All branches of the root lead to the root: LMDB follows them until its stack is full."""
    values = {b"%04d" % i: b"x" * 900 for i in range(99)}
    path = put_lmdb(Path("data/lsun/bed_lmdb"), values)
    body = bytearray(path.read_bytes())
    (root,) = {i for i in range(2, len(body) // PAGE) if body[i * PAGE + 10] == 1}
    lower, upper = struct.unpack_from("<2H", body, root * PAGE + 12)
    assert upper < PAGE
    for i in range((lower - 16) // 2):
        (node,) = struct.unpack_from("<H", body, root * PAGE + 16 + 2 * i)
        struct.pack_into("<H", body, root * PAGE + node, root)
    path.write_bytes(body)
    with pytest.raises(console.Failed, match="cannot read the database"):
        load()


def flipped():
    """Yield (seed, start, length) of the parts to flip bits in: headers, keys, values, or all."""
    rng = random.Random(3)
    for seed in range(24):
        start, length = rng.choice([(0, 160), (PAGE, 160), (2 * PAGE, 90), (3 * PAGE, 64), (0, 0)])
        yield seed, start, length


@pytest.mark.parametrize(("seed", "start", "length"), flipped())
def test_flipped_bits_end_in_one_line_or_skipped_pictures(seed, start, length):
    path = put()
    body = path.read_bytes()
    part = body[start : start + length] if length else body
    (broken,) = damaged(part, seed, 0, 1)
    path.write_bytes(body[:start] + broken + body[start + len(part) :])
    try:
        colours, skipped = load()
        assert len(colours) + len(skipped) == len(VALUES)
    except console.Failed as error:
        line = str(error)
        assert ("\n" not in line and "cannot" in line) or "none of" in line, line


@pytest.mark.parametrize("cut", range(6))
def test_a_database_cut_anywhere(cut):
    path = put()
    size = path.stat().st_size
    os.truncate(path, random.Random(cut).randrange(size // 2))
    with pytest.raises(console.Failed, match="cannot read the database"):
        load()


def test_the_program_ends_with_one_line(tmp_path):
    meta(put(), 2**62)
    done = run_main(tmp_path, "--train", "--dataset", "lsun", status=1)
    assert done.stderr.startswith("main.py: cannot read the database data/lsun/bed_lmdb: it says")
    assert done.stderr.count("\n") == 1

"""Small parts that many tests build on."""

import csv
import io
import os
import random
import signal
import struct
import subprocess
import sys
import zlib
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import lmdb
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import console
import main
import utils
from benchmarks import whole
from commands import build
from config.resolve import resolve
from datasets import domains, packed
from runs import plots
from runs.run import Run
from training import average

# Two devices of one CPU, so that tests can have two replicas in one process.
_CPU, _ONE = tf.config.list_physical_devices("CPU")[0], tf.config.LogicalDeviceConfiguration()
tf.config.set_logical_device_configuration(_CPU, [_ONE, _ONE])

ROOT = Path(__file__).parents[1]
TINY = {
    "dataset": "digits",
    "output_height": 8,
    "g_width": (4,),
    "d_width": (4,),
    "z_dim": 4,
    "batch_size": 4,
    "critic_num": 2,
}


# These files have the longest tests. They run first, so that no process ends long after the other.
LONG = ("test_workers.py", "test_kill.py", "test_translate.py", "test_cli.py", "test_pggan.py")


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.path.name not in LONG)


@pytest.fixture
def make_trainer():
    """A function of flags that builds a tiny trainer."""

    def make(classes=10, channels=1, per_epoch=0, **given):
        c = resolve({**TINY, **given})
        spec = packed.ImageSpec(c.output_height, c.output_width, channels, 100, classes)
        return build.build_trainer(c, spec, per_epoch)

    return make


@pytest.fixture
def eager(monkeypatch):
    """Steps in this test are not compiled, which takes longer than a few of them.

    Batch-norm statistics are over fewer latents.
    """
    monkeypatch.setattr(average, "N_STATISTICS", 2 * average.CHUNK)
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture
def compiled(eager):
    """Steps in this test are compiled, although its file has the mark `eager`."""
    tf.config.run_functions_eagerly(False)


def batch(trainer, n=2, seed=0):
    """Random (images, labels) for one step of a trainer."""
    rng = np.random.default_rng(seed)
    shape = trainer.critic.inputs[0].shape[1:]
    images = rng.integers(0, 256, (n, trainer.batch_size, *shape), dtype=np.uint8)
    labels = rng.integers(0, max(trainer.classes, 1), (n, trainer.batch_size), dtype=np.int32)
    return images, labels


def values(state):
    """Every number of a trainer's state, by name, as arrays."""
    found = {}
    for name, part in state.items():
        variables = getattr(part, "variables", None) or [part]
        for i, variable in enumerate(variables):
            found[f"{name}/{i}"] = np.array(variable)
    return found


def same(a, b):
    """Are two states equal to the last bit? Gives the names that differ."""
    assert a.keys() == b.keys()
    return [name for name in a if not np.array_equal(a[name], b[name])]


def run_main(folder, *words, status):
    """Run the real command line in `folder`; return the finished process, of this exit status."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "main.py"), *map(str, words)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode == status, done.stdout + done.stderr
    return done


@pytest.fixture
def noted():
    """Notes that earlier tests have printed once are printed again."""
    console.note_once.cache_clear()
    yield
    console.note_once.cache_clear()


@pytest.fixture
def limited(tmp_path, monkeypatch):
    """A folder to work in, caches of its own, and two minutes for what may hang."""

    def stop(*_):
        raise AssertionError("it hangs")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(120)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def damaged(body, seed, cuts, flips):
    """Copies of some bytes: cut short at random places, and with one to four bits flipped."""
    rng = random.Random(seed)
    for _ in range(cuts):
        yield body[: rng.randrange(len(body))]
    for _ in range(flips):
        broken = bytearray(body)
        for _ in range(rng.randint(1, 4)):
            broken[rng.randrange(len(body))] ^= 1 << rng.randrange(8)
        yield bytes(broken)


@pytest.fixture
def handlers():
    """Signals have their default effect, also in a shell's background process, which ignores some.

    Processes that the test starts inherit that.
    """
    found = {number: signal.getsignal(number) for number in console.STOP_SIGNALS}
    for number in found:
        signal.signal(number, signal.SIG_DFL)
    yield
    for number, handler in found.items():
        signal.signal(number, handler)


def save_pixel(path, rows, names):
    """Write a tiny picture, as a stand-in for `plots._save_plot`."""
    assert rows and names
    utils.save_image(path, np.zeros((1, 1, 1), np.uint8))


@pytest.fixture
def cli(tmp_path, monkeypatch, capsys):
    """A function of words that runs main in a folder of its own: (status, stdout, stderr).

    Plots of the log are a pixel: to draw them takes a fifth of a short training.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(plots, "_save_plot", save_pixel)

    def run(*words):
        status = main.main(words)
        return status, *capsys.readouterr()

    return run


def folder_of_images(path, count=20, size=(12, 10), seed=0):
    rng = np.random.default_rng(seed)
    path.mkdir(parents=True)
    for i in range(count):
        pixels = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path / f"{i}.png")


def make_domains(path, counts=(5, 7, 3, 2), size=(20, 16)):
    """Write random images into trainA, trainB, testA and testB: so many each."""
    for seed, (folder, count) in enumerate(zip(domains.FOLDERS, counts)):
        folder_of_images(path / folder, count, size, seed)


def put_lmdb(folder, values):
    """Write an LMDB database as LSUN ships it; return the path of its `data.mdb`."""
    folder.mkdir(parents=True)
    with lmdb.open(str(folder), map_size=1 << 22) as env, env.begin(write=True) as transaction:
        for key, value in values.items():
            transaction.put(key, value)
    (folder / "lock.mdb").unlink()
    return folder / "data.mdb"


def checkpoint(folder, step):
    return whole.tensors(f"{folder}/ckpt-{step}")


def log_rows(folder):
    with open(Path(folder) / "metrics.csv", newline="") as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


# ---- pictures, and files that are none


def encoded(image, kind, **options):
    """The bytes of a Pillow image's file."""
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def webp(colour, side=8):
    """The bytes of a square WebP of one colour."""
    return encoded(Image.new("RGB", (side, side), colour), "WEBP", lossless=True)


def noise(width=24, height=20, mode="RGB", seed=0):
    """A random Pillow image."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


FORMATS = {"jpg": "JPEG", "png": "PNG", "gif": "GIF", "webp": "WEBP", "bmp": "BMP"}


def _chunk(name, body):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _png(width, height, bits=8, colour=2, body=b""):
    """A PNG whose header gives this size, whatever its body holds."""
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    return (
        b"\x89PNG\r\n\x1a\n" + header + _chunk(b"IDAT", zlib.compress(body)) + _chunk(b"IEND", b"")
    )


def _bmp(width, height):
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + head


def _gif(width, height):
    frame = b"\x2c" + struct.pack("<4HB", 0, 0, width, height, 0) + b"\x02\x02\x4c\x01\x00\x3b"
    return b"GIF89a" + struct.pack("<2H3B", width, height, 0x80, 0, 0) + bytes(6) + frame


def _text_bomb():
    """A small PNG with 50 MB of compressed text."""
    extra = _chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(50_000_000), 1))
    whole = encoded(noise(), "PNG")
    return whole[:33] + extra + whole[33:]


BAD_PICTURES = {  # file name → bytes that must be refused: no picture, or too large to decode
    **{f"empty.{suffix}": b"" for suffix in FORMATS},
    **{f"text.{suffix}": b"This is a text, and no picture.\n" * 9 for suffix in FORMATS},
    **{f"zeros.{suffix}": bytes(5000) for suffix in FORMATS},
    "page.jpg": b"<html><body>404</body></html>",
    "svg.png": b'<svg xmlns="http://www.w3.org/2000/svg"/>',
    "script.jpg": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n",
    "xpm.png": b'/* XPM */\nstatic char *a[] = {"1 1 1 1", "a c #ff0000", "a"};\n',
    "huge.png": _png(50_000, 50_000),
    "wide.png": _png(2**31 - 1, 1),
    "most.png": _png(2**31 - 1, 2**31 - 1),
    "none.png": _png(0, 0),
    "expands.png": _png(12_000, 12_000, 1, 0, bytes(1501 * 12_000)),
    "huge.bmp": _bmp(50_000, 50_000),
    "negative.bmp": _bmp(-5, 5),
    "huge.gif": _gif(65_535, 65_535),
    "text_bomb.png": _text_bomb(),
}


@pytest.fixture
def make_run(tmp_path):
    """A function that makes a Run in temporary folders."""

    def make(name="r"):
        return Run(name, *(tmp_path / d for d in ("checkpoint", "samples", "logs")))

    return make


def begin(run, resume=False, **settings):
    """Begin a run with these settings; return it."""
    run.begin({"dataset": "d", **settings}, {"height": 8}, resume=resume)
    return run


def sheet(value=0.0):
    """The images and columns of `Run.sample`: four gray images of one value in [-1, 1]."""
    return np.full((4, 8, 8, 1), value, np.float32), 2


def log_loss(run, step, loss=1.0):
    """Log a step's loss, after a tenth of a second a step."""
    run.log(step, 0, step / 10, {"loss": loss})

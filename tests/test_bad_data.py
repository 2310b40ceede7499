"""Broken and hostile files, most of them generated: they end in one line or a skipped picture.

Every case has a time limit.
"""

import gzip
import io
import os
import struct
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import console
import main
from commands import devices
from datasets import folders, known, packed
from tests.conftest import BAD_PICTURES, FORMATS, ROOT, damaged, encoded, noise

pytestmark = pytest.mark.usefixtures("limited")

RED, BLUE = (255, 0, 0), (0, 0, 255)


@pytest.fixture
def train(monkeypatch, capfd):
    """A function of flags that starts training and stops once the data are read.

    Returns (exit status, the one line on stderr, stdout); the status is "read" if the data
    could be read.
    """

    def stop(*_):
        raise console.Failed("read")

    monkeypatch.setattr(devices, "import_tensorflow", stop)

    def run(*flags):
        status = main.main(["--train", *map(str, flags)])
        out, err = capfd.readouterr()
        assert err.count("\n") == 1 and err.startswith("main.py: "), err
        line = err.removeprefix("main.py: ").rstrip()
        return ("read" if line == "read" else status), line, out

    return run


def numbered(found):
    return list(enumerate(found))


# ---- pictures


DAMAGED = [
    (f"{i}.{suffix}", body)
    for number, (suffix, kind) in enumerate(FORMATS.items())
    for i, body in numbered(damaged(encoded(noise(), kind), number, cuts=8, flips=12))
]


ODD_PICTURES = {  # unusual, but readable
    "one.png": encoded(Image.new("RGB", (1, 1), RED), "PNG"),
    "one.gif": encoded(Image.new("RGB", (1, 1), RED), "GIF"),
    "flat.png": encoded(Image.new("RGB", (20_000, 1), RED), "PNG"),
    "flat.jpg": encoded(Image.new("RGB", (20_000, 1), RED), "JPEG"),
    "tall.webp": encoded(Image.new("RGB", (1, 16_000), RED), "WEBP", lossless=True),
    "tall.bmp": encoded(Image.new("RGB", (1, 20_000), RED), "BMP"),
    "sixteen.png": encoded(Image.fromarray(np.full((9, 9), 257 * 140, np.uint16)), "PNG"),
    "cmyk.jpg": encoded(Image.new("CMYK", (9, 9), (0, 255, 255, 0)), "JPEG"),
    "moves.gif": encoded(
        Image.new("RGB", (9, 9), RED),
        "GIF",
        save_all=True,
        append_images=[Image.new("RGB", (9, 9), BLUE)],
    ),
    "moves.webp": encoded(
        Image.new("RGB", (9, 9), RED),
        "WEBP",
        save_all=True,
        lossless=True,
        append_images=[Image.new("RGB", (9, 9), BLUE)],
    ),
    "png_named.jpg": encoded(Image.new("RGB", (9, 9), RED), "PNG"),
    "clear.png": encoded(Image.new("RGBA", (9, 9), (*RED, 0)), "PNG"),
}


def load(*files, name="set"):
    """Write files, each (name, bytes), into a folder, and load it."""
    for file, body in files:
        path = os.path.join(os.fsencode("data"), os.fsencode(name), os.fsencode(file))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as stream:
            stream.write(body)
    return packed.load(
        name, reader=folders.read_folder, data_dir="data", cache_dir="cache", size=(8, 8), workers=2
    )


FIRST = ("a.png", encoded(Image.new("RGB", (8, 8), BLUE), "PNG"))


def pair(name, body, capfd):
    """Load a picture beside a good one; return whether it was read. If not, it must be named."""
    data = load(FIRST, ("b-" + name, body))
    out, err = capfd.readouterr()
    assert err == ""
    assert (data.images[0] == BLUE).all()
    if len(data.images) == 2:
        assert data.skipped == [] and data.images.shape == (2, 8, 8, 3)
        return True
    (skipped,) = data.skipped
    assert skipped.startswith(f"b-{name} (")
    assert f"skipped 1 of 2 images as unreadable: {skipped}\n" in out
    return False


@pytest.mark.parametrize(("name", "body"), DAMAGED, ids=[name for name, _ in DAMAGED])
def test_a_damaged_picture_is_read_or_named(name, body, capfd):
    pair(name, body, capfd)


@pytest.mark.parametrize("name", BAD_PICTURES)
def test_a_bad_picture_is_named(name, capfd):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Pillow's would be lines on stderr
        assert not pair(name, BAD_PICTURES[name], capfd)


@pytest.mark.parametrize("name", ODD_PICTURES)
def test_odd_pictures_are_read(name, capfd):
    assert pair(name, ODD_PICTURES[name], capfd)
    image = np.load(next(Path("cache").glob("*.npy")))[1]
    wanted = {"sixteen.png": (140,) * 3, "clear.png": (255,) * 3}.get(name, RED)
    np.testing.assert_allclose(image[4, 4], wanted, atol=2)


def test_no_program_is_started_for_a_picture(monkeypatch):
    """Pillow starts Ghostscript for an EPS file, whatever its name is."""

    def start(*_, **__):
        raise AssertionError("started")

    monkeypatch.setattr(subprocess, "Popen", start)
    monkeypatch.setattr(subprocess, "check_call", start)
    data = load(FIRST, ("b.jpg", BAD_PICTURES["script.jpg"]))
    assert data.skipped == ["b.jpg (UnidentifiedImageError)"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_files_and_folders_without_permission(capfd):
    load(FIRST, ("b.png", FIRST[1]), ("in/c.png", FIRST[1]))
    Path("data/set/b.png").chmod(0)
    assert load().skipped == ["b.png (Permission denied)"]
    Path("data/set/in").chmod(0)
    assert load().spec.count == 1
    assert "left out a folder" in capfd.readouterr().out
    Path("data/set/in").chmod(0o700)


def test_a_folder_without_permission_is_named(monkeypatch, capfd):
    """As above, but also when root runs the tests."""
    real = os.scandir

    def scan(path):
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    load(FIRST, ("closed/b.png", FIRST[1]))
    monkeypatch.setattr(os, "scandir", scan)
    capfd.readouterr()
    assert load().spec.count == 1
    assert "left out a folder: [Errno 13] Permission denied" in capfd.readouterr().out


def test_circular_links():
    load(FIRST)
    here = Path("data/set")
    (here / "self.png").symlink_to("self.png")
    (here / "ping").symlink_to("pong")
    (here / "pong").symlink_to("ping")
    (here / "up").symlink_to("..")
    (here / "deep").mkdir()
    (here / "deep" / "again").symlink_to("../deep")
    assert load().spec.count == 1


@pytest.mark.parametrize("where", ["data/loop", "data/none"])
def test_a_data_set_that_is_a_circular_link(where, train):
    Path("data").mkdir()
    Path("data/loop").symlink_to("loop")
    status, line, _ = train("--dataset", where)
    assert status == 1 and line.startswith(f"no folder {where}: ")


ODD_NAMES = [
    b"b\xff\xfe.png",
    b"b\n\x1b[31m.png",
    "b\u202e\u2028.png".encode(),
    "bé 猫.png".encode(),
]
SHOWN = [r"b\udcff\udcfe.png", r"b\n\x1b[31m.png", r"b\u202e\u2028.png", "bé 猫.png"]


@pytest.mark.parametrize(("name", "shown"), zip(ODD_NAMES, SHOWN), ids=range(4))
def test_odd_names_are_printed_in_one_line(name, shown, train):
    Path("data/set").mkdir(parents=True)
    Path("data/set", os.fsdecode(name)).write_bytes(b"no picture")
    status, line, _ = train("--dataset", "set")
    assert (status, line) == (
        1,
        f"none of 1 images can be read, the first is {shown} (UnidentifiedImageError)",
    )
    load(FIRST)
    for _ in range(2):  # as packed, and from the cache
        status, _, out = train("--dataset", "set")
        assert status == "read"
        assert f"skipped 1 of 2 images as unreadable: {shown} (Unid" in out


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_odd_names_on_any_terminal(encoding, tmp_path):
    load(FIRST)
    for name in ODD_NAMES:
        Path("data/set", os.fsdecode(name)).write_bytes(b"no picture")
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONPATH": str(ROOT)}
    code = "import main, sys; sys.exit(main.main(sys.argv[1:]))"
    argv = ["--train", "--dataset", "set", "--device", "gpu:99"]
    done = subprocess.run(
        [sys.executable, "-c", code, *argv],
        capture_output=True,
        env=environment,
        check=False,
        timeout=120,
    )
    assert done.returncode == 1 and done.stderr.startswith(b"main.py: --device=gpu:99"), done.stderr
    assert done.stderr.count(b"\n") == 1
    line = next(x for x in done.stdout.decode(encoding).splitlines() if x.startswith("skipped 4 "))
    cat = "bé 猫.png" if encoding == "utf-8" else r"b\xe9 \u732b.png"
    assert all(name in line for name in (*SHOWN[:3], cat))


# ---- MNIST and CIFAR-10

IMAGES = np.random.default_rng(0).integers(0, 256, (12, 28, 28), dtype=np.uint8)
LABELS = np.arange(12, dtype=np.uint8) % 10


def idx(array, shape=None):
    shape = shape or array.shape
    return struct.pack(f">{1 + len(shape)}I", 0x800 + len(shape), *shape) + array.tobytes()


def idx_files(images=None, labels=None):
    Path("data/mnist").mkdir(parents=True)
    Path("data/mnist/train-images-idx3-ubyte").write_bytes(images or idx(IMAGES))
    Path("data/mnist/train-labels-idx1-ubyte").write_bytes(labels or idx(LABELS))


def mnist():
    return known.read_mnist(Path("data/mnist"))


def refused(read):
    """Return the one line that reading fails with."""
    with pytest.raises(console.Failed) as caught:
        read()
    line = console.plain(str(caught.value))
    assert line == str(caught.value) and line.startswith("cannot read"), line
    return line


HEADERS = numbered(head + idx(IMAGES)[16:] for head in damaged(idx(IMAGES)[:16], 7, 0, 25))
WRONG_SHAPES = {
    "many": (2**32 - 1, 28, 28),
    "most": (2**32 - 1,) * 3,
    "wraps to nothing": (2**31, 2**31, 4),
    "wraps to itself": (2**32 - 1, 2**32 - 1, 9408),
    "no images": (0, 28, 28),
    "no pixels": (12, 0, 28),
    "billions without a pixel": (2**32 - 1, 0, 0),
    "one more": (13, 28, 28),
    "one less": (11, 28, 28),
}


@pytest.mark.parametrize("body", [b for _, b in HEADERS], ids=[i for i, _ in HEADERS])
def test_a_damaged_idx_header(body):
    idx_files(body)
    refused(mnist)


@pytest.mark.parametrize("empty", [False, True])
@pytest.mark.parametrize("shape", WRONG_SHAPES.values(), ids=WRONG_SHAPES)
def test_a_wrong_shape_in_an_idx_header(shape, empty, train):
    idx_files(idx(IMAGES[:0] if empty else IMAGES, shape), idx(LABELS[:0]) if empty else None)
    status, line, _ = train("--dataset", "mnist")
    assert status == 1 and line.startswith("cannot read data/mnist/train-images-idx3-ubyte: it")


@pytest.mark.parametrize("number", [10, 255])
def test_a_label_above_9(number):
    idx_files(None, idx(np.array([*LABELS[:11], number], np.uint8)))
    assert refused(mnist).endswith(f"a label is {number}, not 0 to 9")


GZIPPED = numbered(damaged(gzip.compress(idx(IMAGES), mtime=0), 8, cuts=8, flips=20))


@pytest.mark.parametrize("body", [b for _, b in GZIPPED], ids=[i for i, _ in GZIPPED])
def test_a_damaged_gzip(body):
    idx_files()
    os.remove("data/mnist/train-images-idx3-ubyte")
    Path("data/mnist/train-images-idx3-ubyte.gz").write_bytes(body)
    Path("data/mnist/train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(LABELS)))
    try:
        np.testing.assert_array_equal(mnist().images[..., 0], IMAGES)  # a bit of its date
    except console.Failed as error:
        assert "cannot read" in str(error)


def npz(**arrays):
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    return stream.getvalue()


def npz_file(body):
    Path("data/mnist").mkdir(parents=True, exist_ok=True)
    Path("data/mnist/mnist.npz").write_bytes(body)


ZIPPED = numbered(damaged(npz(x_train=IMAGES, y_train=LABELS), 9, cuts=8, flips=20))


@pytest.mark.parametrize("body", [b for _, b in ZIPPED], ids=[i for i, _ in ZIPPED])
def test_a_damaged_npz(body):
    npz_file(body)
    try:
        np.testing.assert_array_equal(mnist().images[..., 0], IMAGES)
    except console.Failed as error:
        assert "cannot read" in str(error) and "\n" not in str(error)


NPZ = {
    "labels of text": (IMAGES, np.array(["1"] * 12)),
    "labels of floats": (IMAGES, LABELS.astype(float)),
    "labels not a number": (IMAGES, np.full(12, np.nan)),
    "labels of a second rank": (IMAGES, LABELS[:, None]),
    "one label": (IMAGES[0], np.array(3)),
    "negative labels": (IMAGES, LABELS.astype(int) - 1),
    "labels of 10": (IMAGES, LABELS + 1),
    "labels too large": (IMAGES, np.full(12, 2**64 - 1, np.uint64)),
    "labels of records": (IMAGES, np.zeros(12, [("a", "u1")])),
    "labels of dates": (IMAGES, np.zeros(12, "M8[s]")),
    "signed images": (IMAGES.astype(np.int8), LABELS),
    "images of text": (np.full((12, 28, 28), "a"), LABELS),
    "images of a fourth rank": (IMAGES[..., None], LABELS),
    "no images": (IMAGES[:0], LABELS[:0]),
    "no pixels": (np.zeros((12, 0, 28), np.uint8), LABELS),
    "billions without a pixel": (np.zeros((10**9, 0, 28), np.uint8), LABELS),
}


@pytest.mark.parametrize(("images", "labels"), NPZ.values(), ids=NPZ)
def test_an_npz_of_wrong_arrays(images, labels, train):
    npz_file(npz(x_train=images, y_train=labels))
    status, line, _ = train("--dataset", "mnist")
    assert status == 1 and "data/mnist/mnist.npz" in line


class Trap:
    """Makes a folder when it is unpickled."""

    def __reduce__(self):
        return os.mkdir, ("sprung",)


@pytest.mark.parametrize("name", ["x_train", "y_train"])
def test_a_pickle_is_never_opened(name, train):
    npz_file(npz(**{"x_train": IMAGES, "y_train": LABELS, name: np.array([Trap()] * 12, object)}))
    status, line, _ = train("--dataset", "mnist")
    assert status == 1 and "allow_pickle=False" in line
    assert not Path("sprung").exists()
    np.load("data/mnist/mnist.npz", allow_pickle=True)[name]  # the trap is a real one
    assert Path("sprung").exists()


RECORD = bytes([3]) + bytes(3072)
CIFAR = {
    "nothing": b"",
    "a byte": b"\1",
    "half": RECORD[:1500],
    "one and a half": RECORD + RECORD[:1500],
    "one too long": RECORD + b"\0",
    "a label of 10": RECORD + bytes([10]) + bytes(3072),
    "a label of 255": bytes([255]) + bytes(3072),
    "a pickle": b"\x80\x04cos\nsystem\n",
}


@pytest.mark.parametrize("body", CIFAR.values(), ids=CIFAR)
def test_a_broken_cifar10(body, train):
    Path("data/cifar10").mkdir(parents=True)
    Path("data/cifar10/data_batch_1.bin").write_bytes(body)
    status, line, _ = train("--dataset", "cifar10")
    assert status == 1 and line.startswith("cannot read data/cifar10")


def test_cifar10_of_a_folder_and_a_pipe(train, monkeypatch):
    monkeypatch.setattr(known, "CIFAR_TAR", "file:///nowhere")
    Path("data/cifar10/data_batch_1.bin").mkdir(parents=True)
    os.mkfifo("data/cifar10/data_batch_2.bin")  # would wait for ever
    status, line, _ = train("--dataset", "cifar10")
    assert status == 1 and line.startswith("no CIFAR-10")

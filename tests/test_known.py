"""The readers of digits, MNIST and CIFAR-10."""

import gzip
import hashlib
import io
import os
import shutil
import struct
import sys
import tarfile
import types
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import console
import utils
from datasets import known, packed

ROOT = Path(__file__).parents[1]
REAL = Path(__file__).parents[2] / "shared/data/mnist"
REAL_MD5 = "6bbc9ace898e44ae57da46a324031adb"


@pytest.fixture(autouse=True)
def keras_home(tmp_path, monkeypatch):
    """An empty folder for Keras, and no network."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    offline(monkeypatch)
    return tmp_path / "keras"


def fake_keras(monkeypatch, get_file):
    for name in ("keras", "keras.utils"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    sys.modules["keras.utils"].get_file = get_file


def offline(monkeypatch, message="no network"):
    def get_file(*_, **__):
        raise OSError(message)

    fake_keras(monkeypatch, get_file)


def digit_set(count=3, seed=0, side=28):
    """Return random images [N, side, side] and labels [N]."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (count, side, side), dtype=np.uint8)
    return images, rng.integers(0, 10, count).astype(np.uint8)


def idx(array, magic=None):
    """Return the bytes of an IDX file."""
    header = struct.pack(f">{1 + array.ndim}I", magic or 0x800 + array.ndim, *array.shape)
    return header + array.tobytes()


def put(path, body):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(body, 1) if path.suffix == ".gz" else body)
    return path


def put_idx(folder, images, labels, dash="-", suffix="", part="train"):
    put(folder / f"{part}-labels{dash}idx1-ubyte{suffix}", idx(labels))
    return put(folder / f"{part}-images{dash}idx3-ubyte{suffix}", idx(images))


def put_npz(path, images, labels, part="train"):
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **{f"x_{part}": images, f"y_{part}": labels})
    return path


def check(source, images, labels, classes=tuple("0123456789")):
    """Assert that a source holds these images and labels."""
    np.testing.assert_array_equal(source.images[..., 0], images)
    np.testing.assert_array_equal(source.labels, labels)
    assert source.images.shape == (*images.shape, 1) and source.images.dtype == np.uint8
    assert len(source.names) == len(images) == len(set(source.names))
    assert source.classes == classes


def failure(path, named, read=known.read_mnist):
    """Return the error of a reader of IDX files, one line that must contain `named`."""
    with pytest.raises(console.Failed) as error:
        read(path)
    line = str(error.value)
    assert "\n" not in line and str(named) in line, line
    return line


# ---- digits


def test_digits():
    source = known.read_digits(Path("nowhere"))
    assert source.images.shape == (1797, 8, 8, 1) and source.images.dtype == np.uint8
    assert source.images.min() == 0 and source.images.max() == 255  # 16 levels, spread
    assert len(np.unique(source.images)) == 17
    assert len(source.labels) == len(source.names) == 1797
    assert sorted(set(source.labels.tolist())) == list(range(10))
    assert source.classes == tuple("0123456789")


def test_digits_are_enlarged_when_packed(tmp_path):
    data = packed.load(
        "digits",
        reader=known.read_digits,
        data_dir=tmp_path,
        cache_dir=tmp_path / "cache",
        size=(10, 10),
        conditional=True,
    )
    assert data.spec == packed.ImageSpec(10, 10, 1, 1797, 10)
    source = known.read_digits(tmp_path)
    expected = utils.load_image(Image.fromarray(source.images[5, ..., 0]), (10, 10), 1)
    np.testing.assert_array_equal(data.images[5], expected)
    np.testing.assert_array_equal(data.labels, source.labels)


# ---- where MNIST is found


@pytest.mark.parametrize("dash", ["-", "."])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_mnist_from_idx_files(tmp_path, dash, suffix):
    images, labels = digit_set()
    put_idx(tmp_path, images, labels, dash, suffix)
    check(known.read_mnist(tmp_path), images, labels)


def test_mnist_reads_the_training_images(tmp_path):
    put_idx(tmp_path, *digit_set(5), part="t10k")
    images, labels = digit_set(seed=1)
    put_idx(tmp_path, images, labels)
    check(known.read_mnist(tmp_path), images, labels)


def test_mnist_from_npz(tmp_path):
    images, labels = digit_set()
    put_npz(tmp_path / "mnist.npz", images, labels)
    check(known.read_mnist(tmp_path), images, labels)


def test_mnist_from_the_cache_of_keras(tmp_path, keras_home):
    images, labels = digit_set()
    put_npz(keras_home / "datasets" / "mnist.npz", images, labels)
    check(known.read_mnist(tmp_path / "nothing"), images, labels)


@pytest.mark.parametrize("value", ["", None])
def test_mnist_from_the_cache_in_the_home(tmp_path, monkeypatch, value):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KERAS_HOME")
    if value is not None:
        monkeypatch.setenv("KERAS_HOME", value)
    images, labels = digit_set()
    put_npz(tmp_path / ".keras" / "datasets" / "mnist.npz", images, labels)
    check(known.read_mnist(tmp_path / "nothing"), images, labels)


def test_mnist_order_of_preference(tmp_path, keras_home):
    places = [
        put_idx(tmp_path, *digit_set(seed=0)),
        put_idx(tmp_path, *digit_set(seed=1), suffix=".gz"),
        put_idx(tmp_path, *digit_set(seed=2), dash="."),
        put_idx(tmp_path, *digit_set(seed=3), dash=".", suffix=".gz"),
        put_npz(tmp_path / "mnist.npz", *digit_set(seed=4)),
        put_npz(keras_home / "datasets" / "mnist.npz", *digit_set(seed=5)),
    ]
    for seed, place in enumerate(places):
        check(known.read_mnist(tmp_path), *digit_set(seed=seed))
        place.unlink()
    failure(tmp_path, tmp_path)


def test_mnist_needs_images_and_labels(tmp_path):
    images, labels = digit_set(seed=1)
    put_npz(tmp_path / "mnist.npz", images, labels)
    put_idx(tmp_path, *digit_set()).unlink()
    check(known.read_mnist(tmp_path), images, labels)


def downloader(body):
    """Return a stand-in for Keras' get_file, which takes a file name without a folder."""

    def get_file(fname=None, origin=None, cache_subdir="datasets", file_hash=None, cache_dir=None):
        if os.sep in fname:
            raise ValueError("Paths are no longer accepted as the `fname` argument")
        assert (origin, file_hash) == (known.MNIST_NPZ, known.MNIST_SHA256)
        assert os.access(cache_dir, os.W_OK)
        return str(put(Path(cache_dir) / cache_subdir / fname, body))

    return get_file


def test_mnist_is_downloaded_into_the_cache_of_keras(tmp_path, keras_home, monkeypatch):
    images, labels = digit_set()
    body = put_npz(tmp_path / "served.npz", images, labels).read_bytes()
    fake_keras(monkeypatch, downloader(body))
    check(known.read_mnist(tmp_path / "nothing"), images, labels)
    assert (keras_home / "datasets" / "mnist.npz").read_bytes() == body
    offline(monkeypatch)  # from now on it is there
    check(known.read_mnist(tmp_path / "nothing"), images, labels)


def test_download_is_checked_by_its_sha256():
    assert len(known.MNIST_SHA256) == 64 and int(known.MNIST_SHA256, 16)
    assert known.MNIST_NPZ.startswith("https://")


def test_download_hides_what_libraries_log(tmp_path, monkeypatch, capfd):
    greeting = "import os\nos.write(2, b'oneDNN custom operations are on')\n"
    (tmp_path / "keras").mkdir()
    (tmp_path / "keras" / "__init__.py").write_text(greeting)
    (tmp_path / "keras" / "utils.py").write_text("def get_file(*a, **b): raise OSError('off')")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("keras", "keras.utils"):  # set by the fixture, so that both are put back
        del sys.modules[name]
    assert "(off)" in failure(tmp_path / "nothing", tmp_path)
    assert capfd.readouterr().err == ""


def test_no_mnist_anywhere(tmp_path, keras_home, monkeypatch):
    offline(monkeypatch, "URL fetch failure:\nno such host")
    line = failure(tmp_path / "mnist", tmp_path / "mnist")
    for part in (
        "train-images-idx3-ubyte(.gz)",
        f"mnist.npz in {tmp_path / 'mnist'}",
        str(keras_home / "datasets" / "mnist.npz"),
        "URL fetch failure: no such host",
        f"put the files of {known.MNIST_NPZ} into {tmp_path / 'mnist'}",
        "--dataset digits",
    ):
        assert part in line, part


# ---- broken files of MNIST

IMAGES, LABELS = digit_set()
IDX_FAULTS = {
    "empty": b"",
    "short magic": idx(IMAGES)[:3],
    "wrong magic": idx(IMAGES, 0x0903),  # signed bytes
    "little-endian": idx(IMAGES, 0x03080000),
    "labels for images": idx(LABELS),
    "rank 2": idx(IMAGES[0]),
    "cut header": idx(IMAGES)[:10],
    "short body": idx(IMAGES)[:-1],
    "long body": idx(IMAGES) + b"\0",
    "no body": idx(IMAGES)[:16],
    "huge count": struct.pack(">4I", 0x803, 2**32 - 1, 2**32 - 1, 2**32 - 1) + b"12",
}


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("body", IDX_FAULTS.values(), ids=IDX_FAULTS)
def test_mnist_of_a_faulty_idx_file(tmp_path, body, suffix):
    path = put_idx(tmp_path, IMAGES, LABELS, suffix=suffix)
    put(path, body)
    assert failure(tmp_path, path).startswith("cannot read")


@pytest.mark.parametrize("body", [idx(IMAGES), idx(LABELS)[:-1], b""], ids=["images", "cut", "no"])
def test_mnist_of_faulty_labels(tmp_path, body):
    put_idx(tmp_path, IMAGES, LABELS)
    failure(tmp_path, put(tmp_path / "train-labels-idx1-ubyte", body))


GZIP_FAULTS = {
    "cut": lambda body: body[:-20],
    "cut at its start": lambda body: body[:5],
    "not gzip": lambda body: idx(IMAGES),
    "wrong checksum": lambda body: body[:-8] + b"\1\2\3\4" + body[-4:],
    "wrong length": lambda body: body[:-4] + b"\1\2\3\4",
    "wrong codes": lambda body: body[:10] + b"\xff\xff" + body[12:],
}


@pytest.mark.parametrize("change", GZIP_FAULTS.values(), ids=GZIP_FAULTS)
def test_mnist_of_a_faulty_gzip_file(tmp_path, change):
    path = put_idx(tmp_path, IMAGES, LABELS, suffix=".gz")
    path.write_bytes(change(path.read_bytes()))
    assert failure(tmp_path, path).startswith("cannot read")


def test_mnist_of_unequal_counts(tmp_path):
    path = put_idx(tmp_path, IMAGES, LABELS[:2])
    line = failure(tmp_path, path)
    assert "3 images" in line and "2 labels" in line


def test_mnist_npz_of_unequal_counts(tmp_path):
    path = put_npz(tmp_path / "mnist.npz", IMAGES[:2], LABELS)
    line = failure(tmp_path, path)
    assert "2 images" in line and "3 labels" in line


NPZ_FAULTS = {
    "pickled images": {"x_train": np.array([{}, {}], object), "y_train": LABELS},
    "pickled labels": {"x_train": IMAGES, "y_train": np.array(["1", 2, None], object)},
    "no labels": {"x_train": IMAGES},
    "no images": {"y_train": LABELS},
    "other names": {"images": IMAGES, "labels": LABELS},
    "floats": {"x_train": IMAGES / 255, "y_train": LABELS},
    "flat": {"x_train": IMAGES.reshape(3, -1), "y_train": LABELS},
    "a long header": {"x_train": np.zeros(1, [(f"f{i}", "u1") for i in range(999)])},
}


@pytest.mark.parametrize("arrays", NPZ_FAULTS.values(), ids=NPZ_FAULTS)
def test_mnist_of_a_faulty_npz(tmp_path, arrays):
    np.savez(tmp_path / "mnist.npz", **arrays)
    assert failure(tmp_path, tmp_path / "mnist.npz").startswith("cannot read")


class Trap:
    def __reduce__(self):
        return os.mkdir, ("sprung",)


def test_mnist_npz_never_runs_a_pickle(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("mnist.npz", x_train=np.array([Trap()], object), y_train=LABELS[:1])
    failure(tmp_path, tmp_path / "mnist.npz")
    assert not Path("sprung").exists()
    with np.load("mnist.npz", allow_pickle=True) as arrays:  # the trap is a real one
        arrays["x_train"]
    assert Path("sprung").exists()


BODY_FAULTS = {
    "empty": lambda body: b"",
    "text": lambda body: b"<html>not found</html>",
    "cut": lambda body: body[: len(body) // 2],
    "one bit": lambda body: body[:500] + bytes([body[500] ^ 1]) + body[501:],
    "npy": lambda body: body[body.index(b"\x93NUMPY") : body.index(b"PK", 100)],
}


@pytest.mark.parametrize("change", BODY_FAULTS.values(), ids=BODY_FAULTS)
@pytest.mark.parametrize("place", ["data", "keras/datasets"])
def test_mnist_of_a_broken_npz(tmp_path, change, place):
    path = put_npz(tmp_path / place / "mnist.npz", IMAGES, LABELS)
    path.write_bytes(change(path.read_bytes()))
    assert failure(tmp_path / "data", path).startswith("cannot read")


# ---- sources of arrays


def test_signature_changes_with_the_images(tmp_path):
    signatures = []
    for change in (0, 0, 1):
        images = IMAGES.copy()
        images[2, 9, 9] += change
        put_idx(tmp_path, images, LABELS)
        signatures.append(known.read_mnist(tmp_path).signature)
    assert signatures[0] == signatures[1] != signatures[2]


def test_arrays_open_as_images(tmp_path):
    put_idx(tmp_path, IMAGES, LABELS)
    image = known.read_mnist(tmp_path).open(1)
    assert image.mode == "L"
    np.testing.assert_array_equal(np.asarray(image), IMAGES[1])


# ---- CIFAR-10


def cifar(path, records, names=("data_batch_1",)):
    path.mkdir(parents=True, exist_ok=True)
    for name in names:
        (path / f"{name}.bin").write_bytes(b"".join(records))


def test_cifar10_planes_become_pixels(tmp_path):
    planes = bytes([1] * 1024 + [2] * 1024 + [3] * 1023 + [9])
    cifar(tmp_path / "cifar-10-batches-bin", [bytes([7]) + planes, bytes([0]) + planes])
    source = known.read_cifar10(tmp_path)
    assert source.images.shape == (2, 32, 32, 3)
    assert source.images[0, 0, 0].tolist() == [1, 2, 3]
    assert source.images[1, 31, 31].tolist() == [1, 2, 9]
    assert source.labels.tolist() == [7, 0]
    assert source.open(0).size == (32, 32)
    assert source.open(0).getpixel((0, 0)) == (1, 2, 3)


@pytest.mark.parametrize(
    ("records", "says"),
    [([b"abc"], "data_batch_1.bin"), ([bytes([10]) + bytes(3072)], "label is 10"), ([], "data_b")],
)
def test_cifar10_of_faulty_records(tmp_path, records, says):
    cifar(tmp_path, records)
    with pytest.raises(console.Failed, match=says):
        known.read_cifar10(tmp_path)


def test_cifar10_with_files_missing_is_told(tmp_path, monkeypatch):
    cifar(tmp_path, [bytes(known.CIFAR_RECORD)] * 2)
    says = f"2 images of CIFAR-10, not 50,000, are in {tmp_path / 'data_batch_1.bin'}"
    assert known.read_cifar10(tmp_path).notes == (says,)
    monkeypatch.setitem(known.CIFAR_COUNTS, "train", 2)
    assert known.read_cifar10(tmp_path).notes == ()


def test_no_cifar10(tmp_path):
    with pytest.raises(console.Failed, match="no CIFAR-10"):
        known.read_cifar10(tmp_path)


# ---- Fashion-MNIST, and downloads


def serve(monkeypatch, folder):
    """Let the readers download from a folder, by Keras' own function."""
    for name in ("keras", "keras.utils"):
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(known, "STORAGE", f"file://{folder}/")
    monkeypatch.setattr(known, "CIFAR_TAR", f"file://{folder}/cifar.tar.gz")


def md5(path):
    return hashlib.md5(path.read_bytes()).hexdigest()


@pytest.fixture
def fashion(tmp_path, monkeypatch):
    """Two images of each part on a server; returns {part: (images, labels)}."""
    parts = {"train": digit_set(2, seed=1), "test": digit_set(2, seed=2)}
    for part, arrays in parts.items():
        put_idx(tmp_path / "served", *arrays, suffix=".gz", part=known.IDX_PARTS[part])
    sums = {name: md5(tmp_path / "served" / name) for name in known.FASHION_MD5}
    monkeypatch.setattr(known, "FASHION_MD5", sums)
    serve(monkeypatch, tmp_path / "served")
    return parts


def test_fashion_mnist_is_downloaded_into_the_cache_of_keras(tmp_path, keras_home, fashion):
    for part in ("test", "train", "train"):
        check(known.read_fashion_mnist(tmp_path / "no", part=part), *fashion[part], known.CLOTHES)
        shutil.rmtree(tmp_path / "served", ignore_errors=part == "train")  # nothing is served
        if part == "test":
            put_idx(tmp_path / "served", *fashion["train"], suffix=".gz")
    assert sorted(os.listdir(keras_home / "datasets/fashion-mnist")) == sorted(known.FASHION_MD5)
    source = known.read_fashion_mnist(tmp_path / "no")
    assert source.name == "fashion_mnist" and source.classes[9] == "Ankle boot"


def test_fashion_mnist_in_data_dir_comes_first(tmp_path, fashion):
    put_idx(tmp_path / "here", *digit_set(4))
    check(known.read_fashion_mnist(tmp_path / "here"), *digit_set(4), known.CLOTHES)
    check(known.read_fashion_mnist(tmp_path / "here", part="test"), *fashion["test"], known.CLOTHES)


def test_no_reader_takes_the_files_of_another_set(tmp_path, keras_home):
    put_npz(keras_home / "datasets" / "mnist.npz", *digit_set())
    put_npz(tmp_path / "set" / "mnist.npz", *digit_set())
    put_idx(keras_home / "datasets", *digit_set())
    line = failure(tmp_path / "set", "no Fashion-MNIST", known.read_fashion_mnist)
    assert "train-images-idx3-ubyte(.gz)" in line and f"put the files of {known.STORAGE}" in line
    put_idx(keras_home / "datasets" / "fashion-mnist", *digit_set())
    (keras_home / "datasets" / "mnist.npz").unlink()
    failure(tmp_path / "none", "no MNIST")
    failure(tmp_path / "none", "no CIFAR-10", known.read_cifar10)


def test_a_download_that_is_cut_short_or_changed(tmp_path, keras_home, fashion):
    file = tmp_path / "served" / "train-images-idx3-ubyte.gz"
    body = file.read_bytes()
    for wrong in (body[:-9], body + b"1", b"<html>", None):
        file.unlink() if wrong is None else file.write_bytes(wrong)
        line = failure(tmp_path / "no", tmp_path / "no", known.read_fashion_mnist)
        reason = "URL fetch failure" if wrong is None else "Incomplete or corrupted file"
        assert reason in line and "Try again" in line
        assert os.listdir(keras_home / "datasets/fashion-mnist") == []  # nothing is left behind
    file.write_bytes(body)
    check(known.read_fashion_mnist(tmp_path / "no"), *fashion["train"], known.CLOTHES)


def test_an_interrupted_download_says_what_to_do(tmp_path, keras_home, monkeypatch):
    def get_file(name, *_, cache_dir, cache_subdir, **__):
        put(Path(cache_dir) / cache_subdir / name, b"half")
        raise KeyboardInterrupt

    fake_keras(monkeypatch, get_file)
    with pytest.raises(KeyboardInterrupt, match=r"the download of .* begins anew"):
        known.read_mnist(tmp_path)
    assert os.listdir(keras_home / "datasets") == []


def put_tar(path, files):
    with tarfile.open(path, "w:gz") as archive:
        for name, body in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(body)
            archive.addfile(member, io.BytesIO(body))


def test_cifar10_is_downloaded_and_unpacked(tmp_path, keras_home, monkeypatch):
    (tmp_path / "served").mkdir()
    served = tmp_path / "served/cifar.tar.gz"
    record = bytes([3]) + bytes(3071) + b"\7"
    names = ("data_batch_1.bin", "test_batch.bin", "readme.html")
    files = {f"{known.CIFAR_FOLDER}/{name}": record for name in names}
    put_tar(served, {**files, "../outside": b"x"})  # refused as a whole
    monkeypatch.setattr(known, "CIFAR_MD5", md5(served))
    serve(monkeypatch, served.parent)
    line = failure(tmp_path / "cifar10", "no CIFAR-10", known.read_cifar10)
    assert "outside" in line and os.listdir(keras_home / "datasets") == []
    put_tar(served, files)
    line = failure(tmp_path / "cifar10", tmp_path / "cifar10", known.read_cifar10)
    assert "Incomplete or corrupted file" in line and os.listdir(keras_home / "datasets") == []
    monkeypatch.setattr(known, "CIFAR_MD5", md5(served))
    for part in ("train", "test"):
        source = known.read_cifar10(tmp_path / "cifar10", part=part)
        assert source.images.shape == (1, 32, 32, 3) and source.images[0, 31, 31, 2] == 7
        assert source.classes[source.labels[0]] == "cat" and len(source.classes) == 10
        served.unlink(missing_ok=True)
    assert os.listdir(keras_home / "datasets") == [known.CIFAR_FOLDER]
    assert not (tmp_path / "outside").exists() and not (keras_home / "outside").exists()


def test_the_published_checksums():
    assert all(len(int(x, 16).to_bytes(16)) == 16 for x in known.FASHION_MD5.values())
    assert len(known.FASHION_MD5) == len({*known.FASHION_MD5.values()}) == 4
    assert len(known.CIFAR_MD5) == 32 and known.CIFAR_TAR.startswith("https://")
    assert len({*known.CLOTHES}) == len({*known.THINGS}) == 10


# ---- the real MNIST

real = pytest.mark.skipif(not REAL.is_dir(), reason="MNIST is not in ../shared/data/mnist")


@real
def test_real_mnist():
    source = known.read_mnist(REAL)
    assert source.images.shape == (60000, 28, 28, 1)
    counts = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]  # of the digits 0 to 9
    assert np.bincount(source.labels).tolist() == counts
    header = struct.pack(">4I", 0x803, 60000, 28, 28)
    assert hashlib.md5(header + source.images.tobytes()).hexdigest() == REAL_MD5

"""Readers of data sets of one fixed format: digits, MNIST and others. Imports no TensorFlow.

A reader is called as `reader(path, pattern=, conditional=)` and returns a `packed.Source`. The
readers here ignore `pattern` and `conditional`: they return all images and their labels. `part`,
"train" or "test", selects the training or the test images.
"""

import gzip
import hashlib
import math
import os
import struct
import tarfile
import zlib
from pathlib import Path

import numpy as np

import console
import files
import locks
import utils
from datasets.packed import Source

CIFAR_RECORD = 1 + 3 * 32 * 32  # bytes: the label, then the planes of red, green and blue
STORAGE = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"
MNIST_NPZ = STORAGE + "mnist.npz"
MNIST_SHA256 = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"
FASHION_MD5 = {  # files of each part, the images before the labels
    "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
    "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
    "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
}
CIFAR_TAR = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
CIFAR_MD5 = "c32a1d4ab5d03f1284b67883e8d87530"
CIFAR_COUNTS = {"train": 50_000, "test": 10_000}
CIFAR_FOLDER = "cifar-10-batches-bin"  # in the archive, and in the cache

IDX_PARTS = {"train": "train", "test": "t10k"}  # part → start of the names of its IDX files
DIGITS = tuple("0123456789")
CLOTHES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat")
CLOTHES += ("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
THINGS = ("airplane", "automobile", "bird", "cat", "deer")
THINGS += ("dog", "frog", "horse", "ship", "truck")


def read_digits(path, *, pattern="*", conditional=True):
    """Read the 1,797 handwritten digits that scikit-learn ships, uint8 [1797, 8, 8, 1]."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.round(digits.images * (255 / 16)).astype(np.uint8)[..., None]
    return _array_source("digits", images, digits.target, "scikit-learn")


def read_mnist(path, *, pattern="*", conditional=True, part="train"):
    """Read MNIST's 60,000 training images, or its 10,000 test images, uint8 [N, 28, 28, 1].

    Looks for IDX files in `path`, then `mnist.npz` in `path`, then `mnist.npz` in the cache of
    Keras. If there is none, downloads `mnist.npz` into that cache.

    Raises:
      console.Failed: if a file is broken, or none is found and the download fails.
    """
    for images, labels in _idx_pairs(path, IDX_PARTS[part]):
        return _idx_source("mnist", images, labels)
    cached = _keras_cache() / "mnist.npz"
    for file in (path / "mnist.npz", cached):
        if file.is_file():
            return _array_source("mnist", *_read_npz(file, part), file)
    looked = f"looked for train-images-idx3-ubyte(.gz) and mnist.npz in {path}, for {cached}"
    _download(MNIST_NPZ, MNIST_SHA256, cached, f"no MNIST: {looked}", path)
    return _array_source("mnist", *_read_npz(cached, part), cached)


def read_fashion_mnist(path, *, pattern="*", conditional=True, part="train"):
    """Read Fashion-MNIST's 60,000 training or 10,000 test images, uint8 [N, 28, 28, 1].

    Looks for IDX files in `path`, then in the folder `fashion-mnist` of the cache of Keras. If
    there are none, downloads them into that folder. They have the names of MNIST's files.

    Raises:
      console.Failed: if a file is broken, or none is found and the download fails.
    """
    start, cached = IDX_PARTS[part], _keras_cache() / "fashion-mnist"
    for folder in (path, cached):
        for images, labels in _idx_pairs(folder, start):
            return _idx_source("fashion_mnist", images, labels, CLOTHES)
    names = [name for name in FASHION_MD5 if name.startswith(start)]
    looked = f"looked for {names[0].removesuffix('.gz')}(.gz) in {path} and in {cached}"
    for name in names:
        problem = f"no Fashion-MNIST: {looked}"
        _download(STORAGE + name, FASHION_MD5[name], cached / name, problem, path)
    return _idx_source("fashion_mnist", *(cached / name for name in names), CLOTHES)


def read_cifar10(path, *, pattern="*", conditional=True, part="train"):
    """Read CIFAR-10's 50,000 training images, or its 10,000 test images, uint8 [N, 32, 32, 3].

    Reads the binary version: data_batch_1.bin to data_batch_5.bin, or test_batch.bin, in `path`
    or any folder in it, or else in the cache of Keras. If there are none, downloads them into
    that cache. The Python version consists of pickles and is not read. The source has a note if
    images are missing, or are there twice.

    Raises:
      console.Failed: if a file is broken, or none is found and the download fails.
    """
    pattern = {"train": "**/data_batch_*.bin", "test": "**/test_batch.bin"}[part]
    cached = _keras_cache() / CIFAR_FOLDER
    batches = _list_files(path, pattern) or _list_files(cached, pattern)
    if not batches:
        problem = (
            "no CIFAR-10: looked for data_batch_1.bin to data_batch_5.bin and test_batch.bin, "
            f"the binary version, in {path} and in {cached}"
        )
        archive = cached.with_name(f"{CIFAR_FOLDER}.tar.gz")
        _download(CIFAR_TAR, CIFAR_MD5, archive, problem, path, unpack=cached)
        batches = _list_files(cached, pattern)
    records = []
    for file in batches:
        body = np.fromfile(file, np.uint8)
        if not body.size or body.size % CIFAR_RECORD:
            raise console.Failed(f"cannot read {file}: not a whole number of images")
        records.append(body.reshape(-1, CIFAR_RECORD))
    records = np.concatenate(records)
    images = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)  # planes → pixels
    images = np.ascontiguousarray(images)
    source = _array_source("cifar10", images, records[:, 0], batches[0].parent, THINGS)
    if len(images) != CIFAR_COUNTS[part]:
        found = f"{len(images):,} images of CIFAR-10, not {CIFAR_COUNTS[part]:,}, are in "
        source.notes = (found + ", ".join(map(str, batches)),)
    return source


# ---- downloads


def _keras_cache():
    """Return the folder of Keras' downloads. Without a home it is in /tmp, as for Keras."""
    try:
        home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
    except RuntimeError:  # a container's user may have neither HOME nor a name
        home = Path("/tmp/.keras")
    return home / "datasets"


def _download(url, digest, target, problem, path, unpack=None):
    """Download a file into the cache of Keras, and check it.

    Args:
      url: address of the file.
      digest: its MD5 or SHA-256.
      target: Path of the file in the cache.
      problem: start of the message of an error: what was looked for, and where.
      path: folder in which the user may put the files instead.
      unpack: for a tar archive, Path in the cache for its folder of this name. The archive is
        unpacked and removed. None for other files.

    Raises:
      console.Failed: if the download fails, or the file is another one.
    """
    finish = (lambda part, _: _unpack(part, unpack)) if unpack else os.replace
    try:
        files.download(url, digest, target, finish)
    except console.Failed as error:
        raise console.Failed(
            f"{problem}, and a download failed ({error}). Try again, or put the files "
            f"of {url} into {path}, or try --dataset digits, which needs none"
        ) from None


def _unpack(archive, folder):
    """Unpack the folder of this name from a tar archive. Other files in it stay."""
    with locks.part_of(folder, folder=True) as part:
        with tarfile.open(archive) as tar:
            tar.extractall(part, filter="data")
        folder.mkdir(exist_ok=True)
        for entry in (part / folder.name).iterdir():
            os.replace(entry, folder / entry.name)


def _line(error):
    """Return the message of an exception in one line."""
    return " ".join(str(error).split())


# ---- files


def _list_files(path, pattern):
    """Return the sorted paths of the files that a glob finds under a Path."""
    return sorted(file for file in path.glob(pattern) if file.is_file())


def _idx_source(name, images, labels, classes=DIGITS):
    """Return the Source of a pair of IDX files."""
    return _array_source(name, read_idx(images, 3)[..., None], read_idx(labels, 1), images, classes)


def _array_source(name, images, labels, origin, classes=DIGITS):
    """Return a Source of uint8 images [N, H, W, C] with integer labels [N] of ten classes.

    Raises console.Failed, which names the file `origin`, for other arrays.
    """
    if not images.size:  # a header can promise billions of images without pixels
        raise console.Failed(f"cannot read {origin}: it holds no images")
    if len(images) != len(labels):
        raise console.Failed(
            f"{origin} has {len(images)} images and there are {len(labels)} labels"
        )
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise console.Failed(f"cannot read {origin}: labels are {labels.dtype} {labels.shape}")
    wrong = labels[(labels < 0) | (labels > 9)]
    if len(wrong):
        raise console.Failed(f"cannot read {origin}: a label is {wrong[0]}, not 0 to 9")
    return Source(
        names=[f"{name} {i}" for i in range(len(images))],
        open=lambda i: utils.to_pillow(images[i]),
        signature=hashlib.sha256(images.tobytes()).hexdigest(),
        labels=np.asarray(labels, np.int64),
        classes=classes,
        images=images,
        name=name,
    )


def _idx_pairs(path, part):
    """Yield the (images, labels) pairs of IDX files that exist, gzipped or not."""
    for dash in ("-", "."):
        for suffix in ("", ".gz"):
            pair = [
                path / f"{part}-{what}{dash}idx{rank}-ubyte{suffix}"
                for what, rank in (("images", 3), ("labels", 1))
            ]
            if all(file.is_file() for file in pair):
                yield pair


def read_idx(file, rank):
    """Read an IDX file of uint8, gzipped or not, into an array.

    Args:
      file: path; gzipped if it ends in ".gz".
      rank: number of dimensions: 3 for images, 1 for labels.

    Raises:
      console.Failed: if the file is broken or holds something else.
    """
    opener = gzip.open if str(file).endswith(".gz") else open
    try:
        with opener(file, "rb") as stream:
            if stream.read(4) != bytes([0, 0, 8, rank]):
                raise ValueError(f"its first four bytes are not those of IDX data of rank {rank}")
            shape = struct.unpack(f">{rank}I", stream.read(4 * rank))
            count = math.prod(shape)
            files.check_size(count, os.path.getsize(file), f"its header says {shape} values")
            body = stream.read(count + 1)
        if len(body) != count:
            held = len(body) if len(body) < count else "more"
            raise ValueError(f"its header says {shape} values, but it holds {held}")
        return np.frombuffer(body, np.uint8).reshape(shape)
    except (OSError, EOFError, ValueError, struct.error, zlib.error) as error:
        raise console.Failed(f"cannot read {file}: {error}") from None


def _read_npz(file, part):
    """Return (uint8 images [N, 28, 28, 1], labels [N]) of a mnist.npz."""
    try:
        files.check_zip(file)
        with np.load(file, allow_pickle=False) as arrays:
            images, labels = arrays[f"x_{part}"], arrays[f"y_{part}"]
        if images.dtype != np.uint8 or images.ndim != 3:
            raise ValueError(f"x_{part} is {images.dtype} {images.shape}, not uint8 [N, 28, 28]")
    except Exception as error:  # errors of zipfile, zlib and NumPy have no common base
        raise console.Failed(f"cannot read {file}: {_line(error)}") from None
    return images[..., None], labels

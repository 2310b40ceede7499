"""Readers of data sets of one fixed format: digits, MNIST and CIFAR-10. Imports no TensorFlow.

A reader is called as `reader(path, pattern=, conditional=)` and returns a `packed.Source`. The
readers here ignore `pattern` and `conditional`: they return all images and their labels. `part`,
"train" or "test", selects the training or the test images.
"""

import gzip
import hashlib
import math
import os
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np

import console
import files
import utils
from datasets.packed import Source

CIFAR_RECORD = 1 + 3 * 32 * 32  # bytes: the label, then the planes of red, green and blue
MNIST_NPZ = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz"
MNIST_SHA256 = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"


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
    for images, labels in _idx_pairs(path, {"train": "train", "test": "t10k"}[part]):
        return _array_source("mnist", read_idx(images, 3)[..., None], read_idx(labels, 1), images)
    home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
    cached = home / "datasets" / "mnist.npz"
    for file in (path / "mnist.npz", cached):
        if file.is_file():
            return _array_source("mnist", *_read_npz(file, part), file)
    try:
        with console.quiet_stderr():  # TensorFlow logs when it is imported
            from keras.utils import get_file

        cached.parent.mkdir(parents=True, exist_ok=True)  # Keras would fall back to /tmp
        files.clear_parts(cached.parent)
        name = f".mnist.{os.getpid()}.part.npz"
        os.replace(get_file(name, MNIST_NPZ, cache_dir=str(home), file_hash=MNIST_SHA256), cached)
    except Exception as error:  # no network, no such host, a wrong checksum, a full disk
        raise console.Failed(
            f"no MNIST: looked for train-images-idx3-ubyte(.gz) and mnist.npz in {path}, for "
            f"{cached}, and a download failed ({_line(error)[:120]}). Put the files in {path}, "
            "or try --dataset digits, which needs none"
        ) from None
    return _array_source("mnist", *_read_npz(cached, part), cached)


def _line(error):
    """Return the message of an exception in one line."""
    return " ".join(str(error).split())


def read_cifar10(path, *, pattern="*", conditional=True, part="train"):
    """Read CIFAR-10's 50,000 training images, or its 10,000 test images, uint8 [N, 32, 32, 3].

    Reads the binary version: data_batch_1.bin to data_batch_5.bin, or test_batch.bin, in `path`
    or any folder in it.

    Raises:
      console.Failed: if a file is missing or broken.
    """
    found = path.glob({"train": "**/data_batch_*.bin", "test": "**/test_batch.bin"}[part])
    batches = sorted(file for file in found if file.is_file())
    if not batches:
        raise console.Failed(
            f"no CIFAR-10 {part} images: put the files of its binary version, data_batch_1.bin to "
            f"data_batch_5.bin and test_batch.bin, into {path} (the Python version is not read: "
            "it consists of pickles)"
        )
    records = []
    for file in batches:
        body = np.fromfile(file, np.uint8)
        if not body.size or body.size % CIFAR_RECORD:
            raise console.Failed(f"cannot read {file}: not a whole number of images")
        records.append(body.reshape(-1, CIFAR_RECORD))
    records = np.concatenate(records)
    images = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)  # planes → pixels
    return _array_source("cifar10", np.ascontiguousarray(images), records[:, 0], path)


def _array_source(name, images, labels, origin):
    """Return a Source of uint8 images [N, H, W, C] with integer labels [N] from 0 to 9.

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
        classes=tuple(map(str, range(10))),
        images=images,
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
        with zipfile.ZipFile(file) as parts:
            for member in parts.infolist():
                files.check_size(member.file_size, member.compress_size, member.filename)
        with np.load(file, allow_pickle=False) as arrays:
            images, labels = arrays[f"x_{part}"], arrays[f"y_{part}"]
        if images.dtype != np.uint8 or images.ndim != 3:
            raise ValueError(f"x_{part} is {images.dtype} {images.shape}, not uint8 [N, 28, 28]")
    except Exception as error:  # errors of zipfile, zlib and NumPy have no common base
        raise console.Failed(f"cannot read {file}: {_line(error)}") from None
    return images[..., None], labels

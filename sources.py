"""Readers: where pictures come from. Each gives a `dataset.Source`. Imports no TensorFlow."""

import fnmatch
import gzip
import hashlib
import math
import os
import struct
import zipfile
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

import utils
from archives import Archive
from databases import Corrupt, Database
from dataset import Source, is_zip

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif")
CIFAR_RECORD = 1 + 3 * 32 * 32  # bytes: a label, and planes of red, green and blue
MNIST_NPZ = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz"
MNIST_SHA256 = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"


def read_folder(path, *, pattern="*", conditional=False):
    """A folder or zip file of images, searched recursively; the folders in it are its classes."""
    if is_zip(path):
        return _read_zip(path, pattern, conditional)
    if path.suffix.lower() == ".zip" and not path.exists():
        raise utils.Failed(f"no file {path}")
    if not path.is_dir():
        raise utils.Failed(
            f"no folder {path}: put images there, or give --dataset the path of a folder or a "
            "zip file"
        )
    files = _list_images(path, pattern)
    _check_found(files, path, pattern)
    names = [os.path.relpath(f, path) for f in files]
    labels, classes = None, ()
    if conditional:
        labels, classes = _folder_labels(path, names)
    facts = [(n, s.st_size, s.st_mtime_ns) for n, s in zip(names, map(os.stat, files))]
    signature = hashlib.sha256(repr(facts).encode()).hexdigest()
    return Source(names, files.__getitem__, signature, labels, classes)


def _check_found(files, path, pattern):
    """Raise utils.Failed where there are no images."""
    if not files:
        kinds = " ".join(IMAGE_SUFFIXES) if pattern == "*" else pattern
        raise utils.Failed(f"no images ({kinds}) in {path} or the folders in it")


def _read_zip(path, pattern, conditional):
    """The images of a zip file, as those of a folder."""
    archive = Archive(path, IMAGE_SUFFIXES, pattern)
    _check_found(archive.names, path, pattern)
    labels, classes = _folder_labels(path, archive.names) if conditional else (None, ())
    return Source(archive.names, archive.get, archive.signature, labels, classes)


def _list_images(path, pattern):
    """Paths under `path`, sorted; follows links, each folder once; hidden ones left out."""
    found, seen, closed = [], set(), []
    for folder, inner, files in os.walk(path, followlinks=True, onerror=closed.append):
        real = os.path.realpath(folder)
        if real in seen:
            inner.clear()
            continue
        seen.add(real)
        inner[:] = sorted(d for d in inner if not d.startswith("."))
        for name in files:
            if name.startswith(".") or not os.path.isfile(os.path.join(folder, name)):
                continue
            if pattern == "*" and not name.lower().endswith(IMAGE_SUFFIXES):
                continue
            if fnmatch.fnmatchcase(name, pattern):
                found.append(os.path.join(folder, name))
    for error in closed:
        print(utils.plain(f"left out a folder: {error}"))
    return sorted(found)


def _folder_labels(path, names):
    """The class of each file: the first folder of its path."""
    firsts = [Path(n).parts[0] if len(Path(n).parts) > 1 else None for n in names]
    classes = tuple(sorted({f for f in firsts if f}))
    if not classes or None in firsts:
        raise utils.Failed(
            f"{path} has images outside of the folders of its classes: "
            "put each class in a folder of its own, or leave --conditional out"
        )
    return np.array([classes.index(f) for f in firsts]), classes


def read_lsun(path, *, pattern="*", conditional=False):
    """LSUN: the LMDB databases that it ships as (`*_lmdb`), or a plain folder of images."""
    databases = _list_databases(path)
    if not databases:
        return read_folder(path, pattern=pattern, conditional=conditional)
    items, names, facts = [], [], []
    for folder in databases:
        database = _open_database(folder)
        items += [(database, key) for key in database.keys]
        names += [f"{folder.name}/{key.decode(errors='replace')}" for key in database.keys]
        stat = (folder / "data.mdb").stat()
        facts.append((str(folder), len(database.keys), stat.st_size, stat.st_mtime_ns))
    if not items:
        raise utils.Failed(f"the databases in {path} are empty")

    def open_item(i):
        database, key = items[i]
        try:
            return BytesIO(database.get(key))
        except Corrupt as error:
            if database.hopeless:
                raise utils.Failed(f"cannot read the database {database.folder}: {error}") from None
            raise

    signature = hashlib.sha256(repr(facts).encode()).hexdigest()
    owner = np.repeat(np.arange(len(databases)), [f[1] for f in facts])
    classes = tuple(d.name for d in databases)
    return Source(names, open_item, signature, owner, classes)


def _list_databases(path):
    """LMDB folders under `path`, sorted, each once; links are followed at its top alone."""
    files = sorted({f for depth in ("*", "**") for f in path.glob(f"{depth}/data.mdb")})
    return sorted({f.parent.resolve(): f.parent for f in files}.values())


def _open_database(folder):
    """The Database of an LMDB folder. Raises utils.Failed where it is broken."""
    try:
        return Database(folder)
    except Corrupt as error:
        raise utils.Failed(f"cannot read the database {folder}: {error}") from None


def read_digits(path, *, pattern="*", conditional=True):
    """The 1,797 handwritten digits of 8x8 pixels that scikit-learn carries."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.round(digits.images * (255 / 16)).astype(np.uint8)[..., None]
    return _array_source("digits", images, digits.target, "scikit-learn")


def read_mnist(path, *, pattern="*", conditional=True, part="train"):
    """MNIST's 60,000 training images: IDX files or mnist.npz in `path`, or downloaded.

    `part` "test" is its 10,000 test images.
    """
    for images, labels in _idx_pairs(path, {"train": "train", "test": "t10k"}[part]):
        return _array_source("mnist", read_idx(images, 3)[..., None], read_idx(labels, 1), images)
    home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
    cached = home / "datasets" / "mnist.npz"
    for file in (path / "mnist.npz", cached):
        if file.is_file():
            return _array_source("mnist", *_read_npz(file, part), file)
    try:
        with utils.quiet_stderr():  # TensorFlow's greetings
            from keras.utils import get_file

        cached.parent.mkdir(parents=True, exist_ok=True)  # or Keras takes a folder in /tmp
        utils.clear_parts(cached.parent)
        name = f".mnist.{os.getpid()}.part.npz"
        os.replace(get_file(name, MNIST_NPZ, cache_dir=str(home), file_hash=MNIST_SHA256), cached)
    except Exception as error:  # no network, no such host, a wrong checksum, a full disk
        raise utils.Failed(
            f"no MNIST: looked for train-images-idx3-ubyte(.gz) and mnist.npz in {path}, for "
            f"{cached}, and a download failed ({_line(error)[:120]}). Put the files in {path}, "
            "or try --dataset digits, which needs none"
        ) from None
    return _array_source("mnist", *_read_npz(cached, part), cached)


def _line(error):
    return " ".join(str(error).split())


def read_cifar10(path, *, pattern="*", conditional=True, part="train"):
    """CIFAR-10's 50,000 training images in its binary version: data_batch_1.bin to 5.

    `part` "test" is its 10,000 test images, test_batch.bin.
    """
    found = path.glob({"train": "**/data_batch_*.bin", "test": "**/test_batch.bin"}[part])
    files = sorted(file for file in found if file.is_file())
    if not files:
        raise utils.Failed(
            f"no CIFAR-10 to {part}: put the files of its binary version, data_batch_1.bin to "
            f"data_batch_5.bin and test_batch.bin, into {path} (the Python version is made of "
            "pickles: not read)"
        )
    records = []
    for file in files:
        body = np.fromfile(file, np.uint8)
        if not body.size or body.size % CIFAR_RECORD:
            raise utils.Failed(f"cannot read {file}: not a whole number of images")
        records.append(body.reshape(-1, CIFAR_RECORD))
    records = np.concatenate(records)
    images = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)  # planes → pixels
    return _array_source("cifar10", np.ascontiguousarray(images), records[:, 0], path)


def _array_source(name, images, labels, origin):
    """A Source of images [N, H, W, C] in memory, of the classes 0 to 9."""
    if not images.size:  # of no pixels there could be billions
        raise utils.Failed(f"cannot read {origin}: it holds no images")
    if len(images) != len(labels):
        raise utils.Failed(f"{origin} has {len(images)} images and there are {len(labels)} labels")
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise utils.Failed(f"cannot read {origin}: labels are {labels.dtype} {labels.shape}")
    wrong = labels[(labels < 0) | (labels > 9)]
    if len(wrong):
        raise utils.Failed(f"cannot read {origin}: a label is {wrong[0]}, not 0 to 9")
    return Source(
        names=[f"{name} {i}" for i in range(len(images))],
        open=lambda i: Image.fromarray(images[i] if images.shape[-1] > 1 else images[i, ..., 0]),
        signature=hashlib.sha256(images.tobytes()).hexdigest(),
        labels=np.asarray(labels, np.int64),
        classes=tuple(map(str, range(10))),
        images=images,
    )


def _idx_pairs(path, part):
    """(images, labels) files of either spelling, gzipped or not, that are there."""
    for dash in ("-", "."):
        for suffix in ("", ".gz"):
            pair = [
                path / f"{part}-{what}{dash}idx{rank}-ubyte{suffix}"
                for what, rank in (("images", 3), ("labels", 1))
            ]
            if all(file.is_file() for file in pair):
                yield pair


def read_idx(file, rank):
    """An IDX file of uint8, gzipped or not, as an array of that rank (images 3, labels 1).

    Raises utils.Failed where it is something else.
    """
    opener = gzip.open if str(file).endswith(".gz") else open
    try:
        with opener(file, "rb") as stream:
            if stream.read(4) != bytes([0, 0, 8, rank]):
                raise ValueError(f"its first four bytes are not those of IDX data of rank {rank}")
            shape = struct.unpack(f">{rank}I", stream.read(4 * rank))
            count = math.prod(shape)
            utils.check_size(count, os.path.getsize(file), f"it says {shape} values")
            body = stream.read(count + 1)
        if len(body) != count:
            held = len(body) if len(body) < count else "more"
            raise ValueError(f"it says {shape} values and holds {held}")
        return np.frombuffer(body, np.uint8).reshape(shape)
    except (OSError, EOFError, ValueError, struct.error, zlib.error) as error:
        raise utils.Failed(f"cannot read {file}: {error}") from None


def _read_npz(file, part):
    """(images [N, 28, 28, 1], labels [N]) of a mnist.npz."""
    try:
        with zipfile.ZipFile(file) as parts:
            for member in parts.infolist():
                utils.check_size(member.file_size, member.compress_size, member.filename)
        with np.load(file, allow_pickle=False) as arrays:
            images, labels = arrays[f"x_{part}"], arrays[f"y_{part}"]
        if images.dtype != np.uint8 or images.ndim != 3:
            raise ValueError(f"x_{part} is {images.dtype} {images.shape}, not uint8 [N, 28, 28]")
    except Exception as error:  # zipfile, zlib, header and pickle errors have no common base
        raise utils.Failed(f"cannot read {file}: {_line(error)}") from None
    return images[..., None], labels

"""The reader of pictures in a .npy or .npz file. Imports no TensorFlow."""

import zlib

import numpy as np

import console
import files
import utils
from datasets import pictures
from datasets.packed import Source, fingerprint

SUFFIXES = (".npy", ".npz")
IMAGES = ("images", "x", "x_train", "arr_0")  # names of the array of images; the first one wins
LABELS = ("labels", "y", "y_train")
CHECKED = 8  # pictures whose contents are part of the fingerprint
BLOCK = 256  # pictures a block, in the search for the range of values


def is_arrays(path):
    """Return whether a Path is a file whose name ends in .npy or .npz."""
    return path.suffix.lower() in SUFFIXES and path.is_file()


def read_arrays(path, *, conditional=False):
    """Read images [N, H, W, C] or [N, H, W]. C is 1, 3, or 4 with an alpha channel.

    uint8 values are used as they are. Other numbers are mapped to 0 to 255 from their
    `utils.find_range`, and bool from 0 to 1. A .npy file is memory-mapped. In a .npz file, the
    images are the first array of `IMAGES` that it has, or else the only array of four dimensions.

    Args:
      path: Path of the file.
      conditional: read the labels, int [N] from 0 on, from the first array of `LABELS`.

    Returns:
      A `packed.Source`.

    Raises:
      console.Failed: if the file is broken, needs pickle, or has no such arrays.
    """
    try:
        stored, labels = (_read_npz if path.suffix.lower() == ".npz" else _read_npy)(path)
        images = _check_images(stored)
        labels, classes = _check_labels(labels, len(images)) if conditional else (None, ())
    except Exception as error:  # errors of zipfile, zlib and NumPy have no common base
        raise console.Failed(f"cannot read {path}: {console.first_line(error)}") from None
    value_range, notes = None, ()
    if images.dtype != np.uint8:
        plain = images.dtype == bool
        value_range = [0, 1] if plain else list(utils.find_range(_finite_blocks(path, images)))
        notes = (pictures.range_note(8 * images.dtype.itemsize, value_range),)
    if images.shape[-1] == 4 and value_range and value_range[0] < 0:
        raise console.Failed(f"cannot read {path}: with an alpha channel, no value may be below 0")

    def open_image(i):
        image = images[i]
        return utils.to_pillow(utils.to_8_bits(image, value_range) if value_range else image)

    stat = path.stat()
    facts = (stat.st_size, stat.st_mtime_ns, images.shape)
    return Source(
        names=[f"image {i}" for i in range(len(images))],  # a renamed file keeps them
        open=open_image,
        signature=fingerprint(facts),
        labels=labels,
        classes=classes,
        images=images if images.dtype == np.uint8 and images.shape[-1] != 4 else None,
        notes=notes,
        value_range=value_range,
        fingerprint=_mark(images),
    )


def _finite_blocks(path, images):
    """Yield blocks of images. Raises console.Failed at the first NaN or infinity."""
    for i in range(0, len(images), BLOCK):
        block = images[i : i + BLOCK]
        if block.dtype.kind == "f" and not np.isfinite(block).all():
            raise console.Failed(f"cannot read {path}: images have NaN or infinite values")
        yield block


def _mark(images):
    """Return the fingerprint of images: their shape, their type and the checksums of a few."""
    few = np.linspace(0, len(images) - 1, min(len(images), CHECKED)).astype(int)
    sums = (zlib.crc32(np.ascontiguousarray(images[i])) for i in few)
    return fingerprint([images.shape, images.dtype.str, *sums])


def _read_npy(path):
    """Return (array, None) of a .npy file. The array is memory-mapped."""
    return np.load(path, mmap_mode="r", allow_pickle=False), None


def _read_npz(path):
    """Return (images, labels) of a .npz file; labels are None if it has none."""
    files.check_zip(path)
    with np.load(path, allow_pickle=False) as found:
        labels = next((found[name] for name in LABELS if name in found.files), None)
        for name in IMAGES:
            if name in found.files:
                return found[name], labels
        large = [x for x in (found[name] for name in found.files) if x.ndim == 4]
        if len(large) != 1:
            raise ValueError(
                f"it has the arrays {', '.join(found.files)}: name the array of images 'images'"
            )
        return large[0], labels


def _check_images(stored):
    """Return images as [N, H, W, C]. Raises ValueError if they are no images."""
    if stored.dtype.kind not in "uifb":
        raise ValueError(f"images are of {stored.dtype}, not numbers")
    images = stored[..., None] if stored.ndim == 3 and stored.shape[-1] > 4 else stored
    if images.ndim != 4 or images.shape[-1] not in (1, 3, 4):
        raise ValueError(
            f"images are {list(stored.shape)}, not [N, H, W], or [N, H, W, C] with C 1, 3 or 4"
        )
    if not images.size:  # a header can promise billions of images without pixels
        raise ValueError("it holds no images")
    return images


def _check_labels(labels, count):
    """Return (int labels [N], class names). Raises ValueError if they are no labels of N images."""
    if labels is None:
        raise ValueError(f"it has no array {' or '.join(LABELS)}: leave --conditional out")
    if labels.dtype.kind not in "iu" or labels.shape not in ((count,), (count, 1)):
        raise ValueError(
            f"labels are {labels.dtype} {list(labels.shape)}, not whole numbers [{count}]"
        )
    labels = labels.reshape(-1)
    used = np.unique(labels)
    if not np.array_equal(used, np.arange(len(used))):
        raise ValueError(f"labels must be 0 to {len(used) - 1}, with none left out")
    return labels.astype(np.int64), tuple(map(str, range(len(used))))

"""Data sets: a source of pictures → one packed uint8 array, decoded once, and its order.

Imports no TensorFlow. A reader gives a `Source`; `load` turns it into a `Packed` set.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import numpy as np
from PIL import Image

import console
import files
import utils
from datasets import zip_archive
from datasets.batches import Batches

JOB = 64  # pictures that a thread decodes at a time


@dataclasses.dataclass(frozen=True)
class ImageSpec:
    """What the images are: [height, width, channels], how many, of how many classes (0: none)."""

    height: int
    width: int
    channels: int
    count: int
    classes: int


@dataclasses.dataclass
class Source:
    """Pictures before packing.

    Attributes:
      names: one a picture, for messages.
      open: index → Pillow image, or anything else that `utils.load_image` takes.
      signature: changes when the pictures do.
      labels: int [N] or None.
      classes: the names of the classes.
      images: uint8 [N, H, W, C] where they are at hand already.
    """

    names: list
    open: Callable
    signature: str
    labels: np.ndarray | None = None
    classes: tuple = ()
    images: np.ndarray | None = None


@dataclasses.dataclass
class Packed:
    """uint8 images [N, H, W, C] (memory-mapped), int32 labels [N], their spec and the skipped."""

    images: np.ndarray
    labels: np.ndarray
    spec: ImageSpec
    skipped: list
    shown: tuple = ()  # images that the sheets begin with, for what translates them

    def stream(self, **words):
        """The endless stream of training images: `Batches` of these words."""
        return Batches(self.images, self.labels, **words)


def load(
    name,
    *,
    reader,
    data_dir,
    cache_dir,
    size,
    crop=None,
    pattern="*",
    conditional=False,
    part=None,
    workers=0,
):
    """Read a data set, from its packed array where that is still right.

    Args:
      name: of the set: a folder under `data_dir`, or a path.
      reader: function of (path, pattern=, conditional=) that gives the Source.
      size: (height, width) to crop and resize to.
      crop: (height, width) of the centre box taken first, or None.
      conditional: keep the labels; an error where the set has none.
      part: of the set, for a reader that has several.

    Raises:
      utils.Failed: where there is nothing to read, saying what to do.
    """
    words = {"part": part} if part else {}
    path, source = _read(name, reader, data_dir, pattern, conditional, **words)
    if source.images is not None and source.images.shape[1:3] == tuple(size) and not crop:
        images, keep, skipped = source.images, slice(None), []
    else:
        key = [str(path.resolve()), pattern, size, crop, *words.values()]
        digest = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:8]
        stem = f"{path.name}_{size[0]}_{size[1]}_{digest}"
        images, keep, skipped = _packed(source, stem, cache_dir, size, crop, workers)
    if not len(images):
        raise console.Failed(f"{path} holds no images")
    if skipped:
        names = ", ".join(skipped[:5]) + (", ..." if len(skipped) > 5 else "")
        print(f"skipped {len(skipped)} of {len(source.names)} images as unreadable: {names}")
    labels = source.labels[keep] if conditional else np.zeros(len(images))
    spec = ImageSpec(*images.shape[1:], len(images), len(source.classes) if conditional else 0)
    return Packed(images, labels.astype(np.int32), spec, skipped)


def _read(name, reader, data_dir, pattern, conditional, **words):
    """(the path, the Source) of a data set."""
    path = Path(data_dir) / name
    if not path.exists() and (Path(name).is_dir() or zip_archive.is_zip(Path(name))):
        path = Path(name)
    source = reader(path, pattern=pattern, conditional=conditional, **words)
    if conditional and source.labels is None:
        raise console.Failed(
            f"{path} has no labels: put each class in a folder of its own, or "
            "leave --conditional out"
        )
    return path, source


def look(name, *, reader, data_dir, size, pattern="*", conditional=False):
    """The ImageSpec that `load` would give, but for pictures that cannot be read; packs nothing."""
    _, source = _read(name, reader, data_dir, pattern, conditional)
    channels = 1 if _all_gray(source) else 3
    classes = len(source.classes) if conditional else 0
    return ImageSpec(*size, channels, len(source.names), classes)


def _packed(source, stem, cache_dir, size, crop, workers):
    """(images, indices kept, names skipped) from the cache, filled first where it must be."""
    for folder in (Path(cache_dir), _user_cache()):
        meta, array = folder / f"{stem}.json", folder / f"{stem}.npy"
        found = _read_cache(meta, array, source, size)
        if found:
            return found

        def busy(pid, array=array):
            print(
                f"waiting for process {pid}, which packs the same images into {array}", flush=True
            )

        try:
            folder.mkdir(parents=True, exist_ok=True)
            with files.lock(folder / f".{stem}.lock", busy):
                found = _read_cache(meta, array, source, size)  # while this one waited
                return found or _fill(meta, array, source, size, crop, workers)
        except OSError as error:
            reason = error
    raise console.Failed(f"cannot write the packed images to {cache_dir}: {reason}")


def _fill(meta, array, source, size, crop, workers):
    """Pack a source into the cache, and read it."""
    files.clear_parts(array.parent)
    meta.unlink(missing_ok=True)  # it says that the array is whole, and of which pictures
    with files.atomic_path(array) as part:
        bad = _pack(source, part, size, crop, workers)
    text = {"signature": source.signature, "skipped": bad, "count": len(source.names)}
    files.save_text(meta, json.dumps(text))
    print(console.plain(f"packed {len(source.names) - len(bad)} images into {array}"))
    return _read_cache(meta, array, source, size)


def _user_cache():
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gan-trainer"


def _read_cache(meta, array, source, size):
    """What was packed, or None where it is absent, broken or of other pictures."""
    try:
        kept, count = json.loads(meta.read_text()), len(source.names)
        if (kept["signature"], kept["count"]) != (source.signature, count):
            return None
        images = np.load(array, mmap_mode="r", allow_pickle=False)
        skipped = {int(index): str(name) for index, name in kept["skipped"].items()}
        keep = np.delete(np.arange(count), list(skipped))
        shapes = [(len(keep), *size, channels) for channels in (1, 3)]
        if images.dtype != np.uint8 or images.shape not in shapes or not len(keep):
            return None
        return images, keep, list(skipped.values())
    except Exception:  # whatever a broken file makes of JSON, NumPy and the lines above
        return None


def _pack(source, part, size, crop, workers):
    """Decode every picture into the .npy file `part`; return {index: name} of the unreadable."""
    count = len(source.names)
    with _strict_pillow():
        channels = 1 if _all_gray(source) else 3
    array = _new_array(part, (count, *size, channels))
    bad = {}

    def job(start):
        for i in range(start, min(start + JOB, count)):
            try:
                array[i] = utils.load_image(source.open(i), size, channels, crop)
            except console.Failed:
                raise
            except Exception as error:  # whatever a broken file makes of a decoder
                bad[i] = console.plain(f"{source.names[i]} ({_reason(error)})")

    done = 0
    with (
        ThreadPoolExecutor(workers or os.cpu_count()) as pool,
        console.Progress("packing images", count) as bar,
        _strict_pillow(),
    ):
        try:
            for future in as_completed([pool.submit(job, i) for i in range(0, count, JOB)]):
                future.result()
                done = min(done + JOB, count)
                bar.update(done, "")
        except BaseException:  # Ctrl-C: do not decode the rest first
            pool.shutdown(cancel_futures=True)
            raise
    if len(bad) == count:
        raise console.Failed(f"none of {count} images can be read, the first is {bad[0]}")
    if bad:
        _compact(array, part, [i for i in range(count) if i not in bad])
    return {str(i): bad[i] for i in sorted(bad)}


@contextlib.contextmanager
def _strict_pillow():
    """Pillow refuses pictures of over 89 million pixels, and says nothing of its other doubts."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def _reason(error):
    """An error in a few words, without the path that Pillow adds."""
    named = "cannot identify" in str(error)
    return type(error).__name__ if named else console.first_line(error, 60)


def _compact(array, part, keep):
    """Write the images kept alone in the place of `part`."""
    with files.atomic_path(part) as other:
        kept = _new_array(other, (len(keep), *array.shape[1:]))
        for i in range(0, len(keep), 1024):
            kept[i : i + 1024] = array[keep[i : i + 1024]]
        kept.flush()


def _new_array(path, shape):
    """A new memory-mapped .npy file of uint8, all of whose room is there."""
    array = np.lib.format.open_memmap(path, "w+", np.uint8, shape)
    with open(path, "r+b") as file:  # a full disk is an error here, and a crash in a mapped page
        os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return array


def _all_gray(source):
    """True where no readable picture has colour; reads headers up to the first that has."""
    if source.images is not None:
        return source.images.shape[-1] == 1
    gray = 0
    for i in range(len(source.names)):
        try:
            with utils.open_image(source.open(i)) as image:
                if image.mode not in utils.GRAY_MODES:
                    return False
                gray += 1
        except console.Failed:
            raise
        except Exception:  # it will be counted and named when it is decoded
            continue
    return gray > 0

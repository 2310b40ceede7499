"""The readers of folders: of image files, and of LSUN's LMDB databases of image files.

Imports no TensorFlow.
"""

import functools
import hashlib
import os
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

import console
import files
import utils
from datasets import arrays, zip_archive
from datasets.lmdb_reader import Corrupt, Database
from datasets.packed import Source
from datasets.zip_archive import Archive, is_zip

USUAL = ".jpg .png .webp .gif .bmp .tif or another image format"
FILE_SUFFIXES = (".zip", *arrays.SUFFIXES)  # of data sets that are one file


@functools.cache
def image_suffixes():
    """Return the lower-case file name endings of `utils.FORMATS`, a tuple."""
    known = Image.registered_extensions()
    return tuple(ending for ending, kind in known.items() if kind in utils.FORMATS)


def read_folder(path, *, pattern="*", conditional=False, outputs=()):
    """Read a folder or zip file of images, and all folders in it, or a file of arrays.

    Args:
      path: Path of the folder or file.
      pattern: shell pattern of file names, of any case; "*" selects the `image_suffixes`.
      conditional: label each image with the first folder of its path.
      outputs: paths that are not read, as in `_list_images`.

    Returns:
      A `packed.Source`.

    Raises:
      console.Failed: if there are no images, or some have no class and `conditional` is set.
    """
    if path.suffix.lower() in FILE_SUFFIXES and not path.exists():
        raise console.Failed(f"no file {path}")
    if arrays.is_arrays(path):
        return arrays.read_arrays(path, conditional=conditional)
    if is_zip(path):
        archive = Archive(path, image_suffixes(), pattern)
        names, open_image, signature = archive.names, archive.get, archive.signature
        left_out = archive.left_out
    elif path.is_dir():
        found, left_out = _list_images(path, pattern, outputs)
        names, open_image = [os.path.relpath(f, path) for f in found], found.__getitem__
        facts = [(n, s.st_size, s.st_mtime_ns) for n, s in zip(names, map(os.stat, found))]
        signature = hashlib.sha256(repr(facts).encode()).hexdigest()
    else:
        raise console.Failed(
            f"no folder {path}: put images there, or give --dataset the path of a folder or of a "
            ".zip, .npy or .npz file"
        )
    if not names:
        kinds = USUAL if pattern == "*" else pattern
        raise console.Failed(f"no images ({kinds}) in {path} or the folders in it")
    labels, classes = _folder_labels(path, names) if conditional else (None, ())
    notes = tuple(zip_archive.count_endings(left_out))
    return Source(names, open_image, signature, labels, classes, notes=notes)


def _list_images(path, pattern, outputs):
    """Return (sorted paths of the images under `path`, names of the files that are left out).

    Follows links, enters each folder once, and passes over hidden files and folders, `outputs`,
    and folders that `files.mark_output` has marked, but reads `path` itself in any case.
    """
    found, left_out, seen, closed = [], [], set(), []
    outputs = {os.path.realpath(output) for output in outputs}
    for folder, inner, names in os.walk(path, followlinks=True, onerror=closed.append):
        real = os.path.realpath(folder)
        is_top = not seen
        if real in seen or (not is_top and (real in outputs or files.is_output(Path(folder)))):
            inner.clear()
            continue
        seen.add(real)
        inner[:] = sorted(d for d in inner if not d.startswith(".") and d != "__MACOSX")
        for name in names:
            file = os.path.join(folder, name)
            if name.startswith(".") or os.path.join(real, name) in outputs:
                continue
            if not os.path.isfile(file):
                continue
            wanted = zip_archive.is_wanted(name, image_suffixes(), pattern)
            (found if wanted else left_out).append(file if wanted else name)
    for error in closed:
        print(console.plain(f"left out a folder: {error}"))
    return sorted(found), left_out


def _folder_labels(path, names):
    """Return (int labels [N], class names): each file's class is the first folder of its path."""
    firsts = [Path(n).parts[0] if len(Path(n).parts) > 1 else None for n in names]
    classes = tuple(sorted({f for f in firsts if f}))
    if not classes or None in firsts:
        raise console.Failed(
            f"{path} has images outside of the folders of its classes: "
            "put each class in a folder of its own, or leave --conditional out"
        )
    return np.array([classes.index(f) for f in firsts]), classes


def read_lsun(path, *, pattern="*", conditional=False, outputs=()):
    """Read all LMDB databases in a folder; if there are none, read it as a folder of images.

    Each database is a class. A database that cannot be read any further ends the packing; a
    single unreadable value is skipped.

    Args:
      path: Path of the folder; LSUN ships databases as folders `*_lmdb`.
      pattern, conditional, outputs: as in `read_folder`, for a folder of images.

    Returns:
      A `packed.Source`.

    Raises:
      console.Failed: if a database is corrupt, or all are empty.
    """
    databases = _list_databases(path)
    if not databases:
        return read_folder(path, pattern=pattern, conditional=conditional, outputs=outputs)
    items, names, facts = [], [], []
    for folder in databases:
        database = _open_database(folder)
        items += [(database, key) for key in database.keys]
        names += [f"{folder.name}/{key.decode(errors='replace')}" for key in database.keys]
        stat = (folder / "data.mdb").stat()
        facts.append((str(folder), len(database.keys), stat.st_size, stat.st_mtime_ns))
    if not items:
        raise console.Failed(f"the databases in {path} are empty")

    def open_image(i):
        database, key = items[i]
        try:
            return BytesIO(database.get(key))
        except Corrupt as error:
            if database.given_up:
                raise console.Failed(
                    f"cannot read the database {database.folder}: {error}"
                ) from None
            raise

    signature = hashlib.sha256(repr(facts).encode()).hexdigest()
    labels = np.repeat(np.arange(len(databases)), [f[1] for f in facts])
    classes = tuple(d.name for d in databases)
    return Source(names, open_image, signature, labels, classes)


def _list_databases(path):
    """Return the sorted paths of the LMDB folders under `path`, each once.

    Follows links in `path` itself, not in the folders below it.
    """
    found = sorted({f for depth in ("*", "**") for f in path.glob(f"{depth}/data.mdb")})
    return sorted({f.parent.resolve(): f.parent for f in found}.values())


def _open_database(folder):
    """Return the Database of an LMDB folder. Raises console.Failed if it is corrupt."""
    try:
        return Database(folder)
    except Corrupt as error:
        raise console.Failed(f"cannot read the database {folder}: {error}") from None

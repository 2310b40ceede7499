"""Readers of folders and zip files of images. Imports no TensorFlow."""

import fnmatch
import hashlib
import os
from pathlib import Path

import numpy as np

import console
from datasets.packed import Source
from datasets.zip_archive import Archive, is_zip

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif")


def read_folder(path, *, pattern="*", conditional=False):
    """A folder or zip file of images, searched recursively; the folders in it are its classes."""
    if is_zip(path):
        return _read_zip(path, pattern, conditional)
    if path.suffix.lower() == ".zip" and not path.exists():
        raise console.Failed(f"no file {path}")
    if not path.is_dir():
        raise console.Failed(
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
        raise console.Failed(f"no images ({kinds}) in {path} or the folders in it")


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
        print(console.plain(f"left out a folder: {error}"))
    return sorted(found)


def _folder_labels(path, names):
    """The class of each file: the first folder of its path."""
    firsts = [Path(n).parts[0] if len(Path(n).parts) > 1 else None for n in names]
    classes = tuple(sorted({f for f in firsts if f}))
    if not classes or None in firsts:
        raise console.Failed(
            f"{path} has images outside of the folders of its classes: "
            "put each class in a folder of its own, or leave --conditional out"
        )
    return np.array([classes.index(f) for f in firsts]), classes

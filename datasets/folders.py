"""The reader of folders and zip files of images. Imports no TensorFlow."""

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
    """Read a folder or zip file of images, and all folders in it.

    Args:
      path: Path of the folder or zip file.
      pattern: shell pattern of file names; "*" selects those that end in `IMAGE_SUFFIXES`.
      conditional: label each image with the first folder of its path.

    Returns:
      A `packed.Source`.

    Raises:
      console.Failed: if there are no images, or some have no class and `conditional` is set.
    """
    if is_zip(path):
        archive = Archive(path, IMAGE_SUFFIXES, pattern)
        names, open_image, signature = archive.names, archive.get, archive.signature
    elif path.suffix.lower() == ".zip" and not path.exists():
        raise console.Failed(f"no file {path}")
    elif path.is_dir():
        files = _list_images(path, pattern)
        names, open_image = [os.path.relpath(f, path) for f in files], files.__getitem__
        facts = [(n, s.st_size, s.st_mtime_ns) for n, s in zip(names, map(os.stat, files))]
        signature = hashlib.sha256(repr(facts).encode()).hexdigest()
    else:
        raise console.Failed(
            f"no folder {path}: put images there, or give --dataset the path of a folder or a "
            "zip file"
        )
    if not names:
        kinds = " ".join(IMAGE_SUFFIXES) if pattern == "*" else pattern
        raise console.Failed(f"no images ({kinds}) in {path} or the folders in it")
    labels, classes = _folder_labels(path, names) if conditional else (None, ())
    return Source(names, open_image, signature, labels, classes)


def _list_images(path, pattern):
    """Return the sorted paths of the images under `path`.

    Follows links, enters each folder once, and leaves out hidden files and folders.
    """
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
    """Return (int labels [N], class names): each file's class is the first folder of its path."""
    firsts = [Path(n).parts[0] if len(Path(n).parts) > 1 else None for n in names]
    classes = tuple(sorted({f for f in firsts if f}))
    if not classes or None in firsts:
        raise console.Failed(
            f"{path} has images outside of the folders of its classes: "
            "put each class in a folder of its own, or leave --conditional out"
        )
    return np.array([classes.index(f) for f in firsts]), classes

"""The reader of folders and zip files of images. Imports no TensorFlow."""

import fnmatch
import os
import re
import zlib
from pathlib import Path, PurePath

import numpy as np

import console
from datasets.packed import NoImages, Source, fingerprint
from datasets.zip_archive import Archive, is_zip

CHECKED = 8  # images of a set whose contents are part of its fingerprint
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif")


def read_folder(path, *, pattern="*", conditional=False, part=None):
    """Read a folder or zip file of images, and all folders in it.

    `conditional` and `part` leave out top folders that hold nothing but one folder: archives often
    unpack into such folders.

    Args:
      path: Path of the folder or zip file.
      pattern: shell pattern of file names; "*" selects those that end in `IMAGE_SUFFIXES`.
      conditional: label each image with the first folder of its path. Classes are numbered in
        natural order: 2 before 10.
      part: read only the images in this top folder; None reads all images.

    Returns:
      A `packed.Source`.

    Raises:
      packed.NoImages: if there are no images.
      console.Failed: if the path cannot be read, or some images have no class and `conditional`
        is set.
    """
    archive, kinds = None, " ".join(IMAGE_SUFFIXES) if pattern == "*" else pattern
    if is_zip(path):
        archive = Archive(path, IMAGE_SUFFIXES, pattern)
        names, open_image = archive.names, archive.get
    elif path.suffix.lower() == ".zip" and not path.exists():
        raise console.Failed(f"no file {_place(path)}")
    elif path.is_dir():
        files = _list_images(path, pattern)
        names, open_image = [os.path.relpath(f, path) for f in files], files.__getitem__
    else:
        raise console.Failed(
            f"no folder {_place(path)}: put images there, or give --dataset the path of a folder "
            "or a zip file"
        )
    if not names:
        raise NoImages(f"no images ({kinds}) in {path} or the folders in it")
    chosen = _in_part(names, part) if part else dict(enumerate(names))
    if not chosen:
        raise NoImages(f"no folder {part} with images ({kinds}) in {path}")
    at, names = list(chosen), list(chosen.values())
    if archive:
        sizes, signature = [archive.sizes[i] for i in at], archive.signature
        mark = _mark(names, sizes, lambda i: archive.checksums[at[i]])
    else:
        stats = [os.stat(files[i]) for i in at]
        facts = [(n, s.st_size, s.st_mtime_ns) for n, s in zip(names, stats)]
        sizes, signature = [s.st_size for s in stats], fingerprint(facts)
        mark = _mark(names, sizes, lambda i: _checksum(files[at[i]]))
    labels, classes = _folder_labels(path, names) if conditional else (None, ())
    return Source(names, lambda i: open_image(at[i]), signature, labels, classes, fingerprint=mark)


def _mark(names, sizes, checksum):
    """Return the fingerprint of images: all names and sizes, and the checksums of a few.

    Pictures without compression often have the same sizes in many data sets.

    Args:
      names, sizes: names and bytes of the images.
      checksum: function of an index that returns a CRC-32.
    """
    order = sorted(range(len(names)), key=names.__getitem__)
    few = np.linspace(0, len(order) - 1, min(len(order), CHECKED)).astype(int)
    facts = [(names[i], sizes[i]) for i in order]
    return fingerprint([*facts, *(checksum(order[i]) for i in few)])


def _checksum(file):
    """Return the CRC-32 of a file; 0 if it cannot be read."""
    try:
        return zlib.crc32(Path(file).read_bytes())
    except OSError:
        return 0


def _place(path):
    """Return a Path as text for messages. One in the current folder begins with a dot."""
    return f".{os.sep}{path}" if path.name == str(path) else str(path)


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


def _unwrap(names, kept=None):
    """Split paths into tuples of their parts, without the top folders that hold one folder only.

    The top folder `kept` is never left out.
    """
    found = [PurePath(name).parts for name in names]
    while min(map(len, found)) > 2 and {parts[0] for parts in found} == {found[0][0]} - {kept}:
        found = [parts[1:] for parts in found]
    return found


def _in_part(names, part):
    """Return {index: path below the top folder `part`} of the images in that folder."""
    found = enumerate(_unwrap(names, part))
    return {i: os.path.join(*p[1:]) for i, p in found if len(p) > 1 and p[0] == part}


def _natural(name):
    """Return a sort key that compares digits as numbers, and other text without its case."""
    parts = re.split("0*([0-9]+)", name.casefold())  # text and digits in turn
    return [(len(part), part) if i % 2 else part for i, part in enumerate(parts)]


def _folder_labels(path, names):
    """Return (int labels [N], class names): each file's class is the first folder of its path."""
    firsts = [parts[0] if len(parts) > 1 else None for parts in _unwrap(names)]
    if None in firsts:
        raise console.Failed(
            f"{path} has images outside of the folders of its classes: "
            "put each class in a folder of its own, or leave --conditional out"
        )
    classes = tuple(sorted(sorted(set(firsts)), key=_natural))
    numbers = {name: number for number, name in enumerate(classes)}
    return np.array([numbers[name] for name in firsts]), classes

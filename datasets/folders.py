"""The readers of folders: of image files, and of LSUN's LMDB databases of image files.

Imports no TensorFlow.
"""

import functools
import os
import re
import zlib
from io import BytesIO
from pathlib import Path, PurePath

import numpy as np
from PIL import Image

import console
import files
import utils
from datasets import arrays, zip_archive
from datasets.lmdb_reader import Corrupt, Database
from datasets.packed import NoImages, Source, fingerprint
from datasets.zip_archive import Archive, is_zip

CHECKED = 8  # images of a set whose contents are part of its fingerprint
USUAL = ".jpg .png .webp .gif .bmp .tif or another image format"
FILE_SUFFIXES = (".zip", *arrays.SUFFIXES)  # of data sets that are one file


@functools.cache
def image_suffixes():
    """Return the lower-case file name endings of `utils.FORMATS`, a tuple."""
    known = Image.registered_extensions()
    return tuple(ending for ending, kind in known.items() if kind in utils.FORMATS)


def list_input(path, pattern):
    """Return (names, function of an index that opens an image) of an image or a folder.

    Raises:
      packed.NoImages: if the folder has no images.
      console.Failed: if there is no such file or folder.
    """
    if path.is_dir():
        source = read_folder(path, pattern=pattern)
        return source.names, source.open
    if path.is_file():
        return [path.name], lambda i: path
    raise console.Failed(f"no image or folder {path}")


def read_folder(path, *, pattern="*", conditional=False, part=None, outputs=()):
    """Read a folder or zip file of images, and all folders in it, or a file of arrays.

    `conditional` and `part` ignore a top folder that holds only one folder, because archives often
    unpack into such a folder.

    Args:
      path: Path of the folder or file.
      pattern: shell pattern of file names, of any case; "*" selects the `image_suffixes`.
      conditional: label each image with the first folder of its path. Classes are numbered in
        natural order: 2 before 10.
      part: read only the images in this top folder; None reads all images.
      outputs: paths to skip in a folder, as in `_list_images`.

    Returns:
      A `packed.Source`.

    Raises:
      packed.NoImages: if there are no images.
      console.Failed: if the path cannot be read, or some images have no class and `conditional`
        is set.
    """
    if path.suffix.lower() in FILE_SUFFIXES and not path.exists():
        raise console.Failed(f"no file {_place(path)}")
    if arrays.is_arrays(path):
        if part:
            raise console.Failed(f"{path} has no folder {part}: it is a file of arrays")
        return arrays.read_arrays(path, conditional=conditional)
    if not is_zip(path) and not path.is_dir():
        raise console.Failed(
            f"no folder {_place(path)}: put images there, or give --dataset the path of a folder "
            "or of a .zip, .npy or .npz file"
        )
    suffixes, kinds = image_suffixes(), USUAL if pattern == "*" else pattern
    found = Archive(path, suffixes, pattern) if is_zip(path) else Folder(path, pattern, outputs)
    if not found.names:
        raise NoImages(f"no images ({kinds}) in {path} or the folders in it")
    chosen = _in_part(found.names, part) if part else dict(enumerate(found.names))
    if not chosen:
        raise NoImages(f"no folder {part} with images ({kinds}) in {path}")
    at, names = list(chosen), list(chosen.values())
    labels, classes = _folder_labels(path, names) if conditional else (None, ())
    return Source(
        names,
        lambda i: found.get(at[i]),
        found.signature,
        labels,
        classes,
        fingerprint=_mark(names, [found.sizes[i] for i in at], lambda i: found.checksum(at[i])),
        notes=tuple(zip_archive.count_endings(found.left_out)),
    )


class Folder:
    """The pictures of a folder, with the attributes and methods of an `Archive`."""

    def __init__(self, path, pattern, outputs):
        self.paths, self.left_out = _list_images(path, pattern, outputs)
        self.names = [os.path.relpath(file, path) for file in self.paths]
        stats = [os.stat(file) for file in self.paths]
        self.sizes = [stat.st_size for stat in stats]
        facts = [(n, s.st_size, s.st_mtime_ns) for n, s in zip(self.names, stats)]
        self.signature = fingerprint(facts)

    def get(self, i):
        """Return the path of picture `i`."""
        return self.paths[i]

    def checksum(self, i):
        """Return the CRC-32 of picture `i`; 0 if it cannot be read."""
        try:
            return zlib.crc32(Path(self.paths[i]).read_bytes())
        except OSError:
            return 0


def _mark(names, sizes, checksum):
    """Return the fingerprint of images: all names and sizes, and the checksums of a few.

    Names and sizes alone can be equal in two data sets of uncompressed pictures.

    Args:
      names, sizes: names and bytes of the images.
      checksum: function of an index that returns a CRC-32.
    """
    order = sorted(range(len(names)), key=names.__getitem__)
    few = np.linspace(0, len(order) - 1, min(len(order), CHECKED)).astype(int)
    facts = [(names[i], sizes[i]) for i in order]
    return fingerprint([*facts, *(checksum(order[i]) for i in few)])


def _place(path):
    """Return a Path as text for messages. It begins with a dot for the current folder."""
    return f".{os.sep}{path}" if path.name == str(path) else str(path)


def _list_images(path, pattern, outputs):
    """Return (sorted paths of the images under `path`, names of the files that are left out).

    Follows links and enters each folder once. Skips hidden files and folders, `outputs`, and what
    `files.mark_output` has marked. Never skips `path` itself.
    """
    found, left_out, seen, closed, reals = [], [], set(), [], {}
    outputs = {os.path.realpath(output) for output in outputs}
    for folder, inner, names in os.walk(path, followlinks=True, onerror=closed.append):
        real = reals.pop(folder, None) or os.path.realpath(folder)
        is_top, marked = not seen, files.OUTPUT_MARK in names
        is_output = real in outputs or (marked and files.is_output(Path(folder)))
        if real in seen or (is_output and not is_top):
            inner.clear()
            continue
        seen.add(real)
        inner[:] = sorted(d for d in inner if not d.startswith(".") and d != "__MACOSX")
        for inside in inner:  # `realpath` of thousands of folders takes seconds
            path_inside = os.path.join(folder, inside)
            if not os.path.islink(path_inside):
                reals[path_inside] = os.path.join(real, inside)
        made = files.output_names(Path(folder)) if marked else ()
        for name in names:
            file = os.path.join(folder, name)
            if name.startswith(".") or name in made or os.path.join(real, name) in outputs:
                continue
            if not os.path.isfile(file):
                continue
            wanted = zip_archive.is_wanted(name, image_suffixes(), pattern)
            (found if wanted else left_out).append(file if wanted else name)
    for error in closed:
        print(console.plain(f"left out a folder: {error}"))
    return sorted(found), left_out


def _unwrap(names, kept=None):
    """Split paths into tuples of their parts, without a top folder that holds only one folder.

    Removes such folders one after another, but never the top folder `kept`.
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
            f"{path} has images outside its class folders: "
            "put each class in a folder of its own, or leave --conditional out"
        )
    classes = tuple(sorted(sorted(set(firsts)), key=_natural))
    numbers = {name: number for number, name in enumerate(classes)}
    return np.array([numbers[name] for name in firsts]), classes


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

    labels = np.repeat(np.arange(len(databases)), [f[1] for f in facts])
    classes = tuple(d.name for d in databases)
    marks = fingerprint([(name, *fact[1:3]) for name, fact in zip(classes, facts)])
    return Source(names, open_image, fingerprint(facts), labels, classes, fingerprint=marks)


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

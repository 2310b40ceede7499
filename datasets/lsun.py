"""The reader of LSUN: LMDB databases of image files. Imports no TensorFlow."""

import hashlib
from io import BytesIO

import numpy as np

import console
from datasets import folders
from datasets.lmdb_reader import Corrupt, Database
from datasets.packed import Source, fingerprint


def read_lsun(path, *, pattern="*", conditional=False):
    """Read all LMDB databases in a folder; if there are none, read it as a folder of images.

    Each database is a class. A database that cannot be read any further ends the packing; a
    single unreadable value is skipped.

    Args:
      path: Path of the folder; LSUN ships databases as folders `*_lmdb`.
      pattern, conditional: as in `folders.read_folder`, for a folder of images.

    Returns:
      A `packed.Source`.

    Raises:
      console.Failed: if a database is corrupt, or all are empty.
    """
    databases = _list_databases(path)
    if not databases:
        return folders.read_folder(path, pattern=pattern, conditional=conditional)
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
    marks = fingerprint([(name, *fact[1:3]) for name, fact in zip(classes, facts)])
    return Source(names, open_image, signature, labels, classes, fingerprint=marks)


def _list_databases(path):
    """Return the sorted paths of the LMDB folders under `path`, each once.

    Follows links in `path` itself, not in the folders below it.
    """
    files = sorted({f for depth in ("*", "**") for f in path.glob(f"{depth}/data.mdb")})
    return sorted({f.parent.resolve(): f.parent for f in files}.values())


def _open_database(folder):
    """Return the Database of an LMDB folder. Raises console.Failed if it is corrupt."""
    try:
        return Database(folder)
    except Corrupt as error:
        raise console.Failed(f"cannot read the database {folder}: {error}") from None

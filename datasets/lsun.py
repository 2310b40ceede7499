"""The reader of LSUN's databases. Imports no TensorFlow."""

import hashlib
from io import BytesIO

import numpy as np

import console
from datasets import folders
from datasets.lmdb_reader import Corrupt, Database
from datasets.packed import Source


def read_lsun(path, *, pattern="*", conditional=False):
    """LSUN: the LMDB databases that it ships as (`*_lmdb`), or a plain folder of images."""
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

    def open_item(i):
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
        raise console.Failed(f"cannot read the database {folder}: {error}") from None

"""Pictures inside of a zip file, read one by one: nothing is written to the disk.

Imports no TensorFlow.
"""

import fnmatch
import hashlib
import io
import zipfile
from pathlib import PurePosixPath

import console
import files
from datasets.lmdb_reader import MAX_BYTES


def is_zip(path):
    """Is it a zip file, by its name?"""
    return path.suffix.lower() == ".zip" and path.is_file()


ENCRYPTED = 1  # a bit of a member's flags


class Archive:
    """The pictures of a zip file, sorted by name; without those hidden, or of a Mac's making.

    Attributes:
      names: their paths in the archive, below the folder that all of them are in, if there is one.
      signature: changes when they do.

    Raises:
      utils.Failed: where it is no zip file, is broken, or is encrypted.
    """

    def __init__(self, path, suffixes, pattern="*"):
        try:
            self._file = zipfile.ZipFile(path)
        except Exception as error:  # whatever zipfile makes of a broken list of files
            raise console.Failed(f"cannot read {path}: {console.first_line(error)}") from None
        found = [(_parts(member), member) for member in self._file.infolist()]
        found = [(parts, m) for parts, m in found if _is_wanted(parts, m, suffixes, pattern)]
        found.sort(key=lambda pair: pair[0])
        self._members = [member for _, member in found]
        if locked := [m.filename for m in self._members if m.flag_bits & ENCRYPTED]:
            raise console.Failed(f"cannot read {path}: it is encrypted, as {locked[0]} in it is")
        self.names = _below([parts for parts, _ in found])
        stat = path.stat()  # a broken copy may have the sums of the whole one
        facts = [stat.st_size, stat.st_mtime_ns]
        facts += [(m.filename, m.CRC, m.file_size) for m in self._members]
        self.signature = hashlib.sha256(repr(facts).encode(errors="replace")).hexdigest()

    def get(self, i):
        """A picture's file, in memory. Raises an error where it is broken or much too large."""
        member = self._members[i]
        files.check_size(member.file_size, member.compress_size, "unpacked")
        if member.file_size > MAX_BYTES:
            raise ValueError(f"{member.file_size} bytes are too many")
        with self._file.open(member) as file:
            return io.BytesIO(file.read())


def _parts(member):
    """The folders and the name of a member; Windows writes them with another stroke."""
    return PurePosixPath(member.filename.replace("\\", "/")).parts


def _is_wanted(parts, member, suffixes, pattern):
    """Is it a picture by its name, and neither hidden nor above the archive, as ".." would be?"""
    if member.is_dir() or not parts or any(p[0] in "./" or p == "__MACOSX" for p in parts):
        return False
    known = pattern != "*" or parts[-1].lower().endswith(suffixes)
    return known and fnmatch.fnmatchcase(parts[-1], pattern)


def _below(found):
    """Names without the folder at the top, where there is one around other folders alone."""
    while found and min(map(len, found)) > 2 and len({parts[0] for parts in found}) == 1:
        found = [parts[1:] for parts in found]
    return ["/".join(parts) for parts in found]

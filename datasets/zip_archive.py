"""Pictures in a zip file, read one by one without unpacking to the disk.

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

ENCRYPTED = 1  # bit of `ZipInfo.flag_bits`


def is_zip(path):
    """Return whether a Path is a file whose name ends in .zip."""
    return path.suffix.lower() == ".zip" and path.is_file()


class Archive:
    """The pictures of a zip file, sorted by their paths.

    Hidden files, `__MACOSX` and paths that lead out of the archive are left out.

    Args:
      path: Path of the zip file.
      suffixes: tuple of lower-case file name endings, used if `pattern` is "*".
      pattern: shell pattern of file names.

    Attributes:
      names: the paths, with "/" between folders.
      sizes, checksums: bytes and CRC-32 of each picture, unpacked.
      signature: str that changes when the pictures change.

    Raises:
      console.Failed: if the file is not a zip file, is broken, or is encrypted.
    """

    def __init__(self, path, suffixes, pattern="*"):
        try:
            self._file = zipfile.ZipFile(path)
        except Exception as error:  # zipfile raises many types for a broken directory
            raise console.Failed(f"cannot read {path}: {console.first_line(error)}") from None
        found = [(_parts(member), member) for member in self._file.infolist()]
        found = [(parts, m) for parts, m in found if _is_wanted(parts, m, suffixes, pattern)]
        found.sort(key=lambda pair: pair[0])
        self._members = [member for _, member in found]
        if locked := [m.filename for m in self._members if m.flag_bits & ENCRYPTED]:
            raise console.Failed(f"cannot read {path}: {locked[0]} in it is encrypted")
        self.names = ["/".join(parts) for parts, _ in found]
        self.sizes = [member.file_size for member in self._members]
        self.checksums = [member.CRC for member in self._members]
        stat = path.stat()  # a damaged copy may list the same checksums as the whole file
        facts = [stat.st_size, stat.st_mtime_ns]
        facts += [(m.filename, m.CRC, m.file_size) for m in self._members]
        self.signature = hashlib.sha256(repr(facts).encode(errors="replace")).hexdigest()

    def get(self, i):
        """Return the file of picture `i` as a BytesIO.

        Raises:
          ValueError: if it unpacks to too many bytes.
          zipfile.BadZipFile and others: if it is broken.
        """
        member = self._members[i]
        files.check_size(member.file_size, member.compress_size, "unpacked")
        if member.file_size > MAX_BYTES:
            raise ValueError(f"{member.file_size} bytes are too many")
        with self._file.open(member) as file:
            return io.BytesIO(file.read())


def _parts(member):
    """Return the folders and the file name of a member; some Windows programs write "\\"."""
    return PurePosixPath(member.filename.replace("\\", "/")).parts


def _is_wanted(parts, member, suffixes, pattern):
    """Return whether a member is a picture with a relative path, not hidden, and without ".."."""
    if member.is_dir() or not parts or any(p[0] in "./" or p == "__MACOSX" for p in parts):
        return False
    known = pattern != "*" or parts[-1].lower().endswith(suffixes)
    return known and fnmatch.fnmatchcase(parts[-1], pattern)

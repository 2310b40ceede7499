"""Pictures in a zip file, read without unpacking to the disk; the choice of files by their names.

Imports no TensorFlow.
"""

import collections
import contextlib
import fnmatch
import io
import zipfile
from pathlib import PurePosixPath

import console
import files
from datasets.lmdb_reader import MAX_BYTES
from datasets.packed import fingerprint

ENCRYPTED = 1  # bit of `ZipInfo.flag_bits`
JUNK = ("thumbs.db", "desktop.ini")  # what Windows writes into folders of pictures
MAX_MARK = 1_000_000  # bytes of the mark of outputs in a folder
MAX_ENDINGS = 6  # that a note names


def is_zip(path):
    """Return whether a Path is a file whose name ends in .zip."""
    return path.suffix.lower() == ".zip" and path.is_file()


class Archive:
    """The pictures of a zip file, sorted by their paths.

    Hidden files, `__MACOSX` and paths that lead out of the archive are left out, and so is what
    `files.mark_output` has marked, if there are other files.

    Args:
      path: Path of the zip file.
      suffixes, pattern: as in `is_wanted`.

    Attributes:
      names: the paths, with "/" between folders.
      sizes: bytes of each picture, unpacked.
      signature: str that changes when the pictures change.
      left_out: names of the files that `is_wanted` refuses.

    Raises:
      console.Failed: if the file is not a zip file, is broken, or is encrypted.
    """

    def __init__(self, path, suffixes, pattern="*"):
        try:
            self._file = zipfile.ZipFile(path)
        except Exception as error:  # zipfile raises many types for a broken directory
            raise console.Failed(f"cannot read {path}: {console.first_line(error)}") from None
        found = [(_parts(member), member) for member in self._file.infolist()]
        made = self._outputs(found)
        found = [(parts, m) for parts, m in found if _is_inside(parts, m)]
        others = [(p, m) for p, m in found if made.isdisjoint(p[:n] for n in range(1, len(p) + 1))]
        found = others or found
        wanted = [is_wanted(parts[-1], suffixes, pattern) for parts, _ in found]
        self.left_out = [parts[-1] for (parts, _), take in zip(found, wanted) if not take]
        found = [pair for pair, take in zip(found, wanted) if take]
        found.sort(key=lambda pair: pair[0])
        self._members = [member for _, member in found]
        if locked := [m.filename for m in self._members if m.flag_bits & ENCRYPTED]:
            raise console.Failed(f"cannot read {path}: {locked[0]} in it is encrypted")
        self.names = ["/".join(parts) for parts, _ in found]
        self.sizes = [member.file_size for member in self._members]
        stat = path.stat()  # a damaged copy may list the same checksums as the whole file
        facts = [stat.st_size, stat.st_mtime_ns]
        facts += [(m.filename, m.CRC, m.file_size) for m in self._members]
        self.signature = fingerprint(facts)

    def _outputs(self, found):
        """Return the folders and files that `files.mark_output` has marked, as a set of parts.

        Args:
          found: list of (parts, member) of all members.
        """
        made = set()
        for parts, member in found:
            if parts[-1:] == (files.OUTPUT_MARK,) and member.file_size < MAX_MARK:
                with contextlib.suppress(Exception):  # zipfile raises many types for a broken file
                    names = self._file.read(member).decode(errors="replace").splitlines()
                    made.update((*parts[:-1], name) for name in names)
                    made.update([] if names else [parts[:-1]])
        return made

    def checksum(self, i):
        """Return the CRC-32 of picture `i`."""
        return self._members[i].CRC

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


def _is_inside(parts, member):
    """Return whether a member is a file with a relative path, not hidden, and without ".."."""
    return bool(parts) and not (
        member.is_dir() or any(p[0] in "./" or p == "__MACOSX" for p in parts)
    )


def is_wanted(name, suffixes, pattern):
    """Return whether a file name is that of a picture. Ignores case.

    Args:
      name: file name.
      suffixes: tuple of lower-case file name endings, used if `pattern` is "*".
      pattern: shell pattern of file names.
    """
    name = name.lower()
    return name.endswith(suffixes) if pattern == "*" else fnmatch.fnmatchcase(name, pattern.lower())


def count_endings(names):
    """Return a list with one line that counts left-out files by ending, or [] if there are none.

    Ignores files that operating systems write (`JUNK`).
    """
    endings = [PurePosixPath(name.lower()).suffix for name in names if name.lower() not in JUNK]
    counts = collections.Counter(endings)
    ranked = sorted(counts.items(), key=lambda item: (not item[0], -item[1], item[0]))
    parts = [f"{count} {ending or 'without an ending'}" for ending, count in ranked]
    if len(parts) > MAX_ENDINGS:
        parts[MAX_ENDINGS:] = [f"{sum(count for _, count in ranked[MAX_ENDINGS:])} others"]
    return [console.plain(f"left out: {', '.join(parts)}")] if parts else []

"""Files: atomic writes, the marks of outputs, and paths for TensorFlow.

Imports TensorFlow only while TensorFlow writes.
"""

import contextlib
import errno
import os
import re
import shutil
import tempfile
import zipfile
from pathlib import Path

import console
import locks
from locks import writing

MAX_UNPACKED = 100  # unpacked bytes for each stored byte; MNIST's files have 5
# File that marks an output folder of this program. It is empty, or in a folder with other files, it
# lists the files that the program has made there.
OUTPUT_MARK = ".gan-output"
WINDOWS = os.name == "nt"
OPEN_FOLDERS = "/proc/self/fd"  # Linux: the open files and folders of this process, by number
HEAD, BLOCK = 4096, 2**20  # bytes that `allocate` keeps at the start, and bytes of a write
NO_ALLOCATION = (errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)


def check_size(count, stored, what):
    """Refuse archives that unpack to far more bytes than they hold.

    Raises:
      ValueError: if `count` bytes are more than 1 MB + `MAX_UNPACKED` * `stored` bytes. The message
        begins with `what`.
    """
    if count > MAX_UNPACKED * stored + 1_000_000:
        raise ValueError(f"{what}: too many bytes for {stored} stored bytes")


def check_zip(path):
    """Refuse a zip file with a member that unpacks to far more bytes than it holds.

    Raises:
      ValueError: as `check_size` does, with the member's name.
      OSError, zipfile.BadZipFile: if the file cannot be read.
    """
    with zipfile.ZipFile(path) as parts:
        for member in parts.infolist():
            check_size(member.file_size, member.compress_size, member.filename)


@contextlib.contextmanager
def atomic_path(path):
    """Yield a temporary path; move it to `path` if the block ends without an error.

    Raises:
      OSError: if the file cannot be written. Its message names `path`.
    """
    path = Path(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with locks.part_of(path) as part:
            yield part
            os.replace(part, path)


@contextlib.contextmanager
def writing_by_tensorflow(path):
    """Replace an error of TensorFlow in the block by a console.Failed that names `path`."""
    import tensorflow as tf

    try:
        yield
    except tf.errors.OpError as error:
        reason = re.sub(r"{{.*?}} ?", "", error.message)  # the names of operations
        raise console.Failed(f"cannot write {path}: {console.first_line(reason, 500)}") from None


@contextlib.contextmanager
def tensorflow_path(folder):
    """Yield a path, as text, by which TensorFlow finds an existing folder during the block.

    TensorFlow takes a path for a pattern where it looks for checkpoints. It takes all paths for
    UTF-8, also where the locale has another encoding.
    A folder whose path does not suit it is opened, and gets the path of the open folder in /proc.

    Raises:
      console.Failed: if the path does not suit TensorFlow, and the system has no /proc.
      OSError: if it does not suit TensorFlow, and the folder cannot be opened.
    """
    path = str(folder)
    if suits_tensorflow(path):
        yield path
        return
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"{OPEN_FOLDERS}/{opened}"
    finally:
        os.close(opened)


def suits_tensorflow(path):
    """True if TensorFlow finds files at a path as it is.

    Raises:
      console.Failed: if it does not, and `tensorflow_path` cannot help on this system.
    """
    special, text = "[*?" if WINDOWS else "[*?\\", str(path)
    with contextlib.suppress(UnicodeEncodeError):  # for bytes that are no text
        if not set(text) & set(special) and os.fsencode(text) == text.encode():
            return True
    if not os.path.isdir(OPEN_FOLDERS):
        raise console.Failed(
            f"TensorFlow cannot use the path {path} on this system: give a --name and a "
            f"--checkpoint_dir without {' '.join(special)} and with valid text only"
        )
    return False


def check_writable(folder):
    """Check that files can be made in a folder, or in the nearest existing folder above it.

    Leaves no file there.

    Raises:
      OSError: if no file can be made. The message names `folder`.
    """
    place = Path(os.path.abspath(folder))
    while not os.path.lexists(place):
        place = place.parent
    with writing(f"{folder}/"), tempfile.TemporaryFile(dir=place):
        pass


def allocate(path):
    """Allocate the disk space of a sparse file, so that later writes cannot fill the disk.

    Writes zeros if the system cannot allocate space.

    Raises:
      OSError: if the disk is full.
    """
    size = path.stat().st_size
    with open(path, "r+b") as file:
        try:
            if not hasattr(os, "posix_fallocate"):  # macOS and Windows
                raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
            os.posix_fallocate(file.fileno(), 0, size)
        except OSError as error:
            if error.errno not in NO_ALLOCATION:
                raise
            console.note_once("this system cannot allocate disk space: packing writes zeros first")
            file.seek(len(file.read(HEAD)))
            for start in range(file.tell(), size, BLOCK):
                file.write(bytes(min(BLOCK, size - start)))


def mark_output(folder, names=()):
    """Make a folder and mark it as an output of this program, which is never read as data.

    Args:
      folder: path of the folder.
      names: names of the files to mark, if the folder may have files of the user; empty to mark
        the whole folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    marked, names = output_names(folder), {*names}
    if not is_output(folder) and not (names and names <= marked):
        text = "".join(f"{name}\n" for name in sorted(names | marked)) if names else ""
        save_text(folder / OUTPUT_MARK, text)


def is_output(folder):
    """True if `mark_output` has marked a whole folder."""
    mark = folder / OUTPUT_MARK
    return mark.is_file() and not mark.stat().st_size


def output_names(folder):
    """Return the set of the names of the files that `mark_output` has marked in a folder."""
    mark = folder / OUTPUT_MARK
    return set(mark.read_text(errors="replace").splitlines()) if mark.is_file() else set()


def are_equal(one, other):
    """True if two files have the same bytes; False if one is absent."""
    try:
        return one.read_bytes() == other.read_bytes()
    except OSError:
        return False


def copy(source, target):
    """Copy a file atomically."""
    with atomic_path(target) as part:
        shutil.copyfile(source, part)


def save_text(path, text):
    """Write a text file atomically."""
    with atomic_path(path) as part:
        part.write_text(text)


def download(url, digest, target, finish=os.replace):
    """Download a file, check it, and put it into its place.

    Args:
      url: address of the file.
      digest: its MD5 or SHA-256.
      target: Path of the file. Its folder is made.
      finish: function of (path of the checked file, `target`) that puts it there.

    Raises:
      KeyboardInterrupt: with a line, if it is interrupted.
      console.Failed: if it fails, or the file is another one, with the reason alone.
    """
    try:
        with console.quiet_stderr():  # TensorFlow logs when it is imported
            from keras.utils import get_file

        target.parent.mkdir(parents=True, exist_ok=True)  # Keras would fall back to /tmp
        locks.clear_parts(target.parent)
        with locks.part_of(target, folder=True) as new:
            place = {"cache_dir": str(new.parent), "cache_subdir": new.name}
            get_file(target.name, url, file_hash=digest, **place)
            finish(new / target.name, target)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"interrupted: the download of {url} begins anew with the next call"
        ) from None
    except Exception as error:  # no network, no such host, a wrong checksum, a full disk
        text = " ".join(str(error).split()) or type(error).__name__
        raise console.Failed(text.replace(f" on {url}", "")[:120]) from None

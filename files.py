"""Files: atomic writes, locks, and the removal of what dead processes left.

Imports TensorFlow only while TensorFlow writes.
"""

import contextlib
import errno
import functools
import os
import re
import shutil
import tempfile
from pathlib import Path

import console

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

MAX_UNPACKED = 100  # unpacked bytes for each stored byte; MNIST's files have 5
PART_PATTERN = ".*.part*"  # matches the names that `part_path` makes
# File that marks an output folder of this program. It is empty, or in a folder with other files, it
# lists the files that the program has made there.
OUTPUT_MARK = ".gan-output"
WINDOWS = os.name == "nt"
NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)  # errors of file systems without locks
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


def part_path(path):
    """Return a hidden temporary path beside `path`, with this process's id and the same suffix."""
    return path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")


@contextlib.contextmanager
def atomic_path(path):
    """Yield a temporary path; move it to `path` if the block ends without an error.

    Raises:
      OSError: if the file cannot be written. Its message names `path`.
    """
    path = Path(path)
    part = part_path(path)
    try:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield part
            os.replace(part, path)
    finally:
        with contextlib.suppress(OSError):  # its folder may not exist
            part.unlink(missing_ok=True)


@contextlib.contextmanager
def writing(path):
    """Replace an OSError of the block by one whose message names `path`.

    The original message may name no path, or a temporary file.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or console.first_line(error)
        raise OSError(f"cannot write {path}: {reason}") from error


@contextlib.contextmanager
def writing_by_tensorflow(path):
    """Replace an error of TensorFlow in the block by a console.Failed that names `path`."""
    import tensorflow as tf

    try:
        yield
    except tf.errors.OpError as error:
        reason = re.sub(r"{{.*?}} ?", "", error.message)  # the names of operations
        raise console.Failed(f"cannot write {path}: {console.first_line(reason, 500)}") from None


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
            _note("this system cannot allocate disk space: packing writes zeros first")
            file.seek(len(file.read(HEAD)))
            for start in range(file.tell(), size, BLOCK):
                file.write(bytes(min(BLOCK, size - start)))


@functools.cache
def _note(text):
    """Print a note, once in a process."""
    print(f"note: {text}", flush=True)


def clear_parts(folder):
    """Remove the temporary files and folders that dead processes left in a folder."""
    for part in Path(folder).glob(PART_PATTERN):
        pid = re.search(r"\.(\d{1,7})\.part", part.name)
        if pid and not _is_alive(int(pid[1])):
            with contextlib.suppress(FileNotFoundError):  # another process may remove it, too
                (shutil.rmtree if part.is_dir() else Path.unlink)(part)


def remove(path):
    """Delete a file, a link or a folder, if it exists."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _is_alive(pid):
    """True if another process of this id is running.

    False for this process's own id. This process has no temporary file yet, so a file with its id
    is from an older process. True for every other id on Windows, where the question would end the
    process.
    """
    if WINDOWS:
        return pid != os.getpid()
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return pid != os.getpid() and not _has_ended(pid)


def _has_ended(pid):
    """True if a process has ended, but its parent has not read its status. Linux only."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (OSError, IndexError):
        return False


@contextlib.contextmanager
def lock(path, busy):
    """Hold the lock of a file in the block, and remove the file afterwards.

    The system releases the lock if the process dies. Without locks, on Windows and on some file
    systems, a note says so and the block runs unprotected.

    Args:
      path: path of the lock file.
      busy: called with the id of the process that holds the lock, as text. If it returns, this
        process waits for the lock.
    """
    with contextlib.ExitStack() as opened:
        while True:
            file = opened.enter_context(open(path, "a+"))
            locked = _take(file, busy)
            if not locked or _is_at(file, path):
                break
            opened.close()  # the previous holder has removed this file
        try:
            with writing(path):
                file.truncate(0)
                file.write(str(os.getpid()))
                file.flush()
            if not locked:
                opened.close()  # Windows removes no open file
            yield
        finally:
            path.unlink(missing_ok=True)


def _take(file, busy):
    """Take the lock of an open file, as in `lock`. Return False if there are no locks."""
    try:
        if fcntl is None:
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            busy(file.read().strip() or "unknown")
            fcntl.flock(file, fcntl.LOCK_EX)
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        _note("this file system has no locks: do not train one run twice at the same time")
        return False
    return True


def _is_at(file, path):
    """True if an open file is the one at `path`."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False


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


def copy(source, target):
    """Copy a file atomically."""
    with atomic_path(target) as part:
        shutil.copyfile(source, part)


def save_text(path, text):
    """Write a text file atomically."""
    with atomic_path(path) as part:
        part.write_text(text)

"""Files: atomic writes, locks, and what dead processes leave. Imports no TensorFlow."""

import contextlib
import fcntl
import os
import re
import shutil
from pathlib import Path

import console

MOST_UNPACKED = 100  # bytes for each stored one: MNIST's files have 5


def check_size(count, stored, what):
    """Raise ValueError where so few stored bytes cannot be, or should not be, so many unpacked."""
    if count > MOST_UNPACKED * stored + 1_000_000:
        raise ValueError(f"{what}: too much for {stored} stored bytes")


@contextlib.contextmanager
def atomic_path(path):
    """A temporary path beside `path`, moved onto it when the block ends without an error.

    Raises OSError, naming `path`, where the disk is full or may not be written to.
    """
    path = Path(path)
    part = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield part
            os.replace(part, path)
    finally:
        with contextlib.suppress(OSError):  # such as that of a folder that cannot be
            part.unlink(missing_ok=True)


@contextlib.contextmanager
def writing(path):
    """Raises an OSError of the block anew as one that names `path`.

    Some have no name, and others that of a temporary file.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or console.first_line(error)
        raise OSError(f"cannot write {path}: {reason}") from error


def clear_parts(folder):
    """Remove the temporary files and folders that dead processes have left in a folder."""
    for part in Path(folder).glob(".*.part*"):
        pid = re.search(r"\.(\d{1,7})\.part", part.name)
        if pid and not _lives(int(pid[1])):
            with contextlib.suppress(FileNotFoundError):  # another process clears, too
                (shutil.rmtree if part.is_dir() else Path.unlink)(part)


def _lives(pid):
    """Is it another process that runs? This one has written nothing when it asks."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return pid != os.getpid() and not _has_ended(pid)


def _has_ended(pid):
    """Has a process ended, though its parent has not asked for its status yet? Known on Linux."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (OSError, IndexError):
        return False


@contextlib.contextmanager
def lock(path, busy):
    """Hold a file's lock, which ends with this process at the latest; the file goes with it.

    Where another process holds it, `busy` is called with that one's id: it raises, or returns
    and the lock is waited for.
    """
    while True:
        with open(path, "a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                busy(file.read().strip() or "unknown")
                fcntl.flock(file, fcntl.LOCK_EX)
            if not _is_at(file, path):  # the holder before has removed it
                continue
            try:
                with writing(path):
                    file.truncate(0)
                    file.write(str(os.getpid()))
                    file.flush()
                yield
            finally:
                path.unlink(missing_ok=True)
            return


def _is_at(file, path):
    """Is an open file still the one at a path?"""
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False


def save_text(path, text):
    """Write a text file whole or not at all."""
    with atomic_path(path) as part:
        part.write_text(text)

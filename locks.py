"""Locks, and temporary files that are locked while the process that writes them lives.

The system releases a lock when its process dies. A process id proves nothing: containers that share
a folder have processes of the same ids. Imports no TensorFlow.
"""

import contextlib
import errno
import os
import re
import secrets
import shutil
import stat
from pathlib import Path

import console

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

PART = re.compile(r"\.gan-[0-9a-f]{16}\.part(\.\w+)?")  # the names of temporary files and folders
NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)  # errors of file systems without locks
# Flags that Windows lacks. Without O_NONBLOCK, opening a pipe waits for its other end.
NO_LINK = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


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


def open_file(path, mode, **kwargs):
    """Open a file for writing, as `open` does, but only a regular file, and through no link.

    A link in a folder of a stranger may point to any file of the user.

    Args:
      path: path of the file.
      mode: "a", "a+" or "r+b".
      **kwargs: of `open`.

    Raises:
      OSError: if it cannot be opened, or is a link or no regular file.
    """

    def opener(name, flags):
        try:
            opened = os.open(name, flags | NO_LINK, 0o666)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise OSError(error.errno, "it is a link", str(path)) from None
            raise
        if stat.S_ISREG(os.fstat(opened).st_mode):
            return opened
        os.close(opened)
        raise OSError(errno.EINVAL, "it is no file", str(path))

    return open(path, mode, opener=opener, **kwargs)


@contextlib.contextmanager
def lock(path, busy):
    """Hold the lock of a file in the block, and remove the file afterwards.

    Without locks, on Windows and on some file systems, a note says so and the block runs
    unprotected.

    Args:
      path: path of the lock file.
      busy: called with the id of the process that holds the lock, as text. If it returns, this
        process waits for the lock.

    Raises:
      OSError: if the lock file cannot be written, or is a link. The message names it.
    """
    with contextlib.ExitStack() as opened:
        while True:
            with writing(path):
                file = opened.enter_context(open_file(path, "a+"))
                if os.fstat(file.fileno()).st_nlink > 1:  # it would be emptied, too
                    raise OSError(errno.EMLINK, "it is another name of a file", str(path))
            locked = _take(file, busy)
            if not locked or _is_at(file.fileno(), path):
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
        if not _try_lock(file.fileno()):
            file.seek(0)
            busy(file.read().strip() or "unknown")
            fcntl.flock(file, fcntl.LOCK_EX)
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        console.note_once(
            "this file system has no locks: do not train one run twice at the same time"
        )
        return False
    return True


def _try_lock(opened):
    """Take the lock of a file descriptor. Return False if another one holds it.

    Raises:
      OSError: if there are no locks.
    """
    if fcntl is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(opened, path):
    """True if a file descriptor is of the file at `path`."""
    try:
        return os.path.samestat(os.fstat(opened), os.lstat(path))
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def part_of(path, folder=False):
    """Yield a new hidden file or folder beside `path`, with its suffix; remove it in the end.

    Its lock is held in the block, so that `clear_parts` of other processes leaves it alone.

    Args:
      path: path that the file will be moved to. Its folder must exist.
      folder: True makes a folder.

    Raises:
      OSError: if it cannot be made.
    """
    opened = None
    while opened is None:
        part = Path(path).with_name(f".gan-{secrets.token_hex(8)}.part{Path(path).suffix}")
        opened = _make_locked(part, folder)
    try:
        yield part
    finally:
        if opened >= 0:
            os.close(opened)
        with contextlib.suppress(OSError):  # its folder may not exist any more
            remove(part)


def _make_locked(part, folder):
    """Make a file or folder and lock it.

    Returns:
      Its file descriptor; -1 without locks; None if another process has removed it meanwhile.
    """
    if folder:
        part.mkdir()
        opened = os.open(part, os.O_RDONLY) if fcntl else -1  # Windows opens no folder
    else:
        opened = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        held = _try_lock(opened) and _is_at(opened, part)
    except OSError:
        held, lost = False, -1
    else:
        lost = None
    if not held and opened >= 0:
        os.close(opened)
    return opened if held else lost


def _open_to_lock(path):
    """Return a file descriptor of a file or folder, -1 if it has none that can be locked.

    Network file systems lock only what is open for writing.
    """
    for flags in (os.O_RDWR, os.O_RDONLY) if fcntl else ():
        with contextlib.suppress(OSError):  # a folder cannot be opened for writing; or it is gone
            return os.open(path, flags | NO_LINK)
    return -1


def clear_parts(*folders):
    """Remove the temporary files and folders that dead processes left in some folders.

    Without locks it removes none.
    """
    for part in (path for folder in folders for path in Path(folder).glob(".gan-*.part*")):
        if not PART.fullmatch(part.name) or part.is_symlink():
            continue
        opened = _open_to_lock(part)
        if opened < 0:
            continue
        try:
            with contextlib.suppress(OSError):  # no locks, or another process removes it, too
                if _try_lock(opened):
                    remove(part)
        finally:
            os.close(opened)


def remove(path):
    """Delete a file, a link or a folder, if it exists. What a link points to stays."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)

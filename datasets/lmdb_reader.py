"""LMDB databases, read in a process of their own: a corrupt file crashes only that process.

The process runs this file, which imports nothing of the project and so starts quickly. Requests
and answers are pickles on its standard input and output.
"""

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import threading
import weakref

MAX_BYTES = 1 << 26  # of a value; no picture's file is larger
MAX_DEATHS = 20  # of reader processes, before a database is given up
LISTING_SECONDS = 120  # of CPU time, to list all keys; three million take a few seconds
MIN_ENTRY_BYTES = 10  # of the file, for one key and its value


class Corrupt(Exception):
    """A database, or one of its values, cannot be read; the message gives the reason."""


class Database:
    """An LMDB folder, read through a process that is started again whenever it dies.

    Attributes:
      folder: str, the path of the folder.
      keys: list of bytes, in the order of the database.
      deaths: number of reader processes that have died.

    Raises:
      Corrupt: if the keys cannot be listed.
    """

    def __init__(self, folder):
        self.folder, self.deaths = os.fspath(folder), 0
        self._lock, self._reader, self._stop = threading.Lock(), None, None
        self.keys = self._ask(None)

    def get(self, key):
        """Return the value of a key as bytes. May be called from any thread.

        Raises:
          Corrupt: if the value cannot be read.
        """
        with self._lock:  # one request at a time, so that a death has one key as its cause
            return self._ask(key)

    @property
    def given_up(self):
        """True once `MAX_DEATHS` reader processes have died; nothing is read any more."""
        return self.deaths >= MAX_DEATHS

    def _ask(self, key):
        """Return the value of a key, or the list of all keys if `key` is None."""
        if self.given_up:
            raise Corrupt("too much of the database is corrupt")
        try:
            if self._reader is None:
                self._start()
            pickle.dump(key, self._reader.stdin)
            self._reader.stdin.flush()
            error, answer = pickle.load(self._reader.stdout)
        except (EOFError, OSError, pickle.UnpicklingError):
            self.deaths += 1
            if self._reader is not None:  # the process had started
                self._stop()
            self._reader = None
            raise Corrupt("it is corrupt: its pages kill the process that reads them") from None
        if error is not None:
            raise Corrupt(error)
        return answer

    def _start(self):
        command = [sys.executable, __file__, self.folder]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self._reader = subprocess.Popen(command, stderr=subprocess.DEVNULL, **pipes)
        # Closes the pipes and waits: the reader ends at the end of its input.
        self._stop = weakref.finalize(self, self._reader.communicate)


# ---- in the reader process


def _serve(folder, requests, answers):
    """Answer each request with (error or None, answer): a key's value, or all keys for None."""
    import lmdb

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches this process, too
    env = None
    with contextlib.suppress(EOFError):  # the parent has closed the pipe, or has died
        while True:
            key = pickle.load(requests)
            try:
                env = env or lmdb.open(folder, readonly=True, lock=False, readahead=False)
                answer = None, _list_keys(env, folder) if key is None else _value(env, key)
            except (lmdb.Error, Corrupt) as error:
                answer = " ".join(str(error).split()), None
            pickle.dump(answer, answers)
            answers.flush()


def _list_keys(env, folder):
    """Return all keys. Raises Corrupt if the file's size or the number of keys is wrong."""
    entries, size = env.stat()["entries"], os.path.getsize(os.path.join(folder, "data.mdb"))
    pages = env.info()["last_pgno"] + 1
    # A whole file may lack its last pages, if they were never used.
    if size < 0.99 * pages * env.stat()["psize"]:
        raise Corrupt(f"it is cut short at {size} bytes")
    if entries > size // MIN_ENTRY_BYTES:
        raise Corrupt(f"it says that it has {entries} entries, in {size} bytes")
    # The timer kills this process if the pages form a loop.
    signal.setitimer(signal.ITIMER_VIRTUAL, LISTING_SECONDS)
    keys = []
    with env.begin() as transaction:
        for key in transaction.cursor().iternext(keys=True, values=False):
            keys.append(key)
            if len(keys) > entries:
                break
    signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    if len(keys) != entries:
        raise Corrupt(f"it says that it has {entries} entries, and lists {len(keys)}")
    return keys


def _value(env, key):
    """Return the bytes of a value. Raises Corrupt if there is none, or if it is too large."""
    with env.begin(buffers=True) as transaction:
        value = transaction.get(key)
        if value is None:
            raise Corrupt("no such key")
        if len(value) > MAX_BYTES:
            raise Corrupt(f"{len(value)} bytes are too many for a picture")
        return bytes(value)


if __name__ == "__main__":
    _serve(sys.argv[1], sys.stdin.buffer, sys.stdout.buffer)

"""LMDB databases, read by a process of their own: a corrupt one kills the process that reads it.

Imports nothing of ours, so that this process starts quickly: it runs this very file.
"""

import contextlib
import os
import signal
import struct
import subprocess
import sys
import threading
import weakref

MOST_BYTES = 1 << 26  # of a value: no picture is larger
LISTING_SECONDS = 120  # of computing: three million keys take a few
LEAST_ENTRY = 10  # bytes of the file that a key takes
MOST_DEATHS = 20  # of readers, before a database is given up
NUMBER = struct.Struct("<q")  # what goes before each message: its length, negative for an error
LIST = -1  # asks for all keys


class Corrupt(Exception):
    """A database, or one value of it, that cannot be read: the message says why."""


class Database:
    """The keys and values of an LMDB folder.

    Raises Corrupt where the keys cannot be listed.
    """

    def __init__(self, folder):
        self.folder, self.deaths = os.fspath(folder), 0
        self._lock, self._reader, self._end = threading.Lock(), None, lambda: None
        lengths, joined = self._ask(LIST, b"", answers=2)
        self.keys, start = [], 0
        for (length,) in NUMBER.iter_unpack(lengths):
            self.keys.append(joined[start : start + length])
            start += length

    def get(self, key):
        """The bytes of a value; for any thread. Raises Corrupt where they cannot be read."""
        with self._lock:
            return self._ask(len(key), key)[0]

    @property
    def hopeless(self):
        """Have so many readers died that the rest is not tried?"""
        return self.deaths >= MOST_DEATHS

    def _ask(self, number, words, answers=1):
        if self.hopeless:
            raise Corrupt("too much of the database is corrupt")
        try:
            if self._reader is None:
                self._start()
            self._reader.stdin.write(NUMBER.pack(number) + words)
            self._reader.stdin.flush()
            return [_receive(self._reader.stdout) for _ in range(answers)]
        except (EOFError, OSError):
            self.deaths += 1
            self._end()
            self._reader = None
            raise Corrupt("it is corrupt: its pages kill the process that reads them") from None

    def _start(self):
        words = [sys.executable, __file__, self.folder]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self._reader = subprocess.Popen(words, stderr=subprocess.DEVNULL, **pipes)
        self._end = weakref.finalize(self, _end, self._reader)


def _end(reader):
    """End a reader, which ends itself when nobody can ask it any more."""
    with contextlib.suppress(OSError):
        reader.stdin.close()
    reader.stdout.close()
    reader.wait()


def _receive(stream):
    """One message. Raises Corrupt for an error, EOFError where the sender is gone."""
    head = stream.read(NUMBER.size)
    if len(head) < NUMBER.size:
        raise EOFError
    (length,) = NUMBER.unpack(head)
    body = stream.read(abs(length))
    if len(body) < abs(length):
        raise EOFError
    if length < 0:
        raise Corrupt(body.decode(errors="replace"))
    return body


# ---- the reader's side


def _serve(folder, ask, answer):
    """Answer what is asked of a folder until the other side is gone."""
    import lmdb

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one who asks
    env = None
    while head := ask.read(NUMBER.size):
        (number,) = NUMBER.unpack(head)
        try:
            env = env or lmdb.open(folder, readonly=True, lock=False, readahead=False)
            found = _list(env, folder) if number == LIST else [_value(env, ask.read(number))]
        except (lmdb.Error, Corrupt) as error:
            text = " ".join(str(error).split()).encode()
            answer.write(NUMBER.pack(-len(text)) + text)
        else:
            answer.writelines(part for body in found for part in (NUMBER.pack(len(body)), body))
        answer.flush()


def _list(env, folder):
    """[the keys' lengths, the keys one after the other]."""
    entries, size = env.stat()["entries"], os.path.getsize(os.path.join(folder, "data.mdb"))
    pages = env.info()["last_pgno"] + 1
    # A whole file may lack pages at its end that were never used.
    if size < 0.99 * pages * env.stat()["psize"]:
        raise Corrupt(f"it is cut short at {size} bytes")
    if entries > size // LEAST_ENTRY:
        raise Corrupt(f"it says that it has {entries} entries, in {size} bytes")
    signal.setitimer(signal.ITIMER_VIRTUAL, LISTING_SECONDS)  # pages may form a loop
    keys = []
    with env.begin() as transaction:
        for key in transaction.cursor().iternext(keys=True, values=False):
            keys.append(key)
            if len(keys) > entries:
                break
    signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    if len(keys) != entries:
        raise Corrupt(f"it says that it has {entries} entries, and lists {len(keys)}")
    return [b"".join(NUMBER.pack(len(key)) for key in keys), b"".join(keys)]


def _value(env, key):
    with env.begin(buffers=True) as transaction:
        value = transaction.get(key)
        if value is None:
            raise Corrupt("no such key")
        if len(value) > MOST_BYTES:
            raise Corrupt(f"{len(value)} bytes are no picture")
        return bytes(value)


if __name__ == "__main__":
    _serve(sys.argv[1], sys.stdin.buffer, sys.stdout.buffer)

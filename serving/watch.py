"""Notices that the files of a page are no longer those it was made from. Imports no TensorFlow."""

import os

CHANGED = (
    "the run has changed since this program was started: the command makes the picture of its new "
    "state, and this page that of the old one"
)


class Watch:
    """Compares files with what they were when the object was made.

    Args:
      paths: paths of the files. Some may be absent.
    """

    def __init__(self, paths):
        self.found = {path: _state(path) for path in paths}

    def lines(self):
        """Return [`CHANGED`] if a file has been written, replaced or removed, and else []."""
        return [CHANGED] if any(_state(path) != seen for path, seen in self.found.items()) else []


def _state(path):
    """Return what changes with a file: its time, size and number; None if there is no file."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino

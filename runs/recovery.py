"""What a kill leaves half done in a run's folders: finished or removed at the next start.

Every function can be begun again where it was killed itself. Imports no TensorFlow.
"""

import math
import re
import shutil

from runs import log

BEST = "best"
NEW, READY, MOVING = ".new", ".ready", ".moving"  # a new run: built up, whole, being moved up
BEST_PART, BEST_WHOLE = ".best-part", ".best"
# What a run writes into its folder, and a new one takes the place of.
OWN = ("config.json", "*.keras", "ckpt-*", "checkpoint", "metrics.csv", log.BAD, "frames", BEST)
# What is never read: a dead process was about to write it. The last two are TensorFlow's.
HALF = (NEW, BEST_PART, ".*.part*", "ckpt-*_temp", "checkpoint.tmp*")


def settle(folder, logs):
    """Finish or undo what a trainer that is no more was about; for who holds the run's lock."""
    adopt(folder, logs)
    swap_best(folder)
    saved = _recorded(folder / "checkpoint")
    for entry in (*folder.iterdir(), *folder.glob("frames/.*")):
        orphan = saved and entry.match("ckpt-*") and entry.name.partition(".")[0] not in saved
        if orphan or any(entry.match(name) for name in HALF):
            remove(entry)
    remove(logs / NEW)


def adopt(folder, logs):
    """Put a new run that is whole in the place of the old one, and its events with it.

    While `READY` is there the old files are being removed, and while `MOVING` is, the new ones
    are being moved up.
    """
    ready, moving = folder / READY, folder / MOVING
    if ready.exists():
        old = [e for e in folder.iterdir() if any(e.match(name) for name in OWN)]
        for entry in (*old, *logs.glob("events*")):  # the user's files are left alone
            remove(entry)
        ready.rename(moving)
    if moving.exists():
        for source, target in ((moving, folder), (logs / NEW, logs)):
            for entry in list(source.iterdir()) if source.is_dir() else ():
                entry.rename(target / entry.name)
        moving.rmdir()
        remove(logs / NEW)


def swap_best(folder):
    """Put a best state that is whole in the place of the older one."""
    whole = folder / BEST_WHOLE
    if whole.exists():
        remove(folder / BEST)
        whole.rename(folder / BEST)


def forget(home, logs, last):
    """Remove the frames and the events of steps after `last`."""
    for frame in frames(home):
        if int(frame.stem) > last:
            frame.unlink()
    for path in logs.glob("events*"):
        _cut(path, last)


def frames(home):
    """The pictures of the film, named by their steps, in order."""
    return sorted(p for p in (home / "frames").glob("[0-9]*.png") if p.stem.isdecimal())


def _cut(path, last):
    """Shorten a file of TensorBoard's to its whole events up to a step; remove it without any.

    A record is its body's length (8 bytes), a checksum (4), the body and a checksum (4). The
    first one has no step, and no later step is less than one before it.
    """
    total, end, count = path.stat().st_size, 0, 0
    with open(path, "rb") as file:
        while len(head := file.read(12)) == 12:
            size = int.from_bytes(head[:8], "little")
            if file.tell() + size + 4 > total or _step(file.read(size)) > last:
                break
            file.seek(4, 1)
            end, count = file.tell(), count + 1
    if count < 2:
        path.unlink()
    elif end < total:
        with open(path, "r+b") as file:
            file.truncate(end)


def _step(body):
    """The step of an event, endless where it is none."""
    from google.protobuf.message import DecodeError
    from tensorboard.compat.proto.event_pb2 import Event

    try:
        return Event.FromString(body).step
    except DecodeError:
        return math.inf


def _recorded(path):
    """The names of the checkpoints that TensorFlow's list of them has; none without a list."""
    try:
        return set(re.findall(r'"(?:[^"]*/)?([^/"]+)"', path.read_text()))
    except (OSError, ValueError):
        return set()


def remove(path):
    """Remove a file or a folder; nothing where there is none."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)

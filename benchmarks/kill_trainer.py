"""The process that trains in `benchmarks.kill`: it reports its file operations."""

import os
import re
import sys
from pathlib import Path

PICTURES = "pictures"  # name of the folder of pictures
FRAMES = 6  # limit of the film, so that some frames are dropped


def moment(folder, event, args):
    """Return the kind of a Python audit event that is a file operation in `folder`, or None.

    The kind is the event and the file's name, with # for numbers. Reads count for pictures only.
    """
    if event not in ("open", "os.rename", "os.remove", "os.rmdir", "os.mkdir"):
        return None
    if not isinstance(args[0], str | os.PathLike):
        return None
    path = Path(os.path.abspath(args[0]))
    if event == "open" and not args[2] & (os.O_WRONLY | os.O_RDWR):
        return "read a picture" if path.parent.name == PICTURES else None
    if not path.is_relative_to(folder):
        return None
    return f"{event} " + re.sub(r"\d+", "#", str(path.relative_to(folder)))


def watch(folder, on_moment):
    """Call `on_moment(kind)` before each file operation in `folder`, and TensorFlow's saves."""
    import tensorflow as tf

    def hook(event, args):
        kind = moment(folder, event, args)
        if kind:
            on_moment(kind)

    def before(cls, name):
        method = getattr(cls, name)

        def noticed(self, *args, **more):
            on_moment(f"CheckpointManager.{name}")
            return method(self, *args, **more)

        setattr(cls, name, noticed)

    for name in ("save", "_record_state", "_sweep"):
        before(tf.train.CheckpointManager, name)
    sys.addaudithook(hook)


def train(folder, argv, on_moment, keep_all):
    """Run `main` in `folder` in this process; return its exit status."""
    import main
    from runs import checkpoints, film, run
    from training import loop

    os.chdir(folder)
    with open(folder / "output.txt", "a") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    film.MAX_FRAMES, run.REDRAW_FRACTION = FRAMES, 0.1  # redraw often
    for name in ("LOG_SECONDS", "SAMPLE_SECONDS", "SAVE_SECONDS"):
        setattr(loop.Schedule, name, float("inf"))  # an unbroken run has the same rows
    if keep_all:
        checkpoints.MAX_CHECKPOINTS = 10**6
    watch(folder, on_moment)
    status = main.main(argv)
    sys.stdout.flush()
    print("-" * 20, flush=True)
    return status

"""Recovery from kills: finishes or removes what a killed trainer left half done.

Each function can itself be killed and started again. Imports no TensorFlow.
"""

import contextlib
from pathlib import Path

import console
import files
from runs import checkpoints, film, log, trained

LOCK = "lock"  # file in the run's folder
BEST = "best"  # folder of the best checkpoint, a run of its own
# Stages of a new run's folder: incomplete; saved once; being moved up to replace the old run.
NEW, READY, MOVING = ".new", ".ready", ".moving"
BEST_PART, BEST_WHOLE = ".best-part", ".best"  # a new best: incomplete; about to replace the old
# What a run writes into its folder. A new run of the same name deletes it.
RUN_FILES = (trained.CONFIG, "*.keras", "ckpt-*", checkpoints.INDEX, "metrics.csv", log.BAD)
RUN_FILES += ("frames", BEST)
# Files that a killed process left incomplete. The last two are TensorFlow's temporary files.
INCOMPLETE = (NEW, BEST_PART, files.PART_PATTERN, "ckpt-*_temp", f"{checkpoints.INDEX}.tmp*")


@contextlib.contextmanager
def lock(folder, logs):
    """Hold the lock of a run in the block, and first `settle` its folders.

    Makes the folder, and removes it in the end if it is still empty.

    Args:
      folder: path of the run's folder.
      logs: path of the run's folder of TensorBoard events.

    Raises:
      console.Failed: if another process holds the lock.
    """

    def busy(pid):
        raise console.Failed(
            f"run {folder.name} is being trained by process {pid}: stop that process, or give "
            "this run another --name"
        )

    folder.mkdir(parents=True, exist_ok=True)
    try:
        with files.lock(folder / LOCK, busy):
            settle(folder, logs)
            yield
    finally:
        with contextlib.suppress(OSError):  # raised for a folder that is not empty
            folder.rmdir()


def settle_runs(checkpoint_dir, log_dir):
    """Finish the new runs that a kill interrupted while they replaced an old one.

    Skips runs that another process trains, and those that cannot be written.
    """
    for stage in (READY, MOVING):
        for path in Path(checkpoint_dir).glob(f"*/{stage}"):
            held = lock(path.parent, Path(log_dir) / path.parent.name)
            with contextlib.suppress(console.Failed, OSError), held:
                pass


def settle(folder, logs):
    """Finish or undo what a killed trainer was doing. The caller must hold the run's lock."""
    replace_old_run(folder, logs)
    swap_best(folder)
    listed = _listed_checkpoints(folder)
    for entry in (*folder.iterdir(), *folder.glob("frames/.*")):
        orphan = listed and entry.match("ckpt-*") and entry.name.partition(".")[0] not in listed
        if orphan or any(entry.match(pattern) for pattern in INCOMPLETE):
            files.remove(entry)
    files.remove(logs / NEW)


def _listed_checkpoints(folder):
    """Return the names of the checkpoints that TensorFlow knows; an empty set without its file."""
    try:
        return checkpoints.read_index(folder).names
    except (OSError, ValueError):
        return set()


def replace_old_run(folder, logs):
    """Replace the old run and its events by a new run that has been saved.

    The folder `READY` exists while the old files are deleted, and `MOVING` while the new ones
    are moved up. Other files in the folders stay.
    """
    ready, moving = folder / READY, folder / MOVING
    if ready.exists():
        old = [e for e in folder.iterdir() if any(e.match(pattern) for pattern in RUN_FILES)]
        for entry in (*old, *logs.glob("events*")):
            files.remove(entry)
        ready.rename(moving)
    if moving.exists():
        for source, target in ((moving, folder), (logs / NEW, logs)):
            for entry in list(source.iterdir()) if source.is_dir() else ():
                entry.rename(target / entry.name)
        moving.rmdir()
        files.remove(logs / NEW)


def swap_best(folder):
    """Replace the best checkpoint by a complete newer one, if there is one."""
    whole = folder / BEST_WHOLE
    if whole.exists():
        files.remove(folder / BEST)
        whole.rename(folder / BEST)


def delete_after(write_dir, events_dir, last):
    """Delete the frames and the TensorBoard events of the steps after `last`."""
    for path in film.frame_paths(write_dir):
        if int(path.stem) > last:
            path.unlink()
    for path in events_dir.glob("events*"):
        log.cut_events(path, last)

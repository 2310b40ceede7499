"""Recovery from kills: finishes or removes what a killed trainer left half done.

Each function can itself be killed and started again. Imports no TensorFlow.
"""

import contextlib
import re
from pathlib import Path

import console
import files
import utils
from runs import checkpoints, film, log, trained

LOCK = "lock"  # file in the run's folder
BEST = "best"  # folder of the best checkpoint, a run of its own
# Stages of a new run's folder: incomplete; saved once; being moved up to replace the old run.
NEW, READY, MOVING = ".new", ".ready", ".moving"
BEST_PART, BEST_WHOLE = ".best-part", ".best"  # a new best: incomplete; about to replace the old
# What a run writes into its folder. A new run of the same name deletes it.
RUN_FILES = (trained.CONFIG, "*.keras", "ckpt-*", checkpoints.INDEX, "metrics.csv", log.BAD)
RUN_FILES += ("frames", BEST)
# What training, test mode and an evaluation write into the folder of a run's pictures. A new run of
# the same name deletes it.
GRID = re.compile(r"train_\d{2,}_\d{4,}\.png")
PICTURES = re.compile(
    rf"{GRID.pattern}|(reals|real_vs_fake|losses|measures|nearest|test)\.png|measures\.json"
    r"|index\.html|training\.(gif|webp)|interpolation\.(gif|webp|mp4)|seed_\d{4,}\.png"
    r"|test_\d{5,}\.png|test_arange_\d+\.png|test_gif_(\d+|merged)\.gif"
)
TRANSLATIONS = ("fakeA", "fakeB")  # folders of translated images, among the pictures
# Files that a killed process left incomplete. The last two are TensorFlow's temporary files.
INCOMPLETE = (NEW, BEST_PART, files.PART_PATTERN, "ckpt-*_temp", f"{checkpoints.INDEX}.tmp*")


def title(folder):
    """Return the name of the folders of a run's pictures, events and exports.

    It is RUN, or RUN_best for the run's folder RUN/best.
    """
    return f"{folder.absolute().parent.name}_best" if folder.name == BEST else folder.name


@contextlib.contextmanager
def lock(folder, logs, samples):
    """Hold the lock of a run in the block, and first `settle` its folders.

    Makes the folder, and removes it in the end if nothing has been written to it.

    Args:
      folder: path of the run's folder.
      logs: path of the run's folder of TensorBoard events.
      samples: path of the run's folder of pictures.

    Raises:
      console.Failed: if another process holds the lock, or the folder has files and is no run.
    """

    def busy(pid):
        raise console.Failed(
            f"run {folder.name} is being trained by process {pid}: stop that process, or give "
            "this run another --name"
        )

    folder.mkdir(parents=True, exist_ok=True)
    try:
        with files.lock(folder / LOCK, busy):
            _refuse_foreign(folder)
            settle(folder, logs, samples)
            yield
    finally:
        with contextlib.suppress(OSError):  # raised for a folder that is not empty, or is gone
            if [path.name for path in folder.iterdir()] == [files.OUTPUT_MARK]:
                (folder / files.OUTPUT_MARK).unlink()
            folder.rmdir()


def _refuse_foreign(folder):
    """Raise console.Failed if a folder has files, but is not the folder of a run."""
    known = (trained.CONFIG, checkpoints.INDEX, NEW, READY, MOVING)
    if files.is_output(folder) or any((folder / name).exists() for name in known):
        return
    for path in sorted(folder.glob("[!.]*")):
        if path.name != LOCK:
            raise console.Failed(
                f"{folder} has files, such as {path.name}, but is not the folder of a run: give "
                "another --name or --checkpoint_dir"
            )


def settle_runs(checkpoint_dir, log_dir, sample_dir):
    """Finish the new runs that a kill interrupted while they replaced an old one.

    Skips runs that another process trains, and those that cannot be written.
    """
    for stage in (READY, MOVING):
        for path in Path(checkpoint_dir).glob(f"*/{stage}"):
            name = title(path.parent)
            held = lock(path.parent, Path(log_dir) / name, Path(sample_dir) / name)
            with contextlib.suppress(console.Failed, OSError), held:
                pass


def settle(folder, logs, samples):
    """Finish or undo what a killed trainer was doing. The caller must hold the run's lock."""
    replace_old_run(folder, logs, samples)
    swap_best(folder)
    listed = _listed_checkpoints(folder)
    for entry in (*folder.iterdir(), *folder.glob("frames/.*")):
        orphan = listed and entry.match("ckpt-*") and entry.name.partition(".")[0] not in listed
        if orphan or any(entry.match(pattern) for pattern in INCOMPLETE):
            files.remove(entry)
    files.remove(logs / NEW)
    files.remove(samples / NEW)


def _listed_checkpoints(folder):
    """Return the names of the checkpoints that TensorFlow knows; an empty set without its file."""
    try:
        return checkpoints.read_index(folder).names
    except (OSError, ValueError):
        return set()


def replace_old_run(folder, logs, samples):
    """Replace the old run, its events and its pictures by a new run that has been saved.

    The folder `READY` exists while the old files are deleted, and `MOVING` while the new ones
    are moved up. Other files in the folders stay.
    """
    ready, moving = folder / READY, folder / MOVING
    if ready.exists():
        old = [e for e in folder.iterdir() if any(e.match(pattern) for pattern in RUN_FILES)]
        drawn = pictures(samples) if (samples / NEW).exists() else []
        for entry in (*old, *logs.glob("events*"), *drawn):
            files.remove(entry)
        ready.rename(moving)
    if moving.exists():
        for source, target in ((moving, folder), (logs / NEW, logs), (samples / NEW, samples)):
            for entry in list(source.iterdir()) if source.is_dir() else ():
                entry.rename(target / entry.name)
        moving.rmdir()
        files.remove(logs / NEW)
        files.remove(samples / NEW)


def pictures(samples):
    """Return the paths of the pictures that the program has written for a run."""
    return [path for path in samples.glob("*") if PICTURES.fullmatch(path.name)]


def claim_pictures(samples):
    """Make the folder of a run's pictures, and mark it as an output.

    Raises:
      console.Failed: if it has files that this program did not make. The mark would hide them from
        the readers of data.
    """
    if samples.is_dir() and not files.is_output(samples):
        own = {path.name for path in pictures(samples)}.union(TRANSLATIONS)
        for path in sorted(samples.glob("[!.]*")):
            if path.name not in own and not files.is_output(path):
                raise console.Failed(
                    f"{samples} is the folder of this run's pictures, but has other files, such as "
                    f"{path.name}: give another --sample_dir or --name"
                )
    files.mark_output(samples)


def swap_best(folder):
    """Replace the best checkpoint by a complete newer one, if there is one."""
    whole = folder / BEST_WHOLE
    if whole.exists():
        files.remove(folder / BEST)
        whole.rename(folder / BEST)


def delete_after(write_dir, events_dir, samples, last):
    """Delete the frames, the TensorBoard events and the grids of steps after `last`."""
    for path in film.frame_paths(write_dir):
        if int(path.stem) > last:
            path.unlink()
    for path in events_dir.glob("events*"):
        log.cut_events(path, last)
    for path in samples.glob("train_*.png"):
        step = utils.read_text(path).get("step", "") if GRID.fullmatch(path.name) else ""
        if re.fullmatch("[0-9]{1,18}", step) and int(step) > last:
            path.unlink()

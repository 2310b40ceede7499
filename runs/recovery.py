"""Recovery from kills: finishes or removes what a killed trainer left half done.

Each function can itself be killed and started again. Imports no TensorFlow.
"""

import contextlib
import re
from pathlib import Path

import console
import files
import locks
import utils
from runs import checkpoints, film, log, trained

LOCK = "lock"  # file in the run's folder
TRACKING = "tracking.json"  # file with its identities in trackers
BEST = "best"  # folder of the best checkpoint, a run of its own
# Stages of a new run's folder: incomplete; saved once; being moved up to replace the old run.
NEW, READY, MOVING = ".new", ".ready", ".moving"
BEST_PART, BEST_WHOLE = ".best-part", ".best"  # a new best: incomplete; about to replace the old
FRAMES = "frames"
FOLDERS = (NEW, READY, MOVING, BEST, BEST_PART, BEST_WHOLE, FRAMES)
# What a run writes into its folder, by exact names. A new run of the same name deletes it. Files of
# other names stay, whatever happens.
RUN_FILES = re.compile(
    rf"{re.escape(trained.CONFIG)}|{trained.NETWORK_FILES.pattern}|{checkpoints.FILES.pattern}"
    rf"|{checkpoints.INDEX}|metrics\.csv|{re.escape(log.BAD)}|{re.escape(TRACKING)}"
)
EVENTS = re.compile(r"events\.out\.tfevents\.\d+\..+\.v2")  # TensorFlow's files, in the logs
# What training, test mode and an evaluation write into the folder of a run's pictures. A new run of
# the same name deletes it.
GRID = re.compile(r"train_\d{2,}_\d{4,}\.png")
PICTURES = re.compile(
    rf"{GRID.pattern}|(augmented|best|reals|real_vs_fake|losses|measures|nearest|test)\.png"
    r"|measures\.json"
    r"|index\.html|training\.(gif|webp)|interpolation\.(gif|webp|mp4)|seed_\d{4,}\.png"
    r"|test_\d{5,}\.png|test_arange_\d+\.png|test_gif_(\d+|merged)\.gif"
    r"|directions\.(png|npz)|direction_\d\d+\.gif"  # directions.txt has a user's names, and stays
    r"|test_move\.png|test_move_\d\d\.gif|mix(_classes)?\.png|latent_\d{4,}\.png"
    r"|projection\.(png|gif)|latent(_labels)?\.npy"
)
# Folders among the pictures: of translated images, and of the images that were compared.
PICTURE_FOLDERS = ("fakeA", "fakeB", "reals", "fakes")


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
      console.Failed: if another process holds the lock, the folder has files and is no run, or a
        part of the run is a link.
    """

    def busy(pid):
        raise console.Failed(
            f"run {folder.name} is being trained by process {pid}: stop that process, or give "
            "this run another --name"
        )

    folder.mkdir(parents=True, exist_ok=True)
    try:
        with locks.lock(folder / LOCK, busy):
            _refuse_foreign(folder)
            _refuse_links(folder, logs, samples)
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


def _refuse_links(*folders):
    """Raise console.Failed if a folder that a run writes into is a link to another place.

    An unpacked archive may have such links. The run's own folders may be links of the user.
    """
    for folder in folders:
        for path in folder.iterdir() if folder.is_dir() else ():
            own = path.name in FOLDERS or checkpoints.INCOMPLETE.fullmatch(path.name)
            if own and path.is_symlink():
                raise console.Failed(
                    f"{path} is a link, and the program would write or delete through it: remove "
                    "the link"
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
    for path in folder.iterdir():
        name = path.name
        orphan = listed and checkpoints.FILES.fullmatch(name) and path.stem not in listed
        if orphan or checkpoints.INCOMPLETE.fullmatch(name):
            locks.remove(path)
    locks.clear_parts(folder, folder / FRAMES, samples, samples / NEW)
    for name in (NEW, BEST_PART):
        remove_run(folder / name)
    _remove_own(logs / NEW, EVENTS)
    _remove_own(samples / NEW, PICTURES)


def is_folder(path):
    """True for a folder, but not for a link to one."""
    return path.is_dir() and not path.is_symlink()


def remove_run(folder):
    """Delete what a run has written into a folder, and the folder if nothing else is in it."""
    if not is_folder(folder):
        return
    _remove_files(folder)
    for name in (checkpoints.MEASURES, checkpoints.SHEET):
        (folder / name).unlink(missing_ok=True)
    for name in (NEW, READY, MOVING, BEST_PART, BEST_WHOLE):
        remove_run(folder / name)
    if {path.name for path in folder.iterdir()} <= {LOCK, files.OUTPUT_MARK}:
        _remove_own(folder, re.compile(f"{LOCK}|{re.escape(files.OUTPUT_MARK)}"))


def _remove_files(folder):
    """Delete the files of a saved run in a folder: checkpoints, networks, frames, and the best."""
    for path in list(folder.iterdir()):
        if checkpoints.INCOMPLETE.fullmatch(path.name):
            locks.remove(path)
        elif RUN_FILES.fullmatch(path.name) and not is_folder(path):
            path.unlink(missing_ok=True)
    locks.clear_parts(folder)
    _remove_own(folder / FRAMES, film.FRAMES)
    remove_run(folder / BEST)


def _remove_own(folder, names):
    """Delete the files of these names in a folder, and the folder if nothing else is in it.

    Args:
      folder: path of a folder. Nothing happens if it is a link, or there is none.
      names: compiled pattern of the whole names.
    """
    if not is_folder(folder):
        return
    for path in list(folder.iterdir()):
        if (names.fullmatch(path.name) or locks.PART.fullmatch(path.name)) and not is_folder(path):
            path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # raised for a folder that is not empty
        folder.rmdir()


def _move_up(source, target):
    """Move what is in a folder into another folder, and remove the first. Merges folders."""
    for path in list(source.iterdir()) if is_folder(source) else ():
        place = target / path.name
        if is_folder(path) and is_folder(place):
            _move_up(path, place)
        else:
            path.rename(place)
    if is_folder(source):
        source.rmdir()


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
    if is_folder(ready):
        _remove_files(folder)
        drawn = pictures(samples) if is_folder(samples / NEW) else []
        events = [path for path in logs.glob("events*") if EVENTS.fullmatch(path.name)]
        for path in (*events, *drawn):
            locks.remove(path)
        ready.rename(moving)
    if is_folder(moving):
        for source, target in ((logs / NEW, logs), (samples / NEW, samples), (moving, folder)):
            _move_up(source, target)


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
        own = {path.name for path in pictures(samples)}.union(PICTURE_FOLDERS)
        for path in sorted(samples.glob("[!.]*")):
            if path.name not in own and not files.is_output(path):
                raise console.Failed(
                    f"{samples} is the folder of this run's pictures, but has other files, such as "
                    f"{path.name}: give another --sample_dir or --name"
                )
    files.mark_output(samples)


@contextlib.contextmanager
def new_best(folder):
    """Yield an empty folder. After the block, it replaces the run's best checkpoint."""
    part = folder / BEST_PART
    remove_run(part)
    part.mkdir(exist_ok=True)
    yield part
    part.rename(folder / BEST_WHOLE)
    swap_best(folder)


def swap_best(folder):
    """Replace the best checkpoint by a complete newer one, if there is one."""
    best, whole = folder / BEST, folder / BEST_WHOLE
    if is_folder(whole):
        remove_run(best)
        _move_up(best, whole)  # files of others
        whole.rename(best)


def delete_after(write_dir, events_dir, samples, last):
    """Delete the frames, the TensorBoard events and the grids of steps after `last`."""
    for path in film.frame_paths(write_dir):
        if int(path.stem) > last:
            path.unlink()
    for path in list(events_dir.glob("events*")):
        if EVENTS.fullmatch(path.name):
            log.cut_events(path, last)
    for path in samples.glob("train_*.png"):
        step = utils.read_text(path).get("step", "") if GRID.fullmatch(path.name) else ""
        if re.fullmatch("[0-9]{1,18}", step) and int(step) > last:
            path.unlink()

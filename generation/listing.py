"""Finds a run, and makes the list of runs that `--list` prints. Imports no TensorFlow."""

import dataclasses
import os
from pathlib import Path

import console
from config.resolve import resolve
from config.saved import add_newer_fields
from datasets import packed
from generation import model_card
from runs import checkpoints, log, recovery, trained

COLUMNS = ("name", "data", "network", "mode", "step", "last measure", "images", "size", "where")
RIGHT = ("step", "size")  # these columns are aligned at the right
NONE = "-"  # for a fact that a run has not, or that cannot be read
MAX_CELL = 60  # characters


@dataclasses.dataclass(frozen=True)
class Row:
    """A line of the list.

    Attributes:
      time: when the run was saved last, in seconds since 1970.
      cells: column → text. Columns may be absent.
      remark: what is wrong with the folder; "" for a run with a generator.
    """

    time: float
    cells: dict
    remark: str = ""


def find(run, checkpoint_dir, data_dir):
    """Return the path of a run's folder.

    Args:
      run, checkpoint_dir, data_dir: as in `interface.load`.

    Raises:
      console.Failed: if there is no such run.
    """
    if folder := find_named(run, checkpoint_dir):
        return folder
    source = place_data(run, data_dir, checkpoint_dir)
    height = resolve({"dataset": run, "data_dir": data_dir}, check=False).output_height
    try:
        return trained.find_run(checkpoint_dir, run, {}, add_newer_fields, source, height)[0]
    except console.Failed:
        places = _places(checkpoint_dir)
        found = [f.name for p in places for f in sorted(p.glob("*/")) if trained.generators(f)]
        names = ", ".join(map(console.plain, found)) or "none"
        raise console.Failed(
            f"no run {console.plain(run)} in {places[0]} or {places[1]}, no such folder of a run, "
            f"and no run of such a data set; there are {names}"
        ) from None


def find_named(run, checkpoint_dir):
    """Return the folder of a run that has a generator, or None.

    Args:
      run: name of a run of the user's or of one that ships, in this order, or path of a folder.
      checkpoint_dir: path of the folder of the user's runs.
    """
    folders = (*(place / run for place in _places(checkpoint_dir)), Path(run))
    return next(filter(trained.generators, folders), None)


def _places(checkpoint_dir):
    """Return the folders that hold runs: the user's, and that of the runs that ship."""
    return Path(checkpoint_dir), trained.shipped_dir()


def place_data(dataset, data_dir, checkpoint_dir):
    """Return the path of a data set, as text for the config.json of a run.

    It is relative if the data and the runs are in the current folder. If the runs are elsewhere, it
    is absolute: such runs may be used from several folders.
    """
    path = packed.locate(dataset, data_dir)
    elsewhere = os.path.isabs(packed.place(checkpoint_dir))
    return os.path.abspath(path) if elsewhere else packed.place(path)


def table(checkpoint_dir, sample_dir):
    """Return the list of the runs in a folder, and of the runs that ship with the project.

    The newest run is the first. The best state of a run is a run of its own, `RUN/best`. The column
    `last measure` has the measure of `--best_by` from the last evaluation, and `size` the size of
    the files in the run's folder. A folder that is no run, or a run that is broken, has a remark.

    Args:
      checkpoint_dir: path of the folder of the runs.
      sample_dir: path of the folder of their pictures, for the measures of `--evaluate`.

    Returns:
      Lines as one text.

    Raises:
      OSError: if a folder of runs cannot be listed.
    """
    own = [] if trained.ships(checkpoint_dir) else find_rows(checkpoint_dir, sample_dir)
    shipped = find_rows(trained.shipped_dir(), sample_dir)
    head = Row(0.0, {name: name for name in COLUMNS})
    lines = _format([head, *own, head, *shipped])
    parts = lines[: len(own) + 1] if own else [console.plain(f"no runs in {checkpoint_dir}")]
    if shipped:
        parts += ["", "ships with the project:", *lines[len(own) + 1 :]]
    return "\n".join(parts)


def find_rows(top, sample_dir):
    """Return a list with the `Row` of each folder in `top`, the newest first; see `table`."""
    if not os.path.isdir(top):
        return []
    rows = []
    for folder in sorted(Path(path) for path in os.scandir(top) if os.path.isdir(path)):
        if folder.name.startswith(".") or folder.name == recovery.FRAMES:
            continue
        best = folder / recovery.BEST
        for run in (folder, best) if os.path.isfile(best / trained.CONFIG) else (folder,):
            rows.append(_row(run, run.relative_to(top), Path(sample_dir) / recovery.title(run)))
    return sorted(rows, key=lambda row: -row.time)


def _row(folder, name, samples):
    """Return the `Row` of a folder. `samples` is the folder of its pictures."""
    cells = {"name": str(name), "where": str(folder)}
    try:
        cells["size"] = f"{_bytes(folder) / 1e6:.1f} MB"
        networks = trained.generators(folder)
        time = (networks[-1] if networks else folder).stat().st_mtime
    except OSError as error:
        return Row(0.0, cells, f"cannot be read: {error.strerror}")
    try:
        saved = trained.read_config(folder)
        data = saved["data"]
        cells |= {
            "data": str(trained.without_folders(saved["dataset"])),
            "network": str(saved["arch"]),
            "mode": str(saved["mode"]),
            "step": NONE if (step := last_step(folder)) is None else f"{step:,}",
            "last measure": _measure(folder, samples, saved.get("best_by"), time),
            "images": "x".join(str(data[n]) for n in ("height", "width", "channels")),
        }
    except FileNotFoundError:
        waits = os.path.isdir(folder / recovery.NEW)
        return Row(time, cells, "not saved yet" if waits else "not a run: it has no config.json")
    except OSError as error:
        return Row(time, cells, f"config.json cannot be read: {error.strerror}")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return Row(time, cells, "config.json is broken")
    return Row(time, cells, "" if networks else "it has no generator")


def _bytes(folder):
    """Return the size of the files in a folder and its folders, in bytes. Follows no links."""
    walk = os.walk(folder)
    return sum(
        os.lstat(os.path.join(place, name)).st_size for place, _, names in walk for name in names
    )


def last_step(folder):
    """Return the number of generator updates of a run, or None if it is unknown.

    It is that of the newest checkpoint, or without one, that of the last row of the log.
    """
    step = model_card.last_step(folder)
    if step is None:
        rows = log.read_log(folder / "metrics.csv")
        step = int(rows[-1]["step"]) if rows else None
    return step


def _measure(folder, samples, by, time):
    """Return the last measure of a run as text, for example "fid_mnist-cnn 0.239".

    Args:
      folder: path of the run's folder.
      samples: path of the folder with the measures.json of `--evaluate`. It is used if it is newer
        than the generator.
      by: name of the measure, as in `--best_by`.
      time: when the generator was written, in seconds since 1970.
    """
    path, found = samples / checkpoints.MEASURES, {}
    if path.is_file() and path.stat().st_mtime >= time:
        found = checkpoints.read_measures(samples)
    found = found or model_card.measures(folder)[1]
    name = checkpoints.deciding(found, by)
    return f"{name} {float(found[name]):.3g}" if name else NONE


def _format(rows):
    """Return a line for each row, with columns of the same widths."""
    cells = []
    for row in rows:
        texts = [console.plain(row.cells.get(name, NONE)) for name in COLUMNS]
        short = [t if len(t) <= MAX_CELL else f"{t[: MAX_CELL - 3]}..." for t in texts[:-1]]
        cells.append([*short, texts[-1]])
    widths = [max(map(len, column)) for column in zip(*cells)]
    lines = []
    for row, texts in zip(rows, cells):
        aligned = [
            t.rjust(w) if name in RIGHT else t.ljust(w)
            for name, t, w in zip(COLUMNS, texts, widths)
        ]
        remark = f"  ({row.remark})" if row.remark else ""
        lines.append("  ".join(aligned).rstrip() + remark)
    return lines

"""metrics.csv, and the curves drawn from it."""

import contextlib
import csv
import shutil

import numpy as np

import files

INDEX = ("step", "epoch", "seconds", "stage_seconds", "kimg")
BAD = "metrics.bad.csv"  # a copy of a log with rows that cannot be read
MEASURED = "eval/"  # what the names of an evaluation's columns begin with


class Log:
    """The rows of a metrics.csv, as dicts of text: blank where a row has no such column."""

    def __init__(self):
        self.rows, self.columns = [], {}

    def read(self, path, last):
        """Take a file's rows up to step `last`, and write it anew without the others."""
        rows = read_log(path)
        if path.is_file() and path.read_bytes().count(b"\n") > 1 + len(rows):
            bad = shutil.copy(path, path.with_name(BAD))
            print(f"left out rows of {path} that cannot be read; as it was: {bad}")
        self.rows = [row for row in rows if int(row["step"]) <= last]
        self.columns = dict.fromkeys(self.rows[0]) if self.rows else {}
        self.write(path)

    def add(self, path, row):
        """Add a row, to the file's end where it has all its columns already."""
        self.rows.append(row)
        known = row.keys() <= self.columns.keys()
        self.columns |= dict.fromkeys(row)
        if known and path.is_file():
            with files.writing(path), open(path, "a", newline="") as file:
                self._writer(file).writerow(row)
        else:
            self.write(path)

    def write(self, path):
        """Write the whole file; none where there are no rows."""
        if not self.rows:
            path.unlink(missing_ok=True)
            return
        with files.atomic_path(path) as part, open(part, "w", newline="") as file:
            writer = self._writer(file)
            writer.writeheader()
            writer.writerows(self.rows)

    def _writer(self, file):
        return csv.DictWriter(file, self.columns, restval="", lineterminator="\n")


def read_log(path):
    """The whole rows of a metrics.csv, as dicts of text; none where there is no file."""
    rows = []
    with (
        contextlib.suppress(FileNotFoundError, csv.Error),
        open(path, newline="", errors="replace") as file,
    ):
        for row in csv.DictReader(line for line in file if line.endswith("\n")):
            if _whole(row):
                rows.append(row)
    return rows


def _whole(row):
    """Has a row a value for each column, all numbers or blank, and a step?"""
    if None in row or None in row.values() or not row.get("step", "").isdecimal():
        return False
    try:
        int(row["step"])  # of thousands of digits it is refused
        for value in row.values():
            float(value or 0)
    except ValueError:
        return False
    return True


def stage_seconds(rows, stage, seconds):
    """The seconds that a stage has lasted: since the last of the rows that has another one."""
    before = [row for row in rows if row.get("stage") and float(row["stage"]) != stage]
    return seconds - (float(before[-1]["seconds"] or 0) if before else 0.0)


def series(rows, name):
    """(steps [N], values [N]) of a column, where it is not blank."""
    found = [(int(r["step"]), float(r[name])) for r in rows if r.get(name)]
    return (
        np.array([step for step, _ in found], int),
        np.array([value for _, value in found], float),
    )


def plot_log(folder, rows):
    """Draw losses.png and, where there was an evaluation, measures.png; return their paths."""
    names = list(dict.fromkeys(name for row in rows for name in row if name not in INDEX))
    kinds = {
        "losses.png": [n for n in names if not n.startswith(MEASURED)],
        "measures.png": [n for n in names if n.startswith(MEASURED)],
    }
    paths = [folder / file for file, own in kinds.items() if own]
    for path in paths:
        _plot(path, rows, kinds[path.name])
    return paths


def _plot(path, rows, names):
    """The columns over the steps, one panel each, as a PNG; what is dense with its mean too."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 2 * len(names)), layout="constrained")
    panels = figure.subplots(len(names), 1, sharex=True, squeeze=False)[:, 0]
    for panel, name in zip(panels, names):
        steps, values = series(rows, name)
        if name.startswith(MEASURED):
            panel.plot(steps, values, linewidth=1.2, marker=".")
        else:
            panel.plot(steps, values, linewidth=0.6, alpha=0.5)
            panel.plot(steps, smooth(values), linewidth=1.2)
        panel.set_ylabel(name.removeprefix(MEASURED))
        panel.grid(alpha=0.3)
    panels[-1].set_xlabel("generator updates")
    with files.atomic_path(path) as part:
        figure.savefig(part, dpi=100)


def smooth(values, share=0.02):
    """The mean over a window of `share` of all values, centred, shorter at both ends."""
    half = max(1, round(len(values) * share / 2))
    sums = np.concatenate([[0.0], np.cumsum(values)])
    index = np.arange(len(values))
    low, high = np.maximum(index - half, 0), np.minimum(index + half + 1, len(values))
    return (sums[high] - sums[low]) / (high - low)

"""What a run gives to its trackers, and when.

A tracker is a class like `wandb_run.WandbRun`: it opens its run when it is made, or continues that
of an `identity`, and has the methods `rows`, `sheet` and `end`, and the attributes `identity` and
`place`. It may raise any exception.
"""

import contextlib
import json

import console
import files
from runs import recovery


class Trackers:
    """The trackers of one run. One that fails gets nothing more in this call, and a line says so.

    A tracker gets rows and sheets after they have been saved with the run. So a run that is
    continued after a kill does not report a step twice. One that failed is closed at the end.

    Args:
      kinds: name → class of the tracker.
      say: function that prints a line.
    """

    def __init__(self, kinds, say):
        self._kinds, self._say = kinds, say
        self._open, self._known, self._sheets = {}, None, []
        self._dropped = []

    def begin(self, name, place, settings, folder):
        """Open the trackers, unless that has been done. Forgets sheets of steps that are undone.

        Args:
          name: name of the run.
          place: path of a folder for a tracker's own files.
          settings: dict of what can be written as JSON.
          folder: path of the run's folder. Its `recovery.TRACKING` has the identities of the
            trackers that it was reported to.
        """
        self._sheets = []  # those before the last save were sent
        if self._known is not None:
            return
        self._known = read(folder)
        for kind, make in self._kinds.items():
            identity = self._known.get(kind, {}).get("id")
            tracker = self._attempt(kind, make, name, place, settings, identity)
            if tracker is not None:
                self._open[kind] = tracker
                self._known.setdefault(kind, {"sent": -1})["id"] = tracker.identity
                self._say(f"tracked by {kind}: {tracker.place}")

    def sheet(self, step, name):
        """Keep the file name of a sheet of samples, to send it after the next save."""
        self._sheets.append((step, name))

    def send(self, folder, rows, samples):
        """Send the sheets, and those rows that a tracker does not have.

        Args:
          folder: path of the run's folder.
          rows: rows of metrics.csv, as dicts of text.
          samples: path of the folder of the sheets.
        """
        values = [numbers(row) for row in rows]
        sheets, self._sheets = self._sheets, []
        for kind in list(self._open):
            new = [row for row in values if row["step"] > self._known[kind]["sent"]]
            if self._report(kind, "rows", new) and new:
                self._known[kind]["sent"] = new[-1]["step"]
            for step, name in sheets:
                self._report(kind, "sheet", step, samples / name)
        if self._known:
            files.save_text(folder / recovery.TRACKING, json.dumps(self._known, indent=1))

    def end(self, page, failed):
        """Send the run's page and close the trackers.

        Args:
          page: path of the page; it may be absent.
          failed: True if the training ended with an error.
        """
        for kind in list(self._open):
            self._report(kind, "end", page if page.is_file() else None, failed)
        for tracker in self._dropped:
            with contextlib.suppress(Exception):  # a line has said that it failed
                tracker.end(None, failed)
        self._open, self._dropped = {}, []

    def _report(self, kind, method, *args):
        """Call a method of an open tracker; return whether it succeeded."""
        if kind not in self._open:
            return False
        call = getattr(self._open[kind], method)
        return self._attempt(kind, lambda: (call(*args), True)) is not None

    def _attempt(self, kind, function, *args):
        """Return the result of a call; None, after a line, if it fails. Drops the tracker then."""
        try:
            return function(*args)
        except Exception as error:
            if kind in self._open:
                self._dropped.append(self._open.pop(kind))
            self._say(
                f"note: {kind} failed, and training goes on without it: {console.first_line(error)}"
            )
            return None


def read(folder):
    """Return the trackers of a run: name → {"id": text, "sent": the last step sent}.

    Returns {} if there are none, or the file is broken.
    """
    try:
        found = json.loads((folder / recovery.TRACKING).read_text())
        return {n: {"id": str(row["id"]), "sent": int(row["sent"])} for n, row in found.items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}


def numbers(row):
    """Return a row of metrics.csv as numbers, without its blank cells; `step` is an int."""
    return {
        name: int(text) if name == "step" else float(text)
        for name, text in row.items()
        if text not in ("", None)
    }

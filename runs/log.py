"""The log of a run: metrics.csv and TensorBoard's events."""

import contextlib
import csv
import math

import files
import locks

INDEX = ("step", "epoch", "seconds", "stage_seconds", "kimg")  # columns that are not plotted
BAD = "metrics.bad.csv"  # copy of a metrics.csv that had unreadable rows
MEASURED = "eval/"  # prefix of the columns that an evaluation fills
MAX_WEIGHTS = 10_000  # in a histogram
MAX_COLUMNS, MAX_VALUE = 64, 1e100  # of the plots; a foreign metrics.csv may have more and larger

# ---- metrics.csv -------------------------------------------------------------------------


class MetricsLog:
    """The rows of a metrics.csv.

    Attributes:
      rows: list of dicts, column name → text. A row may lack columns: their cells are blank.
      columns: dict whose keys are the names of all columns, in the file's order.
      spent: seconds of training before this call of the program.
    """

    def __init__(self):
        self.rows, self.columns, self.spent = [], {}, 0.0

    def read(self, path, last):
        """Read a file's rows up to step `last`, and remove its other rows.

        Copies the file to `BAD` first if it has unreadable rows besides an incomplete last one.
        """
        rows = read_log(path)
        if path.is_file() and path.read_bytes().count(b"\n") > 1 + len(rows):
            bad = path.with_name(BAD)
            files.copy(path, bad)
            print(f"removed unreadable rows from {path}; the original is {bad}")
        self.rows = [row for row in rows if int(row["step"]) <= last]
        self.columns = dict.fromkeys(self.rows[0]) if self.rows else {}
        self.spent = trained_seconds(self.rows)
        self.write(path)

    def new_row(self, step, epoch, seconds, values):
        """Return the row of a step. Does not add it.

        Args:
          step, epoch: generator updates and epochs done.
          seconds: seconds of training in this call of the program.
          values: name → float. If the network grows in stages, `stage` is among them.
        """
        total = self.spent + seconds
        row = {"step": step, "epoch": epoch, "seconds": f"{total:.1f}"}
        if "stage" in values:
            row["stage_seconds"] = f"{stage_seconds(self.rows, values['stage'], total):.1f}"
        return row | {name: f"{value:.7g}" for name, value in values.items()}

    def add(self, path, row):
        """Add a row. Appends to the file, or rewrites it if the row has a new column."""
        self.rows.append(row)
        known = row.keys() <= self.columns.keys()
        self.columns |= dict.fromkeys(row)
        if known and path.is_file():
            with files.writing(path), locks.open_file(path, "a", newline="") as file:
                self._writer(file).writerow(row)
        else:
            self.write(path)

    def write(self, path):
        """Write all rows to a file. Removes the file if there are none."""
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
    """Return the valid rows of a metrics.csv, as dicts of text; [] if there is no file."""
    rows = []
    with (
        contextlib.suppress(FileNotFoundError, csv.Error),
        open(path, newline="", errors="replace") as file,
    ):
        for row in csv.DictReader(line for line in file if line.endswith("\n")):
            if _is_valid(row):
                rows.append(row)
    return rows


def trained_seconds(rows):
    """Return the seconds of training up to the last row; 0 without rows."""
    return float(rows[-1].get("seconds") or 0) if rows else 0.0


def plotted(rows):
    """Return the names of the columns to plot, at most `MAX_COLUMNS`."""
    names = dict.fromkeys(name for row in rows for name in row if name not in INDEX)
    return list(names)[:MAX_COLUMNS]


def _is_valid(row):
    """True if a row has a step, as many cells as the header, and only numbers or blanks."""
    if None in row or None in row.values() or not row.get("step", "").isdecimal():
        return False
    try:
        int(row["step"])  # raises ValueError for thousands of digits
        for value in row.values():
            float(value or 0)
    except ValueError:
        return False
    return True


def stage_seconds(rows, stage, seconds):
    """Return how many of the run's `seconds` belong to the current `stage`.

    The stage begins at the time of the previous stage's last row.
    """
    before = [row for row in rows if row.get("stage") and float(row["stage"]) != stage]
    return seconds - (float(before[-1]["seconds"] or 0) if before else 0.0)


# ---- TensorBoard -------------------------------------------------------------------------


class EventLog:
    """TensorBoard's events in a folder.

    The first event after the start or after `close` begins a new file. All methods raise
    console.Failed if TensorFlow cannot write.
    """

    def __init__(self, folder):
        self.folder = folder
        self._writer = None
        self._place = contextlib.ExitStack()  # holds the folder open while the writer needs it

    def scalars(self, step, values):
        """Write scalars, name → float."""
        import tensorflow as tf

        with self._at(step):
            for name, value in values.items():
                tf.summary.scalar(name, value)

    def image(self, step, name, image):
        """Write an image, uint8 [H, W, C]."""
        import tensorflow as tf

        with self._at(step):
            tf.summary.image(name, image[None])

    def histograms(self, step, networks):
        """Write histograms of the trainable weights of networks, name → Keras model.

        Takes every k-th number of a weight with more than `MAX_WEIGHTS`. TensorBoard's NumPy code
        needs a fifth of the time of `tf.summary.histogram`. It is not a public function, so
        requirements.txt pins the version of TensorBoard.
        """
        import tensorflow as tf
        from tensorboard.plugins.histogram import summary_v2

        with self._at(step):
            for name, network in networks.items():
                for weight in network.trainable_variables:
                    values = weight.numpy().ravel()
                    values = values[:: 1 + len(values) // MAX_WEIGHTS]
                    summary = summary_v2.histogram_pb(f"{name}/{weight.path}", values)
                    tf.summary.experimental.write_raw_pb(summary.SerializeToString())

    def flush(self):
        """Write buffered events to the disk."""
        if self._writer:
            with files.writing_by_tensorflow(self.folder):
                self._writer.flush()

    def close(self):
        """Flush, and close the file."""
        if self._writer:
            with files.writing_by_tensorflow(self.folder):
                self._writer.close()
        self._writer = None
        self._place.close()

    @contextlib.contextmanager
    def _at(self, step):
        """Write the summaries of the block with this step."""
        import tensorflow as tf

        with files.writing_by_tensorflow(self.folder):
            if self._writer is None:
                place = self._place.enter_context(files.tensorflow_path(self.folder))
                self._writer = tf.summary.create_file_writer(place)
            with self._writer.as_default(step=step):
                yield


def cut_events(path, last):
    """Truncate an event file after its last complete event of step `last` or earlier.

    Removes a file that has no event left. A record is the length of its body (8 bytes), a checksum
    (4 bytes), the body and another checksum (4 bytes). The first record holds the format's version
    and no step; the steps of the others never decrease.
    """
    total, end, count = path.stat().st_size, 0, 0
    with open(path, "rb") as file:
        while len(head := file.read(12)) == 12:
            size = int.from_bytes(head[:8], "little")
            if file.tell() + size + 4 > total or _event_step(file.read(size)) > last:
                break
            file.seek(4, 1)
            end, count = file.tell(), count + 1
    if count < 2:
        path.unlink()
    elif end < total:
        with locks.open_file(path, "r+b") as file:
            file.truncate(end)


def _event_step(body):
    """Return the step of a serialised event; infinity if it cannot be parsed."""
    from google.protobuf.message import DecodeError
    from tensorboard.compat.proto.event_pb2 import Event

    try:
        return Event.FromString(body).step
    except DecodeError:
        return math.inf

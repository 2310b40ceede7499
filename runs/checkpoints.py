"""Checkpoints of a trainer, the best one among them, and TensorFlow's text file `checkpoint`."""

import contextlib
import dataclasses
import json
import re

import console
import files
from runs import log, trained

MAX_CHECKPOINTS = 3  # in a folder: saving another one deletes the oldest
INDEX = "checkpoint"  # TensorFlow's text file that lists the checkpoints beside it
MEASURES = "measures.json"  # in the folder of a best checkpoint: its step and its measures
SHEET = "samples.png"  # in the same folder: samples of the best generator
# The settings that select the best checkpoint.
SELECTING = ("best_by", "extractor", "eval_samples", "eval_reals")
MIN_EVALUATIONS = 3  # without an improvement, in a plateau
LONG = 1 / 3  # share of the updates; a plateau of this share is reported
FILES = re.compile(r"ckpt-\d{1,18}\.(index|data-\d{5}-of-\d{5})")  # the names of whole checkpoints
# Temporary files and folders that TensorFlow leaves when it is killed.
INCOMPLETE = re.compile(rf"ckpt-\d{{1,18}}_temp|{INDEX}\.tmp[0-9a-f]{{32}}")
# A line that names a checkpoint in the same folder, and a line with a time stamp.
NAME_LINE = r'(?:all_)?model_checkpoint_paths?: "ckpt-[0-9]+"'
TIME_LINE = r"\w+: [0-9.e+-]+"


@dataclasses.dataclass(frozen=True)
class Index:
    """The contents of a file `checkpoint`.

    Attributes:
      newest: step of the newest checkpoint; None if the first line does not give it.
      names: set of the listed checkpoints' names, such as "ckpt-300", without their folders.
      unexpected: the lines that TensorFlow does not write for checkpoints in the same folder.
    """

    newest: int | None
    names: set
    unexpected: list


def read_index(folder):
    """Parse the file `checkpoint` of a folder; return an `Index`.

    Raises:
      OSError: if there is no such file.
      ValueError: if the file is not text.
    """
    text = (folder / INDEX).read_text()
    newest = re.match(r'model_checkpoint_path: "ckpt-([0-9]{1,18})"', text)
    return Index(
        newest=int(newest[1]) if newest else None,
        names=set(re.findall(r'"(?:[^"]*/)?([^/"]+)"', text)),
        unexpected=[
            line for line in text.splitlines() if not re.fullmatch(f"{NAME_LINE}|{TIME_LINE}", line)
        ],
    )


def has_checkpoint(folder):
    """True if a checkpoint has been saved in a folder. Shipped runs have none."""
    return (folder / INDEX).is_file()


class Checkpoints:
    """The checkpoints of one trainer in one folder: the newest `max_to_keep` of them."""

    def __init__(self, folder, trainer, max_to_keep=None):
        import tensorflow as tf

        self.folder, self._parts = folder, trainer.state
        self._state = tf.train.Checkpoint(**trainer.state)
        self._max_to_keep = max_to_keep or MAX_CHECKPOINTS

    def save(self, step):
        """Save the trainer's state as `ckpt-STEP`.

        Raises:
          console.Failed: if it cannot be written.
        """
        import tensorflow as tf

        with (
            files.writing_by_tensorflow(self.folder / f"ckpt-{step}"),
            files.tensorflow_path(self.folder) as place,
        ):
            manager = tf.train.CheckpointManager(
                self._state, place, self._max_to_keep, checkpoint_name="ckpt"
            )
            manager.save(checkpoint_number=step)

    def restore(self, name):
        """Load a checkpoint by its name. Raises AssertionError if it has other variables.

        Parts of the state named `augment…`, which older checkpoints lack, stay as they are.
        """
        import tensorflow as tf

        with files.tensorflow_path(self.folder) as place:
            path = f"{place}/{name}"
            saved = {name.partition("/")[0] for name, _ in tf.train.list_variables(path)}
            parts = {n: p for n, p in self._parts.items() if n in saved or n[:7] != "augment"}
            tf.train.Checkpoint(**parts).restore(path).assert_consumed()


def restore(folder, trainer):
    """Load the newest checkpoint of a folder into a trainer; return the folder's `Checkpoints`.

    A file `checkpoint` that names a checkpoint outside the folder is refused. TensorFlow would load
    that checkpoint and later delete it.

    Raises:
      console.Failed: if there is no checkpoint, or it is broken or of another network.
    """
    path = folder
    try:
        index = read_index(folder)
        if index.unexpected:
            line = index.unexpected[0]
            raise ValueError(f"unexpected line in its file `checkpoint`: {line[:60]!r}")
        if index.newest is None:
            raise ValueError("its file `checkpoint` does not name the newest checkpoint")
        found, name = Checkpoints(folder, trainer), f"ckpt-{index.newest}"
        path = folder / name
        found.restore(name)
    except Exception as error:  # TensorFlow raises its own errors, ValueError or AssertionError
        import tensorflow as tf

        tf.get_logger().setLevel("ERROR")  # else it lists the values that were not restored
        raise console.Failed(
            f"cannot restore {path}: {console.first_line(error)}. If its config.json has been "
            "changed, undo that; else start anew with --resume False"
        ) from None
    return found


def save_measures(folder, step, measures):
    """Save the step and the measures, name → float, of a best checkpoint in its folder."""
    files.save_text(folder / MEASURES, json.dumps({"step": step, **measures}, indent=1))


def read_measures(folder):
    """Return the step and the measures of a best checkpoint, name → number; {} without a file.

    Leaves out NaN and infinity, because no later measure could be better.
    """
    try:
        found = json.loads((folder / MEASURES).read_text())
        return {name: value for name, value in found.items() if abs(value) < 1e300}
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return {}


@dataclasses.dataclass(frozen=True)
class Plateau:
    """A span of updates in which the measure that selects the best checkpoint has not improved.

    Attributes:
      measure: name of the measure.
      start: step of the best checkpoint.
      share: updates since then as a share of all updates up to the newest evaluation, in [0, 1).
    """

    measure: str
    start: int
    share: float

    def __str__(self):
        percent = f"{100 * self.share:.0f} % of the updates so far"
        return f"{self.measure} has not improved since update {self.start}, for {percent}"

    @property
    def note(self):
        """What to tell the user; "" if the plateau is shorter than `LONG`."""
        if self.share < LONG:
            return ""
        return (
            f"{self}. The folder best in the run's folder has the state of that update. "
            "--patience 0.33 ends a training at such a point"
        )


def find_plateau(folder, rows, settings):
    """Return the `Plateau` since a best checkpoint, or None.

    A plateau has at least `MIN_EVALUATIONS` evaluations. A failed evaluation has no value in the
    log and does not count. Returns None if the best checkpoint was selected by other settings,
    because its measures cannot be compared with those of the log.

    Args:
      folder: path of the best checkpoint's folder.
      rows: rows of metrics.csv, as dicts of text.
      settings: dict of the run's settings.
    """
    best = read_measures(folder)
    name, start = deciding(best, settings.get("best_by")), best.get("step")
    steps = [int(row["step"]) for row in rows if row.get(f"{log.MEASURED}{name}")]
    if name is None or start is None or sum(step > start for step in steps) < MIN_EVALUATIONS:
        return None
    with contextlib.suppress(OSError, ValueError, RecursionError):
        was = trained.read_config(folder)
        # An older run lacks the newer of these settings.
        if all(was.get(key, settings.get(key)) == settings.get(key) for key in SELECTING):
            return Plateau(name, start, 1 - start / steps[-1])
    return None


def deciding(measures, by):
    """Return the full name of a measure, such as "fid_mnist-cnn" for "fid"; None if absent."""
    names = [name for name in measures if name == by or name.startswith(f"{by}_")]
    return min(names, key=len, default=None)  # not "kid_deviation_…", nor a level of "swd"


def save_networks(folder, networks):
    """Save networks, name → Keras model, as `NAME.keras`, for use without the trainer."""
    for name, network in networks.items():
        with files.atomic_path(folder / f"{name}.keras") as part:
            network.save(part)

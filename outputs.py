"""What a run leaves behind: its folder, lock, settings, checkpoints, log, plots and pictures."""

import contextlib
import fcntl
import json
import os
import shutil
import time
from pathlib import Path

import numpy as np
from PIL import Image

import curves
import utils

KEPT = 3  # checkpoints
MAX_FRAMES = 60
MAX_BYTES = 2_000_000  # of an animation
FRAME_SIDE = 512  # pixels
REDRAW_SHARE = 0.03  # of the time may go into animations and plots
LOCK, BEST = "lock", "best"
# What a run writes into its folder, and a new one takes the place of.
OWN = (
    "config.json",
    "*.keras",
    "ckpt-*",
    "checkpoint",
    "metrics.csv",
    "frames",
    "best",
    ".new",
    ".moving",
)


class Run:
    """One run's folder, and the pictures it writes.

    A new run is built up in a hidden folder inside its own, and takes the place of what an
    older one left there when it is saved for the first time.
    """

    def __init__(self, name, checkpoint_dir, sample_dir, log_dir):
        self.name = name
        self.folder = Path(checkpoint_dir) / name
        self.samples, self.logs = Path(sample_dir), Path(log_dir) / name
        self.home = self.folder  # where files go now
        self._writer = self._manager = None
        self._redrawn, self._cost = -np.inf, 0.0
        self._log, self._spent = curves.Log(), 0.0  # seconds trained before this call
        self._stale = []

    # ---- the folder ----------------------------------------------------------------------

    @contextlib.contextmanager
    def lock(self):
        """Keep other trainers out of the block. Raises utils.Failed where one is in."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.folder / LOCK, "a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                raise utils.Failed(
                    f"run {self.name} is being trained by process {file.read().strip()}: stop "
                    "that one, or give this one another --name"
                ) from None
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            self._adopt()
            yield

    def has_state(self):
        """Is there a checkpoint to go on from?"""
        return (self.folder / "checkpoint").is_file()

    def check_data(self, spec):
        """Raise utils.Failed where the run was trained on images of another kind than `spec`."""
        was = json.loads((self.folder / "config.json").read_text())["data"]
        for name in ("height", "width", "channels", "classes"):
            if was.get(name) != spec[name]:
                raise utils.Failed(
                    f"run {self.name} was trained on images with {name} {was.get(name)}, and these "
                    f"have {spec[name]}: give another --name, or start anew with --resume False"
                )

    def begin(self, settings, spec, *, resume):
        """Write the settings; a run that is not resumed starts in a hidden folder."""
        if not resume:
            self.home = self.folder / ".new"
            shutil.rmtree(self.home, ignore_errors=True)
            self._stale = list(self.logs.glob("events*"))
        (self.home / "frames").mkdir(parents=True, exist_ok=True)
        self.samples.mkdir(parents=True, exist_ok=True)
        text = json.dumps({**settings, "data": spec}, indent=1)
        utils.save_text(self.home / "config.json", text)

    def _adopt(self):
        """Put a new run that has been saved in the place of the old one.

        Each stage can be begun again after a kill: `.ready` is whole and the old files are
        being removed, `.moving` is being moved up.
        """
        ready, moving = self.folder / ".ready", self.folder / ".moving"
        if ready.exists():
            for entry in self.folder.iterdir():
                if any(entry.match(name) for name in OWN):  # the user's files are left alone
                    shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
            ready.rename(moving)
        if moving.exists():
            for entry in list(moving.iterdir()):
                entry.rename(self.folder / entry.name)
            moving.rmdir()
        _swap_best(self.folder)

    # ---- checkpoints ---------------------------------------------------------------------

    def _checkpoints(self, trainer):
        import tensorflow as tf

        if self._manager is None:
            self._checkpoint = tf.train.Checkpoint(**trainer.state)
            self._manager = tf.train.CheckpointManager(
                self._checkpoint, str(self.home), KEPT, checkpoint_name="ckpt"
            )
        return self._manager

    def restore(self, trainer):
        """Put the newest checkpoint's state into the trainer; forget what was logged after it."""
        path = self._checkpoints(trainer).latest_checkpoint
        try:
            self._checkpoint.restore(path).assert_consumed()
        except Exception as error:  # TensorFlow raises its own errors, ValueError or AssertionError
            reason = utils.first_line(error)
            raise utils.Failed(
                f"cannot restore {path or self.folder}: {reason}. Start anew with --resume False"
            ) from None
        step = int(trainer.state["step"].numpy())
        self._log.read(self.home / "metrics.csv", step)
        self._spent = float(self._log.rows[-1]["seconds"]) if self._log.rows else 0.0
        for frame in self._frames():
            if int(frame.stem) > step:
                frame.unlink()
        return step

    def save(self, step, trainer):
        """Save the state, and the networks for use without training."""
        trainer.refresh()
        _save_networks(self.home, trainer)
        self._checkpoints(trainer).save(checkpoint_number=step)
        if self.home != self.folder:
            self.home.rename(self.folder / ".ready")
            self._adopt()
            self.home, self._manager = self.folder, None
            for events in self._stale:
                events.unlink(missing_ok=True)
        self._histograms(step, trainer.networks)

    def best(self):
        """The measures of the best checkpoint, or none."""
        try:
            return json.loads((self.home / BEST / "measures.json").read_text())
        except (OSError, ValueError):
            return {}

    def keep_best(self, step, trainer, measures):
        """Keep this state as the best: a run of its own, in the folder `best` of this one."""
        import tensorflow as tf

        part, whole = self.home / ".best-part", self.home / ".best"
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        trainer.refresh()
        _save_networks(part, trainer)
        state = tf.train.Checkpoint(**trainer.state)
        manager = tf.train.CheckpointManager(state, str(part), 1, checkpoint_name="ckpt")
        manager.save(checkpoint_number=step)
        shutil.copy(self.home / "config.json", part)
        self._log.write(part / "metrics.csv")
        text = json.dumps({"step": step, **measures}, indent=1)
        utils.save_text(part / "measures.json", text)
        part.rename(whole)
        _swap_best(self.home)

    # ---- the log -------------------------------------------------------------------------

    def log(self, step, epoch, seconds, terms, measures=None):
        """Add a row to metrics.csv and scalars to TensorBoard's events."""
        import tensorflow as tf

        measures = {curves.MEASURED + name: value for name, value in (measures or {}).items()}
        row = {"step": step, "epoch": epoch, "seconds": f"{self._spent + seconds:.1f}"}
        if "stage" in terms:
            spent = curves.stage_seconds(self._log.rows, terms["stage"], self._spent + seconds)
            row["stage_seconds"] = f"{spent:.1f}"
        row |= {name: f"{value:.7g}" for name, value in {**terms, **measures}.items()}
        self._log.add(self.home / "metrics.csv", row)
        with self._events().as_default(step=step):
            for name, value in {**terms, **measures}.items():
                tf.summary.scalar(name, value)

    def _events(self):
        import tensorflow as tf

        self._writer = self._writer or tf.summary.create_file_writer(str(self.logs))
        return self._writer

    # ---- pictures ------------------------------------------------------------------------

    def reals(self, images):
        """Write `reals.png`, a sheet of training images, uint8 [N, H, W, C]."""
        utils.save_image(self.samples / "reals.png", utils.make_grid(images))

    def sample(self, step, epoch, index, images, columns):
        """Write a grid of samples, float [N, H, W, C] in [-1, 1], and keep it as a frame."""
        import tensorflow as tf

        grid = utils.make_grid(utils.to_uint8(images), columns)
        utils.save_image(self.samples / f"train_{epoch:02d}_{index:04d}.png", grid)
        with self._events().as_default(step=step):
            tf.summary.image("samples", grid[None])
        self._keep_frame(step, grid)
        held = self.home != self.folder and self.has_state()  # the old run's film stays
        if not held and time.monotonic() - self._redrawn > self._cost / REDRAW_SHARE:
            self.redraw()

    def _frames(self):
        return sorted((self.home / "frames").glob("[0-9]*.png"))

    def _keep_frame(self, step, grid):
        scale = FRAME_SIDE / max(grid.shape[:2])
        if scale < 1:
            size = [round(n * scale) for n in grid.shape[1::-1]]
            image = Image.fromarray(grid.squeeze(-1) if grid.shape[-1] == 1 else grid)
            grid = np.asarray(image.resize(size, Image.Resampling.BOX))
            grid = grid.reshape(*grid.shape[:2], -1)
        utils.save_image(self.home / "frames" / f"{step:08d}.png", grid)
        frames = self._frames()
        if len(frames) > MAX_FRAMES:  # every second goes, the first and the newest stay
            for frame in frames[1:-1:2]:
                frame.unlink()

    def redraw(self):
        """Write the film, its frames as large as the last, the curves and real_vs_fake.png anew."""
        start = time.monotonic()
        frames = [utils.read_image(path) for path in self._frames()]
        frames = [utils.enlarge(frame, frames[-1].shape) for frame in frames]
        for suffix in ("gif", "webp"):
            save_film(self.samples / f"training.{suffix}", frames)
        if self._log.rows:
            curves.plot_log(self.samples, self._log.rows)
        reals = self.samples / "reals.png"
        if reals.is_file():
            pair = utils.side_by_side(utils.read_image(reals), frames[-1])
            utils.save_image(self.samples / "real_vs_fake.png", pair)
        self._redrawn = time.monotonic()
        self._cost = self._redrawn - start

    def written(self):
        """The files that a person will look at."""
        names = ("training.gif", "training.webp", "losses.png", "measures.png", "real_vs_fake.png")
        paths = [self.samples / name for name in names]
        paths += [self.folder / "generator.keras", self.folder / BEST / "generator.keras"]
        return [path for path in paths if path.is_file()]

    def _histograms(self, step, networks):
        """The networks' weights, for TensorBoard."""
        import tensorflow as tf

        with self._events().as_default(step=step):
            for name, network in networks.items():
                for weight in network.trainable_variables:
                    tf.summary.histogram(f"{name}/{weight.path}", weight.value)


def _save_networks(folder, trainer):
    for name, network in trainer.networks.items():
        with utils.atomic_path(folder / f"{name}.keras") as part:
            network.save(part)


def _swap_best(folder):
    """Put a best state that is whole in the place of the older one; can be begun again."""
    if (folder / ".best").exists():
        shutil.rmtree(folder / BEST, ignore_errors=True)
        (folder / ".best").rename(folder / BEST)


def save_film(path, frames):
    """Write an animation of at most MAX_BYTES, with as many of the frames as fit, evenly."""
    count = len(frames)
    while count:
        shown = np.linspace(0, len(frames) - 1, count).round().astype(int)
        utils.save_animation(path, [frames[i] for i in shown])
        size = path.stat().st_size
        if size <= MAX_BYTES or count == 1:
            return
        count = max(1, int(0.95 * count * MAX_BYTES / size))


def load_network(path):
    """A saved Keras model. Raises utils.Failed where it is not one that loads safely."""
    import keras

    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises whatever its zip, JSON and layers raise
        raise utils.Failed(f"cannot load {path}: {utils.first_line(error)}") from None


def find_run(checkpoint_dir, dataset, wanted):
    """The newest run with a generator of a data set, and the names of the others.

    Args:
      wanted: settings that the run must have, among them perhaps its `name`.

    Raises:
      utils.Failed: where there is none, saying what was looked for and what there is.
    """
    runs, near = [], []
    for file in sorted(Path(checkpoint_dir).glob("*/generator.keras")):
        try:
            saved = json.loads((file.parent / "config.json").read_text())
            saved = {**saved, "name": file.parent.name}
            trained_on = Path(saved["dataset"]).name
        except (OSError, ValueError, TypeError, KeyError):
            continue
        if "name" not in wanted and trained_on != Path(dataset).name:
            continue
        same = {
            k: saved.get(k) == (list(v) if isinstance(v, tuple) else v) for k, v in wanted.items()
        }
        # A batch size is a wish: without a run of it, it is the number of images to make.
        fits = all(same[k] for k in same if k != "batch_size")
        rank = (same.get("batch_size", True), file.stat().st_mtime, file.parent)
        (runs if fits else near).append(rank)
    if not runs:
        asked = "".join(f" --{name} {_word(value)}" for name, value in wanted.items())
        there = f" (there are {', '.join(rank[-1].name for rank in near)})" if near else ""
        raise utils.Failed(
            f"no trained generator of {dataset} with{asked or ' any settings'} in "
            f"{checkpoint_dir}{there}; train one: "
            f"python main.py --dataset {dataset}{asked} --train True"
        )
    runs = [rank[-1] for rank in sorted(runs, reverse=True)]
    return runs[0], [path.name for path in runs[1:]]


def _word(value):
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)

"""What a run leaves behind: its folder, lock, settings, checkpoints, log, plots and pictures."""

import contextlib
import json
import re
import shutil
import time
from pathlib import Path

import numpy as np

import console
import files
import utils
from runs import film, log, page, recovery

KEPT = 3  # checkpoints
REDRAW_SHARE = 0.005  # of the time may go into animations and plots
MOST_WEIGHTS = 10_000  # of a histogram
LOCK = "lock"


class Run:
    """One run's folder, and the pictures it writes.

    A new run is built up in a hidden folder inside its own, and takes the place of what an
    older one left there when it is saved for the first time.
    """

    writes = True

    def __init__(self, name, checkpoint_dir, sample_dir, log_dir):
        self.name = name
        self.folder = Path(checkpoint_dir) / name
        self.samples, self.logs = Path(sample_dir), Path(log_dir) / name
        self.home, self.events = self.folder, self.logs  # where files go now
        self._writer = self._manager = None
        self._redrawn, self._cost = -np.inf, 0.0
        self._log, self._spent = log.Log(), 0.0  # seconds trained before this call
        self._sample_every = 1  # steps
        self._per_epoch = None  # steps, once an epoch is over

    # ---- the folder ----------------------------------------------------------------------

    @contextlib.contextmanager
    def lock(self):
        """Keep other trainers out of the block. Raises utils.Failed where one is in."""

        def busy(pid):
            raise console.Failed(
                f"run {self.name} is being trained by process {pid}: stop that one, or give "
                "this one another --name"
            )

        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            with files.lock(self.folder / LOCK, busy):
                recovery.settle(self.folder, self.logs)
                yield
        finally:
            with contextlib.suppress(OSError):  # it is empty after a call that came to nothing
                self.folder.rmdir()

    def say(self, text):
        """Print what a person is told of the run."""
        print(text, flush=True)

    def has_state(self):
        """Is there a checkpoint to go on from?"""
        return (self.folder / "checkpoint").is_file()

    def saved(self):
        """Has this very run, not an older one of its name, been saved?"""
        return self.home == self.folder and self.has_state()

    def check_data(self, spec):
        """Raise utils.Failed where the run was trained on images of another kind than `spec`."""
        was = json.loads((self.folder / "config.json").read_text())["data"]
        for name in ("height", "width", "channels", "classes"):
            if was.get(name) != spec[name]:
                raise console.Failed(
                    f"run {self.name} was trained on images with {name} {was.get(name)}, and these "
                    f"have {spec[name]}: give another --name, or start anew with --resume False"
                )

    def begin(self, settings, spec, *, resume, sample_every=1):
        """Write the settings; a run that is not resumed starts in hidden folders."""
        if not resume:
            self.home, self.events = self.folder / recovery.NEW, self.logs / recovery.NEW
        self._sample_every = sample_every
        for folder in (self.home / "frames", self.samples, self.events):
            folder.mkdir(parents=True, exist_ok=True)
        files.clear_parts(self.samples)
        text = json.dumps({**settings, "data": spec}, indent=1)
        files.save_text(self.home / "config.json", text)

    def _check_places(self):
        """Raise utils.Failed where a folder has been removed: to make another would hide it."""
        for path in (self.home / "config.json", self.samples, self.events):
            if not path.exists():
                raise console.Failed(f"{path} is gone: the run ends at what was saved last")

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
        """Put the newest checkpoint's state into the trainer; forget what came after it."""
        step = self._load(trainer)
        self._log.read(self.home / "metrics.csv", step)
        self._spent = float(self._log.rows[-1].get("seconds") or 0) if self._log.rows else 0.0
        self._close_events()
        recovery.forget(self.home, self.events, step)
        return step

    def _load(self, trainer):
        """Put the newest checkpoint's state into the trainer; return its step."""
        path = None
        try:
            _check_pointer(self.folder / "checkpoint")
            path = self._checkpoints(trainer).latest_checkpoint
            self._checkpoint.restore(path).assert_consumed()
        except Exception as error:  # TensorFlow raises its own errors, ValueError or AssertionError
            reason = console.first_line(error)
            raise console.Failed(
                f"cannot restore {path or self.folder}: {reason}. Start anew with --resume False"
            ) from None
        return int(trainer.state["step"].numpy())

    def save(self, step, trainer):
        """Save the state, and the networks for use without training."""
        self._check_places()
        trainer.refresh()
        self._histograms(step, trainer.networks)
        with _writes(self.events):  # before the state, so that no event up to it is lost
            self._writer.flush()
        _save_networks(self.home, trainer)
        with _writes(self.home / f"ckpt-{step}"):
            self._checkpoints(trainer).save(checkpoint_number=step)
        if self.home != self.folder:
            self._close_events()
            self.home.rename(self.folder / recovery.READY)
            recovery.adopt(self.folder, self.logs)
            self.home, self.events, self._manager = self.folder, self.logs, None

    def best(self):
        """The measures of the best checkpoint, or none."""
        try:
            found = json.loads((self.home / recovery.BEST / "measures.json").read_text())
            # Not a number, or no number: as if there were none, or nothing would be better.
            return {n: v for n, v in found.items() if abs(v) < 1e300}
        except (OSError, ValueError, TypeError, AttributeError, RecursionError):
            return {}

    def keep_best(self, step, trainer, measures):
        """Keep this state as the best: a run of its own, in the folder `best` of this one."""
        import tensorflow as tf

        part = self.home / recovery.BEST_PART
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        trainer.refresh()
        _save_networks(part, trainer)
        state = tf.train.Checkpoint(**trainer.state)
        manager = tf.train.CheckpointManager(state, str(part), 1, checkpoint_name="ckpt")
        with _writes(part):
            manager.save(checkpoint_number=step)
        shutil.copy(self.home / "config.json", part)
        self._log.write(part / "metrics.csv")
        text = json.dumps({"step": step, **measures}, indent=1)
        files.save_text(part / "measures.json", text)
        part.rename(self.home / recovery.BEST_WHOLE)
        recovery.swap_best(self.home)

    # ---- the log -------------------------------------------------------------------------

    def log(self, step, epoch, seconds, terms, measures=None):
        """Add a row to metrics.csv and scalars to TensorBoard's events."""
        import tensorflow as tf

        self._check_places()
        measures = {log.MEASURED + name: value for name, value in (measures or {}).items()}
        row = {"step": step, "epoch": epoch, "seconds": f"{self._spent + seconds:.1f}"}
        if "stage" in terms:
            spent = log.stage_seconds(self._log.rows, terms["stage"], self._spent + seconds)
            row["stage_seconds"] = f"{spent:.1f}"
        row |= {name: f"{value:.7g}" for name, value in {**terms, **measures}.items()}
        self._log.add(self.home / "metrics.csv", row)
        with self._events(step):
            for name, value in {**terms, **measures}.items():
                tf.summary.scalar(name, value)

    @contextlib.contextmanager
    def _events(self, step):
        """Write summaries in the block as TensorBoard's events of a step."""
        import tensorflow as tf

        with _writes(self.events):
            self._writer = self._writer or tf.summary.create_file_writer(str(self.events))
            with self._writer.as_default(step=step):
                yield

    def _close_events(self):
        """The next event begins a file."""
        if self._writer:
            with _writes(self.events):
                self._writer.close()
        self._writer = None

    # ---- pictures ------------------------------------------------------------------------

    def reals(self, images):
        """Write `reals.png`, a sheet of training images, uint8 [N, H, W, C]."""
        utils.save_image(self.samples / "reals.png", utils.make_grid(images))

    def sample(self, step, epoch, index, images, columns):
        """Write a grid of samples, float [N, H, W, C] in [-1, 1], and keep it as a frame."""
        import tensorflow as tf

        self._check_places()
        self._per_epoch = (step - index) // epoch if epoch else None
        grid = utils.make_grid(utils.to_uint8(images), columns)
        utils.save_image(self.samples / f"train_{epoch:02d}_{index:04d}.png", grid)
        with self._events(step):
            tf.summary.image("samples", grid[None])
        film.keep(self.home, step, grid, self._sample_every)
        held = self.home != self.folder and self.has_state()  # the old run's film stays
        if not held and time.monotonic() - self._redrawn > self._cost / REDRAW_SHARE:
            self.redraw()

    def redraw(self):
        """Write the film, its frames as large as the last, the curves, pairs and page anew."""
        start = time.monotonic()
        grids = film.frames(self.home)
        if not grids:
            return
        frames = [utils.enlarge(image, grids[-1][1].shape) for _, image in grids]
        for suffix in ("gif", "webp"):
            film.save(self.samples / f"training.{suffix}", frames)
        if self._log.rows:
            log.plot_log(self.samples, self._log.rows)
        reals = film.read(self.samples / "reals.png")
        if reals is not None and reals.shape[-1] == frames[-1].shape[-1]:
            pair = utils.side_by_side(reals, frames[-1])
            utils.save_image(self.samples / "real_vs_fake.png", pair)
        page.write(
            self.samples / page.NAME,
            name=self.name,
            grids=grids,
            film=self.samples / "training.gif",
            rows=self._log.rows,
            settings=json.loads((self.home / "config.json").read_text()),
            best=self.best(),
            per_epoch=self._per_epoch,
        )
        self._redrawn = time.monotonic()
        self._cost = self._redrawn - start

    def finish(self):
        """Draw what a kill after the last save has left undrawn."""
        last, state = self.samples / page.NAME, self.folder / "checkpoint"
        if not last.is_file() or last.stat().st_mtime_ns < state.stat().st_mtime_ns:
            self.redraw()

    def written(self):
        """The files that a person will look at."""
        names = (
            page.NAME,
            "training.gif",
            "training.webp",
            "losses.png",
            "measures.png",
            "real_vs_fake.png",
        )
        paths = [path for name in names if (path := self.samples / name).is_file()]
        for folder in (self.folder, self.folder / recovery.BEST):
            paths += sorted(folder.glob("generator*.keras"))
        return paths

    def _histograms(self, step, networks):
        """The networks' weights, of large ones every k-th number, for TensorBoard.

        By TensorBoard's own NumPy code, a fifth of the time of `tf.summary.histogram`. It is of the
        version that requirements.txt names; `tensorboard.summary` does not have it.
        """
        import tensorflow as tf
        from tensorboard.plugins.histogram import summary_v2

        with self._events(step):
            for name, network in networks.items():
                for weight in network.trainable_variables:
                    values = weight.numpy().ravel()
                    values = values[:: 1 + len(values) // MOST_WEIGHTS]
                    summary = summary_v2.histogram_pb(f"{name}/{weight.path}", values)
                    tf.summary.experimental.write_raw_pb(summary.SerializeToString())


def _check_pointer(path):
    """Raise ValueError where a file `checkpoint` names anything but checkpoints beside it.

    TensorFlow would go on from what it names, and later delete that.
    """
    own = r'(all_)?model_checkpoint_paths?: "ckpt-[0-9]+"|\w+: [0-9.e+-]+'
    if wrong := [line for line in path.read_text().splitlines() if not re.fullmatch(own, line)]:
        raise ValueError(f"its file names no checkpoint of this run: {wrong[0][:60]!r}")


def _save_networks(folder, trainer):
    for name, network in trainer.networks.items():
        with files.atomic_path(folder / f"{name}.keras") as part:
            network.save(part)


@contextlib.contextmanager
def _writes(path):
    """Turns TensorFlow's errors while something is written at a path into utils.Failed."""
    import tensorflow as tf

    try:
        yield
    except tf.errors.OpError as error:
        reason = re.sub(r"{{.*?}} ?", "", error.message)  # the names of operations
        raise console.Failed(f"cannot write {path}: {console.first_line(reason, 500)}") from None


def settle_runs(checkpoint_dir, log_dir):
    """Move up the new runs that kills have left half moved; not those of a trainer that lives."""
    for name in (recovery.READY, recovery.MOVING):
        for path in Path(checkpoint_dir).glob(f"*/{name}"):
            run = Run(path.parent.name, checkpoint_dir, "", log_dir)
            with contextlib.suppress(console.Failed, OSError), run.lock():
                pass

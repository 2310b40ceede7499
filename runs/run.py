"""A run: its folders, and the files that it writes while it is trained."""

import json
import time
from pathlib import Path

import numpy as np

import console
import files
import locks
import utils
from runs import checkpoints, film, log, page, plots, recovery, trained

REDRAW_FRACTION = 0.005  # of the training time, at most, for animations, plots and the page


class Run:
    """The folders of one run. The process that leads a training writes them.

    A new run is written to the hidden folder `.new` of its own folder. Its first save replaces
    the older run of the same name, if there is one. If there are pictures of an older run, the new
    pictures are written to a folder `.new`, too, and replace them at the first save.

    Args:
      name: name of the run, and of its folder in `checkpoint_dir`.
      checkpoint_dir, sample_dir, log_dir: paths of folders that many runs share.
      newest_dir: path of the folder for copies of the newest training's film and page, by default
        `sample_dir`.

    Attributes:
      writes: False for a process that only reads the run.
      folder, samples, logs: paths of the folders of checkpoints, pictures and TensorBoard events.
      write_dir: path of the folder that is written to: `folder`, or `.new` in it.
      draw_dir: path of the folder that pictures are written to: `samples`, or `.new` in it.
      events: `log.EventLog` of the folder `logs`, or of `.new` in it.
    """

    writes = True

    def __init__(self, name, checkpoint_dir, sample_dir, log_dir, newest_dir=None):
        self.name = name
        self.folder = Path(checkpoint_dir) / name
        title = recovery.title(self.folder)
        self.samples, self.logs = Path(sample_dir) / title, Path(log_dir) / title
        self.newest_dir = Path(newest_dir or sample_dir)
        self._write_in_place()
        self._checkpoints = None  # made by the first save or restore
        self._config, self._config_saved = None, True  # the text of config.json
        self._redrawn, self._redraw_cost = -np.inf, 0.0  # of the last redraw, in s
        self._log = log.MetricsLog()
        self._sample_every, self._class_names = 1, ()  # steps; names
        self._per_epoch = None  # steps; unknown in the first epoch

    def _write_in_place(self):
        """Write to the run's own folders from now on."""
        self.write_dir, self.draw_dir = self.folder, self.samples
        self.events = log.EventLog(self.logs)

    # ---- the folder ----------------------------------------------------------------------

    def lock(self):
        """Return a context manager that holds the run's lock; see `recovery.lock`."""
        return recovery.lock(self.folder, self.logs, self.samples)

    def say(self, text):
        """Print a text at once. A `Follower` does not."""
        print(text, flush=True)

    def has_state(self):
        """True if there is a checkpoint of this run, or of an older run of the same name."""
        return checkpoints.has_checkpoint(self.folder)

    def saved(self):
        """True once this run has been saved; a checkpoint of an older run does not count."""
        return self.write_dir == self.folder and self.has_state()

    def check_data(self, spec):
        """Check that the run can go on with these images, and say what has changed.

        Args:
          spec: dict of the fields of the images' `packed.ImageSpec`.

        Raises:
          console.Failed: see `trained.check_data`.
        """
        was = trained.read_config(self.folder)["data"]
        if line := trained.check_data(self.name, was, spec):
            self.say(line)

    def begin(self, settings, spec, *, resume, sample_every=1):
        """Make the folders. Write config.json, with the first save if the run resumes.

        So the settings of a call that fails before it has saved do not stay.

        Args:
          settings: dict of the run's settings.
          spec: dict of the fields of its images' `packed.ImageSpec`.
          resume: False to write to hidden folders until the first save.
          sample_every: steps between two calls of `sample`.

        Raises:
          console.Failed: if the folder of the pictures has files that this program did not make.
        """
        recovery.claim_pictures(self.samples)
        files.mark_output(self.folder)
        if not resume:
            self.write_dir = self.folder / recovery.NEW
            self.events = log.EventLog(self.logs / recovery.NEW)
            if recovery.pictures(self.samples):
                self.draw_dir = self.samples / recovery.NEW
        self._sample_every, self._class_names = sample_every, spec.get("class_names", ())
        for folder in (self.write_dir / "frames", self.draw_dir, self.events.folder):
            folder.mkdir(parents=True, exist_ok=True)
        locks.clear_parts(self.draw_dir, self.newest_dir)
        self._config = json.dumps({**settings, "data": spec}, indent=1)
        path = self.write_dir / trained.CONFIG
        self._config_saved = not (resume and path.exists())
        if self._config_saved:
            files.save_text(path, self._config)

    def _check_folders(self):
        """Raise console.Failed if a folder has been removed: writing would create it again."""
        for path in (self.write_dir / trained.CONFIG, self.draw_dir, self.events.folder):
            if not path.exists():
                raise console.Failed(f"{path} is gone: training stops without another save")

    # ---- checkpoints ---------------------------------------------------------------------

    def restore(self, trainer):
        """Load the newest checkpoint, and delete log rows, events and pictures of later steps.

        Returns:
          The checkpoint's step.

        Raises:
          console.Failed: if there is no checkpoint of this trainer that can be read.
        """
        step = self._restore_state(trainer)
        self._log.read(self.write_dir / "metrics.csv", step)
        self.events.close()
        recovery.delete_after(self.write_dir, self.events.folder, self.draw_dir, step)
        return step

    def _restore_state(self, trainer):
        self._checkpoints = checkpoints.restore(self.folder, trainer)
        return int(trainer.state["step"].numpy())

    def save(self, step, trainer):
        """Save the trainer's state as a checkpoint, and its networks as .keras files."""
        self._check_folders()
        trainer.refresh()
        networks = trainer.networks  # builds stock copies
        self.events.histograms(step, networks)
        self.events.flush()  # before the state, so that no event up to it is lost
        checkpoints.save_networks(self.write_dir, networks)
        if self._checkpoints is None:
            self._checkpoints = checkpoints.Checkpoints(self.write_dir, trainer)
        self._checkpoints.save(step)
        if not self._config_saved:
            files.save_text(self.write_dir / trained.CONFIG, self._config)
            self._config_saved = True
        if self.write_dir != self.folder:
            self.events.close()
            self.write_dir.rename(self.folder / recovery.READY)
            recovery.replace_old_run(self.folder, self.logs, self.samples)
            self._write_in_place()
            self._checkpoints = None

    def best(self):
        """Return the step and the measures of the best checkpoint; see `read_measures`."""
        return checkpoints.read_measures(self.write_dir / recovery.BEST)

    def plateau(self):
        """Return the `checkpoints.Plateau` since the best checkpoint, or None."""
        best = self.write_dir / recovery.BEST
        return checkpoints.find_plateau(best, self._log.rows, self._settings())

    def keep_best(self, step, trainer, measures):
        """Save the state as the best, in the folder `best`, which is a run of its own.

        `measures` are from an evaluation of this state, name → float.
        """
        trainer.refresh()
        with recovery.new_best(self.write_dir) as part:
            checkpoints.save_networks(part, trainer.networks)
            checkpoints.Checkpoints(part, trainer, max_to_keep=1).save(step)
            files.save_text(part / trained.CONFIG, self._config)
            self._log.write(part / "metrics.csv")
            path = part / checkpoints.SHEET
            grid = film.save_sheet(path, step, *trainer.preview(), self._class_names)
            film.add_frame(part, step, grid, self._sample_every)
            checkpoints.save_measures(part, step, measures)
        film.show_best(self.write_dir / recovery.BEST, self.draw_dir)

    # ---- the log and the pictures --------------------------------------------------------

    def log(self, step, epoch, seconds, terms, measures=None):
        """Write a row to metrics.csv and scalars to TensorBoard.

        Args:
          step, epoch: generator updates and epochs done.
          seconds: seconds of training in this call of the program.
          terms: name → float, from a train step.
          measures: name → float, from an evaluation, or None.
        """
        self._check_folders()
        measures = {log.MEASURED + name: value for name, value in (measures or {}).items()}
        values = {**terms, **measures}
        row = self._log.new_row(step, epoch, seconds, values)
        self._log.add(self.write_dir / "metrics.csv", row)
        self.events.scalars(step, values)

    def reals(self, images):
        """Write `reals.png`, a grid of training images, uint8 [N, H, W, C]."""
        self._check_folders()
        utils.save_image(self.draw_dir / "reals.png", utils.make_grid(images))

    def augmented(self, images):
        """Write `augmented.png`, a grid of training images as the critic sees them.

        Args:
          images: float [N, H, W, C] in [-1, 1]; other values are clipped.
        """
        self._check_folders()
        utils.save_image(self.draw_dir / "augmented.png", utils.make_grid(utils.to_uint8(images)))

    def sample(self, step, epoch, index, images, columns):
        """Write a grid of generated images as a picture, an event and a frame of the film.

        Args:
          step: generator updates done.
          epoch, index: epochs done, and the steps since the last of them.
          images: float [N, H, W, C] in [-1, 1].
          columns: images in a row of the grid.
        """
        self._check_folders()
        self._per_epoch = (step - index) // epoch if epoch else None
        path = self.draw_dir / film.sheet_name(epoch, index)
        grid = film.save_sheet(path, step, images, columns, self._class_names)
        self.events.image(step, "samples", grid)
        film.add_frame(self.write_dir, step, grid, self._sample_every)
        if time.monotonic() - self._redrawn > self._redraw_cost / REDRAW_FRACTION:
            self.redraw(live=True)

    def redraw(self, live=False):
        """Write the films, plots and other pictures, and the page, if there are frames.

        Removes plots that would be empty. With `live`, the page reloads itself.
        """
        start = time.monotonic()
        if not (grids := film.load_frames(self.write_dir)):
            return
        best, folder = self.best(), self.write_dir / recovery.BEST
        film.draw(self.draw_dir, self.newest_dir, grids, folder)
        plots.save_plots(self.draw_dir, self._log.rows)
        page.write(
            self.newest_dir / page.NAME,
            name=self.name,
            grids=grids,
            film=self.draw_dir / film.NAME,
            rows=self._log.rows,
            settings=self._settings(),
            best=best,
            best_grid=film.load_frame(folder, best.get("step")),
            plateau=self.plateau(),
            per_epoch=self._per_epoch,
            live=live,
        )
        files.copy(self.newest_dir / page.NAME, self.draw_dir / page.NAME)  # last, for `finish`
        self._redrawn = time.monotonic()
        self._redraw_cost = self._redrawn - start

    def _settings(self):
        """Return the settings of this call, or of the run before `begin`."""
        return json.loads(self._config) if self._config else trained.read_config(self.write_dir)

    def finish(self):
        """Remove temporary files, and redraw if a kill came between the last save and the page.

        Copies film and page to `newest_dir` if others are there, such as those of a new run that
        has been stopped before its first save.
        """
        locks.clear_parts(self.samples, self.newest_dir)
        drawn, saved = self.samples / page.NAME, self.folder / checkpoints.INDEX
        if not drawn.is_file() or drawn.stat().st_mtime_ns < saved.stat().st_mtime_ns:
            recovery.claim_pictures(self.samples)
            self.redraw()
        elif not files.are_equal(drawn, self.newest_dir / page.NAME):
            film.show_newest(self.samples, self.newest_dir)
            files.copy(drawn, self.newest_dir / page.NAME)

    def written(self):
        """Return the paths to tell the user of: the page, pictures and generators."""
        names = (page.NAME, film.NAME, "training.webp", "best.png", "losses.png", "measures.png")
        paths = [self.newest_dir / name for name in (page.NAME, film.NAME)]
        paths += [self.samples / name for name in (*names, "real_vs_fake.png")]
        paths = [path for path in paths if path.is_file()]
        best = self.folder / recovery.BEST
        return [*paths, *trained.generators(self.folder), *trained.generators(best)]

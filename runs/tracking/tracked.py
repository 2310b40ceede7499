"""A run that also reports to trackers."""

import contextlib

from runs import film, page
from runs.run import Run
from runs.tracking.trackers import Trackers


class TrackedRun(Run):
    """A run whose log, sheets, settings and page are also given to trackers.

    Args:
      *args: see `Run`.
      kinds: name → class of a tracker, see `trackers.Trackers`.
    """

    def __init__(self, *args, kinds):
        super().__init__(*args)
        self._trackers = Trackers(kinds, self.say)

    @contextlib.contextmanager
    def lock(self):
        """Hold the run's lock in the block, and close the trackers in the end."""
        with super().lock():
            failed = True
            try:
                yield
                failed = False
            finally:
                self._trackers.end(self.samples / page.NAME, failed)

    def begin(self, settings, spec, *, resume, sample_every=1):
        """Make the folders and open the trackers; see `Run.begin`."""
        super().begin(settings, spec, resume=resume, sample_every=sample_every)
        place = self.logs.parent
        self._trackers.begin(self.name, place, {**settings, "data": spec}, self.write_dir)

    def sample(self, step, epoch, index, images, columns):
        """Write a grid of generated images; see `Run.sample`."""
        super().sample(step, epoch, index, images, columns)
        self._trackers.sheet(step, film.sheet_name(epoch, index))

    def save(self, step, trainer):
        """Save the trainer's state, and send what is saved to the trackers; see `Run.save`."""
        super().save(step, trainer)
        self._trackers.send(self.folder, self._log.rows, self.samples)

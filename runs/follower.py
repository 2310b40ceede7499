"""The run as a process sees it that shares the training with a leading process."""

import contextlib

from runs.run import Run


class Follower(Run):
    """A run that only reads the shared folder. The leading process writes everything."""

    writes = False

    def __init__(self, *args):
        super().__init__(*args)
        self._saved = False

    @contextlib.contextmanager
    def lock(self):
        """Do nothing: the leading process holds the lock."""
        yield

    def begin(self, settings, spec, *, resume, sample_every=1):
        """Note whether the run resumes, that is, has been saved."""
        self._saved = resume

    def saved(self):
        """True once this run has been saved."""
        return self._saved

    def save(self, step, trainer):
        """Note that the leading process saves."""
        self._saved = True

    def restore(self, trainer):
        """Load the newest checkpoint into the trainer; return its step."""
        return self._restore_state(trainer)

    def _do_nothing(self, *args):
        """Leave it to the leading process."""

    say = log = reals = sample = redraw = finish = _do_nothing

    def written(self):
        """Return no paths."""
        return []

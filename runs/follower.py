"""The run in a process that trains together with a leading process, and writes no files."""

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
        """Remember whether the run resumes, and thus has been saved."""
        self._saved = resume

    def saved(self):
        """True once this run has been saved."""
        return self._saved

    def save(self, step, trainer):
        """Remember that the leading process has saved the run."""
        self._saved = True

    def restore(self, trainer):
        """Load the newest checkpoint into the trainer; return its step."""
        return self._restore_state(trainer)

    def _do_nothing(self, *args):
        """Do nothing: the leading process does this."""

    say = log = reals = augmented = sample = redraw = finish = plateau = _do_nothing

    def written(self):
        """Return no paths."""
        return []

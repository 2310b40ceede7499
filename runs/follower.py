"""The run of a process that does not lead."""

import contextlib

from runs.run import Run


class Follower(Run):
    """The run of a process that does not lead: it reads the shared folder, and writes nothing."""

    writes = False

    def __init__(self, *words):
        super().__init__(*words)
        self._begun = False

    @contextlib.contextmanager
    def lock(self):
        """Nothing: the leading process holds it."""
        yield

    def begin(self, settings, spec, *, resume, sample_every=1):
        """Keep in mind whether there is a checkpoint of this very run."""
        self._begun = resume

    def saved(self):
        """Has this very run been saved?"""
        return self._begun

    def save(self, step, trainer):
        """The leading process does it."""
        self._begun = True

    def restore(self, trainer):
        """Put the newest checkpoint's state into the trainer; return its step."""
        self._manager = None  # it knows the checkpoints that were there when it was made
        return self._load(trainer)

    def _nothing(self, *words):
        """The leading process does it."""

    say = log = reals = sample = redraw = finish = _nothing

    def written(self):
        """Nothing."""
        return []

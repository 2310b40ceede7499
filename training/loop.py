"""The one loop that trains anything: schedules of logging, sampling and saving, and stopping."""

import contextlib
import dataclasses
import signal
import time

from console import Failed


class Diverged(Failed):
    """A step's terms were not finite: made of the text that says which step and which."""

    def __str__(self):
        return (
            f"{self.args[0]}: nothing from then on is saved; try a lower --learning_rate, another "
            "--seed, or --on_nan rollback"
        )


@dataclasses.dataclass(frozen=True)
class Schedule:
    """When things are done, in generator updates.

    Attributes:
      last: the count at which training ends.
      per_epoch: updates in an epoch.
      deadline: seconds of `time.monotonic` after which no further step begins, or infinity.
    """

    last: int
    per_epoch: int
    log_every: int
    sample_every: int
    save_every: int
    eval_every: int = 0
    deadline: float = float("inf")

    def due(self, step, every):
        """Is it time, after so many steps, for what is done every k steps (0: never), and last?"""
        return every > 0 and (step % every == 0 or step == self.last)


@contextlib.contextmanager
def stop_requests():
    """Turns Ctrl-C and SIGTERM into a list that is not empty; a second one is not held back."""
    asked = []

    def ask(number, _):
        asked.append(signal.Signals(number).name)
        signal.signal(number, before[number])

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, ask)
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _own_will(step, over):
    """Whether to stop, where no other process is asked."""
    del step
    return over


def fit(trainer, batches, run, schedule, progress, evaluation=None, agree=_own_will):
    """Train from the trainer's own step on until the schedule's end or a stop.

    Args:
      trainer: has `count` of steps done, `seen` of images eaten, `batch_spec(step)` → (updates,
        batch), `step(images, labels)` → dict of scalars, `measure(images, labels)` → more of
        them for the log, `preview()` → (images, columns), `samples(labels)` → images to evaluate
        and `problem()` → text or None. The run uses its `state`, `networks` and `refresh()`.
      batches: `take(position, shape)` gives what a step takes, as uint8 images and labels;
        `reals(count)` some of the first images.
      run: has `reals`, `log`, `sample`, `save`, `redraw`, `best` and `keep_best`.
      progress: a context manager with `update(done, text)`.
      evaluation: has `measure(draw)` → dict of numbers and `better(new, old)`; or None.
      agree: (step, whether this process wants to stop) → whether all stop at this step.

    Returns:
      (the step reached, the signal that stopped it or None). What was reached is saved.

    Raises:
      Diverged: before anything that is not finite is saved.
    """
    step, seen = int(trainer.count), int(trainer.seen)
    sampled, saved = step, step
    log = _Log(trainer, run, schedule, evaluation, seen)
    if step == 0:
        run.reals(batches.reals(64))
        run.sample(0, 0, 0, *trainer.preview())
    with stop_requests() as asked, progress:
        while step < schedule.last:
            if agree(step, bool(asked) or time.monotonic() >= schedule.deadline):
                break
            shape = trainer.batch_spec(step)
            batch = batches.take(seen, shape)
            terms = trainer.step(*batch)
            seen += shape[0] * shape[1]
            step += 1
            where = divmod(step, schedule.per_epoch)
            progress.update(step)
            measured = schedule.due(step, schedule.eval_every)
            if measured or schedule.due(step, schedule.log_every):
                _check(trainer)
                terms |= trainer.measure(*batch)
                progress.update(step, log.add(step, seen, terms, measured))
            epoch_ends = where[1] == 0 and step - sampled >= schedule.sample_every // 4
            if schedule.due(step, schedule.sample_every) or epoch_ends:
                sampled = _sample(trainer, run, step, where)
            if schedule.due(step, schedule.save_every):
                saved = _save(trainer, run, step)
        if sampled < step:
            _sample(trainer, run, step, where)
        if saved < step:
            _save(trainer, run, step)
        run.redraw()
    return step, asked[0] if asked else None


class _Log:
    """Rows for the run's log, and the evaluations, whose time does not count as training."""

    def __init__(self, trainer, run, schedule, evaluation, seen):
        self.trainer, self.run, self.evaluation = trainer, run, evaluation
        self.per_epoch = schedule.per_epoch
        self.begun = time.monotonic()
        self.lap = (self.begun, seen)

    def add(self, step, seen, terms, measured):
        """Log a step, evaluated first where it is due; return a line about it."""
        terms = {name: float(value) for name, value in terms.items()}
        now = time.monotonic()
        speed = (seen - self.lap[1]) / (now - self.lap[0])
        measured = measured and self.evaluation is not None
        found = self.evaluation.measure(self.trainer.samples) if measured else {}
        self.run.log(step, step // self.per_epoch, now - self.begun, terms, found)
        if measured:
            if self.evaluation.better(found, self.run.best()):
                self.run.keep_best(step, self.trainer, found)
            self.begun += time.monotonic() - now
            terms[self.evaluation.by] = found[self.evaluation.by]
        self.lap = (time.monotonic(), seen)
        values = "  ".join(f"{name} {value:.4g}" for name, value in terms.items())
        return f"epoch {step / self.per_epoch:.2f}  {speed:.0f} images/s  {values}"


def _sample(trainer, run, step, where):
    _check(trainer)
    run.sample(step, *where, *trainer.preview())
    return step


def _save(trainer, run, step):
    _check(trainer)
    run.save(step, trainer)
    return step


def _check(trainer):
    problem = trainer.problem()
    if problem:
        raise Diverged(problem)

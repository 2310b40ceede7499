"""The one loop that trains anything: schedules of logging, sampling and saving, and stopping."""

import contextlib
import dataclasses
import signal
import time


class Diverged(Exception):
    """A step's terms were not finite; the message says which step and which."""


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
    deadline: float = float("inf")

    def due(self, step, every):
        """Is it time, after `step` steps, for what is done every so many and at the end?"""
        return step % every == 0 or step == self.last


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


def fit(trainer, batches, run, schedule, progress):
    """Train from the trainer's own step on until the schedule's end or a stop.

    Args:
      trainer: has `count` of steps done, `seen` of images eaten, `batch_spec(step)` → (updates,
        batch), `step(images, labels)` → dict of scalars, `measure(images, labels)` → more of
        them for the log, `preview()` → (images, columns) and `problem()` → text or None. The run
        uses its `state`, `networks` and `refresh()`.
      batches: `take(position, shape)` gives uint8 images and labels.
      run: has `reals`, `log`, `sample`, `save` and `redraw`.
      progress: a context manager with `update(done, text)`.

    Returns:
      (the step reached, the signal that stopped it or None). What was reached is saved.

    Raises:
      Diverged: before anything that is not finite is saved.
    """
    step, seen = int(trainer.count), int(trainer.seen)
    begun, sampled, saved = time.monotonic(), step, step
    lap = (begun, seen)
    if step == 0:
        run.reals(batches.take(0, (64,))[0])
        run.sample(0, 0, 0, *trainer.preview())
    with stop_requests() as asked, progress:
        while step < schedule.last and not asked and time.monotonic() < schedule.deadline:
            shape = trainer.batch_spec(step)
            batch = batches.take(seen, shape)
            terms = trainer.step(*batch)
            seen += shape[0] * shape[1]
            step += 1
            where = divmod(step, schedule.per_epoch)
            progress.update(step)
            if schedule.due(step, schedule.log_every):
                _check(trainer)
                terms |= trainer.measure(*batch)
                terms = {name: float(value) for name, value in terms.items()}
                now = time.monotonic()
                run.log(step, where[0], now - begun, terms)
                speed, lap = (seen - lap[1]) / (now - lap[0]), (now, seen)
                progress.update(step, _line(step / schedule.per_epoch, speed, terms))
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
        raise Diverged(
            f"{problem}: nothing from then on is saved; try a lower --learning_rate or another "
            "--seed"
        )


def _line(epoch, speed, terms):
    values = "  ".join(f"{name} {value:.4g}" for name, value in terms.items())
    return f"epoch {epoch:.2f}  {speed:.0f} images/s  {values}"

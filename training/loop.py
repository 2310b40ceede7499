"""The training loop, with its schedule of logging, sampling, evaluating and saving."""

import contextlib
import dataclasses
import signal
import time

from console import Failed


class Diverged(Failed):
    """Training diverged. The argument is the text of `TrainerBase.problem`."""

    def __str__(self):
        return (
            f"{self.args[0]}: nothing from then on is saved; try a lower --learning_rate, another "
            "--seed, or --on_nan rollback"
        )


@dataclasses.dataclass(frozen=True)
class Schedule:
    """When to log, sample, save, evaluate and stop. One step is one generator update.

    Attributes:
      last: the step at which training ends.
      per_epoch: steps in an epoch.
      log_every, sample_every, save_every, eval_every: steps between two of these, or 0 for never.
      deadline: the value of `time.monotonic()`, in seconds, after which no step begins.
    """

    last: int
    per_epoch: int
    log_every: int
    sample_every: int
    save_every: int
    eval_every: int = 0
    deadline: float = float("inf")

    def due(self, step, every):
        """Return True on every `every`-th step and on the last; never if `every` is 0."""
        return every > 0 and (step % every == 0 or step == self.last)


@contextlib.contextmanager
def stop_requests():
    """Collect the names of SIGINT (Ctrl-C) and SIGTERM in a list, instead of ending the process.

    The second signal of a kind has its usual effect.

    Yields:
      The list, empty until a signal arrives.
    """
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


def _stop_alone(step, stop):
    """The default of `agree`, for a single process."""
    del step
    return stop


def fit(trainer, batches, run, schedule, progress, evaluation=None, agree=_stop_alone):
    """Train from the trainer's step to the schedule's last step, its deadline, or a signal.

    The last step is sampled and saved.

    Args:
      trainer: has `count` (steps done), `seen` (images taken), `batch_spec(step)` → (critic
        updates, batch size), `step(images, labels)` → dict of scalars, `measure(images, labels)`
        → more scalars for the log, `preview()` → (images, columns), `samples(labels)` → images
        for an evaluation, and `problem()` → text or None. The run uses its `state`, `networks`
        and `refresh()`.
      batches: has `take(position, shape)` → (uint8 images, labels) of a step, and `reals(count)` →
        the first training images.
      run: has `reals`, `log`, `sample`, `save`, `redraw`, `best` and `keep_best`.
      schedule: a `Schedule`.
      progress: a context manager with `update(done, text)`.
      evaluation: has `measure(samples)` → dict of numbers, `better(new, old)` → bool, and `by`, the
        name of the number that decides; or None.
      agree: (step, whether this process wants to stop) → whether all processes stop.

    Returns:
      (the step reached, the name of the signal that stopped the training or None).

    Raises:
      Diverged: if a term or a weight is not finite. Such a state is never saved.
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
    """Writes the rows of the run's log. The time of evaluations does not count as training."""

    def __init__(self, trainer, run, schedule, evaluation, seen):
        self.trainer, self.run, self.evaluation = trainer, run, evaluation
        self.per_epoch = schedule.per_epoch
        self.begun = time.monotonic()
        self.lap = (self.begun, seen)

    def add(self, step, seen, terms, measured):
        """Log a step, after its evaluation if `measured`; return the text for the progress bar."""
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

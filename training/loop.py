"""The training loop, with its schedule of logging, sampling, evaluating and saving."""

import dataclasses
import time
from typing import ClassVar

from console import STOP_SIGNALS, Failed, Part, Stopped, first_line, stop_requests

TIMED = 12  # updates whose mean time is the pace of a training
# Errors of an evaluation that do not end the training. By name, because this module does not import
# TensorFlow.
MEASURE_ERRORS = {"Failed", "OSError", "ValueError", "MemoryError", "OpError"}


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

    Logs, samples and saves are also due `LOG_SECONDS`, `SAMPLE_SECONDS` and `SAVE_SECONDS` after
    the last one.

    Attributes:
      last: the step at which training ends; infinity if only the deadline ends it.
      per_epoch: steps in an epoch.
      log_every, sample_every, save_every, eval_every: steps between two of these, or 0 for never.
      patience: training ends when the measure has not improved for this share of the steps; 0 for
        never.
      deadline: the value of `time.monotonic()`, in seconds, after which no step begins.
    """

    LOG_SECONDS: ClassVar[float] = 30.0
    SAMPLE_SECONDS: ClassVar[float] = 120.0
    SAVE_SECONDS: ClassVar[float] = 300.0

    last: int
    per_epoch: int
    log_every: int
    sample_every: int
    save_every: int
    eval_every: int = 0
    patience: float = 0.0
    deadline: float = float("inf")

    def due(self, step, every):
        """Return True on every `every`-th step and on the last; never if `every` is 0."""
        return every > 0 and (step % every == 0 or step == self.last)

    def samples_at(self, step):
        """Return True on every `sample_every`-th step, on the last, and at the ends of epochs.

        The end of an epoch less than `sample_every` // 4 steps after the last sample has none. This
        depends on the step alone, so that a resumed run samples as an unbroken one.
        """
        every, gap = self.sample_every, self.sample_every // 4
        last = step - step % every if every else 0
        first = -(-(last + gap) // self.per_epoch) * self.per_epoch
        stride = max(1, -(-gap // self.per_epoch)) * self.per_epoch
        at_end = step >= first and (step - first) % stride == 0
        return at_end or self.due(step, every)


def _agree_alone(step, wishes):
    """The default of `agree`, for a single process."""
    del step
    return wishes


def fit(
    trainer, batches, run, schedule, progress, evaluation=None, agree=_agree_alone, tell_pace=None
):
    """Train from the trainer's step to the schedule's last step, deadline or patience, or a signal.

    The last step is sampled and saved.

    Args:
      trainer: has `count` (steps done), `seen` (images taken), `batch_spec(step)` → (critic
        updates, batch size), `step(images, labels)` → dict of scalars, `measure(images, labels)`
        → more scalars for the log, `preview()` → (images, columns), `augments` → bool,
        `augmented(images)` → images, `samples`, which `evaluation.measure` draws with, and
        `problem()` → text or None.
      batches: has `take(position, shape)` → (uint8 images, labels) of a step, and `reals(count)` →
        the first training images.
      run: a `runs.run.Run`, which uses the trainer's `state`, `networks`, `refresh` and `preview`.
      schedule: a `Schedule`.
      progress: a context manager with `update(done, text)`.
      evaluation: has `measure(samples, progress)` → dict of numbers, `better(new, old)` → bool, and
        `by`, the name of the number that decides; or None.
      agree: (step, bools that this process wishes) → list of bools that hold for all processes.
      tell_pace: called once with (step, seconds of an update) after `TIMED` updates; or None.

    Returns:
      (the step reached, the name of the signal that stopped the training or None).

    Raises:
      Diverged: if a term or a weight is not finite. Such a state is never saved.
    """
    step, seen = int(trainer.count), int(trainer.seen)
    log = _Log(trainer, run, schedule, evaluation, seen, progress)
    clock, pace = _Clock(run, schedule, agree, step), _Pace(tell_pace)
    if step == 0:
        run.reals(batches.reals(64))
        run.sample(0, 0, 0, *trainer.preview())
    with stop_requests() as asked, progress:
        log.asked = asked
        while step < schedule.last and not clock.stops(step, asked, log.plateaued):
            shape, start = trainer.batch_spec(step), time.monotonic()
            batch = batches.take(seen, shape)
            terms = trainer.step(*batch)
            seen += shape[0] * shape[1]
            step += 1
            pace.add(step, shape, start, terms)
            progress.update(step)
            measured = schedule.due(step, schedule.eval_every)
            if clock.due("log", step, measured):
                _check(trainer)
                terms |= trainer.measure(*batch)
                progress.update(step, log.add(step, seen, terms, measured))
            if clock.due("sample", step, schedule.samples_at(step)):
                _sample(trainer, batches, run, schedule, step)
            if clock.due("save", step):
                _save(trainer, run, step)
        if clock.done["sample"] < step:
            _sample(trainer, batches, run, schedule, step)
        if clock.done["save"] < step:
            _save(trainer, run, step)
        run.redraw()
    return step, clock.stopped_by


class _Clock:
    """Decides when to stop, log, sample and save: by steps, or by the leading process's clock.

    Attributes:
      done: "log", "sample" or "save" → the last step at which that was done.
      stopped_by: name of the signal that stopped the training, in any process, or None.
    """

    def __init__(self, run, schedule, agree, step):
        self.run, self.schedule, self.agree = run, schedule, agree
        self.every = {n: getattr(schedule, f"{n}_every") for n in ("log", "sample", "save")}
        self.seconds = {n: getattr(schedule, f"{n.upper()}_SECONDS") for n in self.every}
        self.done = dict.fromkeys(self.every, step)
        self.times = dict.fromkeys(self.every, float("inf"))  # of the last; first set after a step
        self.late, self.stopped_by = {}, None

    def stops(self, step, asked, plateaued):
        """Return whether to stop before the next step. Decides what is due by time after that step.

        Args:
          step: steps done.
          asked: names of the signals that this process has received.
          plateaued: True if the schedule's patience is over.
        """
        now, names = time.monotonic(), [number.name for number in STOP_SIGNALS]
        late = {n: self.run.writes and now - self.times[n] >= self.seconds[n] for n in self.every}
        over = plateaued or now >= self.schedule.deadline
        wishes = [over, *(n in asked for n in names), *late.values()]
        found = self.agree(step, wishes)
        self.late = dict(zip(self.every, found[1 + len(names) :]))
        self.stopped_by = next((n for n, stop in zip(names, found[1:]) if stop), None)
        return bool(found[0]) or self.stopped_by is not None

    def due(self, what, step, also=False):
        """Return whether "log", "sample" or "save" is due after a step, or `also` is true."""
        now = time.monotonic()
        if self.times[what] == float("inf"):  # the first step compiles: its time does not count
            self.times[what] = now
        if also or self.schedule.due(step, self.every[what]) or self.late[what]:
            self.done[what], self.times[what] = step, now
            return True
        return False


class _Pace:
    """Times the updates, and tells once how many seconds one takes.

    Averages updates of one shape. The first update of a shape compiles and is not timed.
    """

    def __init__(self, tell):
        self.tell, self.times = tell, {}

    def add(self, step, shape, start, terms):
        """Add an update of the shape (critic updates, batch size) that began at `start`."""
        if self.tell is None:
            return
        float(list(terms.values())[-1])  # waits for the device
        times = self.times.setdefault(shape, [])
        times.append(time.monotonic() - start)
        if len(times) > TIMED:
            self.tell(step, sum(times[1:]) / TIMED)
            self.tell = None


class _Log:
    """Writes the rows of the run's log. The time of evaluations does not count as training."""

    def __init__(self, trainer, run, schedule, evaluation, seen, progress):
        self.trainer, self.run, self.evaluation, self.asked = trainer, run, evaluation, []
        self.per_epoch, self.progress = schedule.per_epoch, progress
        self.patience, self.plateaued = schedule.patience, False  # True once the patience is over
        self.note = ""  # the plateau's, at the last evaluation
        self.begun = time.monotonic()
        self.lap = (self.begun, seen)

    def add(self, step, seen, terms, measured):
        """Log a step, after its evaluation if `measured`; return the text for the progress bar."""
        terms = {name: float(value) for name, value in terms.items()}
        now = time.monotonic()
        speed = (seen - self.lap[1]) / (now - self.lap[0])
        found = self._measure(step) if measured and self.evaluation is not None else {}
        self.run.log(step, step // self.per_epoch, now - self.begun, terms, found)
        if found:
            if self.evaluation.better(found, self.run.best()):
                self.run.keep_best(step, self.trainer, found)
            self._judge(self.run.plateau())
            terms[self.evaluation.by] = found[self.evaluation.by]
        if measured:
            self.begun += time.monotonic() - now
        self.lap = (time.monotonic(), seen)
        values = "  ".join(f"{name} {value:.3g}" for name, value in terms.items())
        return f"epoch {step / self.per_epoch:.1f}  {speed:.0f} images/s  {values}"

    def _judge(self, plateau):
        """Report a long plateau once, and set `plateaued`.

        `plateau` is a `runs.checkpoints.Plateau`, or None.
        """
        note = plateau.note if plateau else ""
        self.plateaued = plateau is not None and 0 < self.patience <= plateau.share
        if note and not self.note and not self.plateaued:
            self.run.say(f"note: {note}")
        self.note = note

    def _measure(self, step):
        """Return the measures of the current state; {} if it fails, or a signal asks to stop."""

        def part(label, total):
            return Part(self.progress, step, self.asked, label, total)

        self.progress.update(step, "evaluating")
        try:
            return self.evaluation.measure(self.trainer.samples, part)
        except Stopped:
            self.run.say(f"note: the evaluation at step {step} was stopped")
            return {}
        except Exception as error:
            if MEASURE_ERRORS.isdisjoint(cls.__name__ for cls in type(error).__mro__):
                raise
            self.run.say(
                f"note: the evaluation at step {step} failed, and training goes on: "
                f"{first_line(error)}"
            )
            return {}


def _sample(trainer, batches, run, schedule, step):
    _check(trainer)
    if trainer.augments:
        run.augmented(trainer.augmented(batches.reals(64)))
    run.sample(step, *divmod(step, schedule.per_epoch), *trainer.preview())


def _save(trainer, run, step):
    _check(trainer)
    run.save(step, trainer)


def _check(trainer):
    problem = trainer.problem()
    if problem:
        raise Diverged(problem)

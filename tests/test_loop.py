"""The training loop, with fake parts that record their calls."""

import contextlib
import os
import signal
import time

import numpy as np
import pytest

from training import loop


class Trainer:
    """Counts steps and takes two more images at each. `at` maps a step to a function to call."""

    def __init__(self, at=None, start=0, seen=0):
        self.count, self.seen, self.at, self.bad = start, seen, at or {}, None
        self.taken = []

    def batch_spec(self, step):
        return (step + 1, 2)

    def step(self, position, shape):
        self.taken.append((position, shape))
        self.count += 1
        self.at.get(self.count, lambda: None)()
        return {"loss": np.float32(self.count)}

    def preview(self):
        return "images", 8

    def samples(self, labels):
        return ("samples", self.count, labels)

    def measure(self, *batch):
        return {}

    def problem(self):
        return self.bad


class Batches:
    def reals(self, count):
        return 0

    def take(self, position, shape):
        return position, shape


class Run:
    def __init__(self):
        self.calls, self.kept = [], {}

    def reals(self, images):
        self.calls.append(("reals", images))

    def log(self, step, epoch, seconds, terms, measures):
        self.calls.append(("log", step, epoch, terms["loss"]))
        self.seconds = seconds
        if measures:
            self.calls.append(("measures", step, measures))

    def best(self):
        return self.kept

    def keep_best(self, step, trainer, measures):
        self.calls.append(("best", step))
        self.kept = measures

    def sample(self, step, epoch, index, images, columns):
        self.calls.append(("sample", step, epoch, index))

    def save(self, step, trainer):
        self.calls.append(("save", step))

    def redraw(self):
        self.calls.append(("redraw",))

    def steps(self, what):
        return [call[1] for call in self.calls if call[0] == what]


class Evaluation:
    """Takes 0.05 s; its FID is the last digit of the step."""

    by = "fid_a"

    def measure(self, draw):
        time.sleep(0.05)
        name, step, labels = draw("labels")
        assert (name, labels) == ("samples", "labels")
        return {"fid_a": float(step % 10), "step": step}

    def better(self, new, old):
        return not old or new["fid_a"] < old["fid_a"]


class Bar(contextlib.nullcontext):
    def update(self, done, text=None):
        self.text = text or getattr(self, "text", None)


def schedule(last=20, **options):
    every = {"log_every": 4, "sample_every": 5, "save_every": 6}
    return loop.Schedule(last=last, per_epoch=8, **{**every, **options})


def fit(trainer=None, run=None, evaluation=None, **options):
    run, trainer = run or Run(), trainer or Trainer()
    result = loop.fit(trainer, Batches(), run, schedule(**options), Bar(), evaluation)
    return result, run, trainer


def test_steps_of_logs_samples_and_saves():
    result, run, _ = fit()
    assert result == (20, None)
    assert run.steps("log") == [4, 8, 12, 16, 20]
    assert run.steps("sample") == [0, 5, 8, 10, 15, 16, 20]
    often = fit(sample_every=16, last=12)[1]  # an epoch of 8 ends 8 steps after the last grid
    assert often.steps("sample") == [0, 8, 12]
    rarely = fit(sample_every=50, last=12)[1]
    assert rarely.steps("sample") == [0, 12]
    assert run.steps("save") == [6, 12, 18, 20]
    assert [c for c in run.calls if c[0] in ("reals", "redraw")] == [("reals", 0), ("redraw",)]
    assert ("sample", 10, 1, 2) in run.calls
    assert ("log", 12, 1, 12.0) in run.calls


def test_evaluations_follow_their_own_schedule_and_the_best_is_saved():
    run = fit(evaluation=Evaluation(), eval_every=5, log_every=8, last=22)[1]
    assert run.steps("log") == [5, 8, 10, 15, 16, 20, 22]
    assert run.steps("measures") == [5, 10, 15, 20, 22]
    assert run.steps("best") == [5, 10]
    assert run.seconds < 0.25  # excludes the time of five evaluations
    assert fit(evaluation=None, eval_every=5)[1].steps("measures") == []


def test_the_progress_line_shows_the_deciding_measure():
    bar = Bar()
    options = schedule(eval_every=7, last=7)
    loop.fit(Trainer(), Batches(), Run(), options, bar, Evaluation())
    assert bar.text.endswith("loss 7  fid_a 7")


def test_every_step_takes_new_images():
    _, _, trainer = fit(last=4)
    assert trainer.taken == [(0, (1, 2)), (2, (2, 2)), (6, (3, 2)), (12, (4, 2))]


def test_fit_continues_from_the_trainers_step():
    _, run, trainer = fit(Trainer(start=3, seen=12), last=5)
    assert trainer.taken == [(12, (4, 2)), (20, (5, 2))]
    assert run.steps("sample") == [5]
    assert "reals" not in [c[0] for c in run.calls]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_stops(number):
    before = signal.getsignal(number)
    stopper = Trainer(at={7: lambda: os.kill(os.getpid(), number)})
    result, run, _ = fit(stopper)
    assert result == (7, number.name)
    assert run.steps("save") == [6, 7]
    assert run.steps("sample")[-1] == 7
    assert run.calls[-1] == ("redraw",)
    assert signal.getsignal(number) is before


@pytest.fixture
def interruptible():
    """SIGINT raises KeyboardInterrupt, also in a shell's background process, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield signal.default_int_handler
    signal.signal(signal.SIGINT, before)


def test_a_second_ctrl_c_interrupts(interruptible):
    end = time.monotonic() + 10

    def twice():
        os.kill(os.getpid(), signal.SIGINT)
        while signal.getsignal(signal.SIGINT) is not interruptible and time.monotonic() < end:
            time.sleep(0.01)  # the system may merge two pending signals
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1)

    with pytest.raises(KeyboardInterrupt):
        fit(Trainer(at={3: twice}))


def test_the_deadline_ends_training():
    result, run, _ = fit(deadline=time.monotonic() - 1)
    assert result == (0, None)
    assert run.steps("save") == []
    slow = Trainer(at={2: lambda: time.sleep(0.2)})
    result, run, _ = fit(slow, deadline=time.monotonic() + 0.1)
    assert result == (2, None)
    assert run.steps("save") == [2]


@pytest.mark.parametrize(("bad", "saved"), [(5, []), (7, [6]), (19, [6, 12, 18])])
def test_a_diverged_state_is_never_saved(bad, saved):
    trainer, run = Trainer(), Run()
    trainer.at = {bad: lambda: setattr(trainer, "bad", f"loss not finite at step {bad}")}
    with pytest.raises(loop.Diverged, match=f"step {bad}:"):
        fit(trainer, run)
    assert run.steps("save") == saved
    assert all(step < bad for step in run.steps("sample") + run.steps("log"))


def test_the_progress_line_shows_epoch_speed_and_terms():
    bar = Bar()
    loop.fit(Trainer(), Batches(), Run(), schedule(), bar)
    assert bar.text.startswith("epoch 2.50")
    assert "images/s" in bar.text
    assert bar.text.endswith("loss 20")

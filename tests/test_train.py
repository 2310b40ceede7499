"""The loop, with parts that only write down what they are asked."""

import contextlib
import os
import signal
import time

import numpy as np
import pytest

import train


class Trainer:
    """Counts; asks for two images more at each step; `at` maps a step to what happens there."""

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

    def measure(self, *batch):
        return {}

    def problem(self):
        return self.bad


class Batches:
    def take(self, position, shape):
        return position, shape


class Run:
    def __init__(self):
        self.calls = []

    def reals(self, images):
        self.calls.append(("reals", images))

    def log(self, step, epoch, seconds, terms):
        self.calls.append(("log", step, epoch, terms["loss"]))

    def sample(self, step, epoch, index, images, columns):
        self.calls.append(("sample", step, epoch, index))

    def save(self, step, trainer):
        self.calls.append(("save", step))

    def redraw(self):
        self.calls.append(("redraw",))

    def steps(self, what):
        return [call[1] for call in self.calls if call[0] == what]


class Bar(contextlib.nullcontext):
    def update(self, done, text=None):
        self.text = text or getattr(self, "text", None)


def schedule(last=20, **options):
    every = {"log_every": 4, "sample_every": 5, "save_every": 6}
    return train.Schedule(last=last, per_epoch=8, **{**every, **options})


def fit(trainer=None, run=None, **options):
    run, trainer = run or Run(), trainer or Trainer()
    result = train.fit(trainer, Batches(), run, schedule(**options), Bar())
    return result, run, trainer


def test_what_is_done_when():
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


def test_images_are_fresh_at_every_step():
    _, _, trainer = fit(last=4)
    assert trainer.taken == [(0, (1, 2)), (2, (2, 2)), (6, (3, 2)), (12, (4, 2))]


def test_it_goes_on_from_the_trainers_step():
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


def test_a_second_ctrl_c_is_not_held_back():
    def twice():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1)

    with pytest.raises(KeyboardInterrupt):
        fit(Trainer(at={3: twice}))


def test_the_deadline_ends_it():
    result, run, _ = fit(deadline=time.monotonic() - 1)
    assert result == (0, None)
    assert run.steps("save") == []
    slow = Trainer(at={2: lambda: time.sleep(0.2)})
    result, run, _ = fit(slow, deadline=time.monotonic() + 0.1)
    assert result == (2, None)
    assert run.steps("save") == [2]


@pytest.mark.parametrize(("bad", "saved"), [(5, []), (7, [6]), (19, [6, 12, 18])])
def test_nothing_broken_is_saved(bad, saved):
    trainer, run = Trainer(), Run()
    trainer.at = {bad: lambda: setattr(trainer, "bad", f"loss not finite at step {bad}")}
    with pytest.raises(train.Diverged, match=f"step {bad}:"):
        fit(trainer, run)
    assert run.steps("save") == saved
    assert all(step < bad for step in run.steps("sample") + run.steps("log"))


def test_the_line_shows_epoch_speed_and_terms():
    bar = Bar()
    train.fit(Trainer(), Batches(), Run(), schedule(), bar)
    assert bar.text.startswith("epoch 2.50")
    assert "images/s" in bar.text
    assert bar.text.endswith("loss 20")

"""The training loop, with fake parts that record their calls."""

import contextlib
import os
import signal
import time
import types
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import console
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

    augments = False

    def problem(self):
        return self.bad


class Batches:
    def reals(self, count):
        return 0

    def take(self, position, shape):
        return position, shape


class Run:
    writes = True

    def say(self, text):
        self.calls.append(("say", text))

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

    def plateau(self):
        return None

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

    def measure(self, draw, progress):
        time.sleep(0.05)
        with progress("features", 9) as part:
            part.update(4)
        name, step, labels = draw("labels")
        assert (name, labels) == ("samples", "labels")
        return {"fid_a": float(step % 10), "step": step}

    def better(self, new, old):
        return not old or new["fid_a"] < old["fid_a"]


class Bar(contextlib.nullcontext):
    def update(self, done, text=None):
        self.text = text or getattr(self, "text", None)
        self.texts = [*getattr(self, "texts", ()), (done, text)]


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


@pytest.mark.parametrize("per_epoch", [1, 3, 7, 26, 235])
@pytest.mark.parametrize("every", [0, 1, 4, 20, 100])
def test_samples_depend_on_the_step_alone(per_epoch, every):
    """At an epoch's end, unless the last sample is less than a quarter of `every` steps old."""
    schedule, last = loop.Schedule(700, per_epoch, 1, every, 1), 0
    for step in range(1, 701):
        wanted = (every > 0 and step % every == 0) or (step == 700 and every > 0)
        wanted |= step % per_epoch == 0 and step - last >= every // 4
        assert schedule.samples_at(step) == wanted, step
        last = step if wanted else last


def test_evaluations_follow_their_own_schedule_and_the_best_is_saved():
    run = fit(evaluation=Evaluation(), eval_every=5, log_every=8, last=22)[1]
    assert run.steps("log") == [5, 8, 10, 15, 16, 20, 22]
    assert run.steps("measures") == [5, 10, 15, 20, 22]
    assert run.steps("best") == [5, 10]
    assert run.seconds < 0.25  # excludes the time of five evaluations
    assert fit(evaluation=None, eval_every=5)[1].steps("measures") == []


class Plateaus(Run):
    """After the evaluations at steps 2, 4, …: a plateau for each share, or none."""

    def __init__(self, *shares):
        super().__init__()
        self.shares = iter(shares)

    def plateau(self):
        share = next(self.shares)
        return types.SimpleNamespace(share=share, note="long" * (share > 0.3)) if share else None


EVERY_TWO = {"evaluation": Evaluation(), "eval_every": 2, "log_every": 100}


def test_a_plateau_is_noted_once_each_time():
    run = fit(None, Plateaus(0, 0.2, 0.4, 0.5, 0, 0.1, 0.4), last=14, **EVERY_TWO)[1]
    said = [i for i, call in enumerate(run.calls) if call == ("say", "note: long")]
    noted = [[c[1] for c in run.calls[:i] if c[0] == "measures"][-1] for i in said]
    assert noted == [6, 14] and run.steps("save") == [6, 12, 14]


def test_patience_ends_training_at_an_evaluation():
    result, run, _ = fit(None, Plateaus(0, 0.2, 0.4, 0.5), patience=0.5, **EVERY_TWO)
    assert result == (8, None)
    assert run.steps("save") == [6, 8] and run.steps("sample")[-1] == 8
    assert run.steps("say") == ["note: long"] and run.calls[-1] == ("redraw",)
    short = fit(None, Plateaus(0, 0.4), patience=0.4, **EVERY_TWO)[1]
    assert short.steps("measures") == [2, 4] and short.steps("say") == []


def test_the_leading_processs_patience_ends_all():
    """A later evaluation, before the next step at which they agree, may still improve."""

    def agree(step, wishes):
        asked.append((step, wishes[0]))
        return [False] * len(wishes) if step % 10 else wishes

    for shares, end in (((0, 0, 0, 0.5, 0.5), 10), ((0, 0, 0, 0.5, 0, 0), 12)):
        asked, run = [], Plateaus(*shares)
        options = schedule(12, eval_every=2, patience=0.5)
        result = loop.fit(Trainer(), Batches(), run, options, Bar(), Evaluation(), agree)
        assert result == (end, None) and (8, True) in asked and (7, False) in asked


def test_the_progress_line_shows_the_deciding_measure():
    bar = Bar()
    options = schedule(eval_every=7, last=7)
    loop.fit(Trainer(), Batches(), Run(), options, bar, Evaluation())
    assert bar.text.endswith("loss 7  fid_a 7")
    assert (7, "features 4/9") in bar.texts


def test_every_step_takes_new_images():
    _, _, trainer = fit(last=4)
    assert trainer.taken == [(0, (1, 2)), (2, (2, 2)), (6, (3, 2)), (12, (4, 2))]


def test_fit_continues_from_the_trainers_step():
    _, run, trainer = fit(Trainer(start=3, seen=12), last=5)
    assert trainer.taken == [(12, (4, 2)), (20, (5, 2))]
    assert run.steps("sample") == [5]
    assert "reals" not in [c[0] for c in run.calls]


@pytest.mark.parametrize("number", console.STOP_SIGNALS)
def test_a_signal_saves_and_stops(number, handlers):
    stopper = Trainer(at={7: lambda: os.kill(os.getpid(), number)})
    result, run, _ = fit(stopper)
    assert result == (7, number.name)
    assert run.steps("save") == [6, 7]
    assert run.steps("sample")[-1] == 7
    assert run.calls[-1] == ("redraw",)
    assert signal.getsignal(number) is signal.SIG_DFL


def test_an_ignored_signal_stays_ignored(handlers):
    """As nohup does with SIGHUP."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    assert fit(Trainer(at={7: lambda: os.kill(os.getpid(), signal.SIGHUP)}))[0] == (20, None)


def test_training_in_a_thread_takes_no_signals():
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(fit).result()[0] == (20, None)


@pytest.fixture
def interruptible(handlers):
    """SIGINT raises KeyboardInterrupt, also in a shell's background process, which ignores it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    return signal.default_int_handler


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
    assert bar.text.startswith("epoch 2.5  ")
    assert "images/s" in bar.text
    assert bar.text.endswith("loss 20")


class Clock(Trainer):
    """Advances a clock by so many seconds in each step."""

    def __init__(self, monkeypatch, seconds, start=0):
        super().__init__(start=start)
        self.seconds, self.now = seconds, 1000.0
        fake = types.SimpleNamespace(monotonic=lambda: self.now, sleep=time.sleep)
        monkeypatch.setattr(loop, "time", fake)

    def step(self, position, shape):
        terms = super().step(position, shape)
        self.now += self.seconds(self.count)
        return terms


RARELY = {"log_every": 100, "sample_every": 100, "save_every": 100}


def test_what_is_due_by_time(monkeypatch):
    """Ten seconds a step; the first, which compiles, has a hundred. The last step has all three."""
    clock = Clock(monkeypatch, lambda step: 100 if step == 1 else 10)
    run = fit(clock, last=65, **RARELY)[1]
    assert run.steps("log") == [*range(5, 65, 4), 65]  # each sees that 30 s are over, one step on
    assert run.steps("sample") == [0, 14, 27, 32, 45, 58, 64, 65]
    assert run.steps("save") == [32, 63, 65]


def test_what_is_due_by_updates_does_not_move(monkeypatch):
    """Samples by time come between those by updates and at ends of epochs."""
    plain = fit(last=40)[1]
    run = fit(Clock(monkeypatch, lambda step: 50), last=40)[1]
    for what in ("log", "sample", "save"):
        assert set(plain.steps(what)) <= set(run.steps(what))
    assert fit(Clock(monkeypatch, lambda step: 0.1), last=40)[1].calls == plain.calls


@pytest.mark.parametrize("writes", [True, False])
def test_the_leading_process_decides_what_is_due_by_time(monkeypatch, writes):
    asked, run = [], Run()
    run.writes = writes

    def agree(step, wishes):
        asked.append((step, *wishes))
        return [False] * (len(wishes) - 3) + [step == 7, step == 8, step == 9]

    trainer = Clock(monkeypatch, lambda step: 100)
    loop.fit(trainer, Batches(), run, schedule(last=12, **RARELY), Bar(), agree=agree)
    assert any(any(wishes) for _, *wishes in asked) is writes
    assert [run.steps(what) for what in ("log", "sample", "save")] == [
        [8, 12],
        [0, 9, 12],
        [10, 12],
    ]


def test_all_processes_stop_by_the_same_signal():
    def agree(step, wishes):
        names = [number.name for number in console.STOP_SIGNALS]
        return [False, *(step == 5 and name == "SIGTERM" for name in names), *wishes[-3:]]

    assert loop.fit(Trainer(), Batches(), Run(), schedule(), Bar(), agree=agree) == (5, "SIGTERM")


def test_the_pace_is_that_of_a_dozen_updates(monkeypatch):
    """Without the first, which compiles, and without the bursts of the first steps."""
    told, clock = [], Clock(monkeypatch, lambda step: 100 if step < 6 else 2 + step % 2)
    clock.batch_spec = lambda step: (25 if step < 5 else 1, 2)
    loop.fit(clock, Batches(), Run(), schedule(30), Bar(), tell_pace=lambda *x: told.append(x))
    assert told == [(18, 2.5)]
    clock = Clock(monkeypatch, lambda step: 1)
    loop.fit(clock, Batches(), Run(), schedule(12), Bar(), tell_pace=lambda *x: told.append(x))
    assert len(told) == 1


class OpError(Exception):
    """Has the name of TensorFlow's class."""


@pytest.mark.parametrize("kind", [console.Failed, PermissionError, ValueError, OpError])
def test_an_evaluation_that_fails_does_not_end_training(kind):
    class Failing(Evaluation):
        def measure(self, draw, progress):
            if draw("labels")[1] == 5:
                raise kind("broken\nin two lines")
            return super().measure(draw, progress)

    result, run, _ = fit(evaluation=Failing(), eval_every=5, log_every=8)
    assert result == (20, None)
    assert run.steps("log") == [5, 8, 10, 15, 16, 20]
    assert run.steps("measures") == [10, 15, 20]
    note = "note: the evaluation at step 5 failed, and training goes on: broken"
    assert [call[1] for call in run.calls if call[0] == "say"] == [note]


def test_a_signal_ends_an_evaluation(handlers):
    """It may take minutes."""

    class Long(Evaluation):
        def measure(self, draw, progress):
            with progress("features", 9) as bar:
                bar.update(1)
                os.kill(os.getpid(), signal.SIGTERM)
                bar.update(2)
            pytest.fail("goes on")

    result, run, _ = fit(evaluation=Long(), eval_every=5, log_every=8)
    assert result == (5, "SIGTERM")
    assert run.steps("save") == [5] and run.steps("measures") == []
    assert ("say", "note: the evaluation at step 5 was stopped") in run.calls


@pytest.mark.parametrize("kind", [KeyError, KeyboardInterrupt])
def test_other_errors_of_an_evaluation_end_training(kind):
    class Failing(Evaluation):
        def measure(self, draw, progress):
            raise kind

    with pytest.raises(kind):
        fit(evaluation=Failing(), eval_every=5)

"""Kill a small training run with SIGKILL many times, and check that nothing is lost.

`python -m benchmarks.kill --kills 50 --seed 0` trains a tiny run on a folder of pictures with the
`main` of `main.py`, kills it, checks all files on the disk, and starts the same command again.
Whenever a run ends by itself, its weights, log and pictures must equal an unbroken run's bit for
bit.

A third of the kills come at random times. The others are aimed at file operations: right before
one, or some milliseconds after its start. Each kind of operation of the unbroken run has its turn.
Every second run is a new run that replaces an old one (`--resume False`). The trainers are forks of
this process, which has imported TensorFlow but run nothing, to save the time of the import.
"""

import argparse
import contextlib
import json
import os
import random
import select
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks import whole
from benchmarks.kill_trainer import PICTURES, train
from commands import devices
from config import rows

STEPS = 14
# Modules that a trainer would import late. They are imported before the forks.
LATER = ("main:main", "model:GANTrainer", "evaluation.evaluation:Evaluation", "datasets.known:np")
LATER += ("matplotlib.figure:Figure", "matplotlib.backends.backend_agg:FigureCanvasAgg")
WORDS = {
    "cache_dir": "cache", "train": True, "name": "r", "device": "cpu", "num_workers": 2,
    "output_height": 8, "batch_size": 4, "arch": "mlp", "mode": "hinge", "fc_width": 4, "z_dim": 4,
    "max_steps": STEPS, "log_every": 1, "sample_every": 2, "save_every": 3, "eval_every": 4,
    "eval_samples": 100, "extractor": "random-cnn",
}  # fmt: skip
LONGEST = 0.02  # maximal seconds from the start of a file operation to a kill
PATIENCE = 1200  # maximal seconds of a trainer


def words(pictures, seed, anew):
    """Return the command line of a run; `anew` does not resume."""
    given = {**WORDS, "dataset": pictures, "seed": seed, **({"resume": False} if anew else {})}
    return [f"--{name}={value}" for name, value in given.items()]


def make_pictures(folder, count=120):
    """Write a folder of pictures, with a broken one that packing skips."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for i in range(count):
        image = Image.fromarray(rng.integers(0, 256, (12, 12, 3), dtype=np.uint8))
        image.save(folder / f"{i:03d}.png")
    (folder / "broken.png").write_bytes((folder / "000.png").read_bytes()[:50])


def fork(work):
    """Run `work(send)` in a child process; return (its id, the descriptor of a pipe from it)."""
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid:
        os.close(theirs)
        return pid, ours
    status = 70
    try:
        os.close(ours)
        status = work(lambda text: os.write(theirs, text.encode()))
    except BaseException:
        import traceback

        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(status or 0)


def ask(function, *args):
    """Call a function that may use TensorFlow in a child process; return its result via JSON."""

    def work(send):
        send(json.dumps(function(*args)))

    pid, pipe = fork(work)
    with open(pipe) as file:
        text = file.read()
    os.waitpid(pid, 0)
    return json.loads(text)


def unbroken(folder, argv):
    """Train without a kill and keep all checkpoints; return {kind of moment: its count}."""

    def work(send):
        return train(folder, argv, lambda kind: send(kind + "\n"), keep_all=True)

    pid, pipe = fork(work)
    with open(pipe) as file:
        moments = file.read().splitlines()
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status:
        raise SystemExit(f"the unbroken run failed: {(folder / 'output.txt').read_text()}")
    return {kind: moments.count(kind) for kind in dict.fromkeys(moments)}


def attempt(folder, argv, plan):
    """Train until the plan's kill, or to the end; return the exit status, -9 after a kill.

    Args:
      plan: (kind of moment, how many of these to skip, seconds after the moment or None for right
        before it), or (None, 0, seconds after the first moment of any kind).
    """
    kind, skip, delay = plan
    count = 0

    def on_moment(now, send):
        nonlocal count
        if kind in (None, now):
            count += 1
            if count == skip + 1:
                if delay is None:
                    os.kill(os.getpid(), signal.SIGKILL)
                send("now")

    pid, pipe = fork(lambda send: train(folder, argv, lambda now: on_moment(now, send), False))
    ready, _, _ = select.select([pipe], [], [], PATIENCE)  # also returns when the child ends
    if not ready or os.read(pipe, 3):
        select.select([pipe], [], [], delay or 0)
        os.kill(pid, signal.SIGKILL)
    os.close(pipe)
    if not ready:
        raise SystemExit(f"a run took over {PATIENCE} seconds: {plan}")
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


class Soak:
    """Kills runs in a folder, and collects the faults.

    Runs of seed 0 begin in an empty folder. Runs of seed 1 replace a run of seed 0.
    """

    def __init__(self, top, seed, say=print):
        self.folder, self.rng, self.say = top / "killed", random.Random(seed), say
        self.unbroken = {0: top / "unbroken", 1: top / "unbroken_anew"}
        self.wrong, self.kills, self.ended = [], [], 0
        self.pictures = top / PICTURES
        self.seed, self.anew, self.unfinished = 0, False, False
        self.moments, self.seconds, self.due = {}, {}, {}

    def prepare(self, anew=True):
        """Train the unbroken runs, and create the folder of the killed ones."""
        for seed in (0, 1) if anew else (0,):
            folder = self.unbroken[seed]
            if seed:
                shutil.copytree(self.unbroken[0], folder)
            else:
                make_pictures(self.pictures)
                folder.mkdir()
            begun = time.monotonic()
            self.moments[seed] = unbroken(folder, words(self.pictures, seed, bool(seed)))
            self.seconds[seed] = time.monotonic() - begun
        self.folder.mkdir()

    def plan(self):
        """Return the next plan: a random time, or the next kind of moment in turn."""
        if len(self.kills) % 3 == 0:
            return None, 0, self.rng.uniform(0, 0.7 * self.seconds[self.seed])
        due = self.due.setdefault(self.seed, [])
        if not due:
            due += [(kind, within) for kind in self.moments[self.seed] for within in (0, 1)]
            self.rng.shuffle(due)
        kind, within = due.pop()
        most = min(3, self.moments[self.seed][kind])
        return kind, self.rng.randrange(most), self.rng.uniform(0, LONGEST) if within else None

    def run(self, kills):
        """Kill `kills` times, and let the last run end."""
        while len(self.kills) < kills or self.unfinished:
            plan = self.plan() if len(self.kills) < kills else ("never", 0, None)
            status = attempt(self.folder, words(self.pictures, self.seed, self.anew), plan)
            if status not in (0, -signal.SIGKILL):
                self.fail(plan, [f"exit {status}: {self.output()[-500:]}"])
                return
            if status:
                self.kills.append(plan)
            self.look(plan, status)

    def look(self, plan, status):
        """Check the files after a kill or an end, and choose the next run.

        At a run's end they must equal the unbroken run's.
        """
        self.unfinished = status != 0
        self.fail(plan, ask(whole.broken, self.folder, self.unbroken))
        if "Traceback" in self.output():
            self.fail(plan, ["a traceback: " + self.output()[-2000:]])
        text = f"{len(self.kills):3d} {describe(plan) if status else 'the end'}"
        self.say(f"{text}: {len(self.wrong)} wrong so far", flush=True)
        if self.anew and self.taken_over():
            self.anew = False
        if status == 0:
            self.fail(plan, ask(whole.unequal, self.folder, self.unbroken[self.seed]))
            self.ended += 1
            self.seed = 1 - self.seed if 1 in self.moments else 0
            self.anew = self.seed == 1
            if not self.anew:
                self.clean()

    def taken_over(self):
        """Return whether the new run has been saved, so that the next start resumes it."""
        run = self.folder / "checkpoint/r"
        with contextlib.suppress(OSError):
            return json.loads((run / "config.json").read_text())["seed"] == 1
        return True  # the new run is being moved to its place

    def clean(self):
        """Empty the folder for the next run."""
        for name in ("checkpoint", "samples", "logs", "cache"):
            shutil.rmtree(self.folder / name, ignore_errors=True)

    def output(self):
        """Return what the trainers have printed."""
        return (self.folder / "output.txt").read_text()

    def fail(self, plan, wrong):
        """Record and print the faults after a kill."""
        for text in wrong:
            self.wrong.append(f"after {describe(plan)}: {text}")
            self.say(self.wrong[-1], flush=True)


def describe(plan):
    """Describe a plan in words."""
    kind, skip, delay = plan
    if kind is None:
        return f"a random moment ({delay:.2f} s)"
    when = "before" if delay is None else f"{1000 * delay:.1f} ms into"
    return f"{when} {kind} ({skip + 1})"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0, help="of the plans")
    parser.add_argument("--folder", help="to work in; it is kept")
    parser.add_argument("--quick", action="store_true", help="no runs that replace old ones")
    call = parser.parse_args()
    devices.import_tensorflow("cpu")
    for name in LATER:
        rows.import_object(name)
    with contextlib.ExitStack() as stack:
        top = Path(call.folder or stack.enter_context(tempfile.TemporaryDirectory())).resolve()
        soak = Soak(top, call.seed)
        soak.prepare(anew=not call.quick)
        soak.run(call.kills)
    kinds = {plan[0] for plan in soak.kills if plan[0]}
    at_random = sum(plan[0] is None for plan in soak.kills)
    print(
        f"{len(soak.kills)} kills, {at_random} at random moments and the others at {len(kinds)} "
        f"kinds of moments; {soak.ended} runs ended; {len(soak.wrong)} things wrong"
    )
    sys.exit(bool(soak.wrong))


if __name__ == "__main__":
    main()

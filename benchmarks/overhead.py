"""The time that logging, sampling, saving and loading add to the train steps.

`python -m benchmarks.overhead` trains MNIST with `main.py` and its defaults in a temporary folder.
It compares the seconds between the first and the last row of metrics.csv with the same number of
calls of `trainer.step` alone, in another process. Both alternate in rounds. With 2,050 steps there
are 40 rows, 4 checkpoints and 12 grids between the two rows, at the rates of a long run.
"""

import argparse
import csv
import statistics
import subprocess
import sys
import tempfile
import time

import console
import utils
from benchmarks import step, timing
from commands import devices
from config import flags
from config.fields import Config


def bare(steps, flags):
    """Return the seconds of `steps` train steps alone, on one random batch, after a warm-up."""
    devices.import_tensorflow("cpu")
    c, spec = step.settings("mnist", flags)
    ours = step.Ours(c, spec, step.random_batch(c, spec))
    ours.run(c.log_every)  # warm-up: the steps before the first row
    begun = time.perf_counter()
    ours.run(steps)
    return time.perf_counter() - begun


def rows_between(folder):
    """Return (seconds, steps) between the first and last row of the log of the run in `folder`."""
    path = next(utils.Path(folder).rglob("metrics.csv"))
    with open(path, newline="") as file:
        first, *_, last = csv.DictReader(file)
    return float(last["seconds"]) - float(first["seconds"]), int(last["step"]) - int(first["step"])


def whole(steps, data_dir, words):
    """Run main.py.

    Returns:
      (seconds between the first and last row, steps between them, seconds from the start of the
      process to the first row, seconds after the last row).
    """
    with tempfile.TemporaryDirectory() as folder:
        call = [timing.ROOT / "main.py", "--dataset", "mnist", "--train", "True", "--device", "cpu"]
        call += ["--data_dir", utils.Path(data_dir).resolve(), "--max_steps", steps, *words]
        total, first = timing.call(call, folder, lambda: timing.logged(utils.Path(folder)))
        seconds, between = rows_between(folder)
        return seconds, between, first, total - first - seconds


def bare_elsewhere(steps, words):
    """Run `bare` in another process."""
    call = [sys.executable, "-m", "benchmarks.overhead", "--bare", str(steps), "--set", *words]
    return float(subprocess.run(call, cwd=timing.ROOT, check=True, stdout=subprocess.PIPE).stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", default=Config.data_dir)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=2050, help="more than log_every, which is 50")
    parser.add_argument("--set", nargs="*", default=[], metavar="FLAG=VALUE", help="our flags")
    parser.add_argument(
        "--quick", action="store_true", help="one round of 60 steps, as a smoke test"
    )
    parser.add_argument("--bare", type=int, help="print the seconds of this number of steps alone")
    call = parser.parse_args()
    words = [f"--{word}" for word in call.set]
    if call.bare:
        print(bare(call.bare, flags.parse_flags(["overhead", *words])))
        return
    rounds, steps = (1, 60) if call.quick else (call.rounds, call.steps)
    between = steps - flags.parse_flags(["", *words]).get("log_every", Config.log_every)
    measures = {
        "whole": lambda: whole(steps, call.data_dir, words),
        "bare": lambda: bare_elsewhere(between, call.set),
    }
    found = timing.interleave(measures, rounds)
    if any(entry[1] != between for entry in found["whole"]):
        raise console.Failed(f"the rows are not {between} steps apart: {found['whole']}")
    spent, start, end = ([entry[i] for entry in found["whole"]] for i in (0, 2, 3))
    more, low, high = (100 * (r - 1) for r in timing.ratios(spent, found["bare"]))
    rows = [
        [f"{between} steps of main.py", f"{1000 * statistics.median(spent) / between:.4g}"],
        [f"{between} bare steps", f"{1000 * statistics.median(found['bare']) / between:.4g}"],
    ]
    print(timing.table(["what", "ms a step"], rows))
    print(f"\n{more:.1f} % more ({low:.1f} to {high:.1f})")
    print(f"start of the process to the first row: {statistics.median(start):.1f} s")
    print(f"last row to the end of the process: {statistics.median(end):.1f} s")


if __name__ == "__main__":
    main()

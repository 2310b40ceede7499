"""Memory and open files of a long training run.

`python -m benchmarks.soak` trains a tiny network on the digits with main.py for 5,000 steps. Logs,
grids, films, plots, checkpoints and evaluations are far more frequent than by default. The program
observes the process from outside. It prints the resident memory and the number of open files by
step, and the slope of the memory over the last four fifths of the run.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time

import numpy as np

import console
import utils
from benchmarks import timing
from runs import log as run_log

FLAGS = {
    "dataset": "digits",
    "train": True,
    "name": "soak",
    "output_height": 16,
    "g_width": 8,
    "d_width": 8,
    "batch_size": 16,
    "epoch": 100_000,
    "log_every": 10,
    "sample_every": 50,
    "save_every": 100,
    "eval_every": 500,
    "eval_samples": 200,
}
EVERY = 0.5  # seconds between two observations
SETTLED = 0.2  # fraction of the steps that the slope leaves out at the start


def look(process, folder):
    """Return a process's (step, resident bytes, open files), or None before its first row."""
    rows = run_log.read_log(folder / "checkpoint" / "soak" / "metrics.csv")
    if not rows:
        return None
    with open(f"/proc/{process}/statm") as file:
        pages = int(file.read().split()[1])
    files = len(os.listdir(f"/proc/{process}/fd"))
    return int(rows[-1]["step"]), pages * os.sysconf("SC_PAGE_SIZE"), files


def watch(steps, folder):
    """Train, and observe the process until it ends; return the results of `look`."""
    given = {**FLAGS, "max_steps": steps}
    words = [f"--{name}={value}" for name, value in given.items()]
    command = [sys.executable, str(timing.ROOT / "main.py"), *words]
    seen = []
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            time.sleep(EVERY)
            try:
                found = look(process.pid, folder)
            except (FileNotFoundError, IndexError):  # the process has just ended
                break
            if found and (not seen or found[0] > seen[-1][0]):
                seen.append(found)
    if process.returncode:
        raise console.Failed("the run failed")
    return seen


def slope(seen):
    """Return the memory's growth in bytes for 1,000 steps, from a linear fit."""
    steps, memory, _ = map(np.array, zip(*seen))
    late = steps >= SETTLED * steps[-1]
    return 1000 * float(np.polyfit(steps[late], memory[late], 1)[0])


def table(seen, parts=10):
    """Return a Markdown table of `parts` equally spaced observations."""
    chosen = np.linspace(0, len(seen) - 1, parts).round().astype(int)
    rows = [
        [step, f"{size / 2**20:.1f}", files] for step, size, files in map(seen.__getitem__, chosen)
    ]
    return timing.table(["step", "resident MiB", "open files"], rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=5000)
    call = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        seen = watch(call.steps, utils.Path(folder))
    print(table(seen))
    print(f"\nslope over the last {1 - SETTLED:.0%}: {slope(seen) / 2**20:+.2f} MiB in 1,000 steps")


if __name__ == "__main__":
    main()

"""Helpers of the benchmarks that measure time: rounds, medians and Markdown tables.

Measurements that are compared run in the same process and in rounds. Each round has one turn for
each of them. A temporary slowdown of the machine then affects all of them.
"""

import os
import statistics
import subprocess
import sys
import time

import console
import utils

ROOT = utils.Path(__file__).resolve().parents[1]


def interleave(measures, rounds):
    """Run all measurements once in each round. Each round begins with another one.

    Args:
      measures: name → function that measures once.
      rounds: number of rounds.

    Returns:
      {name: list of the results, by round}.
    """
    names = list(measures)
    found = {name: [] for name in names}
    for i in range(rounds):
        first = i % len(names)
        for name in names[first:] + names[:first]:
            found[name].append(measures[name]())
    return found


def per_step(run, seconds, clock=time.perf_counter):
    """Return a function that measures the mean seconds of a step.

    Each call does one step that does not count, and then steps for about `seconds`. `per_step`
    itself does three steps: two as a warm-up, and one to choose the number of steps.

    Args:
      run: `run(n)` does n steps and waits for their end.
      seconds: length of a measurement. 0 is one step.
      clock: function that returns seconds.
    """
    run(1)
    run(1)
    begun = clock()
    run(1)
    steps = max(1, round(seconds / max(clock() - begun, 1e-6)))

    def measure():
        run(1)
        begun = clock()
        run(steps)
        return (clock() - begun) / steps

    return measure


def ratios(values, base):
    """Return (median, minimum, maximum) of the ratios values[i] / base[i]."""
    each = [value / other for value, other in zip(values, base, strict=True)]
    return statistics.median(each), min(each), max(each)


def ratio_cell(values, base):
    """Format `ratios` as `1.52 (1.49-1.60)`."""
    return "{:.2f} ({:.2f}-{:.2f})".format(*ratios(values, base))


def ms_cell(values):
    """Format the median of seconds, in milliseconds."""
    return f"{1000 * statistics.median(values):.4g}"


def table(header, rows):
    """Return a Markdown table of a header and rows."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def call(words, folder, until=None):
    """Run Python with the arguments `words` in `folder`, without its output.

    Returns:
      (seconds to its end, seconds until the function `until` first returned True, or None).

    Raises:
      console.Failed: if Python's exit status is not 0.
    """
    begun, seen = time.perf_counter(), None
    environment = {"TF_CPP_MIN_LOG_LEVEL": "3", **os.environ}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    with subprocess.Popen(
        [sys.executable, *map(str, words)], cwd=folder, env=environment, **quiet
    ) as process:
        while until and seen is None and process.poll() is None:
            time.sleep(0.02)
            seen = time.perf_counter() - begun if until() else None
        errors = process.communicate()[1].decode(errors="replace")
    if process.returncode:
        raise console.Failed(f"{' '.join(map(str, words))} failed:\n{errors[-2000:]}")
    return time.perf_counter() - begun, seen


def cores():
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0))


def log(text):
    """Print progress to stderr. Only the table goes to stdout."""
    print(text, file=sys.stderr, flush=True)


def logged(folder):
    """Return whether the log of a run in `folder` has a row."""
    return any(path.read_text().count("\n") > 1 for path in folder.rglob("metrics.csv"))

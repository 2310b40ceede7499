"""What the programs that measure time share: rounds, medians and Markdown tables.

Whatever is compared is measured in the same process and in rounds, one turn for each in every
round, so that a machine which slows down for a while slows all of them.
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
    """Let everyone have one turn in each round; a round begins with another one each time.

    `measures` maps names to functions that measure once; gives name → what they found, in order.
    """
    names = list(measures)
    found = {name: [] for name in names}
    for i in range(rounds):
        first = i % len(names)
        for name in names[first:] + names[:first]:
            found[name].append(measures[name]())
    return found


def per_step(run, seconds, clock=time.perf_counter):
    """A function that measures once: the mean seconds of one step over about `seconds` of them.

    `run(n)` does n steps and waits for their end. It is warmed up here, by two runs of one step;
    a third one tells how many steps a turn has. Each turn begins with a step that does not count.
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
    """(median, lowest, highest) of values over base, each with its own round's."""
    each = [value / other for value, other in zip(values, base, strict=True)]
    return statistics.median(each), min(each), max(each)


def ratio_cell(values, base):
    """The same as text: `1.52 (1.49-1.60)`."""
    return "{:.2f} ({:.2f}-{:.2f})".format(*ratios(values, base))


def ms_cell(values):
    """The median of seconds, in milliseconds."""
    return f"{1000 * statistics.median(values):.4g}"


def table(header, rows):
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def call(words, folder, until=None):
    """Run Python on `words` in `folder`, its output thrown away; an error where it fails.

    Returns:
      (seconds to its end, seconds until the function `until` first gave true, or None).
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
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0))


def log(text):
    """Say on stderr what is going on; the table alone goes to stdout."""
    print(text, file=sys.stderr, flush=True)


def logged(folder):
    """Has a run somewhere under `folder` a row in its log?"""
    return any(path.read_text().count("\n") > 1 for path in folder.rglob("metrics.csv"))

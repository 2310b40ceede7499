"""Train the same in many processes at once, and compare the results to the last bit.

`python -m benchmarks.repeat` trains a small PGGAN in 200 processes, 8 at a time: more than the
machine has cores, because a race shows under load. It prints how many different results there were,
and exits with status 1 if there was more than one. `benchmarks.races` finds the same faults without
chance, in the graphs.
"""

import argparse
import collections
import concurrent.futures
import hashlib
import os
import subprocess
import sys

from benchmarks import races
from config import tables
from console import Failed

CODE = "from benchmarks import repeat; repeat.train({0!r}, {1!r}, {2!r}, {3!r}, {4!r})"


def train(arch, mode, norm, steps, precision="float32", seed=0):
    """Train a small network from fixed batches; print a hash of its state and of all its terms."""
    import numpy as np
    import tensorflow as tf

    from commands import devices

    devices.import_tensorflow("cpu")
    given = {"precision": precision, **({} if norm == "None" else {"critic_norm": norm})}
    trainer = races.small_trainer(arch, mode, seed=seed, **given)
    seen = hashlib.sha256()
    for step in range(steps):
        terms = trainer.step(*races.small_batch(trainer, step))
        for name in sorted(terms):
            seen.update(np.asarray(terms[name]).tobytes())
    for network in trainer.trained.values():
        for weight in network.variables:
            seen.update(tf.convert_to_tensor(weight).numpy().tobytes())
    print(seen.hexdigest())


def run(*words):
    """Return the hash of one process. Takes the arguments of `train`, without the seed.

    Raises:
      Failed: with the last line of its errors.
    """
    code = CODE.format(*words)
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
        raise Failed(f"a process failed: {lines[-1]}")
    return done.stdout.strip()


def main(words=None):
    """Print how many different results there are; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--arch", default="pggan", choices=tables.ARCHS)
    parser.add_argument("--mode", default="gp", choices=tables.MODES)
    parser.add_argument("--norm", default="None", help="of the critic; None: the default")
    parser.add_argument("--precision", default="float32", choices=tables.PRECISIONS)
    parser.add_argument("--processes", type=int, default=200)
    parser.add_argument("--at-once", type=int, default=8)
    parser.add_argument("--steps", type=int, default=20)
    call = parser.parse_args(words)
    case = call.arch, call.mode, call.norm, call.steps, call.precision
    with concurrent.futures.ThreadPoolExecutor(call.at_once) as pool:
        runs = [pool.submit(run, *case) for _ in range(call.processes)]
        counts = collections.Counter()
        for done in concurrent.futures.as_completed(runs):
            counts[done.result()] += 1
            so_far = f"{counts.total()} of {call.processes}, {len(counts)} different"
            print(so_far, end="\r", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    for text, count in counts.most_common():
        print(f"{count:5}  {text[:16]}")
    print(f"{call.processes} processes, {len(counts)} different results")
    return int(len(counts) > 1)


if __name__ == "__main__":
    sys.exit(main())

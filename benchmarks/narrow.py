"""Train networks of every small width and batch, each in its own process, and count crashes.

`python -m benchmarks.narrow` trains two steps of each architecture with a gradient penalty, at
widths of 1 to 20 and batches of 1 to 9, and prints for each architecture and width the batches at
which the process crashed or a number was not finite. The exit status is 1 if there were any.
oneDNN, whose kernels depend on the channels and the batch, is switched on. TensorFlow itself
switches it on for some processors only.

`--together` runs all batches of a width in one process, which is faster. A process that crashes is
started again at the next batch.
"""

import argparse
import concurrent.futures
import os
import subprocess
import sys

from benchmarks import races
from config import tables

STEPS = 2
CODE = "from benchmarks import narrow; narrow.train({!r}, {!r}, {!r}, {!r}, {!r})"


def widths_of(arch, width):
    """Return the settings that give an architecture this width, or {} if it has none."""
    network = tables.ARCHS[arch].network
    given = {"g_width": (width,), "d_width": (width,), "fmap_max": width}
    return {name: value for name, value in given.items() if name in network}


def train(arch, width, batches, size, eager):
    """Train a small network at each batch size; print each size that ends with finite terms."""
    import numpy as np
    import tensorflow as tf

    from commands import devices

    devices.import_tensorflow("cpu")
    tf.config.run_functions_eagerly(eager)
    row = tables.ARCHS[arch]
    side = max(size, row.min_size)
    side = -(-side // row.multiple_of) * row.multiple_of
    for batch in batches:
        given = {**widths_of(arch, width), "output_height": side, "batch_size": batch}
        trainer = races.small_trainer(arch, "gp", **given, critic_num=1)
        for seed in range(STEPS):
            terms = trainer.step(*races.small_batch(trainer, seed))
        if all(np.isfinite(float(value)) for value in terms.values()):
            print(batch, flush=True)


def failures(arch, width, batches, size, eager):
    """Return [(batch, why)] of the batches at which `train` fails, in processes of its own."""
    found, left = [], list(batches)
    environment = {"TF_ENABLE_ONEDNN_OPTS": "1", **os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    while left:
        code = CODE.format(arch, width, left, size, eager)
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        good = [int(word) for word in done.stdout.split()]
        if done.returncode == 0:
            return found + [(n, "not finite") for n in left if n not in good]
        last = left.index(good[-1]) + 1 if good else 0
        lines = done.stderr.strip().splitlines() or [""]
        why = f"signal {-done.returncode}" if done.returncode < 0 else lines[-1]
        found += [(n, "not finite") for n in left[:last] if n not in good]
        found.append((left[last], why))
        left = left[last + 1 :]
    return found


def cases(architectures, widths, batches, together):
    """Yield (architecture, width, batches) for each process. Without widths there is one case."""
    for arch in architectures:
        for width in widths if widths_of(arch, 1) else widths[:1]:
            least = tables.ARCHS[arch].task.min_batch
            allowed = [n for n in batches if n >= least]
            groups = [allowed] if together else [[n] for n in allowed]
            yield from ((arch, width, group) for group in groups)


def main():
    """Print a line for each process; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--arch", nargs="*", default=list(tables.ARCHS))
    parser.add_argument("--widths", nargs="*", type=int, default=list(range(1, 21)))
    parser.add_argument("--batches", nargs="*", type=int, default=list(range(1, 10)))
    parser.add_argument("--size", type=int, default=64, help="height and width of the images")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--together", action="store_true", help="a process for each width")
    parser.add_argument("--eager", action="store_true", help="compile nothing: the same kernels")
    call = parser.parse_args()
    todo = list(cases(call.arch, call.widths, call.batches, call.together))
    with concurrent.futures.ThreadPoolExecutor(call.jobs) as pool:
        results = pool.map(lambda case: failures(*case, call.size, call.eager), todo)
        total = 0
        for (arch, width, batches), found in zip(todo, results):
            total += len(found)
            why = "; ".join(f"batch {n}: {text}" for n, text in found) or "no failure"
            print(f"{arch}, width {width}, batches {batches}: {why}", flush=True)
    print(f"{total} failures in {sum(len(case[2]) for case in todo)} cases")
    return min(total, 1)


if __name__ == "__main__":
    sys.exit(main())

"""The start-up time of the program, relative to `import tensorflow`.

`python -m benchmarks.startup` runs each of the `commands` in a new process, in rounds. It prints
the medians, and the ratios to `python -c "import tensorflow"` in the same round. It needs MNIST in
`--data_dir`, and the run `SHIPPED`.
"""

import argparse
import functools
import tempfile

import utils
from benchmarks import timing
from config.fields import Config

SHIPPED = "mnist_64_28_28"  # a run that comes with the project
BASE = "python -c 'import tensorflow'"


def end_of(words):
    """Return the seconds that Python takes for `words`, from its start to its end."""
    with tempfile.TemporaryDirectory() as folder:
        return timing.call(words, folder)[0]


def first_row(words):
    """Return the seconds from the start of Python to the first row in the run's log."""
    with tempfile.TemporaryDirectory() as folder:
        return timing.call(words, folder, lambda: timing.logged(utils.Path(folder)))[1]


def commands(data_dir):
    """Return the measurements: name → function that measures once and returns seconds."""
    main = [timing.ROOT / "main.py", "--dataset", "mnist"]
    shipped = ["--name", SHIPPED]
    train = ["--data_dir", utils.Path(data_dir).resolve(), "--train", "True"]
    train += ["--log_every", 1, "--max_steps", 1]
    return {
        BASE: functools.partial(end_of, ["-c", "import tensorflow"]),
        "--help": functools.partial(end_of, [*main, "--help"]),
        "test mode, one picture and the sweeps": functools.partial(
            end_of, [*main, *shipped, "--num_samples", 1]
        ),
        "training, to the first step logged": functools.partial(first_row, [*main, *train]),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", default=Config.data_dir)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="one round, as a smoke test")
    call = parser.parse_args()
    measures = commands(call.data_dir)
    for measure in [] if call.quick else measures.values():  # warm-up: reads all files into memory
        measure()
    found = timing.interleave(measures, 1 if call.quick else call.rounds)
    rows = [
        [f"`{name}`", timing.ms_cell(values), timing.ratio_cell(values, found[BASE])]
        for name, values in found.items()
    ]
    print(timing.table(["what", "ms", "times the import"], rows))


if __name__ == "__main__":
    main()

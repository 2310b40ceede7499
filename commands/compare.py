"""Train several modes on the same data, and write a page that compares them."""

import time
from pathlib import Path

import files
from commands import build
from commands.train import train
from config import tables
from config.resolve import resolve
from config.saved import read_saved
from runs import log, trained


def compare(given):
    """Train several modes with the same data, seed and limits, and write a page.

    `max_minutes` limits the training of each mode, whatever stops it in between. With `init_from`,
    a mode other than that run's has the settings of its own row.

    Args:
      given: dict of the flags of the call; `compare` has the modes.

    Returns:
      The exit status: 0, or 128 + the number of the signal that stopped a training.
    """
    runs = {}
    for mode in given["compare"]:
        flags = {**given, "mode": mode}
        # The name of a run that goes on may be known without the run that it started from.
        start = {} if given.get("name") else build.start_settings(flags)
        c = resolve(flags, start=start, check=bool(start) or not given.get("init_from"))
        folder = Path(c.sample_dir) / "compare"
        name = f"{c.name}_{mode}" if c.name else f"compare_{c.run_name}"
        files.mark_output(folder)  # the pictures of one mode are not data of the next
        flags |= {"name": name, "sample_dir": str(folder)}
        run = Path(c.checkpoint_dir) / name
        spent = log.trained_seconds(log.read_log(run / "metrics.csv")) if c.resume else 0.0
        if status := train(flags, time.monotonic() - spent, c.sample_dir):
            return status
        runs[mode] = compare_args(run)
    from evaluation.compare import write_page

    print("\n".join(map(str, write_page(folder, runs))))
    return 0


def compare_args(folder):
    """Return (folder, clip bounds or None, name of the logged gap) of a run, for the page."""
    saved = read_saved(folder / trained.CONFIG)
    return folder, build.clip_bounds(saved["mode"], saved), tables.MODES[saved["mode"]].gap

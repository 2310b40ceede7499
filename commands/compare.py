"""Train several modes with the same settings, and write a page that compares them."""

import time
from pathlib import Path

import files
from commands import build
from commands.train import train
from config import tables
from config.resolve import resolve
from config.saved import read_saved
from runs import trained


def compare(given):
    """Train several modes with the same data, seed and limits, and write a page.

    Args:
      given: dict of the flags of the call; `compare` has the modes.

    Returns:
      The exit status: 0, or 128 + the number of the signal that stopped a training.
    """
    runs = {}
    for mode in given["compare"]:
        flags = {**given, "mode": mode}
        c = resolve(flags, start=build.start_settings(flags))
        folder = Path(c.sample_dir) / "compare"
        name = f"{c.name}_{mode}" if c.name else f"compare_{c.run_name}"
        files.mark_output(folder)  # the pictures of one mode are not data of the next
        flags |= {"name": name, "sample_dir": str(folder)}
        if status := train(flags, time.monotonic(), c.sample_dir):
            return status
        runs[mode] = compare_args(Path(c.checkpoint_dir) / name)
    from evaluation.compare import write_page

    print("\n".join(map(str, write_page(folder, runs))))
    return 0


def compare_args(folder):
    """Return (folder, clip bounds or None, name of the logged gap) of a run, for the page."""
    saved = read_saved(folder / trained.CONFIG)
    return folder, build.clip_bounds(saved["mode"], saved), tables.MODES[saved["mode"]].gap

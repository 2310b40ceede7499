"""Train each of several modes with the same settings, and write a page that compares them."""

import time
from pathlib import Path

from commands import build
from commands.train import train
from config import tables
from config.resolve import resolve
from config.saved import read_saved
from runs import trained


def compare(given):
    """Train each of several modes on the same data, seed and budget, and write a page of them."""
    runs = {}
    for mode in given["compare"]:
        c = resolve({**given, "mode": mode})
        folder = Path(c.sample_dir) / "compare"
        name = f"{c.name}_{mode}" if c.name else f"compare_{c.run_name}"
        part = {**given, "mode": mode, "name": name, "sample_dir": str(folder / mode)}
        if train(part, time.monotonic()) is None:
            return None
        runs[mode] = compared(Path(c.checkpoint_dir) / name)
    from evaluation.compare import write_page

    print("\n".join(map(str, write_page(folder, runs))))
    return 0


def compared(folder):
    """What the comparison page asks of a run: (folder, its clipping bounds, its gap's name)."""
    saved = read_saved(folder / trained.CONFIG)
    return folder, build.clip_bounds(saved["mode"], saved), tables.MODES[saved["mode"]].gap
